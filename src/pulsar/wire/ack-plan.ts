// Which acknowledgements say "these entries" to the broker. On Exclusive and Failover that is one cumulative
// acknowledgement as far as everything was handed out here, and single ones behind the first entry that was not: it may
// be a chunk of an incomplete message, or in a transaction of another consumer that is aborted later. Holes that are
// nobody's (markers, aborted messages, the end of a ledger) the broker closes by itself: `closed` takes how far it is.
import { formatEntry, isUpTo, laterEntry } from '../../format/entry-order.ts';
import type { EntryId } from '../../ports.ts';
import { EntryRanges } from './entry-ranges.ts';
import type { BatchPart } from './protocol/batch-part.ts';

/** An entry to acknowledge; with `part`, only those of its messages. */
export interface EntryAck extends EntryId {
  readonly part?: BatchPart;
}

/** What to send: at most one cumulative position and a list of entries. */
export interface AckSteps {
  readonly cumulative: EntryId | undefined;
  readonly individual: readonly EntryAck[];
}

/** Beyond so many holes, the first ones are forgotten: entries before them are handed out by a later run. */
const MAX_RANGES = 10_000;

/**
 * Knows what one partition has handed out, as far as acknowledging needs it. It outlives reconnects: what was handed
 * out before one may be acknowledged after it.
 */
export class AckPlan {
  readonly #isCumulative: boolean;
  /** All entries of a joined message, by the key of its last one. */
  readonly #joined = new Map<string, readonly EntryId[]>();
  /** Batches that were handed out in part, the others' messages being acknowledged or in a transaction. */
  readonly #partly = new Map<string, EntryAck & { readonly part: BatchPart }>();
  /** Handed out in whole, behind `#closedAt`. */
  readonly #handedOut = new EntryRanges();
  /** Everything up to here is acknowledged, as far as is known. */
  #closedAt: EntryId | undefined;
  /** The last one in the broker's order, whatever came again since. */
  #furthest: EntryId | undefined;
  #lastHandedOut: EntryId | undefined;
  #lastAcknowledged: EntryId | undefined;

  constructor(isCumulative: boolean) {
    this.#isCumulative = isCumulative;
  }

  /** The last entry that was handed out, in the broker's order. */
  get furthest(): EntryId | undefined {
    return this.#furthest;
  }

  /** Whether something handed out is not acknowledged (Exclusive and Failover). */
  get hasOpen(): boolean {
    if (this.#lastHandedOut === undefined) return false;
    return this.#lastAcknowledged === undefined || !isUpTo(this.#lastHandedOut, this.#lastAcknowledged);
  }

  /** Whether a hole keeps the position of the broker before what was acknowledged singly; old ones report none. */
  waitsForHole({ individual }: AckSteps): boolean {
    return this.#isCumulative && individual.length > 0 && this.#closedAt !== undefined;
  }

  /** The broker says that everything up to `position` is acknowledged. */
  closed(position: EntryId): void {
    if (this.#closedAt !== undefined && isUpTo(position, this.#closedAt)) return;
    this.#closedAt = position;
    this.#handedOut.dropThrough(position);
  }

  /**
   * Whether an entry comes for the first time though later ones were handed out before it: a transaction that had it
   * was aborted. It is left to a later run, whose files begin with it; who goes by positions takes it for stored.
   */
  isTooLate(id: EntryId): boolean {
    if (!this.#isCumulative || this.#furthest === undefined) return false;
    if (!isUpTo(id, this.#furthest)) return false;
    if (this.#closedAt !== undefined && isUpTo(id, this.#closedAt)) return false;
    return !this.#handedOut.has(id) && !this.#isPartly(id);
  }

  /** What may be handed out of a batch: never more than the first time, or what was not stored would be acknowledged. */
  partOf(id: EntryId, part: BatchPart | undefined): BatchPart | undefined {
    // Here and below: mostly there is none, and a text for each entry is garbage.
    if (this.#partly.size === 0) return part;
    const before = this.#partly.get(formatEntry(id))?.part;
    return before === undefined ? part : part === undefined ? before : before.and(part);
  }

  /**
   * An entry is handed out. `joined`: the entries of the chunked message that it completes; `part`: of a batch, only
   * these messages.
   */
  handOut(id: EntryId, { joined = [], part }: { joined?: readonly EntryId[]; part?: BatchPart } = {}): void {
    if (joined.length > 1) this.#joined.set(formatEntry(id), joined);
    // What was handed out in whole before is acknowledged in whole, unless deliveries have begun again since.
    const isAgain = this.#lastHandedOut !== undefined && isUpTo(id, this.#lastHandedOut);
    if (part !== undefined && !(isAgain && this.#handedOut.has(id))) {
      this.#partly.set(formatEntry(id), { ...id, part });
      this.#handedOut.delete(id);
    }
    if (!this.#isCumulative) return;
    if (!this.#isPartly(id)) {
      this.#handedOut.add(id);
      this.#handedOut.keepLast(MAX_RANGES);
    }
    this.#furthest = laterEntry(id, this.#furthest);
    this.#lastHandedOut = laterEntry(id, this.#lastHandedOut);
  }

  /** Deliveries begin again. */
  restart(): void {
    this.#lastHandedOut = undefined;
  }

  /** How to acknowledge `entries`, given in delivery order. */
  steps(entries: readonly EntryId[]): AckSteps {
    const last = lastOf(entries);
    if (last === undefined) return { cumulative: undefined, individual: [] };
    if (!this.#isCumulative) return { cumulative: undefined, individual: this.#each(entries) };
    const covered = this.#handedOut.through(last);
    for (const id of entries) if (!this.#isPartly(id)) covered.add(id);
    const joined = [...this.#joined.values()].filter((ids) => isUpTo(ids.at(-1) as EntryId, last)).flat();
    for (const id of joined) covered.add(id);
    const cumulative = this.#withoutHole(covered, last);
    if (cumulative === last && this.#partly.size === 0) return { cumulative, individual: [] };
    const asked = new Set([...entries, ...joined].map(formatEntry));
    const individual: EntryAck[] = [];
    for (const { ledgerId, first, last: end } of covered.ranges) {
      for (let entryId = first; entryId <= end; entryId++) {
        const id = { ledgerId, entryId };
        if (cumulative !== undefined && isUpTo(id, cumulative)) continue;
        if (!this.#isAcknowledged(id) || asked.has(formatEntry(id))) individual.push(id);
      }
    }
    for (const one of this.#partly.values()) if (isUpTo(one, last)) individual.push(one);
    return { cumulative, individual };
  }

  /** The broker has the acknowledgement of `entries`, sent as `steps` said. */
  acknowledged(entries: readonly EntryId[], { cumulative }: AckSteps): void {
    const last = lastOf(entries);
    if (last === undefined) return;
    if (!this.#isCumulative) {
      for (const id of entries) {
        this.#joined.delete(formatEntry(id));
        this.#partly.delete(formatEntry(id));
      }
      return;
    }
    // Chunks that were given up come before what is acknowledged already.
    this.#lastAcknowledged = laterEntry(last, this.#lastAcknowledged);
    for (const [key, ids] of this.#joined) {
      if (!isUpTo(ids.at(-1) as EntryId, last)) continue;
      for (const id of ids) this.#handedOut.add(id);
      this.#joined.delete(key);
    }
    for (const [key, one] of this.#partly) if (isUpTo(one, last)) this.#partly.delete(key);
    if (cumulative !== undefined) this.closed(cumulative);
  }

  /** How far `covered` goes on without a hole from what is acknowledged. */
  #withoutHole(covered: EntryRanges, last: EntryId): EntryId | undefined {
    let upTo = this.#closedAt;
    if (upTo === undefined) return undefined;
    if (isUpTo(last, upTo)) return last;
    const from = upTo;
    for (const { ledgerId, first, last: end } of covered.ranges) {
      if (isUpTo({ ledgerId, entryId: end }, upTo)) continue;
      if (ledgerId !== upTo.ledgerId || first > upTo.entryId + 1) break;
      upTo = { ledgerId, entryId: end };
    }
    if (upTo === from) return undefined;
    return isUpTo(last, upTo) ? last : upTo;
  }

  #isPartly(id: EntryId): boolean {
    return this.#partly.size > 0 && this.#partly.has(formatEntry(id));
  }

  #isAcknowledged(id: EntryId): boolean {
    return this.#lastAcknowledged !== undefined && isUpTo(id, this.#lastAcknowledged);
  }

  /** Each entry once, joined ones with all their chunks, and batches with the part that is theirs. */
  #each(entries: readonly EntryId[]): EntryAck[] {
    const all = new Map<string, EntryAck>();
    for (const entry of entries) {
      for (const id of this.#joined.get(formatEntry(entry)) ?? [entry]) {
        all.set(formatEntry(id), this.#partly.get(formatEntry(id)) ?? id);
      }
    }
    return [...all.values()];
  }
}

function lastOf(entries: readonly EntryId[]): EntryId | undefined {
  return entries.reduce<EntryId | undefined>((last, id) => laterEntry(id, last), undefined);
}
