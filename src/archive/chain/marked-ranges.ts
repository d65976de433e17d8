// Ranges of entries of one partition, in little memory if they are adjacent: adjacent ranges are merged. Each range
// has a mark at both ends, so that the edges of a hole are known.
import { compareEntries } from '../../format/entry-order.ts';
import { countLeading } from '../../lib/count-leading.ts';
import type { EntryId } from '../../ports.ts';

/** The entries behind `after`, up to `through`. */
export interface EntryRange {
  readonly after: EntryId;
  readonly through: EntryId;
}

/** A range that was put together, with the marks of what begins and of what ends it. */
export interface MarkedRange<Mark> extends EntryRange {
  readonly first: Mark;
  readonly last: Mark;
}

/** A set of ranges, in the order of entries. A range without entries is a place of its own. */
export class EntryRanges<Mark = undefined> {
  readonly #ranges: MarkedRange<Mark>[] = [];
  readonly #isBefore: (a: Mark, b: Mark) => boolean;

  /** `isBefore` decides between marks at one place: of those that begin there the earliest stays, of those that end the latest. */
  constructor(isBefore: (a: Mark, b: Mark) => boolean = () => false) {
    this.#isBefore = isBefore;
  }

  get ranges(): readonly MarkedRange<Mark>[] {
    return this.#ranges;
  }

  add({ after, through }: EntryRange, mark: Mark): void {
    let added: MarkedRange<Mark> = { after, through, first: mark, last: mark };
    const from = countLeading(this.#ranges, (one) => compareEntries(one.through, after) < 0);
    let to = from;
    for (; to < this.#ranges.length; to++) {
      const one = this.#ranges[to] as MarkedRange<Mark>;
      if (compareEntries(one.after, through) > 0) break;
      added = this.#joined(one, added);
    }
    this.#ranges.splice(from, to - from, added);
  }

  /** What of the range is in the set, and what is not. */
  readonly split = (range: EntryRange): SplitRange<MarkedRange<Mark>> => splitBy(this.#ranges, range);

  #joined(a: MarkedRange<Mark>, b: MarkedRange<Mark>): MarkedRange<Mark> {
    const begins = compareEntries(a.after, b.after);
    const ends = compareEntries(a.through, b.through);
    const isFirst = begins < 0 || (begins === 0 && !this.#isBefore(b.first, a.first));
    const isLast = ends > 0 || (ends === 0 && !this.#isBefore(a.last, b.last));
    return {
      after: isFirst ? a.after : b.after,
      through: isLast ? a.through : b.through,
      first: isFirst ? a.first : b.first,
      last: isLast ? a.last : b.last,
    };
  }
}

/** Ranges that each have an owner, in the order of entries. What two of them have belongs to the one that was added first. */
export class OwnedRanges<Owner> {
  readonly #ranges: OwnedRange<Owner>[] = [];

  constructor(ranges: Iterable<OwnedRange<Owner>>) {
    for (const { owner, ...range } of ranges)
      for (const free of splitBy(this.#ranges, range).outside)
        this.#ranges.splice(firstBehind(this.#ranges, free.after), 0, { ...free, owner });
  }

  /** What of the range is in the set, and what is not. */
  readonly split = (range: EntryRange): SplitRange<OwnedRange<Owner>> => splitBy(this.#ranges, range);
}

/** A range of OwnedRanges. */
export interface OwnedRange<Owner> extends EntryRange {
  readonly owner: Owner;
}

/** What of a range is in others, with the one that it is in, and what is not; both in order. */
export interface SplitRange<By extends EntryRange> {
  readonly inside: { readonly range: EntryRange; readonly by: By }[];
  readonly outside: EntryRange[];
}

/** Splits a range by others, which are in order and have nothing in common. */
function splitBy<By extends EntryRange>(
  ranges: readonly By[],
  { after, through }: EntryRange,
): SplitRange<By> {
  const split: SplitRange<By> = { inside: [], outside: [] };
  let reached = after;
  for (let at = firstBehind(ranges, after); at < ranges.length; at++) {
    const by = ranges[at] as By;
    if (compareEntries(by.after, through) >= 0) break;
    const range = { after: later(by.after, reached), through: earlier(by.through, through) };
    if (compareEntries(reached, range.after) < 0)
      split.outside.push({ after: reached, through: range.after });
    if (compareEntries(range.after, range.through) < 0) split.inside.push({ range, by });
    reached = range.through;
  }
  if (compareEntries(reached, through) < 0) split.outside.push({ after: reached, through });
  return split;
}

/** Where the first of these ranges is that ends behind `after`. */
const firstBehind = (ranges: readonly EntryRange[], after: EntryId): number =>
  countLeading(ranges, ({ through }) => compareEntries(through, after) <= 0);

const earlier = (a: EntryId, b: EntryId): EntryId => (compareEntries(a, b) <= 0 ? a : b);
const later = (a: EntryId, b: EntryId): EntryId => (compareEntries(a, b) >= 0 ? a : b);

/** How many entries are certainly in the range: the size of a ledger that ended inside it is not known. */
export function entriesIn({ after, through }: EntryRange): number {
  const first = after.ledgerId === through.ledgerId ? after.entryId : -1;
  return Math.max(0, through.entryId - first);
}
