// How long a run waits during an outage of Pulsar: one rule for receiving, acknowledging and resuming. Opening has a
// shorter one, because nothing is in progress then.
import type { BackupError } from '../errors.ts';
import { type RetryOptions, retry } from './retry.ts';

/** Milliseconds from the first sign of an outage. */
export const MAX_OUTAGE_MS = 120_000;

/** The hint of a temporary error. */
export const OUTAGE_HINT = `It is tried again for up to ${MAX_OUTAGE_MS / 1_000} s, while the run has time; look at the broker if it happens often.`;

const ends = new WeakSet<BackupError>();

/**
 * Marks the error of a source that has waited for its connection as long as a run may, so that callers wait no
 * longer. It stays retryable, because the next run may succeed.
 */
export function endingOutage(error: BackupError): BackupError {
  ends.add(error);
  return error;
}

/** Calls `operation` until it succeeds, fails with an error that is not retryable, or the longest outage is over. */
export function retryThroughOutage<T>(
  operation: () => Promise<T>,
  options: Pick<RetryOptions, 'clock' | 'signal' | 'onRetry'>,
): Promise<T> {
  const { clock } = options;
  const startedMs = clock.now();
  return retry(operation, {
    ...options,
    attempts: Number.POSITIVE_INFINITY,
    isWorthIt: (error) => error.retryable && !ends.has(error) && clock.now() - startedMs < MAX_OUTAGE_MS,
  });
}
