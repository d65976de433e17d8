// Finds out whether a broker still answers: sends PING at fixed times, and reports a connection that brought nothing
// between two of them.
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

/** How often to ask, and what follows. */
export interface KeepAliveOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly ping: () => void;
  /** Nothing came since the last PING. */
  readonly onSilence: () => void;
}

/** The sign of life of one connection. */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  /** A PING was sent, and nothing has come since. */
  #isUnanswered = false;
  #cancelTimer: () => void = () => undefined;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
  }

  /** Begins to ask. */
  start(): void {
    const { clock, intervalMs } = this.#options;
    this.#cancelTimer = startTimer(clock, intervalMs, () => this.#ask());
  }

  /** Something came, whatever it is. */
  heard(): void {
    this.#isUnanswered = false;
  }

  stop(): void {
    this.#cancelTimer();
  }

  #ask(): void {
    if (this.#isUnanswered) {
      this.#options.onSilence();
      return;
    }
    this.#isUnanswered = true;
    this.#options.ping();
    this.start();
  }
}
