// Rules that back up topics of one real broker, each with a subscription, a prefix and a proxy to the broker of its
// own, so that they can be broken side by side: commands to the broker by the proxy, calls of COS by the loopback COS.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import type { CallKind } from '../../src/local/cos/call.ts';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import { expectExactlyOnce, fingerprint, type StoredFile, storedFiles } from './archive-under-test.ts';
import type { Broker } from './broker/broker.ts';
import { backlogOf, createSubscription } from './broker/topics.ts';
import { type BrokerProxy, startBrokerProxy } from './broker-proxy.ts';
import { type Invocation, invoke, type RunningInvocation, type Summary, startInvocation } from './invoke.ts';
import type { PublishedMessage } from './python-clients.ts';
import { BUCKET, ruleEnv, SECRETS } from './use-cos.ts';

/** Unfinished uploads are removed when they are older than this. */
const ORPHAN_AGE_MS = 900_000;

export interface PublishedTopic {
  readonly topic: string;
  readonly published: readonly PublishedMessage[];
}

type Env = Readonly<Record<string, string>>;

export interface ProxiedRule {
  readonly proxy: BrokerProxy;
  readonly prefix: string;
  readonly topic: string;
  readonly subscription: string;
  /** Is asked about each call of COS that concerns this rule, before it is served. */
  onCosCall(hook: (kind: CallKind, key: string) => Promise<void> | void): void;
  /** Lets the nth such call take effect, and never answers it. Resolves when it has taken effect. */
  loseAnswerOf(kind: CallKind, key: string, nth?: number): Promise<unknown>;
  /** Begins a run through the proxy. */
  start(env?: Env): RunningInvocation;
  /** Begins a run that reaches the broker in another way. */
  startBeside(way: { readonly serviceUrl: string }, env?: Env): RunningInvocation;
  files(): StoredFile[];
  /** Resolves when the broker knows of no consumer any more. */
  gone(): Promise<void>;
  /** One undisturbed run later every message is in one object, all are acknowledged, and no object was changed. */
  expectNextRunToFinish(env?: Env): Promise<Summary>;
  expectDrained(): Promise<void>;
  /** As many undisturbed runs as it takes until all are acknowledged: for subscriptions without order. */
  expectNextRunsToFinish(env?: Env): Promise<void>;
}

export interface Rules {
  readonly cos: LoopbackCos;
  rule(name: string, type: string, of: PublishedTopic): Promise<ProxiedRule>;
  /** A further way to the broker. */
  proxy(): Promise<BrokerProxy>;
  close(): Promise<void>;
}

/** The place for rules of one test file. What killed runs leave unfinished in its COS is old enough for the next run. */
export async function openRules(broker: () => Broker): Promise<Rules> {
  const dir = await mkdtemp(join(tmpdir(), 'tdmq-backup-cos-'));
  const cos = await startLoopbackCos({
    dir,
    buckets: [{ name: BUCKET, region: 'ap-guangzhou' }],
    credentials: SECRETS,
  });
  const hooks = new Map<string, (kind: CallKind, key: string) => Promise<void> | void>();
  cos.setOnRequest((kind, key) => {
    for (const [prefix, hook] of hooks) if (key.startsWith(prefix)) return hook(kind, key);
    return undefined;
  });
  const proxies: BrokerProxy[] = [];

  async function newProxy(): Promise<BrokerProxy> {
    const proxy = await startBrokerProxy(() => broker().serviceUrl);
    proxies.push(proxy);
    return proxy;
  }

  async function rule(name: string, type: string, of: PublishedTopic): Promise<ProxiedRule> {
    const { topic, published } = of;
    const subscription = `${name}-${type}`.replaceAll(/[^a-z0-9]+/gi, '-');
    const prefix = `${subscription}/`;
    await createSubscription(broker(), topic, subscription);
    const proxy = await newProxy();
    const environment = (serviceUrl: string, env: Env) =>
      ruleEnv(cos, serviceUrl, topic, {
        PULSAR_SUBSCRIPTION: subscription,
        PULSAR_SUBSCRIPTION_TYPE: type,
        COS_PREFIX: prefix,
        ...env,
      });
    const files = () => storedFiles(cos, prefix);
    /** What a killed run left is old enough now to be removed. */
    const letUploadsAge = () => {
      for (const upload of cos.uploads().filter(({ key }) => key.startsWith(prefix))) {
        Object.assign(upload, { initiatedMs: upload.initiatedMs - ORPHAN_AGE_MS - 60_000 });
      }
    };

    async function expectDrained(): Promise<void> {
      expectExactlyOnce(files(), topic, published);
      expect(await backlogOf(broker(), topic, subscription)).toBe(0);
      expect(cos.uploads().filter(({ key }) => key.startsWith(prefix))).toEqual([]);
      expect(cos.replacedCount).toBe(0);
    }

    return {
      ...{ proxy, prefix, topic, subscription, files, expectDrained },
      onCosCall: (hook) => void hooks.set(prefix, hook),
      loseAnswerOf(kind, key, nth = 1) {
        const pattern = `^${prefix}.*${key}`;
        cos.addFault({ kind, key: pattern, nth, action: { type: 'hang', when: 'after-commit' } });
        const isLost = (request: { status: unknown; kind: CallKind; key: string }) =>
          request.status === 'hung' && request.kind === kind && request.key.startsWith(prefix);
        return vi.waitUntil(() => cos.requests().some(isLost), { interval: 5, timeout: 60_000 });
      },
      start: (env = {}) => startInvocation({ env: environment(proxy.serviceUrl, env) }),
      startBeside: (way, env = {}) => startInvocation({ env: environment(way.serviceUrl, env) }),
      async gone() {
        const isGone = async () => (await consumersOf(broker(), topic, subscription)) === 0;
        await vi.waitUntil(isGone, { interval: 50, timeout: 60_000 });
      },
      async expectNextRunToFinish(env = {}) {
        const before = fingerprint(cos, prefix);
        letUploadsAge();
        const next = await invoke({ env: environment(broker().serviceUrl, env) });
        expect(next.summary, next.output).toMatchObject({ stopReason: 'caught_up' });
        await expectDrained();
        expect(fingerprint(cos, prefix)).toEqual(expect.arrayContaining(before));
        return next.summary as Summary;
      },
      async expectNextRunsToFinish(env = {}) {
        const before = fingerprint(cos, prefix);
        letUploadsAge();
        for (let runs = 0; (await backlogOf(broker(), topic, subscription)) > 0; runs++) {
          expect(runs, 'runs that left something').toBeLessThan(5);
          const next = await invoke({ env: environment(broker().serviceUrl, env) });
          expect(next.summary, next.output).toMatchObject({ stopReason: 'caught_up' });
        }
        expect(fingerprint(cos, prefix)).toEqual(expect.arrayContaining(before));
      },
    };
  }

  return {
    cos,
    rule,
    proxy: newProxy,
    async close() {
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await cos.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** How a killed run ended: without an answer. */
export function expectKilled({ summary, thrown, output }: Invocation): void {
  expect(thrown, output).toBeUndefined();
  expect(summary, 'the run came to its end').toBeUndefined();
}

interface Stats {
  readonly subscriptions: Record<string, { consumers: unknown[] } | undefined>;
  readonly partitions?: Record<string, Stats>;
}

/** How many consumers the subscription has, over all partitions. */
export async function consumersOf(broker: Broker, topic: string, subscription: string): Promise<number> {
  const path = topic.replace('://', '/');
  const { partitions } = await broker.admin<{ partitions: number }>('GET', `${path}/partitions`);
  const stats = await broker.admin<Stats>(
    'GET',
    `${path}/${partitions > 0 ? 'partitioned-stats?perPartition=true' : 'stats'}`,
  );
  const parts = stats.partitions === undefined ? [stats] : Object.values(stats.partitions);
  return parts.reduce((sum, part) => sum + (part.subscriptions[subscription]?.consumers.length ?? 0), 0);
}
