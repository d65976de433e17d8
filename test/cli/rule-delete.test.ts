// rule delete: what goes, what stays, and what is said of both. For stored objects see rule-delete-objects.test.ts.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deployByHand, type RuleCloud, startRuleCloud, tracesIn } from './rule-cloud.ts';

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

test('delete takes the subscription and its own run role along when told to', async () => {
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
  await cloud.ruleOnTerminal(['delete', 'orders-backup'], ['']);
  expect(cloud.api.state.functions.has('orders-backup')).toBe(true);
});
