// A store that refuses creations for which the run has no time left. Their messages stay in the subscription; this is
// not a failure.
import { BackupError } from './errors.ts';
import type { ObjectStore, Upload } from './ports.ts';
import type { Pace } from './run/deadline.ts';

const TOO_LATE = new BackupError('store', 'there was no time left to store another file', {
  retryable: true,
});

/** Measures the creations of `inner`, and refuses those that would take longer than the remaining time. */
export function pacedStore(inner: ObjectStore, pace: Pace): ObjectStore {
  const inTime = <T>(create: () => Promise<T>): Promise<T> =>
    pace.hasTimeToStore() ? pace.measureCreation(create) : Promise.reject(TOO_LATE);
  return {
    ...inner,
    create: (...args) => inTime(() => inner.create(...args)),
    async startUpload(...args) {
      const started = await inner.startUpload(...args);
      if (started.kind === 'exists') return started;
      const upload: Upload = { ...started, complete: (...whole) => inTime(() => started.complete(...whole)) };
      return upload;
    },
  };
}

/**
 * Whether a creation failed only because the time was over. Such a failure is temporary; a permanent one is reported.
 */
export function isOfClock(error: unknown, storing: AbortSignal): boolean {
  if (error === TOO_LATE) return true;
  return storing.aborted && error instanceof BackupError && error.code === 'store' && error.retryable;
}
