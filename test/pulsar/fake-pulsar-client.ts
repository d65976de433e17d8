// npm pulsar-client without its binding: a broker in memory behind the client's interface, with the behaviour that was
// measured of the real one. Messages one by one, cut anywhere; `[]` when a batchReceive's time is up; acknowledgements
// that resolve before they count, are sent 100 ms later and are lost without a connection; ids as text; error texts.
import type { Clock } from '../../src/ports.ts';
import type {
  NativeClientConfig,
  NativeConsumerConfig,
  NativeEncryptionContext,
} from '../../src/pulsar/native-client.ts';

export interface FakeMessageFields {
  readonly data?: Uint8Array | string;
  readonly key?: string;
  readonly orderingKey?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly eventTime?: number;
  readonly publishTime?: number;
  readonly producer?: string;
  readonly replicatedFrom?: string;
  readonly encryption?: NativeEncryptionContext;
}

export interface FakeEntry {
  readonly ledgerId: number;
  readonly entryId: number;
  readonly messages: readonly FakeMessageFields[];
  /** Whether its messages have batch indexes. */
  readonly isBatch: boolean;
  /** Batch indexes that the broker does not deliver any more. */
  readonly leftOut?: readonly number[];
  /** libpulsar acknowledges it and says nothing. */
  readonly isCorrupt?: boolean;
  /** A chunk that is not the last of its message: libpulsar keeps it. */
  readonly isChunk?: boolean;
  /** The first entry of a chunked message that ends here. */
  readonly firstChunk?: number;
}

const ACK_GROUPING_MS = 100;

interface Subscription {
  readonly acked: Set<FakeEntry>;
  consumers: FakeConsumer[];
}

interface FakeTopic {
  readonly entries: FakeEntry[];
  readonly subscriptions: Map<string, Subscription>;
}

/** What the test holds: topics, faults, and what the client was asked. */
export class FakePulsar {
  readonly clock: Clock;
  /** Plain topics and partitions, by full name. */
  readonly topics = new Map<string, FakeTopic>();
  readonly partitions = new Map<string, number>();
  readonly clientConfigs: NativeClientConfig[] = [];
  readonly consumerConfigs: NativeConsumerConfig[] = [];
  readonly consumers: FakeConsumer[] = [];
  openClients = 0;
  logHandlers = 0;
  /** Say something as libpulsar would. */
  log: (level: number, message: string) => void = () => undefined;
  /** Thrown, in this order, by the calls that are named. */
  readonly faults: { readonly at: 'lookup' | 'subscribe' | 'close'; readonly text: string }[] = [];
  /** No call to close ends. */
  closeHangs = false;
  token: string | undefined;
  /** 1.14: no producer name, no encryption context, and the wrapper's close gives nothing back. */
  isOld = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  addTopic(full: string, partitions = 0): void {
    if (partitions > 0) this.partitions.set(full, partitions);
    for (const name of this.namesOf(full)) this.topics.set(name, { entries: [], subscriptions: new Map() });
  }

  namesOf(full: string): string[] {
    const count = this.partitions.get(full) ?? 0;
    return count === 0 ? [full] : Array.from({ length: count }, (_, n) => `${full}-partition-${n}`);
  }

  publish(name: string, ...entries: FakeEntry[]): void {
    const topic = this.topic(name);
    topic.entries.push(...entries);
    for (const { consumers } of topic.subscriptions.values()) {
      for (const entry of entries) consumers[0]?.deliver(entry);
    }
  }

  topic(name: string): FakeTopic {
    const topic = this.topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    return topic;
  }

  /** Entries of the topic (all its partitions) that the subscription has not acknowledged. */
  backlog(full: string, subscription: string): number {
    return this.namesOf(full).reduce((sum, name) => {
      const { entries, subscriptions } = this.topic(name);
      return sum + entries.length - (subscriptions.get(subscription)?.acked.size ?? 0);
    }, 0);
  }

  /** Consumers lose their connection and have it again a little later; all that is not acknowledged comes again. */
  unload(full: string): void {
    for (const consumer of this.consumers) {
      if (!consumer.isOpen || !this.namesOf(full).includes(consumer.config.topic)) continue;
      consumer.connected = false;
      void this.clock.sleep(700).then(() => {
        consumer.connected = true;
        consumer.redeliver();
      });
    }
  }

  fault(at: 'lookup' | 'subscribe' | 'close'): void {
    const index = this.faults.findIndex((one) => one.at === at);
    if (index >= 0) throw new Error(this.faults.splice(index, 1)[0]?.text);
  }

  /** What `import('pulsar-client')` would give. */
  module(): object {
    const pulsar = this;
    class Client {
      readonly client = { close: async () => pulsar.closeClient() };
      readonly auth: { token: string } | undefined;
      constructor(config: NativeClientConfig) {
        pulsar.clientConfigs.push(config);
        pulsar.openClients++;
        this.auth = config.authentication as { token: string } | undefined;
      }
      static setLogHandler(handler: (level: number, file: string, line: number, message: string) => void) {
        pulsar.logHandlers++;
        pulsar.log = (level, message) => handler(level, 'ConsumerImpl.cc', 1, message);
      }
      async getPartitionsForTopic(topic: string) {
        pulsar.fault('lookup');
        if (pulsar.lastConfig.serviceUrl.endsWith(':1')) {
          throw new Error('Failed to GetPartitionsForTopic: ConnectError');
        }
        if (pulsar.token !== undefined && this.auth?.token !== pulsar.token) {
          await pulsar.clock.sleep(pulsar.lastConfig.operationTimeoutSeconds * 1000);
          throw new Error('Failed to GetPartitionsForTopic: TimeOut');
        }
        if (!pulsar.topics.has(pulsar.namesOf(topic)[0] ?? '')) {
          throw new Error('Failed to GetPartitionsForTopic: TopicNotFound');
        }
        return pulsar.namesOf(topic);
      }
      async subscribe(config: NativeConsumerConfig) {
        pulsar.fault('subscribe');
        const consumer = new FakeConsumer(pulsar, config);
        consumer.attach();
        pulsar.consumerConfigs.push(config);
        pulsar.consumers.push(consumer);
        return consumer;
      }
      close() {
        const closed = this.client.close();
        return pulsar.isOld ? undefined : closed;
      }
    }
    class AuthenticationToken {
      readonly token: string;
      constructor(params: { token: string }) {
        this.token = params.token;
      }
    }
    const Message = this.isOld ? class {} : FakeMessage;
    return { Client, AuthenticationToken, Message };
  }

  get lastConfig(): NativeClientConfig {
    return this.clientConfigs.at(-1) as NativeClientConfig;
  }

  async closeClient(): Promise<null> {
    if (this.closeHangs) await new Promise(() => undefined);
    await this.clock.sleep(1);
    this.openClients--;
    return null;
  }
}

/** Shared by the ids of one delivered entry: which of its messages are acknowledged. */
interface Acker {
  readonly entry: FakeEntry;
  readonly waiting: Set<number>;
}

class FakeMessageId {
  readonly acker: Acker;
  readonly index: number;

  constructor(acker: Acker, index: number) {
    this.acker = acker;
    this.index = index;
  }

  get #batchIndex(): number {
    return this.acker.entry.isBatch ? this.index : -1;
  }

  toString(): string {
    const { ledgerId, entryId, firstChunk } = this.acker.entry;
    const text = `(${ledgerId},${entryId},-1,${this.#batchIndex})`;
    return firstChunk === undefined ? text : `(${ledgerId},${firstChunk},-1,-1);${text}`;
  }

  serialize(): Uint8Array {
    const { ledgerId, entryId, isBatch, messages } = this.acker.entry;
    const batch = isBatch ? [32, ...varint(this.index), 48, ...varint(messages.length)] : [];
    return Uint8Array.from([8, ...varint(ledgerId), 16, ...varint(entryId), ...batch]);
  }
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

class FakeMessage {
  readonly fields: FakeMessageFields;
  readonly id: FakeMessageId;
  constructor(fields: FakeMessageFields, id: FakeMessageId) {
    this.fields = fields;
    this.id = id;
  }
  getMessageId() {
    return this.id;
  }
  getData() {
    return Buffer.from((this.fields.data ?? '') as Uint8Array);
  }
  /** As the addon does it: an Array, on which the names are set. */
  getProperties() {
    return Object.assign([], this.fields.properties) as unknown as Record<string, string>;
  }
  getPublishTimestamp() {
    return this.fields.publishTime ?? 1_700_000_000_000;
  }
  getEventTimestamp() {
    return this.fields.eventTime ?? 0;
  }
  getPartitionKey() {
    return this.fields.key ?? '';
  }
  getOrderingKey() {
    return this.fields.orderingKey ?? '';
  }
  getProducerName() {
    return this.fields.producer ?? '';
  }
  getReplicatedFrom() {
    return this.fields.replicatedFrom ?? '';
  }
  getEncryptionContext() {
    return this.fields.encryption ?? null;
  }
}

/** One of 1.14: what came later is not there. */
function oldMessage(message: FakeMessage): object {
  return {
    getMessageId: () => message.getMessageId(),
    getData: () => message.getData(),
    getProperties: () => message.getProperties(),
    getPublishTimestamp: () => message.getPublishTimestamp(),
    getEventTimestamp: () => message.getEventTimestamp(),
    getPartitionKey: () => message.getPartitionKey(),
    getOrderingKey: () => message.getOrderingKey(),
  };
}

/** A consumer, with handles for the test: cut its connection, say how its messages are cut. */
export class FakeConsumer {
  readonly config: NativeConsumerConfig;
  readonly #pulsar: FakePulsar;
  readonly #queue: FakeMessage[] = [];
  #grouped: (() => void)[] = [];
  #receiving: { readonly resolve: (messages: object[]) => void; readonly reject: (e: Error) => void }[] = [];
  isOpen = true;
  connected = true;
  receives = 0;
  acks: string[] = [];
  /** How many messages the next batchReceives give at most, instead of their policy's number. */
  cuts: number[] = [];

  constructor(pulsar: FakePulsar, config: NativeConsumerConfig) {
    this.#pulsar = pulsar;
    this.config = config;
  }

  get #subscription(): Subscription {
    const { subscriptions } = this.#pulsar.topic(this.config.topic);
    const found = subscriptions.get(this.config.subscription);
    if (found !== undefined) return found;
    const { entries } = this.#pulsar.topic(this.config.topic);
    const acked = new Set(this.config.subscriptionInitialPosition === 'Latest' ? entries : []);
    const made: Subscription = { acked, consumers: [] };
    subscriptions.set(this.config.subscription, made);
    return made;
  }

  attach(): void {
    const subscription = this.#subscription;
    const [other] = subscription.consumers;
    const type = this.config.subscriptionType;
    if (other !== undefined && (type === 'Exclusive' || other.config.subscriptionType !== type)) {
      throw new Error('Failed to create consumer: ConsumerBusy');
    }
    subscription.consumers.push(this);
    if (subscription.consumers[0] === this) this.redeliver();
  }

  /** The broker delivers everything that is not acknowledged, from the beginning. */
  redeliver(): void {
    const { acked } = this.#subscription;
    for (const entry of this.#pulsar.topic(this.config.topic).entries) {
      if (!acked.has(entry)) this.deliver(entry);
    }
  }

  /** What was delivered and not received is gone, as when libpulsar reconnects. */
  loseQueue(): void {
    this.#queue.length = 0;
  }

  deliver(entry: FakeEntry): void {
    if (entry.isChunk) return;
    if (entry.isCorrupt) {
      this.#subscription.acked.add(entry);
      return;
    }
    const encrypted = entry.messages[0]?.encryption;
    if (encrypted && this.config.cryptoFailureAction !== 'CONSUME') {
      this.#pulsar.log(
        3,
        'Message delivery failed since CryptoKeyReader is not implemented to consume encrypted message',
      );
      return;
    }
    const acker: Acker = { entry, waiting: new Set(entry.messages.keys()) };
    for (const [index, fields] of entry.messages.entries()) {
      if (!entry.leftOut?.includes(index)) this.push(fields, acker, index);
    }
  }

  push(fields: FakeMessageFields, acker: Acker, index: number): void {
    this.#queue.push(new FakeMessage(fields, new FakeMessageId(acker, index)));
    if (this.#queue.length >= this.config.batchReceivePolicy.maxNumMessages) this.#give();
  }

  #give(): void {
    const receiving = this.#receiving.shift();
    if (receiving === undefined) return;
    const most = this.cuts.shift() ?? this.config.batchReceivePolicy.maxNumMessages;
    const messages = this.#queue.splice(0, most);
    receiving.resolve(this.#pulsar.isOld ? messages.map(oldMessage) : messages);
  }

  batchReceive(): Promise<object[]> {
    this.receives++;
    if (!this.isOpen) return Promise.reject(new Error('Failed to batch receive message: AlreadyClosed'));
    return new Promise((resolve, reject) => {
      const receiving = { resolve, reject };
      this.#receiving.push(receiving);
      if (this.#queue.length >= this.config.batchReceivePolicy.maxNumMessages) {
        this.#give();
        return;
      }
      void this.#pulsar.clock.sleep(this.config.batchReceivePolicy.timeoutMs).then(() => {
        if (this.#receiving.includes(receiving)) this.#give();
      });
    });
  }

  async acknowledgeId(id: FakeMessageId): Promise<null> {
    this.acks.push(`one ${id}`);
    return await this.#group(() => {
      id.acker.waiting.delete(id.index);
      if (id.acker.waiting.size === 0) this.#acked(id.acker.entry);
    });
  }

  /** With its chunks. */
  #acked(entry: FakeEntry): void {
    for (const one of this.#pulsar.topic(this.config.topic).entries) {
      const isPart = one.entryId >= (entry.firstChunk ?? entry.entryId) && one.entryId < entry.entryId;
      if (one === entry || (one.isChunk && isPart)) this.#subscription.acked.add(one);
    }
  }

  async acknowledgeCumulativeId(id: FakeMessageId): Promise<null> {
    if (this.config.subscriptionType === 'Shared' || this.config.subscriptionType === 'KeyShared') {
      throw new Error(
        'Failed to acknowledge cumulatively by id: ResultCumulativeAcknowledgementNotAllowedError',
      );
    }
    this.acks.push(`through ${id}`);
    return await this.#group(() => {
      const { entries } = this.#pulsar.topic(this.config.topic);
      const { entry, waiting } = id.acker;
      for (const index of waiting) if (index <= id.index) waiting.delete(index);
      const end = entries.indexOf(entry) + (waiting.size === 0 ? 1 : 0);
      for (const acked of entries.slice(0, end)) this.#subscription.acked.add(acked);
    });
  }

  async #group(apply: () => void): Promise<null> {
    if (!this.connected) return null;
    this.#grouped.push(apply);
    void this.#pulsar.clock.sleep(ACK_GROUPING_MS).then(() => this.#flush());
    return null;
  }

  #flush(): void {
    const grouped = this.#grouped;
    this.#grouped = [];
    if (this.connected) for (const apply of grouped) apply();
  }

  isConnected(): boolean {
    return this.connected && this.isOpen;
  }

  async close(): Promise<null> {
    this.#pulsar.fault('close');
    if (this.#pulsar.closeHangs) await new Promise(() => undefined);
    await this.#pulsar.clock.sleep(1);
    this.#flush();
    if (this.isOpen) {
      const subscription = this.#subscription;
      const wasFirst = subscription.consumers[0] === this;
      subscription.consumers = subscription.consumers.filter((one) => one !== this);
      if (wasFirst) subscription.consumers[0]?.redeliver();
    }
    this.isOpen = false;
    for (const receiving of this.#receiving.splice(0)) {
      receiving.reject(new Error('Failed to batch receive message: AlreadyClosed'));
    }
    return null;
  }
}
