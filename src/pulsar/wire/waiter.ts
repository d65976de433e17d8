// The one `next` call that waits for a delivery, and the time it may wait. One timer serves many calls: it is armed
// once, and when it fires it finds out whether the call that waits by then is due.
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

interface Waiting<T> {
  readonly askedMs: number;
  idleMs: number;
  sinceMs: number;
  readonly resolve: (value: T | Promise<T>) => void;
  readonly reject: (error: unknown) => void;
}

/** Holds at most one waiting call. */
export class Waiter<T> {
  readonly #clock: Clock;
  /** Called when the waiting call has waited long enough; it may answer it, or begin or extend its time. */
  readonly #onDue: (waitedMs: number) => void;
  #waiting: Waiting<T> | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => undefined;

  constructor(clock: Clock, onDue: (waitedMs: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  wait(idleMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting = { askedMs: idleMs, idleMs, sinceMs: this.#clock.now(), resolve, reject };
      this.#arm();
    });
  }

  /** Begins the waiting call's time again, as it was asked for. */
  beginAgain(): void {
    if (this.#waiting === undefined) return;
    this.#waiting.idleMs = this.#waiting.askedMs;
    this.#waiting.sinceMs = this.#clock.now();
    this.#arm();
  }

  /** Lets the waiting call wait `idleMs` in all. */
  extend(idleMs: number): void {
    if (this.#waiting === undefined) return;
    this.#waiting.idleMs = idleMs;
    this.#arm();
  }

  resolve(value: T | Promise<T>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(value);
  }

  reject(error: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }

  /** Leaves no timer behind. */
  stop(): void {
    this.#cancelTimer();
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    const waiting = this.#waiting as Waiting<T>;
    const dueMs = waiting.sinceMs + waiting.idleMs;
    if (this.#dueMs <= dueMs) return;
    this.#cancelTimer();
    this.#dueMs = dueMs;
    this.#cancelTimer = startTimer(this.#clock, Math.max(0, dueMs - this.#clock.now()), () => this.#fire());
  }

  #fire(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const waitedMs = this.#clock.now() - waiting.sinceMs;
    if (waitedMs >= waiting.idleMs) this.#onDue(waitedMs);
    else this.#arm();
  }
}
