// A stand-in for a Pulsar broker, for `demo`: the binary protocol and a little of the HTTP API on 127.0.0.1, with all
// data in memory. It is no Pulsar: nothing is durable, nothing is secured but by static tokens, and transactions,
// compaction, compatibility of schemas, delayed delivery, retention, geo-replication and clusters are missing. What a real broker does
// is shown by the integration suite. Tests control and inspect it through test/stand-ins/broker.
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
import { FRAME } from '../../pulsar/wire/protocol/tables.ts';
import { type CommandHook, Connection } from './accepted-socket.ts';
import type { Tokens } from './access.ts';
import { Faults } from './faults.ts';
import { answerHttp, type HttpContext } from './http.ts';
import { sendRefusal } from './refusal.ts';
import { Session } from './session.ts';
import type { SubscriptionOptions } from './subscription.ts';
import type { Topic } from './topic.ts';
import { Schemas } from './topic-schemas.ts';
import { Topics } from './topics.ts';

export interface LocalBrokerOptions {
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

/** A broker, which listens between `start` and `stop`. */
export class LocalBroker {
  readonly faults = new Faults();
  readonly #options: LocalBrokerOptions;
  readonly topics: Topics;
  readonly schemas = new Schemas();
  /** See every command that comes in before it is acted upon, and that goes out before it is sent. */
  readonly hooks: { readonly incoming: Set<CommandHook>; readonly outgoing: Set<CommandHook> } = {
    incoming: new Set(),
    outgoing: new Set(),
  };
  readonly subscriptionOptions: SubscriptionOptions;
  readonly #context: HttpContext;
  readonly sessions = new Map<Connection, Session>();
  readonly #httpSockets = new Set<Socket>();
  #tcp: TcpServer | undefined;
  #http: Server | undefined;
  #port: number;
  #httpPort: number;
  #connections = 0;

  constructor(options: LocalBrokerOptions = {}) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.#httpPort = options.httpPort ?? 0;
    this.topics = new Topics({
      namespaces: options.namespaces ?? ['public/default'],
      maxEntriesPerLedger: options.maxEntriesPerLedger ?? 50_000,
    });
    this.subscriptionOptions = {
      keepsBack: (subscription, entry) => this.faults.keepsBack?.(subscription, entry) ?? false,
      failoverDelayMs: options.failoverDelayMs ?? 1000,
      maxUnackedMessagesPerConsumer: options.maxUnackedMessagesPerConsumer ?? 5000,
    };
    this.#context = {
      topics: this.topics,
      schemas: this.schemas,
      faults: this.faults,
      tokens: options.tokens,
      subscriptionOptions: this.subscriptionOptions,
      autoCreatesTopics: options.autoCreatesTopics ?? true,
      acknowledgesBatchIndexes: options.acknowledgesBatchIndexes ?? false,
      addsBrokerEntryMetadata: options.addsBrokerEntryMetadata ?? false,
      maxMessageSizeBytes: options.maxMessageSizeBytes ?? FRAME.defaultMaxMessageSizeBytes,
      livenessCheckMs: options.livenessCheckMs ?? 5000,
      isTls: options.tls !== undefined,
      serviceUrl: () => this.serviceUrl,
      httpUrl: () => this.httpUrl,
      unload: (topic) => this.unload(topic),
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
    for (const connection of this.sessions.keys()) connection.destroy();
    for (const socket of this.#httpSockets) socket.destroy();
    await Promise.all(closed);
    for (const topic of this.topics.each()) topic.rollLedger();
  }

  /** Ends the broker. May be repeated. */
  async close(): Promise<void> {
    await this.stop();
  }

  /** Makes a topic; 0 partitions (the default): one that is not partitioned. */
  createTopic(topic: string, partitions = 0): void {
    this.topics.create(topic, partitions);
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
        ...this.hooks,
      },
      {
        command: (command) => session.handle(command),
        refused: ({ name, fields }, { error, message = 'Fails on purpose' }) =>
          sendRefusal(connection, name, fields, { code: error, message }),
        writable: () => session.resume(),
        closed: () => {
          this.sessions.delete(connection);
          session.end();
        },
      },
    );
    const session = new Session(connection, this.#context);
    this.sessions.set(connection, session);
  }

  /** Closes the consumers and producers of a topic, and gives new entries a new ledger, as a broker that moves it. */
  unload(topic: Topic): void {
    for (const subscription of topic.subscriptions.values()) subscription.closeConsumers();
    this.closeProducers(topic);
    topic.rollLedger();
  }

  /** Takes the producers of a topic away: CLOSE_PRODUCER. */
  closeProducers(topic: Topic): void {
    for (const session of this.sessions.values()) session.producers.closeOf(topic);
  }
}

async function listen(server: TcpServer, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
