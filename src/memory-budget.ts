// The memory limit for open files, uploads, and entries about to be received. It decides when reading waits and which
// buffer is uploaded early; it never drops anything.
import type { Clock } from './ports.ts';

/** The smallest part that COS accepts, except for the last one: a smaller buffer cannot be uploaded early. */
export const MIN_PART_BYTES = 1_048_576;

/** As much as all parallel uploads and a short queue need: more would only make the function larger. */
const MAX_UPLOADING_BYTES = 64 * 1_048_576;

/** The size of the first entry is not known. By default, brokers take messages of up to 5 MiB. */
const FIRST_ENTRY_BYTES = 5 * 1_048_576;

/**
 * The age at which a reservation expires if another partition waits for room, and the minimum time between two
 * expiries. A partition that reconnects, or waits to become the active consumer, gets no entry for minutes and would
 * block its room for as long. If all partitions are silent, the network may be the cause, and all their entries may
 * still arrive; so reservations expire one at a time.
 */
const RESERVATION_EXPIRY_MS = 1_000;

/** An open buffer that can be uploaded as a part before its file is full. */
export interface Spillable {
  /** Bytes that `spill` would upload. */
  spillableBytes(): number;
  spill(): void;
}

/** Memory reserved for an entry. */
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
  /** First come, first served, so that small entries cannot starve a large one. */
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

  /** What to reserve for the first entry of a partition, by the entries of other partitions. */
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

  /** An open buffer has handed these bytes to an upload: `free` follows without further reading. */
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
   * Call it before an entry is requested, when the previous one is no longer in use: then the garbage is collected
   * before the next one arrives.
   */
  reportPassed(): void {
    this.#onPassed(this.#passedBytes);
    this.#passedBytes = 0;
  }

  /**
   * Reserves room for an entry of about `bytes` before it is requested, until `endReservation`. Returns at once if
   * there is room; otherwise waits its turn, or until `signal` aborts. If no buffer can be uploaded and no entry is
   * awaited, one waiter continues anyway, because otherwise none ever would.
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

  /** Ends a reservation, even an expired one. `entryBytes`: the size of the entry, if it arrived. */
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

  /** Resumes the waiters for which there is room. */
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

  /** While somebody waits: drops expired reservations, as few as the first waiter needs. */
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
