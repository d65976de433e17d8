// Plans the acknowledgements of entries. On Exclusive and Failover that is one cumulative acknowledgement up to the
// first entry that was not delivered here, and individual ones after it: that entry may be a chunk of an incomplete
// message, or in another consumer's transaction that aborts later. The broker itself closes holes without messages
// (markers, aborted messages, the end of a ledger): `closed` records its position.
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

/** Beyond so many holes, the first ones are forgotten: a later run gets the entries before them. */
const MAX_RANGES = 10_000;

/**
 * The deliveries of one partition, as far as acknowledging needs them. It outlives reconnects: entries delivered
 * before one may be acknowledged after it.
 */
export class AckPlan {
  readonly #isCumulative: boolean;
  /** All entries of a joined message, by the key of its last one. */
  readonly #joined = new Map<string, readonly EntryId[]>();
  /** Partly delivered batches, whose other messages are acknowledged or in a transaction. */
  readonly #partly = new Map<string, EntryAck & { readonly part: BatchPart }>();
  /** Completely delivered entries after `#closedAt`. */
  readonly #handedOut = new EntryRanges();
  /** Everything up to here is known to be acknowledged. */
  #closedAt: EntryId | undefined;
  /** The last one in the broker's order, independent of redeliveries. */
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

  /** Whether a delivered entry is unacknowledged (Exclusive and Failover). */
  get hasOpen(): boolean {
    if (this.#lastHandedOut === undefined) return false;
    return this.#lastAcknowledged === undefined || !isUpTo(this.#lastHandedOut, this.#lastAcknowledged);
  }

  /** Whether a hole keeps the broker's position before individually acknowledged entries; old brokers report none. */
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
   * Whether an entry arrives for the first time after later ones: its transaction was aborted. It is left to a later
   * run, whose files begin with it; by its position alone it would count as stored.
   */
  isTooLate(id: EntryId): boolean {
    if (!this.#isCumulative || this.#furthest === undefined) return false;
    if (!isUpTo(id, this.#furthest)) return false;
    if (this.#closedAt !== undefined && isUpTo(id, this.#closedAt)) return false;
    return !this.#handedOut.has(id) && !this.#isPartly(id);
  }

  /**
   * The messages of a batch to deliver: never more than the first time, because unstored ones would be acknowledged.
   */
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
    // A completely delivered entry is acknowledged as a whole, unless deliveries have restarted since.
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
    // Abandoned chunks precede entries that are already acknowledged.
    this.#lastAcknowledged = laterEntry(last, this.#lastAcknowledged);
    for (const [key, ids] of this.#joined) {
      if (!isUpTo(ids.at(-1) as EntryId, last)) continue;
      for (const id of ids) this.#handedOut.add(id);
      this.#joined.delete(key);
    }
    for (const [key, one] of this.#partly) if (isUpTo(one, last)) this.#partly.delete(key);
    if (cumulative !== undefined) this.closed(cumulative);
  }

  /** How far `covered` extends the acknowledged entries without a hole. */
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
