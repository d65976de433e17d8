// The ids of entries: the broker's order, and their text. Everything that compares or prints entry ids does it here.
import type { EntryId } from '../ports.ts';

/** Negative: `a` comes before `b` in the broker's order; zero: they are the same; positive: after. */
export function compareEntries(a: EntryId, b: EntryId): number {
  return a.ledgerId - b.ledgerId || a.entryId - b.entryId;
}

/** Whether `id` is `last`, or comes before it. */
export function isUpTo(id: EntryId, last: EntryId): boolean {
  return compareEntries(id, last) <= 0;
}

/** The later of both, or the only one. */
export function laterEntry(id: EntryId, other: EntryId | undefined): EntryId {
  return other === undefined || compareEntries(id, other) > 0 ? id : other;
}

/**
 * The largest possible number of entries after `last` up to `end`, by their ids: entries of one ledger are
 * consecutive.
 */
export function mostEntriesBetween(last: EntryId, end: EntryId): number {
  if (last.ledgerId < end.ledgerId) return Number.POSITIVE_INFINITY;
  return last.ledgerId > end.ledgerId ? 0 : Math.max(0, end.entryId - last.entryId);
}

/** An entry id as manifests, log lines and keys of maps have it, `ledger:entry`. */
export function formatEntry({ ledgerId, entryId }: EntryId): string {
  return `${ledgerId}:${entryId}`;
}

/** The entry id in `ledger:entry`; `undefined` if it is none. */
export function parseEntry(text: unknown): EntryId | undefined {
  const [, ledger, entry] = (typeof text === 'string' && /^(\d{1,15}):(-1|\d{1,15})$/.exec(text)) || [];
  return ledger === undefined ? undefined : { ledgerId: Number(ledger), entryId: Number(entry) };
}
