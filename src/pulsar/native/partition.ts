// One partition over pulsar-client: one consumer, batchReceive, acknowledgement by the ids of the messages. It
// reports only what the client knows: `end` is 'unknown', there is no backlog, and no Failover signals.
import { BackupError } from '../../errors.ts';
import { formatEntry, isUpTo, laterEntry } from '../../format/entry-order.ts';
import type { Clock, Delivery, EntryId, Logger, SchemaAnswer, SourcePartition } from '../../ports.ts';
import type { LogRoute, NativeConsumer, NativeMessage, NativeMessageId } from './addon.ts';
import { resultOf, sourceError } from './addon-failure.ts';
import { NativeEntries, type NativeEntry } from './entries.ts';
import { NativeGaps } from './gap-watch.ts';
import { TIME_UP, within } from './within.ts';

/**
 * How long a consumer waits for its first message: a broker may have to open the topic's ledgers first, and activates
 * a Failover consumer a second after it connected.
 */
const SETTLE_MS = 3_000;
/** A connection that is lost for longer ends the run. */
const RECONNECT_LIMIT_MS = 60_000;
const WAIT_AGAIN_MS = 200;
/** Far above the time after which libpulsar ends a batchReceive. */
const RECEIVE_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 10_000;
/** libpulsar's queue counts messages; its size assumes so many bytes for each, until larger ones arrive. */
const ASSUMED_MESSAGE_BYTES = 16_384;
const MAX_QUEUE = 1_000;

/** What a partition over pulsar-client is made of. */
export interface NativePartitionOptions {
  readonly partition: number;
  readonly topic: string;
  readonly type: 'exclusive' | 'failover' | 'shared' | 'key_shared';
  /** How many bytes of undelivered messages libpulsar may hold. */
  readonly budgetBytes: number;
  /** `queueSize`: how many messages libpulsar may hold. */
  readonly subscribe: (queueSize: number) => Promise<NativeConsumer>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: LogRoute;
  readonly signal: AbortSignal | undefined;
}

interface Unacknowledged {
  readonly id: EntryId;
  readonly ids: readonly NativeMessageId[];
}

/** A partition that can be closed; `acknowledge` is a promise of this driver only, see there. */
export class NativePartition implements SourcePartition {
  readonly partition: number;
  readonly topic: string;
  readonly end = 'unknown' as const;
  readonly canExplainSilence = false;
  readonly #options: NativePartitionOptions;
  readonly #isInOrder: boolean;
  readonly #gaps: NativeGaps;
  #queueSize: number;
  #consumer: NativeConsumer;
  #entries: NativeEntries;
  /** The pending batchReceive. An abandoned one would lose messages, so the next call waits for the same. */
  #receiving: Promise<NativeMessage[]> | undefined;
  #isSettledAtMs = 0;
  #replacing: Promise<void> | undefined;
  /** Whether a consumer accepted an acknowledgement while, or before, it lost its connection. */
  #isInDoubt = false;
  /** Delivered and unacknowledged messages, by entry. */
  readonly #unacknowledged = new Map<string, Unacknowledged>();
  #acknowledged: EntryId | undefined;

  /** Subscribes. @throws what pulsar-client throws */
  static async open(options: NativePartitionOptions): Promise<NativePartition> {
    const queueSize = queueSizeOf(options.budgetBytes, ASSUMED_MESSAGE_BYTES);
    return new NativePartition(options, await options.subscribe(queueSize), queueSize);
  }

  private constructor(options: NativePartitionOptions, consumer: NativeConsumer, queueSize: number) {
    this.#options = options;
    this.#queueSize = queueSize;
    this.partition = options.partition;
    this.topic = options.topic;
    this.#isInOrder = options.type === 'exclusive' || options.type === 'failover';
    this.#gaps = new NativeGaps(options.topic, options.logger);
    this.#consumer = consumer;
    this.#entries = this.#begin();
  }

  #begin(): NativeEntries {
    const { clock, partition, topic, logger } = this.#options;
    this.#isSettledAtMs = clock.now() + SETTLE_MS;
    this.#receiving = undefined;
    this.#isInDoubt = false;
    return new NativeEntries(partition, topic, logger);
  }

  async next(idleMs: number): Promise<Delivery> {
    const { clock } = this.#options;
    let deadlineMs = clock.now() + idleMs;
    for (;;) {
      this.#assertRunning();
      this.#assertNothingKeptBack();
      if (!this.#consumer.isConnected()) {
        await this.#replace();
        deadlineMs = clock.now() + idleMs;
      }
      const delivery = this.#take();
      if (delivery !== undefined) return delivery;
      const messages = await this.#receive();
      const nowMs = clock.now();
      for (const message of messages) this.#entries.add(message, nowMs);
      await this.#fitQueue();
      if (messages.length > 0 || !this.#consumer.isConnected()) continue;
      if (this.#entries.settle(nowMs)) continue;
      if (nowMs < deadlineMs || nowMs < this.#isSettledAtMs || this.#entries.isHolding) continue;
      this.#assertNothingKeptBack();
      return { kind: 'idle' };
    }
  }

  arrived(maxBytes: number): readonly Delivery[] {
    const { signal, log } = this.#options;
    const isAsItWas = !signal?.aborted && log.undelivered === undefined && this.#consumer.isConnected();
    const deliveries: Delivery[] = [];
    for (let bytes = 0; isAsItWas; ) {
      bytes += this.#entries.nextBytes;
      if (bytes > maxBytes && deliveries.length > 0) break;
      const delivery = this.#take();
      if (delivery === undefined) break;
      deliveries.push(delivery);
    }
    return deliveries;
  }

  /** A complete entry, if one is there. */
  #take(): Delivery | undefined {
    const taken = this.#entries.take();
    if (taken === undefined) return undefined;
    this.#isSettledAtMs = 0;
    this.#remember(taken);
    return taken.entry;
  }

  /** Only `next` receives. */
  hasArrivals(): boolean {
    return false;
  }

  /** Keeps the ids that acknowledge the entry: with an order mostly its last message, otherwise each message. */
  #remember({ entry: { id }, ids, first }: NativeEntry): void {
    if (!this.#isInOrder) {
      // Delivered twice: the stored delivery may be the first one, which may have lacked messages.
      if (!this.#unacknowledged.has(formatEntry(id))) this.#unacknowledged.set(formatEntry(id), { id, ids });
      return;
    }
    this.#gaps.see(first, id);
    this.#unacknowledged.set(formatEntry(id), { id, ids: this.#isOneByOne(id) ? ids : ids.slice(-1) });
  }

  #isOneByOne(id: EntryId): boolean {
    const from = this.#gaps.oneByOneFrom;
    return from !== undefined && isUpTo(from, id);
  }

  /** If the messages turn out to be large, a consumer with a shorter queue receives them again. */
  async #fitQueue(): Promise<void> {
    const { bytes, messages } = this.#entries;
    if (messages === 0) return;
    const queueSize = queueSizeOf(this.#options.budgetBytes, bytes / messages);
    if (queueSize * 2 > this.#queueSize) return;
    this.#queueSize = queueSize;
    this.#options.logger.debug({ topic: this.topic, queueSize }, 'receive queue shortened');
    await this.restart().catch((error) => {
      // Then the consumer is closed, and the next turn has it replaced.
      if (!isRetryable(error)) throw error;
    });
  }

  /**
   * The messages that libpulsar has, or receives within the time of its policy. Only libpulsar knows whether messages
   * arrived while this thread was busy, so there is no timer of our own.
   */
  async #receive(): Promise<NativeMessage[]> {
    const { clock, signal } = this.#options;
    if (this.#receiving === undefined) {
      const begun = this.#consumer.batchReceive();
      begun.catch(() => undefined);
      this.#receiving = begun;
    }
    const receiving = this.#receiving;
    try {
      const messages = await within(receiving, RECEIVE_LIMIT_MS, clock, signal);
      if (messages === TIME_UP || this.#receiving !== receiving) return [];
      this.#receiving = undefined;
      return messages;
    } catch (error) {
      this.#assertRunning();
      // Another consumer has replaced this one, or is about to.
      if (this.#receiving !== receiving || this.#replacing !== undefined) return [];
      this.#receiving = undefined;
      throw sourceError(`receiving from ${this.topic}`, error);
    }
  }

  /**
   * Resolves when libpulsar has queued the acknowledgement, before the broker has it: libpulsar sends it within 100
   * ms, at `restart`, or at `close`. There are no receipts. If the connection breaks or the process ends in between,
   * the entries are redelivered, and the run finds their objects in the store.
   */
  async acknowledge(entries: readonly EntryId[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#assertNothingKeptBack();
    // Without a connection libpulsar accepts acknowledgements and loses them, and later ignores repeated ones.
    if (this.#isInDoubt || !this.#consumer.isConnected()) await this.#replace();
    const consumer = this.#consumer;
    try {
      if (this.#isInOrder) await this.#acknowledgeThrough(last);
      else await this.#acknowledgeEach(entries);
    } catch (error) {
      throw sourceError(`acknowledging in ${this.topic}`, error);
    }
    if (!consumer.isConnected()) {
      this.#isInDoubt = true;
      throw this.#connectionLost();
    }
    this.#forget(entries, last);
  }

  /** Cumulatively, as far as everything up to there was delivered; after a gap each entry individually. */
  async #acknowledgeThrough(last: EntryId): Promise<void> {
    if (!this.#unacknowledged.has(formatEntry(last))) {
      if (this.#acknowledged !== undefined && isUpTo(last, this.#acknowledged)) return;
      throw this.#neverDelivered(last);
    }
    let through: Unacknowledged | undefined;
    const oneByOne: EntryId[] = [];
    for (const entry of this.#unacknowledged.values()) {
      if (!isUpTo(entry.id, last)) continue;
      if (this.#isOneByOne(entry.id)) oneByOne.push(entry.id);
      else if (through === undefined || !isUpTo(entry.id, through.id)) through = entry;
    }
    const lastOfThrough = through?.ids[0];
    if (lastOfThrough !== undefined) await this.#consumer.acknowledgeCumulativeId(lastOfThrough);
    await this.#acknowledgeEach(oneByOne);
  }

  /** Every message individually: libpulsar acknowledges a batch once all its messages are. */
  async #acknowledgeEach(entries: readonly EntryId[]): Promise<void> {
    const ids = entries.flatMap((entry) => this.#unacknowledged.get(formatEntry(entry))?.ids ?? []);
    await Promise.all(ids.map((id) => this.#consumer.acknowledgeId(id)));
  }

  #forget(entries: readonly EntryId[], last: EntryId): void {
    if (!this.#isInOrder) {
      for (const entry of entries) this.#unacknowledged.delete(formatEntry(entry));
      return;
    }
    this.#acknowledged = laterEntry(last, this.#acknowledged);
    for (const [key, { id }] of this.#unacknowledged) {
      if (isUpTo(id, last)) this.#unacknowledged.delete(key);
    }
  }

  /**
   * libpulsar reconnects a consumer by itself, but such a consumer loses its pending acknowledgements, treats them as
   * done, and does not join redelivered chunks. So a new one replaces it.
   */
  #replace(): Promise<void> {
    this.#replacing ??= this.#tryReplacing().finally(() => {
      this.#replacing = undefined;
    });
    return this.#replacing;
  }

  async #tryReplacing(): Promise<void> {
    const { clock, logger, signal } = this.#options;
    logger.warn({ topic: this.topic }, 'consumer lost');
    const untilMs = clock.now() + RECONNECT_LIMIT_MS;
    for (;;) {
      try {
        await this.restart();
        logger.info({ topic: this.topic }, 'consumer reconnected');
        return;
      } catch (error) {
        if (!isRetryable(error) || clock.now() >= untilMs) throw error;
        await clock.sleep(WAIT_AGAIN_MS, signal).catch(() => this.#assertRunning());
      }
    }
  }

  /** Closes the consumer, which also sends pending acknowledgements, and subscribes again. */
  async restart(): Promise<void> {
    const { signal, subscribe } = this.#options;
    try {
      const closing = this.#closeConsumer(signal);
      // Nothing received before may be delivered afterwards, even if subscribing fails.
      this.#entries = this.#begin();
      if ((await closing) === TIME_UP) throw new Error('Failed to close consumer: TimeOut');
      this.#consumer = await subscribe(this.#queueSize);
      this.#entries = this.#begin();
    } catch (error) {
      this.#assertRunning();
      throw sourceError(`resuming ${this.topic}`, error);
    }
  }

  /**
   * A thread of the client ends the pending receive; if the client closed first, the receive would keep the process
   * alive for ever. So wait for it.
   */
  #closeConsumer(signal?: AbortSignal): Promise<unknown> {
    const receiving = this.#receiving?.catch(() => undefined);
    const closed = closeOf(this.#consumer).then(() => receiving);
    return within(closed, CLOSE_LIMIT_MS, this.#options.clock, signal);
  }

  // The client can neither request nor know this.

  async untilActive(): Promise<false> {
    return false;
  }

  async isDrained(): Promise<true> {
    return true;
  }

  async backlog(): Promise<undefined> {
    return undefined;
  }

  async entriesAtOpen(): Promise<undefined> {
    return undefined;
  }

  async heldBack(): Promise<undefined> {
    return undefined;
  }

  /** libpulsar joins chunks, and drops those whose rest does not come; see `#assertNothingKeptBack`. */
  async giveUpChunks(): Promise<readonly []> {
    return [];
  }

  positions(): undefined {
    return undefined;
  }

  async hasTransactions(): Promise<true> {
    return true;
  }

  async nextBehind(): Promise<undefined> {
    return undefined;
  }

  /** The addon has no call for it. */
  async schema(): Promise<SchemaAnswer> {
    return {
      kind: 'unknown',
      reason: 'pulsar-client cannot ask for schemas',
      hint: 'Use PULSAR_DRIVER=wire.',
    };
  }

  /** Closes the consumer and waits for it; this sends pending acknowledgements. Never throws. */
  async close(): Promise<void> {
    const { logger } = this.#options;
    this.#gaps.report();
    try {
      const closed = await this.#closeConsumer();
      if (closed === TIME_UP) logger.warn({ topic: this.topic }, 'consumer did not close in time');
    } catch (error) {
      logger.warn({ topic: this.topic, reason: String(error) }, 'consumer not closed');
    }
  }

  #assertRunning(): void {
    const { signal } = this.#options;
    if (!signal?.aborted) return;
    if (signal.reason instanceof BackupError) throw signal.reason;
    throw new BackupError('source', 'the run ended', { cause: signal.reason });
  }

  #connectionLost(): BackupError {
    return new BackupError('source', `the connection to ${this.topic} is lost`, {
      retryable: true,
      hint: 'The broker restarts or moves the topic; libpulsar reconnects by itself. If it lasts, look at the cluster in the TDMQ console.',
      details: { topic: this.topic },
    });
  }

  #neverDelivered({ ledgerId, entryId }: EntryId): BackupError {
    return new BackupError(
      'source',
      `entry ${ledgerId}:${entryId} of ${this.topic} cannot be acknowledged: this consumer never got it`,
      {
        hint: 'pulsar-client acknowledges only what it delivered. Use PULSAR_DRIVER=wire.',
      },
    );
  }

  /**
   * Older versions hold encrypted messages back for ever, and all versions drop chunks whose rest takes longer than a
   * minute. The partition must not look drained then, and neither they nor later messages may be acknowledged.
   */
  #assertNothingKeptBack(): void {
    const { log } = this.#options;
    if (log.undelivered === undefined) return;
    throw new BackupError('corrupt', `pulsar-client does not hand over every message: ${log.undelivered}`, {
      hint: 'PULSAR_DRIVER=wire stores what this one keeps back: encrypted messages (1.18.0 does too), and what there is of a message in chunks. Nothing behind it was acknowledged.',
      details: { topic: this.topic },
    });
  }
}

/** A consumer that is closed already is closed. */
const closeOf = (consumer: NativeConsumer): Promise<unknown> =>
  consumer.close().catch((error) => {
    if (resultOf(error) !== 'AlreadyClosed') throw error;
  });

const isRetryable = (error: unknown): boolean => error instanceof BackupError && error.retryable;

const queueSizeOf = (budgetBytes: number, messageBytes: number): number =>
  Math.min(MAX_QUEUE, Math.max(2, Math.floor(budgetBytes / Math.max(1, messageBytes))));
