import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CREATE, deployByHand, type RuleCloud, startRuleCloud } from './rule-cloud.ts';

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
