// Decides whether the last messages of a partition wait in the subscription instead of becoming a small file, by
// their publish times alone. It knows no interval: the first run that finds them old stores them.
import type { TimeMs } from '../ports.ts';
import type { PublishSpan } from './message-range.ts';

/** The lingering messages of one partition. */
export interface LeftRest {
  /** As the broker counts them. */
  readonly entries: number;
  readonly messages: number;
  /** The earliest publish time, by the producers' clocks. */
  readonly oldestMs: TimeMs;
}

/**
 * Whether these messages linger: the oldest was published less than `lingerMs` ago, and none in the future. The age
 * of a message from the future is unknown, so it counts as old.
 */
export function isYoung({ earliestMs, latestMs }: PublishSpan, lingerMs: number, nowMs: number): boolean {
  return earliestMs > nowMs - lingerMs && latestMs <= nowMs;
}
