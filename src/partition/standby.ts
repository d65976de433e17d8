// Failover: the broker reassigns partitions whenever an instance connects or disconnects. So a run does not give up a
// partition that another instance has while it still drains others: it continues if the partition comes back. Reads
// no entry.
import { setMaxListeners } from 'node:events';
import { untilAborted } from '../lib/until-aborted.ts';
import type { Clock } from '../ports.ts';
import type { PartitionOutcome } from './partition-drain.ts';

/**
 * How long a run stays for partitions that others have not drained: brokers reassign a partition 1 s after its
 * consumer left.
 */
const STAY_MS = 3_000;
const ASK_EVERY_MS = 500;

/** A partition that may come back. */
interface Watched {
  /** True: it may be assigned to this run again. False: `signal` aborted first. */
  untilActive(signal: AbortSignal): Promise<boolean>;
  /** Whether its current consumer has drained it. */
  isDrained(): Promise<boolean>;
}

/** One for all partitions of a run. */
export class Standby {
  #draining: number;
  readonly #clock: Clock;
  readonly #reading: AbortSignal;
  readonly #waiting = new Set<Watched>();
  readonly #leaving = new AbortController();
  /** How often the run had nothing left to drain. */
  #pauses = 0;

  /** `reading`: aborted when reading has to stop; then the run waits for nothing. */
  constructor(partitions: number, clock: Clock, reading: AbortSignal) {
    this.#draining = partitions;
    this.#clock = clock;
    this.#reading = reading;
    setMaxListeners(0, this.#leaving.signal);
  }

  /**
   * Drains a partition, and again each time that it comes back, until its end, or until the run drains no other
   * partition and no instance needs it: when an instance is killed, the remaining ones take over its partitions.
   */
  async drain(one: Watched, drainOnce: () => Promise<PartitionOutcome>): Promise<PartitionOutcome> {
    try {
      for (;;) {
        const outcome = await drainOnce();
        if (outcome !== 'standby') return outcome;
        this.#waiting.add(one);
        this.#pause();
        const isBack = await one.untilActive(this.#leaving.signal);
        this.#waiting.delete(one);
        this.#draining++;
        if (!isBack) return outcome;
      }
    } finally {
      this.#pause();
    }
  }

  #pause(): void {
    if (--this.#draining === 0) void this.#stay(++this.#pauses);
  }

  async #stay(pause: number): Promise<void> {
    const isOver = () => this.#draining > 0 || pause !== this.#pauses;
    const endMs = this.#clock.now() + STAY_MS;
    while (
      !isOver() &&
      this.#clock.now() < endMs &&
      !this.#reading.aborted &&
      (await this.#isSomethingLeft())
    )
      await this.#clock.sleep(ASK_EVERY_MS, this.#reading).catch(() => undefined);
    if (!isOver()) this.#leaving.abort();
  }

  #isSomethingLeft(): Promise<boolean> {
    const drained = Promise.all([...this.#waiting].map((one) => one.isDrained()));
    // If the broker does not answer, the run stops waiting at the end of reading.
    const answer = untilAborted(drained, this.#reading, () => new Error('reading has to stop'));
    return answer.then(
      (all) => all.includes(false),
      () => false,
    );
  }
}
