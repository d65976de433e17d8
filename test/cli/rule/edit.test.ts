// rule edit: what is shown and asked, what is changed, and that a failure in the middle restores what was.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../stand-ins/cloud-api/faults.ts';
import type { ScfFunction } from '../../stand-ins/cloud-api/state.ts';
import {
  deployByHand,
  ROLE_KEY,
  type RuleCloud,
  startRuleCloud,
  subscribe,
  tracesIn,
} from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

test('edit shows the difference and changes settings, timer and concurrency', async () => {
  const fn = await cloud.createOrders();
  const ran = await cloud.rule(
    ...['edit', 'orders-backup', '--interval', '10', '--memory', '1024'],
    ...['--set', 'FILE_COMPRESSION=gzip', '--yes'],
  );
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.out).toContain('- memory 512 MB');
  expect(ran.out).toContain('+ FILE_COMPRESSION gzip');
  expect(ran.out).toContain('⚠ FILE_COMPRESSION: objects get another ending');
  expect(fn).toMatchObject({
    memory: 1024,
    reservedMemory: 1024,
    retry: { ttlSeconds: 600 },
    triggers: [{ name: 'every-10-minutes', cron: '0 */10 * * * * *', open: true }],
    environment: { FILE_COMPRESSION: 'gzip', RUN_INTERVAL_MINUTES: '10', PULSAR_TOKEN: ROLE_KEY },
  });
});

test('edit sets and ends a linger, and refuses one on a subscription without order', async () => {
  const fn = await cloud.createOrders('--linger', '30');
  expect(fn.environment).toMatchObject({ FILE_LINGER_MINUTES: '30' });
  const edit = (...args: string[]) => cloud.rule('edit', 'orders-backup', ...args, '--yes');
  expect((await edit('--linger', '60')).out).toContain('+ FILE_LINGER_MINUTES 60');
  expect(fn.environment).toMatchObject({ FILE_LINGER_MINUTES: '60' });
  const refused = await edit('--subscription-type', 'shared');
  expect(refused.code).not.toBe(0);
  expect(refused.err).toContain(
    'FILE_LINGER_MINUTES=60 needs PULSAR_SUBSCRIPTION_TYPE exclusive or failover',
  );
  const namespace = cloud.cluster.environments.get('default');
  if (namespace) namespace.ttlSeconds = 5_400;
  expect((await edit('--linger', '61')).out).toContain(
    'drops unread messages after 5400 s, and messages linger for 3660 s',
  );
  await edit('--unset', 'FILE_LINGER_MINUTES');
  expect(fn.environment).not.toHaveProperty('FILE_LINGER_MINUTES');
});

test('edit explains what another topic, subscription or prefix means', async () => {
  await cloud.createOrders();
  cloud.cluster.environments
    .get('default')
    ?.topics.set('bills', { name: 'bills', partitions: 0, subscriptions: new Map() });
  const ran = await cloud.rule(
    ...[
      'edit',
      'orders-backup',
      '--topic',
      'bills',
      '--subscription',
      'other',
      '--prefix',
      'new/',
      '--dry-run',
    ],
  );
  for (const name of ['PULSAR_TOPIC', 'PULSAR_SUBSCRIPTION', 'COS_PREFIX']) {
    expect(ran.out).toContain(`⚠ ${name}: another`);
  }
  expect(ran.out).toContain('tdmq:CreateSubscription');
  expect(cloud.api.state.functions.get('orders-backup')?.environment['COS_PREFIX']).toBe('tdmq/orders/');
});

test('edit keeps variables that somebody else gave the function', async () => {
  const fn = await cloud.createOrders();
  fn.environment = { ...fn.environment, TZ: 'Asia/Shanghai', NODE_OPTIONS: '--trace-gc' };
  const ran = await cloud.rule('edit', 'orders-backup', '--interval', '10', '--yes');
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.out).not.toContain('TZ');
  expect(cloud.api.state.functions.get('orders-backup')?.environment).toMatchObject({
    ...{ TZ: 'Asia/Shanghai', NODE_OPTIONS: '--trace-gc', RUN_INTERVAL_MINUTES: '10' },
  });
});

test('edit of nothing changes nothing, also for a rule that serverless.yml made', async () => {
  deployByHand(cloud, 'orders-backup');
  const ran = await cloud.rule('edit', 'orders-backup', '--interval', '5', '--yes');
  expect(ran.out).toContain('Nothing to change');
  expect(cloud.api.calls.filter((call) => /^(Update|Put|Create)/.test(call.action))).toEqual([]);
});

test('edit to Failover gives the concurrency free, and back reserves it again', async () => {
  const fn = await cloud.createOrders();
  await cloud.rule('edit', 'orders-backup', '--subscription-type', 'failover', '--yes');
  expect(fn.reservedMemory).toBeUndefined();
  await cloud.rule('edit', 'orders-backup', '--subscription-type', 'exclusive', '--yes');
  expect(fn.reservedMemory).toBe(512);
});

test('edit --unset sets a setting back to its default, whatever flag stands for it', async () => {
  const fn = await cloud.createOrders('--set', 'FILE_COMPRESSION=gzip');
  await cloud.rule('edit', 'orders-backup', '--unset', 'FILE_COMPRESSION', '--unset', 'COS_PREFIX', '--yes');
  expect(fn.environment).not.toHaveProperty('FILE_COMPRESSION');
  expect(fn.environment).not.toHaveProperty('COS_PREFIX');
  expect((await cloud.rule('edit', 'orders-backup', '--unset', 'COS_SSE', '--yes')).code).toBe(2);
});

test('edit replaces the code only when asked', async () => {
  const fn = await cloud.createOrders();
  writeFileSync(cloud.zip, 'PK newer code');
  await cloud.rule('edit', 'orders-backup', '--memory', '640', '--yes');
  expect(Buffer.from(fn.zip).toString()).not.toContain('newer');
  await cloud.rule('edit', 'orders-backup', '--update-code', '--yes');
  expect(Buffer.from(fn.zip).toString()).toContain('newer');
});

test('edit of the role reads its key anew, and to runtime takes it out of the function', async () => {
  const fn = await cloud.createOrders();
  cloud.cluster.roles.set('second', {
    name: 'second',
    token: `${ROLE_KEY}-2`,
    grants: new Map([['default', ['consume']]]),
  });
  await cloud.rule('edit', 'orders-backup', '--tdmq-role', 'second', '--yes');
  expect(fn.environment['PULSAR_TOKEN']).toBe(`${ROLE_KEY}-2`);
  await cloud.rule('edit', 'orders-backup', '--tdmq-role', 'second', '--role-key', 'runtime', '--yes');
  expect(fn.environment).toMatchObject({ TDMQ_ROLE_NAME: 'second', TDMQ_CLUSTER_ID: 'pulsar-abc' });
  expect(fn.environment).not.toHaveProperty('PULSAR_TOKEN');
});

test('edit asks on a terminal, and no means no', async () => {
  const fn = await cloud.createOrders();
  const no = await cloud.ruleOnTerminal(['edit', 'orders-backup', '--memory', '1024'], ['no']);
  expect(no.err).toContain('Nothing was changed');
  expect(fn.memory).toBe(512);
  await cloud.ruleOnTerminal(['edit', 'orders-backup', '--memory', '1024'], ['yes']);
  expect(fn.memory).toBe(1024);
});

test('edit keeps the name, whatever a file says, and moves no subscription for the start in a file', async () => {
  await cloud.createOrders();
  subscribe(cloud);
  const file = join(cloud.folder, 'rule.yml');
  writeFileSync(file, 'name: another\n');
  const renamed = await cloud.rule('edit', 'orders-backup', '--file', file, '--yes');
  expect(renamed).toMatchObject({ code: 2 });
  expect(renamed.err).toContain('a rule keeps its name');
  expect((await cloud.rule('edit', 'orders-backup', '--name', 'another', '--yes')).code).toBe(2);

  writeFileSync(file, 'name: orders-backup\nstart: earliest\nmemory: 640\n');
  expect(await cloud.rule('edit', 'orders-backup', '--file', file, '--yes')).toMatchObject({ code: 0 });
  expect(tracesIn(cloud)).toMatchObject({
    functions: [{ memory: 640 }],
    subscriptions: [{ resetTo: undefined }],
  });
  const moved = await cloud.rule('edit', 'orders-backup', '--start', 'earliest', '--yes');
  expect(moved.out).toContain('⚠ position: a position moved back stores messages a second time');
  expect(tracesIn(cloud)).toMatchObject({ subscriptions: [{ resetTo: 1 }] });
});

test('edit --unset takes the log topic away', async () => {
  const fn = await cloud.createOrders();
  const unset = ['--unset', 'DEPLOY_CLS_TOPIC_ID', '--unset', 'DEPLOY_CLS_LOGSET_ID'];
  expect(await cloud.rule('edit', 'orders-backup', ...unset, '--yes')).toMatchObject({ code: 0 });
  expect(fn.cls).toBeUndefined();
});

test('edit shows that a secret is another one, and not the secret', async () => {
  await cloud.createOrders();
  const file = join(cloud.folder, '.env.new');
  writeFileSync(file, 'PULSAR_TOKEN=another-role-key-of-the-test\n');
  const ran = await cloud.rule('edit', 'orders-backup', '--file', file, '--yes');
  expect(ran.out).toContain('+ PULSAR_TOKEN another [secret]');
  expect(ran.out + ran.err).not.toContain('another-role-key-of-the-test');
});

test('edit --json reports difference, meaning and, dry, the calls', async () => {
  await cloud.createOrders();
  const dry = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--dry-run', '--json');
  expect(JSON.parse(dry.out)).toMatchObject({
    rule: 'orders-backup',
    difference: [
      {
        name: 'COS_PREFIX',
        before: 'tdmq/orders/',
        after: 'new/',
        meaning: expect.stringContaining('archive'),
      },
    ],
    calls: [{ call: 'cam:UpdatePolicy' }, { call: 'scf:UpdateFunctionConfiguration' }],
  });
  const done = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes', '--json');
  expect(JSON.parse(done.out)).not.toHaveProperty('calls');
  const again = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes', '--json');
  expect(JSON.parse(again.out)).toMatchObject({ difference: [] });
});

describe('A run role that tdmq-backup made', () => {
  const documents = () => [...cloud.api.state.camPolicies.values()].map((one) => one.document);

  test('is allowed to write to the new bucket and prefix, and to read keys where the function does', async () => {
    await cloud.createOrders();
    const ran = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.err).toContain('✓ let the run role tdmq-backup-orders-backup do what the rule now does');
    expect(documents()[0]).toContain('archive-1250000000/new/*');
    expect(documents()[0]).not.toContain('tdmq/orders/');
    const runtime = ['--role-key', 'runtime', '--tdmq-role', 'backup-reader'];
    expect(await cloud.rule('edit', 'orders-backup', ...runtime, '--yes')).toMatchObject({ code: 0 });
    expect(documents()[0]).toContain('tdmq:DescribeRoles');
  });

  test('is left alone where the change needs no more, or where somebody has changed its policy', async () => {
    await cloud.createOrders();
    const calm = await cloud.rule('edit', 'orders-backup', '--memory', '640', '--yes');
    expect(calm.err).not.toContain('run role');
    const [policy] = cloud.api.state.camPolicies.values();
    if (policy) policy.document = JSON.stringify({ version: '2.0', statement: [] });
    const ran = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes');
    expect(ran.code).toBe(0);
    expect(ran.out).toContain(
      '⚠ the run role tdmq-backup-orders-backup must be allowed what is in policies/run-role.json, for the new place',
    );
    expect(documents()).toEqual(['{"version":"2.0","statement":[]}']);
  });

  test('has its policy set back when a later step fails', async () => {
    await cloud.createOrders();
    const before = documents();
    cloud.api.fail({ action: 'scf:UpdateFunctionConfiguration', code: 'FailedOperation' });
    expect((await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes')).code).toBe(1);
    expect(documents()).toEqual(before);
  });

  test('of somebody else is not touched, and what it needs is said', async () => {
    const { camRoles } = cloud.api.state;
    camRoles.set('run-role', {
      name: 'run-role',
      trust: 'scf.qcloud.com',
      description: '',
      policies: new Set(),
    });
    deployByHand(cloud, 'orders-backup');
    const ran = await cloud.rule('edit', 'orders-backup', '--prefix', 'new/', '--yes', '--json');
    expect(JSON.parse(ran.out)).toMatchObject({
      warnings: [expect.stringContaining('the run role run-role must be')],
    });
  });
});

test('edit puts a rule right whose settings are wrong', async () => {
  const fn = deployByHand(cloud, 'orders-backup');
  cloud.api.state.camRoles.set('run-role', {
    name: 'run-role',
    trust: 'scf',
    description: '',
    policies: new Set(),
  });
  fn.environment['COS_PREFIX'] = '/wrong';
  expect(await cloud.rule('edit', 'orders-backup', '--prefix', 'right/', '--yes')).toMatchObject({ code: 0 });
  expect(fn.environment['COS_PREFIX']).toBe('right/');
});

describe('An edit of everything, broken at each of its calls, is done or undone', () => {
  const EDIT = [
    ...['edit', 'orders-backup', '--subscription', 'other', '--prefix', 'new/', '--memory', '1024'],
    ...['--interval', '10', '--run-role', 'tdmq-backup-new', '--create-run-role', '--update-code', '--yes'],
  ];
  const CALLS: readonly (readonly [action: string, after: number])[] = [
    ['cam:CreateRole', 0],
    ['cam:CreatePolicy', 0],
    ['cam:AttachRolePolicy', 0],
    ['tdmq:CreateSubscription', 0],
    ['tdmq:ResetMsgSubOffsetByTimestamp', 0],
    ['scf:UpdateFunctionConfiguration', 0],
    ['scf:GetFunction', 1],
    ['scf:GetFunction', 2],
    ['scf:PutReservedConcurrencyConfig', 0],
    ['scf:UpdateFunctionEventInvokeConfig', 0],
    ['scf:CreateTrigger', 0],
    ['scf:DeleteTrigger', 0],
    ['scf:UpdateFunctionCode', 0],
    ['scf:GetFunction', 3],
    ['scf:GetFunction', 4],
  ];
  const nameOf = ({ service, action }: { service: string; action: string }) => `${service}:${action}`;
  /** New code is not undone; that is said. */
  const withoutCode = () => {
    const { functions, ...rest } = tracesIn(cloud) as { functions: ScfFunction[] };
    return { ...rest, functions: functions.map(({ zip: _zip, ...fn }) => fn) };
  };
  const codeOf = () => Buffer.from(cloud.api.state.functions.get('orders-backup')?.zip ?? []).toString();

  async function edited(
    faultOf: (action: string, after: number) => Fault | 'Ctrl-C',
    action: string,
    after: number,
  ) {
    await cloud.createOrders();
    writeFileSync(cloud.zip, 'PK newer code');
    cloud.api.state.pollsUntilActive = 1;
    cloud.api.calls.splice(0);
    const before = withoutCode();
    const fault = faultOf(action, after);
    const interrupt = new AbortController();
    if (fault !== 'Ctrl-C') cloud.api.fail(fault);
    else {
      let seen = 0;
      cloud.api.onCall = (call) => {
        if (nameOf(call) === action && seen++ === after) interrupt.abort(new Error('stopped by SIGINT'));
      };
    }
    const ran = await cloud.ruleWith({ signal: interrupt.signal }, ...EDIT);
    const hasNewCode = codeOf().includes('newer');
    if (ran.code === 0) {
      expect(withoutCode()).not.toEqual(before);
      expect(hasNewCode).toBe(true);
    } else {
      expect(withoutCode()).toEqual(before);
      expect(ran.err.includes('undone: orders-backup has the new code')).toBe(
        hasNewCode || (action === 'scf:UpdateFunctionCode' && ran.err.includes('perhaps')),
      );
    }
    return ran;
  }

  test('The table has every call once it has begun', async () => {
    await edited(() => ({ action: 'none' }), '', 0);
    const names = cloud.api.calls.map(nameOf);
    const made = names.map((name, i) => [name, names.slice(0, i).filter((one) => one === name).length]);
    expect(made.slice(names.indexOf('cam:CreateRole'))).toEqual(CALLS);
  });

  describe.each(CALLS)('%s (after %i of them)', (action, after) => {
    test.each<[string, number, Omit<Fault, 'action'> | 'Ctrl-C']>([
      ['is refused', 1, { code: 'FailedOperation' }],
      ['fails inside the service again and again', 1, { code: 'InternalError', times: 5 }],
      ['loses its connection for good before it is done', 1, { cut: 'before', times: 5 }],
      ['loses its connection for good after it is done', 1, { cut: 'after', times: 5 }],
      ['is where Ctrl-C is pressed', 130, 'Ctrl-C'],
    ])('%s', async (_, code, fault) => {
      const ran = await edited(
        (name, count) => (fault === 'Ctrl-C' ? fault : { action: name, after: count, ...fault }),
        action,
        after,
      );
      // A timer that is found removed is removed.
      const isDone = action === 'scf:DeleteTrigger' && fault !== 'Ctrl-C' && fault.cut === 'after';
      expect(ran.code).toBe(isDone ? 0 : code);
      expect(ran.err).not.toContain('left behind');
    });
  });
});

test('An edit that cannot be undone says what is left, and how to set it back', async () => {
  await cloud.createOrders();
  cloud.api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation' });
  cloud.api.fail({
    action: 'scf:UpdateFunctionConfiguration',
    after: 1,
    code: 'FailedOperation',
    message: 'stuck',
  });
  const ran = await cloud.rule('edit', 'orders-backup', '--interval', '10', '--yes');
  expect(ran.err).toMatch(
    /left behind: the new settings of orders-backup \(.*stuck.*\)\. By hand: tdmq-backup rule show/,
  );
});

test('edit without a change says how to name one', async () => {
  await cloud.createOrders();
  const ran = await cloud.rule('edit', 'orders-backup');
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('say what to change, such as --interval 10');
});

describe('a rule of serverless.yml', () => {
  const hint =
    /The rule was deployed with serverless.yml: the next `scf deploy` .*`tdmq-backup rule export orders-backup`/;
  beforeEach(() => {
    const policies = new Set<number>();
    const role = { name: 'run-role', trust: 'scf.qcloud.com', description: '', policies };
    cloud.api.state.camRoles.set('run-role', role);
  });

  test('is reported after edit and pause that the next deployment undoes them', async () => {
    const fn = deployByHand(cloud, 'orders-backup');
    const edited = await cloud.rule('edit', 'orders-backup', '--memory', '1024', '--yes');
    expect(edited, edited.err).toMatchObject({ code: 0, out: expect.stringMatching(hint) });
    for (const args of [[], ['--json']]) {
      const paused = await cloud.rule('pause', 'orders-backup', ...args);
      expect(paused).toMatchObject({ code: 0, out: expect.stringMatching(hint) });
      expect(paused.out).toContain('enable: false');
    }
    expect((await cloud.rule('resume', 'orders-backup')).out).not.toMatch(hint);
    // Deployed before its description said so.
    fn.description = 'Keeps the messages of a TDMQ for Apache Pulsar topic in COS';
    expect((await cloud.rule('pause', 'orders-backup')).out).toMatch(hint);
  });

  test('is reported of no rule that `rule create` made', async () => {
    await cloud.createOrders();
    const ran = await cloud.rule('edit', 'orders-backup', '--memory', '1024', '--yes');
    expect(ran.out + (await cloud.rule('pause', 'orders-backup')).out).not.toContain('scf deploy');
  });

  test('gets with --instances the concurrency and the retries of a new rule, and once', async () => {
    const fn = deployByHand(cloud, 'orders-backup');
    expect(fn).toMatchObject({ reservedMemory: undefined, retry: { ttlSeconds: 21_600 } });
    const args = ['edit', 'orders-backup', '--instances', '1', '--yes'];
    const edited = await cloud.rule(...args);
    expect(edited).toMatchObject({ code: 0 });
    // A deployment leaves both.
    expect(edited.out).not.toContain('scf deploy');
    expect(fn).toMatchObject({ reservedMemory: 512, retry: { retryNum: 2, ttlSeconds: 300 } });
    expect((await cloud.rule(...args)).out).toContain('Nothing to change');
  });

  test('gets back what it had where a later step fails', async () => {
    const fn = deployByHand(cloud, 'orders-backup');
    cloud.api.fail({ action: 'scf:UpdateFunctionEventInvokeConfig', code: 'InvalidParameterValue' });
    const ran = await cloud.rule('edit', 'orders-backup', '--instances', '1', '--yes');
    expect(ran).toMatchObject({ code: 1 });
    expect(fn).toMatchObject({ reservedMemory: undefined, retry: { ttlSeconds: 21_600 } });
  });
});
