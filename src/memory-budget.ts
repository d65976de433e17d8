// The bytes that a run may hold: those of open files, of uploads, and of entries that are about to be received. It
// decides when reading waits and whose buffer is uploaded early; it never drops anything.
import type { Clock } from './ports.ts';

/** Smallest part that COS takes, but for the last one: a smaller buffer cannot be uploaded early. */
export const MIN_PART_BYTES = 1_048_576;

/** As many bytes as all uploads side by side need, and some in line: more would only make the function larger. */
const MAX_UPLOADING_BYTES = 64 * 1_048_576;

/** The size of the first entry is not known. By default, brokers take messages of up to 5 MiB. */
const FIRST_ENTRY_BYTES = 5 * 1_048_576;

/**
 * A reservation expires at this age, where somebody waits for room, and no sooner after another one. A partition without
 * a connection, or one that waits to become the active consumer, gets no entry for minutes, and would keep its room from
 * the others for as long. But where all are silent the network may be: then their entries come in the end, all of them.
 */
const RESERVATION_EXPIRY_MS = 1_000;

/** An open buffer that can be uploaded as a part before its file is full. */
export interface Spillable {
  /** Bytes that `spill` would upload. */
  spillableBytes(): number;
  spill(): void;
}

/** Room that is kept for an entry. */
export interface Reservation {
  readonly bytes: number;
  readonly madeAtMs: number;
}

interface Waiting {
  readonly bytes: number;
  readonly reserve: () => void;
}

/** One for all partitions of a run. */
export class MemoryBudget {
  readonly limitBytes: number;
  readonly #clock: Clock;
  readonly #onPassed: (bytes: number) => void;
  /** Held since the last report. */
  #passedBytes = 0;
  #openBytes = 0;
  #uploadingBytes = 0;
  /** Those that have not expired, the oldest first. */
  readonly #reservations = new Set<Reservation>();
  #reservedBytes = 0;
  /** Ends the wait for the next expiry. */
  #expiring: AbortController | undefined;
  #largestEntryBytes: number | undefined;
  #lastExpiryMs = Number.NEGATIVE_INFINITY;
  #peakBytes = 0;
  readonly #spillables = new Set<Spillable>();
  /** First come, first served: small entries do not pass a large one for ever. */
  #line: Waiting[] = [];

  /** `reportPassed` calls `onPassed` with all bytes that came in. */
  constructor(limitBytes: number, clock: Clock, onPassed: (bytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#clock = clock;
    this.#onPassed = onPassed;
  }

  /** What open files and uploads hold. */
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

  /** An open buffer got these bytes. */
  hold(bytes: number): void {
    this.#passedBytes += bytes;
    this.#openBytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.usedBytes);
  }

  /** An open buffer has given these bytes away, to be uploaded: `free` follows without further reading. */
  upload(bytes: number): void {
    this.#openBytes -= bytes;
    this.#uploadingBytes += bytes;
  }

  /** Bytes that were uploading are gone. */
  free(bytes: number): void {
    this.#uploadingBytes -= bytes;
    this.#serve();
  }

  /**
   * Call it before an entry is asked for, when the one before is not in use any more: then the garbage is collected
   * before the next one comes.
   */
  reportPassed(): void {
    this.#onPassed(this.#passedBytes);
    this.#passedBytes = 0;
  }

  /**
   * Keeps room for an entry of about `bytes` before it is asked for, until `endReservation`. At once where there is
   * room; else in turn when there is, or when `signal` aborts. When nothing that is held can be uploaded, and no
   * entry is awaited, one goes on all the same: else none ever would.
   */
  reserve(bytes: number, signal: AbortSignal): Reservation | Promise<Reservation> {
    if (this.#line.length === 0 && this.#fits(bytes)) return this.#reserve(bytes);
    return this.#waitInLine(bytes, signal);
  }

  /** The same room as if it were reserved now, unless it has expired. */
  renew(reservation: Reservation): Reservation {
    if (!this.#reservations.delete(reservation)) return reservation;
    const renewed = { ...reservation, madeAtMs: this.#clock.now() };
    this.#reservations.add(renewed);
    return renewed;
  }

  /** Ends what `reserve` began, also after it expired. `entryBytes`: the entry came, and was that large. */
  endReservation(reservation: Reservation, entryBytes = 0): void {
    if (entryBytes > (this.#largestEntryBytes ?? 0)) this.#largestEntryBytes = entryBytes;
    this.#forget(reservation);
    this.#serve();
  }

  #reserve(bytes: number): Reservation {
    const reservation = { bytes, madeAtMs: this.#clock.now() };
    this.#reservations.add(reservation);
    this.#reservedBytes += bytes;
    return reservation;
  }

  #forget(reservation: Reservation): void {
    if (this.#reservations.delete(reservation)) this.#reservedBytes -= reservation.bytes;
  }

  #fits(bytes: number): boolean {
    const bytesWithIt = this.usedBytes + this.#reservedBytes + bytes;
    return bytesWithIt <= this.limitBytes && this.#uploadingBytes <= MAX_UPLOADING_BYTES;
  }

  #waitInLine(bytes: number, signal: AbortSignal): Promise<Reservation> {
    return new Promise((resolve) => {
      const reserve = () => {
        signal.removeEventListener('abort', onAbort);
        resolve(this.#reserve(bytes));
      };
      const waiting = { bytes, reserve };
      const onAbort = () => {
        this.#line = this.#line.filter((one) => one !== waiting);
        reserve();
        this.#serve();
      };
      this.#line.push(waiting);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      this.#serve();
    });
  }

  /** Lets those in line go on for whom there is room. */
  #serve(): void {
    for (let first = this.#line[0]; first !== undefined; first = this.#line[0]) {
      if (!this.#makeRoom(first.bytes)) {
        this.#awaitExpiry();
        return;
      }
      this.#line.shift();
      first.reserve();
    }
    this.#expiring?.abort();
    this.#expiring = undefined;
  }

  #makeRoom(bytes: number): boolean {
    if (this.#fits(bytes)) return true;
    while (this.#openBytes > this.limitBytes / 2) {
      const largest = this.#largest();
      if (largest === undefined) break;
      largest.spill();
    }
    return this.#uploadingBytes === 0 && this.#reservations.size === 0;
  }

  /** Somebody waits: forgets reservations when they expire, as few as make room for the first in line. */
  #awaitExpiry(): void {
    const [oldest] = this.#reservations;
    if (this.#expiring !== undefined || oldest === undefined) return;
    this.#expiring = new AbortController();
    const dueAtMs = Math.max(oldest.madeAtMs, this.#lastExpiryMs) + RESERVATION_EXPIRY_MS;
    this.#clock.sleep(Math.max(0, dueAtMs - this.#clock.now()), this.#expiring.signal).then(
      () => {
        this.#expiring = undefined;
        this.#expire();
        this.#serve();
      },
      () => undefined,
    );
  }

  #expire(): void {
    const nowMs = this.#clock.now();
    for (const one of this.#reservations) {
      const [first] = this.#line;
      const isOld = one.madeAtMs <= nowMs - RESERVATION_EXPIRY_MS;
      if (!isOld || first === undefined || this.#fits(first.bytes)) return;
      this.#forget(one);
      this.#lastExpiryMs = nowMs;
    }
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
