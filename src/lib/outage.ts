// How long a run waits for a Pulsar that is away or does not answer: one rule for receiving, acknowledging and resuming.
// Opening has its own, shorter one: nothing was begun by then.
import type { BackupError } from '../errors.ts';
import { type RetryOptions, retry } from './retry.ts';

/** Milliseconds from the first sign of an outage. */
export const MAX_OUTAGE_MS = 120_000;

/** The hint of an error that may pass. */
export const OUTAGE_HINT = `It is tried again for up to ${MAX_OUTAGE_MS / 1_000} s, while the run has time; look at the broker if it happens often.`;

const ends = new WeakSet<BackupError>();

/**
 * Marks the error of a source that has waited for its connection as long as a run may: whoever meets it waits no longer.
 * It stays retryable, since the next run may do better.
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
