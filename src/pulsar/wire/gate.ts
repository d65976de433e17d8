// Where calls wait for the connection to come back, each for a bounded time.
import { BackupError } from '../../errors.ts';
import { OUTAGE_HINT } from '../../lib/outage.ts';
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

/** The gate of one partition: shut while there is no consumer. */
export class Gate {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #topic: string;
  readonly #waiting = new Set<(error?: BackupError) => void>();

  constructor(clock: Clock, timeoutMs: number, topic: string) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#topic = topic;
  }

  /** Resolves at the next `open`. @throws BackupError `source`: that of `fail`, or a retryable one in time */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: BackupError): void => {
        this.#waiting.delete(settle);
        cancelTimer();
        if (error === undefined) resolve();
        else reject(error);
      };
      const cancelTimer = startTimer(this.#clock, this.#timeoutMs, () =>
        settle(
          new BackupError('source', `no connection to ${this.#topic} within ${this.#timeoutMs} ms`, {
            retryable: true,
            hint: OUTAGE_HINT,
          }),
        ),
      );
      this.#waiting.add(settle);
    });
  }

  open(): void {
    for (const settle of [...this.#waiting]) settle();
  }

  fail(error: BackupError): void {
    for (const settle of [...this.#waiting]) settle(error);
  }
}
