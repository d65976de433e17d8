// One partition over pulsar-client: one consumer, batchReceive, acknowledgement by the ids of the messages. What the
// client does not tell is not made up: `end` is 'unknown', there is no backlog, Failover's signals do not exist.
import { BackupError } from '../errors.ts';
import type { Clock, Delivery, EntryId, Logger, SourcePartition } from '../ports.ts';
import type { LogRoute, NativeConsumer, NativeMessage, NativeMessageId } from './native-client.ts';
import { compare, NativeEntries } from './native-entries.ts';
import { resultOf, sourceError } from './native-failure.ts';
import { NativeGaps } from './native-gaps.ts';
import { TIME_UP, within } from './within.ts';

/** A Failover consumer gets nothing before the broker has made it the active one, a second after it came. */
const FAILOVER_SETTLE_MS = 3_000;
/** libpulsar reconnects by itself; a connection that is gone for longer ends the run. */
const RECONNECT_LIMIT_MS = 20_000;
/** How long to wait at a time while there is a reason not to answer `idle`. */
const WAIT_AGAIN_MS = 200;
const CLOSE_LIMIT_MS = 10_000;

export interface NativePartitionOptions {
  readonly partition: number;
  readonly topic: string;
  readonly type: 'exclusive' | 'failover' | 'shared' | 'key_shared';
  readonly subscribe: () => Promise<NativeConsumer>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: LogRoute;
  readonly signal: AbortSignal | undefined;
}

/** A partition that can be closed; `acknowledge` is a promise of this driver only, see there. */
export class NativePartition implements SourcePartition {
  readonly partition: number;
  readonly topic: string;
  readonly end = 'unknown' as const;
  readonly #options: NativePartitionOptions;
  readonly #isInOrder: boolean;
  readonly #gaps: NativeGaps;
  #consumer: NativeConsumer;
  #entries: NativeEntries;
  /** The batchReceive under way. An abandoned one would swallow messages, so the next call waits for the same. */
  #receiving: Promise<NativeMessage[]> | undefined;
  #isSettledAtMs = 0;
  /** What was handed out and is not acknowledged, by entry. */
  readonly #unacknowledged = new Map<
    string,
    { readonly id: EntryId; readonly ids: readonly NativeMessageId[] }
  >();
  #acknowledged: EntryId | undefined;

  /** Subscribes. @throws what pulsar-client throws */
  static async open(options: NativePartitionOptions): Promise<NativePartition> {
    return new NativePartition(options, await options.subscribe());
  }

  private constructor(options: NativePartitionOptions, consumer: NativeConsumer) {
    this.#options = options;
    this.partition = options.partition;
    this.topic = options.topic;
    this.#isInOrder = options.type === 'exclusive' || options.type === 'failover';
    this.#gaps = new NativeGaps(options.topic, options.logger);
    this.#consumer = consumer;
    this.#entries = this.#begin();
  }

  #begin(): NativeEntries {
    const { type, clock, partition, topic, logger } = this.#options;
    this.#isSettledAtMs = type === 'failover' ? clock.now() + FAILOVER_SETTLE_MS : 0;
    this.#receiving = undefined;
    return new NativeEntries(partition, topic, logger);
  }

  async next(idleMs: number): Promise<Delivery> {
    const { clock } = this.#options;
    const deadlineMs = clock.now() + idleMs;
    let lostSinceMs: number | undefined;
    for (;;) {
      this.#assertRunning();
      this.#assertNothingKeptBack();
      const taken = this.#entries.take();
      if (taken !== undefined) {
        this.#isSettledAtMs = 0;
        const { entry, ids, first } = taken;
        this.#unacknowledged.set(keyOf(entry.id), {
          id: entry.id,
          ids: this.#isInOrder ? ids.slice(-1) : ids,
        });
        if (this.#isInOrder) this.#gaps.see(first, entry.id);
        return entry;
      }
      const leftMs = deadlineMs - clock.now();
      const messages = await this.#receive(leftMs > 0 ? leftMs : WAIT_AGAIN_MS);
      const nowMs = clock.now();
      for (const message of messages) this.#entries.add(message, nowMs);
      if (messages.length > 0) continue;
      if (!this.#consumer.isConnected()) {
        lostSinceMs ??= nowMs;
        if (nowMs - lostSinceMs >= RECONNECT_LIMIT_MS) throw this.#connectionLost();
        continue;
      }
      lostSinceMs = undefined;
      if (this.#entries.settle(nowMs)) continue;
      if (nowMs < deadlineMs || nowMs < this.#isSettledAtMs || this.#entries.isHolding) continue;
      this.#assertNothingKeptBack();
      return { kind: 'idle' };
    }
  }

  /** What has arrived; nothing where nothing did within `ms`. */
  async #receive(ms: number): Promise<NativeMessage[]> {
    const { clock, signal } = this.#options;
    if (this.#receiving === undefined) {
      const receiving = this.#consumer.batchReceive();
      receiving.catch(() => undefined);
      this.#receiving = receiving;
    }
    try {
      const messages = await within(this.#receiving, ms, clock, signal);
      if (messages === TIME_UP) return [];
      this.#receiving = undefined;
      return messages;
    } catch (error) {
      this.#assertRunning();
      this.#receiving = undefined;
      throw sourceError(`receiving from ${this.topic}`, error);
    }
  }

  /**
   * Resolves when libpulsar has taken the acknowledgement, which is before the broker has it: libpulsar sends it
   * within 100 ms, at `restart`, or at `close`. There are no receipts. If the connection breaks or the process ends
   * in between, the entries are delivered again, and what was stored of them is found in the store.
   */
  async acknowledge(entries: readonly EntryId[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#assertNothingKeptBack();
    // Without a connection libpulsar takes acknowledgements and loses them.
    if (!this.#consumer.isConnected()) throw this.#connectionLost();
    try {
      if (this.#isInOrder) await this.#acknowledgeThrough(last);
      else await this.#acknowledgeEach(entries);
    } catch (error) {
      throw sourceError(`acknowledging in ${this.topic}`, error);
    }
    if (!this.#consumer.isConnected()) throw this.#connectionLost();
    this.#forget(entries, last);
  }

  async #acknowledgeThrough(last: EntryId): Promise<void> {
    const id = this.#unacknowledged.get(keyOf(last))?.ids[0];
    if (id === undefined) {
      if (this.#acknowledged !== undefined && compare(last, this.#acknowledged) <= 0) return;
      throw this.#neverDelivered(last);
    }
    this.#gaps.report(last);
    await this.#consumer.acknowledgeCumulativeId(id);
  }

  /** Every message by itself: libpulsar acknowledges a batch once all of it is. */
  async #acknowledgeEach(entries: readonly EntryId[]): Promise<void> {
    const ids = entries.flatMap((entry) => this.#unacknowledged.get(keyOf(entry))?.ids ?? []);
    await Promise.all(ids.map((id) => this.#consumer.acknowledgeId(id)));
  }

  #forget(entries: readonly EntryId[], last: EntryId): void {
    if (!this.#isInOrder) {
      for (const entry of entries) this.#unacknowledged.delete(keyOf(entry));
      return;
    }
    if (this.#acknowledged === undefined || compare(last, this.#acknowledged) > 0) this.#acknowledged = last;
    for (const [key, { id }] of this.#unacknowledged) {
      if (compare(id, last) <= 0) this.#unacknowledged.delete(key);
    }
  }

  /** Closes the consumer, which also sends the acknowledgements that wait, and subscribes again. */
  async restart(): Promise<void> {
    const { clock, signal, subscribe } = this.#options;
    try {
      // Nothing received before this may be handed out after it, also where subscribing fails.
      this.#entries = this.#begin();
      const closed = await within(closeOf(this.#consumer), CLOSE_LIMIT_MS, clock, signal);
      if (closed === TIME_UP) throw new Error('Failed to close consumer: TimeOut');
      this.#consumer = await subscribe();
      this.#entries = this.#begin();
    } catch (error) {
      this.#assertRunning();
      throw sourceError(`taking ${this.topic} afresh`, error);
    }
  }

  /** The client cannot ask for it. */
  async backlog(): Promise<undefined> {
    return undefined;
  }

  /** Ends the consumer, awaited; what acknowledgements still wait leave with it. Never throws. */
  async close(): Promise<void> {
    const { clock, logger } = this.#options;
    this.#gaps.report();
    try {
      const closed = await within(closeOf(this.#consumer), CLOSE_LIMIT_MS, clock);
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
   * Older versions keep encrypted messages back for ever. The partition must not look drained then, and what stands
   * behind them must not be acknowledged, which would acknowledge them too.
   */
  #assertNothingKeptBack(): void {
    const { log } = this.#options;
    if (log.undelivered === undefined) return;
    throw new BackupError('corrupt', `pulsar-client keeps back encrypted messages: ${log.undelivered}`, {
      hint: 'PULSAR_DRIVER=wire stores them raw, and so does pulsar-client 1.18.0. Nothing of them was acknowledged.',
      details: { topic: this.topic },
    });
  }
}

/** A consumer that is closed already is closed. */
const closeOf = (consumer: NativeConsumer): Promise<unknown> =>
  consumer.close().catch((error) => {
    if (resultOf(error) !== 'AlreadyClosed') throw error;
  });

const keyOf = (id: EntryId) => `${id.ledgerId}:${id.entryId}`;
