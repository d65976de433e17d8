// Memory for the next entry of one partition: reserved before the entry is requested, released once a file has its
// records. Estimates the size from earlier entries; requests nothing itself.
import type { MemoryBudget, Reservation } from '../memory-budget.ts';

/** A large entry counts a little less with each smaller one after it. */
const FORGETTING = 0.95;

/** One for each partition. */
export class EntryRoom {
  readonly #budget: MemoryBudget;
  /** The expected size of the next entry's records: that of the largest recent ones. */
  #expectedBytes: number | undefined;
  #reservation: Reservation | undefined;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /**
   * Reserves room for the next entry, unless it is reserved; returns a promise if it has to wait, at most until
   * `signal` aborts.
   */
  reserve(signal: AbortSignal): Promise<undefined> | undefined {
    if (this.#reservation !== undefined) return undefined;
    const reserving = this.#budget.reserve(this.#expectedBytes ?? this.#budget.likelyEntryBytes, signal);
    if (!(reserving instanceof Promise)) {
      this.#reservation = reserving;
      return undefined;
    }
    return reserving.then((reservation) => {
      this.#reservation = reservation;
      return undefined;
    });
  }

  /** The entry is still in transit. */
  renew(): void {
    if (this.#reservation !== undefined) this.#reservation = this.#budget.renew(this.#reservation);
  }

  /** An entry arrived whose records have so many bytes. */
  measure(bytes: number): void {
    this.#expectedBytes = Math.max(bytes, Math.ceil((this.#expectedBytes ?? 0) * FORGETTING));
  }

  /** Releases the room: the records are in a file, or no entry came. May be repeated. */
  free(entryBytes?: number): void {
    if (this.#reservation !== undefined) this.#budget.endReservation(this.#reservation, entryBytes);
    this.#reservation = undefined;
  }
}
