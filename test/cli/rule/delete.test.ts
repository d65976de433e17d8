// rule delete: what goes, what stays, and what is said about both. For stored objects see rule-delete-objects.test.ts.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deployByHand, type RuleCloud, startRuleCloud, subscribe, tracesIn } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

test('delete deletes the function and says what remains', async () => {
  await cloud.createOrders();
  const ran = await cloud.rule('delete', 'orders-backup', '--yes');
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.out).toContain('the stored objects under archive-1250000000/tdmq/orders/');
  expect(ran.out).toContain('the subscription backup, which goes on collecting messages');
  expect(tracesIn(cloud)).toMatchObject({ functions: [], subscriptions: [{ name: 'backup' }] });
});

test('delete takes the subscription and its own run role along when asked to', async () => {
  await cloud.createOrders();
  await cloud.rule('delete', 'orders-backup', '--delete-subscription', '--delete-run-role', '--yes');
  expect(tracesIn(cloud)).toEqual({ functions: [], roles: [], policies: [], subscriptions: [] });
});

test('delete does not touch a run role that it has not made', async () => {
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

test('delete asks, and without a terminal wants --yes', async () => {
  await cloud.createOrders();
  expect((await cloud.rule('delete', 'orders-backup')).code).toBe(2);
  await cloud.ruleOnTerminal(['delete', 'orders-backup'], ['no']);
  expect(cloud.api.state.functions.has('orders-backup')).toBe(true);
});

test('delete while a run is connected deletes nothing, and the timer ticks on', async () => {
  const fn = await cloud.createOrders();
  subscribe(cloud, { consumers: ['run-1'] });
  const ran = await cloud.rule('delete', 'orders-backup', '--delete-subscription', '--yes');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('wait until it has ended');
  expect(cloud.api.state.functions.has('orders-backup')).toBe(true);
  expect(fn.triggers).toMatchObject([{ open: true }]);
});

test('delete lets no tick make the subscription again', async () => {
  const fn = await cloud.createOrders();
  let isOpen: boolean | undefined;
  cloud.api.onCall = (call) => {
    if (call.action === 'DeleteSubscriptions') isOpen = fn.triggers[0]?.open;
  };
  await cloud.rule('delete', 'orders-backup', '--delete-subscription', '--yes');
  expect(isOpen).toBe(false);
});

test.each([
  ['scf:DeleteFunction', ['the subscription backup is deleted']],
  ['cam:DetachRolePolicy', ['the subscription backup is deleted', 'the function orders-backup is deleted']],
  [
    'cam:DeleteRole',
    [
      'the subscription backup is deleted',
      'the function orders-backup is deleted',
      'the policy tdmq-backup-orders-backup is deleted',
    ],
  ],
])('delete that fails at %s says what is deleted already', async (action, gone) => {
  await cloud.createOrders();
  cloud.api.fail({ action, code: 'FailedOperation', message: 'stuck' });
  const ran = await cloud.rule(
    'delete',
    'orders-backup',
    '--delete-subscription',
    '--delete-run-role',
    '--yes',
  );
  expect(ran.code).toBe(1);
  const reported = ran.err.split('\n').flatMap((line) => / {4}not undone: (.*)/.exec(line)?.[1] ?? []);
  expect(reported).toEqual(gone);
});

test('delete whose answers are lost goes on, since what is gone is gone', async () => {
  await cloud.createOrders();
  for (const action of [
    'tdmq:DeleteSubscriptions',
    'scf:DeleteFunction',
    'cam:DeletePolicy',
    'cam:DeleteRole',
  ]) {
    cloud.api.fail({ action, cut: 'after' });
  }
  const ran = await cloud.rule(
    'delete',
    'orders-backup',
    '--delete-subscription',
    '--delete-run-role',
    '--yes',
  );
  expect(ran).toMatchObject({ code: 0 });
  expect(tracesIn(cloud)).toEqual({ functions: [], roles: [], policies: [], subscriptions: [] });
});

test('delete --json reports what is deleted and what remains', async () => {
  await cloud.createOrders();
  const ran = await cloud.rule('delete', 'orders-backup', '--yes', '--json');
  expect(JSON.parse(ran.out)).toMatchObject({
    rule: 'orders-backup',
    deleted: ['scf:DeleteFunction'],
    removedObjects: 0,
    remains: [
      expect.stringContaining('objects'),
      expect.stringContaining('subscription'),
      expect.stringContaining('run role'),
      expect.stringContaining('log topic'),
    ],
  });
});

test('What will remain is said before the question', async () => {
  await cloud.createOrders();
  const ran = await cloud.ruleOnTerminal(['delete', 'orders-backup'], ['no']);
  expect(ran.code).toBe(1);
  expect(ran.err).toMatch(
    /What will remain:\n {2}the stored objects under archive-1250000000\/tdmq\/orders\/[\s\S]*Delete the rule/,
  );
});
