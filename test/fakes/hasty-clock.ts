// A clock on which waiting takes no time: it is put forward by what was to be waited.
import type { Clock } from '../../src/ports.ts';

export interface HastyClock extends Clock {
  /** Called before each wait is over; tests let things happen here. */
  onSleep: (ms: number) => void;
}

/** `time`: what passes besides the waits. */
export function hastyClock(time = Date.now): HastyClock {
  let aheadMs = 0;
  const clock: HastyClock = {
    onSleep: () => {},
    now: () => time() + aheadMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      aheadMs += ms;
      clock.onSleep(ms);
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    },
  };
  return clock;
}
