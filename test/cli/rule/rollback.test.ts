// rule create, broken at each of its calls: what is left is the whole rule or nothing, and the exit code reports which.
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../stand-ins/cloud-api/faults.ts';
import { CREATE, CREATION, type RuleCloud, startRuleCloud, subscribe, tracesIn } from '../rule-cloud.ts';

/** As often as a call is tried. */
const ALWAYS = 5;

let cloud: RuleCloud;
let nothing: object;
let everything: object;
beforeAll(async () => {
  const reference = await startRuleCloud();
  nothing = tracesIn(reference);
  await reference.rule(...CREATE);
  everything = tracesIn(reference);
  await reference.close();
});
beforeEach(async () => {
  cloud = await startRuleCloud();
});
afterEach(() => cloud.close());

const nameOf = ({ service, action }: { service: string; action: string }) => `${service}:${action}`;

test('The table below has every call that a creation makes once it has begun', async () => {
  await cloud.rule(...CREATE);
  const names = cloud.api.calls.map(nameOf);
  const begun = names.indexOf('cam:CreateRole');
  const made = names.map((name, i) => [name, names.slice(0, i).filter((one) => one === name).length]);
  expect(made.slice(begun)).toEqual(CREATION);
});

/** Runs a creation that meets the fault, and answers what was reported. */
async function createWith(fault: Fault): Promise<{ code: number; err: string }> {
  cloud.api.fail(fault);
  const ran = await cloud.rule(...CREATE);
  expect([0, 1]).toContain(ran.code);
  expect(tracesIn(cloud)).toEqual(ran.code === 0 ? everything : nothing);
  return ran;
}

describe.each(CREATION)('%s (after %i of them)', (action, after) => {
  test('is refused: all is undone', async () => {
    const ran = await createWith({ action, after, code: 'FailedOperation', message: 'as the test asked' });
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('as the test asked');
    expect(ran.err).not.toContain('left behind');
  });

  test.each([1, ALWAYS])('fails inside the service, %i times: all or nothing', async (times) => {
    const { code } = await createWith({ action, after, code: 'InternalError', times });
    if (times === ALWAYS) expect(code).toBe(1);
  });

  test('is throttled: it is repeated', async () => {
    const ran = await createWith({ action, after, code: 'RequestLimitExceeded', times: 2 });
    expect(ran).toMatchObject({ code: 0 });
  });

  test('meets a gateway that answers 502 with a page: all or nothing', async () => {
    await createWith({ action, after, httpStatus: 502 });
  });

  test.each(['before', 'after'] as const)(
    'loses its connection %s it is done: all or nothing',
    async (cut) => {
      await createWith({ action, after, cut });
      await cloud.close();
      cloud = await startRuleCloud();
      expect((await createWith({ action, after, cut, times: ALWAYS })).code).toBe(1);
    },
  );

  test('is where Ctrl-C is pressed: all is undone', async () => {
    const interrupt = new AbortController();
    let seen = 0;
    cloud.api.onCall = (call) => {
      if (nameOf(call) === action && seen++ === after) interrupt.abort(new Error('stopped by SIGINT'));
    };
    const ran = await cloud.ruleWith({ signal: interrupt.signal }, ...CREATE);
    expect(ran.code).toBe(130);
    expect(ran.err).toContain('what was done is undone');
    expect(ran.err).not.toContain('left behind');
    expect(tracesIn(cloud)).toEqual(nothing);
  });
});

test('Ctrl-C while the plan is made changes nothing', async () => {
  const interrupt = new AbortController();
  cloud.api.onCall = (call) => {
    if (call.action === 'DescribeTopics') interrupt.abort(new Error('stopped by SIGINT'));
  };
  expect((await cloud.ruleWith({ signal: interrupt.signal }, ...CREATE)).code).toBe(130);
  expect(tracesIn(cloud)).toEqual(nothing);
});

test('A function that never becomes active is deleted again', async () => {
  cloud.api.onCall = (call) => {
    const fn = cloud.api.state.functions.get('orders-backup');
    if (call.action === 'GetFunction' && fn !== undefined) fn.status = 'CreateFailed';
  };
  const ran = await cloud.rule(...CREATE);
  expect(ran.err).toContain('SCF says CreateFailed');
  expect(tracesIn(cloud)).toEqual(nothing);
});

test('A function that is still being made after three minutes is reported', async () => {
  cloud.api.state.pollsUntilActive = Number.POSITIVE_INFINITY;
  const ran = await cloud.rule(...CREATE);
  expect(ran.err).toContain('the function orders-backup is still Creating after 3 minutes');
  expect(ran.err).toContain('left behind: the function orders-backup');
});

test('A function or a policy that somebody else made under the name meanwhile is left alone', async () => {
  cloud.api.fail({ action: 'scf:CreateFunction', code: 'ResourceInUse.Function' });
  await cloud.rule(...CREATE);
  expect(cloud.api.calls.map((call) => call.action)).not.toContain('DeleteFunction');

  const { camPolicies } = cloud.api.state;
  camPolicies.set(99, { id: 99, name: 'tdmq-backup-orders-backup', document: '{}', description: 'theirs' });
  cloud.api.fail({ action: 'cam:CreatePolicy', cut: 'before' });
  expect((await cloud.rule(...CREATE)).code).toBe(1);
  expect([...camPolicies.keys()]).toEqual([99]);
});

describe('What cannot be undone is named, with how to remove it', () => {
  test.each([
    ['tdmq:DeleteSubscriptions', 'the subscription backup', 'topic default/orders of pulsar-abc'],
    [
      'scf:DeleteFunction',
      'the function orders-backup',
      'tdmq-backup rule delete orders-backup --region ap-guangzhou',
    ],
    [
      'cam:DetachRolePolicy',
      'the policy tdmq-backup-orders-backup, attached',
      'detach it in the CAM console',
    ],
    ['cam:DeletePolicy', 'the policy tdmq-backup-orders-backup', 'delete it in the CAM console'],
    ['cam:DeleteRole', 'the run role tdmq-backup-orders-backup', 'delete it in the CAM console'],
  ])('%s is refused', async (action, left, byHand) => {
    cloud.api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation', message: 'no timer today' });
    cloud.api.fail({ action, code: 'UnauthorizedOperation', message: 'stuck', times: ALWAYS });
    const ran = await cloud.rule(...CREATE);
    expect(ran.code).toBe(1);
    const [line, ...more] = ran.err.split('\n').filter((one) => one.includes('left behind'));
    expect(more).toEqual([]);
    for (const part of [left, 'stuck', byHand]) expect(line).toContain(part);
    expect(ran.err).toContain('no timer today');
    expect(ran.err).toContain('not everything could be undone');
  });

  test('all of it, also after Ctrl-C, and as JSON', async () => {
    const undoing = ['tdmq:DeleteSubscriptions', 'scf:DeleteFunction', 'cam:DeletePolicy', 'cam:DeleteRole'];
    for (const action of undoing) cloud.api.fail({ action, code: 'FailedOperation', times: ALWAYS });
    const interrupt = new AbortController();
    cloud.api.onCall = (call) => {
      if (call.action === 'CreateTrigger') interrupt.abort(new Error('stopped by SIGINT'));
    };
    const ran = await cloud.ruleWith({ signal: interrupt.signal }, ...CREATE);
    expect(ran.code).toBe(130);
    expect(ran.err.match(/left behind: /g)).toHaveLength(4);

    await cloud.close();
    cloud = await startRuleCloud();
    for (const action of [...undoing, 'scf:CreateTrigger']) {
      cloud.api.fail({ action, code: 'FailedOperation', times: ALWAYS });
    }
    const { error } = JSON.parse((await cloud.rule(...CREATE, '--json')).out) as {
      error: { message: string };
    };
    expect(error.message.match(/left behind: /g)).toHaveLength(4);
  });

  test('a call that is refused once while undoing is not given up if it may pass', async () => {
    cloud.api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation' });
    cloud.api.fail({ action: 'scf:DeleteFunction', code: 'InternalError', times: 2 });
    cloud.api.fail({ action: 'cam:DeleteRole', cut: 'after' });
    const ran = await cloud.rule(...CREATE);
    expect(ran.err).not.toContain('left behind');
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  test('a subscription that was there and is moved', async () => {
    subscribe(cloud);
    cloud.api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation' });
    const ran = await cloud.rule(...CREATE, '--start', '2026-01-31T00:00:00Z');
    expect(ran.err).toContain('not undone: the subscription backup is at 2026-01-31T00:00:00.000Z now');
    expect(tracesIn(cloud)).toMatchObject({ functions: [], subscriptions: [{ name: 'backup' }] });
  });
});
