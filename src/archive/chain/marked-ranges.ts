// Ranges of entries of one partition, in little memory where they follow on each other: what touches is one range. At
// both ends a range keeps a mark, so that a hole between two knows its edges.
import { compareEntries } from '../../format/entry-order.ts';
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
    const from = this.#firstReaching(after);
    let to = from;
    for (; to < this.#ranges.length; to++) {
      const one = this.#ranges[to] as MarkedRange<Mark>;
      if (compareEntries(one.after, through) > 0) break;
      added = this.#joined(one, added);
    }
    this.#ranges.splice(from, to - from, added);
  }

  /** What of the range is in the set, and what is not. */
  readonly split = (range: EntryRange): SplitRange => {
    let outside: EntryRange[] = [range];
    const inside: EntryRange[] = [];
    for (let at = this.#firstReaching(range.after); at < this.#ranges.length; at++) {
      const one = this.#ranges[at] as MarkedRange<Mark>;
      if (compareEntries(one.after, range.through) >= 0) break;
      const [last] = outside.splice(-1, 1);
      const split = splitRange(one)(last as EntryRange);
      inside.push(...split.inside);
      outside = [...outside, ...split.outside];
      if (split.outside.length === 0) break;
    }
    return { inside, outside };
  };

  /** Where the first range is that ends at `after` or behind it. */
  #firstReaching(after: EntryId): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareEntries((this.#ranges[middle] as EntryRange).through, after) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

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

/** What of a range is in another one, and what is not. */
export interface SplitRange {
  readonly inside: EntryRange[];
  readonly outside: EntryRange[];
}

/** Splits ranges by this one. */
export function splitRange(by: EntryRange): (range: EntryRange) => SplitRange {
  return (range) => {
    const [after, through] = [later(by.after, range.after), earlier(by.through, range.through)];
    if (compareEntries(after, through) >= 0) return { inside: [], outside: [range] };
    const rest = [
      { after: range.after, through: after },
      { after: through, through: range.through },
    ];
    const outside = rest.filter((one) => compareEntries(one.after, one.through) < 0);
    return { inside: [{ after, through }], outside };
  };
}

const earlier = (a: EntryId, b: EntryId): EntryId => (compareEntries(a, b) <= 0 ? a : b);
const later = (a: EntryId, b: EntryId): EntryId => (compareEntries(a, b) >= 0 ? a : b);

/** How many entries are in the range for sure: of a ledger that ended somewhere in it nobody knows how many it had. */
export function entriesIn({ after, through }: EntryRange): number {
  const first = after.ledgerId === through.ledgerId ? after.entryId : -1;
  return Math.max(0, through.entryId - first);
}
