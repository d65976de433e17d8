// The main job, end to end: the packaged function drains a real Pulsar broker, fed by the official Python client, into
// the loopback COS. What was stored is read by the documented format, not by the product's own reader.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  entriesByPartition,
  expectExactlyOnce,
  fingerprint,
  objectsUnder,
  runManifests,
  type StoredFile,
  storedFiles,
} from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, type InvokeOptions, invoke, type Summary } from './invoke.ts';
import { type ProducerSpec, type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker();
const cos = useCos();

/** A topic with the rule's subscription, and what was published to it. */
async function publishedTopic(
  name: string,
  partitions: number,
  ...specs: Omit<ProducerSpec, 'topic'>[]
): Promise<{ topic: string; published: PublishedMessage[] }> {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'backup');
  const published: PublishedMessage[] = [];
  for (const spec of specs) {
    published.push(
      ...(await publish(broker().serviceUrl, { ...spec, topic, first_sequence_id: published.length + 1 })),
    );
  }
  return { topic, published };
}

async function run(
  topic: string,
  env: Readonly<Record<string, string>> = {},
  options: Partial<InvokeOptions> = {},
): Promise<Invocation & { summary: Summary }> {
  const invocation = await invoke({ ...options, env: ruleEnv(cos(), broker().serviceUrl, topic, env) });
  const { summary } = invocation;
  if (summary === undefined) throw new Error(`the run failed:\n${invocation.output}`);
  return { ...invocation, summary };
}

/** How many messages each file holds if 5000 are the limit and files end where entries end. */
function expectedFileSizes(entries: readonly (readonly unknown[])[], limit = 5000): number[] {
  const sizes: number[] = [];
  let open = 0;
  for (const { length } of entries) {
    if (open > 0 && open + length > limit) {
      sizes.push(open);
      open = 0;
    }
    open += length;
    if (open >= limit) {
      sizes.push(open);
      open = 0;
    }
  }
  return open > 0 ? [...sizes, open] : sizes;
}

/** The key of the file that begins with this record, put together from the design's words. */
function expectedKey(topic: string, { partition, records }: StoredFile): string {
  const first = records[0];
  if (first === undefined) throw new Error('an object without a record');
  const [ledger, entry, , batchIndex] = first.id.split(':') as [string, string, string, string];
  const place = [
    ledger.padStart(12, '0'),
    entry.padStart(10, '0'),
    batchIndex.replace('-1', '0').padStart(5, '0'),
  ];
  const date = first.publishTime.slice(0, 10);
  const path = topic.replace('persistent://', '');
  return `${prefixOf(topic)}${path}/date=${date}/partition=${partition}/${place.join('-')}.jsonl`;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('24,000 messages of 1 KiB in 4 partitions', () => {
  let topic = '';
  let published: PublishedMessage[] = [];
  let files: StoredFile[] = [];
  let first: Awaited<ReturnType<typeof run>> | undefined;

  it('stand each in exactly one object with every field intact', async () => {
    ({ topic, published } = await publishedTopic('orders', 4, { count: 24_000, keys: 500 }));
    first = await run(topic, {}, { requestId: 'request-orders' });
    files = storedFiles(cos(), prefixOf(topic));
    expectExactlyOnce(files, topic, published);
    expect(first.summary).toMatchObject({
      rule: 'backup',
      requestId: 'request-orders',
      stopReason: 'caught_up',
      messages: 24_000,
      objects: files.length,
      alreadyStored: 0,
      unreadable: 0,
      partitions: 4,
    });
  });

  it('are all acknowledged', async () => {
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('are in files that roll at 5000 messages, on the border of an entry', () => {
    const partitions = entriesByPartition(published);
    expect([...partitions.keys()].sort()).toEqual(['0', '1', '2', '3']);
    let rolled = 0;
    for (const [partition, entries] of partitions) {
      const sizes = files.filter((file) => file.partition === partition).map(({ records }) => records.length);
      expect(sizes, `partition ${partition}`).toEqual(expectedFileSizes(entries));
      rolled += sizes.length - 1;
    }
    expect(rolled, 'files that were followed by another').toBeGreaterThan(0);
  });

  it('are under keys and with metadata that report what is inside', () => {
    expect(files.length).toBeGreaterThan(4);
    for (const file of files) {
      const { object, records } = file;
      const [from, to] = [records[0], records.at(-1)];
      const times = records.map(({ publishTime }) => publishTime).sort();
      expect(object.key).toBe(expectedKey(topic, file));
      expect(object.headers['content-type']).toBe('application/x-ndjson');
      expect(object.metadata).toEqual({
        format: 'tdmq-backup/1',
        rule: 'backup',
        'first-id': from?.id,
        'first-publish-time': from?.publishTime,
        'last-id': to?.id,
        'last-publish-time': to?.publishTime,
        'earliest-publish-time': times[0],
        'latest-publish-time': times.at(-1),
        messages: String(records.length),
        'record-bytes': String(object.bytes.length),
        sha256: sha256(object.bytes),
      });
    }
  });

  it('are listed in the manifest of the run', () => {
    const manifests = runManifests(cos(), prefixOf(topic));
    expect(manifests).toHaveLength(1);
    const { key, manifest } = manifests[0] as (typeof manifests)[number];
    const startedAt = first?.summary.startedAt ?? '';
    const start = startedAt.replaceAll(/[-:.]/g, '');
    expect(key).toBe(
      `${prefixOf(topic)}_runs/rule=backup/date=${startedAt.slice(0, 10)}/${start}-request-orders.json`,
    );
    const { storedObjects, positions, durationMs, ...rest } = manifest;
    const { durationMs: _, ...counts } = first?.summary ?? {};
    expect(rest).toEqual({
      format: 'tdmq-backup-run/1',
      ...counts,
      topic,
      subscription: 'backup',
      subscriptionType: 'exclusive',
      spansInKeysSince: startedAt,
    });
    expect(durationMs).toBeTypeOf('number');
    expect(positions).toHaveLength(first?.summary.partitions as number);
    const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
    expect((storedObjects as { key: string }[]).toSorted(byKey)).toEqual(
      files.map(({ object, partition, records }) => ({
        key: object.key,
        partition: Number(partition),
        messages: records.length,
        recordBytes: object.bytes.length,
        size: object.bytes.length,
        firstId: records[0]?.id,
        lastId: records.at(-1)?.id,
        firstPublishTime: records[0]?.publishTime,
        lastPublishTime: records.at(-1)?.publishTime,
        crc64: object.crc64,
        sha256: sha256(object.bytes),
        alreadyStored: false,
      })),
    );
  });

  it('are reported in log lines that carry the rule and the request', () => {
    const logs = first?.logs ?? [];
    expect(logs.length).toBeGreaterThan(2);
    for (const line of logs) expect(line).toMatchObject({ rule: 'backup', requestId: 'request-orders' });
    expect(logs[0]?.message).toBe('run started');
    expect(logs.filter(({ message }) => message === 'object stored')).toHaveLength(files.length);
    expect(logs.at(-1)).toMatchObject({ message: 'run finished', messages: 24_000, stopReason: 'caught_up' });
  });

  it('are not stored again by a second run', async () => {
    const before = fingerprint(cos(), prefixOf(topic));
    const { summary } = await run(topic);
    expect(summary).toMatchObject({ messages: 0, objects: 0, alreadyStored: 0, stopReason: 'caught_up' });
    expect(fingerprint(cos(), prefixOf(topic))).toEqual(before);
    expect(cos().replacedCount).toBe(0);
  });

  it('are followed, not joined, by what is published later', async () => {
    const before = fingerprint(cos(), prefixOf(topic));
    const later = await publish(broker().serviceUrl, {
      topic,
      count: 40,
      seed: 2,
      first_sequence_id: 24_001,
    });
    const { summary } = await run(topic, {}, { requestId: 'request-later' });
    expect(summary.messages).toBe(40);
    expect(fingerprint(cos(), prefixOf(topic))).toEqual(expect.arrayContaining(before));
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, [...published, ...later]);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});

describe('a plain topic', () => {
  it('is stored under partition=none', async () => {
    const { topic, published } = await publishedTopic('plain', 0, { count: 300 });
    const { summary } = await run(topic, { FILE_MAX_MESSAGES: '100' });
    const files = storedFiles(cos(), prefixOf(topic));
    expectExactlyOnce(files, topic, published);
    expect(files.map((file) => file.partition)).toEqual(['none', 'none', 'none']);
    for (const file of files) expect(file.object.key).toBe(expectedKey(topic, file));
    expect(summary).toMatchObject({ messages: 300, objects: 3, partitions: 1 });
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('without a message stores nothing, not even a manifest', async () => {
    const { topic } = await publishedTopic('empty', 0);
    const { summary } = await run(topic);
    expect(summary).toMatchObject({ messages: 0, objects: 0, stopReason: 'caught_up' });
    expect(objectsUnder(cos(), prefixOf(topic))).toEqual([]);
  });

  it('gets its subscription from the first run, at the beginning of the topic', async () => {
    const topic = await createTopic(broker(), 'unsubscribed');
    await createSubscription(broker(), topic, 'keeper'); // else the broker would drop what nobody waits for
    const published = await publish(broker().serviceUrl, { topic, count: 50 });
    await run(topic);
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});

it('a rule with an http:// service URL finds the brokers by HTTP', async () => {
  const { topic, published } = await publishedTopic('over-http', 2, { count: 200 });
  await run(topic, { PULSAR_SERVICE_URL: broker().httpUrl });
  expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
  expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
});

describe('messages of every kind', () => {
  it.each([
    ['in batches', {}],
    ['one by one', { batching: false }],
    ['compressed with LZ4', { compression: 'LZ4' }],
    ['compressed with ZLib', { compression: 'ZLib' }],
    ['compressed with ZSTD', { compression: 'ZSTD' }],
    ['compressed with SNAPPY', { compression: 'SNAPPY' }],
  ] as const)('come through byte by byte, published %s', async (title, spec) => {
    const { topic, published } = await publishedTopic(`varied-${title.replaceAll(' ', '-')}`, 2, {
      ...spec,
      content: 'varied',
      count: 400,
      size: 700,
      batch_messages: 30,
    });
    await run(topic);
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('come through a chunked publication and between such', async () => {
    const small = { count: 5, batching: false } as const;
    const { topic, published } = await publishedTopic(
      'chunked',
      0,
      small,
      { count: 2, size: 6_000_000, chunking: true },
      small,
    );
    await run(topic);
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('come through gzip, in objects named .jsonl.gz', async () => {
    const { topic, published } = await publishedTopic('gzipped', 2, { content: 'varied', count: 400 });
    await run(topic, { FILE_COMPRESSION: 'gzip' });
    const files = storedFiles(cos(), prefixOf(topic));
    expectExactlyOnce(files, topic, published);
    for (const file of files) {
      expect(file.object.key).toBe(`${expectedKey(topic, file)}.gz`);
      expect(file.object.headers['content-encoding']).toBeUndefined();
      expect(file.object.metadata['sha256']).toBe(sha256(file.object.bytes));
    }
  });
});

it('a file of more than one part goes up in parts, and is in the bucket as one object', async () => {
  const { topic, published } = await publishedTopic('large', 0, { count: 3_000, size: 8_192 });
  const { summary } = await run(topic, {}, { memoryMb: 256 });
  const files = storedFiles(cos(), prefixOf(topic));
  expectExactlyOnce(files, topic, published);
  expect(files).toHaveLength(1);
  expect(summary.recordBytes).toBe(files[0]?.object.bytes.length);
  const kinds = cos()
    .requests()
    .filter(({ key }) => key === files[0]?.object.key)
    .map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'part').length).toBeGreaterThan(1);
  expect(kinds.at(-1)).toBe('complete');
  expect(cos().uploads()).toEqual([]);
  expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
});

it.each(['failover', 'shared', 'key_shared'])(
  'a rule with a %s subscription stores everything',
  async (type) => {
    const { topic, published } = await publishedTopic(`type-${type}`, 2, { count: 1_000, keys: 50 });
    await run(topic, { PULSAR_SUBSCRIPTION_TYPE: type });
    const files = storedFiles(cos(), prefixOf(topic));
    const stored = files.flatMap(({ records }) => records.map(({ id }) => id));
    expect(new Set(stored)).toEqual(new Set(published.map(({ id }) => id)));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  },
);
