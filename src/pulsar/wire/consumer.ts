// One partition's consumer: subscribes, queues what arrives, hands it out, acknowledges, and comes back after the
// connection or the broker has gone. It never drops an entry that it does not get again.
import { BackupError } from '../../errors.ts';
import type {
  Backlog,
  Clock,
  Delivery,
  EntryId,
  Logger,
  ReadableEntry,
  SourcePartition,
  UnreadableEntry,
} from '../../ports.ts';
import { retry } from '../../retry.ts';
import { AckPlan } from './ack-plan.ts';
import { ChunkJoiner, isChunk } from './chunks.ts';
import type { Cluster } from './cluster.ts';
import type { Fields } from './codec.ts';
import type { Connection, ConsumerEvents } from './connection.ts';
import { loadCodec } from './decompress.ts';
import {
  type DecodeContext,
  decodeEntry,
  decodePayload,
  readStoredEntry,
  type StoredEntry,
  unreadable,
} from './entry-decoder.ts';
import { compareEntries } from './entry-order.ts';
import { FlowControl } from './flow.ts';
import type { CommandFields } from './frame.ts';
import { ACK_TYPE, INITIAL_POSITION, SUBSCRIPTION_TYPE } from './protocol-tables.ts';
import { isServerError } from './server-error.ts';
import { startTimer, type Timings } from './timer.ts';
import { Waiter } from './waiter.ts';

/** Brokers from this protocol version on confirm acknowledgements. */
const ACK_RECEIPTS_SINCE = 17;
const MOST_IDS_PER_ACK = 1_000;

export interface ConsumerOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timings: Timings;
  readonly topic: string;
  /** -1: the topic is not partitioned. */
  readonly partition: number;
  readonly subscription: string;
  readonly subType: number;
  readonly initialPosition: 'earliest' | 'latest';
  /** This partition's part of the receive budget. */
  readonly shareBytes: number;
  /** The largest message that is put together in memory. */
  readonly limitBytes: number;
  /** Unique within the run. */
  readonly nextConsumerId: () => number;
  /** The end of the run: waiting and reconnecting end with it. */
  readonly signal: AbortSignal;
}

type State = 'new' | 'connecting' | 'ready' | 'failed' | 'closed';

interface Ready {
  readonly resolve: () => void;
  readonly reject: (error: BackupError) => void;
}

/** A partition of the topic with the consumer on it. */
export class Consumer implements SourcePartition {
  readonly partition: number;
  readonly topic: string;
  end: EntryId | null | 'unknown' = 'unknown';

  readonly #options: ConsumerOptions;
  readonly #context: DecodeContext;
  readonly #isFailover: boolean;
  readonly #flow: FlowControl;
  readonly #chunks: ChunkJoiner;
  readonly #acks: AckPlan;
  readonly #waiter: Waiter<Delivery>;
  #state: State = 'new';
  #failure: BackupError | undefined;
  #connection: Connection | undefined;
  #consumerId = -1;
  #queue: StoredEntry[] = [];
  #queueHead = 0;
  /** Failover: what the broker has said of this consumer since it subscribed. */
  #activity: 'unknown' | 'active' | 'inactive';
  #isLost = false;
  #isAtEnd = false;
  #whenReady: Ready[] = [];

  constructor(options: ConsumerOptions) {
    const { subType } = options;
    const isOrdered = subType === SUBSCRIPTION_TYPE.Exclusive || subType === SUBSCRIPTION_TYPE.Failover;
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.#context = options;
    this.#isFailover = subType === SUBSCRIPTION_TYPE.Failover;
    this.#activity = this.#isFailover ? 'unknown' : 'active';
    // On shared subscriptions permits not used are messages that other consumers do not get.
    this.#flow = new FlowControl(options.shareBytes, isOrdered ? 5_000 : 1_000);
    this.#acks = new AckPlan(isOrdered);
    this.#chunks = new ChunkJoiner({
      limitBytes: options.limitBytes,
      isOrdered,
      onLeftOut: (uuid) =>
        options.logger.warn({ topic: options.topic, uuid }, 'chunked message left for a later run'),
    });
    this.#waiter = new Waiter(options.clock, (waitedMs) => this.#onIdle(waitedMs));
  }

  /** Subscribes for the first time and takes the bound of the run. @throws BackupError `source` */
  async open(): Promise<void> {
    this.#state = 'connecting';
    await this.#subscribe();
    this.#becomeReady();
    this.end = await this.#findEnd();
  }

  next(idleMs: number): Promise<Delivery> {
    const delivery = this.#take();
    if (delivery !== undefined) return delivery;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#options.signal.aborted) return Promise.reject(runEnded());
    return this.#waiter.wait(idleMs);
  }

  async acknowledge(entries: readonly EntryId[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#ready();
    const { cumulative, individual } = this.#acks.steps(entries);
    const acks: Promise<unknown>[] = [];
    if (cumulative !== undefined) acks.push(this.#sendAck(ACK_TYPE.Cumulative, [cumulative]));
    for (let at = 0; at < individual.length; at += MOST_IDS_PER_ACK) {
      acks.push(this.#sendAck(ACK_TYPE.Individual, individual.slice(at, at + MOST_IDS_PER_ACK)));
    }
    await Promise.all(acks);
    this.#acks.acknowledged(entries);
  }

  async restart(): Promise<void> {
    this.#dropQueue();
    this.#isLost = false;
    this.#acks.restart();
    if (this.#state === 'ready') {
      this.#state = 'connecting';
      await this.#leave(this.#options.timings.operationTimeoutMs);
      this.#recover();
    } else if (this.#state === 'failed') this.#recover();
    await this.#ready();
  }

  async backlog(): Promise<Backlog | undefined> {
    try {
      await this.#ready();
      const { consumerStatsResponse } = await this.#ask('consumerStats', 'the backlog');
      const entries = (consumerStatsResponse as CommandFields<'consumerStatsResponse'>).msgBacklog;
      return typeof entries === 'number' ? { entries } : undefined;
    } catch {
      return undefined;
    }
  }

  /** The run ends: nobody waits any more. Acknowledgements on a live connection still work. */
  abort(): void {
    this.#waiter.reject(runEnded());
    this.#settleReady(runEnded());
  }

  /** Unsubscribes nobody: ends the consumer, awaited. Never throws. */
  async close(): Promise<void> {
    const wasReady = this.#state === 'ready';
    this.#state = 'closed';
    this.#failure = new BackupError('source', `the consumer of ${this.topic} is closed`);
    this.#waiter.reject(this.#failure);
    this.#waiter.stop();
    this.#settleReady(this.#failure);
    this.#dropQueue();
    if (wasReady) await this.#leave(this.#options.timings.closeTimeoutMs);
  }

  // --- what is handed out

  #take(): Promise<Delivery> | undefined {
    if (this.#isLost) {
      this.#isLost = false;
      return Promise.resolve({ kind: 'lost' });
    }
    const entry = this.#queue[this.#queueHead];
    if (entry === undefined) {
      return this.#isAtEnd && this.#state === 'ready' ? Promise.resolve({ kind: 'end' }) : undefined;
    }
    this.#queueHead++;
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    } else if (this.#queueHead >= 1_024) {
      this.#queue.splice(0, this.#queueHead);
      this.#queueHead = 0;
    }
    this.#flow.taken(entry.sizeBytes);
    this.#giveMorePermits();
    const loading = loadCodec(entry.metadata?.compression ?? 0);
    return loading === undefined
      ? Promise.resolve(this.#deliver(entry))
      : loading.then(() => this.#deliver(entry));
  }

  #deliver(entry: StoredEntry): Delivery {
    const { metadata } = entry;
    if (entry.fault === undefined && isChunk(metadata)) return this.#deliverChunk(entry, metadata);
    this.#acks.handOut(entry.id);
    return decodeEntry(entry, this.#context);
  }

  #deliverChunk(entry: StoredEntry, metadata: NonNullable<StoredEntry['metadata']>): Delivery {
    const uuid = metadata.uuid as string;
    const result = this.#chunks.add(entry, metadata);
    if (result.kind === 'pending') {
      this.#acks.sawChunk(uuid, entry.id);
      return { kind: 'pending', id: entry.id };
    }
    this.#acks.handOut(entry.id, { uuid, ids: result.ids });
    if (result.kind === 'broken') {
      return { ...unreadable(entry, this.topic, result.reason), raw: result.raw };
    }
    return this.#decodeJoined(entry, result.metadata, result.payload);
  }

  #decodeJoined(
    entry: StoredEntry,
    metadata: NonNullable<StoredEntry['metadata']>,
    payload: Buffer,
  ): ReadableEntry | UnreadableEntry {
    try {
      return decodePayload(entry.id, metadata, payload, this.#context);
    } catch (error) {
      return { ...unreadable(entry, this.topic, (error as Error).message), raw: payload };
    }
  }

  #serve(): void {
    if (!this.#waiter.isWaiting) return;
    const delivery = this.#take();
    if (delivery !== undefined) this.#waiter.resolve(delivery);
  }

  #onIdle(waitedMs: number): void {
    // While the connection is away nothing is said; the time begins again when it is back.
    if (this.#state !== 'ready') return;
    if (this.#activity === 'active') this.#waiter.resolve({ kind: 'idle' });
    else if (this.#activity === 'inactive' || waitedMs >= this.#options.timings.activationTimeoutMs) {
      this.#waiter.resolve({ kind: 'standby' });
    } else this.#waiter.extend(this.#options.timings.activationTimeoutMs);
  }

  #dropQueue(): void {
    this.#queue = [];
    this.#queueHead = 0;
    this.#chunks.reset();
    this.#flow.dropped();
  }

  // --- the consumer at the broker

  async #subscribe(): Promise<void> {
    const { cluster, subscription, subType, initialPosition } = this.#options;
    const connection = await cluster.locate(this.topic);
    const consumerId = this.#options.nextConsumerId();
    this.#connection = connection;
    this.#consumerId = consumerId;
    this.#activity = this.#isFailover ? 'unknown' : 'active';
    this.#isAtEnd = false;
    connection.attach(consumerId, this.#events(consumerId));
    try {
      await connection.request(
        'subscribe',
        {
          topic: this.topic,
          subscription,
          subType,
          consumerId,
          durable: true,
          initialPosition:
            initialPosition === 'earliest' ? INITIAL_POSITION.Earliest : INITIAL_POSITION.Latest,
          forceTopicCreation: false,
        },
        `the subscription "${subscription}" to ${this.topic}`,
      );
    } catch (error) {
      connection.detach(consumerId);
      // If only its answer is late, the broker must not keep a consumer that nobody reads.
      if (error instanceof BackupError && error.outcomeUnknown) {
        connection.send('closeConsumer', { consumerId, requestId: 0 });
      }
      throw error;
    }
  }

  #becomeReady(): void {
    this.#state = 'ready';
    this.#failure = undefined;
    this.#flow.reset();
    this.#giveMorePermits();
    this.#waiter.beginAgain();
    this.#settleReady();
    this.#serve();
  }

  /** Ends the consumer at the broker, whatever comes of it. */
  async #leave(timeoutMs: number): Promise<void> {
    const connection = this.#connection;
    const consumerId = this.#consumerId;
    this.#consumerId = -1;
    if (connection === undefined) return;
    connection.detach(consumerId);
    await connection
      .request('closeConsumer', { consumerId }, `closing the consumer of ${this.topic}`, timeoutMs)
      .catch(() => undefined);
  }

  #onGone(cause: BackupError): void {
    if (this.#state !== 'ready') return;
    this.#options.logger.warn({ topic: this.topic, reason: cause.message }, 'consumer lost');
    this.#state = 'connecting';
    this.#dropQueue();
    this.#recover();
  }

  /** Looks up and subscribes again until it works, the run ends, or the error is one that stays. */
  #recover(): void {
    const { clock, timings, signal, logger } = this.#options;
    this.#state = 'connecting';
    this.#failure = undefined;
    const ended = new AbortController();
    const onEnd = (): void => ended.abort();
    signal.addEventListener('abort', onEnd);
    const cancelTimer = startTimer(clock, timings.reconnectTimeoutMs, onEnd);
    retry(() => this.#subscribeAgain(), {
      clock,
      signal: ended.signal,
      attempts: Number.POSITIVE_INFINITY,
      baseDelayMs: 100,
    })
      .then(
        () => {
          if (this.#state !== 'connecting') return this.#leave(timings.closeTimeoutMs);
          logger.info({ topic: this.topic }, 'consumer reconnected');
          // Another consumer may have had the partition meanwhile, and have acknowledged what was handed out here.
          if (this.#isFailover && this.#acks.hasOpen) this.#lose();
          this.#becomeReady();
          return undefined;
        },
        (error: unknown) => this.#fail(error as BackupError),
      )
      .finally(() => {
        cancelTimer();
        signal.removeEventListener('abort', onEnd);
      });
  }

  async #subscribeAgain(): Promise<void> {
    if (this.#state === 'closed') throw this.#failure;
    try {
      await this.#subscribe();
    } catch (error) {
      // Brokers take a while to see that the connection of before is dead.
      if (!isServerError(error, 'ConsumerBusy')) throw error;
      throw new BackupError('source', (error as BackupError).message, {
        retryable: true,
        hint: 'Another consumer holds the subscription: give this rule a subscription of its own, or stop the other consumer.',
        cause: error,
      });
    }
  }

  #fail(error: BackupError): void {
    if (this.#state === 'closed') return;
    this.#state = 'failed';
    this.#failure = error;
    this.#waiter.reject(error);
    this.#settleReady(error);
  }

  #lose(): void {
    this.#acks.restart();
    this.#isLost = true;
  }

  #events(consumerId: number): ConsumerEvents {
    const isCurrent = (): boolean => this.#consumerId === consumerId;
    return {
      onEntry: (id, bytes) => {
        if (isCurrent() && this.#state === 'ready') this.#onEntry(id, bytes);
      },
      onActiveChange: (isActive) => {
        if (isCurrent()) this.#onActiveChange(isActive);
      },
      onEndOfTopic: () => {
        if (!isCurrent()) return;
        this.#isAtEnd = true;
        this.#serve();
      },
      onClosedByBroker: () => {
        if (!isCurrent()) return;
        this.#connection?.detach(consumerId);
        this.#onGone(
          new BackupError('source', `the broker closed the consumer of ${this.topic}`, { retryable: true }),
        );
      },
      onConnectionLost: (error) => {
        if (isCurrent()) this.#onGone(error);
      },
      onFault: (error) => {
        if (isCurrent()) this.#fail(error);
      },
    };
  }

  #onEntry(id: EntryId, bytes: Buffer): void {
    const entry = readStoredEntry(id, bytes);
    this.#flow.arrived(entry.sizeBytes, entry.permits);
    if (this.#activity === 'unknown') this.#activity = 'active';
    this.#queue.push(entry);
    this.#serve();
    this.#giveMorePermits();
  }

  #onActiveChange(isActive: boolean): void {
    const wasActive = this.#activity === 'active';
    if (!this.#isFailover || wasActive === isActive) {
      if (this.#isFailover) this.#activity = isActive ? 'active' : 'inactive';
      return;
    }
    this.#activity = isActive ? 'active' : 'inactive';
    if (wasActive) {
      this.#dropQueue();
      this.#lose();
      this.#serve();
    }
    this.#waiter.beginAgain();
  }

  #giveMorePermits(): void {
    if (this.#state !== 'ready') return;
    const messagePermits = this.#flow.grant();
    if (messagePermits > 0) this.#connection?.send('flow', { consumerId: this.#consumerId, messagePermits });
  }

  // --- requests

  async #sendAck(ackType: number, ids: readonly EntryId[]): Promise<void> {
    const connection = this.#connection as Connection;
    const consumerId = this.#consumerId;
    const what = `the acknowledgement of ${ids.length === 1 ? 'an entry' : `${ids.length} entries`} of ${this.topic}`;
    const messageId: Fields<'MessageIdData'>[] = ids.map(({ ledgerId, entryId }) => ({ ledgerId, entryId }));
    if (connection.serverProtocol >= ACK_RECEIPTS_SINCE) {
      await connection.request('ack', { consumerId, ackType, messageId }, what);
      return;
    }
    // Commands of one connection are carried out in order: an answer to what comes after proves what came before.
    connection.send('ack', { consumerId, ackType, messageId });
    await connection.request('getLastMessageId', { consumerId }, what);
  }

  async #ask(name: 'consumerStats' | 'getLastMessageId', what: string): Promise<Record<string, unknown>> {
    const connection = this.#connection as Connection;
    const answer = await connection.request(
      name,
      { consumerId: this.#consumerId },
      `${what} of ${this.topic}`,
    );
    return { [answer.name]: answer.fields };
  }

  async #findEnd(): Promise<EntryId | null> {
    const answer = await this.#ask('getLastMessageId', 'the last message id');
    const { lastMessageId, consumerMarkDeletePosition } =
      (answer['getLastMessageIdResponse'] as CommandFields<'getLastMessageIdResponse'>) ?? {};
    const last = positionOf(lastMessageId);
    const acknowledged = positionOf(consumerMarkDeletePosition);
    if (last === undefined || last.entryId < 0) return null;
    return acknowledged !== undefined && compareEntries(acknowledged, last) >= 0 ? null : last;
  }

  /** Resolves when there is a consumer at the broker. @throws BackupError `source`, retryable where it took too long */
  async #ready(): Promise<void> {
    if (this.#state === 'ready') return;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#options.signal.aborted) throw runEnded();
    const { clock, timings } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const ready: Ready = {
        resolve: () => {
          cancelTimer();
          resolve();
        },
        reject: (error) => {
          cancelTimer();
          reject(error);
        },
      };
      const cancelTimer = startTimer(clock, timings.operationTimeoutMs, () => {
        this.#whenReady = this.#whenReady.filter((one) => one !== ready);
        reject(
          new BackupError(
            'source',
            `no connection to ${this.topic} within ${timings.operationTimeoutMs} ms`,
            {
              retryable: true,
              hint: 'It is tried again while the run has time; look at the broker if it happens often.',
            },
          ),
        );
      });
      this.#whenReady.push(ready);
    });
  }

  #settleReady(error?: BackupError): void {
    const waiting = this.#whenReady;
    this.#whenReady = [];
    for (const ready of waiting) {
      if (error === undefined) ready.resolve();
      else ready.reject(error);
    }
  }
}

function runEnded(): BackupError {
  return new BackupError('source', 'the run ended while it waited for Pulsar', { retryable: true });
}

/** A position; `undefined` for none, which brokers write as -1:-1. Before a ledger's first entry is entry -1. */
function positionOf(id: Fields<'MessageIdData'> | undefined): EntryId | undefined {
  const { ledgerId, entryId } = id ?? {};
  if (typeof ledgerId !== 'number') return undefined;
  return { ledgerId, entryId: typeof entryId === 'number' ? entryId : -1 };
}
