// Which acknowledgements say "these entries" to the broker. On Exclusive and Failover that is one cumulative
// acknowledgement; but never one that goes over a chunk whose message is not complete: the chunk would be lost.

import { compareEntries, entryKey } from '../../entry-order.ts';
import type { EntryId } from '../../ports.ts';

/** What to send: at most one cumulative position and a list of entries. */
export interface AckSteps {
  readonly cumulative: EntryId | undefined;
  readonly individual: readonly EntryId[];
}

interface Barrier {
  readonly first: EntryId;
  /** The last entry handed out before the first chunk. */
  readonly before: EntryId | undefined;
}

/**
 * Knows what one partition has handed out, as far as acknowledging needs it. It outlives reconnects: what was handed
 * out before one may be acknowledged after it.
 */
export class AckPlan {
  readonly #isCumulative: boolean;
  /** Incomplete chunked messages by uuid. */
  readonly #barriers = new Map<string, Barrier>();
  /** All entries of a joined message, by the key of its last one. */
  readonly #joined = new Map<string, readonly EntryId[]>();
  /** Handed out since there is a barrier, in order. */
  #sinceBarrier: EntryId[] = [];
  #lastHandedOut: EntryId | undefined;
  #lastAcknowledged: EntryId | undefined;

  constructor(isCumulative: boolean) {
    this.#isCumulative = isCumulative;
  }

  /** Whether something handed out is not acknowledged (Exclusive and Failover). */
  get hasOpen(): boolean {
    if (this.#lastHandedOut === undefined) return false;
    return (
      this.#lastAcknowledged === undefined || compareEntries(this.#lastHandedOut, this.#lastAcknowledged) > 0
    );
  }

  /** A chunk of an incomplete message was seen. */
  sawChunk(uuid: string, id: EntryId): void {
    if (this.#isCumulative && !this.#barriers.has(uuid)) {
      this.#barriers.set(uuid, { first: id, before: this.#lastHandedOut });
    }
  }

  /** An entry is handed out; `joined`: the entries of the chunked message that it completes. */
  handOut(id: EntryId, joined?: { readonly uuid: string; readonly ids: readonly EntryId[] }): void {
    if (joined !== undefined) {
      if (joined.ids.length > 1) this.#joined.set(entryKey(id), joined.ids);
      this.#barriers.delete(joined.uuid);
    }
    const last = this.#sinceBarrier.at(-1);
    const isTracked = this.#isCumulative && (this.#barriers.size > 0 || last !== undefined);
    if (isTracked && (last === undefined || compareEntries(id, last) > 0)) this.#sinceBarrier.push(id);
    this.#lastHandedOut = id;
  }

  /** Deliveries begin afresh; what was handed out is forgotten. */
  restart(): void {
    this.#sinceBarrier = [];
    this.#lastHandedOut = undefined;
  }

  /** How to acknowledge `entries`, given in delivery order. */
  steps(entries: readonly EntryId[]): AckSteps {
    const last = entries.at(-1);
    if (last === undefined) return { cumulative: undefined, individual: [] };
    if (!this.#isCumulative) return { cumulative: undefined, individual: this.#withChunks(entries) };
    const barrier = this.#firstBarrier();
    if (barrier === undefined || compareEntries(last, barrier.first) < 0) {
      return { cumulative: last, individual: [] };
    }
    const behind = [...this.#sinceBarrier, ...entries].filter((id) => compareEntries(id, last) <= 0);
    return { cumulative: barrier.before, individual: this.#withChunks(behind) };
  }

  /** The broker has the acknowledgement of `entries`. */
  acknowledged(entries: readonly EntryId[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    if (!this.#isCumulative) {
      for (const id of entries) this.#joined.delete(entryKey(id));
      return;
    }
    // Chunks that were given up stand before what is acknowledged already.
    if (this.#lastAcknowledged === undefined || compareEntries(last, this.#lastAcknowledged) > 0) {
      this.#lastAcknowledged = last;
    }
    this.#sinceBarrier = this.#sinceBarrier.filter((id) => compareEntries(id, last) > 0);
    for (const [key, ids] of this.#joined) {
      if (compareEntries(ids.at(-1) as EntryId, last) <= 0) this.#joined.delete(key);
    }
  }

  #firstBarrier(): Barrier | undefined {
    let first: Barrier | undefined;
    for (const barrier of this.#barriers.values()) {
      if (first === undefined || compareEntries(barrier.first, first.first) < 0) first = barrier;
    }
    return first;
  }

  /** Each entry once, joined ones with all their chunks. */
  #withChunks(entries: readonly EntryId[]): EntryId[] {
    const all = new Map<string, EntryId>();
    for (const entry of entries) {
      for (const id of this.#joined.get(entryKey(entry)) ?? [entry]) all.set(entryKey(id), id);
    }
    return [...all.values()];
  }
}
