// The main job with PULSAR_DRIVER=native: the packaged function drains a real broker, fed by the official Python
// client, over pulsar-client where its binding loads. Where it does not load, the run has to say how to get it.
import { describe, expect, it, vi } from 'vitest';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { findNativeBinding, type NativeBinding } from '../contract/native-binding.ts';
import { encodeMessages } from '../stand-ins/broker/publish.ts';
import { expectExactlyOnce, fingerprint, objectsUnder, storedFiles } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, type InvokeOptions, invoke, type Summary } from './invoke.ts';
import { type ProducerSpec, type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const binding = await findNativeBinding('the main job with PULSAR_DRIVER=native');
const cos = useCos();

if (binding === undefined) {
  it('PULSAR_DRIVER=native fails the run where pulsar-client does not load, and says how to get it', async () => {
    const env = ruleEnv(cos(), 'pulsar://127.0.0.1:1', 'public/default/t', { PULSAR_DRIVER: 'native' });
    const { thrown, logs, output } = await invoke({ env });
    expect(thrown, output).toMatchObject({ code: 'config', hint: expect.stringContaining('1.14.0') });
    expect(logs.at(-1)).toMatchObject({ message: 'run failed', hint: thrown?.hint });
  });
} else {
  describe(`the packaged function over pulsar-client ${binding.version}`, () => describeMainJob(binding));
}

function describeMainJob({ can }: NativeBinding): void {
  const broker = useBroker();

  async function publishedTopic(name: string, partitions: number, ...specs: Omit<ProducerSpec, 'topic'>[]) {
    const topic = await createTopic(broker(), name, partitions);
    await createSubscription(broker(), topic, 'backup');
    const published: PublishedMessage[] = [];
    for (const spec of specs) {
      const first_sequence_id = published.length + 1;
      published.push(...(await publish(broker().serviceUrl, { ...spec, topic, first_sequence_id })));
    }
    return { topic, published };
  }

  async function run(
    topic: string,
    env: Readonly<Record<string, string>> = {},
    options: Partial<InvokeOptions> = {},
  ): Promise<Invocation & { summary: Summary }> {
    const rule = ruleEnv(cos(), broker().serviceUrl, topic, { PULSAR_DRIVER: 'native', ...env });
    const invocation = await invoke({ ...options, env: rule });
    const { summary } = invocation;
    if (summary === undefined) throw new Error(`the run failed:\n${invocation.output}`);
    return { ...invocation, summary };
  }

  async function expectBackedUp(topic: string, published: readonly PublishedMessage[]): Promise<void> {
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published, can);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  }

  it('stores 24,000 messages of 4 partitions once each, acknowledges them, and stores none again', async () => {
    const { topic, published } = await publishedTopic('orders', 4, { count: 24_000, keys: 500 });
    const { summary, logs } = await run(topic);
    await expectBackedUp(topic, published);
    expect(summary).toMatchObject({
      stopReason: 'caught_up',
      messages: 24_000,
      objects: storedFiles(cos(), prefixOf(topic)).length,
      alreadyStored: 0,
      unreadable: 0,
      partitions: 4,
    });
    expect(logs.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    const before = fingerprint(cos(), prefixOf(topic));
    expect((await run(topic)).summary).toMatchObject({ messages: 0, objects: 0, alreadyStored: 0 });
    expect(fingerprint(cos(), prefixOf(topic))).toEqual(before);
  });

  it('stores the same lines as the wire driver, but for what pulsar-client does not report', async () => {
    const { topic, published } = await publishedTopic('both', 2, {
      count: 3_000,
      content: 'varied',
      size: 300,
    });
    await createSubscription(broker(), topic, 'wire');
    await run(topic);
    await run(topic, { PULSAR_DRIVER: 'wire', PULSAR_SUBSCRIPTION: 'wire', COS_PREFIX: 'both-wire/' });
    await expectBackedUp(topic, published);
    const keysOf = (prefix: string) =>
      storedFiles(cos(), prefix).map(({ object }) => object.key.replace(prefix, ''));
    expect(keysOf(prefixOf(topic))).toEqual(keysOf('both-wire/'));
  });

  it('stores a plain topic under partition=none, and nothing of an empty one', async () => {
    const { topic, published } = await publishedTopic('plain', 0, { count: 300, batching: false });
    await run(topic, { FILE_MAX_MESSAGES: '100' });
    await expectBackedUp(topic, published);
    expect(storedFiles(cos(), prefixOf(topic)).map(({ partition }) => partition)).toEqual([
      'none',
      'none',
      'none',
    ]);
    const { topic: empty } = await publishedTopic('empty', 0);
    expect((await run(empty)).summary).toMatchObject({ messages: 0, objects: 0, stopReason: 'caught_up' });
    expect(objectsUnder(cos(), prefixOf(empty))).toEqual([]);
  });

  it('makes the subscription at the beginning of the topic where there is none', async () => {
    const topic = await createTopic(broker(), 'unsubscribed');
    await createSubscription(broker(), topic, 'keeper'); // else the broker would drop what nobody waits for
    const published = await publish(broker().serviceUrl, { topic, count: 50 });
    await run(topic);
    await expectBackedUp(topic, published);
  });

  it('finds the brokers by HTTP where the service URL is http://', async () => {
    const { topic, published } = await publishedTopic('over-http', 2, { count: 200 });
    await run(topic, { PULSAR_SERVICE_URL: broker().httpUrl });
    await expectBackedUp(topic, published);
  });

  it.each([
    ['in batches', {}],
    ['one by one', { batching: false }],
    ['compressed with LZ4', { compression: 'LZ4' }],
    ['compressed with ZLib', { compression: 'ZLib' }],
    ['compressed with ZSTD', { compression: 'ZSTD' }],
    ['compressed with SNAPPY', { compression: 'SNAPPY' }],
  ] as const)('stores messages of every kind, published %s', async (title, spec) => {
    const name = `varied-${title.replaceAll(' ', '-')}`;
    const varied = { content: 'varied', count: 400, size: 700, batch_messages: 30 } as const;
    const { topic, published } = await publishedTopic(name, 2, { ...spec, ...varied });
    await run(topic);
    await expectBackedUp(topic, published);
  });

  it('stores chunked messages and what is between them', async () => {
    const small = { count: 5, batching: false } as const;
    const large = { count: 2, size: 6_000_000, chunking: true };
    const { topic, published } = await publishedTopic('chunked', 0, small, large, small);
    const { logs } = await run(topic);
    await expectBackedUp(topic, published);
    expect(logs.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it.each(['failover', 'shared', 'key_shared'])('stores everything of a %s subscription', async (type) => {
    const { topic, published } = await publishedTopic(`type-${type}`, 2, { count: 1_000, keys: 50 });
    await run(topic, { PULSAR_SUBSCRIPTION_TYPE: type });
    const stored = storedFiles(cos(), prefixOf(topic)).flatMap(({ records }) => records.map(({ id }) => id));
    expect(new Set(stored)).toEqual(new Set(published.map(({ id }) => id)));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('shares the partitions of a Failover subscription between instances, each message in one object', async () => {
    const { topic, published } = await publishedTopic('instances', 6, { count: 12_000 });
    const env = { PULSAR_SUBSCRIPTION_TYPE: 'failover', FILE_MAX_MESSAGES: '300' };
    await Promise.all([run(topic, env), run(topic, env), run(topic, env)]);
    await run(topic, env);
    await expectBackedUp(topic, published);
  });

  it('ends while a producer goes on publishing, and the next run takes the rest', async () => {
    const { topic } = await publishedTopic('steady', 0);
    const publisher = await connectPublisher(broker().serviceUrl, undefined);
    const ids: string[] = [];
    let isPublishing = true;
    const publishing = (async () => {
      while (isPublishing) {
        const bytes = encodeMessages([{ payload: `m${ids.length}` }], ids.length);
        const entries = bytes.map((one) => ({ bytes: one, messages: 1, isChunk: false }));
        for (const { ledgerId, entryId } of await publisher.publish(topic, entries))
          ids.push(`${ledgerId}:${entryId}:-1:-1`);
      }
    })();
    await vi.waitUntil(() => ids.length > 200, { timeout: 20_000 });
    const { summary } = await run(topic);
    isPublishing = false;
    await publishing;
    await publisher.close();
    expect(summary).toMatchObject({ stopReason: 'caught_up', objects: 1 });
    expect(summary.messages).toBeGreaterThan(200);
    expect(summary.messages).toBeLessThan(ids.length);
    await run(topic);
    const stored = storedFiles(cos(), prefixOf(topic)).flatMap(({ records }) => records.map(({ id }) => id));
    expect(stored).toEqual(ids);
  });
}
