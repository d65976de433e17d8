// npm pulsar-client's producing side without its binding, and a broker in memory behind it. Compared with the bindings of
// 1.18.0 and 1.14.0: batches by a short delay, receipts in no order, what is under way sent again after a lost connection,
// a queue that blocks when it is full, errors as texts, names that one producer has, batches known by their first id.
import { COMPRESSION_TYPE } from '../../src/pulsar/wire/protocol/tables.ts';
import type { StoredMessage } from '../contract/stored-messages.ts';

interface NativeMessage {
  readonly data: Buffer;
  readonly properties: Readonly<Record<string, string>>;
  readonly sequenceId: number;
  readonly eventTimestamp?: number;
  readonly partitionKey?: string;
  readonly orderingKey?: string;
}

interface ProducerConfig {
  readonly topic: string;
  readonly producerName: string;
  readonly batchingEnabled: boolean;
  readonly chunkingEnabled?: boolean;
  readonly maxPendingMessages: number;
  readonly compressionType?: 'Zlib' | 'ZSTD';
}

interface FakeTopic {
  readonly messages: StoredMessage[];
  readonly highest: Map<string, number>;
  readonly names: Set<string>;
  readonly deduplicates: boolean;
  isTerminated: boolean;
}

const MAX_IN_BATCH = 1_000;

/** What the test holds: topics and faults. */
export class FakeNativeBroker {
  readonly topics = new Map<string, FakeTopic>();
  readonly partitions = new Map<string, number>();
  readonly producers = new Set<FakeProducer>();
  /** The token that may do everything, and the one that may not produce. */
  readonly tokens: { readonly all: string; readonly noProduce: string };
  readonly maxEntryBytes: number;
  isPaused = false;
  #entries = 0;

  constructor(tokens: FakeNativeBroker['tokens'], maxEntryBytes: number) {
    this.tokens = tokens;
    this.maxEntryBytes = maxEntryBytes;
  }

  addTopic(full: string, partitions: number, deduplicates: boolean): void {
    if (partitions > 0) this.partitions.set(full, partitions);
    for (const name of this.namesOf(full)) {
      const topic = { messages: [], highest: new Map(), names: new Set<string>(), deduplicates };
      this.topics.set(name, { ...topic, isTerminated: false });
    }
  }

  namesOf(full: string): string[] {
    const count = this.partitions.get(full) ?? 0;
    return count === 0 ? [full] : Array.from({ length: count }, (_, n) => `${full}-partition-${n}`);
  }

  topic(name: string): FakeTopic {
    const topic = this.topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    return topic;
  }

  /** Stores a batch, or drops it as a whole. */
  store(config: ProducerConfig, batch: readonly NativeMessage[]): void {
    const topic = this.topic(config.topic);
    if (topic.isTerminated) throw new Error('Failed to send message: TopicTerminated');
    const first = batch[0]?.sequenceId ?? 0;
    const highest = topic.highest.get(config.producerName) ?? -1;
    if (topic.deduplicates && first <= highest) return;
    // This client does not tell the broker the highest sequence id of a batch.
    topic.highest.set(config.producerName, first);
    const entry = `1:${this.#entries++}`;
    const compression = COMPRESSION_TYPE[(config.compressionType?.toUpperCase() ?? 'NONE') as 'NONE'];
    for (const message of batch) {
      topic.messages.push({
        entry,
        chunks: Math.ceil((message.data.length + 1) / this.maxEntryBytes),
        storedBytes: compression === COMPRESSION_TYPE.NONE ? message.data.length : 1,
        compression,
        producer: config.producerName,
        sequenceId: message.sequenceId,
        publishTimeMs: Date.now(),
        key: message.partitionKey,
        orderingKey: message.orderingKey === undefined ? undefined : Buffer.from(message.orderingKey),
        properties: Object.entries(message.properties),
        eventTimeMs: message.eventTimestamp,
        payload: message.data,
      });
    }
  }

  /** All connections are lost; what had no receipt is sent again. */
  dropConnections(): void {
    for (const producer of this.producers) producer.sendAgain();
  }

  resume(): void {
    this.isPaused = false;
    for (const producer of this.producers) producer.giveReceipts();
  }

  /** What `import('pulsar-client')` would give. */
  module(): object {
    const broker = this;
    class Client {
      readonly token: string | undefined;
      readonly serviceUrl: string;
      readonly producers: FakeProducer[] = [];
      constructor(config: { serviceUrl: string; authentication?: { token: string } }) {
        this.token = config.authentication?.token;
        this.serviceUrl = config.serviceUrl;
      }
      static setLogHandler() {}
      async getPartitionsForTopic(topic: string) {
        this.#check('Failed to GetPartitionsForTopic', topic);
        return broker.namesOf(topic);
      }
      async createProducer(config: ProducerConfig) {
        this.#check('Failed to create producer', config.topic);
        if (this.token === broker.tokens.noProduce)
          throw new Error('Failed to create producer: AuthorizationError');
        const { names } = broker.topic(config.topic);
        if (names.has(config.producerName)) throw new Error('Failed to create producer: ProducerBusy');
        names.add(config.producerName);
        const producer = new FakeProducer(broker, config);
        broker.producers.add(producer);
        this.producers.push(producer);
        return producer;
      }
      #check(what: string, topic: string): void {
        if (this.serviceUrl.endsWith(':1')) throw new Error(`${what}: TimeOut`);
        // A wrong token is a time-out, as in 1.18.0.
        if (this.token !== broker.tokens.all && this.token !== broker.tokens.noProduce)
          throw new Error(`${what}: TimeOut`);
        if (!broker.topics.has(broker.namesOf(topic)[0] ?? '')) throw new Error(`${what}: TopicNotFound`);
      }
      async close() {
        for (const producer of [...this.producers]) await producer.close();
      }
    }
    class AuthenticationToken {
      readonly token: string;
      constructor(params: { token: string }) {
        this.token = params.token;
      }
    }
    return { Client, AuthenticationToken };
  }
}

interface Under {
  readonly message: NativeMessage;
  readonly resolve: (id: unknown) => void;
  readonly reject: (error: Error) => void;
}

class FakeProducer {
  readonly #broker: FakeNativeBroker;
  readonly #config: ProducerConfig;
  #collected: Under[] = [];
  /** Batches that have no receipt. */
  #batches: (readonly Under[])[] = [];

  constructor(broker: FakeNativeBroker, config: ProducerConfig) {
    this.#broker = broker;
    this.#config = config;
  }

  send(message: NativeMessage): Promise<unknown> {
    const { batchingEnabled, chunkingEnabled, maxPendingMessages } = this.#config;
    if (this.#collected.length + this.#batches.flat().length >= maxPendingMessages)
      return Promise.reject(new Error('the queue is full: a thread of the caller would block'));
    if (!chunkingEnabled && message.data.length > this.#broker.maxEntryBytes)
      return Promise.reject(new Error('Failed to send message: MessageTooBig'));
    return new Promise((resolve, reject) => {
      this.#collected.push({ message, resolve, reject });
      if (!batchingEnabled || this.#collected.length >= MAX_IN_BATCH) this.#cut();
      else if (this.#collected.length === 1) setImmediate(() => this.#cut());
    });
  }

  #cut(): void {
    const batch = this.#collected;
    this.#collected = [];
    if (batch.length === 0) return;
    this.#batches.push(batch);
    this.#store(batch);
    setImmediate(() => this.giveReceipts());
  }

  #store(batch: readonly Under[]): void {
    try {
      this.#broker.store(
        this.#config,
        batch.map(({ message }) => message),
      );
    } catch (error) {
      this.#batches = this.#batches.filter((one) => one !== batch);
      for (const { reject } of batch) reject(error as Error);
    }
  }

  giveReceipts(): void {
    if (this.#broker.isPaused) return;
    const batches = this.#batches;
    this.#batches = [];
    // Each in a hand-over of its own from another thread, in no order.
    for (const { resolve } of batches.flat().reverse()) resolve({});
  }

  sendAgain(): void {
    for (const batch of this.#batches) this.#store(batch);
  }

  async flush(): Promise<void> {
    this.#cut();
  }

  async close(): Promise<void> {
    this.#broker.topic(this.#config.topic).names.delete(this.#config.producerName);
    this.#broker.producers.delete(this);
    const left = [...this.#batches.flat(), ...this.#collected];
    this.#batches = [];
    this.#collected = [];
    for (const { reject } of left) reject(new Error('Failed to send message: AlreadyClosed'));
  }
}
