// A store that creates nothing for which the run has no time any more. What it refuses for that stays in the
// subscription, and is no failure.
import { BackupError } from './errors.ts';
import type { ObjectStore, Upload } from './ports.ts';
import type { Pace } from './run/deadline.ts';

const TOO_LATE = new BackupError('store', 'there was no time left to store another file', {
  retryable: true,
});

/** `inner`, whose creations are measured, and refused where they would take longer than there is time. */
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

/** Whether a failure to store means only that the time was over. Such a failure may pass; one that stays is reported. */
export function isOfClock(error: unknown, storing: AbortSignal): boolean {
  if (error === TOO_LATE) return true;
  return storing.aborted && error instanceof BackupError && error.code === 'store' && error.retryable;
}
