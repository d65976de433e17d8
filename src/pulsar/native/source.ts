// Source over the official client, npm pulsar-client (PULSAR_DRIVER=native), for those who want it. It does what that
// client can: no sequence ids, schema versions and tombstones, empty keys look like missing ones, no receipts for
// acknowledgements, no exact end of the backlog, and entries that libpulsar cannot decode are dropped by libpulsar
// itself (reported as gaps). The wire driver has none of these limits.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { PulsarConfig } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import type { Source, SourcePartition } from '../../ports.ts';
import { initialPosition } from '../initial-position.ts';
import type { SourceOptions } from '../source-options.ts';
import {
  createClient,
  identityOf,
  LOG_LEVEL_INFO,
  type LogRoute,
  loadPulsarClient,
  type NativeClient,
  type NativeConsumerConfig,
  type PulsarClientModule,
  reportsEncryption,
  routeLog,
} from './addon.ts';
import { resultOf, sourceError } from './addon-failure.ts';
import { NativePartition } from './partition.ts';
import { TIME_UP, within } from './within.ts';

/** Well under the 30 s in which a run must report that it cannot connect: one look-up and one subscribe fit. */
const OPERATION_TIMEOUT_SECONDS = 10;
const CONNECTION_TIMEOUT_MS = 5_000;
/** A limit above libpulsar's own, for calls that do not end by themselves. */
const CALL_LIMIT_MS = 15_000;
const CLOSE_LIMIT_MS = 10_000;
/** How long a batchReceive waits for more messages. */
const BATCH_TIMEOUT_MS = 100;

const TYPES = {
  exclusive: 'Exclusive',
  failover: 'Failover',
  shared: 'Shared',
  key_shared: 'KeyShared',
} as const satisfies Record<PulsarConfig['subscriptionType'], string>;

/** The package as it is installed, or the failure of loading it. */
export const importPulsarClient = (): Promise<unknown> => import('pulsar-client');

/**
 * A Source over pulsar-client, which `load` imports. One native thread pool per process: not for worker threads.
 * `open` throws BackupError `config` where the package or its binding does not load, with what to do.
 */
export function createNativeSource(
  options: SourceOptions,
  load: () => Promise<unknown> = importPulsarClient,
): Source {
  const { config, clock, logger, signal } = options;
  const partitions: NativePartition[] = [];
  let client: NativeClient | undefined;
  let caFolder: string | undefined;

  async function open(): Promise<readonly SourcePartition[] | 'busy'> {
    const pulsar = await loadPulsarClient(load, options.config.runsFrom);
    const log = routeLog(pulsar, logger);
    try {
      client = await connect(pulsar);
      const found = client.getPartitionsForTopic(config.topic.full);
      const topics = await bounded(found, `looking up ${config.topic.full}`);
      const position = await initialPosition(options);
      for (const topic of topics)
        partitions.push(await subscribe(pulsar, topic, topics.length, position, log));
      return partitions;
    } catch (error) {
      await close();
      if (config.subscriptionType === 'exclusive' && resultOf(error) === 'ConsumerBusy') return 'busy';
      throw sourceError(`opening ${config.topic.full}`, error, log.httpStatus);
    }
  }

  async function connect(pulsar: PulsarClientModule): Promise<NativeClient> {
    const tlsTrustCertsFilePath = config.tlsCaFile ?? (await writeRootCertificates());
    const { listenerName } = config;
    return createClient(pulsar, {
      serviceUrl: config.serviceUrl,
      ...identityOf(pulsar, config),
      operationTimeoutSeconds: OPERATION_TIMEOUT_SECONDS,
      connectionTimeoutMs: CONNECTION_TIMEOUT_MS,
      ioThreads: 1,
      messageListenerThreads: 1,
      statsIntervalInSeconds: 0,
      logLevel: LOG_LEVEL_INFO,
      ...(tlsTrustCertsFilePath && { tlsTrustCertsFilePath }),
      tlsValidateHostname: true,
      tlsAllowInsecureConnection: false,
      ...(listenerName && { listenerName }),
    });
  }

  /** The client's own CA file is made by its install script and may be missing. */
  async function writeRootCertificates(): Promise<string | undefined> {
    if (!/^(?:pulsar\+ssl|https):/.test(config.serviceUrl)) return undefined;
    caFolder = await mkdtemp(join(tmpdir(), 'tdmq-backup-ca-'));
    const path = join(caFolder, 'ca.pem');
    await writeFile(path, rootCertificates.join('\n'));
    return path;
  }

  function subscribe(
    pulsar: PulsarClientModule,
    topic: string,
    partitionCount: number,
    position: 'earliest' | 'latest',
    log: LogRoute,
  ): Promise<NativePartition> {
    const budgetBytes = Math.floor(options.receiveBudgetBytes / partitionCount);
    const consumerConfig = (receiverQueueSize: number): NativeConsumerConfig => ({
      topic,
      subscription: config.subscription,
      subscriptionType: TYPES[config.subscriptionType],
      subscriptionInitialPosition: position === 'latest' ? 'Latest' : 'Earliest',
      receiverQueueSize,
      batchReceivePolicy: {
        maxNumMessages: Math.ceil(receiverQueueSize / 2),
        maxNumBytes: Math.max(1_048_576, Math.floor(budgetBytes / 2)),
        timeoutMs: BATCH_TIMEOUT_MS,
      },
      // 0 is no limit: with one, libpulsar drops the chunks of the oldest message.
      maxPendingChunkedMessage: 0,
      // Only if the client marks encrypted messages: otherwise they would be stored as plain ones.
      ...(reportsEncryption(pulsar) && { cryptoFailureAction: 'CONSUME' as const }),
    });
    return NativePartition.open({
      partition: partitionOf(topic, config.topic.full),
      topic,
      type: config.subscriptionType,
      budgetBytes,
      subscribe: (queueSize) =>
        bounded((client as NativeClient).subscribe(consumerConfig(queueSize)), `subscribing to ${topic}`),
      clock,
      logger,
      log,
      signal,
    });
  }

  async function bounded<T>(call: Promise<T>, what: string): Promise<T> {
    const answer = await within(call, CALL_LIMIT_MS, clock, signal);
    if (answer === TIME_UP) throw sourceError(what, new Error('no answer: TimeOut'));
    return answer;
  }

  async function close(): Promise<void> {
    await Promise.all(partitions.splice(0).map((partition) => partition.close()));
    const closing = client;
    client = undefined;
    try {
      // The wrapper of older versions does not give back the promise of the addon's close.
      const closed = closing && (closing.client ?? closing).close();
      if (closed && (await within(closed, CLOSE_LIMIT_MS, clock)) === TIME_UP) {
        logger.warn({}, 'pulsar client did not close in time');
      }
    } catch (error) {
      logger.warn({ reason: String(error) }, 'pulsar client not closed');
    }
    if (caFolder !== undefined) await rm(caFolder, { recursive: true, force: true }).catch(() => undefined);
    caFolder = undefined;
  }

  return {
    driver: 'native',
    async open() {
      if (signal?.aborted) throw new BackupError('source', 'the run ended before Pulsar was asked');
      return await open();
    },
    close,
  };
}

/** N of `topic-partition-N`; -1 where the topic is the one that was asked for, hence not partitioned. */
function partitionOf(topic: string, asked: string): number {
  if (topic === asked) return -1;
  return Number(/-partition-(\d+)$/.exec(topic)?.[1] ?? -1);
}
