// Every rule command against an API that throttles, and one that allows nothing: what is throttled is repeated and comes
// to the same, what is not allowed is reported with the action and the policy to attach.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packageRoot } from '../../../src/packaging/package-root.ts';
import type { Fault } from '../../stand-ins/cloud-api/faults.ts';
import { CREATE, deployByHand, log, type RuleCloud, startRuleCloud, tracesIn } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
});
afterEach(() => cloud.close());

const summary = { stopReason: 'caught_up', messages: 42, objects: 1, recordBytes: 4200 };
/** A rule to be looked at and changed, made here, with a run in its log. */
async function makeRule(): Promise<void> {
  cloud.api.state.pollsUntilActive = 0;
  await cloud.createOrders();
  log(cloud, 'orders-backup', 2, { requestId: 'the-one', message: 'run finished', ...summary });
  cloud.api.state.run = () => ({ result: summary });
  cloud.api.calls.splice(0);
}

interface Case {
  readonly name: string;
  readonly prepare: () => unknown;
  readonly args: readonly string[];
}
const COMMANDS: readonly Case[] = [
  { name: 'create', prepare: () => {}, args: CREATE },
  { name: 'list', prepare: makeRule, args: ['list'] },
  { name: 'show', prepare: makeRule, args: ['show', 'orders-backup'] },
  { name: 'logs', prepare: makeRule, args: ['logs', 'orders-backup'] },
  { name: 'logs of one run', prepare: makeRule, args: ['logs', 'orders-backup', '--request', 'the-one'] },
  {
    name: 'edit',
    prepare: makeRule,
    args: ['edit', 'orders-backup', '--interval', '10', '--memory', '1024', '--update-code', '--yes'],
  },
  { name: 'pause', prepare: makeRule, args: ['pause', 'orders-backup'] },
  {
    name: 'resume',
    prepare: async () => {
      await makeRule();
      await cloud.rule('pause', 'orders-backup');
      cloud.api.calls.splice(0);
    },
    args: ['resume', 'orders-backup'],
  },
  { name: 'run', prepare: makeRule, args: ['run', 'orders-backup'] },
  {
    name: 'a long run',
    prepare: () => {
      deployByHand(cloud, 'orders-backup', { timeout: 900 });
      cloud.api.state.run = () => ({ result: summary });
    },
    args: ['run', 'orders-backup'],
  },
  {
    name: 'delete',
    prepare: makeRule,
    args: [
      ...['delete', 'orders-backup', '--delete-subscription', '--delete-run-role', '--delete-objects'],
      '--yes',
    ],
  },
  { name: 'export', prepare: makeRule, args: ['export', 'orders-backup', '--out', 'FILE'] },
];

async function run({ prepare, args }: Case, fault?: Fault) {
  await prepare();
  if (fault !== undefined) cloud.api.fail(fault);
  const file = join(cloud.folder, '.env.orders');
  const ran = await cloud.rule(...args.map((one) => (one === 'FILE' ? file : one)));
  const anonymous = (text: string) =>
    text
      .replaceAll(cloud.folder, '')
      .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
      .replace(/\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d(\.\d+Z)?/g, 'TIME');
  return { code: ran.code, out: anonymous(ran.out), err: ran.err, traces: tracesIn(cloud) };
}

/** Every action that the command calls when all is well, and what it then comes to. */
async function calm(given: Case) {
  const ran = await run(given);
  const actions = new Set(cloud.api.calls.map((call) => `${call.service}:${call.action}`));
  await cloud.close();
  cloud = await startRuleCloud();
  return { ...ran, actions };
}

describe.each(COMMANDS)('$name', (given) => {
  test('repeats what is throttled, twice at each of its calls, and comes to the same', async () => {
    const { actions, err: _, ...wanted } = await calm(given);
    expect(wanted.code).toBe(0);
    const throttled = { action: '*', each: true, code: 'RequestLimitExceeded', times: 2 };
    const { err, ...ran } = await run(given, throttled);
    expect(ran).toEqual(wanted);
    for (const action of actions) {
      const told = `${action} failed: As the test asked. (RequestLimitExceeded); trying again`;
      expect(err.split(told)).toHaveLength(3);
    }
  });

  test('names the action and the policy at each of its calls that is not allowed', async () => {
    for (const action of (await calm(given)).actions) {
      const ran = await run(given, { action, code: 'UnauthorizedOperation', times: 99 });
      const [, named, policy = ''] = /grant them ([a-z]+:\w+)\. (policies\/[\w-]+\.json)/.exec(ran.err) ?? [];
      expect([action, named]).toEqual([action, action]);
      // To look at a role that is named, nobody needs the right to make roles.
      if (action === 'cam:GetRole') expect(policy).toBe('policies/deploy-user.json');
      expect(readFileSync(join(packageRoot(import.meta.url), policy), 'utf8')).toContain(`"${action}"`);
      await cloud.close();
      cloud = await startRuleCloud();
    }
  });
});
