// The position of a subscription in a topic: all up to the mark-delete place is acknowledged, and above it single
// entries are. Counts in places of the topic (0, 1, 2 …), not in ledgers; knows no consumers.

/** The acknowledged part of a topic, as Pulsar's managed cursor keeps it. */
export class Cursor {
  /** The last place up to which all is acknowledged; -1: nothing is. */
  markDelete: number;
  readonly #acked = new Set<number>();
  /** Batches that are acknowledged in part: bit n is message n, set while it is not. */
  readonly #parts = new Map<number, bigint>();

  constructor(markDelete: number) {
    this.markDelete = markDelete;
  }

  isAcked(place: number): boolean {
    return place <= this.markDelete || this.#acked.has(place);
  }

  /** Acknowledges one entry. */
  ack(place: number): void {
    if (place <= this.markDelete) return;
    this.#parts.delete(place);
    this.#acked.add(place);
    this.#advance();
  }

  /** Acknowledges the messages of a batch that are not among `left`; the last of them acknowledges the entry. */
  ackPart(place: number, left: bigint): void {
    const remaining = left & (this.#parts.get(place) ?? left);
    if (remaining === 0n) this.ack(place);
    else this.#parts.set(place, remaining);
  }

  /** The messages left of a batch that is acknowledged in part. */
  partOf(place: number): bigint | undefined {
    return this.#parts.get(place);
  }

  /** Acknowledges everything up to `place`. A lower one than before changes nothing. */
  ackCumulative(place: number): void {
    if (place <= this.markDelete) return;
    for (const acked of this.#acked) if (acked <= place) this.#acked.delete(acked);
    this.markDelete = place;
    this.#advance();
  }

  /** Forgets what was acknowledged: the next entry to deliver is the one after `markDelete`. */
  reset(markDelete: number): void {
    this.#acked.clear();
    this.#parts.clear();
    this.markDelete = markDelete;
  }

  /** Places above mark-delete that are acknowledged one by one, ascending. */
  individuallyAcked(): number[] {
    return [...this.#acked].sort((a, b) => a - b);
  }

  /** Entries not acknowledged, of a topic with `size` entries. */
  backlog(size: number): number {
    return size - 1 - this.markDelete - this.#acked.size;
  }

  #advance(): void {
    while (this.#acked.delete(this.markDelete + 1)) this.markDelete++;
  }
}
