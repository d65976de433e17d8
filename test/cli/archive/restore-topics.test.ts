// `tdmq-backup archive restore --map` over the stand-ins: several topics of one archive, each to its own; and what a dry run
// finds out about the topics before anything is published.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { readStoredMessages } from '../../contract/stored-messages.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const SECOND = 'public/default/payments';
let rule: LoopbackStage;

vi.setConfig({ testTimeout: 60_000 });

/** Backed up once; each test has its own bucket with the same objects, and a broker with the same messages. */
let source: LoopbackStage;
beforeAll(async () => {
  rule = source = await publishedStage();
  await backUp(TOPIC);
  await backUp(SECOND);
});
afterAll(() => source.close());

beforeEach(async () => {
  rule = await publishedStage(source);
  rule.broker.createTopic('public/default/orders-new', 2);
  rule.broker.createTopic('public/default/payments-new', 3);
});
afterEach(() => rule.close());

async function publishedStage(archiveOf?: LoopbackStage): Promise<LoopbackStage> {
  const stage = await startLoopbackStage({ autoCreatesTopics: false, archiveOf });
  stage.broker.createTopic(SECOND, 3);
  for (const [topic, count] of [
    [TOPIC, 40],
    [SECOND, 30],
  ] as const)
    stage.broker.publish(
      topic,
      Array.from({ length: count }, (_, i) => ({ payload: `${topic} ${i}`, key: `key-${i % 4}` })),
    );
  return stage;
}

async function backUp(topic: string) {
  const name = topic.split('/').at(-1) as string;
  const env = { ...rule.env, PULSAR_TOPIC: topic, RULE_NAME: `${name}-backup`, FILE_MAX_MESSAGES: '5' };
  const { terminal, err } = testTerminal(env);
  expect(await main(['run'], terminal), err()).toBe(0);
}

async function restore(args: readonly string[], signal?: AbortSignal, env: Record<string, string> = {}) {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env }, signal);
  const code = await main(['archive', 'restore', ...args], terminal);
  return { code, out: out(), err: err() };
}

/** The payloads of each partition of a topic, in order. */
async function stored(topic: string, partitions: number): Promise<string[][]> {
  const names = Array.from({ length: partitions }, (_, i) => `persistent://${topic}-partition-${i}`);
  const messages = await Promise.all(names.map((name) => readStoredMessages(rule.broker, name)));
  return messages.map((own) => own.map(({ payload }) => String(payload)));
}

const map = (old: string, to: string) => ['--map', `public/default/${old}=public/default/${to}`];
const BOTH = [...map('orders', 'orders-new'), ...map('payments', 'payments-new')];

test('two topics go to theirs, each message in its partition and in its order', async () => {
  const { code, out, err } = await restore(BOTH);
  expect(code, err).toBe(0);
  expect(out).toContain('Published 70 messages');
  expect(await stored('public/default/orders-new', 2)).toEqual(await stored(TOPIC, 2));
  expect(await stored('public/default/payments-new', 3)).toEqual(await stored(SECOND, 3));
  const again = await restore(BOTH);
  expect(again.code).toBe(3);
  expect(again.err.match(/this restore was done/g)).toHaveLength(2);
});

test('a pattern maps a namespace, a name goes before it, and OLD= leaves one out', async () => {
  const all = ['--map', 'public/default/*=public/default/*-new'];
  const { code, out } = await restore([...all, '--map', 'public/default/payments=', '--json']);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    messages: 40,
    topics: [{ target: 'persistent://public/default/orders-new' }],
  });
  expect((await stored('public/default/payments-new', 3)).flat()).toEqual([]);
  const rest = await restore([...all, '--json']);
  expect(rest.code).toBe(0);
  expect(JSON.parse(rest.out)).toMatchObject({ messages: 30, isDone: false });
  expect((await stored('public/default/payments-new', 3)).flat()).toHaveLength(30);
});

test('several topics may go into one, where each message is once', async () => {
  const into = [...map('orders', 'payments-new'), ...map('payments', 'payments-new')];
  expect((await restore(into)).code).toBe(0);
  const there = (await stored('public/default/payments-new', 3)).flat();
  expect(there.toSorted()).toEqual(
    [...(await stored(TOPIC, 2)), ...(await stored(SECOND, 3))].flat().toSorted(),
  );
});

test('everything goes to the partition that --to-partition names, which has to be there', async () => {
  expect((await restore([...BOTH, '--to-partition', '1'])).code).toBe(0);
  const [first, second] = await stored('public/default/orders-new', 2);
  expect(first).toEqual([]);
  expect(second).toHaveLength(40);
  const wrong = await restore([...BOTH, '--to-partition', '2']);
  expect(wrong.code).toBe(1);
  expect(wrong.err).toContain('has 2 partitions, and no partition 2');
});

test.each([
  [
    'a topic that no --map names',
    map('orders', 'orders-new'),
    2,
    'no --map names persistent://public/default/payments',
  ],
  [
    'one that names nothing',
    [...BOTH, ...map('nothing', 'x')],
    1,
    'holds no messages of persistent://public/default/nothing',
  ],
  ['a pattern that fits nothing', [...BOTH, ...map('q*', 'r*')], 2, 'no topic that fits'],
  ['two patterns that fit', [...map('*', '*-new'), ...map('p*', 'q*')], 2, 'name it by itself'],
  ['two topics for one', [...BOTH, ...map('orders', 'x')], 2, 'another --map names the same topic'],
  ['what is no map', ['--map', 'orders'], 2, 'expected OLD=NEW'],
  ['a cycle', [...map('orders', 'payments'), ...map('payments', 'orders')], 1, '--into-same-topic'],
  ['a missing topic', [...map('orders', 'orders-new'), ...map('payments', 'nowhere')], 1, 'Create the topic'],
  [
    'a partition that is not there',
    [...map('orders', 'orders-new-partition-7'), ...map('payments', 'payments-new')],
    1,
    'no partition 7',
  ],
  ['--to beside it', [...BOTH, '--to', 'public/default/x'], 2, 'choose one'],
  ['--offline without --dry-run', [...BOTH, '--offline'], 2, '--dry-run'],
])('refuses %s before anything is published', async (_, args, code, text) => {
  const found = await restore(args);
  expect(found.code, found.err).toBe(code);
  expect(found.err).toContain(text);
  expect((await stored('public/default/orders-new', 2)).flat()).toEqual([]);
  expect(rule.cos.objects().filter(({ key }) => key.includes('_restores'))).toEqual([]);
});

test('--topic means the one topic, whatever else the maps name', async () => {
  expect((await restore([...BOTH, '--topic', TOPIC])).code).toBe(0);
  expect((await stored('public/default/orders-new', 2)).flat()).toHaveLength(40);
  expect((await stored('public/default/payments-new', 3)).flat()).toEqual([]);
});

test('stopped by Ctrl-C, the same command goes on with both, and with another one besides', async () => {
  const interrupt = new AbortController();
  let sends = 0;
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send' && ++sends === 9) interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  const slow = ['--no-batching', '--rate', '300'];
  expect((await restore([...BOTH, ...slow], interrupt.signal)).code).toBe(130);
  unhook();
  const second = await restore([...BOTH, '--no-batching', '--json']);
  expect(second.code, second.err).toBe(0);
  const { messages, skipped } = JSON.parse(second.out);
  expect([messages + skipped, skipped > 0]).toEqual([70, true]);
  expect(await stored('public/default/orders-new', 2)).toEqual(await stored(TOPIC, 2));
  expect(await stored('public/default/payments-new', 3)).toEqual(await stored(SECOND, 3));
});

test('a dry run publishes nothing, and says how the topics are and how long it takes', async () => {
  const { code, out, err } = await restore([...BOTH, '--dry-run']);
  expect(code, err).toBe(0);
  expect(out).toContain('the topic is there with 2 partitions');
  expect(out).toMatch(/Would publish 70 messages, .* of 2 topics/);
  expect(out).toMatch(/It takes ([\d.]+ s to )?[\d.]+ s: reading took/);
  expect(out).not.toContain('has messages already');
  rule.broker.publish('public/default/orders-new', [{ payload: 'of somebody else' }]);
  const { out: json } = await restore([...BOTH, '--dry-run', '--json']);
  const report = JSON.parse(json);
  expect(report.topics.map((one: { check: object }) => one.check)).toMatchObject([
    { partitions: 2, isEmpty: false, maxEntryBytes: 5_242_880 },
    { partitions: 3, isEmpty: true },
  ]);
  expect(report.estimate.seconds).toBeGreaterThan(0);
  expect((await restore([...BOTH, '--dry-run'])).out).toContain('the topic has messages already');
  const limited = JSON.parse((await restore([...BOTH, '--dry-run', '--json', '--rate', '2'])).out);
  expect(limited.estimate.seconds).toBe(35);
  expect((await restore([...map('orders', 'nowhere'), '--topic', TOPIC, '--dry-run'])).err).toContain(
    'Create the topic',
  );
  expect(rule.cos.objects().filter(({ key }) => key.includes('_restores'))).toEqual([]);
});

test('a dry run of what was begun counts what is left', async () => {
  const interrupt = new AbortController();
  let sends = 0;
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send' && ++sends === 9) interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  expect((await restore([...BOTH, '--no-batching', '--rate', '300'], interrupt.signal)).code).toBe(130);
  unhook();
  const { out } = await restore([...BOTH, '--dry-run', '--json']);
  const { messages, skipped } = JSON.parse(out);
  expect([messages + skipped, skipped > 0]).toEqual([70, true]);
});

test('--offline asks no broker, and needs none', async () => {
  const { code, out, err } = await restore([...BOTH, '--dry-run', '--offline'], undefined, {
    PULSAR_SERVICE_URL: '',
  });
  expect(code, err).toBe(0);
  expect(out).toContain('Would publish 70 messages');
  expect(out).toContain('no broker was asked');
});
