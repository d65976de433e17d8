// How many permits a consumer grants its broker. FLOW counts messages, but the broker sends whole entries: one permit
// can bring a batch of hundreds. So each permit counts as an entry of the size learned so far, few are granted at first,
// and none that would make what is on its way and what is queued outgrow the budget of all partitions. Only a consumer
// that waits for an entry grants one permit whatever the budget says.
import type { Pausable, ReceiveBudget } from './receive-budget.ts';

/** What an entry takes in memory besides its bytes. */
const OVERHEAD_BYTES = 512;

/** Counts what is on its way and what waits, in one partition. */
export class FlowControl {
  readonly #budget: ReceiveBudget;
  readonly #maxPermits: number;
  #permits = 0;
  #queuedBytes = 0;
  /** What the permits are expected to bring. */
  #reservedBytes = 0;
  /** How many more entries are wanted at most: permits beyond that bring nothing. */
  #maxEntries = Number.POSITIVE_INFINITY;
  #entriesSeen = 0;
  #entryBytes = 0;

  /** `maxPermits`: however small the messages are. */
  constructor(budget: ReceiveBudget, maxPermits: number) {
    this.#budget = budget;
    this.#maxPermits = maxPermits;
  }

  /** Whether the broker may send nothing more. */
  get hasNoPermits(): boolean {
    return this.#permits <= 0;
  }

  /** An entry came and was queued; the broker took `permits` for it. */
  arrived(sizeBytes: number, permits: number): void {
    const bytes = sizeBytes + OVERHEAD_BYTES;
    // Fast up, slow down: a large entry must count at once, a small one proves little.
    const weight = this.#entriesSeen === 0 ? 1 : bytes > this.#entryBytes ? 0.5 : 0.06;
    this.#entryBytes += (bytes - this.#entryBytes) * weight;
    this.#entriesSeen++;
    this.#setPermits(this.#permits - permits);
    this.#queuedBytes += bytes;
    this.#budget.queue(bytes);
  }

  /** Stops `from`, which brought an entry, where too much is queued already and nobody took it at once. */
  holdBack(from: Pausable): void {
    if (this.#queuedBytes > 0) this.#budget.holdBack(from);
  }

  /** A queued entry was handed out. */
  handedOut(sizeBytes: number): void {
    this.#queuedBytes -= sizeBytes + OVERHEAD_BYTES;
    this.#budget.unqueue(sizeBytes + OVERHEAD_BYTES);
  }

  /** A new consumer, or none any more: nothing is queued or on its way. The size learned is kept. */
  reset(): void {
    this.dropped();
    this.#setPermits(0);
  }

  /** The queue was dropped; the broker keeps the permits. */
  dropped(): void {
    this.#budget.unqueue(this.#queuedBytes);
    this.#queuedBytes = 0;
  }

  /**
   * How many permits to grant now; 0: none. They count as granted. `isWaited`: nothing is queued and somebody waits.
   * `maxEntries`: how many more entries are wanted at most.
   */
  grant(isWaited: boolean, maxEntries = Number.POSITIVE_INFINITY): number {
    this.#maxEntries = maxEntries;
    const least = isWaited ? 1 : 0;
    const target = Math.max(least, Math.min(this.#fitting(), maxEntries, this.#maxPermits));
    const missing = target - this.#permits;
    if (missing < 1 || missing < target / 2) {
      this.#setPermits(this.#permits);
      return 0;
    }
    this.#setPermits(target);
    return Math.min(missing, 0x7fff_ffff);
  }

  /** Permits were granted besides. */
  granted(permits: number): void {
    this.#setPermits(this.#permits + permits);
  }

  #fitting(): number {
    if (this.#entriesSeen === 0) return 0;
    const slowStart = 1 + 2 * this.#entriesSeen;
    const share = this.#budget.shareOf(this.#queuedBytes + this.#reservedBytes);
    return Math.min(slowStart, Math.floor((share - this.#queuedBytes) / Math.max(1, this.#entryBytes)));
  }

  #setPermits(permits: number): void {
    this.#permits = permits;
    const reservedBytes = Math.max(0, Math.min(permits, this.#maxEntries)) * this.#entryBytes;
    this.#budget.reserve(reservedBytes - this.#reservedBytes);
    this.#reservedBytes = reservedBytes;
  }
}
