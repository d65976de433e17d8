// How far the subscription is in one partition: what the broker reported when the consumer came and left, what arrived,
// and what is acknowledged. It asks no broker; others hand in the answers.
import { compareEntries, isUpTo, laterEntry, mostEntriesBetween } from '../../format/entry-order.ts';
import type { EntryId, RunPositions, SubscriptionPosition } from '../../ports.ts';
import type { LastPositions } from './broker-consumer.ts';

/** The positions of one partition, over all consumers that this run has there. */
export class Positions {
  /** The bound of the run; see SourcePartition. */
  end: EntryId | null | 'unknown' = 'unknown';
  readonly #isOrdered: boolean;
  readonly #isExclusive: boolean;
  /** Exclusive, and there was a consumer all the time: nobody else can have had the subscription. */
  #isAlone: boolean;
  #atOpen: LastPositions | undefined;
  #atClose: LastPositions | undefined;
  #passedOver: RunPositions['passedOver'];
  /** What the broker had acknowledged when the consumer came back, and nobody had got from here. */
  #skipped: RunPositions['passedOver'];
  /** How many entries came. */
  #arrived = 0;
  #firstArrived: EntryId | undefined;
  /** The last entry that this consumer got. */
  #lastArrived: EntryId | undefined;
  /** The last one, in the broker's order, of all that came. */
  #furthest: EntryId | undefined;
  #acknowledged: EntryId | undefined;

  constructor({ isOrdered, isExclusive }: { readonly isOrdered: boolean; readonly isExclusive: boolean }) {
    this.#isOrdered = isOrdered;
    this.#isExclusive = isExclusive;
    this.#isAlone = isExclusive;
  }

  /** What the broker reports before an entry is asked for: the bound of the run. */
  opened(positions: LastPositions): void {
    const { last, acknowledged } = positions;
    this.#atOpen = positions;
    this.#acknowledged = acknowledged;
    this.end = last === undefined || isAllAcknowledged(positions) ? null : last;
  }

  /** What the broker reports at the end, if it does. */
  closed(positions: LastPositions | undefined): void {
    this.#atClose = positions;
  }

  /** Another consumer, or the same one once more: what came and is not acknowledged comes again. */
  restarting(): void {
    this.#lastArrived = undefined;
  }

  /** There is no consumer for a while: another run may have the subscription. */
  away(): void {
    this.#isAlone = false;
  }

  /** An entry came. Returns whether it is further than all before. */
  arrived(id: EntryId): boolean {
    this.#arrived++;
    this.#lastArrived = id;
    this.#firstArrived ??= id;
    if (this.#furthest !== undefined && isUpTo(id, this.#furthest)) return false;
    this.#furthest = id;
    return true;
  }

  /** The broker has the acknowledgement of an entry, and perhaps of all before it. */
  acknowledged(id: EntryId): void {
    this.#acknowledged = laterEntry(id, this.#acknowledged);
  }

  /** Up to here nothing is to come any more, whatever of it is acknowledged. */
  get reached(): EntryId | undefined {
    if (this.#lastArrived === undefined) return this.#acknowledged;
    return laterEntry(this.#lastArrived, this.#acknowledged);
  }

  /**
   * How many more entries are wanted at most. Nothing behind the run's range is read ahead; a caller that goes on there
   * waits for each entry (`isWaited`).
   */
  wantedEntries(isWaited: boolean): number {
    const last = this.#lastArrived;
    if (!this.#isOrdered || last === undefined || this.end === null || this.end === 'unknown') {
      return Number.POSITIVE_INFINITY;
    }
    const most = mostEntriesBetween(last, this.end);
    return most === 0 && isWaited ? Number.POSITIVE_INFINITY : most;
  }

  /** Whether the run's range ends with the entry, or before it. */
  isAtEnd(id: EntryId): boolean {
    const { end } = this;
    return end !== null && end !== 'unknown' && isUpTo(end, id);
  }

  /** Whether the broker has everything of the run's range acknowledged. */
  isThrough(acknowledged: EntryId | undefined): boolean {
    const { end } = this;
    if (acknowledged === undefined || end === null || end === 'unknown') return false;
    return isUpTo(end, acknowledged);
  }

  /** Whether the broker's position is the one that this run left. Else another consumer has acknowledged something. */
  isOurs(acknowledged: EntryId | undefined): boolean {
    if (acknowledged === undefined || this.#acknowledged === undefined) return false;
    // Before ours: there is a hole, and nobody knows what others have acknowledged behind it.
    return compareEntries(acknowledged, this.#acknowledged) === 0;
  }

  /** Whether somebody may have moved the subscription in the course of the run. */
  get isInQuestion(): boolean {
    return this.isCutShort || this.#skipped !== undefined;
  }

  /** The end of the run's range has not come, and nobody else can have had the subscription. */
  get isCutShort(): boolean {
    const { end } = this;
    if (!this.#isAlone || end === null || end === 'unknown') return false;
    return this.#furthest === undefined || compareEntries(this.#furthest, end) < 0;
  }

  /**
   * What the broker has acknowledged at the end without having sent it, of the `entriesAtOpen` that it had. It means
   * nothing if a reader gets no message of it: then there were markers and the like. A reader gets what earlier runs
   * acknowledged singly, too, and a hole before it may have closed since: so there is an answer only where there was none
   * of that, and not all that was left has come.
   */
  neverCame(now: LastPositions | undefined, entriesAtOpen: number | undefined): RunPositions['passedOver'] {
    const from = this.#furthest ?? this.#atOpen?.acknowledged;
    const to = now?.acknowledged;
    if (from === undefined || to === undefined || isUpTo(to, from)) return undefined;
    if (entriesAtOpen === undefined || this.#arrived >= entriesAtOpen) return undefined;
    return this.#hasHoles(entriesAtOpen) ? undefined : { from, to };
  }

  /**
   * The consumer came back, and `acknowledged` is the broker's position: further than this run's only if another run was at
   * work, or somebody moved the subscription. `handedOut`: the last entry that this run has, and stores. Not on Failover,
   * where what is on its way to the store may be read by another instance, too.
   */
  cameBack(acknowledged: EntryId | undefined, handedOut: EntryId | undefined): void {
    const ours = this.#acknowledged;
    const from = handedOut === undefined ? ours : laterEntry(handedOut, ours);
    if (!this.#isExclusive || this.#skipped !== undefined) return;
    if (from === undefined || acknowledged === undefined || isUpTo(acknowledged, from)) return;
    this.#skipped = { from, to: acknowledged, wasAway: true };
  }

  /** What was skipped while the consumer was away, if it means something; see `neverCame`. */
  skippedWhileAway(entriesAtOpen: number | undefined): RunPositions['passedOver'] {
    return this.#hasHoles(entriesAtOpen) ? undefined : this.#skipped;
  }

  /** Whether earlier runs may have acknowledged entries singly, as far as the counts say. */
  #hasHoles(entriesAtOpen: number | undefined): boolean {
    const acknowledged = this.#atOpen?.acknowledged;
    const { end } = this;
    if (acknowledged === undefined || end === null || end === 'unknown') return true;
    if (entriesAtOpen === undefined) return true;
    const most = mostEntriesBetween(acknowledged, end);
    return Number.isFinite(most) && most > entriesAtOpen;
  }

  /** Somebody moved the subscription over messages in the course of the run. */
  passedOver(range: RunPositions['passedOver']): void {
    this.#passedOver = range;
  }

  /** Complete once `closed` was called. */
  report(): RunPositions {
    const begin = positionOf(this.#atOpen);
    const first = this.#isOrdered ? this.#firstArrived : undefined;
    const beforeFirst = first && { ledgerId: first.ledgerId, entryId: first.entryId - 1 };
    // Where the broker reports positions, only those count: it may have gone further than we acknowledged.
    const acknowledged = this.#isOrdered && begin === undefined ? this.#acknowledged : undefined;
    return {
      begin: begin ?? (beforeFirst && { acknowledged: beforeFirst, last: this.#atOpen?.last }),
      isBeginKnown: begin !== undefined,
      end: positionOf(this.#atClose) ?? (acknowledged && { acknowledged, last: this.#atClose?.last }),
      passedOver: this.#passedOver,
    };
  }
}

/** Whether everything up to the last message is acknowledged, as far as the broker reports both. */
export function isAllAcknowledged({ last, acknowledged }: LastPositions): boolean {
  return last !== undefined && acknowledged !== undefined && isUpTo(last, acknowledged);
}

function positionOf(reported: LastPositions | undefined): SubscriptionPosition | undefined {
  const { acknowledged, last } = reported ?? {};
  return acknowledged && { acknowledged, last };
}
