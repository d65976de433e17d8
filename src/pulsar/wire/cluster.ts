// The cluster behind a service URL: its connections, one per broker, and the lookup of a topic's broker.
import { BackupError, withHint } from '../../errors.ts';
import type { Logger } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { httpLookup, httpPartitions } from './http-lookup.ts';
import type { CommandFields } from './protocol/frame.ts';
import { LISTENER_HINT, serverError } from './protocol/server-error.ts';
import { LOOKUP_TYPE, PARTITIONED_METADATA_TYPE } from './protocol/tables.ts';
import { type Address, brokerUrl, hostPort, parseBrokerUrl, type ServiceUrl } from './service-url.ts';
import { expectListed } from './topic-list.ts';

const MAX_REDIRECTS = 20;

/** The address of a cluster, and the credentials. */
export interface ClusterOptions extends ConnectionOptions {
  readonly serviceUrl: ServiceUrl;
  readonly listenerName: string | undefined;
  readonly logger?: Logger;
}

/** Brokers from this protocol version on (Pulsar 2.8) accept a listener name over HTTP; older ones ignore it. */
const KNOWS_LISTENERS_OVER_HTTP = 16;

/** Logged if a broker does not know PULSAR_LISTENER_NAME; the run uses the returned address anyway. */
export const LISTENER_IGNORED =
  'PULSAR_LISTENER_NAME ignored: brokers before Pulsar 2.8 do not know it over http:// and https://';

/** All connections of one run. After `close` every call fails. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #connections = new Map<string, { connection: Connection; opened: Promise<void> }>();
  #isClosed = false;
  #hasReportedListener = false;
  /** The service address that answered last; the next try begins there. */
  #preferred = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /**
   * How many partitions a topic has; 0 for a plain topic. Creates none: with automatic creation, older brokers create
   * a missing topic on this request, so list the topics first. @throws BackupError `source`
   */
  async partitions(topic: TopicName): Promise<number> {
    if (this.#options.serviceUrl.http) {
      return this.#atAnyAddress((address) => httpPartitions(address, topic, this.#options));
    }
    const service = await this.#serviceConnection();
    if (!service.broker.createsNoTopicUnasked) await expectListed(service, topic);
    const what = `reading the partitions of ${topic.full}`;
    const answer = await service.request(
      'partitionMetadata',
      { topic: topic.full, metadataAutoCreationEnabled: false },
      what,
    );
    const fields = answer.fields as CommandFields<'partitionMetadataResponse'>;
    if (fields.response === PARTITIONED_METADATA_TYPE.Failed) {
      throw serverError(what, fields.error, fields.message);
    }
    return fields.partitions ?? 0;
  }

  /** A connection to the broker that serves this topic partition. @throws BackupError `source` */
  async locate(topic: string): Promise<Connection> {
    try {
      return await (this.#options.serviceUrl.http ? this.#locateByHttp(topic) : this.#locateByCommand(topic));
    } catch (error) {
      throw isOfOtherListener(error, this.#options.listenerName) ? othersAnswer(error) : error;
    }
  }

  /** An additional connection to the same broker: its requests, and its loss, do not affect the other. */
  beside({ address, proxyTo }: Connection): Promise<Connection> {
    return this.#connect(address, proxyTo, 'beside');
  }

  /** Ends every connection, awaited. May be repeated; never throws. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#connections.values()].map(({ connection }) => connection.close()));
    this.#connections.clear();
  }

  async #locateByHttp(topic: string): Promise<Connection> {
    const name = parseTopicName(topic) as TopicName;
    const url = await this.#atAnyAddress((address) =>
      httpLookup(address, name, name.topic, this.#options.listenerName, this.#options),
    );
    const connection = await this.#connectAdvertised(this.#brokerAddress(url, topic));
    if (connection.broker.protocolVersion < KNOWS_LISTENERS_OVER_HTTP)
      this.#reportListenerIgnored(connection);
    return connection;
  }

  #reportListenerIgnored(connection: Connection): void {
    const { listenerName, logger } = this.#options;
    if (listenerName === undefined || this.#hasReportedListener) return;
    this.#hasReportedListener = true;
    logger?.warn({ listenerName, broker: connection.name }, LISTENER_IGNORED);
  }

  async #locateByCommand(topic: string): Promise<Connection> {
    const { listenerName } = this.#options;
    const what = `looking up ${topic}`;
    const service = await this.#serviceConnection();
    let connection = service;
    let authoritative = false;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const answer = await connection.request(
        'lookupTopic',
        {
          topic,
          authoritative,
          ...(listenerName === undefined ? {} : { advertisedListenerName: listenerName }),
        },
        what,
      );
      const fields = answer.fields as CommandFields<'lookupTopicResponse'>;
      if (fields.response !== LOOKUP_TYPE.Redirect && fields.response !== LOOKUP_TYPE.Connect) {
        throw serverError(what, fields.error, fields.message);
      }
      const url = this.#options.serviceUrl.tls ? fields.brokerServiceUrlTls : fields.brokerServiceUrl;
      const broker = this.#brokerAddress(url ?? '', topic);
      connection = fields.proxyThroughServiceUrl
        ? await this.#connect(this.#serviceAddress(), hostPort(broker))
        : await this.#connectAdvertised(broker);
      if (fields.response === LOOKUP_TYPE.Connect) return connection;
      authoritative = fields.authoritative === true;
    }
    throw new BackupError('source', `${what}: more than ${MAX_REDIRECTS} redirects`, {
      retryable: true,
      hint: 'The brokers do not agree on who serves the topic; look at the cluster.',
    });
  }

  #brokerAddress(url: string, topic: string): Address {
    const { listenerName, serviceUrl } = this.#options;
    const { tls } = serviceUrl;
    const address = parseBrokerUrl(url);
    if (address !== undefined && address.tls === tls) return address;
    throw new BackupError(
      'source',
      `the lookup of ${topic} answered ${url === '' ? 'no' : `"${url}" as`} ${tls ? 'pulsar+ssl' : 'pulsar'} address of the broker`,
      {
        hint: tls
          ? `A TLS service URL needs brokers that speak pulsar+ssl; it is not continued without TLS.${listenerName === undefined ? '' : ' Perhaps only the listener of PULSAR_LISTENER_NAME has no such address.'}`
          : listenerName === undefined
            ? 'The brokers advertise no plain address: use a PULSAR_SERVICE_URL of pulsar+ssl:// or https://.'
            : 'Check PULSAR_LISTENER_NAME; the brokers advertise no plain address for it.',
      },
    );
  }

  #serviceAddress(): Address {
    return this.#options.serviceUrl.addresses[this.#preferred] as Address;
  }

  #serviceConnection(): Promise<Connection> {
    return this.#atAnyAddress((address) => this.#connect(address, undefined));
  }

  /** Tries the service addresses in turn, from the one that answered last. */
  async #atAnyAddress<T>(action: (address: Address) => Promise<T>): Promise<T> {
    const { addresses } = this.#options.serviceUrl;
    let lastError: unknown;
    for (let tried = 0; tried < addresses.length; tried++) {
      const index = this.#preferred;
      try {
        return await action(addresses[index] as Address);
      } catch (error) {
        lastError = error;
        if (!(error instanceof BackupError && error.retryable)) throw error;
        if (this.#preferred === index) this.#preferred = (index + 1) % addresses.length;
      }
    }
    throw lastError;
  }

  /** To an address that a look-up answered with. */
  async #connectAdvertised(broker: Address): Promise<Connection> {
    const { http, addresses } = this.#options.serviceUrl;
    const isInSettings = !http && addresses.some((address) => hostPort(address) === hostPort(broker));
    try {
      return await this.#connect(broker, undefined);
    } catch (error) {
      throw isInSettings ? error : notReached(error, this.#options);
    }
  }

  async #connect(address: Address, proxyTo: string | undefined, which = ''): Promise<Connection> {
    if (this.#isClosed) throw new BackupError('source', 'the source was closed');
    const key = `${brokerUrl(address)} ${proxyTo ?? ''} ${which}`;
    let entry = this.#connections.get(key);
    if (entry === undefined || entry.connection.isLost) {
      const connection = new Connection(address, proxyTo, this.#options);
      entry = { connection, opened: connection.open() };
      this.#connections.set(key, entry);
    }
    await entry.opened;
    return entry.connection;
  }
}

/** The broker cannot be reached at the address of a lookup, which is in no setting. */
function notReached(error: unknown, { listenerName, serviceUrl }: ClusterOptions): unknown {
  if (!(error instanceof BackupError) || !error.retryable) return error;
  const mayBeIgnored =
    listenerName === undefined || !serviceUrl.http
      ? ''
      : ' A broker before Pulsar 2.8 passes over PULSAR_LISTENER_NAME at http:// and https://: then use a PULSAR_SERVICE_URL of pulsar:// or pulsar+ssl://.';
  return withHint(
    error,
    `PULSAR_SERVICE_URL answers, and names this address for the topic, which the brokers advertise: it must be reached from here as well. Where they advertise several, PULSAR_LISTENER_NAME chooses.${mayBeIgnored}`,
  );
}

/**
 * A broker gives lookups that come at the same time one answer, also if they ask for different listeners: a client with a
 * name that does not exist makes those of others fail.
 */
function isOfOtherListener(error: unknown, listenerName: string | undefined): error is BackupError {
  if (!(error instanceof BackupError) || error.hint !== LISTENER_HINT) return false;
  return listenerName === undefined || !error.summary.includes(listenerName);
}

const othersAnswer = (error: BackupError): BackupError =>
  new BackupError('source', error.summary, {
    retryable: true,
    hint: 'The broker answered the lookup of another client, which asks for a listener that does not exist. The lookup is tried again; if it stays, find that client in the log of the broker.',
    details: error.details,
    cause: error,
  });
