// One partition: queues what arrives, hands it out, acknowledges, and subscribes again after the connection or the
// broker has gone. It never drops an entry that it does not get again.

import { BackupError } from '../../errors.ts';
import { compareEntries, mostEntriesBetween } from '../../format/entry-order.ts';
import { retry } from '../../lib/retry.ts';
import type {
  Backlog,
  Clock,
  Delivery,
  EntryId,
  HeldBackReason,
  Logger,
  RunPositions,
  SourcePartition,
  SubscriptionPosition,
  UnreadableEntry,
} from '../../ports.ts';
import { AckPlan } from './ack-plan.ts';
import { BrokerConsumer, type LastPositions, type Subscription } from './broker-consumer.ts';
import type { HeldChunks } from './chunks.ts';
import type { Cluster } from './cluster.ts';
import type { ConsumerEvents } from './connection.ts';
import { EntryQueue } from './entry-queue.ts';
import { EntryReader } from './entry-reader.ts';
import { FailoverState } from './failover-state.ts';
import { FlowControl } from './flow.ts';
import { Gate } from './gate.ts';
import { HeldBack } from './held-back-probe.ts';
import { loadCodec } from './protocol/decompress.ts';
import { readStoredEntry, type StoredEntry } from './protocol/entry-decoder.ts';
import { isServerError } from './protocol/server-error.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import { awayTooLong, noFurther, ReconnectBackoff } from './reconnect-backoff.ts';
import { runEnded } from './run-ended.ts';
import { startTimer, type Timings } from './timer.ts';
import { Waiter } from './waiter.ts';

/** A run does not wait longer to know how much there was at its start. */
const ENTRIES_AT_OPEN_TIMEOUT_MS = 2_000;

export interface ConsumerOptions extends Subscription {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timings: Timings;
  /** -1: the topic is not partitioned. */
  readonly partition: number;
  readonly budget: ReceiveBudget;
  /** The largest message that is put together in memory. */
  readonly limitBytes: number;
  readonly heldChunks: HeldChunks;
  /** Unique within the run. */
  readonly nextConsumerId: () => number;
  /** The end of the run: waiting and reconnecting end with it. */
  readonly signal: AbortSignal;
}

/** A partition of the topic with the consumer on it. */
export class Consumer implements SourcePartition {
  readonly partition: number;
  readonly topic: string;
  end: EntryId | null | 'unknown' = 'unknown';
  readonly canExplainSilence = true;

  readonly #options: ConsumerOptions;
  readonly #isFailover: boolean;
  readonly #isOrdered: boolean;
  readonly #queue = new EntryQueue();
  readonly #flow: FlowControl;
  readonly #reader: EntryReader;
  readonly #acks: AckPlan;
  readonly #waiter: Waiter<Delivery>;
  readonly #gate: Gate;
  readonly #failover: FailoverState;
  readonly #heldBack: HeldBack;
  #entriesAtOpen: Promise<number | undefined> | undefined;
  #state: 'connecting' | 'ready' | 'failed' | 'closed' = 'connecting';
  #failure: BackupError | undefined;
  /** Why there is no consumer at the broker, while there is none. */
  #away: BackupError | undefined;
  #atBroker: BrokerConsumer | undefined;
  /** When the outage began that lasts, or ended the consumer. */
  #awaySinceMs: number | undefined;
  /** Ends what tries to have a consumer again. */
  #endRecovery: () => void = () => undefined;
  /** Failover: until it is known whether somebody else had the partition while the connection was away. */
  #isDoubtful = false;
  #isLost = false;
  /** Nothing more comes: of the topic, or up to the end. */
  #isAtEnd = false;
  /** Somebody has asked for an entry. Before that none is asked of the broker. */
  #isRead = false;
  /** The last entry that came. */
  #lastArrived: EntryId | undefined;
  #firstArrived: EntryId | undefined;
  /** The last one of all that came, over all connections. */
  #furthest: EntryId | undefined;
  #atOpen: LastPositions | undefined;
  #atClose: LastPositions | undefined;
  /** How many entries came. */
  #arrived = 0;
  /** Without order: chunks that the broker keeps for a consumer that is gone. */
  #keptChunks = 0;
  #passedOver: RunPositions['passedOver'];
  /** Whether there was no consumer at the broker for a while: another run may have had the subscription. */
  #wasAway = false;
  readonly #backoff = new ReconnectBackoff();
  #isGrantingSoon = false;
  #acknowledged: EntryId | undefined;
  /** The consumer went away again before anybody was told that it is there. */
  #goneEarly: BackupError | undefined;
  /** The partition is not there, and was not to be had. */
  #isMissing = false;

  constructor(options: ConsumerOptions) {
    const { subType, clock } = options;
    const isOrdered = subType === SUBSCRIPTION_TYPE.Exclusive || subType === SUBSCRIPTION_TYPE.Failover;
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.#isFailover = subType === SUBSCRIPTION_TYPE.Failover;
    this.#isOrdered = isOrdered;
    // On shared subscriptions permits that are not used are messages that other consumers do not get.
    this.#flow = new FlowControl(options.budget, isOrdered ? 5_000 : 1_000);
    this.#acks = new AckPlan(isOrdered);
    this.#reader = new EntryReader(options, isOrdered, this.#acks);
    this.#waiter = new Waiter(clock, (waitedMs) => this.#onIdle(waitedMs));
    this.#gate = new Gate(clock, options.timings.operationTimeoutMs, options.topic);
    this.#failover = new FailoverState(this.#isFailover, clock, options.timings, () => this.#serve());
    const { topic, nextConsumerId, limitBytes } = options;
    this.#heldBack = new HeldBack({
      ...{ topic, isOrdered, clock, nextConsumerId, limitBytes },
      consumer: () => this.#consumer(),
      position: () => this.#position(),
      incompleteChunks: () => this.#reader.incompleteEntries + this.#keptChunks,
      leftOutChunks: () => this.#reader.leftOutEntries,
      onPassedOver: (entry) => this.#onPassedOver(entry),
    });
  }

  /**
   * Subscribes for the first time and takes the bound of the run; `onProgress` is called after each of both.
   * @throws BackupError `source`
   */
  async open(onProgress: () => void): Promise<void> {
    const isThere = await this.#subscribeFirst();
    onProgress();
    if (!isThere) return;
    this.#becomeReady();
    // Asked before the end: so it does not count what is published behind that.
    this.#entriesAtOpen = this.#consumer()
      .backlogEntries(ENTRIES_AT_OPEN_TIMEOUT_MS)
      .catch(() => undefined);
    this.#atOpen = await this.#positionsAtOpen();
    onProgress();
    if (this.#atOpen === undefined) {
      // What there is, if anything, ends with a silence.
      this.end = (await this.#entriesAtOpen) === 0 ? null : 'unknown';
      return;
    }
    const { last, acknowledged } = this.#atOpen;
    this.#acknowledged = acknowledged;
    if (acknowledged !== undefined) this.#acks.closed(acknowledged);
    const isDrained =
      last !== undefined && acknowledged !== undefined && compareEntries(acknowledged, last) >= 0;
    this.end = last === undefined || isDrained ? null : last;
  }

  next(idleMs: number): Promise<Delivery> {
    this.#isRead = true;
    this.#reader.passed();
    const delivery = this.#take();
    if (delivery !== undefined) return delivery;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#options.signal.aborted) return Promise.reject(runEnded(this.#away));
    const waiting = this.#waiter.wait(idleMs);
    if (this.#flow.hasNoPermits) this.#grantPermits();
    return waiting;
  }

  async acknowledge(entries: readonly EntryId[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined) return;
    await this.#ready();
    const steps = this.#acks.steps(entries);
    const { cumulative, individual } = steps;
    const consumer = this.#consumer();
    // From the end: as long as something of an object is not acknowledged, its first message is not, and finds it.
    await consumer.acknowledgeEach([...individual].reverse());
    if (cumulative !== undefined) await consumer.acknowledgeUpTo(cumulative);
    this.#acks.acknowledged(entries, steps);
    this.#reader.passed();
    if (this.#isOrdered && individual.length > 0) this.#lookForHole(consumer);
    this.#backoff.gotFurther();
    if (this.#acknowledged === undefined || compareEntries(this.#acknowledged, last) < 0) {
      this.#acknowledged = last;
    }
  }

  /** The hole behind which all was acknowledged singly may be nobody's: then the broker has closed it. */
  #lookForHole(consumer: BrokerConsumer): void {
    if (!this.#acks.isTold) return;
    consumer.lastPositions().then(
      ({ acknowledged }) => {
        if (acknowledged !== undefined) this.#acks.closed(acknowledged);
      },
      () => undefined,
    );
  }

  async restart(): Promise<void> {
    this.#dropQueue();
    this.#isLost = false;
    this.#wasAway = true;
    this.#acks.restart();
    if (this.#state === 'ready') {
      this.#state = 'connecting';
      await this.#leave(this.#options.timings.operationTimeoutMs);
      this.#recover();
    } else if (this.#state === 'failed') this.#recover();
    await this.#ready();
  }

  untilActive(signal: AbortSignal): Promise<boolean> {
    return this.#failover.untilActive(signal);
  }

  async isDrained(): Promise<boolean> {
    const { end } = this;
    if (end === null || end === 'unknown') return true;
    try {
      await this.#ready();
      const { acknowledged } = await this.#consumer().lastPositions();
      return acknowledged === undefined || compareEntries(acknowledged, end) >= 0;
    } catch {
      return true;
    }
  }

  async backlog(): Promise<Backlog | undefined> {
    if (this.#isMissing) return { entries: 0 };
    try {
      await this.#ready();
      const told = await this.#consumer()
        .backlogEntries()
        .catch(() => undefined);
      const entries = told ?? (await this.#noEntries());
      const next = this.#queue.peek()?.metadata?.publishTimeMs;
      if (entries === undefined) return undefined;
      return { entries, ...(next === undefined ? {} : { nextPublishTimeMs: next }) };
    } catch {
      return undefined;
    }
  }

  /** 0 where all is acknowledged, by the positions alone. */
  async #noEntries(): Promise<0 | undefined> {
    const { last, acknowledged } = await this.#consumer().lastPositions();
    if (last === undefined || acknowledged === undefined) return undefined;
    return compareEntries(acknowledged, last) >= 0 ? 0 : undefined;
  }

  entriesAtOpen(): Promise<number | undefined> {
    return this.#entriesAtOpen ?? Promise.resolve(undefined);
  }

  async heldBack(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    try {
      await this.#ready();
      return await this.#heldBack.reasons(entries, quietMs);
    } catch {
      return undefined;
    }
  }

  async nextBehind(id: EntryId): Promise<EntryId | undefined> {
    return this.#state === 'ready' ? this.#heldBack.nextBehind(id) : undefined;
  }

  positions(): RunPositions {
    const begin = positionOf(this.#atOpen);
    const first = this.#isOrdered ? this.#firstArrived : undefined;
    const beforeFirst = first && { ledgerId: first.ledgerId, entryId: first.entryId - 1 };
    // Where the broker tells positions, only its own word counts: it may have gone further than we acknowledged.
    const acknowledged = this.#isOrdered && begin === undefined ? this.#acknowledged : undefined;
    return {
      begin: begin ?? (beforeFirst && { acknowledged: beforeFirst, last: this.#atOpen?.last }),
      isBeginKnown: begin !== undefined,
      end: positionOf(this.#atClose) ?? (acknowledged && { acknowledged, last: this.#atClose?.last }),
      passedOver: this.#passedOver,
    };
  }

  async giveUpChunks(publishedBeforeMs: number): Promise<readonly UnreadableEntry[]> {
    const given = this.#reader.giveUpChunks(publishedBeforeMs);
    if (given.length > 0) return given;
    this.#reader.logIncomplete();
    if (this.#isOrdered) return [];
    try {
      await this.#ready();
      this.#keptChunks = 0;
      const left = await this.#consumer().backlogEntries();
      if (left === undefined || left <= this.#reader.incompleteEntries) return [];
      const found = await this.#heldBack.firstChunks();
      const kept = this.#reader.giveUpFound(found, publishedBeforeMs);
      if (kept.length === 0) this.#keptChunks = found.length;
      return kept;
    } catch {
      return [];
    }
  }

  /** The run ends: nobody waits any more. Acknowledgements on a live connection still work. */
  abort(): void {
    const error = runEnded(this.#away);
    this.#waiter.reject(error);
    this.#gate.fail(error);
  }

  /** Ends the consumer, awaited; the subscription stays. Never throws. */
  async close(): Promise<void> {
    const wasReady = this.#state === 'ready';
    this.#state = 'closed';
    this.#failure = new BackupError('source', `the consumer of ${this.topic} is closed`);
    this.#waiter.reject(this.#failure);
    this.#waiter.stop();
    this.#failover.end();
    this.#gate.fail(this.#failure);
    this.#dropQueue();
    this.#endRecovery();
    const { closeTimeoutMs } = this.#options.timings;
    // One right behind the other: while there is a consumer, the broker acknowledges markers by itself.
    const consumer = wasReady ? this.#consumer() : undefined;
    const asking = consumer?.lastPositions(closeTimeoutMs).catch(() => undefined);
    if (wasReady && this.#isCutShort) this.#passedOver = await this.#lookForPassedOver(await asking);
    const uploading = this.#leave(closeTimeoutMs);
    this.#atClose = await asking;
    await uploading;
  }

  /** The end of the run's range has not come, and nobody else can have had the subscription. */
  get #isCutShort(): boolean {
    const { end } = this;
    const isAlone = this.#options.subType === SUBSCRIPTION_TYPE.Exclusive && !this.#wasAway;
    if (!isAlone || end === null || end === 'unknown') return false;
    return this.#furthest === undefined || compareEntries(this.#furthest, end) < 0;
  }

  /** Acknowledged without having come: markers and the like, if a reader gets nothing of it; else somebody moved us. */
  async #lookForPassedOver(told: LastPositions | undefined): Promise<RunPositions['passedOver']> {
    const from = this.#furthest ?? this.#atOpen?.acknowledged;
    const to = told?.acknowledged;
    if (from === undefined || to === undefined || compareEntries(to, from) <= 0) return undefined;
    if (!(await this.#mayBePassedOver())) return undefined;
    const next = await this.#heldBack.nextBehind(from);
    return next !== undefined && compareEntries(next, to) <= 0 ? { from, to } : undefined;
  }

  /**
   * A reader gets what earlier runs acknowledged singly, behind a hole that has closed since, too: so it says something
   * only where there was none of that, and not all that was left has come.
   */
  async #mayBePassedOver(): Promise<boolean> {
    const left = await this.entriesAtOpen();
    const { acknowledged } = this.#atOpen ?? {};
    const { end } = this;
    if (left === undefined || this.#arrived >= left) return false;
    if (acknowledged === undefined || end === null || end === 'unknown') return false;
    const most = mostEntriesBetween(acknowledged, end);
    return !Number.isFinite(most) || most <= left;
  }

  // --- handing out

  #take(): Promise<Delivery> | undefined {
    if (this.#isLost) {
      this.#isLost = false;
      return Promise.resolve({ kind: 'lost' });
    }
    const entry = this.#queue.shift();
    if (entry === undefined) {
      if (this.#state !== 'ready') return undefined;
      if (this.#failover.isOnStandby) return Promise.resolve({ kind: 'standby' });
      return this.#isAtEnd ? Promise.resolve({ kind: 'end' }) : undefined;
    }
    this.#flow.taken(entry.sizeBytes);
    this.#grantPermitsSoon();
    const loading = loadCodec(entry.metadata?.compression ?? 0);
    return loading === undefined
      ? Promise.resolve(this.#reader.read(entry))
      : loading.then(() => this.#reader.read(entry));
  }

  #serve(): void {
    if (!this.#waiter.isWaiting) return;
    const delivery = this.#take();
    if (delivery !== undefined) this.#waiter.resolve(delivery);
  }

  #onIdle(waitedMs: number): void {
    // While the connection is away nothing is said; the time begins again when it is back.
    if (this.#state !== 'ready') return;
    const { activationTimeoutMs } = this.#options.timings;
    const { state } = this.#failover;
    if (this.#isDoubtful && state === 'active') this.#waiter.beginAgain();
    else if (state === 'active') {
      this.#askAgain();
      this.#waiter.resolve({ kind: 'idle' });
    } else if (state === 'inactive' || waitedMs >= activationTimeoutMs) {
      this.#waiter.resolve({ kind: 'standby' });
    } else this.#waiter.extend(activationTimeoutMs);
  }

  #dropQueue(): void {
    this.#queue.clear();
    this.#reader.reset();
    this.#flow.dropped();
  }

  /** Once for all that one turn of the event loop brings: each FLOW is a system call. */
  #grantPermitsSoon(): void {
    if (this.#isGrantingSoon) return;
    this.#isGrantingSoon = true;
    setImmediate(() => {
      this.#isGrantingSoon = false;
      this.#grantPermits();
    });
  }

  #grantPermits(): void {
    if (this.#state !== 'ready' || this.#isDoubtful || !this.#isRead) return;
    const permits = this.#flow.grant(this.#waiter.isWaiting, this.#mostEntriesToEnd());
    if (permits > 0) this.#atBroker?.grantPermits(permits);
  }

  /**
   * Nothing came although the end is not reached. A broker that has just made a consumer the active one ignores a FLOW
   * that comes too soon (PersistentDispatcherSingleActiveConsumer, internalConsumerFlow): it counts the permits, and
   * reads nothing until the next FLOW.
   */
  #askAgain(): void {
    if (!this.#isOrdered || this.end === 'unknown') return;
    this.#flow.gave(1);
    this.#atBroker?.grantPermits(1);
  }

  /** What is behind the run's range is not read ahead; who goes on there waits for each. */
  #mostEntriesToEnd(): number {
    const { end } = this;
    const last = this.#lastArrived;
    if (!this.#isOrdered || last === undefined || end === null || end === 'unknown') {
      return Number.POSITIVE_INFINITY;
    }
    const most = mostEntriesBetween(last, end);
    return most === 0 && this.#waiter.isWaiting ? Number.POSITIVE_INFINITY : most;
  }

  /** How far this consumer has come, whatever of it is acknowledged. */
  #position(): EntryId | undefined {
    const acknowledged = this.#acknowledged;
    const furthest = this.#furthest;
    if (acknowledged === undefined || furthest === undefined) return acknowledged ?? furthest;
    return compareEntries(acknowledged, furthest) > 0 ? acknowledged : furthest;
  }

  // --- coming and going

  #consumer(): BrokerConsumer {
    return this.#atBroker as BrokerConsumer;
  }

  /**
   * False where the topic has the partition, and the broker has deleted it and makes no new one, for whoever asks: then
   * there is nothing to drain. A topic that is not partitioned is asked for as it is, so that none is created.
   */
  async #subscribeFirst(): Promise<boolean> {
    try {
      await this.#subscribe();
      return true;
    } catch (error) {
      if (this.partition < 0 || !isNoTopic(error)) throw error;
    }
    try {
      await this.#subscribe(true);
      return true;
    } catch (error) {
      if (!isNoTopic(error)) throw error;
      this.#options.logger.warn({ topic: this.topic, reason: error.message }, 'partition missing');
      this.#isMissing = true;
      this.#fail(error);
      this.end = null;
      return false;
    }
  }

  /** `undefined`: brokers of 2.7 refuse to tell where the ledger of the last message is deleted. */
  async #positionsAtOpen(): Promise<LastPositions | undefined> {
    try {
      return await this.#consumer().lastPositions();
    } catch (error) {
      if (!isServerError(error, 'MetadataError')) throw error;
      return undefined;
    }
  }

  async #subscribe(createsTopic = false): Promise<void> {
    const { cluster, nextConsumerId } = this.#options;
    this.#assertGoesOn();
    const connection = await cluster.locate(this.topic);
    this.#assertGoesOn();
    const consumer = new BrokerConsumer(connection, nextConsumerId(), this.topic);
    this.#atBroker = consumer;
    this.#failover.begin();
    this.#isAtEnd = false;
    this.#goneEarly = undefined;
    this.#lastArrived = undefined;
    this.#flow.reset();
    await consumer.subscribe({ ...this.#options, createsTopic }, this.#events(consumer));
    this.#assertGoesOn();
    if (this.#goneEarly !== undefined) throw this.#goneEarly;
  }

  /** Nothing is asked of the broker after the end. @throws BackupError `source` */
  #assertGoesOn(): void {
    if (this.#state === 'closed') throw this.#failure;
    if (this.#options.signal.aborted) throw runEnded(this.#away);
  }

  async #subscribeAgain(): Promise<void> {
    try {
      await this.#subscribe();
    } catch (error) {
      // Brokers take a while to see that the connection of before is dead.
      if (!isServerError(error, 'ConsumerBusy')) throw error;
      const { message, hint, details } = error as BackupError;
      throw new BackupError('source', message, {
        retryable: true,
        ...(hint === undefined ? {} : { hint }),
        details,
        cause: error,
      });
    }
  }

  #becomeReady(): void {
    this.#state = 'ready';
    this.#failure = undefined;
    this.#away = undefined;
    this.#awaySinceMs = undefined;
    this.#grantPermits();
    this.#waiter.beginAgain();
    this.#gate.open();
    this.#serve();
  }

  async #leave(timeoutMs: number): Promise<void> {
    const consumer = this.#atBroker;
    this.#atBroker = undefined;
    await consumer?.close(timeoutMs);
  }

  #onGone(cause: BackupError): void {
    if (this.#state === 'connecting') this.#goneEarly = cause;
    if (this.#state !== 'ready') return;
    this.#options.logger.warn({ topic: this.topic, reason: cause.message }, 'consumer lost');
    this.#wasAway = true;
    this.#dropQueue();
    this.#atBroker = undefined;
    this.#away = cause;
    const pauseMs = this.#backoff.another();
    if (pauseMs === undefined) this.#fail(noFurther(`receiving from ${this.topic}`, cause));
    else this.#recover(pauseMs);
  }

  /** Looks up and subscribes again until it works, the run ends, or the error is one that stays. */
  #recover(pauseMs = 0): void {
    const { clock, timings, signal, logger } = this.#options;
    if (this.#state === 'closed') return;
    this.#state = 'connecting';
    this.#failure = undefined;
    this.#flow.reset();
    const ended = new AbortController();
    const onEnd = (): void => ended.abort();
    signal.addEventListener('abort', onEnd);
    this.#endRecovery = onEnd;
    if (signal.aborted) onEnd();
    this.#awaySinceMs ??= clock.now();
    const leftMs = Math.max(0, this.#awaySinceMs + timings.reconnectTimeoutMs - clock.now());
    let isTooLong = false;
    const cancelTimer = startTimer(clock, leftMs, () => {
      isTooLong = true;
      onEnd();
    });
    const attempts = Number.POSITIVE_INFINITY;
    const onRetry = (error: BackupError): void => {
      this.#away = error;
    };
    const pause = pauseMs === 0 ? Promise.resolve() : clock.sleep(pauseMs, ended.signal);
    const options = { clock, signal: ended.signal, attempts, baseDelayMs: 100, onRetry };
    pause
      .catch(() => {
        throw this.#away;
      })
      .then(() => retry(() => this.#subscribeAgain(), options))
      .then(
        async () => {
          if (this.#state !== 'connecting') {
            await this.#leave(timings.closeTimeoutMs);
            return;
          }
          logger.info({ topic: this.topic }, 'consumer reconnected');
          this.#isDoubtful = this.#isFailover && this.#acks.hasOpen;
          this.#becomeReady();
          if (this.#failover.state !== 'unknown') this.#onActivityKnown();
        },
        (error: BackupError) => {
          const isOutage = isTooLong && error.retryable;
          this.#fail(isOutage ? awayTooLong(this.topic, timings.reconnectTimeoutMs, error) : error);
        },
      )
      .finally(() => {
        cancelTimer();
        signal.removeEventListener('abort', onEnd);
      });
  }

  #fail(error: BackupError): void {
    if (this.#state === 'closed') return;
    this.#state = 'failed';
    this.#failure = error;
    this.#failover.end();
    this.#waiter.reject(error);
    this.#gate.fail(error);
  }

  // --- what the broker tells

  #events(consumer: BrokerConsumer): ConsumerEvents {
    const ifCurrent =
      <T extends unknown[]>(action: (...args: T) => void) =>
      (...args: T): void => {
        if (this.#atBroker === consumer) action(...args);
      };
    return {
      onEntry: ifCurrent((id, bytes, ackSet) => this.#onEntry(readStoredEntry(id, bytes, ackSet))),
      onActiveChange: ifCurrent((isActive) => this.#onActiveChange(isActive)),
      onEndOfTopic: ifCurrent(() => {
        this.#isAtEnd = true;
        this.#serve();
      }),
      onClosedByBroker: ifCurrent(() => {
        consumer.detach();
        this.#onGone(
          new BackupError('source', `the broker closed the consumer of ${this.topic}`, { retryable: true }),
        );
      }),
      onConnectionLost: ifCurrent((error) => this.#onGone(error)),
      onFault: ifCurrent((error) => this.#fail(error)),
    };
  }

  /** The broker keeps its permits for it, and sends it perhaps with the next entry. */
  #onPassedOver(entry: StoredEntry): void {
    if (this.#state !== 'ready' || this.#failover.isOnStandby) return;
    this.#onEntry(entry);
  }

  #onEntry(entry: StoredEntry): void {
    this.#heldBack.reset();
    this.#arrived++;
    this.#lastArrived = entry.id;
    this.#firstArrived ??= entry.id;
    if (this.#furthest === undefined || compareEntries(entry.id, this.#furthest) > 0) {
      this.#furthest = entry.id;
      this.#backoff.gotFurther();
    }
    this.#flow.arrived(entry.sizeBytes, entry.permits);
    this.#failover.entryCame();
    this.#queue.push(entry);
    this.#serve();
    this.#flow.holdBack(this.#consumer());
    this.#grantPermitsSoon();
  }

  #onActiveChange(isActive: boolean): void {
    const before = this.#failover.told(isActive);
    if (before === undefined) return;
    if (before === 'active') {
      this.#dropQueue();
      this.#lose();
    } else if (before === 'inactive') this.#lookForEnd();
    if (this.#state === 'ready') this.#onActivityKnown();
    this.#waiter.beginAgain();
  }

  /** The one that was active before may have left nothing. */
  #lookForEnd(): void {
    const { end } = this;
    const consumer = this.#consumer();
    if (end === null || end === 'unknown') return;
    consumer.lastPositions().then(
      ({ acknowledged }) => {
        if (this.#atBroker !== consumer || acknowledged === undefined) return;
        if (compareEntries(acknowledged, end) < 0) return;
        this.#isAtEnd = true;
        this.#serve();
      },
      () => undefined,
    );
  }

  /** After a reconnect on Failover: another consumer may have acknowledged what was handed out here. */
  #onActivityKnown(): void {
    if (!this.#isDoubtful) return;
    const { state } = this.#failover;
    if (state === 'inactive') this.#settleDoubt(true);
    else if (state === 'active') {
      const consumer = this.#consumer();
      consumer.lastPositions().then(
        ({ acknowledged }) => {
          if (this.#atBroker === consumer) this.#settleDoubt(this.#isBeyondOurs(acknowledged));
        },
        () => {
          if (this.#atBroker === consumer) this.#settleDoubt(true);
        },
      );
    }
  }

  #isBeyondOurs(acknowledged: EntryId | undefined): boolean {
    if (acknowledged === undefined || this.#acknowledged === undefined) return true;
    // Before ours: there is a hole, and what others have acknowledged behind it cannot be told.
    return compareEntries(acknowledged, this.#acknowledged) !== 0;
  }

  #settleDoubt(isLost: boolean): void {
    if (!this.#isDoubtful) return;
    this.#isDoubtful = false;
    if (isLost) this.#lose();
    this.#grantPermits();
  }

  #lose(): void {
    this.#isDoubtful = false;
    this.#acks.restart();
    this.#isLost = true;
    this.#serve();
  }

  /** Resolves when there is a consumer at the broker. @throws BackupError `source`, retryable where it took too long */
  async #ready(): Promise<void> {
    if (this.#state === 'ready') return;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#options.signal.aborted) throw runEnded(this.#away);
    await this.#gate.wait();
  }
}

function positionOf(told: LastPositions | undefined): SubscriptionPosition | undefined {
  const { acknowledged, last } = told ?? {};
  return acknowledged && { acknowledged, last };
}

/** The broker, or its HTTP address, does not have the topic. */
const isNoTopic = (error: unknown): error is BackupError =>
  isServerError(error, 'TopicNotFound') ||
  (error instanceof BackupError && error.details['httpStatus'] === 404);
