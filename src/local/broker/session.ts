// What one client has at the broker: its role and its consumers, and the answer to each command; its producers
// are session-producers.ts.
// Transactions, compaction, delayed delivery, schemas and quotas are not there.

import type { Fields } from '../../pulsar/wire/protocol/codec.ts';
import type { CommandFields, CommandName } from '../../pulsar/wire/protocol/frame.ts';
import {
  ACK_TYPE,
  INITIAL_POSITION,
  LOOKUP_TYPE,
  PARTITIONED_METADATA_TYPE,
  SERVER_ERROR,
  SUBSCRIPTION_TYPE,
} from '../../pulsar/wire/protocol/tables.ts';
import { ANYBODY, roleOf, type TokenRole, type Tokens } from './access.ts';
import type { Connection } from './connection.ts';
import type { Faults } from './faults.ts';
import { type Command, encodeBrokerEntryMetadata } from './frames.ts';
import { Refusal } from './refusal.ts';
import { FIRST_SCHEMA, SessionProducers } from './session-producers.ts';
import type {
  Consumer,
  ConsumerPort,
  Subscription,
  SubscriptionOptions,
  SubscriptionType,
} from './subscription.ts';
import type { Position, StoredEntry, Topic } from './topic.ts';
import type { Topics } from './topics.ts';

/** Named in lookups while the broker plays a cluster behind a proxy; nobody can resolve it. */
export const PROXIED_BROKER = 'broker-1.loopback.invalid:6650';

/** What all sessions share. */
export interface BrokerContext {
  readonly topics: Topics;
  readonly faults: Faults;
  readonly tokens: Tokens;
  readonly subscriptionOptions: SubscriptionOptions;
  readonly autoCreatesTopics: boolean;
  readonly acknowledgesBatchIndexes: boolean;
  readonly addsBrokerEntryMetadata: boolean;
  readonly maxMessageSizeBytes: number;
  readonly livenessCheckMs: number;
  readonly isTls: boolean;
  serviceUrl(): string;
}

/** A consumer of this session. */
export interface SessionConsumer {
  readonly id: number;
  readonly name: string;
  readonly topic: Topic;
  readonly subscription: Subscription;
  readonly consumer: Consumer;
  readonly isDurable: boolean;
  epoch: number | bigint | undefined;
}

const TYPE_NAMES = new Map(
  Object.entries(SUBSCRIPTION_TYPE).map(([name, number]) => [number as number, name as SubscriptionType]),
);

/** The commands of one connection. */
export class Session {
  readonly consumers = new Map<number, SessionConsumer>();
  readonly producers: SessionProducers;
  role: TokenRole | undefined;
  /** How many AUTH_RESPONSEs came, as answers to AUTH_CHALLENGE. */
  authResponses = 0;
  clientVersion = '';
  #proxyTo: string | undefined;
  #hasEnded = false;
  #wantsBrokerEntryMetadata = false;
  readonly #connection: Connection;
  readonly #context: BrokerContext;

  constructor(connection: Connection, context: BrokerContext) {
    this.#connection = connection;
    this.#context = context;
    this.producers = new SessionProducers(connection);
  }

  /** Acts upon a command. @throws Error where the connection cannot go on */
  handle({ name, fields, rest }: Command): void {
    if (this.role === undefined && name !== 'connect') throw new Error('the first command must be CONNECT');
    const handler = this.#handlers[name] as ((fields: unknown, rest: Buffer) => void) | undefined;
    if (handler === undefined) throw new Error(`the loopback broker does not know ${name}`);
    try {
      handler(fields, rest);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.refuse(name, fields, error.code, error.message);
    }
  }

  /** Answers a command with an error, the way that command is answered. */
  refuse(name: CommandName, fields: Record<string, unknown>, error: number, message: string): void {
    const requestId = fields['requestId'] as number | undefined;
    if (name === 'partitionMetadata') {
      const response = PARTITIONED_METADATA_TYPE.Failed;
      this.#connection.send('partitionMetadataResponse', { requestId, response, error, message });
    } else if (name === 'lookupTopic') {
      const response = LOOKUP_TYPE.Failed;
      this.#connection.send('lookupTopicResponse', { response, requestId, error, message });
    } else if (name === 'ack') {
      const consumerId = fields['consumerId'] as number;
      if (requestId !== undefined)
        this.#connection.send('ackResponse', { consumerId, error, message, requestId });
    } else if (name === 'send') {
      const { producerId, sequenceId } = fields as CommandFields<'send'>;
      this.#connection.send('sendError', { producerId, sequenceId, error, message });
    } else {
      this.#connection.send('error', { requestId: name === 'connect' ? -1 : requestId, error, message });
    }
  }

  /** Sends a command that nothing asked for. */
  send<N extends CommandName>(name: N, fields: CommandFields<N>): void {
    this.#connection.send(name, fields);
  }

  /** The connection has ended: everything unacknowledged goes back. */
  end(): void {
    this.#hasEnded = true;
    for (const held of [...this.consumers.values()]) this.#drop(held);
    this.producers.end();
  }

  /** The socket can take more. */
  resume(): void {
    for (const { subscription } of this.consumers.values()) subscription.dispatch();
  }

  /** Asks the client for its token again. */
  challenge(): void {
    const challenge = { authMethodName: 'token', authData: Buffer.from('PulsarAuthRefresh') };
    this.#connection.send('authChallenge', { serverVersion: SERVER_VERSION, challenge, protocolVersion: 21 });
  }

  readonly #handlers: { [N in CommandName]?: (fields: CommandFields<N>, rest: Buffer) => void } = {
    connect: (fields) => {
      const { authData, protocolVersion = 0, featureFlags } = fields;
      if (!this.#authenticate(authData)) return;
      this.clientVersion = fields.clientVersion ?? '';
      this.#proxyTo = fields.proxyToBrokerUrl;
      this.#wantsBrokerEntryMetadata = featureFlags?.supportsBrokerEntryMetadata ?? false;
      this.#connection.send('connected', {
        serverVersion: SERVER_VERSION,
        protocolVersion: Math.min(protocolVersion, this.#context.faults.protocolVersion),
        maxMessageSize: this.#context.maxMessageSizeBytes,
        featureFlags: {
          supportsTopicWatchers: false,
          supportsGetPartitionedMetadataWithoutAutoCreation:
            this.#context.faults.protocolVersion >= ASKED_WITHOUT_CREATION_SINCE,
        },
      });
    },
    authResponse: (fields) => {
      this.authResponses++;
      this.#authenticate(fields.response?.authData);
    },
    ping: () => {
      if (!this.#context.faults.ignoresPing) this.#connection.send('pong', {});
    },
    pong: () => {},
    partitionMetadata: (fields) => this.#partitionMetadata(fields),
    lookupTopic: (fields) => this.#lookup(fields),
    subscribe: (fields) => this.#subscribe(fields),
    flow: ({ consumerId, messagePermits = 0 }) => {
      const held = this.#consumer(consumerId);
      held?.subscription.flow(held.consumer, messagePermits);
    },
    ack: (fields) => this.#ack(fields),
    redeliverUnacknowledgedMessages: ({ consumerId, messageIds = [], consumerEpoch }) => {
      const held = this.#consumer(consumerId);
      if (held === undefined) return;
      if (consumerEpoch !== undefined) held.epoch = consumerEpoch;
      const places = messageIds.map((id) => held.topic.entryAt(positionFrom(id))?.place ?? -1);
      held.subscription.redeliver(held.consumer, places);
    },
    getLastMessageId: (fields) => this.#getLastMessageId(fields),
    addSubscriptionToTxn: ({ requestId, txnidMostBits, txnidLeastBits }) => {
      if (!this.#context.faults.hasTransactions) {
        throw new Refusal(SERVER_ERROR.NotAllowedError, 'Transactions are not enabled.');
      }
      const error = SERVER_ERROR.TransactionCoordinatorNotFound;
      this.#connection.send('addSubscriptionToTxnResponse', {
        ...{ requestId, txnidMostBits, txnidLeastBits, error },
      });
    },
    consumerStats: (fields) => this.#consumerStats(fields),
    seek: ({ consumerId, requestId, messageId, messagePublishTime }) => {
      const { topic, subscription } = this.#consumerOrRefuse(consumerId);
      const first =
        messageId === undefined
          ? topic.entries.findIndex(({ publishTimeMs }) => publishTimeMs >= Number(messagePublishTime ?? 0))
          : placeAt(topic, positionFrom(messageId));
      this.#connection.send('success', { requestId });
      subscription.reset((first < 0 && messageId === undefined ? topic.entries.length : first) - 1);
    },
    unsubscribe: ({ consumerId, requestId, force = false }) => {
      const held = this.#consumerOrRefuse(consumerId);
      const { topic, subscription } = held;
      if (subscription.consumers.length > 1 && !force) {
        throw new Refusal(
          SERVER_ERROR.ConsumerBusy,
          'Unconnected or shared consumer attempting to unsubscribe',
        );
      }
      topic.subscriptions.delete(subscription.name);
      this.#drop(held);
      subscription.closeConsumers();
      // Pulsar writes to its metadata store first. The C++ client 4.2.0 often crashes when the answers for the partitions
      // of a topic come while it is still asking.
      setTimeout(() => this.#connection.send('success', { requestId }), UNSUBSCRIBE_MS);
    },
    closeConsumer: ({ consumerId, requestId }) => {
      const held = this.#consumer(consumerId);
      if (held !== undefined) this.#drop(held);
      this.#connection.send('success', { requestId });
    },
    producer: (fields) => {
      const topic = this.#topic(fields.topic, true);
      if (this.role?.mayProduce === false) {
        throw new Refusal(
          SERVER_ERROR.AuthorizationError,
          `${this.role.role} may not produce to ${topic.name}`,
        );
      }
      this.producers.open(fields, topic);
    },
    send: (fields, rest) => this.producers.store(fields, rest),
    closeProducer: (fields) => this.producers.close(fields),
    getTopicsOfNamespace: ({ requestId, namespace = '' }) => {
      const topics = this.#context.topics.namesIn(namespace);
      this.#connection.send('getTopicsOfNamespaceResponse', {
        requestId,
        topics,
        filtered: false,
        changed: true,
      });
    },
    getOrCreateSchema: ({ requestId }) => {
      this.#connection.send('getOrCreateSchemaResponse', { requestId, schemaVersion: FIRST_SCHEMA });
    },
  };

  #authenticate(authData: Uint8Array | undefined): boolean {
    const token = authData === undefined ? undefined : Buffer.from(authData).toString();
    const role = this.#context.tokens === undefined ? ANYBODY : roleOf(this.#context.tokens, token);
    if (role === undefined) {
      const message = 'Unable to authenticate';
      this.#connection.send('error', { requestId: -1, error: SERVER_ERROR.AuthenticationError, message });
      this.#connection.end();
      return false;
    }
    this.role = role;
    return true;
  }

  #partitionMetadata(fields: CommandFields<'partitionMetadata'>): void {
    const { requestId, metadataAutoCreationEnabled = true } = fields;
    const name = this.#topicName(fields.topic);
    const partitions = this.#context.topics.partitionsOf(name);
    if (partitions === undefined && !(this.#context.autoCreatesTopics && metadataAutoCreationEnabled)) {
      throw new Refusal(SERVER_ERROR.TopicNotFound, `Topic ${name} does not exist`);
    }
    const response = PARTITIONED_METADATA_TYPE.Success;
    this.#connection.send('partitionMetadataResponse', { partitions: partitions ?? 0, requestId, response });
  }

  #lookup({ topic, requestId }: CommandFields<'lookupTopic'>): void {
    const { faults, isTls } = this.#context;
    this.#topicName(topic);
    const isRedirect = faults.mustRedirect();
    const url = isRedirect
      ? (faults.redirectTo?.serviceUrl ?? this.#context.serviceUrl())
      : faults.proxiesThroughServiceUrl
        ? `${isTls ? 'pulsar+ssl' : 'pulsar'}://${PROXIED_BROKER}`
        : this.#context.serviceUrl();
    this.#connection.send('lookupTopicResponse', {
      ...(isTls ? { brokerServiceUrlTls: url } : { brokerServiceUrl: url }),
      response: isRedirect ? LOOKUP_TYPE.Redirect : LOOKUP_TYPE.Connect,
      requestId,
      authoritative: true,
      proxyThroughServiceUrl: faults.proxiesThroughServiceUrl,
    });
  }

  #subscribe(fields: CommandFields<'subscribe'>): void {
    const { requestId, subscription: name = '', subType = 0, durable = true } = fields;
    const id = Number(fields.consumerId);
    const topic = this.#topic(fields.topic, fields.forceTopicCreation ?? true);
    if (this.consumers.has(id)) {
      this.#connection.send('success', { requestId });
      return;
    }
    const from = fields.initialPosition === INITIAL_POSITION.Earliest ? 'earliest' : 'latest';
    const isNew = !topic.subscriptions.has(name);
    const subscription = topic.subscribe(name, from, this.#context.subscriptionOptions);
    if (isNew && fields.startMessageId !== undefined) {
      const start = positionFrom(fields.startMessageId);
      const isInBatch = (fields.startMessageId.batchIndex ?? -1) >= 0;
      subscription.reset(Math.max(-1, topic.placeOf(start) - (isInBatch ? 1 : 0)));
    }
    const consumerName = fields.consumerName ?? '';
    const type = TYPE_NAMES.get(subType) ?? 'Exclusive';
    const consumer = subscription.add(this.#port(id, topic, consumerName, fields.priorityLevel ?? 0), type);
    if (typeof consumer === 'string') {
      void this.#refuseOrTakeOver(fields, subscription, consumer);
      return;
    }
    const epoch = fields.consumerEpoch;
    this.consumers.set(id, {
      id,
      name: consumerName,
      topic,
      subscription,
      consumer,
      isDurable: durable,
      epoch,
    });
    this.#connection.send('success', { requestId });
  }

  /** An Exclusive consumer keeps its subscription only if its client answers a PING, as since Pulsar 3.0. */
  async #refuseOrTakeOver(
    fields: CommandFields<'subscribe'>,
    busy: Subscription,
    message: string,
  ): Promise<void> {
    const holder = busy.consumers[0];
    const isExclusive = busy.type === 'Exclusive' && fields.subType === SUBSCRIPTION_TYPE.Exclusive;
    if (!isExclusive || holder === undefined || (await holder.port.checkAlive())) {
      this.refuse('subscribe', fields, SERVER_ERROR.ConsumerBusy, message);
      return;
    }
    busy.remove(holder);
    if (this.#hasEnded) return;
    this.handle({ name: 'subscribe', fields, rest: Buffer.alloc(0) });
  }

  #port(id: number, topic: Topic, name: string, priority: number): ConsumerPort {
    return {
      name,
      priority,
      isWritable: () => this.#connection.isWritable,
      checkAlive: () => this.#connection.checkAlive(this.#context.livenessCheckMs),
      deliver: (entry, redeliveryCount) => this.#deliver(id, topic, entry, redeliveryCount),
      activeChanged: (isActive) =>
        this.#connection.send('activeConsumerChange', { consumerId: id, isActive }),
      reachedEnd: () => this.#connection.send('reachedEndOfTopic', { consumerId: id }),
      closed: () => {
        this.consumers.delete(id);
        this.#connection.send('closeConsumer', { consumerId: id, requestId: -1 });
      },
    };
  }

  #deliver(consumerId: number, topic: Topic, entry: StoredEntry, redeliveryCount: number): void {
    const { ledgerId, entryId } = entry;
    const fields = {
      consumerId,
      messageId: { ledgerId, entryId, partition: topic.partition },
      redeliveryCount: redeliveryCount === 0 ? undefined : redeliveryCount,
      consumerEpoch: this.consumers.get(consumerId)?.epoch,
      ackSet: wordsOf(this.consumers.get(consumerId)?.subscription.cursor.partOf(entry.place)),
    };
    for (const bytes of this.#context.faults.bytesToSend(entry)) {
      this.#connection.send('message', fields, this.#withBrokerEntryMetadata(entry, bytes));
    }
    if (this.#context.faults.mustCloseNow()) this.#connection.end();
  }

  #withBrokerEntryMetadata(entry: StoredEntry, bytes: Uint8Array): Uint8Array {
    if (!this.#context.addsBrokerEntryMetadata || !this.#wantsBrokerEntryMetadata) return bytes;
    const fields = { brokerTimestamp: entry.storedAtMs, index: entry.place };
    return Buffer.concat([encodeBrokerEntryMetadata(fields), bytes]);
  }

  #ack({ consumerId = 0, ackType, messageId = [], requestId }: CommandFields<'ack'>): void {
    const held = this.#consumer(consumerId);
    if (held === undefined) return;
    const fault = this.#context.faults.takeAckFault();
    if (fault === 'close-before') this.#connection.destroy();
    if (fault === 'close-before' || fault === 'ignore') return;
    const { topic, subscription } = held;
    // Without batch-index acknowledgement, an id with an ack set says nothing about the whole entry.
    if (this.#context.acknowledgesBatchIndexes && ackType !== ACK_TYPE.Cumulative) {
      for (const id of messageId) {
        const place = topic.entryAt(positionFrom(id))?.place;
        if (place !== undefined && id.ackSet?.length) subscription.ackPart(place, bitsOf(id.ackSet));
      }
    }
    const whole = messageId.filter(({ ackSet }) => ackSet === undefined || ackSet.length === 0);
    if (ackType === ACK_TYPE.Cumulative) {
      for (const id of whole) subscription.ackCumulative(topic.placeOf(positionFrom(id)));
    } else {
      const entries = whole.map((id) => topic.entryAt(positionFrom(id)));
      subscription.ackEach(entries.filter((entry) => entry !== undefined).map(({ place }) => place));
    }
    if (fault === 'close-after') this.#connection.destroy();
    if (requestId === undefined || !this.#hasReceipts || fault !== undefined) return;
    this.#connection.send('ackResponse', { consumerId, requestId });
  }

  #getLastMessageId({ consumerId, requestId }: CommandFields<'getLastMessageId'>): void {
    const { topic, subscription } = this.#consumerOrRefuse(consumerId);
    const { lastEntry: lastOf } = this.#context.faults;
    const { partition } = topic;
    const lastEntry = lastOf === undefined ? topic.lastEntry : lastOf(topic.entries);
    const { ledgerId, entryId } = lastEntry ?? { ledgerId: -1, entryId: -1 };
    const batchIndex = lastEntry?.isBatch === true ? lastEntry.messages - 1 : -1;
    const markDelete = topic.positionOf(subscription.cursor.markDelete);
    this.#connection.send('getLastMessageIdResponse', {
      lastMessageId: { ledgerId, entryId, partition, batchIndex },
      requestId,
      consumerMarkDeletePosition: this.#hasReceipts ? markDelete : undefined,
    });
  }

  #consumerStats({ consumerId, requestId }: CommandFields<'consumerStats'>): void {
    const held = this.#consumer(consumerId);
    // As Pulsar 4.0.7 does it, by a NullPointerException.
    if (held === undefined) throw new Error('CONSUMER_STATS without a consumer');
    const { consumer, subscription, name } = held;
    this.#connection.send('consumerStatsResponse', {
      requestId,
      consumerName: name,
      availablePermits: consumer.permits,
      unackedMessages: consumer.unackedMessages,
      blockedConsumerOnUnackedMsgs: consumer.isBlocked,
      address: this.#connection.address,
      type: subscription.type,
      msgBacklog: subscription.backlogEntries,
    });
  }

  get #hasReceipts(): boolean {
    return this.#context.faults.protocolVersion >= ACK_RECEIPT_VERSION;
  }

  #topicName(name: string | undefined): string {
    const full = this.#context.topics.fullName(name ?? '');
    if (full === undefined) throw new Refusal(SERVER_ERROR.InvalidTopicName, `Invalid topic name: ${name}`);
    if (this.role?.isAllowed !== true) {
      throw new Refusal(SERVER_ERROR.AuthorizationError, `${this.role?.role} is not authorized on ${full}`);
    }
    if (!this.#context.topics.hasNamespaceOf(full)) {
      throw new Refusal(SERVER_ERROR.TopicNotFound, `Namespace of ${full} not found`);
    }
    return full;
  }

  #topic(name: string | undefined, mayCreate: boolean): Topic {
    const full = this.#topicName(name);
    if (this.#context.faults.proxiesThroughServiceUrl && this.#proxyTo !== PROXIED_BROKER) {
      throw new Refusal(SERVER_ERROR.ServiceNotReady, 'Namespace bundle is not served by this instance');
    }
    const topic = this.#context.topics.find(full);
    if (topic !== undefined) return topic;
    if (!mayCreate || !this.#context.autoCreatesTopics) {
      throw new Refusal(SERVER_ERROR.TopicNotFound, `Topic ${full} does not exist`);
    }
    return this.#context.topics.getOrCreate(full);
  }

  #consumer(id: number | bigint | undefined): SessionConsumer | undefined {
    return this.consumers.get(Number(id));
  }

  #consumerOrRefuse(id: number | bigint | undefined): SessionConsumer {
    const held = this.#consumer(id);
    if (held === undefined) throw new Refusal(SERVER_ERROR.MetadataError, 'Consumer not found');
    return held;
  }

  #drop(held: SessionConsumer): void {
    this.consumers.delete(held.id);
    held.subscription.remove(held.consumer);
    if (!held.isDurable && held.subscription.consumers.length === 0) {
      held.topic.subscriptions.delete(held.subscription.name);
    }
  }
}

const SERVER_VERSION = 'Pulsar loopback';
const UNSUBSCRIBE_MS = 20;
const ACK_RECEIPT_VERSION = 17;
/** Brokers that speak an older one create a topic when they are asked for its partitions. */
const ASKED_WITHOUT_CREATION_SINCE = 21;

/** The words of a java.util.BitSet. */
function wordsOf(bits: bigint | undefined): bigint[] | undefined {
  if (bits === undefined) return undefined;
  return Array.from({ length: Math.ceil(bits.toString(2).length / 64) }, (_, index) =>
    BigInt.asIntN(64, bits >> BigInt(64 * index)),
  );
}

function bitsOf(words: readonly (number | bigint)[]): bigint {
  return words.reduce<bigint>(
    (bits, word, index) => bits | (BigInt.asUintN(64, BigInt(word)) << BigInt(64 * index)),
    0n,
  );
}

function positionFrom(id: Fields<'MessageIdData'>): Position {
  return { ledgerId: Number(id.ledgerId ?? 0), entryId: Number(id.entryId ?? 0) };
}

/** The place of the first entry at or after a position. */
function placeAt(topic: Topic, position: Position): number {
  return topic.entryAt(position)?.place ?? topic.placeOf(position) + 1;
}
