// A clock that jumps to its next timer whenever nothing else is left to do, so that waiting costs no time.
import { systemClock } from '../../src/lib/clock.ts';
import type { Clock } from '../../src/ports.ts';

/** The system's clock, on which pauses of up to five seconds are over at once; what has to end in time takes longer. */
export const hurriedClock: Clock = {
  now: () => systemClock.now(),
  sleep: (ms, signal) => systemClock.sleep(ms > 5_000 ? ms : 0, signal),
};

interface Timer {
  readonly atMs: number;
  readonly ring: () => void;
}

/** Begins at `startMs`. Timers ring in order; the time between them does not pass. */
export function virtualClock(startMs = Date.UTC(2026, 10, 24)): Clock {
  let nowMs = startMs;
  let timers: Timer[] = [];
  let isPumping = false;

  const pump = () => {
    const next = timers[0];
    if (next === undefined) {
      isPumping = false;
      return;
    }
    timers = timers.slice(1);
    nowMs = Math.max(nowMs, next.atMs);
    next.ring();
    setImmediate(pump);
  };

  return {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const timer: Timer = { atMs: nowMs + ms, ring: resolve };
        timers = [...timers, timer].sort((a, b) => a.atMs - b.atMs);
        signal?.addEventListener('abort', () => {
          timers = timers.filter((one) => one !== timer);
          reject(signal.reason);
        });
        if (isPumping) return;
        isPumping = true;
        setImmediate(pump);
      }),
  };
}
