// A clock on which time passes faster than on the system's, for waits of minutes over real sockets.
import { systemClock } from '../../src/lib/clock.ts';
import type { Clock } from '../../src/ports.ts';

/** A clock that also reports how many of its timers have not rung. */
export interface ScaledClock extends Clock {
  readonly sleepers: () => number;
}

/** `factor` times as fast. */
export function scaledClock(factor: number): ScaledClock {
  const startedMs = systemClock.now();
  let sleepers = 0;
  return {
    now: () => startedMs + (systemClock.now() - startedMs) * factor,
    async sleep(ms, signal) {
      sleepers++;
      try {
        await systemClock.sleep(ms / factor, signal);
      } finally {
        sleepers--;
      }
    },
    sleepers: () => sleepers,
  };
}
