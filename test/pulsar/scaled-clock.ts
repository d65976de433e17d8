// A clock on which time passes faster than on the system's, for waits of minutes over real sockets, and only while this
// process runs: what a machine that is busy does not let it do in time is not late.
import { systemClock } from '../../src/lib/clock.ts';
import type { Clock } from '../../src/ports.ts';

/** Real time between two looks at it, while anybody sleeps. */
const TICK_MS = 5;
/** A tick that comes later than this was not let run. */
const MAX_TICK_MS = 25;

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/** A clock that also reports how many of its timers have not rung. */
export interface ScaledClock extends Clock {
  readonly sleepers: () => number;
}

/** Starts it; calling the answer stops it, and gives the milliseconds in which this process was let run. */
export function startStopwatch(): () => number {
  const clock = scaledClock(1);
  const startedMs = clock.now();
  const end = new AbortController();
  clock.sleep(3_600_000, end.signal).catch(() => undefined);
  return () => {
    const elapsedMs = clock.now() - startedMs;
    end.abort();
    return elapsedMs;
  };
}

/** `factor` times as fast. */
export function scaledClock(factor: number): ScaledClock {
  const sleepers = new Set<Sleeper>();
  let nowMs = systemClock.now();
  let seenMs = performance.now();
  let ticking: NodeJS.Timeout | undefined;

  function tick(): void {
    const realMs = performance.now();
    nowMs += Math.min(realMs - seenMs, MAX_TICK_MS) * factor;
    seenMs = realMs;
    const due = [...sleepers].filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs);
    for (const sleeper of due) {
      sleepers.delete(sleeper);
      sleeper.wake();
    }
    if (sleepers.size === 0) stopTicking();
  }

  function stopTicking(): void {
    clearInterval(ticking);
    ticking = undefined;
  }

  function now(): number {
    if (ticking === undefined) {
      const realMs = performance.now();
      nowMs += (realMs - seenMs) * factor;
      seenMs = realMs;
    }
    return nowMs;
  }

  return {
    now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const wake = () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        };
        const sleeper = { atMs: now() + ms, wake };
        const abort = () => {
          sleepers.delete(sleeper);
          if (sleepers.size === 0) stopTicking();
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', abort, { once: true });
        sleepers.add(sleeper);
        ticking ??= setInterval(tick, TICK_MS);
      }),
    sleepers: () => sleepers.size,
  };
}
