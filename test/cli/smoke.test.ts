// `tdmq-backup smoke` over the stand-ins: what it proves, what it refuses to take for proved, and what it leaves behind.
import { afterEach, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { startStopwatch } from '../pulsar/scaled-clock.ts';
import { SMOKE_TOPIC, type SmokeRule, startSmokeRule } from './smoke-rule.ts';
import { testTerminal } from './terminal.ts';
import { typeAnswers } from './typist.ts';

let rule: SmokeRule;
afterEach(() => rule.close());

interface Told {
  readonly ok: boolean;
  readonly findings: readonly { item: string; status: string; cause: string; hint?: string }[];
  readonly left: {
    readonly messages: number;
    readonly unconfirmed: number;
    readonly mark: string;
    readonly requestIds: readonly string[];
    readonly objects: readonly string[];
    readonly manifests: readonly string[];
  };
}

async function smoke(args: readonly string[], env: Readonly<Record<string, string>> = rule.env, more = {}) {
  const { terminal, out, err } = testTerminal(env, undefined, { clock: rule.cloud.clock, ...more });
  const code = await main(['smoke', ...args], terminal);
  return { code, out: out(), err: err() };
}

async function smokeJson(args: readonly string[], env?: Readonly<Record<string, string>>) {
  const ran = await smoke([...args, '--json'], env);
  return { ...ran, told: JSON.parse(ran.out) as Told };
}

const statuses = ({ findings }: Told) => findings.map(({ item, status }) => `${item} ${status}`);
const stepsOf = ['settings', 'function', 'run', 'publish', 'run', 'objects', 'manifest'];

/** How often the text is in any object of the bucket. */
function copiesOf(text: string): number {
  return rule
    .keys()
    .filter((key) => key.endsWith('.jsonl'))
    .map((key) => (rule.cloud.cos.object(key, 'archive-1250000000')?.bytes.toString() ?? '').split(text))
    .reduce((sum, parts) => sum + parts.length - 1, 0);
}

test('It proves a rule: publishes, invokes, finds each message once, and reports what is left', async () => {
  rule = await startSmokeRule();
  const { code, told, err } = await smokeJson(['--yes']);
  expect(told.findings.map((one) => one.item)).toEqual(stepsOf);
  expect(statuses(told).filter((one) => !one.endsWith(' ok'))).toEqual([]);
  expect(code).toBe(0);
  expect(told.ok).toBe(true);
  expect(told.left).toMatchObject({ messages: 3, unconfirmed: 0 });
  expect(copiesOf(`"tdmq-backup-smoke":"${told.left.mark}"`)).toBe(3);
  expect(rule.keys()).toEqual(expect.arrayContaining([...told.left.objects, ...told.left.manifests]));
  expect(told.left.objects).toHaveLength(2);
  // Whoever else consumes the topic has been thought of.
  expect(err).toContain('its other consumers get them too');
});

test('It proves a rule that lets messages linger: its own are old enough to be stored', async () => {
  rule = await startSmokeRule({ FILE_LINGER_MINUTES: '720' });
  rule.broker.publish(SMOKE_TOPIC, [{ payload: 'young' }]);
  const { code, told } = await smokeJson(['--yes']);
  expect(statuses(told)).toEqual(stepsOf.map((step) => `${step} ok`));
  expect(code).toBe(0);
  expect(copiesOf(`"tdmq-backup-smoke":"${told.left.mark}"`)).toBe(3);
});

test('It says for a person what is left, and how it could be removed', async () => {
  rule = await startSmokeRule({}, 0);
  const { code, out } = await smoke(['--yes']);
  expect(code).toBe(0);
  expect(out).toMatch(/messages {3}3 in persistent:.*tdmq-backup-smoke=/);
  expect(out).toContain('rule delete orders-backup --delete-objects');
  expect(out).toMatch(/object {5}tdmq\/orders\/.*\.jsonl\n/);
  expect(out).toContain('The rule stores what is published.');
});

test('It publishes to each partition, and at most 16', async () => {
  rule = await startSmokeRule({}, 20);
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(0);
  expect(told.left.messages).toBe(16);
});

test('A subscription that begins at latest does not lose them: it is there before they are published', async () => {
  rule = await startSmokeRule({ PULSAR_INITIAL_POSITION: 'latest' });
  expect((await smokeJson(['--yes'])).code).toBe(0);
});

test('It asks before it publishes, and no leaves nothing in the topic', async () => {
  rule = await startSmokeRule();
  const { terminal, out, err } = testTerminal(rule.env, undefined, { clock: rule.cloud.clock });
  typeAnswers(terminal, ['no']);
  expect(await main(['smoke'], terminal)).toBe(1);
  expect(err()).toContain('its other consumers get them too');
  expect(out()).toContain('nothing was published');
  expect(rule.keys().filter((key) => key.endsWith('.jsonl'))).toEqual([]);
});

test('Where nobody can be asked it wants --yes, before it does anything', async () => {
  rule = await startSmokeRule();
  expect((await smoke([])).code).toBe(2);
  expect(rule.cloud.api.calls).toEqual([]);
});

test('A role that may not produce: it says so and proves what comes', async () => {
  rule = await startSmokeRule();
  rule.broker.createSubscription(SMOKE_TOPIC, 'backup');
  rule.broker.publish(SMOKE_TOPIC, [{ payload: 'one' }, { payload: 'two' }, { payload: 'three' }]);
  const { code, told } = await smokeJson(['--yes'], rule.consumerEnv);
  expect(statuses(told)).toContain('publish warn');
  expect(told.findings.find(({ item }) => item === 'publish')?.hint).toContain('permission to produce');
  expect(told.findings.find(({ item }) => item === 'objects')?.cause).toContain('3 messages that came');
  expect(code).toBe(0);
  expect(told.left).toMatchObject({ messages: 0, unconfirmed: 0 });
});

test('Where nothing can be published and nothing comes, nothing is proved', async () => {
  rule = await startSmokeRule();
  const { code, told } = await smokeJson(['--no-publish']);
  expect(statuses(told).at(-1)).toBe('objects fail');
  expect(code).toBe(1);
});

test('A function that fails is invoked before anything is published', async () => {
  rule = await startSmokeRule();
  rule.cloud.api.state.run = () => ({ error: 'the bucket does not exist' });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(statuses(told).at(-1)).toBe('run fail');
  expect(told.findings.at(-1)?.hint).toMatch(/rule logs orders-backup --request [0-9a-f-]{36}/);
  expect(told.left.messages).toBe(0);
});

test('A function with other settings is not the one that is to be proved', async () => {
  rule = await startSmokeRule();
  const { code, told } = await smokeJson(['--yes'], { ...rule.env, COS_PREFIX: 'other/' });
  expect(code).toBe(1);
  expect(told.findings.at(-1)?.cause).toContain('COS_PREFIX is "tdmq/orders/" there, "other/" here');
  expect(told.left.requestIds).toEqual([]);
});

test('A rule that is not deployed, and settings that are wrong, are named with a hint', async () => {
  rule = await startSmokeRule();
  const missing = await smokeJson(['--yes'], { ...rule.env, RULE_NAME: 'none' });
  expect(missing.told.findings.at(-1)).toMatchObject({ item: 'function', status: 'fail' });
  expect(missing.told.findings.at(-1)?.hint).toContain('orders-backup');
  const { COS_BUCKET: _, ...without } = rule.env;
  const wrong = await smokeJson(['--yes'], without);
  expect(wrong.code).toBe(1);
  expect(wrong.told.findings[0]?.cause).toContain('COS_BUCKET');
});

test('Messages that somebody else takes from the subscription are missed', async () => {
  rule = await startSmokeRule();
  let runs = 0;
  // The second run sees nothing, and says that all is well.
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    const ran = await rule.run(requestId);
    if (++runs === 1) rule.cloud.api.state.run = () => ran;
    return ran;
  };
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'objects', status: 'fail' });
  expect(told.findings.at(-1)?.cause).toContain('3 of 3 marked messages are in no object');
});

/** A rule whose runs are followed by a change of what they stored. */
async function startSpoiledRule(change: (key: string) => Promise<void>): Promise<void> {
  rule = await startSmokeRule({}, 0);
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    const ran = await rule.run(requestId);
    for (const key of rule.keys()) await change(key);
    return ran;
  };
}

test('A message in two objects is no success', async () => {
  await startSpoiledRule(async (key) => {
    if (key.endsWith('-00000.jsonl')) await rule.spoil(key, { to: key.replace('-00000.', '-00001.') });
  });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)?.cause).toContain('3 marked messages are in more than one object');
});

test.each([
  ['its text', ['smoke test', 'SMOKE test']],
  ['what is around it', ['"producer"', '"PRODUCER"']],
] as const)('An object that was changed is found: %s', async (_, replace) => {
  await startSpoiledRule(async (key) => {
    if (key.endsWith('.jsonl')) await rule.spoil(key, { replace });
  });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.find(({ item }) => item === 'objects')).toMatchObject({ status: 'fail' });
});

test('Objects without a manifest are no success', async () => {
  await startSpoiledRule(async (key) => {
    if (key.includes('/_runs/')) await rule.remove(key);
  });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'manifest', status: 'fail' });
});

test('A tick of the timer that is under way is waited for', async () => {
  rule = await startSmokeRule();
  let busy = 2;
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    const ran = await rule.run(requestId);
    return busy-- > 0 ? { result: { ...(ran.result as object), stopReason: 'busy' } } : ran;
  };
  rule.cloud.api.fail({ action: 'scf:Invoke', code: 'LimitExceeded.FunctionOnTopic' });
  expect((await smokeJson(['--yes'])).code).toBe(0);
});

test('A tick of the timer that is faster than the run is as good', async () => {
  rule = await startSmokeRule();
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    await rule.run(`tick-before-${requestId}`);
    return rule.run(requestId);
  };
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(0);
  expect(told.findings.at(-1)).toMatchObject({ item: 'manifest', status: 'ok' });
  expect(told.findings.at(-1)?.cause).toContain('of a run of the timer');
});

test.each([
  ['that runs longer than the API waits', {}, 900],
  [
    'whose objects are compressed, in the root of the bucket',
    { FILE_COMPRESSION: 'zstd', COS_PREFIX: '' },
    285,
  ],
  ['of type Shared', { PULSAR_SUBSCRIPTION_TYPE: 'shared' }, 285],
  ['of type Failover', { PULSAR_SUBSCRIPTION_TYPE: 'failover' }, 285],
  ['of one partition', { PULSAR_TOPIC: `${SMOKE_TOPIC}-partition-1` }, 285],
])('It proves a rule %s', async (_, settings, timeout) => {
  rule = await startSmokeRule(settings);
  rule.fn.timeout = timeout;
  const { code, told } = await smokeJson(['--yes']);
  expect(statuses(told).filter((one) => !one.endsWith(' ok'))).toEqual([]);
  expect(code).toBe(0);
});

test('A rule is named instead of a file: with the settings of its function', async () => {
  rule = await startSmokeRule();
  // They are those that SCF adds.
  delete rule.fn.environment['RULE_NAME'];
  delete rule.fn.environment['COS_REGION'];
  const { code, told, out, err } = await smokeJson(['orders-backup', '--yes'], rule.cloud.env);
  expect(statuses(told).filter((one) => !one.endsWith(' ok'))).toEqual([]);
  expect(code).toBe(0);
  expect(out + err).not.toContain(rule.env['PULSAR_TOKEN']);
  expect((await smoke(['nobody', '--yes'], rule.cloud.env)).err).toContain('there is no rule "nobody"');
  expect((await smoke(['one', 'two', '--yes'], rule.cloud.env)).code).toBe(2);
});

test('Objects of an archive class cannot be read back: it says so before it publishes', async () => {
  rule = await startSmokeRule({ COS_STORAGE_CLASS: 'ARCHIVE' });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'function', status: 'fail' });
  expect(told.findings.at(-1)?.hint).toContain('COS_STORAGE_CLASS=STANDARD');
  expect(told.left).toMatchObject({ messages: 0, requestIds: [] });
});

test('A broker that is not reached from here is no fault of the rule: what comes proves it', async () => {
  rule = await startSmokeRule();
  rule.broker.createSubscription(SMOKE_TOPIC, 'backup');
  rule.broker.publish(SMOKE_TOPIC, [{ payload: 'one' }]);
  const { code, told } = await smokeJson(['--yes'], {
    ...rule.env,
    PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:9',
  });
  const publish = told.findings.find(({ item }) => item === 'publish');
  expect(publish).toMatchObject({ status: 'warn' });
  expect(publish?.cause).toContain('not possible from here');
  expect(publish?.hint).toBeTruthy();
  expect(code).toBe(0);
});

test('A backlog of many runs is left to the timer, before anything is published', async () => {
  rule = await startSmokeRule();
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    const { result } = await rule.run(requestId);
    return { result: { ...(result as object), stopReason: 'deadline' } };
  };
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'run', status: 'fail' });
  expect(told.findings.at(-1)?.hint).toContain('tdmq-backup run');
  expect(told.left.requestIds).toHaveLength(3);
  expect(told.left.messages).toBe(0);
});

test('A run that SCF keeps from starting for good is a failure with a hint', async () => {
  rule = await startSmokeRule();
  rule.cloud.api.fail({ action: 'scf:Invoke', code: 'LimitExceeded.FunctionOnTopic', times: 10_000 });
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'run', status: 'fail' });
  expect(told.findings.at(-1)?.hint).toContain('rule logs');
});

test('Nothing can be read back: the step fails with a hint, and what is left is reported', async () => {
  rule = await startSmokeRule();
  let runs = 0;
  rule.cloud.api.state.run = async (_fn, _event, requestId) => {
    const ran = await rule.run(requestId);
    if (++runs === 2) rule.cloud.cos.setTokenExpired(true);
    return ran;
  };
  const { code, told } = await smokeJson(['--yes']);
  expect(code).toBe(1);
  expect(told.findings.at(-1)).toMatchObject({ item: 'objects', status: 'fail' });
  expect(told.findings.at(-1)?.hint).toBeTruthy();
  expect(told.left.messages).toBe(3);
});

test('Ctrl-C ends it within a second, and says what may be left', async () => {
  rule = await startSmokeRule();
  const interrupt = new AbortController();
  let runs = 0;
  rule.cloud.api.state.run = (_fn, _event, requestId) => {
    if (++runs === 1) return rule.run(requestId);
    interrupt.abort(new Error('Ctrl-C'));
    return new Promise(() => undefined);
  };
  const { terminal, err } = testTerminal(rule.env, interrupt.signal, { clock: rule.cloud.clock });
  let stop: (() => number) | undefined;
  interrupt.signal.addEventListener('abort', () => {
    stop = startStopwatch();
  });
  expect(await main(['smoke', '--yes'], terminal)).toBe(130);
  expect(stop?.()).toBeLessThan(1_000);
  expect(err()).toMatch(/messages {3}3 in persistent:/);
});
