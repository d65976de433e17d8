// The way back, on a real broker: the official Python client publishes, the packaged function backs up, `archive
// restore` publishes to another topic, and the Python client reads there what it once published.
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { readStoredMessages, type StoredMessage } from '../contract/stored-messages.ts';
import { encodeMessages, type LoopbackMessage } from '../stand-ins/broker/publish.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import { invoke } from './invoke.ts';
import { consume, type ProducerSpec, type PublishedMessage, publish } from './python-clients.ts';
import { startCommand } from './restore-under-test.ts';
import { expectInOrder, expectRestored, oldId, promised } from './restored-messages.ts';
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
    { content: 'varied', count: 2, size: 6_000_000, chunking: true },
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

/** What the Python client cannot publish, and all it can, in every combination. */
function everyKind(): LoopbackMessage[] {
  const payloads = [null, '', 'text', 'Grüße, 世界 🌍\0\n', Buffer.from([0xff, 0, 0xfe])];
  const keys = [
    undefined,
    '',
    'k',
    'schlüssel-世界',
    Buffer.alloc(0),
    Buffer.from([0xff, 0]),
    Buffer.from('text'),
  ];
  const orderingKeys = [undefined, Buffer.alloc(0), Buffer.from('order'), Buffer.from([0xff, 1])];
  const properties = [undefined, { a: '' }, { z: '1', a: 'b', ü: '世界', __proto__x: 'x', '7': '7' }];
  return payloads.flatMap((payload, i) =>
    keys.flatMap((key, j) =>
      orderingKeys.map((orderingKey, k) => ({
        payload,
        ...(key === undefined ? {} : { key }),
        ...(orderingKey === undefined ? {} : { orderingKey }),
        ...(properties[(i + j + k) % 3] === undefined
          ? {}
          : { properties: properties[(i + j + k) % 3] ?? {} }),
        ...((i + j + k) % 2 === 0 ? {} : { eventTimeMs: 1_700_000_000_123 + i * j + k }),
      })),
    ),
  );
}

/** All that is promised of a message as it is in a topic. */
const storedFacts = ({ key, orderingKey, properties, eventTimeMs, payload }: StoredMessage) => ({
  ...{ key, orderingKey, eventTimeMs, payload },
  properties: properties.filter(([name]) => !name.startsWith('tdmq-backup-')).toSorted(),
});

it.each([
  ['in batches', []],
  ['one by one', ['--no-batching']],
])('messages of kinds that few clients can publish come back too, restored %s', async (title, args) => {
  const name = `kinds-${title.replaceAll(' ', '-')}`;
  const topic = await createTopic(broker(), name);
  await createSubscription(broker(), topic, 'backup');
  const publisher = await connectPublisher(broker().serviceUrl, undefined);
  const messages = everyKind();
  for (const batchSize of [0, 20]) {
    const entries = encodeMessages(messages, batchSize * 100, { batchSize, producerName: 'p' }).map(
      (bytes) => ({
        ...{ bytes, isChunk: false },
        messages: batchSize || 1,
      }),
    );
    await publisher.publish(topic, entries);
  }
  await publisher.close();
  const env = ruleEnv(cos(), broker().serviceUrl, topic);
  expect((await invoke({ env })).summary?.messages).toBe(messages.length * 2);
  const target = await topicToRestoreInto(`restored-${name}`, 0);
  await archive(env, 'restore', '--to', target, ...args);

  const [before, after] = [
    await readStoredMessages(broker(), topic),
    await readStoredMessages(broker(), target),
  ];
  expect(before).toHaveLength(messages.length * 2);
  expect(after.map(storedFacts)).toEqual(before.map(storedFacts));
  // And as the official client reads both topics.
  const [published, restored] = [
    await consume(broker().serviceUrl, { topic }),
    await consume(broker().serviceUrl, { topic: target }),
  ];
  expect(published).toHaveLength(messages.length * 2);
  expect(restored.map(promised)).toEqual(published.map(promised));
  expect(restored.map(oldId)).toEqual(published.map(({ id }) => id));
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

describe('killed with SIGKILL again and again, and called again', () => {
  beforeAll(async () => {
    const root = packageRoot(import.meta.url);
    await bundleCli(root, join(root, 'dist/cli'));
  });

  it.each([
    ['nothing is there twice where the namespace drops duplicates', 'deduplicated-kill', true],
    ['nothing is lost where it does not, and little is there twice', 'default', false],
  ])('%s', async (_, namespace, deduplicates) => {
    const { published, env } = await backedUp(
      `killed-${namespace}`,
      2,
      { content: 'varied', count: 3_000, size: 300, batch_messages: 30 },
      { content: 'varied', count: 4, size: 6_000_000, chunking: true },
      { count: 1_000, keys: 20, size: 300, batching: false },
    );
    const target = `persistent://public/${namespace}/after-kills`;
    if (deduplicates) {
      await broker().admin('PUT', `namespaces/public/${namespace}`, {});
      await broker().admin('POST', `namespaces/public/${namespace}/deduplication`, true);
    }
    await broker().admin('PUT', `${target.replace('://', '/')}/partitions`, 2);
    await createSubscription(broker(), target, 'keeper');
    const args = ['archive', 'restore', '--to', target, '--rate', '1000', '--compression', 'none'];
    let stored = 0;
    // Now and then before anything is written down, now and then after; with batches, chunks, receipts on their way.
    for (const more of deduplicates ? [100, 700, 1_300, 900, 300] : [1_500, 1_500]) {
      const run = startCommand(args, env);
      let isOver = false;
      void run.outcome.then(() => {
        isOver = true;
      });
      while (!isOver && (await countIn(target)) < stored + more) await sleep(5);
      run.kill9();
      const { code, err } = await run.outcome;
      expect(code, err).toBeNull();
      stored = await countIn(target);
    }
    const { code, err } = await startCommand(args, env).outcome;
    expect(code, err).toBe(0);
    const restored = await consume(broker().serviceUrl, { topic: target });
    const ids = restored.map(oldId);
    const twice = ids.length - new Set(ids).size;
    if (deduplicates) expect(twice).toBe(0);
    else expect(twice).toBeLessThan(stored);
    const once = restored.filter((message, i) => ids.indexOf(oldId(message)) === i);
    expectRestored(published, once);
    expectInOrder(once);
  });

  /** Entries and messages that the broker has taken. */
  async function countIn(topic: string): Promise<number> {
    const path = `${topic.replace('://', '/')}/partitioned-stats`;
    return (await broker().admin<{ msgInCounter: number }>('GET', path)).msgInCounter;
  }
});

it('what was restored is not restored again by the same command', async () => {
  const { env } = await backedUp('once', 0, { count: 10 });
  const target = await topicToRestoreInto('restored-once', 0);
  await archive(env, 'restore', '--to', target);
  await expect(archive(env, 'restore', '--to', target)).rejects.toThrow(/--again/);
  await expect(archive(env, 'restore', '--to', 'public/default/once')).rejects.toThrow(/--into-same-topic/);
  expect(await consume(broker().serviceUrl, { topic: target })).toHaveLength(10);
});
