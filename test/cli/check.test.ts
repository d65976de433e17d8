// `tdmq-backup check` over the stand-ins: each ✓, ⚠ and ✗ it can print, with its hint.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backlogOf } from '../../src/cli/check/pulsar.ts';
import { main } from '../../src/cli/main.ts';
import { parseConfig } from '../../src/config.ts';
import { createCosClient } from '../../src/cos/client.ts';
import type { CheckResult } from '../../src/rules/check-result.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { startCloudApi } from '../stand-ins/cloud-api/server.ts';
import { seedCluster } from '../stand-ins/cloud-api/state.ts';
import { testTerminal } from './terminal.ts';

let rule: LoopbackStage;
beforeEach(async () => {
  rule = await startLoopbackStage({ namespaces: ['public/default', 'pulsar-abc/default'] });
});
afterEach(() => rule.close());

/** Runs the check with changed settings. */
async function check(changes: Record<string, string> = {}, ...args: string[]) {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...changes });
  const code = await main(['check', '--json', ...args], terminal);
  expect(err()).toBe('');
  const { ok, findings } = JSON.parse(out()) as { ok: boolean; findings: CheckResult[] };
  expect(code).toBe(ok ? 0 : 1);
  expect(ok).toBe(findings.every(({ status }) => status !== 'fail'));
  // Whatever is not well has a hint.
  for (const { status, hint } of findings) expect(hint !== undefined && hint !== '').toBe(status !== 'ok');
  const about = (item: string) => findings.find((finding) => finding.item === item);
  return { code, findings, about };
}

async function putLifecycle(rules: object[]): Promise<void> {
  const env = {
    ...rule.env,
    TENCENTCLOUD_SECRETID: 'test-id',
    TENCENTCLOUD_SECRETKEY: 'test-key',
    TENCENTCLOUD_SECRET_ID: undefined,
  };
  const nothing = () => undefined;
  const { cos } = parseConfig(env);
  const client = createCosClient(cos, {
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  });
  await client.call({ doing: 'set the lifecycle of', action: 'PutBucketLifecycle' }, (sdk) =>
    sdk.putBucketLifecycle({ Bucket: cos.bucket, Region: cos.region, Rules: rules } as never),
  );
  client.close();
}

describe('a rule that is well', () => {
  test('is reported item by item, with exit code 0, and leaves no object, no consumer and every message behind', async () => {
    await putLifecycle([
      {
        ID: 'parts',
        Status: 'Enabled',
        Filter: { Prefix: '' },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: '1' },
      },
    ]);
    rule.broker.createSubscription(TOPIC, 'backup');
    rule.broker.publish(TOPIC, [{ payload: 'a' }, { payload: 'b' }]);
    const { code, findings } = await check({
      COS_ENDPOINT: rule.cos.url,
      DEPLOY_TIMEOUT_SECONDS: '285',
      DEPLOY_MEMORY_MB: '512',
    });
    expect(code).toBe(0);
    expect(findings.map(({ item, status }) => `${status} ${item}`)).toEqual([
      'ok settings',
      'ok time limit',
      'ok memory',
      'warn endpoint',
      'ok address',
      'ok subscription',
      'ok consume',
      'ok backlog',
      'ok bucket',
      'ok prefix',
      'ok versioning',
      'ok lifecycle',
    ]);
    expect(rule.cos.objects()).toEqual([]);
    expect(rule.broker.consumers()).toEqual([]);
    expect(rule.broker.subscriptionBacklog(TOPIC, 'backup')).toBe(2);
  });

  test('is printed with marks, causes and hints, and a conclusion', async () => {
    const { terminal, out } = testTerminal(rule.env);
    expect(await main(['check'], terminal)).toBe(0);
    expect(out()).toMatch(/^✓ settings {6}rule orders-backup, every 5 minutes\n/);
    expect(out()).toMatch(/\n⚠ lifecycle {5}no rule removes[^\n]+\n {16}→ Add a lifecycle rule/);
    expect(out()).toMatch(/\nIt will work; \d of these are worth a look\.\n$/);
  });

  test('with --read-only it subscribes to nothing and stores nothing', async () => {
    const { findings, about } = await check({}, '--read-only');
    expect(findings.map(({ item }) => item)).not.toContain('consume');
    expect(findings.map(({ item }) => item)).not.toContain('prefix');
    expect(about('subscription')?.cause).toMatch(/the first run makes it/);
    expect(rule.cos.requests().map(({ kind }) => kind)).not.toContain('put');
    expect(() => rule.broker.ackedPositions(`${TOPIC}-partition-0`, 'backup')).toThrow(/no subscription/);
  });
});

describe('settings and limits', () => {
  test('✗ for each setting that is wrong, and nothing else is asked', async () => {
    const { code, findings } = await check({ COS_BUCKET: 'nope', FILE_MAX_MESAGES: '3' });
    expect(code).toBe(1);
    expect(findings.map(({ item, status }) => [item, status])).toEqual([
      ['settings', 'fail'],
      ['settings', 'fail'],
    ]);
    expect(findings[0]?.cause).toMatch(/^COS_BUCKET is "nope"; expected/);
    expect(findings[1]?.cause).toMatch(/^FILE_MAX_MESAGES .* did you mean FILE_MAX_MESSAGES/);
    expect(rule.cos.requests()).toEqual([]);
  });

  test.each([
    ['fail', 'time limit', { DEPLOY_TIMEOUT_SECONDS: '901' }, /DEPLOY_TIMEOUT_SECONDS is 901/],
    ['fail', 'time limit', { DEPLOY_TIMEOUT_SECONDS: '20' }, /RUN_RESERVE_SECONDS 15 keeps more than half/],
    ['warn', 'time limit', { DEPLOY_TIMEOUT_SECONDS: '300' }, /runs overlap/],
    ['fail', 'memory', { DEPLOY_MEMORY_MB: '500' }, /DEPLOY_MEMORY_MB is 500/],
    ['warn', 'memory', { DEPLOY_MEMORY_MB: '128' }, /128 MB leaves little.*more than 6 MiB .*kept raw/],
    ['ok', 'memory', { DEPLOY_MEMORY_MB: '1024' }, /more than 226 MiB .*kept raw/],
    ['warn', 'endpoint', {}, /not to COS/],
  ])('%s of %s with %o', async (status, item, changes, cause) => {
    const { about } = await check(changes, '--read-only');
    expect(about(item)).toMatchObject({ status, cause: expect.stringMatching(cause) });
  });
});

describe('Pulsar', () => {
  test('✗ address where nothing listens, and the bucket is looked at all the same', async () => {
    const { about } = await check({ PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1' });
    expect(about('address')).toMatchObject({
      status: 'fail',
      cause: '127.0.0.1:1 refuses the connection: nothing listens there',
      hint: expect.stringContaining('inside its VPC'),
    });
    expect(about('consume')).toBeUndefined();
    expect(about('bucket')).toMatchObject({ status: 'ok' });
  });

  test('✗ address for a name that does not exist', async () => {
    const { about } = await check({ PULSAR_SERVICE_URL: 'pulsar://broker.invalid:6650' });
    expect(about('address')).toMatchObject({ status: 'fail' });
    expect(about('address')?.cause).toMatch(/no name that is known here|cannot be resolved/);
  });

  test('⚠ address where one of several hosts is down', async () => {
    const url = `${rule.broker.serviceUrl},127.0.0.1:1`;
    const { about } = await check({ PULSAR_SERVICE_URL: url }, '--read-only');
    expect(about('address')).toMatchObject({ status: 'warn', cause: expect.stringContaining('127.0.0.1:1') });
  });

  test('⚠ listener where the brokers pass over its name', async () => {
    rule.broker.faults.protocolVersion = 15;
    const { about } = await check({ PULSAR_LISTENER_NAME: 'outside' });
    expect(about('listener')).toMatchObject({
      status: 'warn',
      cause: expect.stringContaining('PULSAR_LISTENER_NAME ignored'),
      hint: expect.stringContaining('pulsar://'),
    });
    rule.broker.faults.protocolVersion = 21;
    expect((await check({ PULSAR_LISTENER_NAME: 'outside' })).about('listener')).toBeUndefined();
  });

  test('⚠ subscription that did not exist, and it is made', async () => {
    const { about } = await check();
    expect(about('subscription')).toMatchObject({
      status: 'warn',
      cause: 'backup did not exist; this check makes it, at earliest',
    });
    expect(rule.broker.subscriptionBacklog(TOPIC, 'backup')).toBe(0);
    expect(rule.broker.ackedPositions(`${TOPIC}-partition-0`, 'backup')).toBeDefined();
  });

  /** A consumer that is not ours, for as long as the returned function is not called. */
  async function occupy(type: string): Promise<() => Promise<unknown>> {
    const interrupt = new AbortController();
    const { createSource } = await import('../../src/pulsar/create-source.ts');
    const { systemClock } = await import('../../src/lib/clock.ts');
    const nothing = () => undefined;
    const { pulsar } = parseConfig({
      ...rule.env,
      PULSAR_SUBSCRIPTION_TYPE: type,
      TENCENTCLOUD_SECRETID: 'x',
      TENCENTCLOUD_SECRETKEY: 'x',
    });
    const source = await createSource({
      config: pulsar,
      receiveBudgetBytes: 1_000_000,
      clock: systemClock,
      logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      signal: interrupt.signal,
    });
    await source.open();
    return () => source.close();
  }

  test('⚠ consume and subscription where another consumer has an exclusive one', async () => {
    const leave = await occupy('exclusive');
    try {
      const { code, about } = await check();
      expect(code).toBe(0);
      expect(about('consume')).toMatchObject({
        status: 'warn',
        cause: expect.stringContaining('somebody else'),
      });
      expect(about('subscription')).toMatchObject({
        status: 'warn',
        cause: expect.stringContaining('consumers are connected'),
      });
    } finally {
      await leave();
    }
  });

  test('✗ subscription that others consume as another type', async () => {
    const leave = await occupy('shared');
    try {
      const { code, about } = await check();
      expect(code).toBe(1);
      expect(about('subscription')).toMatchObject({
        status: 'fail',
        cause: expect.stringContaining('they consume it as Shared, the rule is Exclusive'),
      });
      expect(about('consume')?.status).not.toBe('ok');
    } finally {
      await leave();
    }
  });

  test('✗ consume for a topic that does not exist', async () => {
    const strict = await startLoopbackStage({ autoCreatesTopics: false });
    try {
      const { terminal, out } = testTerminal({ ...strict.env, PULSAR_TOPIC: 'public/default/other' });
      expect(await main(['check', '--json'], terminal)).toBe(1);
      const { findings } = JSON.parse(out()) as { findings: CheckResult[] };
      expect(findings.find(({ item }) => item === 'consume')).toMatchObject({
        status: 'fail',
        hint: expect.stringContaining('PULSAR_TOPIC'),
      });
    } finally {
      await strict.close();
    }
  });

  test.each([
    ['a wrong token', 'wrong-token'],
    ['a role that may not consume', 'token-of-nobody'],
  ])('✗ consume with %s, and no token in the output', async (_, token) => {
    const guarded = await startLoopbackStage({
      tokens: {
        'right-token': { role: 'reader', isAllowed: true },
        'token-of-nobody': { role: 'nobody', isAllowed: false },
      },
    });
    try {
      const { terminal, out } = testTerminal({ ...guarded.env, PULSAR_TOKEN: token });
      expect(await main(['check', '--json'], terminal)).toBe(1);
      const { findings } = JSON.parse(out()) as { findings: CheckResult[] };
      expect(findings.find(({ item }) => item === 'consume')).toMatchObject({
        status: 'fail',
        hint: expect.stringMatching(/PULSAR_TOKEN|role/),
      });
      expect(out()).not.toContain(token);
    } finally {
      await guarded.close();
    }
  });

  test('the role key is read through the TDMQ API, ✓ where it is there and ✗ where it is not', async () => {
    const api = await startCloudApi({ secretId: 'test-id', secretKey: 'test-key' });
    try {
      seedCluster(api.state, { token: 'the-role-key' });
      const env = { TENCENTCLOUD_API_ENDPOINT: api.endpoint, TDMQ_CLUSTER_ID: 'pulsar-abc' };
      const found = await check({ ...env, TDMQ_ROLE_NAME: 'backup-reader' }, '--read-only');
      expect(found.about('role key')).toMatchObject({ status: 'ok' });
      const missing = await check({ ...env, TDMQ_ROLE_NAME: 'no-such-role' }, '--read-only');
      expect(missing.about('role key')).toMatchObject({
        status: 'fail',
        hint: expect.stringContaining('TDMQ_ROLE_NAME'),
      });
    } finally {
      await api.close();
    }
  });

  describe('by what the admin API tells', () => {
    let server: Server;
    let answers: Record<string, unknown>;
    beforeEach(async () => {
      server = createServer((request, response) => {
        const found = Object.entries(answers).find(([end]) => request.url?.endsWith(end));
        response.writeHead(found ? 200 : 404).end(JSON.stringify(found?.[1]));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    });
    afterEach(() => new Promise((resolve) => server.close(resolve)));
    const look = () => {
      const { port } = server.address() as AddressInfo;
      return check({ PULSAR_SERVICE_URL: `http://127.0.0.1:${port}` }, '--read-only');
    };

    test.each([
      ['fail', 300],
      ['warn', 1_800],
      ['ok', 86_400],
    ])('%s time to live of %i s with a run every 300 s', async (status, ttlSeconds) => {
      answers = { '/messageTTL': ttlSeconds };
      expect((await look()).about('time to live')).toMatchObject({ status });
    });

    test.each<[string, string, Record<string, unknown>]>([
      ['fail', 'time to live', { '/messageTTL': 3_900 }],
      ['warn', 'time to live', { '/messageTTL': 5_400 }],
      ['ok', 'time to live', { '/messageTTL': 86_400 }],
      ['warn', 'retention', { '/retention': { retentionTimeInMinutes: 70, retentionSizeInMB: 100 } }],
      ['warn', 'subscription expiry', { '/subscriptionExpirationTime': 70 }],
      [
        'fail',
        'backlog quota',
        { '/backlogQuotaMap': { message_age: { limitTime: 3_700, policy: 'producer_exception' } } },
      ],
    ])('%s of %s near a linger of an hour', async (status, item, answered) => {
      answers = answered;
      const { port } = server.address() as AddressInfo;
      const env = { PULSAR_SERVICE_URL: `http://127.0.0.1:${port}`, FILE_LINGER_MINUTES: '60' };
      const { about } = await check(env, '--read-only');
      expect(about(item)).toMatchObject({ status, cause: expect.stringMatching(/3600 s/) });
    });

    test('what is far from the linger, or limits nothing, is not mentioned', async () => {
      const far: Record<string, unknown> = {
        '/messageTTL': 0,
        '/retention': { retentionTimeInMinutes: 10_000 },
        '/subscriptionExpirationTime': 10_000,
        '/backlogQuotaMap': { destination_storage: { limitSize: 1_000, limitTime: -1 } },
      };
      const none = { '/retention': { retentionTimeInMinutes: 0 }, '/subscriptionExpirationTime': 0 };
      const { port } = server.address() as AddressInfo;
      const env = { PULSAR_SERVICE_URL: `http://127.0.0.1:${port}`, FILE_LINGER_MINUTES: '60' };
      for (const answered of [far, none, {}]) {
        answers = answered;
        const { about } = await check(env, '--read-only');
        for (const item of ['time to live', 'retention', 'subscription expiry', 'backlog quota'])
          expect(about(item)).toBeUndefined();
      }
    });

    test('a time to live of for ever, and one that is not told, are not mentioned', async () => {
      answers = { '/messageTTL': 0 };
      expect((await look()).about('time to live')).toBeUndefined();
      answers = {};
      expect((await look()).about('time to live')).toBeUndefined();
    });
  });
});

describe('the cloud', () => {
  test('is asked of cluster, network and role too, says each item once, and is not asked with --no-cloud', async () => {
    const api = await startCloudApi({ secretId: 'test-id', secretKey: 'test-key' });
    try {
      seedCluster(api.state, {});
      rule.broker.createTopic('pulsar-abc/default/orders', 2);
      const settings = {
        PULSAR_TOPIC: 'pulsar-abc/default/orders',
        TENCENTCLOUD_API_ENDPOINT: api.endpoint,
        DEPLOY_VPC_ID: 'vpc-1',
        DEPLOY_SUBNET_ID: 'subnet-1',
      };
      const { findings, about } = await check(settings, '--read-only');
      expect(about('cluster')).toMatchObject({ status: 'ok' });
      expect(about('time to live')).toMatchObject({ status: 'ok' });
      expect(about('subscription')).toMatchObject({
        status: 'warn',
        cause: expect.stringMatching(/first run makes it/),
      });
      expect(about('subnet')).toMatchObject({ status: 'ok' });
      // The loopback broker's address is none of the cluster's.
      expect(about('network')).toMatchObject({ status: 'warn' });
      const items = findings.map(({ item }) => item);
      expect(items).toEqual([...new Set(items)]);
      const asked = api.calls.length;
      await check(settings, '--read-only', '--no-cloud');
      expect(api.calls.length).toBe(asked);
    } finally {
      await api.close();
    }
  });

  test('a cluster that is not in the region is ✗', async () => {
    const api = await startCloudApi({ secretId: 'test-id', secretKey: 'test-key' });
    try {
      const { code, about } = await check({ TENCENTCLOUD_API_ENDPOINT: api.endpoint }, '--read-only');
      expect(code).toBe(1);
      expect(about('cluster')).toMatchObject({
        status: 'fail',
        cause: expect.stringContaining('ap-guangzhou'),
      });
    } finally {
      await api.close();
    }
  });
});

test.each([
  ['ok', '2 entries wait', [{ entries: 1 }, { entries: 1 }]],
  ['warn', '1,000,002 entries wait', [{ entries: 1_000_000 }, { messages: 2 }]],
  ['warn', 'the broker does not report how much is waiting', [{ entries: 1 }, undefined]],
])('%s backlog: %s', async (status, cause, counts) => {
  const partitions = counts.map((count) => ({ backlog: async () => count }));
  expect(await backlogOf(partitions)).toMatchObject({ status, cause });
});

describe('the bucket', () => {
  test('✗ where there is none of that name', async () => {
    const { about, findings } = await check({ COS_BUCKET: 'other-1250000000' });
    expect(about('bucket')).toMatchObject({
      status: 'fail',
      cause: 'there is no bucket other-1250000000 in ap-guangzhou',
    });
    expect(findings.at(-1)?.item).toBe('bucket');
  });

  test('✗ where it does not answer', async () => {
    const { about } = await check({ COS_ENDPOINT: 'http://127.0.0.1:1' });
    expect(about('bucket')).toMatchObject({ status: 'fail' });
  });

  test('⚠ where the keys may not ask for it, and the rest is looked at', async () => {
    rule.cos.addFault({
      kind: 'headBucket',
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const { about } = await check();
    expect(about('bucket')).toMatchObject({ status: 'warn' });
    expect(about('prefix')).toMatchObject({ status: 'ok' });
  });

  test('✗ prefix where nothing may be stored below it', async () => {
    rule.cos.addFault({ kind: 'put', times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    const { code, about } = await check();
    expect(code).toBe(1);
    expect(about('prefix')).toMatchObject({ status: 'fail', cause: expect.stringContaining('AccessDenied') });
  });

  test('⚠ prefix where the probe cannot be removed, naming it', async () => {
    rule.cos.addFault({ kind: 'delete', times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    const { about } = await check();
    const [probe] = rule.cos.objects();
    expect(probe?.key).toMatch(/^tdmq\/_runs\/_check\//);
    expect(about('prefix')).toMatchObject({
      status: 'warn',
      cause: expect.stringContaining(probe?.key ?? '?'),
    });
  });

  test.each(['Enabled', 'Suspended'] as const)('⚠ versioning that is %s', async (state) => {
    rule.cos.setVersioning(state);
    const { about } = await check();
    expect(about('versioning')).toMatchObject({ status: 'warn', cause: expect.stringContaining(state) });
  });

  test.each([
    ['versioning', 'versioning'],
    ['lifecycle', 'lifecycle'],
  ] as const)('⚠ %s where the keys may not ask for it', async (item, kind) => {
    rule.cos.addFault({ kind, times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    const { code, about } = await check();
    expect(code).toBe(0);
    expect(about(item)).toMatchObject({ status: 'warn', cause: expect.stringContaining('AccessDenied') });
  });

  test('⚠ lifecycle without a rule for unfinished uploads, also where one is for another prefix or off', async () => {
    const abort = { AbortIncompleteMultipartUpload: { DaysAfterInitiation: '1' } };
    expect((await check()).about('lifecycle')).toMatchObject({ status: 'warn' });
    await putLifecycle([
      { ID: 'a', Status: 'Enabled', Filter: { Prefix: 'other/' }, ...abort },
      { ID: 'b', Status: 'Disabled', Filter: { Prefix: '' }, ...abort },
    ]);
    expect((await check()).about('lifecycle')).toMatchObject({ status: 'warn' });
  });

  test('⚠ expiry where a rule deletes what is archived', async () => {
    await putLifecycle([
      { ID: 'forget', Status: 'Enabled', Filter: { Prefix: 'tdmq/' }, Expiration: { Days: '30' } },
    ]);
    const { about } = await check();
    expect(about('expiry')).toMatchObject({
      status: 'warn',
      cause: 'lifecycle rule forget deletes objects of this archive after 30 day(s)',
    });
  });
});
