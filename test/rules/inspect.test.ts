import { afterEach, beforeEach, expect, test } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';
import { inspectCloud } from '../../src/rules/inspect.ts';
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
