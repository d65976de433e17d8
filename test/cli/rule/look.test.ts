// rule list and show, through the real SDK against the loopback cloud.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ScfFunction } from '../../stand-ins/cloud-api/state.ts';
import { deployByHand, fail, finish, logReport, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

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
    finish(cloud, 3);
    const ran = await cloud.rule('list');
    expect(ran.code).toBe(0);
    expect(rowOf(ran.out, 'orders-backup')).toMatch(/active +3 min ago +3 min ago +1,200 +7$/);
    expect(ran.out).not.toContain('\u001b');
  });

  test('an empty region says how to begin', async () => {
    expect((await cloud.rule('list')).out).toContain('rule create');
  });
});

interface Shown {
  readonly state: string;
  readonly reason?: string;
  readonly hint?: string;
  readonly lastSuccessAt?: string;
  readonly unknown: readonly string[];
}

describe('The state of a rule', () => {
  let fn: ScfFunction;
  beforeEach(() => {
    fn = deployByHand(cloud, 'orders-backup');
  });

  const stateOf = async () => {
    const ran = await cloud.rule('list', '--json');
    const [rule] = (JSON.parse(ran.out) as { rules: Shown[] }).rules;
    return { ...(rule as Shown), code: ran.code };
  };
  const orders = () => cloud.cluster.environments.get('default')?.topics.get('orders');
  const forget = (names: Map<string, unknown> | undefined) => names?.clear();

  /** What is done to the rule, the state it is in then, and words of reason and hint. */
  const unwell: readonly (readonly [
    state: string,
    what: string,
    reason: string,
    hint: string,
    () => unknown,
  ])[] = [
    [
      'paused',
      'its timer is off',
      'the timer is off',
      'rule resume',
      () => fn.triggers.map((one) => (one.open = false)),
    ],
    ['paused', 'it has no timer', 'the function has no timer', 'SCF console', () => fn.triggers.splice(0)],
    [
      'failing',
      'SCF could not make the function',
      'As the test asked',
      'SCF console',
      () => (fn.status = 'CreateFailed'),
    ],
    [
      'failing',
      'a setting is wrong',
      'FILE_MAX_BYTES',
      'rule edit',
      () => (fn.environment['FILE_MAX_BYTES'] = 'x'),
    ],
    [
      'source missing',
      'the cluster is gone',
      'cluster pulsar-abc',
      'rule edit',
      () => cloud.api.state.clusters.clear(),
    ],
    [
      'source missing',
      'the cluster is isolated',
      'not in its normal state',
      'arrears',
      () => (cloud.cluster.status = 2),
    ],
    [
      'source missing',
      'the namespace is gone',
      'namespace default',
      'rule edit',
      () => forget(cloud.cluster.environments),
    ],
    [
      'source missing',
      'the topic is gone',
      'topic orders does not exist',
      'rule edit',
      () => forget(cloud.cluster.environments.get('default')?.topics),
    ],
    [
      'source missing',
      'the subscription is gone after a run',
      'subscription backup',
      'The next run makes it again',
      () => [finish(cloud, 2), forget(orders()?.subscriptions)],
    ],
    [
      'bucket missing',
      'there is no such bucket',
      'no bucket gone-1250000000 in ap-guangzhou',
      'rule edit',
      () => (fn.environment['COS_BUCKET'] = 'gone-1250000000'),
    ],
    [
      'bucket missing',
      'COS said so to the last run',
      'cannot store the object',
      'Check COS_BUCKET',
      () =>
        fail(cloud, 2, 'cannot store the object', { detailCode: 'NoSuchBucket', hint: 'Check COS_BUCKET' }),
    ],
    [
      'permission denied',
      'COS refused the last run',
      'cannot store the object',
      'needs cos:PutObject',
      () =>
        fail(cloud, 2, 'cannot store the object', {
          detailCode: 'AccessDenied',
          hint: 'needs cos:PutObject',
        }),
    ],
    [
      'permission denied',
      'the broker refused the last run',
      'was refused',
      'rule logs orders-backup --request',
      () => fail(cloud, 2, 'was refused', { detailServerError: 'AuthorizationError' }),
    ],
    [
      'permission denied',
      'the native driver was refused',
      'subscribe failed',
      'rule logs',
      () => fail(cloud, 2, 'subscribe failed', { detailResult: 'AuthenticationError' }),
    ],
    [
      'permission denied',
      'the TDMQ API refused the run role',
      'cannot be read',
      'rule logs',
      () => fail(cloud, 2, 'The key cannot be read', { detailApiCode: 'UnauthorizedOperation' }),
    ],
    [
      'source missing',
      'the TDMQ role is gone',
      'There is no TDMQ role',
      'rule logs',
      () => fail(cloud, 2, 'There is no TDMQ role x in cluster y'),
    ],
    [
      'source missing',
      'the broker did not know the topic',
      'answered 404',
      'rule logs',
      () => fail(cloud, 2, 'x answered 404', { errorCode: 'source', detailHttpStatus: 404 }),
    ],
    [
      'failing',
      'the last run failed',
      'was reset',
      'rule logs',
      () => [finish(cloud, 9), fail(cloud, 2, 'the connection was reset')],
    ],
    [
      'failing',
      'SCF ended the run without a line of ours',
      'SCF ended the run at its time limit',
      'rule logs',
      () => logReport(cloud, 'orders-backup', 1, 'killed', { SCF_StatusCode: '433' }),
    ],
    ['failing', 'its timer has fallen silent', 'no run for 60 minutes', 'rule run', () => finish(cloud, 60)],
    ['failing', 'it has never run', 'no run has left a log line within a day', 'rule run', () => {}],
    [
      'failing',
      'somebody else holds its subscription',
      'in use by somebody else',
      'subscription of its own',
      () =>
        [40, 35, 30, 25, 20, 15, 10, 5, 1].map((ago) =>
          finish(cloud, ago, { stopReason: 'busy', messages: 0 }),
        ),
    ],
    [
      'subscription moved',
      'a run of the last day found its subscription moved, whatever came after it',
      '600 minutes ago a run found its subscription moved in 2 partition(s)',
      'rule logs orders-backup --request',
      () => {
        finish(cloud, 600, { subscriptionMoved: 2 });
        for (let ago = 595; ago > 0; ago -= 5) finish(cloud, ago);
      },
    ],
    [
      'falling behind',
      'run after run ends at its limit',
      'ended at their time limit',
      '--memory 1024',
      () => [7, 2].map((ago) => finish(cloud, ago, { stopReason: 'deadline' })),
    ],
    [
      'falling behind',
      'its backlog grows',
      'the backlog grows from run to run, to 900',
      'drops messages that waited 360 h',
      () => [700, 800, 900].map((backlogEntries, i) => finish(cloud, 12 - 5 * i, { backlogEntries })),
    ],
    [
      'falling behind',
      'the broker hands out nothing of its backlog, and nobody knows why',
      'got nothing of a backlog of 60000',
      'unload of the topic',
      () =>
        [12, 7, 2].map((ago) =>
          finish(cloud, ago, { backlogEntries: 60_000, heldBack: 'incomplete chunks, unknown' }),
        ),
    ],
  ];

  test.each(unwell)('is %s when %s, with reason and hint in words', async (state, _, reason, hint, make) => {
    make();
    const found = await stateOf();
    expect(found).toMatchObject({ state, code: state === 'paused' ? 0 : 1 });
    expect(found.reason).toContain(reason);
    expect(found.hint).toContain(hint);
    const list = await cloud.rule('list');
    expect(rowOf(list.out, 'orders-backup')).toContain(`${state} `);
    expect(list.out).toContain(`→ orders-backup: ${found.hint}`);
    const show = await cloud.rule('show', 'orders-backup');
    expect(show.out).toContain(`${state}: ${found.reason}`);
    expect(show.out).toContain(`→ ${found.hint}`);
    expect(show.code).toBe(found.code);
  });

  test.each<[string, () => unknown]>([
    ['after a good run', () => [fail(cloud, 12, 'COS refused'), finish(cloud, 2)]],
    [
      'while a transaction is open',
      () => [12, 7, 2].map((ago) => finish(cloud, ago, { backlogEntries: 3, heldBack: 'open transaction' })),
    ],
    [
      'after a run that SCF repeated with success',
      () => {
        const requestId = fail(cloud, 3, 'COS refused');
        finish(cloud, 2, { requestId }, { SCF_RetryNum: '1' });
      },
    ],
    [
      'while one long run keeps its next ticks off',
      () => {
        finish(cloud, 12);
        for (const ago of [7, 2]) finish(cloud, ago, { stopReason: 'busy', messages: 0 });
      },
    ],
    [
      'while what lingers grows',
      () =>
        [700, 800, 900].map((lingeringMessages, i) =>
          finish(cloud, 12 - 5 * i, { lingeringMessages, backlogEntries: 0 }),
        ),
    ],
    [
      'while its backlog shrinks',
      () => [900, 800, 700].map((backlogEntries, i) => finish(cloud, 12 - 5 * i, { backlogEntries })),
    ],
    [
      'when one run alone met its limit',
      () => [finish(cloud, 7), finish(cloud, 2, { stopReason: 'deadline' })],
    ],
  ])('is active %s', async (_, make) => {
    make();
    expect(await stateOf()).toMatchObject({ state: 'active', code: 0 });
    expect(await stateOf()).not.toHaveProperty('hint');
  });

  test('counts no run as a success that found its subscription in use', async () => {
    finish(cloud, 7);
    const before = (await stateOf()).lastSuccessAt;
    finish(cloud, 2, { stopReason: 'busy', messages: 0 });
    expect((await stateOf()).lastSuccessAt).toBe(before);
  });

  test('is still told when log service, TDMQ and COS cannot be asked, and what is not known', async () => {
    cloud.api.fail({ action: 'cls:SearchLog', code: 'UnauthorizedOperation', times: 9 });
    cloud.api.fail({ action: 'tdmq:DescribePulsarProInstances', code: 'UnauthorizedOperation', times: 9 });
    cloud.cos.addFault({
      kind: 'headBucket',
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const found = await stateOf();
    expect(found).toMatchObject({ state: 'active' });
    expect(found.unknown.map((one) => one.split(':')[0])).toEqual(['runs', 'source', 'bucket']);
    expect((await cloud.rule('show', 'orders-backup')).err).toContain('grant');
  });
});

test('show reports settings without secrets, the timer and the last run', async () => {
  deployByHand(cloud, 'orders-backup');
  finish(cloud, 3);
  const ran = await cloud.rule('show', 'orders-backup');
  expect(ran.out).toContain('PULSAR_TOKEN=[secret]');
  expect(ran.out).toContain('1,200 messages in 3 objects, 345.7 kB');
  expect(ran.out).toContain('0 */5 * * * * * (on)');
});

test('what lingers is shown apart from the backlog, also from that which TDMQ counts', async () => {
  deployByHand(cloud, 'orders-backup');
  const lingeringOldestPublishTime = new Date(cloud.clock.now() - 40 * 60_000).toISOString();
  finish(cloud, 3, { lingeringMessages: 5, lingeringOldestPublishTime });
  expect((await cloud.rule('show', 'orders-backup')).out).toMatch(
    /backlog +2 messages\n +lingering +5 messages, the oldest published 40 min ago\n/,
  );
  expect(rowOf((await cloud.rule('list')).out, 'orders-backup')).toMatch(/ +2$/);
  expect(JSON.parse((await cloud.rule('list', '--json')).out)).toMatchObject({
    rules: [{ state: 'active', backlog: 2, lingering: 5 }],
  });
});

test('A rule that does not exist is reported with those that do', async () => {
  deployByHand(cloud, 'orders-backup');
  const ran = await cloud.rule('show', 'orders');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('there is no rule "orders" in ap-guangzhou');
  expect(ran.err).toContain('Rules of this region: orders-backup');
});

test('a rule that never ran says so, in the list and in show', async () => {
  await cloud.createOrders();
  const [list, show] = [await cloud.rule('list'), await cloud.rule('show', 'orders-backup')];
  expect(list.out).toMatch(/orders-backup +active +never +never .*no run yet; one begins every 5 minutes/);
  expect(show.out).toMatch(/state +active: no run yet/);
  expect(show.out).toMatch(/last run +never\n/);
  expect(show.code).toBe(0);
});
