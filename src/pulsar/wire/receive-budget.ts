// What all partitions of a source may hold of entries that were not handed out yet. It bounds how far a partition reads
// ahead, and stops the sockets where brokers send more than that: permits count messages, whatever their size.
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

/** A partition may read ahead this many times as far as all that is free. So n busy ones share nearly all, evenly. */
const EAGERNESS = 2;
/** How far entries that are larger than those before may go beyond the budget. */
const OVERFULL = 1.5;
/** Sockets are stopped so long where somebody waits: what for may come after what nobody takes. */
const PAUSE_MS = 50;
/** And so long at most where nobody does: receipts come by them, too. */
const MAX_PAUSE_MS = 2_000;

/** A connection, as far as it can be stopped from bringing more. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/** One for all partitions of a source. */
export class ReceiveBudget {
  readonly limitBytes: number;
  readonly #clock: Clock;
  #reservedBytes = 0;
  #queuedBytes = 0;
  readonly #paused = new Set<Pausable>();
  readonly #isWaited: (() => boolean)[] = [];
  #cancelTimer: () => void = () => undefined;

  constructor(limitBytes: number, clock: Clock) {
    this.limitBytes = limitBytes;
    this.#clock = clock;
  }

  /** `isWaited`: whether somebody waits for an entry of a partition. */
  add(isWaited: () => boolean): void {
    this.#isWaited.push(isWaited);
  }

  /** How many bytes a partition may have, on their way and queued, that has `ownBytes` of them now. */
  shareOf(ownBytes: number): number {
    const others = this.#reservedBytes + this.#queuedBytes - ownBytes;
    return ((this.limitBytes - others) * EAGERNESS) / (1 + EAGERNESS);
  }

  /** The bytes that permits are expected to bring became so many more. */
  reserve(bytes: number): void {
    this.#reservedBytes += bytes;
  }

  queue(bytes: number): void {
    this.#queuedBytes += bytes;
  }

  /** Where the queues are overfull `from` brings no more for a moment. To be called when nobody took what it brought. */
  holdBack(from: Pausable): void {
    if (this.#queuedBytes <= this.limitBytes * OVERFULL || this.#paused.has(from)) return;
    if (this.#paused.size === 0) this.#resumeLater(MAX_PAUSE_MS);
    this.#paused.add(from);
    from.pause();
  }

  /** Queued entries were taken or dropped. */
  unqueue(bytes: number): void {
    this.#queuedBytes -= bytes;
    if (this.#paused.size > 0 && this.#queuedBytes <= this.limitBytes) this.#resume();
  }

  #resumeLater(leftMs: number): void {
    this.#cancelTimer = startTimer(this.#clock, PAUSE_MS, () => {
      if (leftMs <= PAUSE_MS || this.#isWaited.some((isWaited) => isWaited())) this.#resume();
      else this.#resumeLater(leftMs - PAUSE_MS);
    });
  }

  #resume(): void {
    this.#cancelTimer();
    for (const one of this.#paused) one.resume();
    this.#paused.clear();
  }
}
