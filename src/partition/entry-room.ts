// Room in memory for the next entry of one partition: reserved before it is asked for, given back once a file holds its
// records. Guesses its size from those before it, and asks for nothing itself.
import type { MemoryBudget, Reservation } from '../memory-budget.ts';

/** A large entry counts a little less with each smaller one after it. */
const FORGETTING = 0.95;

/** One for each partition. */
export class EntryRoom {
  readonly #budget: MemoryBudget;
  /** The records of the next entry are expected to be so large: as the largest of the last ones. */
  #expectedBytes: number | undefined;
  #reservation: Reservation | undefined;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /**
   * Reserves room for the next entry, unless it has it; a promise where that has to wait, which it does until `signal` is
   * aborted.
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

  /** The entry is on its way still. */
  renew(): void {
    if (this.#reservation !== undefined) this.#reservation = this.#budget.renew(this.#reservation);
  }

  /** An entry came whose records have so many bytes. */
  measure(bytes: number): void {
    this.#expectedBytes = Math.max(bytes, Math.ceil((this.#expectedBytes ?? 0) * FORGETTING));
  }

  /** Gives the room back: of an entry whose records are in a file, or of none. May be repeated. */
  free(entryBytes?: number): void {
    if (this.#reservation !== undefined) this.#budget.endReservation(this.#reservation, entryBytes);
    this.#reservation = undefined;
  }
}
