// When the rest of a partition waits in the subscription for more, instead of becoming a small file: by the publish times
// of its messages alone. It knows no interval: the first run that finds the rest old stores it.
import type { TimeMs } from '../ports.ts';
import type { PublishSpan } from './message-range.ts';

/** What a run left in the subscription of one partition. */
export interface LeftRest {
  /** As the broker counts them. */
  readonly entries: number;
  readonly messages: number;
  /** When the first of them was published, by the clocks of their producers. */
  readonly oldestMs: TimeMs;
}

/**
 * Whether these messages are to wait: the oldest was published less than `lingerMs` ago, and none in the future. Nobody
 * knows how old that one is, so it counts as old.
 */
export function isYoung({ earliestMs, latestMs }: PublishSpan, lingerMs: number, nowMs: number): boolean {
  return earliestMs > nowMs - lingerMs && latestMs <= nowMs;
}
