// A loopback Pulsar broker for `demo` and tests: Pulsar's binary protocol and a little of its HTTP API on 127.0.0.1, with
// all data in memory. It is no Pulsar: nothing is durable, nothing is secured but by static tokens, and transactions,
// compaction, schemas, delayed delivery, retention, geo-replication and clusters are not there. What a real broker
// does is shown by the integration suite, not here.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsHttpServer } from 'node:https';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Fields } from '../../pulsar/wire/protocol/codec.ts';
import type { CommandFields, CommandName } from '../../pulsar/wire/protocol/frame.ts';
import { FRAME } from '../../pulsar/wire/protocol/tables.ts';
import type { Tokens } from './access.ts';
import { type CommandHook, Connection } from './connection.ts';
import { describeEntry, type Position, type StoredEntry } from './entry.ts';
import { type Corruption, Faults } from './faults.ts';
import { encodeEntry } from './frames.ts';
import { answerHttp, type HttpContext } from './http.ts';
import { encodeMessages, type LoopbackMessage, type PublishOptions } from './publish.ts';
import { sendRefusal } from './refusal.ts';
import { Session } from './session.ts';
import type { Subscription, SubscriptionType } from './subscription.ts';
import type { Topic } from './topic.ts';
import { Topics } from './topics.ts';

export interface LoopbackBrokerOptions {
  /** 0 (the default): any free port. */
  readonly port?: number;
  /** 0 (the default): any free port. */
  readonly httpPort?: number;
  /** Turns authentication on. */
  readonly tokens?: Tokens;
  /** Namespaces that exist. Default: `public/default`. */
  readonly namespaces?: readonly string[];
  /** Failover: how long a new active consumer waits. Default 1000, as in Pulsar. */
  readonly failoverDelayMs?: number;
  /** Shared and Key_Shared. Default 5000, as in TDMQ. */
  readonly maxUnackedMessagesPerConsumer?: number;
  /** Default 50,000. */
  readonly maxEntriesPerLedger?: number;
  /** Default 5 MiB. */
  readonly maxMessageSizeBytes?: number;
  /** Whether unknown topics come to be when they are used. Default true. */
  readonly autoCreatesTopics?: boolean;
  /** Whether single messages of a batch can be acknowledged. Default false, as in Pulsar. */
  readonly acknowledgesBatchIndexes?: boolean;
  /** Put a BrokerEntryMetadata before entries, for clients that can read it. Default false. */
  readonly addsBrokerEntryMetadata?: boolean;
  /** How often it sends PING. Default 30 s. */
  readonly keepAliveMs?: number;
  /** How long the client of an Exclusive consumer may take to answer a PING when another wants its place. Default 5 s. */
  readonly livenessCheckMs?: number;
  /** PEM key and certificate: then it speaks pulsar+ssl:// and https:// only. `ca`: it wants client certificates of this CA. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string };
}

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
export async function startLoopbackBroker(options: LoopbackBrokerOptions = {}): Promise<LoopbackBroker> {
  const broker = new LoopbackBroker(options);
  await broker.start();
  return broker;
}

/** A running broker. Topics are named in full or as `tenant/ns/topic`; a name without partition means all of them. */
export class LoopbackBroker {
  readonly faults = new Faults();
  readonly #options: LoopbackBrokerOptions;
  readonly #topics: Topics;
  readonly #context: HttpContext;
  readonly #sessions = new Map<Connection, Session>();
  readonly #incoming = new Set<CommandHook>();
  readonly #outgoing = new Set<CommandHook>();
  readonly #httpSockets = new Set<Socket>();
  readonly #published = new Map<string, number>();
  #tcp: TcpServer | undefined;
  #http: Server | undefined;
  #port: number;
  #httpPort: number;
  #connections = 0;

  constructor(options: LoopbackBrokerOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.#httpPort = options.httpPort ?? 0;
    this.#topics = new Topics({
      namespaces: options.namespaces ?? ['public/default'],
      maxEntriesPerLedger: options.maxEntriesPerLedger ?? 50_000,
    });
    this.#context = {
      topics: this.#topics,
      faults: this.faults,
      tokens: options.tokens,
      subscriptionOptions: {
        keepsBack: (subscription, entry) => this.faults.keepsBack?.(subscription, entry) ?? false,
        failoverDelayMs: options.failoverDelayMs ?? 1000,
        maxUnackedMessagesPerConsumer: options.maxUnackedMessagesPerConsumer ?? 5000,
      },
      autoCreatesTopics: options.autoCreatesTopics ?? true,
      acknowledgesBatchIndexes: options.acknowledgesBatchIndexes ?? false,
      addsBrokerEntryMetadata: options.addsBrokerEntryMetadata ?? false,
      maxMessageSizeBytes: options.maxMessageSizeBytes ?? FRAME.defaultMaxMessageSizeBytes,
      livenessCheckMs: options.livenessCheckMs ?? 5000,
      isTls: options.tls !== undefined,
      serviceUrl: () => this.serviceUrl,
      httpUrl: () => this.httpUrl,
      unload: (topic) => this.#unload(topic),
    };
  }

  /** `pulsar://127.0.0.1:port` */
  get serviceUrl(): string {
    return `${this.#options.tls === undefined ? 'pulsar' : 'pulsar+ssl'}://127.0.0.1:${this.#port}`;
  }

  /** `http://127.0.0.1:port`, for lookups and administration. */
  get httpUrl(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#httpPort}`;
  }

  /** Listens, again after `stop` on the same ports with the same data. */
  async start(): Promise<void> {
    const { tls: files } = this.#options;
    const tls = files && { ...files, requestCert: files.ca !== undefined };
    const accept = (socket: Socket) => this.#accept(socket);
    const tcp = tls === undefined ? createTcpServer(accept) : createTlsServer(tls, accept);
    const http = tls === undefined ? createServer() : createTlsHttpServer(tls);
    http.on('request', (request, response) => void answerHttp(this.#context, request, response));
    http.on('connection', (socket) => {
      this.#httpSockets.add(socket);
      socket.on('close', () => this.#httpSockets.delete(socket));
    });
    this.#port = await listen(tcp, this.#port);
    this.#httpPort = await listen(http, this.#httpPort);
    this.#tcp = tcp;
    this.#http = http;
  }

  /** Drops every connection and listens no more; the data stay for `start`. New entries get new ledgers, as after a crash. */
  async stop(): Promise<void> {
    const servers = [this.#tcp, this.#http].filter((server) => server !== undefined);
    this.#tcp = undefined;
    this.#http = undefined;
    const closed = servers.map((server) => once(server, 'close'));
    for (const server of servers) server.close();
    for (const connection of this.#sessions.keys()) connection.destroy();
    for (const socket of this.#httpSockets) socket.destroy();
    await Promise.all(closed);
    for (const topic of this.#topics.each()) topic.rollLedger();
  }

  /** Ends the broker. May be repeated. */
  async close(): Promise<void> {
    await this.stop();
  }

  /** Makes a topic; 0 partitions (the default): one that is not partitioned. */
  createTopic(topic: string, partitions = 0): void {
    this.#topics.create(topic, partitions);
  }

  /** Makes a subscription, on all partitions. */
  createSubscription(topic: string, name: string, from: 'earliest' | 'latest' = 'earliest'): void {
    for (const each of this.#topics.all(topic)) each.subscribe(name, from, this.#context.subscriptionOptions);
  }

  /** Deletes a topic by force. */
  deleteTopic(topic: string): void {
    for (const each of this.#topics.all(topic)) this.#closeProducers(each);
    this.#topics.delete(topic);
  }

  /** Deletes a subscription by force. */
  deleteSubscription(topic: string, name: string): void {
    for (const each of this.#topics.all(topic)) {
      const subscription = each.subscriptions.get(name);
      each.subscriptions.delete(name);
      subscription?.closeConsumers();
    }
  }

  /** From now on, messages that a producer of the same name has published before are dropped, as by namespace policy. */
  deduplicate(topic: string, { dropsChunks = false } = {}): void {
    for (const { producers } of this.#topics.all(topic)) {
      producers.deduplicates = true;
      producers.dropsChunks = dropsChunks;
    }
  }

  /** Nothing can be published any more; consumers that have acknowledged all get REACHED_END_OF_TOPIC. */
  terminate(topic: string): void {
    for (const each of this.#topics.all(topic)) each.terminate();
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
    return [...this.#sessions].flatMap(([{ id: connectionId }, session]) =>
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
    return [...this.#sessions].map(([{ id }, { role, clientVersion, consumers, authResponses }]) => ({
      id,
      role: role?.role,
      clientVersion,
      consumers: consumers.all().length,
      authResponses,
    }));
  }

  /** Sees every command that comes in, before it is acted upon. Returns how to take the hook away. */
  onCommand(hook: CommandHook): () => void {
    this.#incoming.add(hook);
    return () => this.#incoming.delete(hook);
  }

  /** Sees every command that goes out, before it is sent. Returns how to take the hook away. */
  onAnswer(hook: CommandHook): () => void {
    this.#outgoing.add(hook);
    return () => this.#outgoing.delete(hook);
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
    for (const each of this.#topics.all(topic)) this.#unload(each);
  }

  /** Delivers again what connected consumers have not acknowledged, unasked. */
  redeliver(topic: string, name: string): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      for (const consumer of [...subscription.consumers]) subscription.redeliver(consumer);
    }
  }

  /** Forgets acknowledgements: all from `position` on are delivered again, after CLOSE_CONSUMER. Left out: all. */
  forgetAcks(topic: string, name: string, position?: Position): void {
    for (const each of this.#topics.all(topic)) {
      each.subscriptions.get(name)?.reset(position === undefined ? -1 : each.placeOf(position) - 1);
    }
  }

  /** Acknowledges the next `count` entries on each partition, as an admin does that skips them. */
  skip(topic: string, name: string, count: number): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      subscription.ackCumulative(subscription.cursor.markDelete + count);
    }
  }

  /** Failover: makes the consumer of that name the active one, now, and tells all. Left out or unknown: none is active. */
  setActiveConsumer(topic: string, name: string, consumerName?: string): void {
    for (const subscription of this.#subscriptions(topic, name)) {
      subscription.activate(subscription.consumers.find(({ port }) => port.name === consumerName));
    }
  }

  /** Sends a command on every connection that nothing there asked for. */
  sendCommand<N extends CommandName>(name: N, fields: CommandFields<N>): void {
    for (const session of this.#sessions.values()) session.send(name, fields);
  }

  /** Sends AUTH_CHALLENGE on every connection. */
  challengeAuth(): void {
    for (const session of this.#sessions.values()) session.challenge();
  }

  /** Drops every connection, without a word; with a reset where asked. */
  dropConnections(how: 'close' | 'reset' = 'close'): void {
    for (const connection of this.#sessions.keys()) connection.destroy(how);
  }

  /** Writes bytes on every connection that need be no frame. */
  sendRaw(bytes: Uint8Array): void {
    for (const connection of this.#sessions.keys()) connection.sendRaw(bytes);
  }

  #accept(socket: Socket): void {
    if (this.faults.refusesConnections) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const connection = new Connection(
      socket,
      {
        id: ++this.#connections,
        maxFrameBytes: this.#context.maxMessageSizeBytes + FRAME.paddingBytes,
        keepAliveMs: this.#options.keepAliveMs ?? 30_000,
        faults: this.faults,
        incoming: this.#incoming,
        outgoing: this.#outgoing,
      },
      {
        command: (command) => session.handle(command),
        refused: ({ name, fields }, { error, message = 'Told to fail' }) =>
          sendRefusal(connection, name, fields, { code: error, message }),
        writable: () => session.resume(),
        closed: () => {
          this.#sessions.delete(connection);
          session.end();
        },
      },
    );
    const session = new Session(connection, this.#context);
    this.#sessions.set(connection, session);
  }

  #unload(topic: Topic): void {
    for (const subscription of topic.subscriptions.values()) subscription.closeConsumers();
    this.#closeProducers(topic);
    topic.rollLedger();
  }

  #closeProducers(topic: Topic): void {
    for (const session of this.#sessions.values()) session.producers.closeOf(topic);
  }

  #subscriptions(topic: string, name: string): Subscription[] {
    const found = this.#topics.all(topic).map(({ subscriptions }) => subscriptions.get(name));
    return found.filter((each) => each !== undefined);
  }

  #topicsToPublish(topic: string): Topic[] {
    if (this.#topics.partitionsOf(topic) === undefined) this.#topics.create(topic, 0);
    return this.#topics.all(topic);
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

async function listen(server: TcpServer, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
