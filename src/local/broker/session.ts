// What one client has at the broker: its role, and the answer to each command. Its consumers are session-consumers.ts,
// its producers session-producers.ts.
// Transactions, compaction, delayed delivery, compatibility of schemas and quotas are not there.

import type { CommandFields, CommandName } from '../../pulsar/wire/protocol/frame.ts';
import { LOOKUP_TYPE, PARTITIONED_METADATA_TYPE, SERVER_ERROR } from '../../pulsar/wire/protocol/tables.ts';
import type { Connection } from './accepted-socket.ts';
import { ANYBODY, roleOf, type TokenRole } from './access.ts';
import { type BrokerContext, PROXIED_BROKER } from './broker-context.ts';
import type { Command } from './frames.ts';
import { Refusal, sendRefusal } from './refusal.ts';
import { SessionConsumers } from './session-consumers.ts';
import { SessionProducers } from './session-producers.ts';
import type { Topic } from './topic.ts';

/** The commands of one connection. */
export class Session {
  readonly consumers: SessionConsumers;
  readonly producers: SessionProducers;
  role: TokenRole | undefined;
  /** How many AUTH_RESPONSEs came, as answers to AUTH_CHALLENGE. */
  authResponses = 0;
  clientVersion = '';
  #proxyTo: string | undefined;
  readonly #connection: Connection;
  readonly #context: BrokerContext;

  constructor(connection: Connection, context: BrokerContext) {
    this.#connection = connection;
    this.#context = context;
    this.consumers = new SessionConsumers(connection, context);
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
      sendRefusal(this.#connection, name, fields, error);
    }
  }

  /** Sends a command that nothing asked for. */
  send<N extends CommandName>(name: N, fields: CommandFields<N>): void {
    this.#connection.send(name, fields);
  }

  /** The connection has ended: everything unacknowledged goes back. */
  end(): void {
    this.consumers.end();
    this.producers.end();
  }

  /** The socket can take more. */
  resume(): void {
    this.consumers.resume();
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
      this.consumers.wantsBrokerEntryMetadata = featureFlags?.supportsBrokerEntryMetadata ?? false;
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
    subscribe: (fields) => {
      const topic = this.#topic(fields.topic, fields.forceTopicCreation ?? true);
      this.consumers.subscribe(fields, topic);
    },
    flow: (fields) => this.consumers.flow(fields),
    ack: (fields) => this.consumers.ack(fields),
    redeliverUnacknowledgedMessages: (fields) => this.consumers.redeliver(fields),
    getLastMessageId: (fields) => this.consumers.getLastMessageId(fields),
    addSubscriptionToTxn: ({ requestId, txnidMostBits, txnidLeastBits }) => {
      if (!this.#context.faults.hasTransactions) {
        throw new Refusal(SERVER_ERROR.NotAllowedError, 'Transactions are not enabled.');
      }
      const error = SERVER_ERROR.TransactionCoordinatorNotFound;
      this.#connection.send('addSubscriptionToTxnResponse', {
        ...{ requestId, txnidMostBits, txnidLeastBits, error },
      });
    },
    consumerStats: (fields) => this.consumers.consumerStats(fields),
    seek: (fields) => this.consumers.seek(fields),
    unsubscribe: (fields) => this.consumers.unsubscribe(fields),
    closeConsumer: (fields) => this.consumers.close(fields),
    producer: (fields) => {
      const topic = this.#topic(fields.topic, true);
      if (this.role?.mayProduce === false) {
        throw new Refusal(
          SERVER_ERROR.AuthorizationError,
          `${this.role.role} may not produce to ${topic.name}`,
        );
      }
      this.producers.open(fields, topic, this.#context.schemas.register(topic.name, fields.schema));
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
    getSchema: ({ requestId, topic, schemaVersion }) => {
      const schema = this.#context.schemas.find(this.#topicName(topic), schemaVersion);
      this.#connection.send('getSchemaResponse', {
        requestId,
        ...(schema === undefined
          ? { errorCode: SERVER_ERROR.TopicNotFound, errorMessage: 'Topic not found or no-schema' }
          : { schema, schemaVersion }),
      });
    },
    getOrCreateSchema: ({ requestId, topic, schema }) => {
      const schemaVersion = this.#context.schemas.register(this.#topicName(topic), schema);
      this.#connection.send('getOrCreateSchemaResponse', { requestId, schemaVersion });
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
}

const SERVER_VERSION = 'Pulsar loopback';
/** Brokers that speak an older one create a topic when they are asked for its partitions. */
const ASKED_WITHOUT_CREATION_SINCE = 21;
