// The Publisher over npm pulsar-client. It cannot publish null values, binary keys or texts with U+0000: it refuses them.
// It does not batch: of a batch of this client, a broker that drops duplicates knows the first sequence id only.
import { BackupError } from '../../errors.ts';
import type { Clock, Logger } from '../../ports.ts';
import type {
  OutgoingMessage,
  Publisher,
  PublisherConfig,
  PublishOptions,
  TopicProducer,
} from '../publisher.ts';
import { within } from '../within.ts';
import {
  createClient,
  identityOf,
  LOG_LEVEL_INFO,
  loadPulsarClient,
  type NativeClient,
  routeLog,
} from './client.ts';
import { resultOf, sourceError } from './failure.ts';
import { importPulsarClient } from './source.ts';

const WINDOW_MESSAGES = 1_000;
const SEND_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 5_000;

const NO_ROLE = 'Give the role of PULSAR_TOKEN the permission to produce in this namespace.';
const PRODUCER_HINTS: Readonly<Record<string, string>> = {
  AuthenticationError: NO_ROLE,
  AuthorizationError: NO_ROLE,
  TopicNotFound: 'Create the topic to restore into first; the cluster does not create it by itself.',
  ProducerBusy: 'Another restore publishes to the topic under the same name: let it end first.',
  TopicTerminated: 'The topic was terminated and takes no messages any more: restore into another one.',
};

interface NativeProducer {
  send(message: object): Promise<unknown>;
  flush(): Promise<unknown>;
  close(): Promise<unknown>;
}
interface ProducingClient extends NativeClient {
  createProducer(config: object): Promise<NativeProducer>;
}

export interface NativePublisherOptions {
  readonly config: PublisherConfig;
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
  const pulsar = await loadPulsarClient(load, options.config.runsFrom);
  const log = routeLog(pulsar, logger);
  const { listenerName, tlsCaFile } = config;
  const client = createClient(pulsar, {
    serviceUrl: config.serviceUrl,
    ...identityOf(pulsar, config),
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
  const producers = new Set<TopicProducer>();
  let isClosed = false;
  return {
    driver: 'native',
    async partitions(topic) {
      try {
        const topics = await client.getPartitionsForTopic(topic.full);
        return topics.length === 1 && topics[0] === topic.full ? 0 : topics.length;
      } catch (error) {
        throw publishError(`looking up ${topic.full}`, error, log.httpStatus);
      }
    },
    async open(topic, name, publishing) {
      const producer = await openProducer(client, topic, name, publishing, options);
      producers.add(producer);
      return producer;
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([...producers].map((producer) => producer.close()));
      try {
        await within(Promise.resolve((client.client ?? client).close()), CLOSE_TIMEOUT_MS, options.clock);
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
  { compression, windowBytes }: PublishOptions,
  { clock, signal }: NativePublisherOptions,
): Promise<TopicProducer> {
  let by: NativeProducer;
  try {
    by = await client.createProducer({
      topic,
      producerName,
      batchingEnabled: false,
      chunkingEnabled: true,
      sendTimeoutMs: SEND_TIMEOUT_MS,
      maxPendingMessages: WINDOW_MESSAGES,
      blockIfQueueFull: true,
      ...(compression === 'none' ? {} : { compressionType: compression === 'zlib' ? 'Zlib' : 'ZSTD' }),
    });
  } catch (error) {
    throw publishError(`opening a producer on ${topic}`, error);
  }
  const receipts = new Receipts();
  let failure: unknown;
  let waiting = 0;
  let waitingBytes = 0;
  let wake: (() => void)[] = [];
  const wakeAll = () => {
    const waking = wake;
    wake = [];
    for (const one of waking) one();
  };
  const fail = (error: unknown) => {
    failure ??= error;
    wakeAll();
  };
  const onStop = () => fail(new BackupError('source', 'publishing was stopped'));
  signal.addEventListener('abort', onStop);
  const until = async (isFine: () => boolean) => {
    while (failure === undefined && !isFine()) await new Promise<void>((resolve) => wake.push(resolve));
    if (failure !== undefined) throw failure;
  };
  let isClosed = false;
  return {
    lastSequenceId: -1,
    get acknowledgedSequenceId() {
      return receipts.through;
    },
    async send(message) {
      if (failure !== undefined) throw failure;
      const outgoing = nativeMessage(message);
      const bytes = message.payload?.length ?? 0;
      await until(() => waiting < WINDOW_MESSAGES && (waitingBytes <= windowBytes || waiting === 0));
      waiting++;
      waitingBytes += bytes;
      const settle = () => {
        waiting--;
        waitingBytes -= bytes;
        wakeAll();
      };
      const onReceipt = receipts.expect(message.sequenceId);
      by.send(outgoing).then(
        () => {
          onReceipt();
          settle();
        },
        (error) => {
          fail(publishError(`publishing to ${topic}`, error));
          settle();
        },
      );
    },
    push() {},
    async flush() {
      await until(() => waiting === 0);
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      signal.removeEventListener('abort', onStop);
      fail(new BackupError('source', `the producer of ${topic} was closed`));
      await within(by.close(), CLOSE_TIMEOUT_MS, clock).catch(() => undefined);
    },
  };
}

/** Up to where everything has its receipt. The client's promises resolve in no order, and none of one that failed. */
class Receipts {
  readonly #expected: { readonly sequenceId: number; isHere: boolean }[] = [];
  through = -1;

  /** A message is being sent; what it answers is to be called at its receipt. */
  expect(sequenceId: number): () => void {
    const one = { sequenceId, isHere: false };
    this.#expected.push(one);
    return () => {
      one.isHere = true;
      while (this.#expected[0]?.isHere) this.through = this.#expected.shift()?.sequenceId ?? this.through;
    };
  }
}

/** What pulsar-client says, with a hint for somebody who publishes. */
function publishError(what: string, thrown: unknown, httpStatus?: number): BackupError {
  const error = sourceError(what, thrown, httpStatus);
  const hint = PRODUCER_HINTS[resultOf(thrown)];
  if (hint === undefined) return error;
  const { code, retryable, message, details, cause } = error;
  return new BackupError(code, message, { retryable, hint, details, cause });
}

/** @throws BackupError where it would arrive as another message */
function nativeMessage({ key, orderingKey, properties, eventTimeMs, payload, sequenceId }: OutgoingMessage) {
  const orderingText = orderingKey && Buffer.from(orderingKey).toString('utf8');
  const isTextOrder =
    orderingText === undefined || Buffer.from(orderingText).equals(orderingKey ?? Buffer.alloc(0));
  const texts = [key, orderingText, ...properties.flat()];
  const [reason] = [
    payload === null && 'a null value',
    eventTimeMs !== undefined &&
      !(eventTimeMs >= 0 && eventTimeMs <= Number.MAX_SAFE_INTEGER) &&
      'an event time before 1970 or beyond 2^53',
    key !== undefined && typeof key !== 'string' && 'a binary key',
    !isTextOrder && 'a binary ordering key',
    properties.flat().some((text) => typeof text !== 'string') && 'properties that are no UTF-8',
    texts.some((text) => typeof text === 'string' && text.includes('\0')) && 'texts that hold U+0000',
  ].filter((one) => one !== false);
  if (payload === null || reason !== undefined) {
    throw new BackupError('source', `pulsar-client cannot publish ${reason}`, {
      hint: 'Restore with --driver wire, which can.',
    });
  }
  return {
    data: Buffer.from(payload),
    properties: Object.fromEntries(properties as [string, string][]),
    sequenceId,
    ...(eventTimeMs === undefined ? {} : { eventTimestamp: eventTimeMs }),
    ...(key === undefined ? {} : { partitionKey: key }),
    ...(orderingText === undefined ? {} : { orderingKey: orderingText }),
  };
}
