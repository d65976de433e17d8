// What every Source adapter is made from.
import type { PulsarConfig } from '../config.ts';
import type { Clock, Logger } from '../ports.ts';

/** What a source of either driver is made of. */
export interface SourceOptions {
  readonly config: PulsarConfig;
  /**
   * How many bytes of undelivered messages all partitions together may hold in memory. Who waits in `next` gets an entry
   * beyond it: how many wait at once is the caller's to bound.
   */
  readonly receiveBudgetBytes: number;
  /**
   * The most bytes that a message may have that its producer cut into chunks or compressed; larger ones are handed over
   * raw. By default what the smallest function has room for.
   */
  readonly largestMessageBytes?: number;
  /**
   * Whether no run before this one has used the subscription. Asked only where a rule begins at `latest`: a later run that
   * finds no subscription in a partition begins at the first message, since what came meanwhile was never to be passed over.
   * By default it is the first. @throws BackupError where it cannot be known now
   */
  readonly isFirstRun?: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The end of the run: aborts every wait, reconnects included. */
  readonly signal?: AbortSignal;
}
