// A rule that is deployed on the stand-ins, and whose function is the real one: Invoke runs the handler over the loopback
// broker and COS.

import { parseCosConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { handleInvocation, REAL_PARTS } from '../../src/handler.ts';
import { createLogger } from '../../src/logger.ts';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import type { RunResult, ScfFunction } from '../stand-ins/cloud-api/state.ts';
import { deployByHand, type RuleCloud, startRuleCloud } from './rule-cloud.ts';

export const SMOKE_TOPIC = 'persistent://pulsar-abc/default/orders';
const BUCKET = 'archive-1250000000';
const PRODUCER = 'token-that-may-produce';
const CONSUMER = 'token-that-may-consume';

export interface SmokeRule {
  readonly cloud: RuleCloud;
  readonly broker: LoopbackBroker;
  /** What .env.orders has, and the keys of the account. */
  readonly env: Readonly<Record<string, string>>;
  /** The same, with the token of a role that may not produce. */
  readonly consumerEnv: Readonly<Record<string, string>>;
  readonly fn: ScfFunction;
  /** One run of the function, as SCF starts it. */
  run(requestId: string): Promise<RunResult>;
  /** Keys of the bucket's objects. */
  keys(): string[];
  /** Copies an object behind the back of the rule, with some of its text replaced. */
  spoil(key: string, change: { to?: string; replace?: readonly [string, string] }): Promise<void>;
  remove(key: string): Promise<void>;
  close(): Promise<void>;
}

/** Deploys the rule `orders-backup`, with a topic of so many partitions. */
export async function startSmokeRule(more: Record<string, string> = {}, partitions = 2): Promise<SmokeRule> {
  const cloud = await startRuleCloud();
  const role = (mayProduce: boolean) => ({ role: `role-${mayProduce}`, isAllowed: true, mayProduce });
  const broker = await startLoopbackBroker({
    tokens: { [PRODUCER]: role(true), [CONSUMER]: role(false) },
    namespaces: ['pulsar-abc/default'],
    failoverDelayMs: 50,
  });
  broker.createTopic(SMOKE_TOPIC, partitions);
  const settings = {
    RULE_NAME: 'orders-backup',
    PULSAR_SERVICE_URL: broker.serviceUrl,
    PULSAR_TOPIC: SMOKE_TOPIC,
    PULSAR_SUBSCRIPTION: 'backup',
    PULSAR_TOKEN: PRODUCER,
    COS_BUCKET: BUCKET,
    COS_REGION: 'ap-guangzhou',
    COS_PREFIX: 'tdmq/orders/',
    COS_ENDPOINT: cloud.cos.url,
    ...more,
  };
  const fn = deployByHand(cloud, 'orders-backup', { timeout: 285, environment: settings });
  const { secretId, secretKey, token } = cloud.api.account;
  const keys = {
    TENCENTCLOUD_SECRETID: secretId,
    TENCENTCLOUD_SECRETKEY: secretKey,
    TENCENTCLOUD_SESSIONTOKEN: token,
  };
  // What SCF adds.
  const added = { SCF_FUNCTIONNAME: fn.name, TENCENTCLOUD_REGION: fn.region };
  const run = async (requestId: string): Promise<RunResult> => {
    const context = { request_id: requestId, time_limit_in_ms: 30_000, memory_limit_in_mb: 512 };
    try {
      return {
        result: await handleInvocation({ ...added, ...fn.environment, ...keys }, context, {
          ...REAL_PARTS,
          createSource: async (options) => createWireSource(options, { settleMs: 0 }),
          createLogger: (options) => createLogger({ ...options, destination: { write: () => undefined } }),
        }),
      };
    } catch (error) {
      return { error: String(error) };
    }
  };
  cloud.api.state.run = (_fn, _event, requestId) => run(requestId);
  const env = { ...cloud.env, ...settings };
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const store = createCosStore(parseCosConfig({ ...settings, ...keys }, 'shell'), { logger: silent });
  return {
    ...{ cloud, broker, env, fn, run },
    consumerEnv: { ...env, PULSAR_TOKEN: CONSUMER },
    keys: () => cloud.cos.objects(BUCKET).map(({ key }) => key),
    spoil: async (key, { to = key, replace: [from, by] = ['', ''] }) => {
      const { bytes, metadata } = cloud.cos.object(key, BUCKET) ?? { bytes: Buffer.alloc(0), metadata: {} };
      const body = Buffer.from(bytes.toString().replace(from, by));
      const attributes = { metadata, contentType: 'application/x-ndjson', isReadByRuns: false };
      await store.admin.putReplaceable(to, { chunks: [body], sizeBytes: body.length }, attributes);
    },
    remove: (key) => store.admin.remove(key),
    close: async () => {
      await store.close();
      await broker.close();
      await cloud.close();
    },
  };
}
