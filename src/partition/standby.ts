// Failover: which partitions an instance has changes whenever another one comes or goes. So a run does not give up a
// partition that another instance has while it drains others: it goes on there if the partition comes back meanwhile. It
// takes no entry.
import { setMaxListeners } from 'node:events';
import { untilAborted } from '../lib/until-aborted.ts';
import type { Clock } from '../ports.ts';
import type { PartitionOutcome } from './partition-drain.ts';

/** For so long a run stays for what others have not drained: brokers give a partition away 1 s after its consumer left. */
const STAY_MS = 3_000;
const ASK_EVERY_MS = 500;

/** A partition that may come back. */
interface Watched {
  /** True: it may be here again. False: `signal` was aborted before that. */
  untilActive(signal: AbortSignal): Promise<boolean>;
  /** Whether the consumer that has it has drained it. */
  isDrained(): Promise<boolean>;
}

/** One for all partitions of a run. */
export class Standby {
  #draining: number;
  readonly #clock: Clock;
  readonly #reading: AbortSignal;
  readonly #waiting = new Set<Watched>();
  readonly #leaving = new AbortController();
  /** How often the run was left with nothing to drain. */
  #pauses = 0;

  /** `reading`: aborted when reading has to stop; then the run waits for nothing. */
  constructor(partitions: number, clock: Clock, reading: AbortSignal) {
    this.#draining = partitions;
    this.#clock = clock;
    this.#reading = reading;
    setMaxListeners(0, this.#leaving.signal);
  }

  /**
   * Drains a partition, and again each time that it comes back, until its end, or until the run drains no other and
   * nobody needs it: an instance that is killed leaves its partitions to those that are still there.
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
    // Where the broker does not answer, the end of reading is the last moment to leave.
    const answer = untilAborted(drained, this.#reading, () => new Error('reading has to stop'));
    return answer.then(
      (all) => all.includes(false),
      () => false,
    );
  }
}
