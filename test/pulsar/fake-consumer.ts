// The consumers and messages of the fake pulsar-client. Messages one by one, cut anywhere; `[]` when a batchReceive's
// time is up; acknowledgements that resolve before they count, are sent 100 ms later, once, and are lost without a
// connection; chunks that are joined only if they come in one go.
import type { NativeConsumerConfig } from '../../src/pulsar/native/addon.ts';
import type { FakeEntry, FakeMessageFields, FakePulsar, Subscription } from './fake-pulsar-client.ts';

const ACK_GROUPING_MS = 100;

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

export class FakeMessage {
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
  /** What waits to be sent to the broker. */
  #grouped: (() => void)[] = [];
  /** Up to where it was asked to acknowledge; it neither sends nor delivers that again, whether it reached the broker or not. */
  #through: { readonly entry: FakeEntry; readonly index: number } | undefined;
  readonly #chunks = new Set<FakeEntry>();
  #receiving: { readonly resolve: (messages: object[]) => void; readonly reject: (e: Error) => void }[] = [];
  isOpen = true;
  connected = true;
  receives = 0;
  acks: string[] = [];
  /** How many messages the next batchReceives give at most, instead of their policy's number. */
  cuts: number[] = [];
  /** How long what a batchReceive gives is on its way. */
  handsOverAfterMs = 0;
  /** How long an acknowledgement takes to resolve. */
  acksTakeMs = 0;
  /** Whether the connection breaks when something is acknowledged. */
  breaksAtAck = false;
  /** Whether what is under way is still settled after a close. */
  settles = true;

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

  /** libpulsar is connected again: what was delivered and not received is gone, and comes again. */
  reconnect(): void {
    if (!this.isOpen) return;
    this.connected = true;
    this.loseQueue();
    this.redeliver();
  }

  loseQueue(): void {
    this.#queue.length = 0;
  }

  deliver(entry: FakeEntry): void {
    if (!this.connected) return;
    if (entry.isChunk) {
      // A chunk that comes again ends its message: what follows is not joined any more.
      if (this.#chunks.delete(entry)) this.#pulsar.log(3, 'Received a chunk whose chunk id is invalid');
      else this.#chunks.add(entry);
      return;
    }
    if (this.#chunksBefore(entry).some((chunk) => !this.#chunks.delete(chunk))) {
      this.#pulsar.log(3, 'Received an uncached chunk');
      return;
    }
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
      if (!entry.leftOut?.includes(index) && !this.#isThrough(entry, index)) this.push(fields, acker, index);
    }
  }

  #chunksBefore({ entryId, firstChunk = entryId }: FakeEntry): FakeEntry[] {
    const { entries } = this.#pulsar.topic(this.config.topic);
    return entries.filter((one) => one.isChunk && one.entryId >= firstChunk && one.entryId < entryId);
  }

  #isThrough({ ledgerId, entryId }: FakeEntry, index: number): boolean {
    if (this.#through === undefined) return false;
    const { entry, index: last } = this.#through;
    return (ledgerId - entry.ledgerId || entryId - entry.entryId || index - last) <= 0;
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
    const handOver = () => receiving.resolve(this.#pulsar.isOld ? messages.map(oldMessage) : messages);
    if (this.handsOverAfterMs > 0) void this.#pulsar.clock.sleep(this.handsOverAfterMs).then(handOver);
    else handOver();
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
    for (const one of [...this.#chunksBefore(entry), entry]) this.#subscription.acked.add(one);
  }

  async acknowledgeCumulativeId(id: FakeMessageId): Promise<null> {
    if (this.config.subscriptionType === 'Shared' || this.config.subscriptionType === 'KeyShared') {
      throw new Error(
        'Failed to acknowledge cumulatively by id: ResultCumulativeAcknowledgementNotAllowedError',
      );
    }
    this.acks.push(`through ${id}`);
    if (this.#isThrough(id.acker.entry, id.index)) return null;
    this.#through = { entry: id.acker.entry, index: id.index };
    return await this.#group(() => {
      const { entries } = this.#pulsar.topic(this.config.topic);
      const { entry, waiting } = id.acker;
      for (const index of waiting) if (index <= id.index) waiting.delete(index);
      const end = entries.indexOf(entry) + (waiting.size === 0 ? 1 : 0);
      for (const acked of entries.slice(0, end)) this.#subscription.acked.add(acked);
    });
  }

  async #group(apply: () => void): Promise<null> {
    if (!this.isOpen) throw new Error('Failed to acknowledge: AlreadyClosed');
    this.#grouped.push(apply);
    if (this.breaksAtAck) this.connected = false;
    if (this.acksTakeMs > 0) await this.#pulsar.clock.sleep(this.acksTakeMs);
    void this.#pulsar.clock.sleep(ACK_GROUPING_MS).then(() => this.#flush());
    return null;
  }

  #flush(): void {
    const grouped = this.#grouped;
    this.#grouped = [];
    if (this.connected) for (const apply of grouped) apply();
  }

  /** Receives that nobody has settled. */
  get receiving(): number {
    return this.#receiving.length;
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
    // By another thread, a little later.
    void this.#pulsar.clock.sleep(5).then(() => {
      if (!this.settles) return;
      for (const receiving of this.#receiving.splice(0))
        receiving.reject(new Error('Failed to batch receive message: AlreadyClosed'));
    });
    return null;
  }
}
