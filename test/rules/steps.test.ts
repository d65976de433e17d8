// The steps of a creation when the API does not answer at all: a time-out leaves open whether the call was done.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { Secret } from '../../src/lib/secret.ts';
import { type Cloud, openCloud } from '../../src/rules/cloud.ts';
import { planCreate } from '../../src/rules/function-steps.ts';
import { resolveRule } from '../../src/rules/resolve-rule.ts';
import { runSteps } from '../../src/rules/steps.ts';
import { hastyClock } from '../fakes/hasty-clock.ts';
import { type CloudApi, startCloudApi } from '../stand-ins/cloud-api/server.ts';
import { type Cluster, seedCluster } from '../stand-ins/cloud-api/state.ts';

let api: CloudApi;
let cluster: Cluster;
let cloud: Cloud;
beforeEach(async () => {
  api = await startCloudApi();
  cluster = seedCluster(api.state, {});
  const { secretId, secretKey } = api.account;
  cloud = openCloud({
    credentials: { secretId, secretKey: new Secret(secretKey), sessionToken: undefined },
    region: 'ap-guangzhou',
    endpoint: api.endpoint,
    clock: hastyClock(),
  });
});
afterEach(() => api.close());

const traces = () => ({
  functions: [...api.state.functions.values()].map((fn) => [fn.name, fn.triggers.length, fn.reservedMemory]),
  roles: [...api.state.camRoles.values()].map((role) => role.policies.size),
  policies: api.state.camPolicies.size,
  subscriptions: [
    ...(cluster.environments.get('default')?.topics.get('orders')?.subscriptions.values() ?? []),
  ].map((one) => one.resetTo),
});
const NOTHING = { functions: [], roles: [], policies: 0, subscriptions: [] };
const EVERYTHING = { functions: [['orders-backup', 1, 512]], roles: [1], policies: 1, subscriptions: [1] };

/** Runs a creation in which `action` is given up after half a second; the other calls have their own time. */
async function createWithSilent(action: string): Promise<unknown> {
  const hasty: Cloud = {
    ...cloud,
    call: (service, name, request, settings) =>
      cloud.call(service, name, request, {
        ...settings,
        ...(`${service}:${name}` === action && { timeoutSeconds: 0.5 }),
      }),
  };
  const fields = {
    ...{ name: 'orders-backup', cluster: 'pulsar-abc', namespace: 'default', topic: 'orders' },
    ...{ subscription: 'backup', tdmqRole: 'backup-reader', bucket: 'archive-1250000000' },
  };
  const options = { createRunRole: true, nowMs: cloud.clock.now() };
  const rule = await resolveRule(cloud, { fields, settings: {} }, options);
  const steps = planCreate(hasty, rule, async () => Buffer.from('PK code'), { reserve: true });
  const { signal } = new AbortController();
  return await runSteps(steps, { clock: cloud.clock, signal }).catch((error: unknown) => error);
}

describe.each(['before', 'after'] as const)('A call that never answers, silent %s it is done', (hang) => {
  test.each([
    'cam:CreateRole',
    'cam:CreatePolicy',
    'scf:CreateFunction',
    'tdmq:CreateSubscription',
    'scf:CreateTrigger',
  ])('%s: all is undone', async (action) => {
    api.fail({ action, hang });
    expect(await createWithSilent(action)).toMatchObject({ name: 'BackupError', code: 'rule' });
    expect(traces()).toEqual(NOTHING);
  });

  test.each([
    'cam:AttachRolePolicy',
    'scf:PutReservedConcurrencyConfig',
    'scf:UpdateFunctionEventInvokeConfig',
    'tdmq:ResetMsgSubOffsetByTimestamp',
  ])('%s: it is repeated', async (action) => {
    api.fail({ action, hang });
    expect(await createWithSilent(action)).toBeUndefined();
    expect(traces()).toEqual(EVERYTHING);
  });
});

test('What was made is undone in reverse order', async () => {
  api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation' });
  await createWithSilent('none');
  const begun = api.calls.findIndex((call) => call.action === 'CreateTrigger');
  expect(api.calls.slice(begun + 1).map((call) => call.action)).toEqual([
    'DeleteSubscriptions',
    'DeleteFunction',
    'DetachRolePolicy',
    'DeletePolicy',
    'DeleteRole',
  ]);
});

test('An interruption cuts no call off that is under way, lest it be done after it was undone', async () => {
  const interrupt = new AbortController();
  const seen: string[] = [];
  const step = {
    ...{ title: 'make it', call: 'scf:CreateFunction', request: {} },
    run: async (signal: AbortSignal) => {
      interrupt.abort(new Error('stopped by SIGINT'));
      seen.push(`made, ${signal.aborted ? 'cut off' : 'in peace'}`);
    },
    undo: {
      ...{ title: 'take it back', left: 'it', byHand: 'remove it' },
      run: async () => {
        seen.push('undone');
      },
    },
  };
  const { signal } = interrupt;
  await expect(runSteps([step, step], { clock: hastyClock(), signal })).rejects.toThrow(
    'cannot make it: interrupted; what had been done is undone',
  );
  expect(seen).toEqual(['made, in peace', 'undone']);
});

test('What the API throttles while it is undone, is repeated by the call alone', async () => {
  api.fail({ action: 'scf:CreateTrigger', code: 'FailedOperation' });
  api.fail({ action: 'cam:DeleteRole', code: 'RequestLimitExceeded', times: Number.POSITIVE_INFINITY });
  expect(await createWithSilent('none')).toMatchObject({
    faults: [{ text: expect.stringContaining('left behind: the run role') }],
  });
  expect(api.calls.filter(({ action }) => action === 'DeleteRole')).toHaveLength(5);
});

test.each([
  ['is done although no answer came', { outcomeUnknown: true }, 3],
  ['is refused', {}, 1],
])('An undoing that %s is tried %o: %i times', async (_, of, tries) => {
  let undone = 0;
  const undo = {
    ...{ title: 'take it back', left: 'it', byHand: 'remove it' },
    run: async () => {
      if (++undone < 3) throw new BackupError('rule', 'as the test asked', of);
    },
  };
  const made = { title: 'make it', call: 'scf:CreateFunction', request: {}, run: async () => {}, undo };
  const refused = { ...made, run: () => Promise.reject(new BackupError('rule', 'no')) };
  const options = { clock: hastyClock(), signal: new AbortController().signal };
  await expect(runSteps([made, refused], options)).rejects.toMatchObject({
    faults: { length: tries === 3 ? 0 : 1 },
  });
  expect(undone).toBe(tries);
});
