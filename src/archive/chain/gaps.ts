// Entries of a partition that are in no object, and why: skipped by the subscription, ids without messages, or a real
// loss. Reports a loss only if the runs prove that there were messages; otherwise it reports the entries as unknown.
import { compareEntries } from '../../format/entry-order.ts';
import { countLeading } from '../../lib/count-leading.ts';
import type { EntryId } from '../../ports.ts';
import type { PassedOver } from '../catalog/manifest-link.ts';
import type { MissingManifest, PartitionChain, RunMark } from './follow-runs.ts';
import { type EntryRange, EntryRanges, entriesIn, OwnedRanges, type SplitRange } from './marked-ranges.ts';

/** An object, by the entries that it reaches from and to; `last` is `undefined` where nobody says it. */
export interface StoredRange {
  readonly key: string;
  readonly first: EntryId;
  readonly last: EntryId | undefined;
}

/**
 * Entries that are in no object. `passed-over`: the subscription lost them. `lost`: they were acknowledged, and whatever
 * held them is gone. `unknown`: nobody says it.
 */
export interface Gap {
  readonly cause: 'passed-over' | 'lost' | 'unknown';
  readonly range: EntryRange;
  /** Without those that were kept raw; 0 where ids do not report it. */
  readonly entries: number;
  /** The objects around it. */
  readonly before: StoredRange | undefined;
  readonly behind: StoredRange | undefined;
  readonly passedOver?: PassedOver;
  /** The runs around it, where none says that it was there, and a manifest that is missing between them. */
  readonly hole?: Hole;
  readonly missing?: MissingManifest | undefined;
}

/** Acknowledged between two runs, by none that is known. */
export interface Hole extends EntryRange {
  readonly from: RunMark;
  readonly to: RunMark;
}

export interface PartitionGaps {
  readonly gaps: readonly Gap[];
  /** Ids that runs drained and got no message for: markers, aborted transactions, chunks, compaction. */
  readonly withoutMessage: { readonly places: number; readonly entries: number };
}

interface Piece extends EntryRange {
  readonly before: StoredRange | undefined;
  readonly behind: StoredRange | undefined;
}

/** A chain with what it explains besides, to be searched by entries. */
interface Searchable {
  readonly chain: PartitionChain;
  readonly passedOver: OwnedRanges<PassedOver>;
  readonly holes: OwnedRanges<Hole>;
}

type Found = Pick<Gap, 'range' | 'passedOver' | 'hole' | 'missing'> & {
  readonly cause: Gap['cause'] | 'no-message';
};

/**
 * The gaps of a partition. `stored` is in the order of first entries; what is in `known` was kept raw, or is missed already.
 * `beginsLater`: what is before the first of `stored` may be in objects all the same.
 */
export function findGaps(
  stored: Iterable<StoredRange>,
  known: readonly EntryRange[],
  chains: readonly PartitionChain[],
  missing: readonly MissingManifest[],
  beginsLater = false,
): PartitionGaps {
  const kept = new EntryRanges();
  for (const range of known) kept.add(range, undefined);
  const searchable = chains.map(
    (chain): Searchable => ({
      chain,
      passedOver: new OwnedRanges(
        chain.passedOver.map((owner) => ({ after: owner.from, through: owner.to, owner })),
      ),
      holes: new OwnedRanges(
        holesOf(chain).map((owner) => ({ after: owner.after, through: owner.through, owner })),
      ),
    }),
  );
  const byStart = missing.toSorted((a, b) => a.startedAtMs - b.startedAtMs);
  const gaps: Gap[] = [];
  let [places, entries] = [0, 0];
  for (const piece of piecesBetween(stored, chains)) {
    const { before, behind } = piece;
    for (const { cause, ...one } of joined(explain(piece, kept.split(piece).outside, searchable, byStart))) {
      if (cause === 'no-message') {
        if (beginsLater && before === undefined) continue;
        places++;
        entries += one.entries;
      } else gaps.push({ cause, ...one, before, behind });
    }
  }
  return { gaps, withoutMessage: { places, entries } };
}

/** What is between objects, and between them and the ends of what the runs acknowledged. */
function* piecesBetween(stored: Iterable<StoredRange>, chains: readonly PartitionChain[]): Generator<Piece> {
  const ends = chains
    .flatMap(({ acknowledged: { ranges }, passedOver }) => [
      ...[ranges[0]?.after, ranges.at(-1)?.through],
      ...passedOver.flatMap(({ from, to }) => [from, to]),
    ])
    .filter((one) => one !== undefined)
    .sort(compareEntries);
  let reach = ends[0];
  let last: StoredRange | undefined;
  // Where nobody says how far the object reaches, it may be to the next one.
  let isOpen = false;
  for (const object of stored) {
    const { first, last: end } = object;
    const through = justBefore(first);
    if (!isOpen && reach !== undefined && compareEntries(reach, through) < 0)
      yield { after: reach, through, before: last, behind: object };
    if (reach !== undefined && compareEntries(end ?? first, reach) <= 0) continue;
    reach = end ?? first;
    isOpen = end === undefined;
    last = object;
  }
  const through = ends.at(-1);
  if (!isOpen && reach !== undefined && through !== undefined && compareEntries(reach, through) < 0)
    yield { after: reach, through, before: last, behind: undefined };
}

/** Between what runs acknowledged, where the run behind it is the later one: else the topic was made anew in between. */
function holesOf({ acknowledged: { ranges } }: PartitionChain): Hole[] {
  return ranges.slice(1).flatMap(({ after: through, first: to }, i) => {
    const { through: after, last: from } = ranges[i] as (typeof ranges)[number];
    return from.startedAtMs <= to.startedAtMs ? [{ after, through, from, to }] : [];
  });
}

/** Every part of the piece with its cause. */
function explain(
  piece: Piece,
  parts: readonly EntryRange[],
  chains: readonly Searchable[],
  missing: readonly MissingManifest[],
): Found[] {
  const found: Found[] = [];
  let rest = parts;
  const take = <By extends EntryRange>(
    split: (range: EntryRange) => SplitRange<By>,
    judge: (range: EntryRange, by: By) => Omit<Found, 'range'> | undefined,
  ) => {
    rest = rest.flatMap((part) => {
      const { inside, outside } = split(part);
      for (const { range, by } of inside) {
        const cause = judge(range, by);
        if (cause !== undefined) found.push({ ...cause, range });
      }
      return outside;
    });
  };
  for (const { passedOver } of chains)
    take(passedOver.split, (_, { owner }) => ({ cause: 'passed-over', passedOver: owner }));
  for (const { chain } of chains) take(chain.drained.split, () => ({ cause: 'no-message' }));
  for (const { chain } of chains)
    take(chain.doubted.split, (range) => (entriesIn(range) > 0 ? { cause: 'lost' } : undefined));
  for (const { chain } of chains) take(chain.acknowledged.split, () => ({ cause: 'no-message' }));
  for (const { chain, holes } of chains)
    take(holes.split, (range, { owner }) => judgeHole(range, owner, piece, chain, missing));
  for (const range of rest)
    if (piece.after.ledgerId === piece.through.ledgerId) found.push({ cause: 'unknown', range });
  return found;
}

/**
 * What was acknowledged between two runs, and is in no object. `undefined`: there may have been nothing at all. `missing` by
 * when their runs began.
 */
function judgeHole(
  range: EntryRange,
  hole: Hole,
  piece: Piece,
  { isInOrder }: PartitionChain,
  missing: readonly MissingManifest[],
): Omit<Found, 'range'> | undefined {
  const { from, to } = hole;
  const next = missing[countLeading(missing, (one) => one.startedAtMs < from.startedAtMs)];
  const gone = next !== undefined && next.startedAtMs <= to.startedAtMs ? next : undefined;
  const isInRange = (id: EntryId | undefined) =>
    id !== undefined && compareEntries(id, range.after) > 0 && compareEntries(id, range.through) <= 0;
  // A ledger that was read to its end, closed and trimmed: nobody knows where it ended.
  const isCertain = entriesIn(range) > 0 || isInRange(from.last) || isInRange(to.last);
  if (!isCertain) return gone && { cause: 'unknown', hole, missing: gone };
  if (gone !== undefined) return { cause: 'lost', hole, missing: gone };
  const beginsInHole = compareEntries(piece.through, hole.through) < 0;
  const hasObjects = beginsInHole || compareEntries(piece.after, hole.after) > 0;
  // The run behind the hole looked, and called nothing passed over: then there were objects, to the hole's end.
  const hasSeenMore = to.hasCompared && (!hasObjects || (isInOrder && !beginsInHole));
  return { cause: hasSeenMore ? 'lost' : 'unknown', hole };
}

/** Parts with one cause that only raw entries hold apart are one gap. */
function joined(found: readonly Found[]): (Found & { readonly entries: number })[] {
  const all: (Found & { readonly entries: number })[] = [];
  const inOrder = found.toSorted((a, b) => compareEntries(a.range.after, b.range.after));
  for (const one of inOrder) {
    const before = all.at(-1);
    const entries = entriesIn(one.range);
    const isSame =
      before?.cause === one.cause && before.passedOver === one.passedOver && before.hole === one.hole;
    if (before === undefined || !isSame) all.push({ ...one, entries });
    else {
      const range = { after: before.range.after, through: one.range.through };
      all.splice(-1, 1, { ...before, range, entries: before.entries + entries });
    }
  }
  return all;
}

/** The entry before this one, as far as its ledger has one. */
export const justBefore = ({ ledgerId, entryId }: EntryId): EntryId => ({ ledgerId, entryId: entryId - 1 });
