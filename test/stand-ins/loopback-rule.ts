// A rule whose topic and bucket are stand-ins: what commands and whole runs are tested on.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import type { LoopbackCredentials } from '../../src/local/cos/signature.ts';
import { type LoopbackBroker, type LoopbackBrokerOptions, startLoopbackBroker } from './broker/broker.ts';

export const TOPIC = 'public/default/orders';
const BUCKET = { name: 'test-1250000000', region: 'ap-guangzhou' };
const CREDENTIALS = { secretId: 'test-id', secretKey: 'test-key' };

export interface LoopbackRule {
  readonly broker: LoopbackBroker;
  readonly cos: LoopbackCos;
  /** Where the bucket's objects lie as files. */
  readonly folder: string;
  readonly env: Record<string, string>;
  close(): Promise<void>;
}

/** What a rule's stand-ins are like, beyond what a broker may be. */
export interface LoopbackRuleOptions extends LoopbackBrokerOptions {
  readonly partitions?: number;
  readonly credentials?: LoopbackCredentials;
  /** Of COS, in milliseconds. */
  readonly cosClock?: (() => number) | undefined;
}

/** Starts both, with a topic of two partitions; `env` is the rule over them. */
export async function startLoopbackRule(options: LoopbackRuleOptions = {}): Promise<LoopbackRule> {
  const { partitions = 2, credentials = CREDENTIALS, cosClock: clock = Date.now } = options;
  const dir = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  const broker = await startLoopbackBroker(options);
  const cos = await startLoopbackCos({ dir, buckets: [BUCKET], credentials, clock });
  broker.createTopic(TOPIC, partitions);
  return {
    broker,
    cos,
    folder: join(dir, BUCKET.name),
    env: {
      RULE_NAME: 'orders-backup',
      PULSAR_SERVICE_URL: broker.httpUrl,
      PULSAR_TOPIC: TOPIC,
      PULSAR_SUBSCRIPTION: 'backup',
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
