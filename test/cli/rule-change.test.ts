// rule pause, resume, run, edit, delete and export, API keys, help: through the real SDK against the loopback cloud.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ScfFunction } from '../../src/local/cloud-api/state.ts';
import { CREATE, deployByHand, ROLE_KEY, type RuleCloud, startRuleCloud, tracesIn } from './rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

test('pause and resume switch the timer and nothing else', async () => {
  const fn = deployByHand(cloud, 'orders-backup');
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
    deployByHand(cloud, 'orders-backup');
    cloud.api.state.run = () => ({ result: summary });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('42 messages in 1 objects, 4.2 kB (caught_up)');
  });

  test('of a long function is started and asked about until it has ended', async () => {
    deployByHand(cloud, 'orders-backup', { timeout: 900 });
    cloud.api.state.run = () => ({ result: summary });
    expect((await cloud.rule('run', 'orders-backup')).out).toContain('42 messages');
    expect(cloud.api.calls.map((call) => call.action)).toContain('GetRequestStatus');
  });

  test.each([285, 900])('tells the reason of a failed run (time limit %i s)', async (timeout) => {
    deployByHand(cloud, 'orders-backup', { timeout });
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
    deployByHand(cloud, 'orders-backup');
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

  test('--unset sets a setting back to its default, whatever flag stands for it', async () => {
    const fn = await cloud.createOrders('--set', 'FILE_COMPRESSION=gzip');
    await cloud.rule(
      'edit',
      'orders-backup',
      '--unset',
      'FILE_COMPRESSION',
      '--unset',
      'COS_PREFIX',
      '--yes',
    );
    expect(fn.environment).not.toHaveProperty('FILE_COMPRESSION');
    expect(fn.environment).not.toHaveProperty('COS_PREFIX');
    expect((await cloud.rule('edit', 'orders-backup', '--unset', 'COS_SSE', '--yes')).code).toBe(2);
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
    expect(tracesIn(cloud)).toMatchObject({ functions: [], subscriptions: [{ name: 'backup' }] });
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
    deployByHand(cloud, 'orders-backup');
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
  test('of the function’s spelling are taken too', async () => {
    const { secretId, secretKey, token = '' } = cloud.api.account;
    const env = {
      ...{ TENCENTCLOUD_SECRET_ID: '', TENCENTCLOUD_SECRET_KEY: '', TENCENTCLOUD_TOKEN: '' },
      TENCENTCLOUD_SECRETID: secretId,
      TENCENTCLOUD_SECRETKEY: secretKey,
      TENCENTCLOUD_SESSIONTOKEN: token,
    };
    expect((await cloud.ruleWith({ env }, 'list')).code).toBe(0);
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
