// What `rule list` makes of the lines that the function really logs: the function fails on stand-ins, its lines go into
// the log topic, and the rule's state, reason and hint are read from there.
// @module-tag faults
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Fault } from '../../src/local/cos/fault-plan.ts';
import { deployByHand, log, type RuleCloud, startRuleCloud } from '../cli/rule-cloud.ts';
import { type RunStage, startRunStage } from '../stage/loopback-stage.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../stand-ins/broker/broker.ts';

let stage: RunStage;
let cloud: RuleCloud;
let guarded: LoopbackBroker;
beforeEach(async () => {
  stage = await startRunStage();
  cloud = await startRuleCloud();
  deployByHand(cloud, 'orders-backup');
  guarded = await startLoopbackBroker({
    tokens: {
      'the-good-token': { role: 'a', isAllowed: true },
      'a-poor-token': { role: 'b', isAllowed: false },
    },
  });
  guarded.createTopic(stage.topic, 2);
});
afterEach(() => Promise.all([stage.close(), cloud.close(), guarded.close()]));

/** Runs the function once, and answers what `rule list` then says about the rule. */
async function stateAfter(env: Record<string, string> = {}, fault?: Omit<Fault, 'times'>) {
  if (fault !== undefined) stage.cos.addFault({ ...fault, times: 'always' });
  stage.publish(20);
  const { lines } = await stage.run({ env });
  for (const line of lines) log(cloud, 'orders-backup', 0, line);
  const ran = await cloud.rule('list', '--json');
  const [rule] = (JSON.parse(ran.out) as { rules: { state: string; reason?: string; hint?: string }[] })
    .rules;
  return { ...rule, code: ran.code };
}

it('active, after a good run', async () => {
  expect(await stateAfter()).toMatchObject({ state: 'active', code: 0 });
});

it.each<[string, string, Fault['action']]>([
  ['permission denied', 'cos:PutObject', { type: 'error', code: 'AccessDenied' }],
  ['permission denied', 'run role', { type: 'error', code: 'ExpiredToken' }],
  ['permission denied', 'run role', { type: 'error', code: 'SignatureDoesNotMatch' }],
  ['bucket missing', 'COS_BUCKET', { type: 'error', code: 'NoSuchBucket' }],
  ['failing', 'COS', { type: 'error', code: 'InvalidArgument' }],
])('%s, with a hint about %s, when COS answers %j', async (state, about, action) => {
  const found = await stateAfter({}, { kind: 'put', action });
  expect(found).toMatchObject({ state, code: 1 });
  expect(found.reason).toContain('cannot store the object');
  expect(found.hint).toContain(about);
});

it.each(['serviceUrl', 'httpUrl'] as const)(
  'permission denied, when the token is wrong or poor, over %s',
  async (url) => {
    for (const [token, about] of [
      ['a-wrong-token', 'PULSAR_TOKEN'],
      ['a-poor-token', 'permission to consume'],
    ] as const) {
      const found = await stateAfter({ PULSAR_SERVICE_URL: guarded[url], PULSAR_TOKEN: token });
      expect(found).toMatchObject({ state: 'permission denied', code: 1 });
      expect(found.hint).toContain(about);
    }
  },
);

it.each(['serviceUrl', 'httpUrl'] as const)(
  'source missing, when the topic is unknown, over %s',
  async (url) => {
    const found = await stateAfter({
      PULSAR_SERVICE_URL: stage.broker[url],
      PULSAR_TOPIC: 'persistent://public/default/unknown',
    });
    expect(found).toMatchObject({ state: 'source missing', code: 1 });
    expect(found.hint).toContain('PULSAR_TOPIC');
  },
);

it('failing, when the broker cannot be reached', async () => {
  const found = await stateAfter({ PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1' });
  expect(found).toMatchObject({ state: 'failing', code: 1 });
  expect(found.reason).toContain('127.0.0.1:1');
  expect(found.hint).toContain('PULSAR_SERVICE_URL');
});

it('failing, when a setting is wrong', async () => {
  const found = await stateAfter({ FILE_MAX_BYTES: 'many' });
  expect(found).toMatchObject({ state: 'failing', code: 1 });
  expect(found.reason).toContain('FILE_MAX_BYTES');
});
