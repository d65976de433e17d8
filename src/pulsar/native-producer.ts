// The Publisher over npm pulsar-client. It cannot publish null values or binary keys, nor tell what the broker's
// deduplication knows: it refuses the former, and leaves the latter to the broker.

import type { PulsarConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import type { Clock, Logger } from '../ports.ts';
import { importPulsarClient } from './native.ts';
import {
  createClient,
  LOG_LEVEL_INFO,
  loadPulsarClient,
  type NativeClient,
  routeLog,
} from './native-client.ts';
import { sourceError } from './native-failure.ts';
import type { OutgoingMessage, Publisher, PublishOptions, TopicProducer } from './publisher.ts';

const WINDOW_MESSAGES = 1_000;
/** Larger ones go by the producer that cuts into chunks; batching and chunking exclude each other. */
const LARGE_BYTES = 1_048_576;

interface NativeProducer {
  send(message: object): Promise<unknown>;
  flush(): Promise<unknown>;
  close(): Promise<unknown>;
}
interface ProducingClient extends NativeClient {
  createProducer(config: object): Promise<NativeProducer>;
}

export interface NativePublisherOptions {
  readonly config: Pick<PulsarConfig, 'serviceUrl' | 'token' | 'tlsCaFile' | 'listenerName'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** A Publisher over pulsar-client. @throws BackupError `config` where that does not load */
export async function createNativePublisher(
  options: NativePublisherOptions,
  load: () => Promise<unknown> = importPulsarClient,
): Promise<Publisher> {
  const { config, logger } = options;
  const pulsar = await loadPulsarClient(load);
  routeLog(pulsar, logger);
  const { token, listenerName, tlsCaFile } = config;
  const client = createClient(pulsar, {
    serviceUrl: config.serviceUrl,
    ...(token && { authentication: new pulsar.AuthenticationToken({ token: token.reveal() }) }),
    operationTimeoutSeconds: 15,
    connectionTimeoutMs: 6_000,
    ioThreads: 1,
    messageListenerThreads: 1,
    statsIntervalInSeconds: 0,
    logLevel: LOG_LEVEL_INFO,
    ...(tlsCaFile && { tlsTrustCertsFilePath: tlsCaFile }),
    tlsValidateHostname: true,
    tlsAllowInsecureConnection: false,
    ...(listenerName && { listenerName }),
  }) as ProducingClient;
  return {
    driver: 'native',
    async partitions(topic) {
      try {
        const topics = await client.getPartitionsForTopic(topic.full);
        return topics.length === 1 && topics[0] === topic.full ? 0 : topics.length;
      } catch (error) {
        throw sourceError(`looking up ${topic.full}`, error);
      }
    },
    open: (topic, name, publishing) => openProducer(client, topic, name, publishing),
    async close() {
      try {
        await (client.client ?? client).close();
      } catch (error) {
        logger.warn({ reason: String(error) }, 'pulsar client not closed');
      }
    },
  };
}

async function openProducer(
  client: ProducingClient,
  topic: string,
  producerName: string,
  { batching, compression, windowBytes }: PublishOptions,
): Promise<TopicProducer> {
  const common = {
    topic,
    sendTimeoutMs: 60_000,
    maxPendingMessages: WINDOW_MESSAGES,
    blockIfQueueFull: true,
    ...(compression === 'none' ? {} : { compressionType: compression === 'zlib' ? 'Zlib' : 'ZSTD' }),
  };
  const create = async (config: object) => {
    try {
      return await client.createProducer({ ...common, ...config });
    } catch (error) {
      throw sourceError(`opening a producer on ${topic}`, error);
    }
  };
  const small = await create({ producerName, batchingEnabled: batching, batchingMaxPublishDelayMs: 10 });
  let large: NativeProducer | undefined;
  let last: NativeProducer = small;
  let failure: unknown;
  let waitingBytes = 0;
  let acknowledgedSequenceId = -1;
  const waiting = new Set<Promise<void>>();
  const check = () => {
    if (failure !== undefined) throw failure;
  };
  const producer: TopicProducer = {
    lastSequenceId: -1,
    get acknowledgedSequenceId() {
      return acknowledgedSequenceId;
    },
    async send(message) {
      check();
      const bytes = message.payload?.length ?? 0;
      let by = small;
      if (bytes > LARGE_BYTES) {
        large ??= await create({
          producerName: `${producerName}-large`,
          batchingEnabled: false,
          chunkingEnabled: true,
        });
        by = large;
      }
      // Two producers keep no order between them.
      if (by !== last) await producer.flush();
      last = by;
      while (waiting.size >= WINDOW_MESSAGES || (waitingBytes > windowBytes && waiting.size > 0)) {
        await Promise.race(waiting);
        check();
      }
      waitingBytes += bytes;
      const sent = by.send(nativeMessage(message)).then(
        () => {
          // Receipts come in order; those after a failure do not count, for it may be gone on with from here.
          if (failure === undefined) acknowledgedSequenceId = message.sequenceId;
        },
        (error) => {
          failure ??= sourceError(`publishing to ${topic}`, error);
        },
      );
      const settled = sent.finally(() => {
        waiting.delete(settled);
        waitingBytes -= bytes;
      });
      waiting.add(settled);
    },
    push() {},
    async flush() {
      await Promise.all(waiting);
      check();
    },
    async close() {
      for (const one of [small, large]) await one?.close().catch(() => undefined);
    },
  };
  return producer;
}

function nativeMessage({ key, orderingKey, properties, eventTimeMs, payload, sequenceId }: OutgoingMessage) {
  if (payload === null || (key !== undefined && typeof key !== 'string')) {
    throw new BackupError(
      'source',
      `pulsar-client cannot publish a ${payload === null ? 'null value' : 'binary key'}`,
      {
        hint: 'Restore with --driver wire, which can.',
      },
    );
  }
  return {
    data: Buffer.from(payload),
    properties: Object.fromEntries(properties),
    sequenceId,
    ...(eventTimeMs === undefined ? {} : { eventTimestamp: eventTimeMs }),
    ...(key === undefined ? {} : { partitionKey: key }),
    ...(orderingKey === undefined ? {} : { orderingKey: Buffer.from(orderingKey).toString('utf8') }),
  };
}
