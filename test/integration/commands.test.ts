// The commands against a real broker: the demo in a topic of its own, and what check reads of it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { startLoopbackCos } from '../../src/local/cos/server.ts';
import { bundleCli, bundleFunction } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import type { CheckResult } from '../../src/rules/check-result.ts';
import { testTerminal } from '../cli/terminal.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';

describe('over a real broker', () => {
  const broker = useBroker();
  const root = packageRoot(import.meta.url);

  beforeAll(async () => {
    await bundleFunction(root, join(root, 'dist/function'));
    await bundleCli(root, join(root, 'dist/cli'));
  });

  it.each([
    ['http', '4 partition(s)'],
    ['pulsar', '1 partition(s)'],
  ])('the demo with an %s:// address stores all it published, over %s', async (scheme, spread) => {
    const url = scheme === 'http' ? broker().httpUrl : broker().serviceUrl;
    // The brokers of these tests make no topic by themselves.
    const topic = scheme === 'http' ? [] : ['--topic', await createTopic(broker(), 'demo')];
    const child = spawn(process.execPath, [
      join(root, 'dist/cli/tdmq-backup.js'),
      ...['demo', '--messages', '2000', '--pulsar', url, ...topic],
    ]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(code, output).toBe(0);
    expect(output).toContain(`2,000 in ${spread}`);
    expect(output).toMatch(/first tick: 2,000 messages in \d+ objects; second tick: 0/);
    rmSync(/The files are in (\S+)\/cos\//.exec(output)?.[1] ?? '/nowhere', { recursive: true });
  });

  async function check(
    topic: string,
    flag?: '--read-only',
    env: Readonly<Record<string, string>> = {},
  ): Promise<(item: string) => CheckResult | undefined> {
    const dir = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
    const bucket = { name: 'test-1250000000', region: 'ap-guangzhou' };
    const cos = await startLoopbackCos({
      dir,
      buckets: [bucket],
      credentials: { secretId: 'test-id', secretKey: 'test-key' },
    });
    try {
      const { terminal, out, err } = testTerminal({
        RULE_NAME: 'orders-backup',
        PULSAR_SERVICE_URL: broker().httpUrl,
        PULSAR_TOPIC: topic,
        PULSAR_SUBSCRIPTION: 'backup',
        COS_BUCKET: bucket.name,
        COS_REGION: bucket.region,
        COS_ENDPOINT: cos.url,
        TENCENTCLOUD_SECRET_ID: 'test-id',
        TENCENTCLOUD_SECRET_KEY: 'test-key',
        ...env,
      });
      await main(['check', '--json', ...(flag === undefined ? [] : [flag])], terminal);
      expect(err()).toBe('');
      const { findings } = JSON.parse(out()) as { findings: CheckResult[] };
      return (item) => findings.find((finding) => finding.item === item);
    } finally {
      await cos.close();
      rmSync(dir, { recursive: true, force: true });
    }
  }

  it('check reads subscription and backlog, consumes nothing, and makes a subscription that is missing', async () => {
    const topic = await createTopic(broker(), 'checked', 2);
    const missing = await check(topic);
    expect(missing('subscription')).toMatchObject({
      status: 'warn',
      cause: expect.stringMatching(/did not exist/),
    });
    expect(missing('consume')).toMatchObject({
      status: 'ok',
      cause: expect.stringContaining('2 partitions'),
    });
    await publish(broker().serviceUrl, { topic, count: 10 });
    const there = await check(topic);
    expect(there('subscription')).toMatchObject({ status: 'ok' });
    expect(there('backlog')?.cause).not.toBe('0 entries wait');
  });

  it('check reports what the namespace would drop or delete near the linger', async () => {
    const topic = await createTopic(broker(), 'lingering');
    await createSubscription(broker(), topic, 'backup');
    const policies = 'namespaces/public/default';
    const quota = { limitSize: -1, limitTime: 3_700, policy: 'consumer_backlog_eviction' };
    const linger = { FILE_LINGER_MINUTES: '60' };
    const items = ['time to live', 'retention', 'subscription expiry', 'backlog quota'];
    const statuses = async (env: Record<string, string>) => {
      const about = await check(topic, '--read-only', env);
      return items.map((item) => about(item)?.status);
    };
    await broker().admin('POST', `${policies}/messageTTL`, 5_400);
    await broker().admin('POST', `${policies}/retention`, {
      retentionTimeInMinutes: 70,
      retentionSizeInMB: -1,
    });
    await broker().admin('POST', `${policies}/subscriptionExpirationTime`, 70);
    await broker().admin('POST', `${policies}/backlogQuota?backlogQuotaType=message_age`, quota);
    try {
      expect(await statuses(linger)).toEqual(['warn', 'warn', 'warn', 'fail']);
      expect(await statuses({})).toEqual(['ok', undefined, undefined, undefined]);
    } finally {
      for (const policy of ['messageTTL', 'retention', 'subscriptionExpirationTime'])
        await broker().admin('DELETE', `${policies}/${policy}`);
      await broker().admin('DELETE', `${policies}/backlogQuota?backlogQuotaType=message_age`);
    }
    expect(await statuses(linger)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('check reports a time to live that is shorter than two runs, and a topic that is not there', async () => {
    const topic = await createTopic(broker(), 'short-lived');
    await createSubscription(broker(), topic, 'backup');
    await broker().admin('POST', 'namespaces/public/default/messageTTL', 120);
    try {
      expect((await check(topic, '--read-only'))('time to live')).toMatchObject({ status: 'fail' });
    } finally {
      await broker().admin('DELETE', 'namespaces/public/default/messageTTL');
    }
    expect((await check('public/no-such-namespace/orders'))('consume')).toMatchObject({ status: 'fail' });
  });
});
