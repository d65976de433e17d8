// What is drained to see how much memory it takes, and a run of the packaged function that reports its peak.
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { largestMessageBytes } from '../../src/largest-message.ts';
import { startLoopbackCos } from '../../src/local/cos/server.ts';
import { startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import type { Compression } from '../stand-ins/broker/compress.ts';
import { startThrottlingProxy } from './tcp-proxy.ts';

/** One load. The entries of a batch are not counted, its messages are. */
export interface MemoryCase {
  readonly name: string;
  readonly partitions: number;
  readonly messages: number;
  /** `largest`: the most that a function of this memory puts together. */
  readonly messageBytes: number | 'largest';
  readonly batchSize: number;
  /**
   * Default `text`, which compresses to about two thirds. `binary` is no UTF-8, `repeated` compresses to nearly nothing,
   * of `zeros` each byte takes six in a record.
   */
  readonly payload?: 'text' | 'binary' | 'repeated' | 'zeros';
  /** Cut into chunks of so many bytes. */
  readonly chunkBytes?: number;
  /** The producer's. */
  readonly codec?: Compression;
  /** The rule's FILE_COMPRESSION. */
  readonly compression?: string;
  /** What the network brings from the broker, in bytes a second. By default, as much as the machine can. */
  readonly bytesPerSecond?: number;
}

const FILE_OF_500_MB = { partitions: 1, messages: 4_980, messageBytes: 100_000, batchSize: 10 };
const OPEN_BATCHES = { partitions: 64, messages: 192_000, messageBytes: 1_500, batchSize: 50 };
/** Less than the limit by what a producer's compression may add. */
const SPARE_BYTES = 524_288;
const LARGEST = {
  ...{ partitions: 1, messages: 1, batchSize: 0, chunkBytes: 5_000_000 },
  messageBytes: 'largest',
} as const;
const LARGE = { messages: 100, messageBytes: 5_000_000, batchSize: 0 };

export const MEMORY_CASES: readonly MemoryCase[] = [
  { name: 'nothing', partitions: 1, messages: 0, messageBytes: 0, batchSize: 0 },
  { name: 'one object of 500 MB', ...FILE_OF_500_MB },
  { name: 'one object of 500 MB, gzip', ...FILE_OF_500_MB, compression: 'gzip' },
  { name: 'one object of 500 MB, zstd', ...FILE_OF_500_MB, compression: 'zstd' },
  { name: '64 partitions, open batches', ...OPEN_BATCHES },
  { name: '64 partitions, open batches, gzip', ...OPEN_BATCHES, compression: 'gzip' },
  { name: '64 partitions, open batches, zstd', ...OPEN_BATCHES, compression: 'zstd' },
  { name: '5 MB messages, 1 partition', ...LARGE, partitions: 1 },
  { name: '5 MB messages, 8 partitions', ...LARGE, partitions: 8 },
  { name: '5 MB messages, 8 partitions, gzip', ...LARGE, partitions: 8, compression: 'gzip' },
  { name: '5 MB messages, 8 partitions, zstd', ...LARGE, partitions: 8, compression: 'zstd' },
  { name: '5 MB messages, 8 partitions, binary', ...LARGE, partitions: 8, payload: 'binary' },
  { name: '5 MB messages, 8 partitions, ZSTD by the producer', ...LARGE, partitions: 8, codec: 'zstd' },
  {
    name: '5 MB messages, 8 partitions, LZ4 by the producer to 20 kB',
    ...LARGE,
    partitions: 8,
    payload: 'repeated',
    codec: 'lz4',
  },
  { name: '5 MB messages, 64 partitions', ...LARGE, partitions: 64, messages: 128 },
  {
    name: '5 MB messages, 128 partitions, 25 MB/s from the broker',
    ...{ ...LARGE, partitions: 128, messages: 256 },
    bytesPerSecond: 25_000_000,
  },
  { name: 'the largest message, in chunks', ...LARGEST, payload: 'binary' },
  {
    name: 'the largest message, in chunks, ZSTD by the producer',
    ...LARGEST,
    payload: 'binary',
    codec: 'zstd',
  },
  { name: 'the largest messages in 4 partitions, in chunks', ...LARGEST, partitions: 4, messages: 8 },
];

const BUCKET = 'bench-1250000000';
const REGION = 'ap-guangzhou';
const SECRETS = { secretId: 'bench-id', secretKey: 'bench-key', sessionToken: 'bench-token' };
const TOPIC = 'persistent://public/default/orders';

export interface Peak {
  readonly peakMb: number;
  readonly stopReason: string;
  readonly messages: number;
}

/** Drains a case in a process of its own that gets `memoryMb`, by this Node or another. Needs `npm run build`. */
export async function peakMemory(
  load: MemoryCase,
  memoryMb: number,
  node: string = process.execPath,
): Promise<Peak> {
  const dir = mkdtempSync(join(tmpdir(), 'tdmq-backup-memory-'));
  const broker = await startLoopbackBroker();
  const cos = await startLoopbackCos({
    dir,
    buckets: [{ name: BUCKET, region: REGION }],
    credentials: SECRETS,
    discardBodies: true,
    verifyMd5: false,
  });
  const proxy =
    load.bytesPerSecond === undefined
      ? undefined
      : await startThrottlingProxy(Number(new URL(broker.serviceUrl).port), load.bytesPerSecond);
  broker.faults.proxiesThroughServiceUrl = proxy !== undefined;
  try {
    broker.createTopic(TOPIC, load.partitions);
    broker.createSubscription(TOPIC, 'backup');
    const payload = payloadOf(load, memoryMb);
    const perCall = load.batchSize * load.partitions || load.partitions;
    for (let at = 0; at < load.messages; at += perCall) {
      const count = Math.min(perCall, load.messages - at);
      broker.publish(
        TOPIC,
        Array.from({ length: count }, () => ({ payload })),
        {
          batchSize: load.batchSize,
          compression: load.codec ?? 'none',
          ...(load.chunkBytes === undefined ? {} : { chunkSizeBytes: load.chunkBytes }),
        },
      );
    }
    return await drainInChild(node, memoryMb, {
      RULE_NAME: 'bench',
      PULSAR_SERVICE_URL: proxy === undefined ? broker.serviceUrl : `pulsar://127.0.0.1:${proxy.port}`,
      PULSAR_TOPIC: TOPIC,
      PULSAR_SUBSCRIPTION: 'backup',
      COS_BUCKET: BUCKET,
      COS_REGION: REGION,
      COS_ENDPOINT: cos.url,
      FILE_COMPRESSION: load.compression ?? 'none',
      LOG_LEVEL: 'error',
      TENCENTCLOUD_SECRETID: SECRETS.secretId,
      TENCENTCLOUD_SECRETKEY: SECRETS.secretKey,
      TENCENTCLOUD_SESSIONTOKEN: SECRETS.sessionToken,
    });
  } finally {
    await Promise.all([proxy?.stop(), broker.close(), cos.close()]);
    rmSync(dir, { recursive: true, force: true });
  }
}

function payloadOf({ messageBytes: wanted, payload = 'text' }: MemoryCase, memoryMb: number): Buffer {
  const messageBytes = wanted === 'largest' ? largestMessageBytes(memoryMb) - SPARE_BYTES : wanted;
  if (payload === 'zeros') return Buffer.alloc(messageBytes);
  if (payload === 'repeated') return Buffer.alloc(messageBytes, 'an order of one hundred umbrellas; ');
  const random = randomBytes(messageBytes);
  return payload === 'binary' ? random : Buffer.from(random.toString('base64').slice(0, messageBytes));
}

async function drainInChild(node: string, memoryMb: number, env: Record<string, string>): Promise<Peak> {
  const options = { env, execPath: node, execArgv: [] };
  const child = fork(join(import.meta.dirname, 'memory-function.cjs'), options);
  const ended = once(child, 'exit');
  child.send({ memory_limit_in_mb: memoryMb, time_limit_in_ms: 600_000, request_id: 'bench' });
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
  await ended;
  if (answer === null || typeof answer !== 'object') throw new Error(`the function ended with ${answer}`);
  return answer as Peak;
}
