// A rule whose topic and bucket are the stand-ins, for commands under test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import {
  type LoopbackBroker,
  type LoopbackBrokerOptions,
  startLoopbackBroker,
} from '../stand-ins/broker/broker.ts';

export const TOPIC = 'public/default/orders';
const BUCKET = { name: 'test-1250000000', region: 'ap-guangzhou' };

export interface LoopbackRule {
  readonly broker: LoopbackBroker;
  readonly cos: LoopbackCos;
  /** Where the bucket's objects lie as files. */
  readonly folder: string;
  readonly env: Record<string, string>;
  close(): Promise<void>;
}

/** Starts both, with a topic of two partitions; `env` is the rule over them. */
export async function startLoopbackRule(
  options: LoopbackBrokerOptions = {},
  cosOptions: { readonly clock?: () => number } = {},
): Promise<LoopbackRule> {
  const dir = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  const credentials = { secretId: 'test-id', secretKey: 'test-key' };
  const broker = await startLoopbackBroker(options);
  const cos = await startLoopbackCos({ dir, buckets: [BUCKET], credentials, ...cosOptions });
  broker.createTopic(TOPIC, 2);
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
