import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deployByHand, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

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

test('pause of several timers is done or undone, whichever of them fails', async () => {
  const fn = deployByHand(cloud, 'orders-backup');
  fn.triggers.push({ ...(fn.triggers[0] as (typeof fn.triggers)[0]), name: 'at-night' });
  cloud.api.fail({ action: 'scf:UpdateTriggerStatus', after: 1, code: 'FailedOperation' });
  const ran = await cloud.rule('pause', 'orders-backup');
  expect(ran.code).toBe(1);
  expect(fn.triggers.map((one) => one.open)).toEqual([true, true]);
  cloud.api.fail({ action: 'scf:UpdateTriggerStatus', after: 1, code: 'FailedOperation', times: 9 });
  expect((await cloud.rule('pause', 'orders-backup')).err).toContain(
    'left behind: the timer every-5-minutes, off (scf:UpdateTriggerStatus failed: As the test asked. (FailedOperation)). By hand: tdmq-backup rule resume orders-backup --region ap-guangzhou',
  );
});

test('pause and resume of a rule without a timer say what to do', async () => {
  deployByHand(cloud, 'orders-backup', { triggers: [] });
  const ran = await cloud.rule('resume', 'orders-backup');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('has no timer');
});

describe('run', () => {
  const summary = { stopReason: 'caught_up', messages: 42, objects: 1, recordBytes: 4200 };

  test('waits and reports what the run stored', async () => {
    deployByHand(cloud, 'orders-backup');
    cloud.api.state.run = () => ({ result: summary });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toContain('42 messages in 1 objects, 4.2 kB (caught_up)');
  });

  test('says what lingers, apart from what it stored', async () => {
    deployByHand(cloud, 'orders-backup');
    const lingering = { messages: 1_234, oldestPublishTime: '2026-11-28T08:00:00.000Z' };
    cloud.api.state.run = () => ({ result: { ...summary, lingering } });
    expect((await cloud.rule('run', 'orders-backup')).out).toContain('(caught_up); 1,234 linger');
  });

  test('that returned no summary is no success, though SCF names no error', async () => {
    deployByHand(cloud, 'orders-backup');
    cloud.api.state.run = () => ({ result: null });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran.code).toBe(1);
    expect(ran.out + ran.err).toContain('the function returned no summary of a run');
  });

  test('of a long function is started and asked about until it has ended', async () => {
    deployByHand(cloud, 'orders-backup', { timeout: 900 });
    cloud.api.state.run = () => ({ result: summary });
    expect((await cloud.rule('run', 'orders-backup')).out).toContain('42 messages');
    expect(cloud.api.calls.map((call) => call.action)).toContain('GetRequestStatus');
  });

  test.each([285, 900])('reports the reason of a failed run (time limit %i s)', async (timeout) => {
    deployByHand(cloud, 'orders-backup', { timeout });
    cloud.api.state.run = () => ({ error: 'the bucket does not exist' });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran.code).toBe(1);
    expect(ran.out).toContain('the run failed: the bucket does not exist');
    expect(ran.out).toMatch(/rule logs orders-backup --request [0-9a-f-]{36}/);
  });

  test('of more than a quarter of an hour is still found', async () => {
    deployByHand(cloud, 'orders-backup', { timeout: 900 });
    cloud.api.state.run = () => ({ result: summary });
    cloud.api.onCall = (call) => {
      if (call.action !== 'GetRequestStatus') return;
      cloud.api.onCall = () => {};
      for (const run of cloud.api.state.asyncRuns.values()) run.startedMs -= 3 * 60_000;
      // The API looks back from now, which is later by the time of the run.
      cloud.api.state.now = () => Date.now() + 15 * 60_000;
    };
    expect((await cloud.rule('run', 'orders-backup')).out).toContain('42 messages');
  });

  test.each([285, 900])(
    'with --json answers one object, its exit code that of the run (%i s)',
    async (timeout) => {
      deployByHand(cloud, 'orders-backup', { timeout });
      cloud.api.state.run = () => ({ result: summary });
      const good = await cloud.rule('run', 'orders-backup', '--json');
      expect(good.code).toBe(0);
      expect(JSON.parse(good.out)).toMatchObject({ result: 'ok', summary });
      cloud.api.state.run = () => ({ error: 'the bucket does not exist' });
      const bad = await cloud.rule('run', 'orders-backup', '--json');
      expect(bad.code).toBe(1);
      expect(JSON.parse(bad.out)).toMatchObject({ result: 'failed', error: 'the bucket does not exist' });
    },
  );

  test('that SCF does not start because one is under way says so', async () => {
    deployByHand(cloud, 'orders-backup');
    cloud.api.fail({ action: 'scf:Invoke', code: 'LimitExceeded.FunctionOnTopic' });
    const ran = await cloud.rule('run', 'orders-backup');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('its one instance is busy');
    expect(ran.err).toContain('rule logs');
  });

  test('whose start was not answered is not started a second time', async () => {
    deployByHand(cloud, 'orders-backup');
    let starts = 0;
    cloud.api.state.run = () => {
      starts++;
      return { result: summary };
    };
    cloud.api.fail({ action: 'scf:Invoke', cut: 'after' });
    expect((await cloud.rule('run', 'orders-backup')).code).toBe(1);
    expect(starts).toBe(1);
  });

  test('goes on in the cloud when Ctrl-C ends the command', async () => {
    deployByHand(cloud, 'orders-backup', { timeout: 900 });
    const interrupt = new AbortController();
    cloud.api.onCall = (call) => {
      if (call.action === 'GetRequestStatus') interrupt.abort(new Error('stopped by SIGINT'));
    };
    const ran = await cloud.ruleWith({ signal: interrupt.signal }, 'run', 'orders-backup');
    expect(ran.code).toBe(130);
    expect(ran.err).toMatch(
      /goes on in the cloud: tdmq-backup rule logs orders-backup --request [0-9a-f-]{36}/,
    );
  });
});
