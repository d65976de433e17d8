// The bytes that a run may hold: those of open and leaving files, and of entries that are about to be received. It
// decides when reading waits and whose buffer leaves early; it never drops anything.
import type { Clock } from './ports.ts';

/** Smallest part that COS takes, but for the last one: a smaller buffer cannot leave early. */
export const MIN_PART_BYTES = 1_048_576;

/** As many bytes as all uploads side by side need, and some in line: more would only make the function larger. */
const MAX_UPLOADING_BYTES = 64 * 1_048_576;

/** Nobody knows how large the first entry is. Brokers take messages of up to 5 MiB if nobody has changed that. */
const FIRST_ENTRY_BYTES = 5 * 1_048_576;

/** Who does not get the entry that room was kept for makes nobody else wait longer than this, and at most twice that. */
const RESERVATION_EXPIRY_MS = 500;

/** An open buffer that can leave as a part before its file is full. */
export interface Spillable {
  /** Bytes that would leave. */
  spillableBytes(): number;
  spill(): void;
}

/** Room that is kept for an entry. */
export interface Reservation {
  readonly bytes: number;
  /** When it was made, in looks at who is late. */
  readonly look: number;
}

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

export class MemoryBudget {
  readonly limitBytes: number;
  readonly #clock: Clock;
  readonly #onPassed: (bytes: number) => void;
  /** Held since they were told last. */
  #passedBytes = 0;
  #openBytes = 0;
  #uploadingBytes = 0;
  /** Reserved since the last look at who is late, and in the time between that look and the one before. */
  #reservedBytes = 0;
  #reservedBeforeBytes = 0;
  #looks = 0;
  #looking: AbortController | undefined;
  #largestEntryBytes: number | undefined;
  #peakBytes = 0;
  readonly #spillables = new Set<Spillable>();
  /** First come, first served: a large entry is not passed by small ones for ever. */
  #line: Waiting[] = [];

  /** `onPassed` is told of all bytes that came in, by `reportPassed`. */
  constructor(limitBytes: number, clock: Clock, onPassed: (bytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#clock = clock;
    this.#onPassed = onPassed;
  }

  /** What open and leaving files hold. */
  get usedBytes(): number {
    return this.#openBytes + this.#uploadingBytes;
  }

  /** The most that files ever held. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** What to reserve for an entry of a partition of which nothing is known but what others were like. */
  get likelyEntryBytes(): number {
    return this.#largestEntryBytes ?? FIRST_ENTRY_BYTES;
  }

  register(spillable: Spillable): void {
    this.#spillables.add(spillable);
  }

  unregister(spillable: Spillable): void {
    this.#spillables.delete(spillable);
  }

  /** Bytes were added to an open buffer. */
  hold(bytes: number): void {
    this.#passedBytes += bytes;
    this.#openBytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.usedBytes);
  }

  /** Bytes of an open buffer are on their way to the store: they will be freed without further reading. */
  leave(bytes: number): void {
    this.#openBytes -= bytes;
    this.#uploadingBytes += bytes;
  }

  /** Bytes that were leaving are gone. */
  free(bytes: number): void {
    this.#uploadingBytes -= bytes;
    this.#serve();
  }

  /**
   * To be called before an entry is asked for, when the one before is not in use any more: garbage that is collected
   * now is out of the way of what comes.
   */
  reportPassed(): void {
    this.#onPassed(this.#passedBytes);
    this.#passedBytes = 0;
  }

  /**
   * Keeps room for an entry of about `bytes` before it is asked for, until `endReservation`. At once where there is
   * room; else in turn when there is, or when `signal` aborts. When nothing that is held can leave by itself, and no
   * entry is awaited, one goes on all the same: else none ever would.
   */
  reserve(bytes: number, signal: AbortSignal): Reservation | Promise<Reservation> {
    if (this.#line.length === 0 && this.#fits(bytes)) return this.#take(bytes);
    return this.#waitInLine(bytes, signal);
  }

  /** Ends what `reserve` began. `entryBytes`: the entry came, and was that large. */
  endReservation({ bytes, look }: Reservation, entryBytes = 0): void {
    if (entryBytes > (this.#largestEntryBytes ?? 0)) this.#largestEntryBytes = entryBytes;
    if (look === this.#looks) this.#reservedBytes -= bytes;
    else if (look === this.#looks - 1) this.#reservedBeforeBytes -= bytes;
    this.#serve();
  }

  #take(bytes: number): Reservation {
    this.#reservedBytes += bytes;
    return { bytes, look: this.#looks };
  }

  #fits(bytes: number): boolean {
    const bytesWithIt = this.usedBytes + this.#reservedBytes + this.#reservedBeforeBytes + bytes;
    return bytesWithIt <= this.limitBytes && this.#uploadingBytes <= MAX_UPLOADING_BYTES;
  }

  #waitInLine(bytes: number, signal: AbortSignal): Promise<Reservation> {
    return new Promise((resolve) => {
      const go = () => {
        signal.removeEventListener('abort', onAbort);
        resolve(this.#take(bytes));
      };
      const waiting = { bytes, go };
      const onAbort = () => {
        this.#line = this.#line.filter((one) => one !== waiting);
        go();
        this.#serve();
      };
      this.#line.push(waiting);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      this.#serve();
      if (this.#line.length > 0) this.#lookForLate();
    });
  }

  #serve(): void {
    for (let first = this.#line[0]; first !== undefined; first = this.#line[0]) {
      if (!this.#mayGo(first.bytes)) return;
      this.#line.shift();
      first.go();
    }
    this.#looking?.abort();
    this.#looking = undefined;
  }

  #mayGo(bytes: number): boolean {
    if (this.#fits(bytes)) return true;
    while (this.#openBytes > this.limitBytes / 2) {
      const largest = this.#largest();
      if (largest === undefined) break;
      largest.spill();
    }
    return this.#uploadingBytes === 0 && this.#reservedBytes + this.#reservedBeforeBytes === 0;
  }

  /** While somebody waits: forgets reservations whose entries have not come for a while. */
  #lookForLate(): void {
    if (this.#looking !== undefined) return;
    this.#looking = new AbortController();
    this.#clock.sleep(RESERVATION_EXPIRY_MS, this.#looking.signal).then(
      () => {
        this.#looking = undefined;
        this.#looks++;
        this.#reservedBeforeBytes = this.#reservedBytes;
        this.#reservedBytes = 0;
        this.#serve();
        if (this.#line.length > 0) this.#lookForLate();
      },
      () => undefined,
    );
  }

  #largest(): Spillable | undefined {
    let best: Spillable | undefined;
    let bestBytes = MIN_PART_BYTES - 1;
    for (const one of this.#spillables) {
      const bytes = one.spillableBytes();
      if (bytes > bestBytes) {
        best = one;
        bestBytes = bytes;
      }
    }
    return best;
  }
}
