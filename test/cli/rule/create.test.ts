import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import {
  CREATE,
  createWith,
  ROLE_KEY,
  type RuleCloud,
  startRuleCloud,
  subscribe,
  tracesIn,
} from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
});
afterEach(() => cloud.close());

const subscriptionOf = (name = 'backup') =>
  cloud.cluster.environments.get('default')?.topics.get('orders')?.subscriptions.get(name);

test('A rule is made with its function, settings, role, subscription and timer', async () => {
  const ran = await cloud.rule(...CREATE);
  expect(ran.err).toContain('✓ create the function orders-backup');
  expect(ran).toMatchObject({ code: 0 });
  const fn = cloud.api.state.functions.get('orders-backup');
  expect(fn).toMatchObject({
    status: 'Active',
    handler: 'index.main_handler',
    runtime: 'Nodejs18.15',
    memory: 512,
    timeout: 285,
    role: 'tdmq-backup-orders-backup',
    reservedMemory: 512,
    retry: { retryNum: 2, ttlSeconds: 300 },
    vpc: { VpcId: 'vpc-1', SubnetId: 'subnet-1' },
    tags: [{ Key: 'tdmq-backup', Value: 'orders-backup' }],
    triggers: [{ cron: '0 */5 * * * * *', open: true, qualifier: '$DEFAULT' }],
    environment: {
      PULSAR_SERVICE_URL: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:8080',
      PULSAR_TOPIC: 'pulsar-abc/default/orders',
      PULSAR_SUBSCRIPTION: 'backup',
      PULSAR_TOKEN: ROLE_KEY,
      COS_BUCKET: 'archive-1250000000',
      COS_REGION: 'ap-guangzhou',
      COS_PREFIX: 'tdmq/orders/',
    },
  });
  expect(subscriptionOf()?.resetTo).toBe(1);
});

test('The run role is made for SCF, with the rule’s bucket and prefix in its policy', async () => {
  await cloud.rule(...CREATE);
  const role = cloud.api.state.camRoles.get('tdmq-backup-orders-backup');
  expect(role?.trust).toContain('scf.qcloud.com');
  const [policy] = [...(role?.policies ?? [])].map((id) => cloud.api.state.camPolicies.get(id));
  expect(policy?.document).toContain('qcs::cos:ap-guangzhou:uid/1250000000:archive-1250000000/tdmq/orders/*');
  expect(policy?.document).not.toContain('tdmq:DescribeRoles');
  expect(policy?.document).not.toContain('<');
});

test('With --role-key runtime the key stays out of the function, and the role may read it', async () => {
  const ran = await cloud.rule(...CREATE, '--role-key', 'runtime');
  expect(ran).toMatchObject({ code: 0 });
  const environment = cloud.api.state.functions.get('orders-backup')?.environment;
  expect(environment).toMatchObject({ TDMQ_CLUSTER_ID: 'pulsar-abc', TDMQ_ROLE_NAME: 'backup-reader' });
  expect(environment).not.toHaveProperty('PULSAR_TOKEN');
  expect([...cloud.api.state.camPolicies.values()][0]?.document).toContain('tdmq:DescribeRoles');
});

test('A Failover rule reserves no concurrency, so that instances share the partitions', async () => {
  await cloud.rule(...CREATE, '--subscription-type', 'failover');
  expect(cloud.api.state.functions.get('orders-backup')?.reservedMemory).toBeUndefined();
});

test('--dry-run shows the calls and the settings, and changes nothing', async () => {
  const before = tracesIn(cloud);
  const ran = await cloud.rule(...CREATE, '--dry-run');
  expect(ran.code).toBe(0);
  expect(ran.out).toMatch(/1\. cam:CreateRole[\s\S]*scf:CreateFunction[\s\S]*7\. |scf:CreateTrigger/);
  expect(ran.out).toContain('[the key of backup-reader]');
  expect(tracesIn(cloud)).toEqual(before);
  expect(cloud.api.calls.filter((call) => /^(Create|Put|Update|Reset|Attach)/.test(call.action))).toEqual([]);
});

test('--dry-run --json is one JSON object with every call in order', async () => {
  const ran = await cloud.rule(...CREATE, '--dry-run', '--json');
  const plan = JSON.parse(ran.out) as { calls: { call: string }[]; settings: Record<string, string> };
  expect(plan.calls.map((one) => one.call)).toEqual([
    'cam:CreateRole',
    'cam:CreatePolicy',
    'cam:AttachRolePolicy',
    'scf:CreateFunction',
    'scf:PutReservedConcurrencyConfig',
    'scf:UpdateFunctionEventInvokeConfig',
    'tdmq:CreateSubscription',
    'tdmq:ResetMsgSubOffsetByTimestamp',
    'scf:CreateTrigger',
  ]);
  expect(plan.settings['COS_PREFIX']).toBe('tdmq/orders/');
});

test('A new role that SCF does not know yet is waited for', async () => {
  cloud.api.fail({ action: 'scf:CreateFunction', code: 'InvalidParameterValue.Role', times: 1 });
  expect(await cloud.rule(...CREATE)).toMatchObject({ code: 0 });
});

describe('The start position', () => {
  test('is a time, applied to the subscription once', async () => {
    await cloud.rule(...CREATE, '--start', '2026-01-31T00:00:00+08:00');
    expect(subscriptionOf()?.resetTo).toBe(Date.parse('2026-01-30T16:00:00Z'));
  });

  test('latest is now', async () => {
    const beforeMs = Date.now();
    await cloud.rule(...CREATE, '--start', 'latest');
    expect(subscriptionOf()?.resetTo).toBeGreaterThanOrEqual(beforeMs);
    expect(cloud.api.state.functions.get('orders-backup')?.environment).toMatchObject({
      PULSAR_INITIAL_POSITION: 'latest',
    });
  });

  test('leaves a subscription that exists where it is, unless asked for', async () => {
    subscribe(cloud, { backlog: 12 });
    await cloud.rule(...CREATE);
    expect(subscriptionOf()).toMatchObject({ resetTo: undefined, backlog: 12 });
  });

  test('is refused while consumers are connected', async () => {
    subscribe(cloud, { consumers: ['app-1'] });
    const ran = await cloud.rule(...CREATE, '--start', 'earliest');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('consumers are connected to backup (app-1 at /10.0.0.9:40000)');
    expect(subscriptionOf()?.resetTo).toBeUndefined();
  });

  test.each(['yesterday', '2026-02-30', '2999-01-01T00:00:00Z'])('is not %s', async (start) => {
    const ran = await cloud.rule(...CREATE, '--start', start);
    expect(ran.err).toContain(`--start ${start}`);
  });
});

test('Everything that is wrong is reported at once, with the flag', async () => {
  const ran = await cloud.rule(
    ...['create', '--name', '1bad', '--cluster', 'pulsar-abc', '--namespace', 'default'],
    ...['--topic', 'missing', '--subscription', 'backup', '--tdmq-role', 'nobody', '--bucket', 'Archive'],
    ...['--prefix', '/a', '--interval', '3', '--run-role', 'none', '--memory', '100', '--yes'],
  );
  expect(ran.code).toBe(1);
  for (const part of ['--name 1bad', '--topic missing', '--tdmq-role nobody', 'COS_BUCKET', 'COS_PREFIX']) {
    expect(ran.err).toContain(part);
  }
  for (const part of ['RUN_INTERVAL_MINUTES', '--run-role none', '--memory 100'])
    expect(ran.err).toContain(part);
  expect(cloud.api.state.functions.size).toBe(0);
});

test('A role that may not consume, a full subnet and a cluster elsewhere are reported', async () => {
  cloud.cluster.roles.get('backup-reader')?.grants.set('default', ['produce']);
  const subnet = cloud.api.state.subnets.get('subnet-1');
  if (subnet) subnet.freeIps = 0;
  const ran = await cloud.rule(...CREATE);
  expect(ran.err).toContain('may not consume from namespace default');
  expect(ran.err).toContain('has no free address');
  const elsewhere = await cloud.rule(...CREATE, '--region', 'ap-shanghai');
  expect(elsewhere.err).toContain('no such Pulsar cluster in ap-shanghai');
});

test('A bucket that does not exist is reported before anything is made', async () => {
  const ran = await cloud.rule(...createWith('--bucket', 'nowhere-1250000000'));
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('--bucket: there is no bucket nowhere-1250000000 in ap-guangzhou');
  expect(tracesIn(cloud)).toEqual({ functions: [], roles: [], policies: [], subscriptions: [] });
});

test('A bucket that these keys may not look at is a warning', async () => {
  cloud.cos.addFault({ kind: 'headBucket', action: { type: 'error', code: 'AccessDenied' } });
  const ran = await cloud.rule(...CREATE);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).toContain('the bucket archive-1250000000 could not be checked');
});

test('Flags that are missing are named', async () => {
  const ran = await cloud.rule('create', '--name', 'x1', '--yes');
  expect(ran.err).toContain('--cluster, --namespace, --topic, --subscription, --bucket');
});

test('A rule file gives the fields, and flags go before it', async () => {
  const file = join(cloud.folder, 'rule.yml');
  writeFileSync(
    file,
    [
      'name: orders-backup',
      'cluster: pulsar-abc',
      'namespace: default',
      'topic: orders',
      'subscription: backup',
      'start: 2026-01-31T00:00:00Z',
      'tdmqRole: backup-reader',
      'bucket: archive-1250000000',
      'interval: 10',
      'memory: 1024',
      'settings:',
      '  FILE_COMPRESSION: gzip',
    ].join('\n'),
  );
  const ran = await cloud.rule('create', '--file', file, '--interval', '15', '--create-run-role', '--yes');
  expect(ran).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('orders-backup')).toMatchObject({
    memory: 1024,
    timeout: 885,
    environment: { FILE_COMPRESSION: 'gzip', RUN_INTERVAL_MINUTES: '15' },
    triggers: [{ cron: '0 */15 * * * * *' }],
  });
  expect(subscriptionOf()?.resetTo).toBe(Date.parse('2026-01-31T00:00:00Z'));
});

test('Fields and settings that do not exist are refused in a rule file', async () => {
  const file = join(cloud.folder, 'rule.yml');
  writeFileSync(file, 'nam: x\nsettings:\n  FILE_COMPRESSON: gzip\n');
  const ran = await cloud.rule('create', '--file', file, '--yes');
  expect(ran.err).toContain('nam is no field');
  expect(ran.err).toContain('FILE_COMPRESSON is not a setting');
});

test('A secret is not taken from the command line', async () => {
  const ran = await cloud.rule(...CREATE, '--set', 'PULSAR_TOKEN=x');
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('secrets are not taken from the command line');
});

test('A missing package is found out before anything is made', async () => {
  const ran = await cloud.rule(...CREATE, '--package', join(cloud.folder, 'none.zip'));
  expect(ran.err).toContain('tdmq-backup package');
  expect(cloud.api.state.camRoles.size).toBe(0);
});

test('Without a terminal and without --yes nothing is made', async () => {
  const ran = await cloud.rule(...CREATE.filter((one) => one !== '--yes'));
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('pass --yes');
  expect(cloud.api.state.functions.size).toBe(0);
});

test('A virtual cluster and its own tenant are found as well', async () => {
  const { seedCluster } = await import('../../stand-ins/cloud-api/state.ts');
  seedCluster(cloud.api.state, { id: 'pulsar-old', kind: 'virtual', version: '2.6.1', token: ROLE_KEY });
  seedCluster(cloud.api.state, { id: 'pulsar-ten', tenant: 'shop', token: ROLE_KEY });
  const ofCluster = (id: string) => CREATE.map((one) => (one === 'pulsar-abc' ? id : one));
  await cloud.rule(...ofCluster('pulsar-old'));
  expect(cloud.api.state.functions.get('orders-backup')?.environment).toMatchObject({
    PULSAR_SERVICE_URL: 'http://pulsar-old.tdmq.ap-gz.qcloud.tencenttdmq.com:5035',
    PULSAR_LISTENER_NAME: 'custom:pulsar-old/vpc-1/subnet-1',
  });
  const ran = await cloud.rule(
    ...ofCluster('shop').map((one) => (one === 'orders-backup' ? 'shop-backup' : one)),
  );
  expect(ran).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('shop-backup')?.environment).toMatchObject({
    PULSAR_TOPIC: 'shop/default/orders',
  });
});

test('Flags, rule.yml, a .env file and answers on a terminal make the same rule', async () => {
  const made: object[] = [];
  const makeWith = async (create: (folder: string) => Promise<{ code: number }>) => {
    expect(await create(cloud.folder)).toMatchObject({ code: 0 });
    made.push(tracesIn(cloud));
    await cloud.close();
    cloud = await startRuleCloud();
  };
  await makeWith(() => cloud.rule(...CREATE, '--interval', '10'));
  await makeWith((folder) => {
    const file = join(folder, 'rule.yml');
    const fields = { name: 'orders-backup', cluster: 'pulsar-abc', namespace: 'default', topic: 'orders' };
    const more = { subscription: 'backup', tdmqRole: 'backup-reader', bucket: 'archive-1250000000' };
    writeFileSync(file, stringify({ ...fields, ...more, prefix: 'tdmq/orders/', interval: 10 }));
    return cloud.rule('create', '--file', file, '--create-run-role', '--yes');
  });
  await makeWith((folder) => {
    const file = join(folder, '.env.orders');
    const lines = ['RULE_NAME=orders-backup', 'PULSAR_TOPIC=pulsar-abc/default/orders'];
    lines.push('PULSAR_SUBSCRIPTION=backup', 'COS_BUCKET=archive-1250000000', 'COS_PREFIX=tdmq/orders/');
    lines.push('RUN_INTERVAL_MINUTES=10', '');
    writeFileSync(file, lines.join('\n'));
    return cloud.rule('create', '--file', file, '--tdmq-role', 'backup-reader', '--create-run-role', '--yes');
  });
  await makeWith(() =>
    cloud.ruleOnTerminal(
      ['create'],
      [
        ...['orders-backup', 'backup', 'exclusive', 'earliest', 'archive-1250000000', 'tdmq/orders/', '10'],
        ...['', '', '', 'own topic', 'make it'],
      ],
    ),
  );
  for (const one of made.slice(1)) expect(one).toEqual(made[0]);
});

test('A name that a function has is reported before anything is made', async () => {
  await cloud.rule(...CREATE);
  const ran = await cloud.rule(...CREATE, '--dry-run');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain(
    '--name orders-backup: a function of this name exists in ap-guangzhou; choose another',
  );
});

test('A region that rules cannot live in is reported with those that they can', async () => {
  const ran = await cloud.rule(...CREATE, '--region', 'eu-frankfurt');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('"eu-frankfurt" is no region that rules can live in');
  for (const region of [
    'ap-guangzhou',
    'ap-shanghai',
    'ap-hongkong',
    'ap-beijing',
    'ap-chengdu',
    'ap-singapore',
  ]) {
    expect(ran.err).toContain(region);
  }
  expect(ran.err).toContain('na-siliconvalley');
  expect(cloud.api.calls).toEqual([]);
});

test('A bucket and a COS_REGION elsewhere than the cluster are reported', async () => {
  const ran = await cloud.rule(...CREATE, '--set', 'COS_REGION=ap-beijing', '--region', 'ap-guangzhou');
  expect(ran.err).toContain('must be in one region, ap-guangzhou');
});

test('Without a prefix the objects go to a folder of the topic, with an empty one to the root of the bucket', async () => {
  const args = CREATE.filter((one) => one !== '--prefix' && one !== 'tdmq/orders/');
  expect(await cloud.rule(...args)).toMatchObject({ code: 0 });
  const environment = () => cloud.api.state.functions.get('orders-backup')?.environment;
  expect(environment()).toMatchObject({ COS_PREFIX: 'tdmq/orders/' });
  await cloud.rule('delete', 'orders-backup', '--delete-run-role', '--delete-subscription', '--yes');
  expect(await cloud.rule(...args, '--prefix', '')).toMatchObject({ code: 0 });
  expect(environment()).not.toHaveProperty('COS_PREFIX');
  expect([...cloud.api.state.camPolicies.values()][0]?.document).toContain('archive-1250000000/*');
});

test('A rule at the root of the bucket stays there: edited, or exported and made again', async () => {
  const args = CREATE.map((one) => (one === 'tdmq/orders/' ? '' : one));
  expect(await cloud.rule(...args)).toMatchObject({ code: 0 });
  const environment = () => cloud.api.state.functions.get('orders-backup')?.environment;
  expect(await cloud.rule('edit', 'orders-backup', '--interval', '10', '--yes')).toMatchObject({ code: 0 });
  expect(environment()).not.toHaveProperty('COS_PREFIX');
  const file = join(cloud.folder, '.env.orders');
  await cloud.rule('export', 'orders-backup', '--out', file);
  await cloud.rule('delete', 'orders-backup', '--yes');
  expect(await cloud.rule('create', '--file', file, '--yes')).toMatchObject({ code: 0 });
  expect(environment()).not.toHaveProperty('COS_PREFIX');
});

test('The plan has no secret in it, also where a file holds one', async () => {
  const file = join(cloud.folder, '.env.orders');
  writeFileSync(file, `PULSAR_TOKEN=${ROLE_KEY}\n`);
  for (const more of [[], ['--json']]) {
    const ran = await cloud.rule(
      ...CREATE.filter((one) => one !== 'backup-reader' && one !== '--tdmq-role'),
      '--file',
      file,
      '--dry-run',
      ...more,
    );
    expect(ran.code).toBe(0);
    expect(ran.out).toContain('[secret]');
    expect(ran.out).not.toContain(ROLE_KEY);
  }
});

test('The address may be one that the API does not list, where VPC and subnet are given with it', async () => {
  const address = ['--service-url', 'pulsar://10.0.0.5:6650', '--vpc', 'vpc-1'];
  expect((await cloud.rule(...CREATE, ...address)).err).toContain(
    'has no such private address (it has: http://pulsar-abc',
  );
  expect(await cloud.rule(...CREATE, ...address, '--subnet', 'subnet-1')).toMatchObject({ code: 0 });
  const elsewhere = await cloud.rule(
    ...CREATE.map((one) => (one === 'orders-backup' ? 'other' : one)),
    '--subnet',
    'subnet-9',
  );
  expect(elsewhere.err).toContain('--subnet subnet-9: does not exist in ap-guangzhou');
});

test('Of several addresses one must be chosen', async () => {
  cloud.cluster.access.push({ vpcId: 'vpc-1', subnetId: 'subnet-1', address: 'pulsar-abc.second:8080' });
  expect((await cloud.rule(...CREATE)).err).toContain('has several private addresses');
  const chosen = await cloud.rule(...CREATE, '--service-url', 'http://pulsar-abc.second:8080');
  expect(chosen).toMatchObject({ code: 0 });
});

test('A namespace that drops unread messages soon, and no log topic, are warnings', async () => {
  const namespace = cloud.cluster.environments.get('default');
  if (namespace) namespace.ttlSeconds = 900;
  const ran = await cloud.rule(...CREATE);
  expect(ran.code).toBe(0);
  expect(ran.err).toContain('⚠ namespace default drops unread messages after 900 s');
  expect(ran.err).toContain('⚠ no CLS topic');
});

test('--no-reserve reserves no concurrency', async () => {
  await cloud.rule(...CREATE, '--no-reserve');
  expect(cloud.api.state.functions.get('orders-backup')?.reservedMemory).toBeUndefined();
});

test('create --json answers one object', async () => {
  const ran = await cloud.rule(...CREATE, '--json');
  expect(JSON.parse(ran.out)).toEqual({
    rule: 'orders-backup',
    region: 'ap-guangzhou',
    intervalMinutes: 5,
    instances: 1,
    warnings: [expect.stringContaining('no CLS topic')],
  });
  const again = await cloud.rule(...CREATE, '--json');
  expect(again.code).toBe(1);
  expect(JSON.parse(again.out)).toMatchObject({ error: { code: 'config', hint: expect.any(String) } });
});
