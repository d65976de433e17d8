// One partition of the topic: hands out what its consumer brings, acknowledges, and begins again after a loss. It never
// drops an entry that it does not get again. Each part of its state has a file:
//   consumer-link.ts      whether there is a consumer at the broker, and having one again
//   failover-state.ts     whether this consumer is the active one, and what became of what it handed out
//   deliveries.ts         handing out what came, and who waits for it
//   positions.ts          how far the subscription is
//   partition-backlog.ts  what is left, and why it does not come

import type { BackupError } from '../../errors.ts';
import { isUpTo } from '../../format/entry-order.ts';
import type {
  Backlog,
  Delivery,
  EntryId,
  HeldBackReason,
  RunPositions,
  SchemaAnswer,
  SourcePartition,
  UnreadableEntry,
} from '../../ports.ts';
import { AckPlan } from './ack-plan.ts';
import { acknowledge } from './acknowledge.ts';
import type { LastPositions } from './broker-consumer.ts';
import type { HeldChunks } from './chunks.ts';
import { ConsumerLink, type LinkOptions } from './consumer-link.ts';
import { Deliveries } from './deliveries.ts';
import { EntryReader } from './entry-reader.ts';
import { FailoverState } from './failover-state.ts';
import { PartitionBacklog } from './partition-backlog.ts';
import { Positions } from './positions.ts';
import { readStoredEntry, type StoredEntry } from './protocol/entry-decoder.ts';
import { isServerError } from './protocol/server-error.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import type { SchemaReader } from './schema-reader.ts';

/** What a partition subscribes to, and what it may hold in memory. */
export interface ConsumerOptions extends LinkOptions {
  readonly budget: ReceiveBudget;
  /** The largest message that is put together in memory. */
  readonly limitBytes: number;
  readonly heldChunks: HeldChunks;
  /** One for all partitions. */
  readonly schemas: SchemaReader;
}

/** A partition of the topic with the consumer on it. */
export class Consumer implements SourcePartition {
  readonly partition: number;
  readonly topic: string;
  readonly canExplainSilence = true;

  readonly #options: ConsumerOptions;
  readonly #link: ConsumerLink;
  readonly #failover: FailoverState;
  readonly #positions: Positions;
  readonly #deliveries: Deliveries;
  readonly #backlog: PartitionBacklog;
  readonly #reader: EntryReader;
  readonly #acks: AckPlan;
  readonly #isExclusive: boolean;

  constructor(options: ConsumerOptions) {
    const { subType, clock, topic, partition, timings } = options;
    const isExclusive = subType === SUBSCRIPTION_TYPE.Exclusive;
    const isFailover = subType === SUBSCRIPTION_TYPE.Failover;
    const isOrdered = isExclusive || isFailover;
    this.#options = options;
    this.#isExclusive = isExclusive;
    this.topic = topic;
    this.partition = partition;
    this.#acks = new AckPlan(isOrdered);
    this.#reader = new EntryReader(options, isOrdered, this.#acks);
    this.#positions = new Positions({ isOrdered, isExclusive });
    this.#link = new ConsumerLink(options, {
      onSubscribing: () => this.#onSubscribing(),
      onReady: (isAgain) => this.#onReady(isAgain),
      onLost: () => this.#beginAfresh(),
      onFailed: (error) => this.#onFailed(error),
      onEntry: (id, bytes, ackSet, block) => {
        block?.hold();
        this.#onEntry(readStoredEntry(id, bytes, ackSet, block));
      },
      onActiveChange: (isActive) => this.#onActiveChange(isActive),
      onEndOfTopic: () => this.#deliveries.end(),
    });
    this.#failover = new FailoverState(isFailover, clock, timings, {
      onStandby: () => this.#deliveries.serve(),
      onLost: () => this.#onPartitionLost(),
      onDoubt: () => this.#askWhetherOurs(),
      onSettled: () => this.#deliveries.readOn(),
      onTakenOver: () => this.#askForEnd(),
    });
    const parts = { isOrdered, link: this.#link, reader: this.#reader };
    this.#deliveries = new Deliveries({
      ...{ ...options, ...parts, failover: this.#failover, positions: this.#positions },
    });
    this.#backlog = new PartitionBacklog({
      ...{ ...options, ...parts },
      position: () => this.#positions.reached,
      onPassedOver: (entry) => this.#onPassedOver(entry),
    });
  }

  get end(): EntryId | null | 'unknown' {
    return this.#positions.end;
  }

  /**
   * Subscribes for the first time and takes the bound of the run; `onProgress` is called after each of both.
   * @throws BackupError `source`
   */
  async open(onProgress: () => void): Promise<void> {
    const isThere = await this.#link.open();
    onProgress();
    if (!isThere) {
      this.#positions.end = null;
      return;
    }
    // Asked before the end: so it does not count what is published behind that.
    this.#backlog.opened();
    const positions = await this.#positionsAtOpen();
    onProgress();
    if (positions === undefined) {
      // What there is, if anything, ends with a silence.
      this.#positions.end = (await this.entriesAtOpen()) === 0 ? null : 'unknown';
      return;
    }
    this.#positions.opened(positions);
    if (positions.acknowledged !== undefined) this.#acks.closed(positions.acknowledged);
  }

  /** The broker has deleted the partition: there is no consumer. */
  get isMissing(): boolean {
    return this.#link.isMissing;
  }

  /** After a failed `open`: `next` throws the error, and nothing is known of the partition. */
  giveUp(error: BackupError): void {
    this.#link.giveUp(error);
  }

  next(idleMs: number): Promise<Delivery> {
    return this.#deliveries.next(idleMs);
  }

  arrived(maxBytes: number): readonly Delivery[] {
    return this.#deliveries.arrived(maxBytes);
  }

  async acknowledge(entries: readonly EntryId[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined) return;
    await this.#link.ready();
    await acknowledge(this.#link.consumer, this.#acks, entries);
    this.#reader.passed();
    this.#link.gotFurther();
    this.#positions.acknowledged(last);
  }

  async restart(): Promise<void> {
    this.#beginAfresh();
    this.#failover.restart();
    this.#acks.restart();
    await this.#link.renew();
  }

  untilActive(signal: AbortSignal): Promise<boolean> {
    return this.#failover.untilActive(signal);
  }

  async isDrained(): Promise<boolean> {
    return this.end === null || this.end === 'unknown' || this.#backlog.isDrained(this.end);
  }

  async backlog(): Promise<Backlog | undefined> {
    const left = await this.#backlog.left();
    const nextPublishTimeMs = this.#deliveries.peek()?.metadata?.publishTimeMs;
    return left === undefined || nextPublishTimeMs === undefined ? left : { ...left, nextPublishTimeMs };
  }

  entriesAtOpen(): Promise<number | undefined> {
    return this.#backlog.entriesAtOpen();
  }

  hasArrivals(): boolean {
    return this.#deliveries.peek() !== undefined;
  }

  /** Gives no reason where entries wait in the queue: it is not the broker that keeps them back. */
  async heldBack(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    const reasons = await this.#backlog.heldBack(entries, quietMs);
    return this.hasArrivals() ? undefined : reasons;
  }

  async nextBehind(id: EntryId): Promise<EntryId | undefined> {
    return this.#link.isReady ? this.#backlog.nextBehind(id) : undefined;
  }

  async hasTransactions(): Promise<boolean> {
    return this.#link.isReady ? this.#backlog.hasTransactions() : true;
  }

  positions(): RunPositions {
    return this.#positions.report();
  }

  schema(version: Uint8Array): Promise<SchemaAnswer> {
    return this.#options.schemas.read(this.topic, version);
  }

  giveUpChunks(publishedBeforeMs: number): Promise<readonly UnreadableEntry[]> {
    return this.#backlog.giveUpChunks(publishedBeforeMs);
  }

  /** The run ends: nobody waits any more. Acknowledgements on a live connection still work. */
  abort(): void {
    this.#deliveries.fail(this.#link.abort());
  }

  /** Ends the consumer, awaited; the subscription stays. Never throws. */
  async close(): Promise<void> {
    const consumer = this.#link.isReady ? this.#link.consumer : undefined;
    this.#deliveries.close(this.#link.close());
    this.#failover.end();
    const { closeTimeoutMs } = this.#options.timings;
    // One right behind the other: while there is a consumer, the broker acknowledges markers by itself.
    const asking = consumer?.lastPositions(closeTimeoutMs).catch(() => undefined);
    if (consumer !== undefined && this.#positions.isInQuestion) await this.#findPassedOver(asking);
    const closing = this.#link.closeConsumer(closeTimeoutMs);
    this.#positions.closed(await asking);
    await closing;
  }

  async #findPassedOver(asking: Promise<LastPositions | undefined> | undefined): Promise<void> {
    const positions = this.#positions;
    const range = positions.isCutShort
      ? positions.neverCame(await asking, await this.entriesAtOpen())
      : positions.skippedWhileAway(await this.entriesAtOpen());
    if (range === undefined) return;
    const next = await this.#backlog.nextBehind(range.from);
    if (next !== undefined && isUpTo(next, range.to)) this.#positions.passedOver(range);
  }

  /** `undefined`: brokers of 2.7 refuse to answer where the ledger of the last message is deleted. */
  async #positionsAtOpen(): Promise<LastPositions | undefined> {
    try {
      return await this.#link.consumer.lastPositions();
    } catch (error) {
      if (!isServerError(error, 'MetadataError')) throw error;
      return undefined;
    }
  }

  // --- coming and going

  #onSubscribing(): void {
    this.#failover.begin();
    this.#positions.restarting();
    this.#deliveries.reset();
  }

  #onReady(isAgain: boolean): void {
    if (isAgain) this.#options.schemas.forget();
    if (isAgain) this.#failover.reconnected(this.#acks.hasOpen);
    if (isAgain && this.#isExclusive) this.#askWhatWasSkipped();
    this.#deliveries.readOn();
    this.#deliveries.beginAgain();
    this.#deliveries.serve();
    this.#failover.resolveDoubt();
  }

  /** There is no consumer now; the next one gets all that is not acknowledged. */
  #beginAfresh(): void {
    this.#deliveries.reset();
    this.#positions.away();
  }

  #onFailed(error: BackupError): void {
    this.#failover.end();
    this.#deliveries.fail(error);
  }

  // --- what the broker sends

  #onEntry(entry: StoredEntry): void {
    this.#backlog.arrived();
    if (this.#positions.arrived(entry.id)) this.#link.gotFurther();
    this.#failover.entryCame();
    this.#deliveries.push(entry);
  }

  /** The broker keeps the permits for such an entry, and may send it with the next one. */
  #onPassedOver(entry: StoredEntry): void {
    if (this.#link.isReady && this.#failover.role !== 'standby') this.#onEntry(entry);
  }

  #onActiveChange(isActive: boolean): void {
    if (!this.#failover.announced(isActive)) return;
    if (this.#link.isReady) this.#failover.resolveDoubt();
    this.#deliveries.beginAgain();
  }

  #onPartitionLost(): void {
    this.#deliveries.drop();
    this.#positions.restarting();
    this.#acks.restart();
    this.#deliveries.serve();
  }

  #askForEnd(): void {
    if (this.end === null || this.end === 'unknown') return;
    this.#askForPosition((acknowledged) => {
      if (this.#positions.isThrough(acknowledged)) this.#deliveries.end();
    });
  }

  #askWhatWasSkipped(): void {
    const { furthest } = this.#acks;
    this.#askForPosition((acknowledged) => this.#positions.cameBack(acknowledged, furthest));
  }

  #askWhetherOurs(): void {
    this.#askForPosition((acknowledged) => this.#failover.settle(this.#positions.isOurs(acknowledged)));
  }

  /** Asks the broker how far all is acknowledged; `undefined`: it does not report it. No answer once the consumer is gone. */
  #askForPosition(onAnswer: (acknowledged: EntryId | undefined) => void): void {
    const { consumer } = this.#link;
    const answer = (acknowledged: EntryId | undefined): void => {
      if (this.#link.isCurrent(consumer)) onAnswer(acknowledged);
    };
    consumer.lastPositions().then(
      ({ acknowledged }) => answer(acknowledged),
      () => answer(undefined),
    );
  }
}
