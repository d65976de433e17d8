// Failover: which partitions an instance has changes whenever another one comes or goes. So a partition that somebody
// else has is not given up while this run drains others: it is drained on if it comes here meanwhile.
import { setMaxListeners } from 'node:events';
import type { PartitionOutcome } from './partition-drain.ts';

/** A partition that may come back. */
interface Watched {
  /** True: it may be here again. False: `signal` was aborted before that. */
  untilActive(signal: AbortSignal): Promise<boolean>;
}

/** One for all partitions of a run. */
export class Standby {
  #draining: number;
  readonly #nobodyDrains = new AbortController();

  constructor(partitions: number) {
    this.#draining = partitions;
    setMaxListeners(0, this.#nobodyDrains.signal);
  }

  /** Drains a partition, and again each time that it comes back, until its end or until the run drains no other. */
  async drain(one: Watched, drainOnce: () => Promise<PartitionOutcome>): Promise<PartitionOutcome> {
    try {
      for (;;) {
        const outcome = await drainOnce();
        if (outcome !== 'standby') return outcome;
        this.#leave();
        const isBack = await one.untilActive(this.#nobodyDrains.signal);
        this.#draining++;
        if (!isBack) return outcome;
      }
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    if (--this.#draining === 0) this.#nobodyDrains.abort();
  }
}
