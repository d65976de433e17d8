// The way back, on a real broker: the official Python client publishes, the packaged function backs up, `archive
// restore` publishes to another topic, and the Python client reads there what it once published.
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import { invoke } from './invoke.ts';
import {
  type ConsumedMessage,
  consume,
  type ProducerSpec,
  type PublishedMessage,
  publish,
} from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker();
const cos = useCos();

/** Publishes by the Python client and backs it up by the function. */
async function backedUp(
  name: string,
  partitions: number,
  ...specs: Omit<ProducerSpec, 'topic'>[]
): Promise<{ topic: string; published: PublishedMessage[]; env: Record<string, string> }> {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'backup');
  const published: PublishedMessage[] = [];
  for (const spec of specs) {
    const first_sequence_id = published.length + 1;
    published.push(...(await publish(broker().serviceUrl, { ...spec, topic, first_sequence_id })));
  }
  const env = ruleEnv(cos(), broker().serviceUrl, topic, { FILE_MAX_MESSAGES: '200' });
  const { summary, output } = await invoke({ env });
  expect(summary?.messages, output).toBe(published.length);
  return { topic, published, env };
}

async function archive(env: Record<string, string>, ...args: string[]): Promise<string> {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    streams[name].on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
    });
  const code = await main(['archive', ...args], { ...streams, env, signal: new AbortController().signal });
  expect(code, texts.stderr).toBe(0);
  return texts.stdout;
}

async function topicToRestoreInto(name: string, partitions: number): Promise<string> {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'keeper'); // else the broker would drop what nobody waits for
  return topic;
}

const oldId = ({ properties }: ConsumedMessage) => properties['tdmq-backup-id'] as string;

/** Everything that is promised of a restored message, whoever tells it. */
function promised(message: ConsumedMessage | PublishedMessage) {
  const { key, orderingKey, eventTimeMs, sha256 } = message;
  const { 'tdmq-backup-id': _id, 'tdmq-backup-publish-time': _time, ...own } = message.properties;
  const properties = Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1));
  return { key, orderingKey, eventTimeMs, sha256, properties };
}

function expectRestored(published: readonly PublishedMessage[], restored: readonly ConsumedMessage[]): void {
  expect(restored.map(oldId).toSorted()).toEqual(published.map(({ id }) => id).toSorted());
  const byId = new Map(published.map((message) => [message.id, message]));
  for (const message of restored)
    expect(promised(message), oldId(message)).toEqual(promised(byId.get(oldId(message)) as PublishedMessage));
}

/** The old ids that one old partition's messages have in each new partition, in the order in which they were read. */
function expectInOrder(restored: readonly ConsumedMessage[]): void {
  const orders = new Map<string, number[][]>();
  for (const message of restored) {
    const [ledger, entry, partition, batchIndex] = oldId(message).split(':').map(Number) as number[];
    const name = `${partition} ${message.topic}`;
    orders.set(name, [...(orders.get(name) ?? []), [ledger, entry, batchIndex] as number[]]);
  }
  const compare = (a: number[], b: number[]) =>
    a.map((part, i) => part - (b[i] as number)).find((difference) => difference !== 0) ?? 0;
  for (const [name, ids] of orders) expect(ids, name).toEqual(ids.toSorted(compare));
}

it.each([
  ['in batches', []],
  ['one by one', ['--no-batching', '--compression', 'none']],
])('messages of every kind come back as they were published, restored %s', async (title, args) => {
  const name = title.replaceAll(' ', '-');
  const { published, env } = await backedUp(
    `round-${name}`,
    2,
    { content: 'varied', count: 400, size: 700, batch_messages: 30 },
    { content: 'varied', count: 40, batching: false, seed: 2 },
    { count: 1, size: 6_000_000, chunking: true },
  );
  const target = await topicToRestoreInto(`restored-${name}`, 2);
  const told = await archive(env, 'restore', '--to', target, ...args);
  expect(told).toContain(`Published ${published.length} messages`);
  const restored = await consume(broker().serviceUrl, { topic: target });
  expectRestored(published, restored);
  expectInOrder(restored);
  for (const message of restored) {
    const partition = oldId(message).split(':')[2];
    expect(message.topic).toBe(`${target}-partition-${partition}`);
    expect(message.properties['tdmq-backup-publish-time']).toMatch(/^20\d\d-.*Z$/);
  }
});

it('a topic with other partitions gets the messages of a key in one partition, in order', async () => {
  const { published, env } = await backedUp('by-key', 3, { count: 600, keys: 20, size: 100 });
  const target = await topicToRestoreInto('restored-by-key', 2);
  await archive(env, 'restore', '--to', target);
  const restored = await consume(broker().serviceUrl, { topic: target });
  expectRestored(published, restored);
  expectInOrder(restored);
  const places = new Map<string, Set<string>>();
  for (const { key, topic } of restored)
    places.set(key ?? '', (places.get(key ?? '') ?? new Set()).add(topic));
  for (const [key, topics] of places) expect(topics.size, key).toBe(1);
});

it('a restore whose progress was lost publishes nothing twice where the namespace has deduplication', async () => {
  const { published, env } = await backedUp('lost-progress', 2, { count: 500, keys: 20, size: 100 });
  await broker().admin('PUT', 'namespaces/public/deduplicated', {});
  await broker().admin('POST', 'namespaces/public/deduplicated/deduplication', true);
  await broker().admin('PUT', 'persistent/public/deduplicated/target/partitions', 2);
  const target = 'persistent://public/deduplicated/target';
  await createSubscription(broker(), target, 'keeper');
  await archive(env, 'restore', '--to', target);
  // As kill -9 would leave it: the broker has everything, the progress beside the archive knows of nothing.
  const key = cos()
    .objects()
    .map((object) => object.key)
    .find(
      (one) => one.startsWith(env['COS_PREFIX'] as string) && /_restores\/\w+\.json$/.test(one),
    ) as string;
  const note = JSON.parse(cos().object(key)?.bytes.toString() ?? '');
  expect(note.isDone).toBe(true);
  const bytes = Buffer.from(JSON.stringify({ ...note, isDone: false, acknowledged: {} }));
  const store = createCosStore(parseConfig(env).cos, {
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const attributes = { metadata: {}, contentType: 'application/json' };
  await store.admin.putReplaceable(key, { chunks: [bytes], sizeBytes: bytes.length }, attributes);
  await store.close();
  const told = await archive(env, 'restore', '--to', target, '--json');
  expect(JSON.parse(told)).toMatchObject({ messages: 0, skipped: 500 });
  expectRestored(published, await consume(broker().serviceUrl, { topic: target }));
});

it('what was restored is not restored again by the same command', async () => {
  const { env } = await backedUp('once', 0, { count: 10 });
  const target = await topicToRestoreInto('restored-once', 0);
  await archive(env, 'restore', '--to', target);
  await expect(archive(env, 'restore', '--to', target)).rejects.toThrow(/--again/);
  await expect(archive(env, 'restore', '--to', 'public/default/once')).rejects.toThrow(/--into-same-topic/);
  expect(await consume(broker().serviceUrl, { topic: target })).toHaveLength(10);
});
