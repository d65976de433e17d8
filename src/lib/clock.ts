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
 * Starts with the system time and advances steadily: changes of the system clock neither end a run nor extend it
 * beyond its limit. Create one for each run.
 */
export function steadyClock(): Clock {
  const originMs = Date.now() - performance.now();
  return { ...systemClock, now: () => Math.round(originMs + performance.now()) };
}
