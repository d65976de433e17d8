// Failover: whether this consumer is the one that the broker sends the partition to. On the other types it always is.
import type { Clock } from '../../ports.ts';
import { startTimer, type Timings } from './timer.ts';

/** What the broker has said of this consumer since it subscribed. */
export class Activity {
  readonly #isFailover: boolean;
  readonly #clock: Clock;
  readonly #timings: Timings;
  readonly #onStandby: () => void;
  #state: 'unknown' | 'active' | 'inactive' = 'active';
  #isOnStandby = false;
  #cancelTimer: () => void = () => undefined;

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
    this.stop();
    this.#state = this.#isFailover ? 'unknown' : 'active';
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
    this.stop();
    if (!isActive) {
      // Consumers that begin at the same time share the partitions out within this time.
      this.#cancelTimer = startTimer(this.#clock, this.#timings.standbyAfterMs, () => {
        this.#isOnStandby = true;
        this.#onStandby();
      });
    }
    return before;
  }

  /** Leaves no timer behind. */
  stop(): void {
    this.#cancelTimer();
    this.#isOnStandby = false;
  }
}
