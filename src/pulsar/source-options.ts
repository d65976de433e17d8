// The options of every Source adapter.
import type { PulsarConfig } from '../config.ts';
import type { Clock, Logger } from '../ports.ts';

/** What a source of either driver is made of. */
export interface SourceOptions {
  readonly config: PulsarConfig;
  /**
   * How many bytes of undelivered messages all partitions together may hold in memory. A waiting `next` gets an entry
   * beyond it: the caller limits how many wait at once.
   */
  readonly receiveBudgetBytes: number;
  /**
   * The largest size in bytes of a chunked or compressed message; larger ones are delivered raw. By default that of
   * the smallest function.
   */
  readonly largestMessageBytes?: number;
  /**
   * Whether no earlier run has used the subscription. Called only if a rule begins at `latest`: if a later run finds
   * no subscription in a partition, it begins at the first message, because messages since the first run must not be
   * skipped. By default it is the first run. @throws BackupError where it cannot be known now
   */
  readonly isFirstRun?: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The end of the run: aborts every wait, reconnects included. */
  readonly signal?: AbortSignal;
}
