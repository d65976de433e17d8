// The one place that retries I/O: exponential backoff with jitter, within the run's time.
import { BackupError } from '../errors.ts';
import type { Clock } from '../ports.ts';

export interface RetryOptions {
  readonly clock: Clock;
  /** Ends waiting; the last error is thrown then. */
  readonly signal?: AbortSignal | undefined;
  /** Tries in all. */
  readonly attempts?: number;
  /** The longest wait before the second try; it doubles with each, up to `maxDelayMs`. */
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
  /** By default: whether it is retryable. */
  readonly isWorthIt?: (error: BackupError) => boolean;
  readonly onRetry?: (error: BackupError, attempt: number, delayMs: number) => void;
  /** From 0 to 1; tests control it. */
  readonly random?: () => number;
}

/**
 * Calls `operation` until it succeeds, fails with an error that is not retryable, or runs out of tries or time; then
 * throws the last error. Waits between half and all of the backoff, so that instances spread out.
 */
export async function retry<T>(
  operation: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const {
    clock,
    signal,
    attempts = 6,
    baseDelayMs = 200,
    maxDelayMs = 5_000,
    random = Math.random,
    isWorthIt = ({ retryable }) => retryable,
  } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await operation(attempt);
    } catch (error) {
      if (!(error instanceof BackupError) || !isWorthIt(error)) throw error;
      if (attempt >= attempts || signal?.aborted) throw error;
      const delayMs = Math.min(maxDelayMs, baseDelayMs * 2 ** (attempt - 1)) * (0.5 + random() / 2);
      options.onRetry?.(error, attempt, delayMs);
      try {
        await clock.sleep(delayMs, signal);
      } catch {
        throw error;
      }
    }
  }
}
