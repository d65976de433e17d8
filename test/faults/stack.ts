// The whole product in one process over a loopback rule: publish, invoke the handler as the timer does, break
// something, invoke again, and look whether every message is in exactly one object.
import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { createCosStore } from '../../src/cos/store.ts';
import { BackupError } from '../../src/errors.ts';
import { decodeRecord, formatMessageId } from '../../src/format/record.ts';
import type { Summary } from '../../src/format/run-manifest.ts';
import { handleInvocation } from '../../src/handler.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { LoopbackCos } from '../../src/local/cos/server.ts';
import { createLogger } from '../../src/logger.ts';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import type { LoopbackBroker } from '../stand-ins/broker/broker.ts';
import { startLoopbackRule, TOPIC } from '../stand-ins/loopback-rule.ts';

export const SUBSCRIPTION = 'backup';
const CREDENTIALS = {
  secretId: 'AKIDloopbackloopback',
  secretKey: 'loopback-secret-key',
  sessionToken: 'loopback-session-token',
};
/** Secrets that no line of any run may hold. */
const SECRETS = [CREDENTIALS.secretKey, CREDENTIALS.sessionToken];

const SHORT_STORE_TIMES = { connectTimeoutMs: 1_000, idleTimeoutMs: 700, timeoutMs: 5_000 };
const SHORT_SOURCE_TIMES = {
  connectTimeoutMs: 1_000,
  operationTimeoutMs: 1_000,
  closeTimeoutMs: 1_000,
  settleMs: 0,
};

interface Outcome {
  readonly summary: Summary | undefined;
  readonly error: BackupError | undefined;
  readonly lines: readonly Record<string, unknown>[];
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeLimitMs?: number;
  readonly memoryMb?: number;
  /** Waits for single calls as long as the deployed function does. */
  readonly isPatient?: boolean;
}

export interface Stack {
  readonly broker: LoopbackBroker;
  readonly cos: LoopbackCos;
  readonly topic: string;
  /** Publishes messages to all partitions in turn, and remembers them. */
  publish(count: number, options?: { batchSize?: number; bytes?: number }): void;
  run(options?: RunOptions): Promise<Outcome>;
  /** The environment of the rule, for a run in a process of its own. */
  environment(more?: Readonly<Record<string, string>>): Record<string, string>;
  backlog(): number;
  /** Ids of everything stored, each with the objects that hold it. */
  stored(): Map<string, string[]>;
  /** Fails unless every message is in exactly one object, byte for byte, and nothing was replaced. */
  expectExactlyOnce(): void;
  /** Fails unless every message is in some object, byte for byte. Returns how many are in more than one. */
  expectAtLeastOnce(): number;
  close(): Promise<void>;
}

/** How a stack is set up; two partitions and an Exclusive subscription, where nothing is given. */
export interface StackOptions {
  partitions?: number;
  subscriptionType?: string;
  unackedCap?: number;
  /** Of COS, in milliseconds. */
  cosClock?: () => number;
}

/** A test with a stack of its own, which is closed after it. */
export const itWithStack = (options: StackOptions = {}) =>
  it.extend<{ stack: Stack }>({
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads from the pattern which fixtures are used
    stack: async ({}, use) => {
      const stack = await startStack(options);
      try {
        await use(stack);
      } finally {
        await stack.close();
      }
    },
  });

/** Starts both stand-ins, with a topic, a subscription and a bucket. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { partitions = 2, subscriptionType = 'exclusive' } = options;
  const { unackedCap, cosClock } = options;
  const rule = await startLoopbackRule({
    ...{ partitions, cosClock, credentials: CREDENTIALS, failoverDelayMs: 50 },
    ...(unackedCap === undefined ? {} : { maxUnackedMessagesPerConsumer: unackedCap }),
  });
  const { broker, cos } = rule;
  const topic = `persistent://${TOPIC}`;
  broker.createSubscription(topic, SUBSCRIPTION);
  const published = new Map<string, string>();
  let sequence = 0;
  let requests = 0;

  function publish(count: number, { batchSize = 10, bytes = 100 } = {}): void {
    // Large ones are random, so that they stay large when they are compressed.
    const filling = bytes > 1_000 ? randomBytes(bytes).toString('base64') : '"é\n'.repeat(bytes);
    const payloads = Array.from({ length: count }, () => {
      const start = `message ${sequence++} `;
      return start + filling.slice(sequence % 700, (sequence % 700) + bytes - start.length);
    });
    const places = broker.publish(
      topic,
      payloads.map((payload) => ({ payload, key: 'k' })),
      { batchSize },
    );
    for (const [i, payload] of payloads.entries()) {
      const place = places[batchSize === 0 ? i : Math.floor(i / batchSize)];
      if (place === undefined) throw new Error('the broker lost an entry');
      const partition = Number(/-partition-(\d+)$/.exec(place.topic)?.[1] ?? -1);
      const batchIndex = batchSize === 0 ? -1 : i % batchSize;
      const { ledgerId, entryId } = place;
      published.set(formatMessageId({ ledgerId, entryId, partition, batchIndex }), payload);
    }
  }

  function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      ...rule.env,
      PULSAR_SERVICE_URL: broker.serviceUrl,
      PULSAR_SUBSCRIPTION: SUBSCRIPTION,
      PULSAR_SUBSCRIPTION_TYPE: subscriptionType,
      COS_PREFIX: 'p/',
      TENCENTCLOUD_SECRETID: CREDENTIALS.secretId,
      TENCENTCLOUD_SECRETKEY: CREDENTIALS.secretKey,
      TENCENTCLOUD_SESSIONTOKEN: CREDENTIALS.sessionToken,
      ...more,
    };
  }

  async function run(options: RunOptions = {}): Promise<Outcome> {
    const { env = {}, timeLimitMs = 30_000, memoryMb = 512, isPatient = false } = options;
    const lines: Record<string, unknown>[] = [];
    let text = '';
    const destination = {
      write(line: string) {
        text += line;
        lines.push(JSON.parse(line));
      },
    };
    const variables = environment(env);
    const context = {
      request_id: `request-${++requests}`,
      time_limit_in_ms: timeLimitMs,
      memory_limit_in_mb: memoryMb,
    };
    try {
      const summary = await handleInvocation(variables, context, {
        clock: systemClock,
        createStore: ({ cos: config }, logger) =>
          createCosStore(config, { logger, ...(isPatient ? {} : SHORT_STORE_TIMES) }),
        createSource: async (source) => createWireSource(source, isPatient ? {} : SHORT_SOURCE_TIMES),
        createLogger: (logger) => createLogger({ ...logger, destination }),
      });
      return { summary, error: undefined, lines };
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      return { summary: undefined, error, lines };
    } finally {
      for (const secret of SECRETS) expect(text).not.toContain(secret);
    }
  }

  function stored(): Map<string, string[]> {
    const objects = new Map<string, string[]>();
    for (const { key } of cos.objects()) {
      for (const line of linesOf(key)) {
        const id = formatMessageId(decodeRecord(line).id);
        objects.set(id, [...(objects.get(id) ?? []), key]);
      }
    }
    return objects;
  }

  function linesOf(key: string): string[] {
    if (!key.includes('.jsonl')) return [];
    const bytes = cos.object(key)?.bytes ?? Buffer.alloc(0);
    const records = key.endsWith('.gz') ? gunzipSync(bytes) : bytes;
    return records.toString().split('\n').slice(0, -1);
  }

  function expectAtLeastOnce(): number {
    const found = stored();
    for (const { key } of cos.objects()) {
      for (const line of linesOf(key)) {
        const { id, payload } = decodeRecord(line);
        expect(Buffer.from(payload ?? []).toString(), formatMessageId(id)).toBe(
          published.get(formatMessageId(id)),
        );
      }
    }
    expect([...found.keys()].sort()).toEqual([...published.keys()].sort());
    expect(cos.replacedCount, 'objects replaced').toBe(0);
    return [...found.values()].filter((keys) => keys.length > 1).length;
  }

  return {
    broker,
    cos,
    topic,
    publish,
    run,
    environment,
    backlog: () => broker.subscriptionBacklog(topic, SUBSCRIPTION),
    stored,
    expectAtLeastOnce,
    expectExactlyOnce() {
      expect(expectAtLeastOnce(), 'messages in more than one object').toBe(0);
    },
    close: rule.close,
  };
}
