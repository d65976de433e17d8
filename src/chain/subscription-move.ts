// Whether a subscription has moved between two moments, by its positions alone. Says nothing where the positions do
// not prove it: a ledger that was closed and trimmed moves a subscription that has read it all to the next one.
import { compareEntries, mostEntriesBetween } from '../format/entry-order.ts';
import type { EntryId, SubscriptionPosition } from '../ports.ts';

/** A move that the positions prove. */
export type Move =
  | {
      readonly direction: 'forwards';
      /** An entry that was passed over for sure, and the last one of which that can be said. */
      readonly through: EntryId;
      /** `undefined`: the ids do not say it. */
      readonly entriesAtMost: number | undefined;
    }
  | { readonly direction: 'backwards' };

/** How a subscription moved from `before` to `now`; `undefined`: it did not, as far as the positions say. */
export function moveBetween(before: SubscriptionPosition, now: SubscriptionPosition): Move | undefined {
  const from = before.acknowledged;
  const to = now.acknowledged;
  const order = compareEntries(to, from);
  if (order === 0) return undefined;
  if (order < 0) return { direction: 'backwards' };
  const through = isTrimmedTo(to, from) ? lastKnownBetween(from, to, before, now) : to;
  if (through === undefined) return undefined;
  // The last message of all that was before `to`: behind it there was nothing more to pass over.
  const isWhole = through === to || (now.last !== undefined && compareEntries(now.last, through) === 0);
  const most = mostEntriesBetween(from, through);
  const entriesAtMost = isWhole && Number.isFinite(most) ? most : undefined;
  return { direction: 'forwards', through, entriesAtMost };
}

/** Whether only the messages themselves can say it: what was left in a ledger that was closed since has been passed over. */
export function isUnclear(before: SubscriptionPosition, now: SubscriptionPosition): boolean {
  return isTrimmedTo(now.acknowledged, before.acknowledged) && moveBetween(before, now) === undefined;
}

/** Whether `later` is where a broker puts a subscription whose ledger was read to its end, closed and trimmed. */
const isTrimmedTo = (later: EntryId, earlier: EntryId) =>
  later.entryId === -1 && later.ledgerId > earlier.ledgerId;

/** A message that the broker reported, and that has been passed over. */
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
