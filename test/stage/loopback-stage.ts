// A rule whose topic and bucket are stand-ins on 127.0.0.1: what commands and whole runs are tested on. Publish, invoke
// the handler as the timer does or call a command, break something, and look what is in which object.
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { createCosStore } from '../../src/cos/store.ts';
import { BackupError } from '../../src/errors.ts';
import type { Summary } from '../../src/format/run-manifest.ts';
import { handleInvocation } from '../../src/handler.ts';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import { createLogger } from '../../src/logger.ts';
import { MIN_PART_BYTES } from '../../src/memory-budget.ts';
import type { Clock } from '../../src/ports.ts';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { scaledClock } from '../pulsar/scaled-clock.ts';
import {
  type LoopbackBroker,
  type LoopbackBrokerOptions,
  startLoopbackBroker,
} from '../stand-ins/broker/broker.ts';
import { type PublishedMessages, publishedMessages } from './published-messages.ts';

export const TOPIC = 'public/default/orders';
export const SUBSCRIPTION = 'backup';
const BUCKET = { name: 'test-1250000000', region: 'ap-guangzhou' };
/** Those of a person at a command. */
const KEYS = { secretId: 'test-id', secretKey: 'test-key' };
/** Those of the function, which has them for an hour. */
const TEMPORARY_KEYS = {
  secretId: 'AKIDloopbackloopback',
  secretKey: 'loopback-secret-key',
  sessionToken: 'loopback-session-token',
};

/** On the system's clock, as sockets have no other. */
const shortStoreTimes = (speed: number) => ({
  connectTimeoutMs: 1_000 / speed,
  idleTimeoutMs: 700 / speed,
  timeoutMs: 5_000 / speed,
});
const SHORT_SOURCE_TIMES = {
  connectTimeoutMs: 1_000,
  operationTimeoutMs: 1_000,
  closeTimeoutMs: 1_000,
  settleMs: 0,
};

interface Outcome {
  readonly summary: Summary | undefined;
  readonly error: BackupError | undefined;
  /** On the clock of the run. */
  readonly tookMs: number;
  readonly lines: readonly Record<string, unknown>[];
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeLimitMs?: number;
  readonly memoryMb?: number;
  /** Waits for single calls as long as the deployed function does. */
  readonly isPatient?: boolean;
  /** Its time passes so many times as fast. */
  readonly speed?: number;
  /** Of the run; one of its own by default. */
  readonly clock?: Clock;
}

/** Both stand-ins, and a rule over them. */
export interface LoopbackStage {
  readonly broker: LoopbackBroker;
  readonly cos: LoopbackCos;
  /** Where the bucket's objects lie as files. */
  readonly folder: string;
  /** The rule as a command has it, with the admin API. */
  readonly env: Record<string, string>;
  close(): Promise<void>;
}

/** And a subscription, which the deployed function reads. */
export interface RunStage extends LoopbackStage, PublishedMessages {
  readonly topic: string;
  /** Invokes the handler in this process. */
  run(options?: RunOptions): Promise<Outcome>;
  /** The environment of the function, for a run in a process of its own. */
  environment(more?: Readonly<Record<string, string>>): Record<string, string>;
  backlog(): number;
}

/** What the stand-ins are like. */
export interface LoopbackStageOptions extends LoopbackBrokerOptions {
  /** Of the topic; two, where nothing is given. */
  readonly partitions?: number | undefined;
  /** Of COS, in milliseconds. */
  readonly cosClock?: (() => number) | undefined;
  /** Names of further buckets. */
  readonly otherBuckets?: readonly string[];
  /** The buckets begin with what those of this stage have, and share its files: nothing may write into one of them. */
  readonly archiveOf?: LoopbackStage | undefined;
}

/** What else a run is like; Exclusive, where nothing is given. */
export interface RunStageOptions extends LoopbackStageOptions {
  readonly subscriptionType?: string;
}

/** Starts both stand-ins, with a topic and a bucket. */
export async function startLoopbackStage(
  options: LoopbackStageOptions = {},
  credentials: { secretId: string; secretKey: string; sessionToken?: string } = KEYS,
): Promise<LoopbackStage> {
  const { partitions = 2, cosClock: clock = Date.now, otherBuckets = [] } = options;
  const dir = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  if (options.archiveOf !== undefined) linkFiles(dirname(options.archiveOf.folder), dir);
  const broker = await startLoopbackBroker(options);
  const buckets = [BUCKET, ...otherBuckets.map((name) => ({ ...BUCKET, name }))];
  const cos = await startLoopbackCos({ dir, buckets, credentials, clock });
  broker.createTopic(TOPIC, partitions);
  return {
    broker,
    cos,
    folder: join(dir, BUCKET.name),
    env: {
      RULE_NAME: 'orders-backup',
      PULSAR_SERVICE_URL: broker.httpUrl,
      PULSAR_TOPIC: TOPIC,
      PULSAR_SUBSCRIPTION: SUBSCRIPTION,
      COS_BUCKET: BUCKET.name,
      COS_REGION: BUCKET.region,
      COS_PREFIX: 'tdmq/',
      COS_ENDPOINT: cos.url,
      TENCENTCLOUD_SECRET_ID: credentials.secretId,
      TENCENTCLOUD_SECRET_KEY: credentials.secretKey,
    },
    async close() {
      await broker.close();
      await cos.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Gives every file below a folder a second name below another one. */
function linkFiles(from: string, to: string): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const folder = join(to, relative(from, entry.parentPath));
    mkdirSync(folder, { recursive: true });
    linkSync(join(entry.parentPath, entry.name), join(folder, entry.name));
  }
}

/** A test with a stage of its own, which is closed after it. */
export const itWithStage = (options: RunStageOptions = {}) =>
  it.extend<{ stage: RunStage }>({
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads from the pattern which fixtures are used
    stage: async ({}, use) => withStage(use, options),
  });

/** Does something with a stage of its own. */
export async function withStage(
  work: (stage: RunStage) => Promise<void>,
  options: RunStageOptions = {},
): Promise<void> {
  const stage = await startRunStage(options);
  try {
    await work(stage);
  } finally {
    await stage.close();
  }
}

/** Starts both stand-ins, with a topic, a subscription and a bucket. */
export async function startRunStage(options: RunStageOptions = {}): Promise<RunStage> {
  const { subscriptionType = 'exclusive' } = options;
  const rule = await startLoopbackStage({ failoverDelayMs: 50, ...options }, TEMPORARY_KEYS);
  const { broker, cos } = rule;
  const topic = `persistent://${TOPIC}`;
  broker.createSubscription(topic, SUBSCRIPTION);
  let requests = 0;

  function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      ...rule.env,
      PULSAR_SERVICE_URL: broker.serviceUrl,
      PULSAR_SUBSCRIPTION_TYPE: subscriptionType,
      COS_PREFIX: 'p/',
      TENCENTCLOUD_SECRETID: TEMPORARY_KEYS.secretId,
      TENCENTCLOUD_SECRETKEY: TEMPORARY_KEYS.secretKey,
      TENCENTCLOUD_SESSIONTOKEN: TEMPORARY_KEYS.sessionToken,
      ...more,
    };
  }

  async function run(options: RunOptions = {}): Promise<Outcome> {
    const { env = {}, timeLimitMs = 30_000, memoryMb = 512, isPatient = false, speed = 1 } = options;
    const { clock = scaledClock(speed) } = options;
    const startedMs = clock.now();
    const lines: Record<string, unknown>[] = [];
    let text = '';
    const destination = {
      write(line: string) {
        text += line;
        lines.push(JSON.parse(line));
      },
    };
    const context = {
      request_id: `request-${++requests}`,
      time_limit_in_ms: timeLimitMs,
      memory_limit_in_mb: memoryMb,
    };
    try {
      const summary = await handleInvocation(environment(env), context, {
        clock,
        partBytes: MIN_PART_BYTES,
        createStore: ({ cos: config }, logger) =>
          createCosStore(config, { logger, ...(isPatient ? {} : shortStoreTimes(speed)) }),
        createSource: async (source) => createWireSource(source, isPatient ? {} : SHORT_SOURCE_TIMES),
        createLogger: (logger) => createLogger({ ...logger, destination }),
      });
      return { summary, error: undefined, tookMs: clock.now() - startedMs, lines };
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      return { summary: undefined, error, tookMs: clock.now() - startedMs, lines };
    } finally {
      for (const secret of [TEMPORARY_KEYS.secretKey, TEMPORARY_KEYS.sessionToken]) {
        expect(text).not.toContain(secret);
      }
    }
  }

  return {
    ...rule,
    ...publishedMessages(broker, cos, topic),
    topic,
    run,
    environment,
    backlog: () => broker.subscriptionBacklog(topic, SUBSCRIPTION),
  };
}
