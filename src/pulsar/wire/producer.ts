// One producer on one topic partition: makes batches, sends them, and connects again after a loss; then it sends again, in
// order, what has no receipt. Where the namespace has deduplication the broker drops what it has already; elsewhere the
// topic contains twice what arrived without a receipt. It fails rather than believe a broker that drops what was sent once.
import { setMaxListeners } from 'node:events';
import { BackupError, messageOf } from '../../errors.ts';
import { retry } from '../../lib/retry.ts';
import type { Clock, EntrySent, OutgoingMessage, PublishOptions, TopicProducer } from '../../ports.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './connection.ts';
import { againAs } from './protocol/entry-again.ts';
import type { Command, CommandFields } from './protocol/frame.ts';
import { encodeBatch, encodeSingle, type OutgoingEntry, sizeInBatch } from './protocol/producer-entry.ts';
import { serverError } from './protocol/server-error.ts';
import { publishError } from './publish-error.ts';
import { type ReceiptWatch, watchReceipts } from './receipt-watch.ts';
import type { ProducerEvents } from './receivers.ts';
import { noFurther, ReconnectBackoff } from './reconnect-backoff.ts';
import { schemaFields } from './schema-fields.ts';
import { type PendingEntry, SendWindow } from './send-window.ts';

const BATCH_MESSAGES = 1_000;
const BATCH_BYTES = 131_072;
/** More than what an entry has besides its messages. */
const ENTRY_OVERHEAD_BYTES = 1_024;
/** Brokers bound what is sent to them a little above the largest message, for its metadata. */
const METADATA_ROOM_BYTES = 8_192;
const OPEN_ATTEMPTS = 8;
/** With pauses of up to five seconds: about two minutes, in which a broker restarts. */
const REOPEN_ATTEMPTS = 30;
const CLOSE_TIMEOUT_MS = 3_000;

/** What a producer publishes to, and how. */
export interface WireProducerOptions extends PublishOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly topic: string;
  readonly producerName: string;
  readonly nextProducerId: () => number;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

/** The producer at the broker. */
interface Link {
  readonly connection: Connection;
  readonly producerId: number;
}

/** A producer on one topic partition, over all its connections. */
export class WireProducer implements TopicProducer {
  lastSequenceId = -1;
  acknowledgedSequenceId = -1;
  readonly #options: WireProducerOptions;
  readonly #window: SendWindow;
  #batch: OutgoingMessage[] = [];
  #batchBytes = 0;
  /** `undefined` while it connects, and once it has failed. */
  #link: Link | undefined;
  #maxEntryBytes = 0;
  #watch: ReceiptWatch | undefined;
  readonly #backoff = new ReconnectBackoff();
  #wake: (() => void)[] = [];
  /** Raised by the first failure, close included; the failure is its reason. */
  readonly #over = new AbortController();
  #closing: Promise<void> | undefined;
  readonly #onStop = () => this.#fail(new BackupError('source', 'publishing was stopped'));

  /** The largest entry that its broker takes; 0 before `open`. */
  get maxEntryBytes(): number {
    return this.#maxEntryBytes;
  }

  constructor(options: WireProducerOptions) {
    this.#options = options;
    this.#window = new SendWindow(options.windowBytes);
    setMaxListeners(0, options.signal);
    options.signal.addEventListener('abort', this.#onStop);
    if (options.signal.aborted) this.#onStop();
  }

  /** Connects. Call once. @throws BackupError `source` */
  async open(): Promise<void> {
    this.lastSequenceId = await this.#connectUntilItWorks(OPEN_ATTEMPTS);
    this.#over.signal.throwIfAborted();
    this.#watch = watchReceipts({
      clock: this.#options.clock,
      isWaiting: () => !this.#window.isEmpty && this.#link !== undefined,
      onSilent: () => this.#reconnect(noReceipts(this.#options.topic)),
      onGivenUp: () => this.#fail(noReceipts(this.#options.topic)),
    });
  }

  async send(message: OutgoingMessage): Promise<void> {
    const { batching, windowBytes } = this.#options;
    const batchBytes = Math.min(BATCH_BYTES, windowBytes, this.#maxEntryBytes - ENTRY_OVERHEAD_BYTES);
    const size = sizeInBatch(message);
    if (!batching || size > batchBytes) {
      this.push();
      await this.#untilRoom();
      // All chunks at once: a connection that is lost between two of them makes all of them anew.
      for (const entry of encodeSingle(message, this.#entryOptions())) this.#post(entry);
      return;
    }
    const isFull = this.#batchBytes + size > batchBytes || this.#batch.length >= BATCH_MESSAGES;
    if (isFull || !hasSameSchema(this.#batch[0] ?? message, message)) this.push();
    this.#batch.push(message);
    this.#batchBytes += size;
    await this.#untilRoom();
  }

  async sendEntry(bytes: Uint8Array, sequenceId: number): Promise<EntrySent> {
    this.push();
    await this.#untilRoom();
    let entry: OutgoingEntry;
    try {
      entry = againAs(this.#options.producerName, sequenceId, bytes);
    } catch (error) {
      return { kind: 'refused', reason: messageOf(error) };
    }
    const mostBytes = this.#maxEntryBytes + METADATA_ROOM_BYTES;
    if (entry.bytes.length > mostBytes)
      return {
        kind: 'refused',
        reason: `it has ${entry.bytes.length} bytes, and the broker takes ${mostBytes}`,
      };
    this.#post(entry);
    return { kind: 'sent' };
  }

  push(): void {
    if (this.#batch.length === 0 || this.#over.signal.aborted) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#post(encodeBatch(batch, this.#entryOptions()));
  }

  async flush(): Promise<void> {
    this.push();
    while (!this.#window.isEmpty) await this.#change();
    this.#over.signal.throwIfAborted();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#onStop);
    this.#fail(new BackupError('source', `the producer of ${this.#options.topic} was closed`));
    const link = this.#link;
    this.#link = undefined;
    if (link !== undefined) await this.#unlink(link);
  }

  #entryOptions() {
    const { producerName, compression, clock } = this.#options;
    const maxEntryBytes = this.#maxEntryBytes;
    return { producerName, compression, maxEntryBytes, publishTimeMs: clock.now() };
  }

  async #untilRoom(): Promise<void> {
    while (this.#window.isFull) await this.#change();
    this.#over.signal.throwIfAborted();
  }

  /** Resolves at the next receipt. */
  async #change(): Promise<void> {
    this.#over.signal.throwIfAborted();
    await new Promise<void>((resolve) => this.#wake.push(resolve));
    this.#over.signal.throwIfAborted();
  }

  #post(entry: OutgoingEntry): void {
    this.#write(this.#window.add(entry));
  }

  #write(pending: PendingEntry): void {
    if (this.#link === undefined) return;
    const { connection, producerId } = this.#link;
    const { sequenceId, highestSequenceId, messages, chunkOf, bytes } = pending.entry;
    pending.sent++;
    const fields: CommandFields<'send'> = {
      producerId,
      sequenceId,
      numMessages: messages,
      ...(messages > 1 ? { highestSequenceId } : {}),
      ...(chunkOf === undefined ? {} : { isChunk: true }),
    };
    connection.sendEntry(fields, bytes);
  }

  #onReceipt({ sequenceId, messageId }: CommandFields<'sendReceipt'>): void {
    const outcome = this.#window.receipt(Number(sequenceId), isNowhere(messageId));
    if (outcome.kind === 'known') return;
    if (outcome.kind === 'dropped') {
      this.#fail(dropped(this.#options.topic, outcome.entry));
      return;
    }
    this.#watch?.heard();
    this.#backoff.gotFurther();
    if (outcome.through !== undefined) this.acknowledgedSequenceId = outcome.through;
    this.#wakeAll();
  }

  #onCommand(command: Command): void {
    if (command.name === 'sendReceipt') {
      this.#onReceipt(command.fields as CommandFields<'sendReceipt'>);
      return;
    }
    if (command.name === 'sendError') {
      const { error, message } = command.fields as CommandFields<'sendError'>;
      const refusal = serverError(`publishing to ${this.#options.topic}`, error, message);
      if (!refusal.retryable) {
        this.#fail(publishError(refusal, this.#options.topic));
        return;
      }
      this.#reconnect(refusal);
      return;
    }
    this.#reconnect(new BackupError('source', 'the broker closed the producer'));
  }

  #reconnect(cause: BackupError): void {
    const link = this.#link;
    if (link === undefined || this.#over.signal.aborted) return;
    this.#link = undefined;
    // Refused or closed by the broker: it forgets the producer before the name is used again.
    void this.#unlink(link);
    const pauseMs = this.#backoff.another();
    if (pauseMs === undefined) this.#fail(noFurther(`publishing to ${this.#options.topic}`, cause));
    else this.#connectUntilItWorks(REOPEN_ATTEMPTS, pauseMs).catch((error) => this.#fail(error));
  }

  async #connectUntilItWorks(attempts: number, pauseMs = 0): Promise<number> {
    const { clock } = this.#options;
    const { signal } = this.#over;
    if (pauseMs > 0) await clock.sleep(pauseMs, signal);
    return retry(() => this.#connect(), { clock, signal, attempts });
  }

  /** Registers the producer and sends again what has no receipt. */
  async #connect(): Promise<number> {
    const { cluster, topic, producerName, nextProducerId, schema } = this.#options;
    const producerId = nextProducerId();
    const what = `opening a producer on ${topic}`;
    let isOpen = false;
    let isGone = false;
    const events: ProducerEvents = {
      onCommand: (command) => {
        if (isOpen) this.#onCommand(command);
        else isGone = true;
      },
      onConnectionLost: (error) => {
        if (isOpen) this.#reconnect(error);
      },
    };
    let connection: Connection | undefined;
    try {
      connection = await cluster.locate(topic);
      connection.attachProducer(producerId, events);
      const fields = { topic, producerId, producerName, ...(schema && { schema: schemaFields(schema) }) };
      const answer = await connection.request('producer', fields, what);
      // While it was away, another process may have gone on in its place, under the same name.
      await this.#options.mayGoOn?.().catch((error: unknown) => {
        this.#fail(error);
        throw error;
      });
      this.#over.signal.throwIfAborted();
      if (isGone)
        throw new BackupError('source', `${what}: the broker closed it at once`, { retryable: true });
      isOpen = true;
      this.#maxEntryBytes = connection.broker.maxMessageBytes;
      this.#link = { connection, producerId };
      const cut = (message: OutgoingMessage) => encodeSingle(message, this.#entryOptions());
      for (const pending of this.#window.renew(cut)) this.#write(pending);
      return Number((answer.fields as CommandFields<'producerSuccess'>).lastSequenceId ?? -1);
    } catch (error) {
      // Without an answer, the broker may have made it.
      const isRefused = error instanceof BackupError && error.details['serverError'] !== undefined;
      if (isRefused) connection?.detachProducer(producerId);
      else if (connection !== undefined) void this.#unlink({ connection, producerId });
      throw publishError(error, topic);
    }
  }

  /** Ends a producer at its broker, as far as that answers. */
  async #unlink({ connection, producerId }: Link): Promise<void> {
    connection.detachProducer(producerId);
    if (connection.isLost) return;
    const what = `closing the producer of ${this.#options.topic}`;
    await connection.request('closeProducer', { producerId }, what, CLOSE_TIMEOUT_MS).catch(() => undefined);
  }

  #fail(error: unknown): void {
    this.#over.abort(error);
    this.#watch?.stop();
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waking = this.#wake;
    this.#wake = [];
    for (const wake of waking) wake();
  }
}

/** Whether both can be in one entry. */
function hasSameSchema(
  { schemaVersion: a }: OutgoingMessage,
  { schemaVersion: b }: OutgoingMessage,
): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0);
}

/** Whether the broker dropped the entry as a duplicate: then it says that it is in ledger -1. */
function isNowhere(messageId: CommandFields<'sendReceipt'>['messageId']): boolean {
  return BigInt.asIntN(64, BigInt(messageId?.ledgerId ?? 0)) < 0n;
}

function noReceipts(topic: string): BackupError {
  return new BackupError(
    'source',
    `the broker answers, but stores nothing of what is published to ${topic}`,
    {
      hint: 'Look at the cluster. The same command goes on from what was stored.',
    },
  );
}

function dropped(topic: string, { sequenceId, chunkOf }: OutgoingEntry): BackupError {
  return new BackupError(
    'source',
    `the deduplication of ${topic} dropped message ${sequenceId}, which it does not have`,
    {
      hint:
        chunkOf === undefined
          ? 'Another producer uses the same name. Begin again, into an empty topic.'
          : 'Brokers up to Pulsar 3.0.0 take the chunks of a large message for duplicates (3.0.7 does not): switch the deduplication of the namespace off, or restore into a newer cluster.',
    },
  );
}
