// Limits the wait for a promise that cannot be cancelled. The promise itself continues.
import type { Clock } from '../../ports.ts';

/** What `within` answers when the time was up first. */
export const TIME_UP = Symbol('time is up');

/** What `promise` resolves to, or TIME_UP after `ms`. Rejects with the promise, or with the signal's reason. */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T | typeof TIME_UP> {
  const done = new AbortController();
  const abort = () => done.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const sleep = clock.sleep(ms, done.signal).then((): typeof TIME_UP => TIME_UP);
    sleep.catch(() => undefined);
    return await Promise.race([promise, sleep]);
  } finally {
    signal?.removeEventListener('abort', abort);
    done.abort();
  }
}
