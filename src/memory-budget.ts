// The bytes that all open and leaving files of a run may hold together. It decides when reading waits and whose
// buffer leaves early; it never drops anything.

/** Smallest part that COS takes, but for the last one: a smaller buffer cannot leave early. */
export const MIN_PART_BYTES = 1_048_576;

/** As many bytes as all uploads side by side need, and some in line: more would only make the function larger. */
const MAX_LEAVING_BYTES = 64 * 1_048_576;

/** An open buffer that can leave as a part before its file is full. */
export interface Spillable {
  /** Bytes that would leave. */
  spillableBytes(): number;
  spill(): void;
}

export class MemoryBudget {
  readonly limitBytes: number;
  #openBytes = 0;
  #leavingBytes = 0;
  #peakBytes = 0;
  readonly #spillables = new Set<Spillable>();
  #waiting: (() => void)[] = [];

  readonly #onHold: (bytes: number) => void;

  /** `onHold` is told of all bytes that come in. */
  constructor(limitBytes: number, onHold: (bytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#onHold = onHold;
  }

  get usedBytes(): number {
    return this.#openBytes + this.#leavingBytes;
  }

  /** The most that was ever held. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  get isSpent(): boolean {
    return this.usedBytes > this.limitBytes || this.#leavingBytes > MAX_LEAVING_BYTES;
  }

  register(spillable: Spillable): void {
    this.#spillables.add(spillable);
  }

  unregister(spillable: Spillable): void {
    this.#spillables.delete(spillable);
  }

  /** Bytes were added to an open buffer. */
  hold(bytes: number): void {
    this.#onHold(bytes);
    this.#openBytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.usedBytes);
  }

  /** Bytes of an open buffer are on their way to the store: they will be freed without further reading. */
  leave(bytes: number): void {
    this.#openBytes -= bytes;
    this.#leavingBytes += bytes;
  }

  /** Bytes that were leaving are gone. */
  free(bytes: number): void {
    this.#leavingBytes -= bytes;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /**
   * Resolves when there is room to read more, when `signal` aborts, or when nothing that is held can leave by
   * itself (then one reader must go on, or none ever would).
   */
  async room(signal: AbortSignal): Promise<void> {
    while (this.isSpent && !signal.aborted) {
      while (this.#openBytes > this.limitBytes / 2) {
        const largest = this.#largest();
        if (largest === undefined) break;
        largest.spill();
      }
      if (this.#leavingBytes === 0) return;
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.push(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
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
