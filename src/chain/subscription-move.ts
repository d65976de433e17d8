// Decides by its positions alone whether a subscription has moved between two times. Reports nothing that the
// positions do not prove: when a ledger is closed and trimmed, a subscription that has read all of it moves to the
// next one.
import { compareEntries, mostEntriesBetween } from '../format/entry-order.ts';
import type { EntryId, SubscriptionPosition } from '../ports.ts';

/** A move that the positions prove. */
export type Move =
  | {
      readonly direction: 'forwards';
      /** The first and the last entry that were certainly skipped. */
      readonly through: EntryId;
      /** `undefined` if the ids do not show it. */
      readonly entriesAtMost: number | undefined;
    }
  | { readonly direction: 'backwards' };

/** How a subscription moved from `before` to `now`; `undefined` if the positions show no move. */
export function moveBetween(before: SubscriptionPosition, now: SubscriptionPosition): Move | undefined {
  const from = before.acknowledged;
  const to = now.acknowledged;
  const order = compareEntries(to, from);
  if (order === 0) return undefined;
  if (order < 0) return { direction: 'backwards' };
  const through = isTrimmedTo(to, from) ? lastKnownBetween(from, to, before, now) : to;
  if (through === undefined) return undefined;
  // The last message of all was before `to`: after it there was nothing to skip.
  const isWhole = through === to || (now.last !== undefined && compareEntries(now.last, through) === 0);
  const most = mostEntriesBetween(from, through);
  const entriesAtMost = isWhole && Number.isFinite(most) ? most : undefined;
  return { direction: 'forwards', through, entriesAtMost };
}

/** Whether only the messages themselves can prove it: the rest of a ledger that was closed since was skipped. */
export function isUnclear(before: SubscriptionPosition, now: SubscriptionPosition): boolean {
  return isTrimmedTo(now.acknowledged, before.acknowledged) && moveBetween(before, now) === undefined;
}

/**
 * Whether `later` is the position to which a broker moves a subscription when its ledger was read to its end, closed
 * and trimmed.
 */
const isTrimmedTo = (later: EntryId, earlier: EntryId) =>
  later.entryId === -1 && later.ledgerId > earlier.ledgerId;

/** A message that the broker reported and that was skipped. */
function lastKnownBetween(
  from: EntryId,
  to: EntryId,
  before: SubscriptionPosition,
  now: SubscriptionPosition,
): EntryId | undefined {
  return [now.last, before.last].find(
    (last) => last !== undefined && compareEntries(last, from) > 0 && compareEntries(last, to) <= 0,
  );
}
