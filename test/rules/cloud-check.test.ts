import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { inspectCloud } from '../../src/rules/cloud-check.ts';
import { QUERIED_FIELDS } from '../../src/rules/log-index.ts';
import { checkSettings } from '../../src/rules/rule.ts';
import { type CloudApi, startCloudApi } from '../stand-ins/cloud-api/server.ts';
import { type Cluster, seedCluster } from '../stand-ins/cloud-api/state.ts';

let api: CloudApi;
let cluster: Cluster;
beforeEach(async () => {
  api = await startCloudApi();
  cluster = seedCluster(api.state, {});
  cluster.environments.get('default')?.topics.get('orders')?.subscriptions.set('backup', {
    name: 'backup',
    consumers: [],
    backlog: 5,
    type: 'Exclusive',
    resetTo: undefined,
  });
});
afterEach(() => api.close());

async function inspect(settings: Record<string, string> = {}, given: object = {}) {
  const findings = await inspectCloud({
    config: checkSettings(
      {
        PULSAR_SERVICE_URL: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:8080',
        PULSAR_TOPIC: 'pulsar-abc/default/orders',
        PULSAR_SUBSCRIPTION: 'backup',
        TDMQ_CLUSTER_ID: 'pulsar-abc',
        TDMQ_ROLE_NAME: 'backup-reader',
        COS_BUCKET: 'archive-1250000000',
        ...settings,
      },
      'orders-backup',
      'ap-guangzhou',
    ),
    credentials: {
      secretId: api.account.secretId,
      secretKey: new Secret(api.account.secretKey),
      sessionToken: undefined,
    },
    vpc: { vpcId: 'vpc-1', subnetId: 'subnet-1' },
    endpoint: api.endpoint,
    ...given,
  });
  return Object.fromEntries(findings.map(({ item, ...rest }) => [item, rest]));
}

test('A rule that is right has nothing but ok, item by item', async () => {
  const found = await inspect();
  expect(Object.keys(found)).toEqual([
    'cluster',
    'namespace',
    'time to live',
    'topic',
    'subscription',
    'role',
    'network',
    'subnet',
  ]);
  expect(Object.values(found).filter((one) => one.status !== 'ok')).toEqual([]);
});

test('A cluster of another region ends the inspection with what to correct', async () => {
  const found = await inspect({}, { region: 'ap-shanghai' });
  expect(found).toEqual({
    cluster: expect.objectContaining({ status: 'fail', cause: expect.stringContaining('ap-shanghai') }),
  });
});

test.each([
  ['namespace', { PULSAR_TOPIC: 'pulsar-abc/prod/orders' }, 'no namespace prod'],
  ['topic', { PULSAR_TOPIC: 'pulsar-abc/default/bills' }, 'no topic bills'],
  ['role', { TDMQ_ROLE_NAME: 'nobody' }, 'no role nobody'],
])('A missing %s fails, with its hint', async (item, settings, cause) => {
  expect((await inspect(settings))[item]).toMatchObject({
    status: 'fail',
    cause: expect.stringContaining(cause),
    hint: expect.any(String),
  });
});

test('A subscription that does not exist yet is a warning', async () => {
  expect((await inspect({ PULSAR_SUBSCRIPTION: 'new' }))['subscription']).toMatchObject({ status: 'warn' });
});

test('Consumers on an Exclusive subscription fail, since what they acknowledge is not backed up', async () => {
  cluster.environments
    .get('default')
    ?.topics.get('orders')
    ?.subscriptions.get('backup')
    ?.consumers.push('app-1');
  expect((await inspect())['subscription']).toMatchObject({
    status: 'fail',
    cause: expect.stringContaining('app-1 at /10.0.0.9:40000'),
  });
});

test('A role that may only produce fails', async () => {
  cluster.roles.get('backup-reader')?.grants.set('default', ['produce']);
  expect((await inspect())['role']).toMatchObject({ status: 'fail' });
});

test.each([
  [400, 'fail'],
  [1_800, 'warn'],
  [86_400, 'ok'],
])('A time to live of %i s with runs every 5 minutes is %s', async (ttlSeconds, status) => {
  const namespace = cluster.environments.get('default');
  if (namespace) namespace.ttlSeconds = ttlSeconds;
  expect((await inspect())['time to live']).toMatchObject({ status });
});

test('A time to live or a retention near the linger is a warning, and none without one', async () => {
  const namespace = cluster.environments.get('default');
  if (namespace) Object.assign(namespace, { ttlSeconds: 6_000, retentionMinutes: 90 });
  const near = await inspect({ FILE_LINGER_MINUTES: '60' });
  expect(near['time to live']).toMatchObject({
    status: 'warn',
    cause: expect.stringContaining('8 failed runs'),
  });
  expect(near['retention']).toMatchObject({ status: 'warn' });
  const without = await inspect();
  expect(without['time to live']).toMatchObject({ status: 'ok' });
  expect(without['retention']).toBeUndefined();
});

test('A function in another VPC than the address fails, an unknown address is a warning', async () => {
  const vpc = { vpcId: 'vpc-2', subnetId: 'subnet-1' };
  expect((await inspect({}, { vpc }))['network']).toMatchObject({ status: 'fail' });
  expect((await inspect({ PULSAR_SERVICE_URL: 'http://elsewhere:8080' }))['network']).toMatchObject({
    status: 'warn',
  });
});

test('What the keys may not ask is a warning that names the permission', async () => {
  api.fail({ action: 'tdmq:DescribeRoles', code: 'UnauthorizedOperation', times: 9 });
  expect((await inspect())['role']).toMatchObject({
    status: 'warn',
    hint: expect.stringContaining('tdmq:DescribeRoles'),
  });
});

describe('The index of the log topic', () => {
  const counted = (names: readonly string[]) =>
    names.map((Key) => ({ Key, Value: { Type: 'text', SqlFlag: true } }));
  const index = (Rule: object | null, Status = true) =>
    api.state.logIndexes.set('log-topic', { Status, Rule });
  const found = async (logTopicId = 'log-topic') => (await inspect({}, { logTopicId }))['log index'];
  beforeEach(() => {
    api.state.logTopics.set('log-topic', []);
  });

  test('is not looked at where no topic is known', async () => {
    expect(await inspect()).not.toHaveProperty('log index');
  });

  test('is well with full text, and statistics on the fields that the documented queries select', async () => {
    index({ FullText: {}, KeyValue: { KeyValues: counted(Object.keys(QUERIED_FIELDS)) } });
    expect(await found()).toMatchObject({ status: 'ok' });
    index({ FullText: {}, KeyValue: null, DynamicIndex: { Status: true } });
    expect(await found()).toMatchObject({ status: 'ok' });
  });

  test.each([
    ['there is none', null, false],
    ['it is off', { FullText: {} }, false],
    ['it has fields only', { FullText: null, KeyValue: { KeyValues: [] } }, true],
  ])('finds no line of a run where %s', async (_, rule, isOn) => {
    index(rule, isOn);
    expect(await found()).toMatchObject({
      status: 'warn',
      cause: expect.stringContaining('no full-text index'),
    });
  });

  test('as SCF makes it, for its own fields, counts none of ours: they are named', async () => {
    index({
      FullText: {},
      KeyValue: { KeyValues: counted(['SCF_RequestId', 'SCF_StatusCode', 'messages']) },
    });
    const one = await found();
    expect(one).toMatchObject({
      status: 'warn',
      cause: expect.stringMatching(/statistics on level, message/),
    });
    expect(one?.cause).not.toContain('messages,');
  });

  test('of a topic that is gone fails', async () => {
    expect(await found('gone')).toMatchObject({ status: 'fail' });
  });
});

test('The fields of the index are those that the documented queries name', () => {
  const page = readFileSync(join(packageRoot(import.meta.url), 'docs/operations.md'), 'utf8');
  const queries = [...page.matchAll(/^.*\| select (.*)$/gm)].map(([line]) => line);
  expect(queries.length).toBeGreaterThan(4);
  const named = queries.flatMap((line) =>
    [...line.replaceAll(/"[^"]*"|'[^']*'/g, '').matchAll(/\b[a-z][A-Za-z]+\b/g)].map(([word]) => word),
  );
  const sql = [
    'select',
    'order',
    'by',
    'desc',
    'as',
    'sum',
    'max',
    'count',
    'group',
    'hour',
    'bytes',
    'runs',
    'backlog',
    'date_trunc',
    'trunc',
    'date',
  ];
  for (const word of named) if (!sql.includes(word)) expect(Object.keys(QUERIED_FIELDS)).toContain(word);
  for (const field of Object.keys(QUERIED_FIELDS)) expect(page).toContain(`\`${field}\``);
});
