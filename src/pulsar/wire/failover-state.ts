// Failover: whether this consumer is the one that the broker sends the partition to. On the other types it always is.
import type { Clock } from '../../ports.ts';
import { startTimer, type Timings } from './timer.ts';

/** What the broker has said of this consumer since it subscribed. */
export class FailoverState {
  readonly #isFailover: boolean;
  readonly #clock: Clock;
  readonly #timings: Timings;
  readonly #onStandby: () => void;
  #state: 'unknown' | 'active' | 'inactive' = 'active';
  #isOnStandby = false;
  #cancelTimer: () => void = () => undefined;
  readonly #waiting = new Set<() => void>();

  /** `onStandby`: see `isOnStandby`. */
  constructor(isFailover: boolean, clock: Clock, timings: Timings, onStandby: () => void) {
    this.#isFailover = isFailover;
    this.#clock = clock;
    this.#timings = timings;
    this.#onStandby = onStandby;
  }

  get state(): 'unknown' | 'active' | 'inactive' {
    return this.#state;
  }

  /** Another consumer has been the active one for so long that no change is to be expected. */
  get isOnStandby(): boolean {
    return this.#isOnStandby;
  }

  /** Subscribes again. */
  begin(): void {
    this.#endStandby();
    this.#state = this.#isFailover ? 'unknown' : 'active';
    this.#wakeAll();
  }

  /** True when it is not inactive, or `end` is called; false when `signal` is aborted before that. */
  untilActive(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#state !== 'inactive') return Promise.resolve(true);
    return new Promise((resolve) => {
      const giveUp = () => {
        this.#waiting.delete(wake);
        resolve(false);
      };
      const wake = () => {
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(wake);
    });
  }

  /** An entry came: only the active consumer gets any. */
  entryCame(): void {
    if (this.#state === 'unknown') this.#state = 'active';
  }

  /** The broker says which it is. Answers what it was before; `undefined`: that is nothing new. */
  told(isActive: boolean): 'unknown' | 'active' | 'inactive' | undefined {
    const before = this.#state;
    this.#state = isActive ? 'active' : 'inactive';
    if (!this.#isFailover || before === this.#state) return undefined;
    this.#endStandby();
    if (isActive) this.#wakeAll();
    else {
      // Consumers that begin at the same time share the partitions out within this time.
      this.#cancelTimer = startTimer(this.#clock, this.#timings.standbyAfterMs, () => {
        this.#isOnStandby = true;
        this.#onStandby();
      });
    }
    return before;
  }

  /** The consumer has failed or is closed: nobody waits any more, and no timer is left. */
  end(): void {
    this.#endStandby();
    this.#wakeAll();
  }

  #endStandby(): void {
    this.#cancelTimer();
    this.#isOnStandby = false;
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
