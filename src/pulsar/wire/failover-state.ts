// Failover: whether this consumer is the one that the broker sends the partition to, and what has become of the entries
// that it handed out and that are not acknowledged. On the other types it is always active, and they stay its own.
//
//   role      unknown   subscribed, and the broker has not said who is active
//             active    the broker sends the partition here
//             inactive  another consumer is active; consumers that begin together still share the partitions out
//             standby   inactive for so long that no change is expected
//   entries   ours      this consumer acknowledges them
//             doubtful  the connection was away: another consumer may have had the partition. Nothing more is read
//             lost      another consumer gets them; `next` has to report it once
import type { Clock } from '../../ports.ts';
import { startTimer, type Timings } from './timer.ts';

/** See the head of this file. */
export type FailoverRole = 'unknown' | 'active' | 'inactive' | 'standby';

/** What the state asks of the partition. */
export interface FailoverListener {
  onStandby(): void;
  /** Another consumer gets what was handed out here: deliveries begin again. */
  onLost(): void;
  /** Active again after a reconnect: finds out whether another consumer acknowledged anything, and calls `settle`. */
  onDoubt(): void;
  /** Nothing is doubtful any more: reading goes on. */
  onSettled(): void;
  /** Active after another consumer: it may have left nothing. */
  onTakenOver(): void;
}

/** The state of one partition, over all consumers that this run has there. */
export class FailoverState {
  readonly #isFailover: boolean;
  readonly #clock: Clock;
  readonly #standbyAfterMs: number;
  readonly #listener: FailoverListener;
  #role: FailoverRole = 'active';
  #entries: 'ours' | 'doubtful' | 'lost' = 'ours';
  #cancelTimer: () => void = () => undefined;
  readonly #waiting = new Set<() => void>();

  constructor(
    isFailover: boolean,
    clock: Clock,
    { standbyAfterMs }: Pick<Timings, 'standbyAfterMs'>,
    listener: FailoverListener,
  ) {
    this.#isFailover = isFailover;
    this.#clock = clock;
    this.#standbyAfterMs = standbyAfterMs;
    this.#listener = listener;
  }

  get role(): FailoverRole {
    return this.#role;
  }

  get isDoubtful(): boolean {
    return this.#entries === 'doubtful';
  }

  /** Another consumer is the active one. */
  get #isInactive(): boolean {
    return this.#role === 'inactive' || this.#role === 'standby';
  }

  /** A consumer subscribes: the broker has said nothing of it. */
  begin(): void {
    this.#cancelTimer();
    this.#role = this.#isFailover ? 'unknown' : 'active';
    this.#wakeAll();
  }

  /** There is a consumer again. `hasOpen`: something handed out is not acknowledged. */
  reconnected(hasOpen: boolean): void {
    if (this.#entries !== 'lost') this.#entries = this.#isFailover && hasOpen ? 'doubtful' : 'ours';
  }

  /** Deliveries begin again at the caller's wish: there is nothing to lose. */
  restart(): void {
    this.#entries = 'ours';
  }

  /** Whether the loss is to be reported now; it is reported once. */
  takeLoss(): boolean {
    if (this.#entries !== 'lost') return false;
    this.#entries = 'ours';
    return true;
  }

  /** True when this consumer is not inactive, or `end` is called; false when `signal` is aborted before that. */
  untilActive(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (!this.#isInactive) return Promise.resolve(true);
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
    if (this.#role === 'unknown') this.#role = 'active';
  }

  /** The broker announces who is active. False: that is nothing new. */
  announced(isActive: boolean): boolean {
    const before = this.#role;
    const wasInactive = this.#isInactive;
    if (!this.#isFailover || (isActive ? before === 'active' : wasInactive)) return false;
    this.#cancelTimer();
    this.#role = isActive ? 'active' : 'inactive';
    if (isActive) this.#wakeAll();
    else {
      // Consumers that begin at the same time share the partitions out within this time.
      this.#cancelTimer = startTimer(this.#clock, this.#standbyAfterMs, () => {
        this.#role = 'standby';
        this.#listener.onStandby();
      });
    }
    if (before === 'active') this.#lose();
    else if (wasInactive) this.#listener.onTakenOver();
    return true;
  }

  /** Resolves what is doubtful, as far as the role is known. Only while there is a consumer. */
  resolveDoubt(): void {
    if (!this.isDoubtful) return;
    if (this.#role === 'active') this.#listener.onDoubt();
    else if (this.#isInactive) this.settle(false);
  }

  /** Whether what was doubtful is ours after all. */
  settle(isOurs: boolean): void {
    if (!this.isDoubtful) return;
    if (isOurs) this.#entries = 'ours';
    else this.#lose();
    this.#listener.onSettled();
  }

  /** The consumer has failed or is closed: nobody waits any more, and no timer is left. */
  end(): void {
    this.#cancelTimer();
    if (this.#role === 'standby') this.#role = 'inactive';
    this.#wakeAll();
  }

  #lose(): void {
    this.#entries = 'lost';
    this.#listener.onLost();
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
