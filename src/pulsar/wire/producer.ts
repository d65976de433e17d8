// One producer on one topic partition: batches, a window of entries without receipt, and the way back after a lost
// connection, when all of the window is sent again in order. Where the namespace has deduplication the broker drops what
// it has already; elsewhere what had arrived without a receipt stands twice.
import { setMaxListeners } from 'node:events';
import { BackupError } from '../../errors.ts';
import type { Clock } from '../../ports.ts';
import { retry } from '../../retry.ts';
import type { OutgoingMessage, PublishOptions, TopicProducer } from '../publisher.ts';
import type { Cluster } from './cluster.ts';
import type { Connection, ProducerEvents } from './connection.ts';
import type { Command, CommandFields } from './frame.ts';
import { encodeBatch, encodeSingle, type OutgoingEntry, sizeInBatch } from './producer-entry.ts';
import { isServerError, serverError } from './server-error.ts';

const BATCH_MESSAGES = 1_000;
const BATCH_BYTES = 131_072;
const WINDOW_ENTRIES = 500;
const OPEN_ATTEMPTS = 8;

export interface WireProducerOptions extends PublishOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly topic: string;
  readonly producerName: string;
  readonly nextProducerId: () => number;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

export class WireProducer implements TopicProducer {
  lastSequenceId = -1;
  acknowledgedSequenceId = -1;
  readonly #options: WireProducerOptions;
  readonly #waiting: OutgoingEntry[] = [];
  #windowBytes = 0;
  #batch: OutgoingMessage[] = [];
  #batchBytes = 0;
  #link: { connection: Connection; producerId: number } | undefined;
  #maxEntryBytes = 0;
  #isConnecting = false;
  #isClosed = false;
  #failure: unknown;
  #wake: (() => void)[] = [];
  readonly #onStop = () => this.#fail(new BackupError('source', 'publishing was stopped'));

  constructor(options: WireProducerOptions) {
    this.#options = options;
    setMaxListeners(0, options.signal);
    options.signal.addEventListener('abort', this.#onStop);
  }

  /** Connects. Call once. @throws BackupError `source` */
  async open(): Promise<void> {
    this.lastSequenceId = await this.#connectUntilItWorks();
  }

  async send(message: OutgoingMessage): Promise<void> {
    const { batching, windowBytes } = this.#options;
    const size = sizeInBatch(message);
    if (!batching || size > BATCH_BYTES) {
      this.push();
      for (const entry of encodeSingle(message, this.#entryOptions())) {
        await this.#untilRoom(windowBytes);
        this.#post(entry);
      }
      return;
    }
    if (this.#batchBytes + size > BATCH_BYTES || this.#batch.length >= BATCH_MESSAGES) this.push();
    this.#batch.push(message);
    this.#batchBytes += size;
    await this.#untilRoom(windowBytes);
  }

  push(): void {
    if (this.#batch.length === 0 || this.#failure !== undefined) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#post(encodeBatch(batch, this.#entryOptions()));
  }

  async flush(): Promise<void> {
    this.push();
    while (this.#waiting.length > 0) await this.#change();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.signal.removeEventListener('abort', this.#onStop);
    const link = this.#link;
    this.#link = undefined;
    if (link === undefined) return;
    link.connection.detachProducer(link.producerId);
    const what = `closing the producer of ${this.#options.topic}`;
    await link.connection
      .request('closeProducer', { producerId: link.producerId }, what, 3_000)
      .catch(() => undefined);
  }

  #entryOptions() {
    const { producerName, compression, clock } = this.#options;
    const maxEntryBytes = this.#maxEntryBytes;
    return { producerName, compression, maxEntryBytes, publishTimeMs: clock.now() };
  }

  async #untilRoom(windowBytes: number): Promise<void> {
    while (this.#windowBytes > windowBytes || this.#waiting.length >= WINDOW_ENTRIES) await this.#change();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves at the next receipt. */
  async #change(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve) => this.#wake.push(resolve));
    if (this.#failure !== undefined) throw this.#failure;
  }

  #post(entry: OutgoingEntry): void {
    this.#waiting.push(entry);
    this.#windowBytes += entry.bytes.length;
    this.#write(entry);
  }

  #write({ sequenceId, highestSequenceId, messages, isChunk, bytes }: OutgoingEntry): void {
    if (this.#link === undefined) return;
    const { connection, producerId } = this.#link;
    const fields: CommandFields<'send'> = {
      producerId,
      sequenceId,
      numMessages: messages,
      ...(messages > 1 ? { highestSequenceId } : {}),
      ...(isChunk ? { isChunk } : {}),
    };
    connection.sendEntry(fields, bytes);
  }

  #onReceipt(sequenceId: unknown): void {
    const entry = this.#waiting[0];
    // Receipts come in order; one for an entry that was counted already is of no interest.
    if (entry === undefined || entry.sequenceId !== Number(sequenceId)) return;
    this.#waiting.shift();
    this.#windowBytes -= entry.bytes.length;
    const isLastOfIt = this.#waiting[0]?.sequenceId !== entry.sequenceId;
    if (isLastOfIt) this.acknowledgedSequenceId = entry.highestSequenceId;
    this.#wakeAll();
  }

  #onCommand(command: Command): void {
    if (command.name === 'sendReceipt') {
      this.#onReceipt((command.fields as CommandFields<'sendReceipt'>).sequenceId);
      return;
    }
    if (command.name === 'sendError') {
      const { error, message } = command.fields as CommandFields<'sendError'>;
      const refusal = serverError(`publishing to ${this.#options.topic}`, error, message);
      if (!refusal.retryable) {
        this.#fail(refusal);
        return;
      }
    }
    this.#reconnect();
  }

  #reconnect(): void {
    if (this.#isConnecting || this.#isClosed || this.#failure !== undefined) return;
    const link = this.#link;
    this.#link = undefined;
    link?.connection.detachProducer(link.producerId);
    if (link !== undefined && !link.connection.isLost) {
      // Refused or closed by the broker: it forgets the producer before the name is used again.
      link.connection
        .request('closeProducer', { producerId: link.producerId }, 'closing a producer', 3_000)
        .catch(() => undefined);
    }
    this.#connectUntilItWorks().catch((error) => this.#fail(error));
  }

  async #connectUntilItWorks(): Promise<number> {
    const { clock, signal } = this.#options;
    this.#isConnecting = true;
    try {
      return await retry(() => this.#connect(), { clock, signal, attempts: OPEN_ATTEMPTS });
    } finally {
      this.#isConnecting = false;
    }
  }

  /** Registers the producer and sends again what has no receipt. */
  async #connect(): Promise<number> {
    const { cluster, topic, producerName, nextProducerId } = this.#options;
    const connection = await cluster.locate(topic);
    const producerId = nextProducerId();
    const what = `opening a producer on ${topic}`;
    let isCurrent = true;
    const events: ProducerEvents = {
      onCommand: (command) => {
        if (isCurrent) this.#onCommand(command);
      },
      onConnectionLost: () => {
        if (isCurrent) this.#reconnect();
      },
    };
    connection.attachProducer(producerId, events);
    try {
      const answer = await connection.request('producer', { topic, producerId, producerName }, what);
      const fields = answer.fields as CommandFields<'producerSuccess'>;
      this.#maxEntryBytes = connection.maxMessageBytes;
      this.#link = { connection, producerId };
      for (const entry of this.#waiting) this.#write(entry);
      return Number(fields.lastSequenceId ?? -1);
    } catch (error) {
      isCurrent = false;
      connection.detachProducer(producerId);
      throw explain(error, topic);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waking = this.#wake;
    this.#wake = [];
    for (const wake of waking) wake();
  }
}

/** What a refusal means to somebody who publishes. */
function explain(error: unknown, topic: string): unknown {
  const again = (hint: string, retryable: boolean) =>
    new BackupError('source', (error as BackupError).message, {
      hint,
      retryable,
      cause: error,
      details: (error as BackupError).details,
    });
  // The broker has not yet noticed the end of the connection before.
  if (isServerError(error, 'ProducerBusy'))
    return again(`Another restore publishes to ${topic} under the same name: let it end first.`, true);
  if (isServerError(error, 'AuthorizationError'))
    return again('Give the role of PULSAR_TOKEN the permission to produce in this namespace.', false);
  if (isServerError(error, 'TopicNotFound'))
    return again('Create the topic to restore into first; the cluster does not create it by itself.', false);
  return error;
}
