// Drains one partition: decides what to do when reading ends, be it at the partition's end, by a failure, at a found
// object, or because another consumer has it. Joins the parts that keep the ordering argument at the head of
// drain.ts: position.ts (which messages are new), rolling-file.ts (which file gets them), file-chain.ts (create, then
// acknowledge).
import { BackupError } from '../errors.ts';
import { logHeldBack } from '../held-back.ts';
import { retryThroughOutage } from '../lib/outage.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import { isOfClock } from '../paced-store.ts';
import type { Backlog, HeldBackReason, SourcePartition, UnreadableEntry } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import { EntryRoom } from './entry-room.ts';
import { FileChain } from './file-chain.ts';
import type { LeftRest } from './linger.ts';
import { keepRaw, PartitionReader, type ReadOutcome } from './partition-reader.ts';
import { DrainPosition, type ResumePoint } from './position.ts';
import { RollingFile } from './rolling-file.ts';
import { noAnswer } from './silence.ts';

/** How a partition ended: drained, out of time, or another consumer of the Failover subscription has it. */
export type PartitionOutcome = Exclude<ReadOutcome, 'lost'>;

interface Failed {
  readonly kind: 'failed';
  readonly failure: unknown;
}

/** One for each partition of a run. */
export class PartitionDrain {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #position: DrainPosition;
  readonly #chain: FileChain;
  readonly #file: RollingFile;
  readonly #reader: PartitionReader;
  #outcome: PartitionOutcome | undefined;
  #lingering: LeftRest | undefined;
  /** Whether it was drained before and was assigned again. */
  #isAgain = false;

  constructor(run: Run, partition: SourcePartition) {
    const isInOrder = run.subscriptionType === 'exclusive' || run.subscriptionType === 'failover';
    const room = new EntryRoom(run.budget);
    this.#run = run;
    this.#partition = partition;
    this.#position = new DrainPosition(isInOrder);
    this.#chain = new FileChain(run, partition, isInOrder);
    this.#file = new RollingFile(run, partition, this.#chain, this.#position, room);
    this.#reader = new PartitionReader(run, partition, this.#chain, this.#file, this.#position, room);
  }

  /** Files that were begun and are not stored yet. */
  get files(): number {
    return this.#chain.files + (this.#file.isOpen ? 1 : 0);
  }

  /** The messages that linger, after `drain`. */
  get lingering(): LeftRest | undefined {
    return this.#lingering;
  }

  /** False, after `drain`, if another instance has the partition: only that one knows what lingers in it. */
  get knowsBacklog(): boolean {
    return this.#outcome !== 'standby' || this.#run.lingerMs === 0;
  }

  /**
   * The backlog without lingering messages, after `drain`. If files were dropped, its next message is not that of the
   * driver.
   */
  async backlog(): Promise<Backlog | undefined> {
    const backlog = await this.#partition.backlog();
    if (backlog === undefined) return undefined;
    const { nextPublishTimeMs, ...counts } = withoutLingering(backlog, this.#lingering);
    const next = this.#reader.firstUnreadMs ?? nextPublishTimeMs;
    return next === undefined || this.#chain.isInterrupted ? counts : { ...counts, nextPublishTimeMs: next };
  }

  /** Why the broker does not deliver the rest, if known; after `drain`. */
  async heldBack(): Promise<readonly HeldBackReason[]> {
    if (this.#outcome !== 'caught_up') return [];
    return [...this.#reader.silence.reasons, ...((await this.#partition.heldBack(0, 0)) ?? [])];
  }

  /** After `standby`: true when the partition may be worth draining again, false if `signal` aborts first. */
  untilActive(signal: AbortSignal): Promise<boolean> {
    return this.#partition.untilActive(signal);
  }

  /** After `standby`: whether the other consumer has drained the partition, as far as that can be known. */
  isDrained(): Promise<boolean> {
    // From here, lingering messages look like a backlog: not worth waiting for.
    return this.#run.lingerMs > 0 ? Promise.resolve(true) : this.#partition.isDrained();
  }

  /**
   * Drains the partition up to its end; after `standby` it may be called again. @throws what failed, after everything
   * read before it is stored and acknowledged, as far as possible
   */
  async drain(): Promise<PartitionOutcome> {
    const chain = this.#chain;
    if (this.#isAgain) await this.#beginAgain();
    this.#isAgain = true;
    try {
      for (;;) {
        this.#lingering = undefined;
        const outcome = await this.#reader.read().catch((error: unknown) => this.#failed(error));
        if (outcome === 'lost') {
          await this.#beginAgain();
          continue;
        }
        let expired: readonly UnreadableEntry[] = [];
        if (outcome === 'standby' || !(await this.#canAcknowledge(outcome))) await this.#file.drop();
        else expired = await this.#closeRest(outcome);
        const { resumePoint } = chain;
        const isToGoOn = resumePoint !== undefined && !this.#run.reading.aborted;
        // A permanent failure occurs again, after the stored messages.
        if (chain.failure === undefined && isToGoOn) {
          const isResumed = await this.#resumeAfter(resumePoint).catch((error: unknown) => chain.fail(error));
          if (isResumed) continue;
        }
        this.#outcome = typeof outcome === 'object' || resumePoint !== undefined ? 'deadline' : outcome;
        if (this.#outcome === 'caught_up' && chain.failure === undefined) await this.#settleRest(expired);
        if (typeof outcome === 'object') chain.fail(outcome.failure);
        if (chain.failure !== undefined) throw chain.failure;
        return this.#outcome;
      }
    } finally {
      await this.#file.drop();
    }
  }

  /** Stores the open file, or lets it linger. Returns expired chunks to keep raw, if it has asked for them. */
  async #closeRest(outcome: PartitionOutcome | Failed): Promise<readonly UnreadableEntry[]> {
    const file = this.#file;
    // Acknowledging them acknowledges everything delivered before, so nothing can linger.
    const expired = outcome === 'caught_up' && file.mayLinger ? await this.#expiredChunks() : [];
    if (expired.length === 0 && file.mayLinger) {
      const left = await file.leave();
      if (!this.#chain.isInterrupted) this.#lingering = left;
    } else await file.rollAndAcknowledge(outcome === 'deadline' ? 'deadline' : 'end');
    return expired;
  }

  /** A failure ends reading as other ends do. */
  #failed(error: unknown): Failed | 'deadline' {
    const { pace, tally } = this.#run;
    if (!isOfClock(error, pace.storing)) return { kind: 'failed', failure: error };
    tally.cutByDeadline++;
    return 'deadline';
  }

  /**
   * False after a failure of the source without order: another consumer gets the unacknowledged messages and cannot
   * find them stored, so they must not be stored here. With an order, the next run finds them.
   */
  async #canAcknowledge(outcome: PartitionOutcome | Failed): Promise<boolean> {
    if (this.#position.isInOrder || typeof outcome !== 'object') return true;
    const { failure } = outcome;
    if (!(failure instanceof BackupError) || failure.code !== 'source') return true;
    const backlog = untilAborted(this.#partition.backlog(), this.#run.storingEnd, noAnswer);
    return (await backlog.catch(() => undefined)) !== undefined;
  }

  /** Continues after the last durable message, without the messages of the found object. */
  async #resumeAfter(point: ResumePoint): Promise<true> {
    const { clock, storingEnd } = this.#run;
    this.#position.skip(point);
    this.#chain.resume();
    // The object may lack some messages between its first and last one.
    this.#position.resumeAfter(this.#chain.durable);
    const restart = () => untilAborted(this.#partition.restart(), storingEnd, noAnswer);
    await retryThroughOutage(restart, { clock, signal: storingEnd });
    return true;
  }

  /**
   * The partition was assigned to another consumer. If it comes back, it begins at its first unacknowledged entry;
   * durable files stay.
   */
  async #beginAgain(): Promise<void> {
    await this.#file.drop();
    if (this.#chain.resumePoint !== undefined) this.#position.skip(this.#chain.resumePoint);
    this.#chain.resume();
    this.#position.resumeAfter(this.#chain.durable);
  }

  /** Everything is acknowledged except lingering, undelivered and incomplete messages. */
  async #settleRest(expired: readonly UnreadableEntry[]): Promise<void> {
    const keeping = this.#lingering === undefined ? this.#giveUpChunks(expired) : undefined;
    const failed = await keeping?.catch((error: unknown) => this.#failed(error));
    if (typeof failed === 'object') this.#chain.fail(failed.failure);
    const { reasons, entries } = this.#reader.silence;
    if (reasons.length > 0 && entries !== 0)
      logHeldBack(this.#run.logger, this.#partition.topic, reasons, entries);
  }

  /**
   * Chunks of dead producers. They precede messages that are already acknowledged, so each is acknowledged
   * individually.
   */
  async #giveUpChunks(expired: readonly UnreadableEntry[]): Promise<void> {
    let given = expired.length > 0 ? expired : await this.#expiredChunks();
    while (given.length > 0) {
      for (const entry of given) {
        await keepRaw(this.#run, this.#partition, entry);
        this.#chain.pushAcknowledgement([entry.id]);
        this.#reader.silence.gaveUp(entry.raw.length);
      }
      await this.#chain.settle();
      if (this.#chain.isInterrupted) return;
      given = await this.#expiredChunks();
    }
  }

  #expiredChunks(): Promise<readonly UnreadableEntry[]> {
    const { clock, chunkExpiryMs } = this.#run;
    return this.#partition.giveUpChunks(clock.now() - chunkExpiryMs);
  }
}

function withoutLingering(backlog: Backlog, lingering: LeftRest | undefined): Backlog {
  if (lingering === undefined) return backlog;
  const { entries, messages, ...next } = backlog;
  return {
    ...next,
    ...(entries !== undefined && { entries: Math.max(0, entries - lingering.entries) }),
    ...(messages !== undefined && { messages: Math.max(0, messages - lingering.messages) }),
  };
}
