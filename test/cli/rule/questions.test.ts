// rule create on a terminal: what it asks, from lists of what the account has, and what it makes of the answers.
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seedCluster } from '../../stand-ins/cloud-api/state.ts';
import { CREATE, ROLE_KEY, type RuleCloud, startRuleCloud, subscribe, tracesIn } from '../rule-cloud.ts';
import { CTRL_C, CTRL_U, ESC, literally } from '../typist.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
});
afterEach(() => cloud.close());

test('On a terminal it asks, with lists of what the account has', async () => {
  cloud.cluster.environments.set('prod', { name: 'prod', ttlSeconds: 600, topics: new Map() });
  cloud.cluster.environments.get('default')?.topics.set('bills', {
    name: 'bills',
    partitions: 0,
    subscriptions: new Map(),
  });
  const ran = await cloud.ruleOnTerminal(
    ['create'],
    [
      ...['asked', 'default', 'bills', '', 'failover', 'earliest'],
      ...[
        'Archive',
        'archive-1250000000',
        'a/',
        '',
        'an hour',
        '1000',
        '1024',
        '901',
        '',
        'log-topic',
        'make it',
      ],
    ],
  );
  expect(ran.err).toContain('expected 128 to 3072');
  expect(ran.err).toContain('expected 1 to 900');
  expect(ran.err).toContain("expected the bucket's full name");
  expect(ran).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('asked')).toMatchObject({
    cls: { logsetId: 'log-set', topicId: 'log-topic' },
    memory: 1024,
    timeout: 285,
    environment: {
      PULSAR_TOPIC: 'pulsar-abc/default/bills',
      PULSAR_SUBSCRIPTION_TYPE: 'failover',
      COS_PREFIX: 'a/',
      FILE_LINGER_MINUTES: '60',
    },
  });
});

test('A dumb terminal, which shows no lists, is not asked', async () => {
  const ran = await cloud.ruleOnTerminal(['create'], [], { TERM: 'dumb' });
  expect(ran).toMatchObject({ code: 1 });
  expect(ran.err).toContain('not given: --name');
  expect(cloud.api.calls.filter(({ action }) => /^(Create|Put|Update)/.test(action))).toEqual([]);
});

test('On a terminal, no means that nothing is made', async () => {
  const ran = await cloud.ruleOnTerminal(
    [
      ...CREATE.filter((one) => one !== '--yes'),
      '--start',
      'earliest',
      '--vpc',
      'vpc-1',
      '--interval',
      '5',
      '--run-role',
      'r',
      ...FUNCTION,
    ],
    ['own topic', 'make nothing'],
  );
  expect(ran.code).toBe(1);
  expect(ran.out).toContain('Calls in ap-guangzhou');
  expect(ran.err).toContain('Nothing was made');
  expect(cloud.api.state.functions.size).toBe(0);
});

test('Buckets of the region are listed to pick from, where the keys may see them', async () => {
  const list = ['archive-1250000000', 'elsewhere-1250000000', 'other-1250000000'].map(
    (name) =>
      `<Bucket><Name>${name}</Name><Location>${name.startsWith('else') ? 'ap-beijing' : 'ap-guangzhou'}</Location></Bucket>`,
  );
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.headers.host} ${request.headers.authorization}`);
    response.setHeader('content-type', 'application/xml');
    response.end(
      request.method === 'HEAD'
        ? undefined
        : `<ListAllMyBucketsResult><Buckets>${list.join('')}</Buckets></ListAllMyBucketsResult>`,
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    const without = CREATE.filter((one) => !['--bucket', 'archive-1250000000', '--yes'].includes(one));
    const ran = await cloud.ruleOnTerminal(
      [
        ...without,
        '--start',
        'earliest',
        '--vpc',
        'vpc-1',
        '--interval',
        '5',
        '--run-role',
        'r',
        ...FUNCTION,
      ],
      ['other-1250000000', 'own topic', 'make it'],
      { TENCENTCLOUD_COS_ENDPOINT: `http://127.0.0.1:${port}` },
    );
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.err).not.toContain('elsewhere');
    expect(cloud.api.state.functions.get('orders-backup')?.environment['COS_BUCKET']).toBe(
      'other-1250000000',
    );
    expect(seen[0]).toContain('GET cos.ap-guangzhou.myqcloud.com');
    expect(seen[0]).toContain(`q-ak=${cloud.api.account.secretId}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

/** What nobody is asked for in most tests. */
const FUNCTION = ['--subscription-type', 'exclusive', '--linger', '0', '--memory', '512', '--timeout', '285'];

/** All that can be given but these flags, which are asked for. */
const without = (...flags: string[]) => {
  const args = [...CREATE, '--start', 'earliest', '--vpc', 'vpc-1', '--interval', '5', '--run-role', 'r'];
  args.push('--cls-logset', 'log-set', '--cls-topic', 'log-topic', ...FUNCTION);
  for (const flag of ['--yes', ...flags]) {
    const hasValue = flag !== '--yes' && flag !== '--create-run-role';
    args.splice(args.indexOf(flag), hasValue ? 2 : 1);
  }
  return args;
};

/** The answers, and then the rule is made. */
const ask = (args: string[], answers: string[]) => cloud.ruleOnTerminal(args, [...answers, 'make it']);

test('The command that does the same without questions is shown, and does the same', async () => {
  const asked = await ask(without('--prefix', '--interval', '--run-role'), ["it's/", '10']);
  expect(asked).toMatchObject({ code: 0 });
  const made = tracesIn(cloud);
  const [, flags = ''] = /tdmq-backup rule (create .*--yes)/.exec(asked.err) ?? [];
  expect(flags).toContain("--prefix 'it'\\''s/'");
  await cloud.close();
  cloud = await startRuleCloud();
  const args = [...flags.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain as string) : quoted.replaceAll("'\\''", "'"),
  );
  expect(await cloud.rule(...args)).toMatchObject({ code: 0 });
  expect(tracesIn(cloud)).toEqual(made);
});

test('A name that a function has is reported at once, and asked for again', async () => {
  await cloud.rule(...CREATE);
  subscribe(cloud);
  const ran = await ask(without('--name', '--start'), [
    'orders-backup',
    '1bad-',
    'orders-again',
    'where the',
  ]);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).toContain('a function of this name exists in ap-guangzhou');
  expect([...cloud.api.state.functions.keys()]).toEqual(['orders-backup', 'orders-again']);
});

test('A long list is searched by a part of the name', async () => {
  for (let i = 0; i < 30; i++) {
    const name = `bills-${i}`;
    cloud.cluster.environments
      .get('default')
      ?.topics.set(name, { name, partitions: 0, subscriptions: new Map() });
  }
  const ran = await ask(without('--topic'), ['LLS-27']);
  expect(ran).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('orders-backup')?.environment['PULSAR_TOPIC']).toBe(
    'pulsar-abc/default/bills-27',
  );
});

describe('Going back', () => {
  test('asks the question before again, with the answer that it had', async () => {
    const args = without('--prefix', '--interval', '--memory');
    const ran = await ask(args, ['first/', '10', ESC, ESC, 'second/', '', '']);
    expect(ran).toMatchObject({ code: 0 });
    expect(cloud.api.state.functions.get('orders-backup')).toMatchObject({
      // The text of the answer before can be edited: here it was typed over at its end.
      environment: { COS_PREFIX: 'first/second/', RUN_INTERVAL_MINUTES: '10' },
    });
  });

  test('from the plan: any answer can be changed, and what follows from it is asked again, nothing else', async () => {
    cloud.cluster.environments.set('prod', { name: 'prod', ttlSeconds: 600, topics: new Map() });
    for (const topic of ['bills', 'invoices']) {
      cloud.cluster.environments
        .get('default')
        ?.topics.set(topic, { name: topic, partitions: 0, subscriptions: new Map() });
    }
    const ran = await ask(without('--topic', '--prefix', '--interval'), [
      ...['bills', '', '10', 'change an answer', 'Topic', 'invoices', ''],
    ]);
    expect(ran).toMatchObject({ code: 0 });
    expect(cloud.api.state.functions.get('orders-backup')?.environment).toMatchObject({
      PULSAR_TOPIC: 'pulsar-abc/default/invoices',
      COS_PREFIX: 'tdmq/invoices/',
      RUN_INTERVAL_MINUTES: '10',
    });
  });

  test('what the cloud refuses throws no answer away: it is shown, and an answer can be changed', async () => {
    const ran = await ask(without('--bucket', '--interval'), [
      ...['missing-1250000000', '10', 'change an answer', 'Bucket', `${CTRL_U}archive-1250000000`],
    ]);
    expect(ran.err).toContain('missing-1250000000');
    expect(ran).toMatchObject({ code: 0 });
    expect(cloud.api.state.functions.get('orders-backup')?.environment).toMatchObject({
      COS_BUCKET: 'archive-1250000000',
      RUN_INTERVAL_MINUTES: '10',
    });
  });

  test('Ctrl-C makes nothing, and prints the command that has the answers so far', async () => {
    const ran = await cloud.ruleOnTerminal(without('--prefix', '--interval'), ['kept/', CTRL_C]);
    expect(ran.code).toBe(130);
    expect(ran.err).toContain('--prefix kept/');
    // What is not answered yet is asked by it: it is no command that asks nothing.
    expect(ran.err).toContain('To go on from these answers:');
    expect(ran.err).not.toContain('--yes');
    expect(cloud.api.state.functions.size).toBe(0);
  });

  test('letters choose nothing: "maybe" makes no rule', async () => {
    // Then up, from the first choice to the last: to make nothing.
    const ran = await cloud.ruleOnTerminal(without('--prefix'), ['kept/', literally('maybe\u001b[A\r')]);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('Nothing was made');
    expect(cloud.api.state.functions.size).toBe(0);
  });
});

describe('The start', () => {
  test('is not asked for while consumers are connected: the subscription stays where it is', async () => {
    subscribe(cloud, { consumers: ['app-1'] });
    const ran = await ask(without('--start'), []);
    expect(ran.err).toMatch(/Start.*: where the subscription is/);
    expect(ran.code).toBe(0);
    expect(tracesIn(cloud)).toMatchObject({ subscriptions: [{ resetTo: undefined }] });
  });

  test('may be where a subscription is that exists, and not where one is new', async () => {
    const fresh = await ask(without('--start'), ['now on']);
    expect(fresh.err).not.toContain('where the subscription is');
    expect(fresh.code).toBe(0);
  });

  test('is a time that is checked as it is typed', async () => {
    const ran = await ask(without('--start'), [
      'a time',
      'yesterday',
      '2999-01-01T00:00:00Z',
      '2026-01-31T00:00:00Z',
    ]);
    expect(ran.code).toBe(0);
    expect(ran.err).toContain('is in the future');
    expect(tracesIn(cloud)).toMatchObject({
      subscriptions: [{ resetTo: Date.parse('2026-01-31T00:00:00Z') }],
    });
  });
});

test('Where the subnet of the address is full, those of its VPC with free addresses are offered', async () => {
  const { subnets } = cloud.api.state;
  const subnet = { vpcId: 'vpc-1', region: 'ap-guangzhou', name: 'spare' };
  for (const [id, freeIps] of [
    ['subnet-1', 0],
    ['subnet-2', 0],
    ['subnet-3', 9],
    ['subnet-4', 5],
  ] as const) {
    subnets.set(id, { ...subnet, id, freeIps });
  }
  subnets.set('subnet-9', { ...subnet, id: 'subnet-9', vpcId: 'vpc-2', freeIps: 50 });
  const ran = await ask(without('--vpc'), ['subnet-4']);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).toContain('subnet-3  spare, 9 free (subnet-1 has no free IP address)');
  expect(ran.err).not.toMatch(/[●○] subnet-[29]/);
  expect(cloud.api.state.functions.get('orders-backup')?.vpc).toEqual({
    VpcId: 'vpc-1',
    SubnetId: 'subnet-4',
  });
});

test('A run role is offered for creation with the least policy, and those that SCF may take on', async () => {
  const role = { description: '', policies: new Set<number>() };
  cloud.api.state.camRoles.set('ready', { ...role, name: 'ready', trust: '{"service":["scf.qcloud.com"]}' });
  cloud.api.state.camRoles.set('of-a-cvm', {
    ...role,
    name: 'of-a-cvm',
    trust: '{"service":["cvm.qcloud.com"]}',
  });
  const named = await ask(without('--run-role', '--create-run-role'), ['ready']);
  expect(named.err).toContain('make a new one with the least policy');
  expect(named.err).not.toContain('of-a-cvm');
  expect(cloud.api.state.functions.get('orders-backup')?.role).toBe('ready');
  await cloud.rule('delete', 'orders-backup', '--delete-subscription', '--yes');
  await ask(without('--run-role', '--create-run-role'), ['make a new one']);
  expect(cloud.api.state.functions.get('orders-backup')?.role).toBe('tdmq-backup-orders-backup');
});

test('Of several clusters and addresses those of the region are offered', async () => {
  seedCluster(cloud.api.state, { id: 'pulsar-two', token: ROLE_KEY });
  seedCluster(cloud.api.state, { id: 'pulsar-far', region: 'ap-beijing' });
  cloud.cluster.access.push({ vpcId: 'vpc-1', subnetId: 'subnet-1', address: 'pulsar-abc.second:8080' });
  const ran = await ask(without('--cluster', '--vpc'), ['abc', 'second']);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).not.toContain('pulsar-far');
  expect(cloud.api.state.functions.get('orders-backup')?.environment['PULSAR_SERVICE_URL']).toBe(
    'http://pulsar-abc.second:8080',
  );
});

test('An account that lacks what is asked for learns what to make first', async () => {
  cloud.cluster.roles.get('backup-reader')?.grants.clear();
  const ran = await ask(without('--tdmq-role'), []);
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('there is no role that may consume from default: make one in the console first');
});

test('An input that ends in the middle makes nothing', async () => {
  const ran = await cloud.ruleOnTerminal(without(), []);
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('the input ended before the question was answered');
  expect(cloud.api.state.functions.size).toBe(0);
});

test('Keys that may list no log topics, roles and subnets are asked for names, or not at all', async () => {
  for (const action of ['cls:DescribeTopics', 'cam:DescribeRoleList', 'vpc:DescribeSubnets']) {
    cloud.api.fail({ action, code: 'UnauthorizedOperation' });
  }
  const args = without('--vpc', '--run-role', '--cls-logset', '--cls-topic');
  expect(await ask(args, [])).toMatchObject({ code: 0 });
});

test('--yes asks nothing, also on a terminal', async () => {
  const ran = await cloud.ruleOnTerminal([...CREATE], []);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).not.toContain('Start');
});

test('What is given is not asked for: a run role to be made, and a key in a file, which no text repeats', async () => {
  const role = { description: '', policies: new Set<number>() };
  cloud.api.state.camRoles.set('ready', { ...role, name: 'ready', trust: '{"service":["scf.qcloud.com"]}' });
  const file = join(cloud.folder, '.env.orders');
  writeFileSync(file, `PULSAR_TOKEN=${ROLE_KEY}\n`);
  const ran = await ask([...without('--run-role', '--tdmq-role'), '--file', file], []);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).not.toContain('Run role');
  expect(ran.err).not.toContain('TDMQ role');
  expect(ran.err).not.toContain('PULSAR_TOKEN=');
  expect(cloud.api.state.functions.get('orders-backup')).toMatchObject({
    role: 'tdmq-backup-orders-backup',
    environment: { PULSAR_TOKEN: ROLE_KEY },
  });
});

test('How long what fills no file may wait is asked for, but not where others may get it meanwhile', async () => {
  const typed = await ask(without('--linger'), ['another time', '721', '30']);
  expect(typed).toMatchObject({ code: 0 });
  expect(typed.err).toContain('expected a whole number from 0 to 720');
  expect(cloud.api.state.functions.get('orders-backup')?.environment['FILE_LINGER_MINUTES']).toBe('30');
  const shared = await ask(without('--linger', '--subscription-type', '--name'), [
    'second',
    'shared: at least',
  ]);
  expect(shared).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('second')?.environment).not.toHaveProperty('FILE_LINGER_MINUTES');
});
