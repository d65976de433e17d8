// So many messages a second at most, whatever publishes them.
import type { Clock } from '../../ports.ts';

/** The largest piece of time that a rate limit lets messages go at once. */
const PACE_MS = 50;

/** Waits as long as the rate asks for; `beforeWaiting` sends what would only wait too. */
export type Pace = (beforeWaiting: () => void) => Promise<void>;

/** A pace that those share who wait at it; `undefined`: none waits. */
export function createPace(messagesPerSecond: number | undefined, clock: Clock, signal: AbortSignal): Pace {
  let nextMs = clock.now();
  return async (beforeWaiting) => {
    if (messagesPerSecond === undefined) return;
    const nowMs = clock.now();
    nextMs = Math.max(nextMs, nowMs - PACE_MS) + 1_000 / messagesPerSecond;
    if (nextMs - nowMs <= PACE_MS) return;
    beforeWaiting();
    await clock.sleep(nextMs - nowMs, signal).catch(() => undefined);
  };
}
