// rule list and show, through the real SDK against the loopback cloud.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deployByHand, log, logReport, type RuleCloud, startRuleCloud } from './rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

const finished = {
  message: 'run finished',
  stopReason: 'caught_up',
  messages: 1200,
  objects: 3,
  recordBytes: 345_678,
};
const finish = (minutesAgo: number, more: object = {}) =>
  log(cloud, 'orders-backup', minutesAgo, { ...finished, durationMs: 2100, ...more });
const fail = (minutesAgo: number, errorMessage: string, more: object = {}) =>
  log(cloud, 'orders-backup', minutesAgo, {
    message: 'run failed',
    stopReason: 'failed',
    messages: 0,
    errorMessage,
    ...more,
  });

const rowOf = (out: string, name: string) => out.split('\n').find((line) => line.startsWith(name)) ?? '';

describe('list', () => {
  test('finds rules by their tag alone, whoever made them, on every page', async () => {
    for (let i = 0; i < 130; i++) deployByHand(cloud, `other-${i}`, { tags: [] });
    deployByHand(cloud, 'orders-backup');
    deployByHand(cloud, 'by-hand', { tags: [{ Key: 'tdmq-backup', Value: 'another-name' }] });
    const ran = await cloud.rule('list', '--json');
    const { rules } = JSON.parse(ran.out) as { rules: { name: string; function: string }[] };
    expect(rules.map((one) => [one.name, one.function])).toEqual([
      ['another-name', 'by-hand'],
      ['orders-backup', 'orders-backup'],
    ]);
  });

  test('shows state, last run, messages and backlog in plain columns', async () => {
    deployByHand(cloud, 'orders-backup');
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
    deployByHand(cloud, 'orders-backup');
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
    logReport(cloud, 'orders-backup', 1, 'killed', { SCF_StatusCode: '433' });
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
  deployByHand(cloud, 'orders-backup');
  finish(3);
  const ran = await cloud.rule('show', 'orders-backup');
  expect(ran.out).toContain('PULSAR_TOKEN=[secret]');
  expect(ran.out).toContain('1,200 messages in 3 objects, 345.7 kB');
  expect(ran.out).toContain('0 */5 * * * * * (on)');
});

test('A rule that does not exist is told with those that do', async () => {
  deployByHand(cloud, 'orders-backup');
  const ran = await cloud.rule('show', 'orders');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('there is no rule "orders" in ap-guangzhou');
  expect(ran.err).toContain('Rules of this region: orders-backup');
});
