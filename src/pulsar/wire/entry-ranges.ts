// A set of entries, kept as ranges of ids without a gap: few, however many entries there are. It does not know where a
// ledger ends, so two ledgers are never one range.
import { isUpTo } from '../../format/entry-order.ts';
import type { EntryId } from '../../ports.ts';

/** The entries `first` to `last` of a ledger, both included. */
export interface EntryRange {
  readonly ledgerId: number;
  first: number;
  last: number;
}

/** A set of entries. */
export class EntryRanges {
  /** Ascending; neither overlapping nor next to each other. */
  #ranges: EntryRange[] = [];

  /** In order. */
  get ranges(): readonly EntryRange[] {
    return this.#ranges;
  }

  /** A set of its own, with the entries up to `last`. */
  through(last: EntryId): EntryRanges {
    const part = new EntryRanges();
    for (const { ledgerId, first, last: end } of this.#ranges) {
      if (!isUpTo({ ledgerId, entryId: first }, last)) break;
      part.#ranges.push({
        ledgerId,
        first,
        last: ledgerId === last.ledgerId ? Math.min(end, last.entryId) : end,
      });
    }
    return part;
  }

  add(id: EntryId): void {
    const { ledgerId, entryId } = id;
    // From the end: entries come in order, nearly always.
    let at = this.#ranges.length - 1;
    while (at >= 0 && isBehind(this.#ranges[at] as EntryRange, id)) at--;
    const before = this.#ranges[at];
    const after = this.#ranges[at + 1];
    if (before?.ledgerId === ledgerId && entryId <= before.last) return;
    const isNextToBefore = before?.ledgerId === ledgerId && before.last + 1 === entryId;
    const isNextToAfter = after?.ledgerId === ledgerId && after.first - 1 === entryId;
    if (isNextToBefore && isNextToAfter) {
      (before as EntryRange).last = (after as EntryRange).last;
      this.#ranges.splice(at + 1, 1);
    } else if (isNextToBefore) (before as EntryRange).last = entryId;
    else if (isNextToAfter) (after as EntryRange).first = entryId;
    else this.#ranges.splice(at + 1, 0, { ledgerId, first: entryId, last: entryId });
  }

  delete(id: EntryId): void {
    const { ledgerId, entryId } = id;
    const at = this.#ranges.findIndex((range) => isIn(range, id));
    const range = this.#ranges[at];
    if (range === undefined) return;
    const halves = [
      { ledgerId, first: range.first, last: entryId - 1 },
      { ledgerId, first: entryId + 1, last: range.last },
    ];
    this.#ranges.splice(at, 1, ...halves.filter(({ first, last }) => first <= last));
  }

  has(id: EntryId): boolean {
    return this.#ranges.some((range) => isIn(range, id));
  }

  /** Forgets the entries up to `last`. */
  dropThrough(last: EntryId): void {
    this.#ranges = this.#ranges.filter(
      (range) => !isUpTo({ ledgerId: range.ledgerId, entryId: range.last }, last),
    );
    const first = this.#ranges[0];
    if (first?.ledgerId === last.ledgerId) first.first = Math.max(first.first, last.entryId + 1);
  }

  /** Forgets the first ones, so that at most `count` ranges are left. */
  keepLast(count: number): void {
    if (this.#ranges.length > count) this.#ranges.splice(0, this.#ranges.length - count);
  }
}

function isBehind({ ledgerId, first }: EntryRange, id: EntryId): boolean {
  return !isUpTo({ ledgerId, entryId: first }, id);
}

function isIn(range: EntryRange, { ledgerId, entryId }: EntryId): boolean {
  return range.ledgerId === ledgerId && range.first <= entryId && entryId <= range.last;
}
