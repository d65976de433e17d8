// The broker's order of entries.
import type { EntryId } from '../../ports.ts';

/** Negative: `a` stands before `b`; zero: they are the same; positive: after. */
export function compareEntries(a: EntryId, b: EntryId): number {
  return a.ledgerId - b.ledgerId || a.entryId - b.entryId;
}

/** Text that names an entry, for keys of maps. */
export function entryKey(id: EntryId): string {
  return `${id.ledgerId}:${id.entryId}`;
}
