// The real clock, and one for a run.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../ports.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};

/**
 * Begins with the time of the system and goes on evenly: a system clock that is set meanwhile, back or forth, neither ends
 * a run nor keeps it beyond its limit. Make one for each run.
 */
export function steadyClock(): Clock {
  const originMs = Date.now() - performance.now();
  return { ...systemClock, now: () => Math.round(originMs + performance.now()) };
}
