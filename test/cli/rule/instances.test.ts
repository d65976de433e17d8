// Several instances of a rule: one timer and one share of the reserved memory for each, made, changed, counted, and
// undone where a step fails.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../stand-ins/cloud-api/faults.ts';
import type { ScfFunction } from '../../stand-ins/cloud-api/state.ts';
import {
  CREATE,
  createWith,
  deployByHand,
  finish,
  type RuleCloud,
  startRuleCloud,
  tracesIn,
} from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
  const role = { name: 'run-role', trust: 'scf.qcloud.com', description: '', policies: new Set<number>() };
  cloud.api.state.camRoles.set('run-role', role);
});
afterEach(() => cloud.close());

const FAILOVER = ['--subscription-type', 'failover'];
const namesOf = (fn: ScfFunction) => fn.triggers.map(({ name }) => name);
const edit = (...flags: string[]) => cloud.rule('edit', 'orders-backup', ...flags, '--yes');
const callsOf = () => cloud.api.calls.map(({ action }) => action);
const three = ['every-5-minutes', 'every-5-minutes-2', 'every-5-minutes-3'];

test('create makes a timer for each instance, all with one cron, and reserves memory for all of them', async () => {
  const fn = await cloud.createOrders(...FAILOVER, '--instances', '3');
  expect(namesOf(fn)).toEqual(three);
  expect(new Set(fn.triggers.map(({ cron, open }) => `${cron} ${open}`))).toEqual(
    new Set(['0 */5 * * * * * true']),
  );
  expect(fn.reservedMemory).toBe(3 * 512);
});

test('create that fails at a later timer leaves nothing', async () => {
  const before = tracesIn(cloud);
  cloud.api.fail({ action: 'scf:CreateTrigger', after: 1, code: 'LimitExceeded.Trigger' });
  const ran = await cloud.rule(...CREATE, ...FAILOVER, '--instances', '3');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('take fewer instances');
  expect(tracesIn(cloud)).toEqual(before);
});

test.each(['shared', 'key_shared', 'failover'])('%s takes 10 instances', async (type) => {
  const fn = await cloud.createOrders('--subscription-type', type, '--instances', '10');
  expect(fn.triggers).toHaveLength(10);
  expect(fn.reservedMemory).toBe(5_120);
});

test.each([
  [['--instances', '2'], '--subscription-type failover'],
  [['--instances', '11', ...FAILOVER], 'a second rule on the same subscription and prefix'],
  [['--instances', '0', ...FAILOVER], '1 to 10'],
  [['--instances', 'two', ...FAILOVER], '1 to 10'],
])('create with %j is refused, and says what to choose', async (flags, reported) => {
  const ran = await cloud.rule(...CREATE, ...flags);
  expect(ran.code).toBe(1);
  expect(ran.err).toContain(reported);
  expect(cloud.api.state.functions.size).toBe(0);
});

test('more than 10 are a second rule on the same subscription and prefix, which moves nothing', async () => {
  const first = await cloud.createOrders(...FAILOVER, '--instances', '10');
  cloud.api.calls.splice(0);
  const ran = await cloud.rule(...createWith(...FAILOVER, '--instances', '10', '--name', 'orders-backup-2'));
  expect(ran).toMatchObject({ code: 0 });
  expect(callsOf()).not.toContain('ResetMsgSubOffsetByTimestamp');
  expect(callsOf()).not.toContain('CreateSubscription');
  const second = cloud.api.state.functions.get('orders-backup-2') as ScfFunction;
  expect(second.environment).toEqual(first.environment);
  expect(second.triggers).toHaveLength(10);
  const { rules } = JSON.parse((await cloud.rule('list', '--json')).out);
  expect(rules).toMatchObject([
    { name: 'orders-backup', instances: 10 },
    { name: 'orders-backup-2', instances: 10 },
  ]);
  // What both have stored is not removed with one of them.
  expect((await cloud.rule('delete', 'orders-backup-2', '--delete-objects', '--yes')).code).not.toBe(0);
});

test('create warns of instances that get no partition, and of Failover with one timer', async () => {
  const many = await cloud.rule(...CREATE, ...FAILOVER, '--instances', '4', '--dry-run');
  expect(many.out).toContain('the topic has 3 partitions');
  const one = await cloud.rule(...CREATE, ...FAILOVER, '--dry-run');
  expect(one.out).toContain('--instances 2 to 10');
  expect((await cloud.rule(...CREATE, ...FAILOVER, '--instances', '3', '--dry-run')).out).not.toContain(
    '⚠ the topic',
  );
});

test('edit to several and back keeps timers, memory and type in step, in an order that is safe', async () => {
  const fn = await cloud.createOrders();
  cloud.api.calls.splice(0);
  const ran = await edit(...FAILOVER, '--instances', '3');
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.out).toContain('- instances 1');
  expect(ran.out).toContain('+ instances 3');
  expect(namesOf(fn)).toEqual(three);
  expect(fn.reservedMemory).toBe(1_536);
  const growing = callsOf();
  const order = (calls: string[], ...names: string[]) => names.map((name) => calls.indexOf(name));
  const grown = order(
    growing,
    'UpdateFunctionConfiguration',
    'PutReservedConcurrencyConfig',
    'CreateTrigger',
  );
  expect(grown).toEqual([...grown].sort((a, b) => a - b));
  expect(growing.filter((name) => name === 'DeleteTrigger')).toEqual([]);

  const refused = await edit('--subscription-type', 'exclusive');
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('or --instances 1');

  cloud.api.calls.splice(0);
  expect(await edit('--subscription-type', 'exclusive', '--instances', '1')).toMatchObject({ code: 0 });
  expect(namesOf(fn)).toEqual(['every-5-minutes']);
  expect(fn.reservedMemory).toBe(512);
  const shrunk = order(
    callsOf(),
    'DeleteTrigger',
    'PutReservedConcurrencyConfig',
    'UpdateFunctionConfiguration',
  );
  expect(shrunk).toEqual([...shrunk].sort((a, b) => a - b));
});

test('edit of memory reserves it for every instance, and --no-reserve for none', async () => {
  const fn = await cloud.createOrders(...FAILOVER, '--instances', '3');
  await edit('--memory', '1024');
  expect(fn.reservedMemory).toBe(3_072);
  await edit('--instances', '2');
  expect(fn.reservedMemory).toBe(2_048);
  await edit('--instances', '3', '--no-reserve');
  expect(fn.reservedMemory).toBeUndefined();
  await edit('--memory', '512');
  expect(fn.reservedMemory).toBeUndefined();
});

test('edit of the interval gives every timer its cron and its name, also where SCF takes no more timers', async () => {
  const fn = await cloud.createOrders(...FAILOVER, '--instances', '10');
  fn.triggers.forEach((one) => {
    one.argument = 'mine';
  });
  expect(await edit('--interval', '10')).toMatchObject({ code: 0 });
  const names = Array.from({ length: 10 }, (_, i) => `every-10-minutes${i === 0 ? '' : `-${i + 1}`}`);
  expect(namesOf(fn).sort()).toEqual(names.sort());
  for (const one of fn.triggers) expect(one).toMatchObject({ cron: '0 */10 * * * * *', argument: 'mine' });
  expect(fn.timeout).toBe(585);
});

test('the only timer of a rule is made anew before the one of before goes', async () => {
  await cloud.createOrders();
  cloud.api.calls.splice(0);
  await edit('--interval', '10');
  const calls = callsOf().filter((name) => /Trigger$/.test(name));
  expect(calls).toEqual(['CreateTrigger', 'DeleteTrigger']);
});

test('a paused rule gets its further timers switched off, and resume switches all of them on', async () => {
  const fn = await cloud.createOrders(...FAILOVER, '--instances', '2');
  await cloud.rule('pause', 'orders-backup');
  await edit('--instances', '3', '--interval', '6');
  expect(fn.triggers.map(({ open }) => open)).toEqual([false, false, false]);
  await cloud.rule('resume', 'orders-backup');
  expect(fn.triggers.map(({ open }) => open)).toEqual([true, true, true]);
});

test('show and list count the instances and name the timers', async () => {
  await cloud.createOrders(...FAILOVER, '--instances', '3');
  const shown = await cloud.rule('show', 'orders-backup');
  expect(shown.out).toMatch(/instances +3 for each tick/);
  expect(shown.out).toContain(`0 */5 * * * * * (on): ${three.join(', ')}`);
  expect(JSON.parse((await cloud.rule('show', 'orders-backup', '--json')).out)).toMatchObject({
    instances: 3,
    timerNames: three,
  });
  const [rule] = JSON.parse((await cloud.rule('list', '--json')).out).rules;
  expect(rule).toMatchObject({ instances: 3, timerNames: three });
  expect((await cloud.rule('list')).out).toMatch(/instances/);
  await cloud.rule('delete', 'orders-backup', '--yes');
  expect(cloud.api.state.functions.size).toBe(0);
});

test('export knows the instances, and create makes as many from it', async () => {
  await cloud.createOrders(...FAILOVER, '--instances', '3', '--runtime', 'Nodejs20.19');
  await cloud.rule('export', 'orders-backup', '--out', `${cloud.folder}/.env.orders`);
  cloud.api.state.functions.clear();
  expect(await cloud.rule('create', '--file', `${cloud.folder}/.env.orders`, '--yes')).toMatchObject({
    code: 0,
  });
  const fn = cloud.api.state.functions.get('orders-backup') as ScfFunction;
  expect(namesOf(fn)).toEqual(three);
  expect(fn.runtime).toBe('Nodejs20.19');
});

describe('Timers that somebody made by hand', () => {
  const handMade = (...timers: [name: string, cron: string][]) =>
    deployByHand(cloud, 'orders-backup', {
      triggers: timers.map(([name, cron]) => ({
        ...{ name, cron, type: 'timer', open: true, qualifier: '$LATEST', argument: 'by hand' },
      })),
    });
  const failover = (fn: ScfFunction) => {
    fn.environment['PULSAR_SUBSCRIPTION_TYPE'] = 'failover';
    return fn;
  };

  test('at the rule’s times are instances: they keep their names, and are the last to go', async () => {
    const fn = failover(handMade(['one', '0 */5 * * * * *'], ['two', '0 */5 * * * * *']));
    expect((await cloud.rule('show', 'orders-backup')).out).toMatch(/instances +2 for each tick/);
    await edit('--instances', '4');
    expect(namesOf(fn)).toEqual(['one', 'two', 'every-5-minutes', 'every-5-minutes-2']);
    await edit('--interval', '10');
    expect(namesOf(fn).sort()).toEqual(['every-10-minutes', 'every-10-minutes-2', 'one', 'two']);
    expect(new Set(fn.triggers.map(({ cron }) => cron))).toEqual(new Set(['0 */10 * * * * *']));
    await edit('--instances', '2');
    expect(namesOf(fn)).toEqual(['one', 'two']);
  });

  test('at other times are left alone, and that is said', async () => {
    const fn = failover(handMade(['every-5-minutes', '0 */5 * * * * *'], ['nightly', '0 0 3 * * * *']));
    expect((await cloud.rule('show', 'orders-backup')).out).toMatch(/instances +1 for each tick/);
    const ran = await edit('--instances', '2', '--interval', '10');
    expect(ran.out).toContain('⚠ the timer nightly stays as somebody has set it, at 0 0 3 * * * *');
    expect(fn.triggers.find(({ name }) => name === 'nightly')?.cron).toBe('0 0 3 * * * *');
    expect(namesOf(fn).sort()).toEqual(['every-10-minutes', 'every-10-minutes-2', 'nightly']);
  });

  test('on an Exclusive subscription, however many they are, are in the way of no other change', async () => {
    const fn = handMade(['one', '0 */5 * * * * *'], ['two', '0 */5 * * * * *']);
    expect(await edit('--memory', '640')).toMatchObject({ code: 0 });
    expect(namesOf(fn)).toEqual(['one', 'two']);
    expect(await edit('--instances', '1')).toMatchObject({ code: 0 });
    expect(namesOf(fn)).toEqual(['one']);
  });

  test('may be none: another change makes none, and --instances does', async () => {
    const fn = handMade();
    expect(await edit('--memory', '640')).toMatchObject({ code: 0 });
    expect(fn.triggers).toEqual([]);
    expect(await edit('--instances', '1')).toMatchObject({ code: 0 });
    expect(fn.triggers).toMatchObject([{ name: 'every-5-minutes', open: true, qualifier: '$DEFAULT' }]);
  });
});

describe('Intervals that do not divide the hour', () => {
  test.each(['7', '8', '9', '11', '13', '14'])('%s is refused, with what to choose', async (minutes) => {
    await cloud.createOrders();
    for (const ran of [
      await cloud.rule(...createWith('--name', 'other', '--interval', minutes)),
      await edit('--interval', minutes),
    ]) {
      expect(ran.code).toBe(1);
      expect(ran.err).toContain('choose 5, 6, 10, 12 or 15');
    }
  });

  test.each([
    ['5', 285],
    ['6', 345],
    ['10', 585],
    ['12', 705],
    ['15', 885],
  ])('%s is taken, and the time-out ends a run before the next tick', async (minutes, timeout) => {
    const fn = await cloud.createOrders('--interval', minutes);
    expect(fn.timeout).toBe(timeout);
  });

  test('of an older rule stay, and its time-out comes from the shortest gap where it takes the default', async () => {
    const fn = deployByHand(cloud, 'orders-backup');
    fn.environment['RUN_INTERVAL_MINUTES'] = '7';
    Object.assign(fn, { timeout: 405 });
    Object.assign(fn.triggers[0] ?? {}, { name: 'every-7-minutes', cron: '0 */7 * * * * *' });
    expect((await cloud.rule('show', 'orders-backup')).out).toContain(
      '0 */7 * * * * * (on): every-7-minutes',
    );
    expect(await edit('--memory', '640', '--unset', 'DEPLOY_TIMEOUT_SECONDS')).toMatchObject({ code: 0 });
    expect(fn).toMatchObject({ memory: 640, timeout: 4 * 60 - 15 });
    expect(fn.triggers).toMatchObject([{ name: 'every-7-minutes', cron: '0 */7 * * * * *' }]);
    expect(await edit('--interval', '15')).toMatchObject({ code: 0 });
    expect(fn).toMatchObject({ timeout: 885, triggers: [{ name: 'every-15-minutes' }] });
  });

  test('in the name of a timer that an older version set to another one stand in the way of nothing', async () => {
    const fn = await cloud.createOrders('--interval', '10');
    Object.assign(fn.triggers[0] ?? {}, { name: 'every-5-minutes' });
    const calm = await edit('--interval', '10');
    expect(calm.out).toContain('Nothing to change');
    await edit(...FAILOVER, '--instances', '2');
    expect(namesOf(fn)).toEqual(['every-5-minutes', 'every-10-minutes']);
    await edit('--interval', '12');
    expect(namesOf(fn).sort()).toEqual(['every-12-minutes', 'every-12-minutes-2']);
  });

  test('edit leaves a time-out that somebody chose', async () => {
    const fn = await cloud.createOrders('--timeout', '200');
    await edit('--interval', '10');
    expect(fn.timeout).toBe(200);
    await edit('--interval', '12', '--timeout', '300');
    expect(fn.timeout).toBe(300);
  });
});

test('A rule that falls behind gets the command for more instances', async () => {
  const fallBehind = () => {
    for (const ago of [1, 6]) finish(cloud, ago, { stopReason: 'deadline' });
  };
  const hint = async () =>
    JSON.parse((await cloud.rule('show', 'orders-backup', '--json')).out).hint as string;
  await cloud.createOrders();
  fallBehind();
  expect(await hint()).toContain('rule edit orders-backup --subscription-type failover --instances 2');
  await edit(...FAILOVER, '--instances', '3');
  // One tick of three instances, of which two had no more time: not two ticks.
  expect(await hint()).toBeUndefined();
  for (const ago of [1, 1, 1, 6]) finish(cloud, ago, { stopReason: 'deadline' });
  expect(await hint()).toContain('rule edit orders-backup --instances 6');
  await edit('--instances', '10');
  for (let i = 0; i < 22; i++) finish(cloud, 1, { stopReason: 'deadline' });
  expect(await hint()).toContain('a second rule on the same subscription and prefix');
});

describe('The runtime', () => {
  test('is Node 18.15, or what is asked for, and is shown', async () => {
    expect((await cloud.createOrders('--runtime', 'Nodejs20.19')).runtime).toBe('Nodejs20.19');
    expect((await cloud.rule('show', 'orders-backup')).out).toContain('Nodejs20.19');
    expect(await cloud.rule(...createWith('--name', 'other'))).toMatchObject({ code: 0 });
    expect(cloud.api.state.functions.get('other')?.runtime).toBe('Nodejs18.15');
  });

  test('that nobody here knows is passed on with a warning; one that is too old is refused', async () => {
    const newer = await cloud.rule(...CREATE, '--runtime', 'Nodejs24.11', '--dry-run');
    expect(newer.out).toContain('⚠ the runtime Nodejs24.11 is not one of Nodejs18.15, Nodejs20.19');
    for (const name of ['Nodejs16.13', 'Python3.10', 'nodejs18']) {
      const ran = await cloud.rule(...CREATE, '--runtime', name);
      expect(ran.err).toContain('choose Nodejs18.15 or Nodejs20.19');
    }
  });

  test('cannot be changed, and a file that has the same is no change', async () => {
    await cloud.createOrders();
    await cloud.rule('export', 'orders-backup', '--out', `${cloud.folder}/.env.orders`);
    expect((await edit('--file', `${cloud.folder}/.env.orders`)).code).toBe(0);
    expect((await edit('--runtime', 'Nodejs20.19')).code).toBe(2);
  });
});

describe('Settings beyond the 4 KB that SCF takes', () => {
  test('are refused before anything is made, by their sizes, the stored key among them', async () => {
    const role = cloud.cluster.roles.get('backup-reader');
    if (role) role.token = 'k'.repeat(3_900);
    const ran = await cloud.rule(...CREATE);
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/the settings have 4\d+ bytes, and SCF takes 4096.*PULSAR_TOKEN 3912/);
    expect(ran.err).toContain('--role-key runtime');
    expect(callsOf().filter((name) => /^(Create|Put|Attach)/.test(name))).toEqual([]);
    expect(await cloud.rule(...CREATE, '--role-key', 'runtime')).toMatchObject({ code: 0 });
  });
});

describe.each([
  ['ResourceNotFound.Role', 'scf.qcloud.com may assume'],
  ['ResourceNotFound.Vpc', '--vpc and --subnet'],
  ['UnauthorizedOperation.Role', 'cam:PassRole'],
  ['InvalidParameterValue.EnvironmentExceededLimit', '4 KB'],
  ['LimitExceeded.Function', 'raise the quota'],
  ['InvalidParameterValue.Runtime', '--runtime'],
])('CreateFunction that answers %s', (code, reported) => {
  test('says what to do', async () => {
    cloud.api.fail({ action: 'scf:CreateFunction', code, times: 10 });
    const ran = await cloud.rule(...CREATE);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain(reported);
  });
});

describe('An edit of instances and interval, broken at each of its calls, is done or undone', () => {
  const CALLS: readonly (readonly [action: string, after: number])[] = [
    ['scf:UpdateFunctionConfiguration', 0],
    ['scf:PutReservedConcurrencyConfig', 0],
    ['scf:UpdateFunctionEventInvokeConfig', 0],
    ...[0, 1, 2, 3].map((after) => ['scf:CreateTrigger', after] as const),
    ...[0, 1].map((after) => ['scf:DeleteTrigger', after] as const),
  ];
  const FAULTS: readonly [string, Omit<Fault, 'action' | 'after'>][] = [
    ['is refused', { code: 'FailedOperation' }],
    ['loses its connection before it is done', { cut: 'before', times: 5 }],
    ['loses its connection after it is done', { cut: 'after', times: 5 }],
  ];

  test.each(CALLS.flatMap((call) => FAULTS.map((fault) => [...call, ...fault] as const)))(
    '%s (after %i of them) %s',
    async (action, after, _what, fault) => {
      await cloud.createOrders(...FAILOVER, '--instances', '2');
      const before = tracesIn(cloud);
      cloud.api.fail({ action, after, ...fault });
      const ran = await edit('--instances', '4', '--interval', '10');
      expect(ran.err).not.toContain('left behind');
      if (ran.code === 0) {
        const names = [1, 2, 3, 4].map((nth) => `every-10-minutes${nth === 1 ? '' : `-${nth}`}`);
        expect(namesOf(cloud.api.state.functions.get('orders-backup') as ScfFunction).sort()).toEqual(names);
      } else expect(inNameOrder(tracesIn(cloud))).toEqual(inNameOrder(before));
    },
  );

  /** A timer that was undone is behind the others. */
  function inNameOrder(traces: object): object {
    const { functions, ...rest } = traces as { functions: ScfFunction[] };
    const sorted = (fn: ScfFunction) => [...fn.triggers].sort((a, b) => a.name.localeCompare(b.name));
    return { ...rest, functions: functions.map((fn) => ({ ...fn, triggers: sorted(fn) })) };
  }
});
