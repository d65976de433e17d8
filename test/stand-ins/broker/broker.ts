// A local broker as tests want it: publishes without a socket, moves, spoils, forgets and inspects what is in it.
// What it serves to clients is src/local/broker.

import type { CommandHook } from '../../../src/local/broker/accepted-socket.ts';
import { LocalBroker, type LocalBrokerOptions } from '../../../src/local/broker/broker.ts';
import { describeEntry, type Position, type StoredEntry } from '../../../src/local/broker/entry.ts';
import type { Corruption, Faults } from '../../../src/local/broker/faults.ts';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import type { Subscription, SubscriptionType } from '../../../src/local/broker/subscription.ts';
import type { Topic } from '../../../src/local/broker/topic.ts';
import type { StoredSchema } from '../../../src/local/broker/topic-schemas.ts';
import type { Fields } from '../../../src/pulsar/wire/protocol/codec.ts';
import type { CommandFields, CommandName } from '../../../src/pulsar/wire/protocol/frame.ts';
import { encodeMessages, type LoopbackMessage, type PublishOptions } from './publish.ts';

export type { LocalBrokerOptions as LoopbackBrokerOptions } from '../../../src/local/broker/broker.ts';

/** A connected consumer, seen from outside. */
export interface ConsumerInfo {
  readonly topic: string;
  readonly subscription: string;
  readonly type: SubscriptionType;
  readonly name: string;
  readonly connectionId: number;
  readonly isActive: boolean;
  readonly permits: number;
  readonly unackedMessages: number;
}

/** A client's connection, seen from outside. */
export interface ConnectionInfo {
  readonly id: number;
  readonly role: string | undefined;
  readonly clientVersion: string;
  readonly consumers: number;
  readonly authResponses: number;
}

/** Starts a broker on 127.0.0.1. */
export async function startLoopbackBroker(options: LocalBrokerOptions = {}): Promise<LoopbackBroker> {
  const broker = new LoopbackBroker(options);
  await broker.start();
  return broker;
}

/** A running broker. Topics are named in full or as `tenant/ns/topic`; a name without partition means all of them. */
export class LoopbackBroker {
  readonly #local: LocalBroker;
  readonly #published = new Map<string, number>();

  constructor(options: LocalBrokerOptions) {
    this.#local = new LocalBroker(options);
  }

  get faults(): Faults {
    return this.#local.faults;
  }

  get serviceUrl(): string {
    return this.#local.serviceUrl;
  }

  get httpUrl(): string {
    return this.#local.httpUrl;
  }

  start(): Promise<void> {
    return this.#local.start();
  }

  /** As `LocalBroker.stop`: the data stay. */
  stop(): Promise<void> {
    return this.#local.stop();
  }

  close(): Promise<void> {
    return this.#local.stop();
  }

  createTopic(topic: string, partitions = 0): void {
    this.#local.topics.create(topic, partitions);
  }

  /** Makes a subscription, on all partitions. */
  createSubscription(topic: string, name: string, from: 'earliest' | 'latest' = 'earliest'): void {
    for (const each of this.#local.topics.all(topic))
      each.subscribe(name, from, this.#local.subscriptionOptions);
  }

  /** Adds a schema to a topic; returns its version. */
  registerSchema(topic: string, schema: StoredSchema): Buffer {
    return this.#local.schemas.register(topic, schema) ?? Buffer.alloc(0);
  }

  /** Deletes a topic by force, with its schemas. */
  deleteTopic(topic: string): void {
    for (const each of this.#local.topics.all(topic)) this.#local.closeProducers(each);
    this.#local.topics.delete(topic);
    this.#local.schemas.delete(topic);
  }

  /** Deletes a subscription by force. */
  deleteSubscription(topic: string, name: string): void {
    for (const each of this.#local.topics.all(topic)) {
      const subscription = each.subscriptions.get(name);
      each.subscriptions.delete(name);
      subscription?.closeConsumers();
    }
  }

  /** From now on, messages that a producer of the same name has published before are dropped, as by namespace policy. */
  deduplicate(topic: string, { dropsChunks = false } = {}): void {
    for (const { producers } of this.#local.topics.all(topic)) {
      producers.deduplicates = true;
      producers.dropsChunks = dropsChunks;
    }
  }

  /** Nothing can be published any more; consumers that have acknowledged all get REACHED_END_OF_TOPIC. */
  terminate(topic: string): void {
    for (const each of this.#local.topics.all(topic)) each.terminate();
  }

  /**
   * Publishes without a socket. On a partitioned topic, entries go to the partitions in turn; name a partition to choose.
   * Returns where the entries are, in order.
   */
  publish(
    topic: string,
    messages: readonly LoopbackMessage[],
    options: PublishOptions = {},
  ): (Position & { topic: string })[] {
    const sequence = `${topic} ${options.producerName}`;
    const first = this.#published.get(sequence) ?? 0;
    this.#published.set(sequence, first + messages.length);
    const partitions = this.#topicsToPublish(topic);
    let uuidPartition: Topic | undefined;
    return encodeMessages(messages, first, options).map((bytes, index) => {
      // The chunks of one message stay together.
      const isChunked = options.chunkSizeBytes !== undefined;
      uuidPartition = isChunked ? (uuidPartition ?? partitions[0]) : partitions[index % partitions.length];
      const { ledgerId, entryId } = (uuidPartition as Topic).append(describeEntry(bytes));
      return { topic: (uuidPartition as Topic).name, ledgerId, entryId };
    });
  }

  /** Stores one entry with any metadata and payload: markers, chunks, encrypted ones, unknown codecs. */
  appendEntry(topic: string, metadata: Fields<'MessageMetadata'>, payload: Uint8Array): Position {
    const defaults = { producerName: 'loopback', sequenceId: 0, publishTime: Date.now() };
    return this.appendRawEntry(topic, encodeEntry({ ...defaults, ...metadata }, payload));
  }

  /** Stores bytes as an entry, whatever they are. */
  appendRawEntry(topic: string, bytes: Uint8Array): Position {
    const { ledgerId, entryId } = this.#one(topic).append(describeEntry(Buffer.from(bytes)));
    return { ledgerId, entryId };
  }

  /** Entries that the subscription has not acknowledged, over all partitions. */
  subscriptionBacklog(topic: string, name: string): number {
    return this.#subscriptions(topic, name).reduce((total, { backlogEntries }) => total + backlogEntries, 0);
  }

  /** What is acknowledged on one topic or partition: all up to `markDelete`, and single entries above. */
  ackedPositions(topic: string, name: string): { markDelete: Position; individual: Position[] } {
    const of = this.#one(topic);
    const cursor = of.subscriptions.get(name)?.cursor;
    if (cursor === undefined) throw new Error(`${topic} has no subscription ${name}`);
    return {
      markDelete: of.positionOf(cursor.markDelete),
      individual: cursor.individuallyAcked().map((place) => of.positionOf(place)),
    };
  }

  /** Somebody acknowledges these messages of a batch. */
  ackInBatch(topic: string, name: string, position: Position, indexes: readonly number[]): void {
    const { place, messages } = this.#entry(topic, position);
    const acked = indexes.reduce((bits, index) => bits | (1n << BigInt(index)), 0n);
    const left = ((1n << BigInt(messages)) - 1n) & ~acked;
    for (const subscription of this.#subscriptions(topic, name)) subscription.ackPart(place, left);
  }

  /** Somebody acknowledges these entries in a transaction, and is gone. Returns how it ends. */
  ackInTransaction(
    topic: string,
    name: string,
    positions: readonly Position[],
  ): (how: 'commit' | 'abort') => void {
    const places = positions.map((position) => this.#entry(topic, position).place);
    const ends = this.#subscriptions(topic, name).map((one) => one.ackInTransaction(places));
    return (how) => {
      for (const end of ends) end(how === 'commit');
    };
  }

  /** All connected consumers. */
  consumers(): ConsumerInfo[] {
    return [...this.#local.sessions].flatMap(([{ id: connectionId }, session]) =>
      session.consumers.all().map(({ topic, subscription, name, consumer }) => ({
        topic: topic.name,
        subscription: subscription.name,
        type: subscription.type,
        name,
        connectionId,
        isActive: subscription.isIndividual || subscription.active === consumer,
        permits: consumer.permits,
        unackedMessages: consumer.unackedMessages,
      })),
    );
  }

  /** All open connections of the binary protocol. */
  connections(): ConnectionInfo[] {
    return [...this.#local.sessions].map(([{ id }, { role, clientVersion, consumers, authResponses }]) => ({
      id,
      role: role?.role,
      clientVersion,
      consumers: consumers.all().length,
      authResponses,
    }));
  }

  /** Sees every command that comes in, before it is acted upon. Returns how to take the hook away. */
  onCommand(hook: CommandHook): () => void {
    this.#local.hooks.incoming.add(hook);
    return () => this.#local.hooks.incoming.delete(hook);
  }

  /** Sees every command that goes out, before it is sent. Returns how to take the hook away. */
  onAnswer(hook: CommandHook): () => void {
    this.#local.hooks.outgoing.add(hook);
    return () => this.#local.hooks.outgoing.delete(hook);
  }

  /** An entry arrives spoilt from now on. */
  corruptEntry(topic: string, position: Position, corruption: Corruption = 'checksum'): void {
    this.faults.corrupt(this.#entry(topic, position), corruption);
  }

  /** An entry arrives twice in a row from now on. */
  deliverTwice(topic: string, position: Position): void {
    this.faults.deliverTwice(this.#entry(topic, position));
  }

  /** Takes the consumers of a subscription away, as a broker does that moves the topic: CLOSE_CONSUMER. */
  kickConsumers(topic: string, name: string): void {
    for (const subscription of this.#subscriptions(topic, name)) subscription.closeConsumers();
  }

  /** Unloads a topic: consumers and producers are closed, new entries get a new ledger; it can be used again at once. */
  unload(topic: string): void {
    for (const each of this.#local.topics.all(topic)) this.#local.unload(each);
  }

  /** Delivers again what connected consumers have not acknowledged, unasked. */
  redeliver(topic: string, name: string): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      for (const consumer of [...subscription.consumers]) subscription.redeliver(consumer);
    }
  }

  /** Forgets acknowledgements: all from `position` on are delivered again, after CLOSE_CONSUMER. Left out: all. */
  forgetAcks(topic: string, name: string, position?: Position): void {
    for (const each of this.#local.topics.all(topic)) {
      each.subscriptions.get(name)?.reset(position === undefined ? -1 : each.placeOf(position) - 1);
    }
  }

  /** Acknowledges the next `count` entries on each partition, as an admin does that skips them. */
  skip(topic: string, name: string, count: number): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      subscription.ackCumulative(subscription.cursor.markDelete + count);
    }
  }

  /** Failover: makes the consumer of that name the active one, now, and reports all. Left out or unknown: none is active. */
  setActiveConsumer(topic: string, name: string, consumerName?: string): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      subscription.activate(subscription.consumers.find(({ port }) => port.name === consumerName));
    }
  }

  /** Sends a command on every connection that nothing there asked for. */
  sendCommand<N extends CommandName>(name: N, fields: CommandFields<N>): void {
    for (const session of this.#local.sessions.values()) session.send(name, fields);
  }

  /** Sends AUTH_CHALLENGE on every connection. */
  challengeAuth(): void {
    for (const session of this.#local.sessions.values()) session.challenge();
  }

  /** Drops every connection, without a word; with a reset where asked. */
  dropConnections(how: 'close' | 'reset' = 'close'): void {
    for (const connection of this.#local.sessions.keys()) connection.destroy(how);
  }

  /** Writes bytes on every connection that need be no frame. */
  sendRaw(bytes: Uint8Array): void {
    for (const connection of this.#local.sessions.keys()) connection.sendRaw(bytes);
  }

  #subscriptions(topic: string, name: string): Subscription[] {
    const found = this.#local.topics.all(topic).map(({ subscriptions }) => subscriptions.get(name));
    return found.filter((each) => each !== undefined);
  }

  #topicsToPublish(topic: string): Topic[] {
    if (this.#local.topics.partitionsOf(topic) === undefined) this.#local.topics.create(topic, 0);
    return this.#local.topics.all(topic);
  }

  #one(topic: string): Topic {
    const [only, ...others] = this.#topicsToPublish(topic);
    if (only === undefined || others.length > 0)
      throw new Error(`${topic} is partitioned: name one partition`);
    return only;
  }

  #entry(topic: string, position: Position): StoredEntry {
    const entry = this.#one(topic).entryAt(position);
    if (entry === undefined)
      throw new Error(`${topic} has no entry ${position.ledgerId}:${position.entryId}`);
    return entry;
  }
}
