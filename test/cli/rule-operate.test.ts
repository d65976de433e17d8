// list, show, logs, pause, resume, run, edit, delete, export: each through the real SDK against the loopback cloud.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ScfFunction } from '../../src/local/cloud-api/state.ts';
import { CREATE, ROLE_KEY, type RuleCloud, startRuleCloud, tracesIn } from './rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

/** A function as serverless.yml would have made it. */
function deployByHand(name: string, given: Partial<ScfFunction> = {}): ScfFunction {
  const fn: ScfFunction = {
    name,
    region: 'ap-guangzhou',
    status: 'Active',
    pollsLeft: 0,
    zip: new Uint8Array(),
    handler: 'index.main_handler',
    runtime: 'Nodejs18.15',
    description: '',
    memory: 512,
    timeout: 285,
    environment: {
      RULE_NAME: name,
      PULSAR_SERVICE_URL: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:8080',
      PULSAR_TOPIC: 'pulsar-abc/default/orders',
      PULSAR_SUBSCRIPTION: 'backup',
      PULSAR_TOKEN: ROLE_KEY,
      COS_BUCKET: 'archive-1250000000',
      COS_REGION: 'ap-guangzhou',
      COS_PREFIX: 'tdmq/orders/',
      RUN_INTERVAL_MINUTES: '5',
    },
    vpc: { VpcId: 'vpc-1', SubnetId: 'subnet-1' },
    publicNet: true,
    role: 'run-role',
    cls: { logsetId: 'log-set', topicId: 'log-topic' },
    tags: [{ Key: 'tdmq-backup', Value: name }],
    triggers: [
      {
        name: 'every-5-minutes',
        type: 'timer',
        cron: '0 */5 * * * * *',
        open: true,
        qualifier: '$DEFAULT',
        argument: 'tdmq-backup',
      },
    ],
    reservedMemory: undefined,
    retry: { retryNum: 2, ttlSeconds: 21_600 },
    addTime: '2026-01-01 00:00:00',
    modTime: '2026-01-01 00:00:00',
    ...given,
  };
  cloud.api.state.functions.set(name, fn);
  subscribe();
  return fn;
}

function subscribe(backlog = 7) {
  const subscription = { name: 'backup', consumers: [], backlog, type: '', resetTo: undefined };
  cloud.cluster.environments.get('default')?.topics.get('orders')?.subscriptions.set('backup', subscription);
}

let runs = 0;
/** A line of a run in the log topic, as SCF writes it there. */
function log(name: string, minutesAgo: number, line: Record<string, unknown>): string {
  const requestId = String(line['requestId'] ?? `request-${++runs}`);
  const fields = { rule: name, requestId, ...line };
  cloud.api.state.logTopics.get('log-topic')?.push({
    timeMs: Date.now() - minutesAgo * 60_000,
    fields: {
      SCF_FunctionName: name,
      SCF_RequestId: requestId,
      SCF_Type: 'Custom',
      SCF_StatusCode: '202',
      SCF_Message: JSON.stringify(fields),
    },
  });
  return requestId;
}

const finished = {
  message: 'run finished',
  stopReason: 'caught_up',
  messages: 1200,
  objects: 3,
  recordBytes: 345_678,
};
const finish = (minutesAgo: number, more: object = {}) =>
  log('orders-backup', minutesAgo, { ...finished, durationMs: 2100, ...more });
const fail = (minutesAgo: number, errorMessage: string, more: object = {}) =>
  log('orders-backup', minutesAgo, {
    message: 'run failed',
    stopReason: 'failed',
    messages: 0,
    errorMessage,
    ...more,
  });

const rowOf = (out: string, name: string) => out.split('\n').find((line) => line.startsWith(name)) ?? '';

describe('list', () => {
  test('finds rules by their tag alone, whoever made them, on every page', async () => {
    for (let i = 0; i < 130; i++) deployByHand(`other-${i}`, { tags: [] });
    deployByHand('orders-backup');
    deployByHand('by-hand', { tags: [{ Key: 'tdmq-backup', Value: 'another-name' }] });
    const ran = await cloud.rule('list', '--json');
    const { rules } = JSON.parse(ran.out) as { rules: { name: string; function: string }[] };
    expect(rules.map((one) => [one.name, one.function])).toEqual([
      ['another-name', 'by-hand'],
      ['orders-backup', 'orders-backup'],
    ]);
  });

  test('shows state, last run, messages and backlog in plain columns', async () => {
    deployByHand('orders-backup');
    finish(3);
    const ran = await cloud.rule('list');
    expect(ran.code).toBe(0);
    expect(rowOf(ran.out, 'orders-backup')).toMatch(/active +3 min ago +3 min ago +1,200 +7$/);
    expect(ran.out).not.toContain('\u001b');
  });

  test('an empty region says how to begin', async () => {
    expect((await cloud.rule('list')).out).toContain('rule create');
  });
});

describe('the state of a rule is', () => {
  const stateOf = async () => {
    const ran = await cloud.rule('list', '--json');
    const [rule] = (JSON.parse(ran.out) as { rules: { state: string; reason?: string }[] }).rules;
    return { ...rule, code: ran.code };
  };
  beforeEach(() => {
    deployByHand('orders-backup');
  });

  test('active after a good run', async () => {
    fail(12, 'COS refused');
    finish(2);
    expect(await stateOf()).toMatchObject({ state: 'active', code: 0 });
  });

  test('paused when its timer is off', async () => {
    await cloud.rule('pause', 'orders-backup');
    expect(await stateOf()).toMatchObject({ state: 'paused', code: 0 });
  });

  test.each([
    ['bucket missing', 'COS says that the bucket does not exist', { detailCode: 'NoSuchBucket' }],
    ['permission denied', 'COS refuses the run role', { detailCode: 'AccessDenied' }],
    ['permission denied', 'the broker refuses: AuthorizationError', {}],
    ['source missing', 'the broker says TopicNotFound', {}],
    ['failing', 'the connection was reset', {}],
  ])('%s when the last run failed with "%s"', async (state, message, more) => {
    finish(10);
    fail(2, message, more);
    expect(await stateOf()).toMatchObject({ state, reason: message, code: 1 });
  });

  test('source missing when the topic is gone', async () => {
    finish(2);
    cloud.cluster.environments.get('default')?.topics.clear();
    expect(await stateOf()).toMatchObject({ state: 'source missing', reason: 'topic orders does not exist' });
  });

  test('source missing when the cluster is gone', async () => {
    cloud.api.state.clusters.clear();
    expect((await stateOf()).reason).toContain('cluster pulsar-abc');
  });

  test('failing when SCF ended the run without a line of ours', async () => {
    cloud.api.state.logTopics.get('log-topic')?.push({
      timeMs: Date.now() - 60_000,
      fields: { SCF_FunctionName: 'orders-backup', SCF_RequestId: 'killed', SCF_StatusCode: '433' },
    });
    expect(await stateOf()).toMatchObject({
      state: 'failing',
      reason: 'SCF ended the run at its time limit',
    });
  });

  test('failing when its timer has fallen silent', async () => {
    finish(60);
    expect((await stateOf()).reason).toContain('no run for 60 minutes');
  });

  test('falling behind when run after run ends at its limit', async () => {
    finish(7, { stopReason: 'deadline' });
    finish(2, { stopReason: 'deadline' });
    expect(await stateOf()).toMatchObject({ state: 'falling behind', code: 1 });
  });

  test('falling behind when the oldest message nears the namespace’s time to live', async () => {
    finish(2, { backlogOldestPublishTime: new Date(Date.now() - 10 * 86_400_000).toISOString() });
    expect((await stateOf()).reason).toContain('the namespace drops messages after 360 h');
  });

  test('still told when the log service and TDMQ cannot be asked', async () => {
    cloud.api.fail({ action: 'cls:SearchLog', code: 'UnauthorizedOperation', times: 9 });
    cloud.api.fail({ action: 'tdmq:DescribePulsarProInstances', code: 'UnauthorizedOperation', times: 9 });
    expect(await stateOf()).toMatchObject({ state: 'active' });
    expect((await cloud.rule('show', 'orders-backup')).err).toContain('grant');
  });
});

test('show tells settings without secrets, the timer and the last run', async () => {
  deployByHand('orders-backup');
  finish(3);
  const ran = await cloud.rule('show', 'orders-backup');
  expect(ran.out).toContain('PULSAR_TOKEN=[secret]');
  expect(ran.out).toContain('1,200 messages in 3 objects, 345.7 kB');
  expect(ran.out).toContain('0 */5 * * * * * (on)');
});

test('A rule that does not exist is told with those that do', async () => {
  deployByHand('orders-backup');
  const ran = await cloud.rule('show', 'orders');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('there is no rule "orders" in ap-guangzhou');
  expect(ran.err).toContain('Rules of this region: orders-backup');
});

describe('logs', () => {
  beforeEach(() => {
    deployByHand('orders-backup');
  });

  test('are a table of runs, the newest last, with the hint of the last failure', async () => {
    finish(20);
    const id = fail(5, 'COS answered SlowDown', { hint: 'Wait.' });
    const lines = (await cloud.rule('logs', 'orders-backup')).out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/time +result +messages +objects +bytes +duration +request +error/);
    expect(lines[1]).toMatch(/caught_up +1,200 +3 +345\.7 kB +2\.1 s/);
    expect(lines[2]).toMatch(new RegExp(`failed +0 +0 +0 B +– +${id} +COS answered SlowDown`));
    expect(lines[3]).toBe('→ Wait.');
  });

  test('--errors shows failed runs only, --since and --limit bound them', async () => {
    finish(20);
    fail(50, 'old');
    fail(10, 'newer');
    fail(5, 'newest');
    const ran = await cloud.rule('logs', 'orders-backup', '--errors', '--since', '30m', '--json');
    const errors = ran.out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { error: string }).error);
    expect(errors).toEqual(['newer', 'newest']);
    const one = await cloud.rule('logs', 'orders-backup', '--errors', '--limit', '1', '--json');
    expect(one.out.trimEnd().split('\n')).toHaveLength(1);
  });

  test('more runs than a page holds are read page by page', async () => {
    for (let i = 0; i < 1_300; i++) finish(i / 10);
    const ran = await cloud.rule('logs', 'orders-backup', '--limit', '1250', '--json');
    expect(ran.out.trimEnd().split('\n')).toHaveLength(1_250);
  });

  test('of another function in the same topic are not shown', async () => {
    log('another', 3, finished);
    expect((await cloud.rule('logs', 'orders-backup')).out).toContain('No runs');
  });

  test('--request shows every line of one run', async () => {
    const requestId = 'the-one';
    log('orders-backup', 3, { requestId, message: 'run started', driver: 'wire' });
    log('orders-backup', 2, { requestId, message: 'object stored', key: 'a/b.jsonl' });
    finish(1, { requestId });
    finish(1);
    const lines = (await cloud.rule('logs', 'orders-backup', '--request', requestId)).out
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toContain('object stored  key="a/b.jsonl"');
  });

  test('lines that SCF has taken apart into fields are read as well', async () => {
    cloud.api.state.run = (_fn, _event, requestId) => ({ lines: [{ ...finished, requestId }] });
    await cloud.rule('run', 'orders-backup');
    cloud.api.state.logTopics.get('log-topic')?.forEach((line) => {
      delete line.fields['SCF_Message'];
    });
    expect((await cloud.rule('logs', 'orders-backup')).out).toContain('caught_up');
  });

  test('--follow goes on until Ctrl-C', async () => {
    const interrupt = new AbortController();
    finish(2);
    const ran = cloud.ruleWith({ signal: interrupt.signal }, 'logs', 'orders-backup', '--follow');
    cloud.api.onCall = (call) => {
      if (call.action === 'SearchLog' && String(call.request['QueryString']).includes('StatusCode'))
        interrupt.abort();
    };
    expect((await ran).out).toContain('caught_up');
  });

  test('without a log topic it says how to switch logs on', async () => {
    deployByHand('orders-backup', { cls: undefined });
    const ran = await cloud.rule('logs', 'orders-backup');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('tdmq-backup rule edit orders-backup --cls-logset ID --cls-topic ID');
  });
});

test('pause and resume switch the timer and nothing else', async () => {
  const fn = deployByHand('orders-backup');
  expect((await cloud.rule('pause', 'orders-backup')).out).toContain('is now paused');
  expect(fn.triggers[0]?.open).toBe(false);
  expect((await cloud.rule('pause', 'orders-backup')).out).toContain('is already paused');
  expect((await cloud.rule('resume', 'orders-backup', '--json')).out).toBe(
    '{"rule":"orders-backup","state":"active"}\n',
  );
  expect(fn.triggers[0]?.open).toBe(true);
});

describe('run', () => {
  const summary = { stopReason: 'caught_up', messages: 42, objects: 1, recordBytes: 4200 };

  test('waits and tells what the run stored', async () => {
    deployByHand('orders-backup');
    cloud.api.state.run = () => ({ result: summary });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('42 messages in 1 objects, 4.2 kB (caught_up)');
  });

  test('of a long function is started and asked about until it has ended', async () => {
    deployByHand('orders-backup', { timeout: 900 });
    cloud.api.state.run = () => ({ result: summary });
    expect((await cloud.rule('run', 'orders-backup')).out).toContain('42 messages');
    expect(cloud.api.calls.map((call) => call.action)).toContain('GetRequestStatus');
  });

  test.each([285, 900])('tells the reason of a failed run (time limit %i s)', async (timeout) => {
    deployByHand('orders-backup', { timeout });
    cloud.api.state.run = () => ({ error: 'the bucket does not exist' });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran.code).toBe(1);
    expect(ran.out).toContain('the run failed: the bucket does not exist');
    expect(ran.out).toMatch(/rule logs orders-backup --request [0-9a-f-]{36}/);
  });
});

describe('edit', () => {
  test('shows the difference and changes settings, timer and concurrency', async () => {
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
      triggers: [{ cron: '0 */10 * * * * *', open: true }],
      environment: { FILE_COMPRESSION: 'gzip', RUN_INTERVAL_MINUTES: '10', PULSAR_TOKEN: ROLE_KEY },
    });
  });

  test('explains what another topic, subscription or prefix means', async () => {
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

  test('of nothing changes nothing, also for a rule that serverless.yml made', async () => {
    deployByHand('orders-backup');
    const ran = await cloud.rule('edit', 'orders-backup', '--interval', '5', '--yes');
    expect(ran.out).toContain('Nothing to change');
    expect(cloud.api.calls.filter((call) => /^(Update|Put|Create)/.test(call.action))).toEqual([]);
  });

  test('takes back what was done when a step fails', async () => {
    const fn = await cloud.createOrders();
    const before = structuredClone({
      memory: fn.memory,
      environment: fn.environment,
      reserved: fn.reservedMemory,
    });
    cloud.api.fail({ action: 'scf:UpdateTrigger', code: 'FailedOperation', message: 'refused by the test' });
    const ran = await cloud.rule('edit', 'orders-backup', '--interval', '10', '--memory', '1024', '--yes');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('refused by the test');
    expect({ memory: fn.memory, environment: fn.environment, reserved: fn.reservedMemory }).toEqual(before);
  });

  test('to Failover gives the concurrency free, and back reserves it again', async () => {
    const fn = await cloud.createOrders();
    await cloud.rule('edit', 'orders-backup', '--subscription-type', 'failover', '--yes');
    expect(fn.reservedMemory).toBeUndefined();
    await cloud.rule('edit', 'orders-backup', '--subscription-type', 'exclusive', '--yes');
    expect(fn.reservedMemory).toBe(512);
  });

  test('replaces the code only when asked', async () => {
    const fn = await cloud.createOrders();
    writeFileSync(cloud.zip, 'PK newer code');
    await cloud.rule('edit', 'orders-backup', '--memory', '640', '--yes');
    expect(Buffer.from(fn.zip).toString()).not.toContain('newer');
    await cloud.rule('edit', 'orders-backup', '--update-code', '--yes');
    expect(Buffer.from(fn.zip).toString()).toContain('newer');
  });

  test('of the role reads its key anew, and to runtime takes it out of the function', async () => {
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

  test('asks on a terminal, and no means no', async () => {
    const fn = await cloud.createOrders();
    const no = await cloud.ruleOnTerminal(['edit', 'orders-backup', '--memory', '1024'], ['n']);
    expect(no.err).toContain('Nothing was changed');
    expect(fn.memory).toBe(512);
    await cloud.ruleOnTerminal(['edit', 'orders-backup', '--memory', '1024'], ['y']);
    expect(fn.memory).toBe(1024);
  });
});

describe('delete', () => {
  test('deletes the function and says what remains', async () => {
    await cloud.createOrders();
    const ran = await cloud.rule('delete', 'orders-backup', '--yes');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('the stored objects under archive-1250000000/tdmq/orders/');
    expect(ran.out).toContain('the subscription backup, which goes on collecting messages');
    expect(tracesIn(cloud)).toMatchObject({ functions: [], subscriptions: ['backup'] });
  });

  test('takes the subscription and its own run role along when told to', async () => {
    await cloud.createOrders();
    await cloud.rule('delete', 'orders-backup', '--delete-subscription', '--delete-run-role', '--yes');
    expect(tracesIn(cloud)).toEqual({ functions: [], roles: [], policies: [], subscriptions: [] });
  });

  test('does not touch a run role that it has not made', async () => {
    cloud.api.state.camRoles.set('run-role', {
      name: 'run-role',
      trust: 'scf.qcloud.com',
      description: '',
      policies: new Set(),
    });
    deployByHand('orders-backup');
    const ran = await cloud.rule('delete', 'orders-backup', '--delete-run-role', '--yes');
    expect(ran.err).toContain('was not made by tdmq-backup');
    expect(cloud.api.state.functions.has('orders-backup')).toBe(true);
  });

  test('asks, and without a terminal wants --yes', async () => {
    await cloud.createOrders();
    expect((await cloud.rule('delete', 'orders-backup')).code).toBe(2);
    await cloud.ruleOnTerminal(['delete', 'orders-backup'], ['']);
    expect(cloud.api.state.functions.has('orders-backup')).toBe(true);
  });
});

describe('export', () => {
  test('writes what create --file makes the same rule from', async () => {
    const fn = await cloud.createOrders('--set', 'FILE_COMPRESSION=zstd', '--interval', '10');
    const path = join(cloud.folder, '.env.orders');
    const ran = await cloud.rule('export', 'orders-backup', '--out', path);
    expect(ran.out).toContain('holds the role key');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const before = structuredClone({ ...fn, addTime: '', modTime: '' });
    cloud.api.state.functions.clear();
    const again = await cloud.rule('create', '--file', path, '--yes');
    expect(again).toMatchObject({ code: 0 });
    const after = cloud.api.state.functions.get('orders-backup') as ScfFunction;
    for (const key of ['memory', 'timeout', 'role', 'vpc', 'cls', 'tags'] as const)
      expect(after[key]).toEqual(before[key]);
    expect(after.environment).toMatchObject(before.environment);
  });

  test('sets every variable that serverless.yml reads, or comments it out', async () => {
    await cloud.createOrders();
    const path = join(cloud.folder, '.env.orders');
    await cloud.rule('export', 'orders-backup', '--out', path);
    const written = readFileSync(path, 'utf8');
    const yml = readFileSync(new URL('../../serverless.yml', import.meta.url), 'utf8');
    const active = yml
      .split('\n')
      .filter((line) => !line.trim().startsWith('#'))
      .join('\n');
    for (const [, name] of active.matchAll(/\$\{env:(\w+)\}/g))
      expect(written).toMatch(new RegExp(`^#?${name}=`, 'm'));
  });

  test('does not write over a file unless told to', async () => {
    await cloud.createOrders();
    const path = join(cloud.folder, '.env.orders');
    writeFileSync(path, 'mine');
    expect((await cloud.rule('export', 'orders-backup', '--out', path)).err).toContain('--force');
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect((await cloud.rule('export', 'orders-backup', '--out', path, '--force')).code).toBe(0);
  });
});

describe('API keys', () => {
  const { TENCENTCLOUD_SECRET_ID: _id, TENCENTCLOUD_SECRET_KEY: _key, ...none } = process.env;
  const without = {
    ...Object.fromEntries(Object.keys(none).map((name) => [name, ''])),
    TENCENTCLOUD_SECRET_ID: '',
    TENCENTCLOUD_SECRET_KEY: '',
    TENCENTCLOUD_TOKEN: '',
  };

  test('of the function’s spelling are taken too', async () => {
    const { secretId, secretKey, token = '' } = cloud.api.account;
    const env = {
      ...without,
      TENCENTCLOUD_SECRETID: secretId,
      TENCENTCLOUD_SECRETKEY: secretKey,
      TENCENTCLOUD_SESSIONTOKEN: token,
    };
    expect(
      (
        await cloud.ruleWith(
          { env: { ...env, HOME: cloud.folder, TENCENTCLOUD_REGION: 'ap-guangzhou' } },
          'list',
        )
      ).code,
    ).toBe(0);
  });

  test('that are wrong are refused by their signature, with what to check', async () => {
    const ran = await cloud.ruleWith({ env: { TENCENTCLOUD_SECRET_KEY: 'wrong' } }, 'list');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('AuthFailure.SignatureFailure');
    expect(ran.err).toContain('TENCENTCLOUD_SECRET_ID');
  });

  test('that lack a permission are told which one to grant', async () => {
    cloud.api.fail({ action: 'scf:ListFunctions', code: 'UnauthorizedOperation.CAM' });
    expect((await cloud.rule('list')).err).toContain('grant them scf:ListFunctions');
  });
});

test('Each command has its own help with an example', async () => {
  for (const name of [
    'create',
    'list',
    'show',
    'edit',
    'logs',
    'pause',
    'resume',
    'run',
    'delete',
    'export',
  ]) {
    const ran = await cloud.rule(name, '--help');
    expect(ran.code).toBe(0);
    expect(ran.out).toContain(`Usage: tdmq-backup rule ${name}`);
    expect(ran.out).toMatch(new RegExp(`Examples?:\\n {2}tdmq-backup rule ${name}`));
  }
  expect((await cloud.rule('--help')).out).toContain('delete   delete it');
});

test('Wrong usage is told in one line, exit code 2', async () => {
  for (const args of [
    ['show'],
    ['show', 'a', 'b'],
    ['nothing'],
    ['logs', 'a', '--limit', 'x'],
    ['list', '--wrong'],
  ]) {
    expect((await cloud.rule(...args)).code).toBe(2);
  }
});

test('Each rule command fits the flags that create takes', async () => {
  expect((await cloud.rule(...CREATE, '--unknown')).code).toBe(2);
});
