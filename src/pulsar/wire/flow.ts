// How many permits a consumer gives its broker. FLOW counts messages, but the broker sends whole entries: one permit
// can bring a batch of hundreds. So permits are given as if each brought an entry of the size learned so far, few at
// first, and none that would make the queue outgrow its share of the receive budget.

/** What an entry takes in memory besides its bytes. */
const OVERHEAD_BYTES = 512;

/** Counts what is on its way and what waits, in one partition. */
export class FlowControl {
  readonly #shareBytes: number;
  readonly #mostPermits: number;
  #permits = 0;
  #queuedBytes = 0;
  #entriesSeen = 0;
  #entryBytes = 0;

  /** `mostPermits`: however small the messages are. */
  constructor(shareBytes: number, mostPermits: number) {
    this.#shareBytes = shareBytes;
    this.#mostPermits = mostPermits;
  }

  /** An entry came and was queued; the broker took `permits` for it. */
  arrived(sizeBytes: number, permits: number): void {
    const bytes = sizeBytes + OVERHEAD_BYTES;
    this.#permits -= permits;
    this.#queuedBytes += bytes;
    // Fast up, slow down: a large entry must count at once, a small one proves little.
    const weight = this.#entriesSeen === 0 ? 1 : bytes > this.#entryBytes ? 0.5 : 0.06;
    this.#entryBytes += (bytes - this.#entryBytes) * weight;
    this.#entriesSeen++;
  }

  /** A queued entry was handed out. */
  taken(sizeBytes: number): void {
    this.#queuedBytes -= sizeBytes + OVERHEAD_BYTES;
  }

  /** A new consumer: nothing queued, nothing on its way. What was learned stays. */
  reset(): void {
    this.#permits = 0;
    this.#queuedBytes = 0;
  }

  /** The queue was dropped; the permits stand. */
  dropped(): void {
    this.#queuedBytes = 0;
  }

  /** How many permits to give now; 0: none. They count as given. */
  grant(): number {
    const target = this.#target();
    const missing = target - this.#permits;
    if (missing < 1 || missing < target / 2) return 0;
    this.#permits = target;
    return Math.min(missing, 0x7fff_ffff);
  }

  #target(): number {
    const slowStart = 1 + 2 * this.#entriesSeen;
    const fitting =
      this.#entriesSeen === 0
        ? 1
        : Math.floor((this.#shareBytes - this.#queuedBytes) / Math.max(1, this.#entryBytes));
    const target = Math.min(slowStart, fitting, this.#mostPermits);
    // However small the share is, one entry at a time must come through.
    return target < 1 && this.#queuedBytes <= 0 ? 1 : Math.max(0, target);
  }
}
