// Restoring: what is published, to which partition, in which order; and that no stop makes a message come twice.
import { expect, it } from 'vitest';
import { createObjectList } from '../../../src/archive/catalog/object-list.ts';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import { mayHold } from '../../../src/archive/catalog/selection.ts';
import { restoreMessages, shareBudget } from '../../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../../src/archive/restore/restore-options.ts';
import type { Acknowledged } from '../../../src/archive/restore/restore-progress.ts';
import { choosePartition, javaStringHash } from '../../../src/archive/restore/restore-routing.ts';
import { formatMessageId } from '../../../src/format/record.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { OutgoingMessage, Publisher } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, messages, PREFIX, sampleArchive, storeManifest, storeObject } from '../archive-fixture.ts';

const TARGET = parseTopicName('t/ns/replay') as TopicName;

/** A broker that keeps what it gets, by topic; with `remembers`, the last sequence id of each producer too. */
function fakePublisher(options: { remembers?: boolean; failAfter?: number } = {}) {
  const published: { topic: string; producerName: string; message: OutgoingMessage }[] = [];
  const lastIds = new Map<string, number>();
  let left = options.failAfter ?? Number.POSITIVE_INFINITY;
  const publisher: Publisher = {
    partitions: async () => 2,
    registerSchema: async () => new Uint8Array(8),
    look: async () => ({ partitions: 2, maxEntryBytes: 5_000_000, isEmpty: true, roundTripMs: 0 }),
    async open(topic, producerName) {
      const name = `${topic} ${producerName}`;
      let acknowledged = -1;
      return {
        lastSequenceId: options.remembers ? (lastIds.get(name) ?? -1) : -1,
        get acknowledgedSequenceId() {
          return acknowledged;
        },
        async send(one) {
          if (left-- <= 0) throw new Error('the broker is gone');
          published.push({ topic, producerName, message: one });
          lastIds.set(name, one.sequenceId);
          acknowledged = one.sequenceId;
        },
        sendEntry: async () => ({ kind: 'refused', reason: 'this broker takes messages only' }),
        push() {},
        flush: async () => undefined,
        close: async () => undefined,
      };
    },
    close: async () => undefined,
  };
  return { publisher, published, heal: () => (left = Number.POSITIVE_INFINITY) };
}

async function restore(
  store: MemoryStore,
  publisher: Publisher | undefined,
  rest: Partial<RestoreOptions> & { messagesPerSecond?: number } = {},
) {
  const { objects } = await readCatalog(store, PREFIX);
  const list = createObjectList(PREFIX);
  const { selection = {}, clock = systemClock } = rest;
  for (const object of objects) if (mayHold(object, selection)) list.add(object);
  const signal = rest.signal ?? new AbortController().signal;
  let saved: Acknowledged = {};
  const run = restoreMessages({
    store,
    partitions: list.partitions(),
    raw: [],
    selection,
    target: TARGET,
    sourcePartitions: 2,
    targetPartitions: 2,
    route: 'auto',
    publisher,
    restoreId: 'id',
    isResumed: false,
    compression: 'none',
    batching: true,
    budget: shareBudget({ topics: 1, partitions: 2 }, rest.messagesPerSecond, clock, signal),
    acknowledged: {},
    clock,
    signal,
    ...rest,
    save: async (acknowledged) => {
      saved = structuredClone(acknowledged);
      await rest.save?.(acknowledged);
    },
  });
  return { counts: await run.catch((error: Error) => error), saved: () => saved };
}

const idsOf = (published: { message: OutgoingMessage }[]) =>
  published.map(({ message: one }) => Object.fromEntries(one.properties)['tdmq-backup-id']);

const ids = (partition: number, from: number, to: number) =>
  messages(partition, from, to).map(({ id }) => formatMessageId(id));

it('publishes each partition in order to its own partition, with the old id and time as properties', async () => {
  const { store } = await sampleArchive();
  const { publisher, published } = fakePublisher();
  const { counts } = await restore(store, publisher);
  expect(counts).toMatchObject({ messages: 30, duplicates: 0, skipped: 0 });
  for (const [partition, last] of [
    [0, 19],
    [1, 9],
  ] as const) {
    const own = published.filter(({ topic }) => topic === `${TARGET.full}-partition-${partition}`);
    expect(idsOf(own)).toEqual(ids(partition, 0, last));
    expect(new Set(own.map(({ producerName }) => producerName))).toEqual(
      new Set([`tdmq-restore-id-${partition}`]),
    );
  }
  expect(published.find(({ message: one }) => one.properties[0]?.[1] === '3')?.message).toMatchObject({
    key: 'k0',
    properties: [
      ['n', '3'],
      ['tdmq-backup-id', '7:3:0:-1'],
      ['tdmq-backup-publish-time', '2026-11-23T12:00:03.000Z'],
    ],
  });
});

it('publishes a message that is in two objects once', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(0, 15, 22));
  const { publisher, published } = fakePublisher();
  const { counts } = await restore(store, publisher, { selection: { partitions: [0] } });
  expect(counts).toMatchObject({ messages: 23, duplicates: 5 });
  expect(idsOf(published)).toEqual(ids(0, 0, 22));
});

it.each([
  ['by what was saved', false],
  ['by what the broker remembers, though nothing was saved', true],
] as const)('goes on after a failure without publishing twice, %s', async (_, remembers) => {
  const { store } = await sampleArchive();
  const { publisher, published, heal } = fakePublisher({ remembers, failAfter: 13 });
  const first = await restore(store, publisher);
  expect(first.counts).toEqual(new Error('the broker is gone'));
  expect(published).toHaveLength(13);
  heal();
  const acknowledged = remembers ? {} : first.saved();
  const second = await restore(store, publisher, { acknowledged });
  expect(second.counts).toMatchObject({ messages: 17, skipped: 13 });
  expect(idsOf(published).toSorted()).toEqual([...ids(0, 0, 19), ...ids(1, 0, 9)].toSorted());
});

it('goes on after it was stopped, and saves what was acknowledged by then', async () => {
  const { store } = await sampleArchive();
  const { publisher, published } = fakePublisher();
  const stop = new AbortController();
  const onProgress = ({ messages: count }: { messages: number }) => count === 7 && stop.abort();
  const first = await restore(store, publisher, { signal: stop.signal, onProgress });
  expect(first.counts).toBeInstanceOf(Error);
  await restore(store, publisher, { acknowledged: first.saved() });
  expect(idsOf(published).toSorted()).toEqual([...ids(0, 0, 19), ...ids(1, 0, 9)].toSorted());
});

it('keeps the order of each key where the topics have not as many partitions', async () => {
  const { store } = await sampleArchive();
  const { publisher, published } = fakePublisher();
  await restore(store, publisher, { targetPartitions: 3, selection: { partitions: [0] } });
  for (const key of ['k0', 'k1', 'k2']) {
    const own = published.filter(({ message: one }) => one.key === key);
    expect(new Set(own.map(({ topic }) => topic)).size).toBe(1);
    const entries = idsOf(own).map((id) => Number(id?.split(':')[1]));
    expect(entries).toEqual(entries.toSorted((a, b) => a - b));
  }
});

it('keeps each message in its partition where both topics have as many, also when some are empty', async () => {
  const { store } = await sampleArchive();
  await storeManifest(store, [], 'r-2');
  const catalog = await readCatalog(store, PREFIX);
  expect(catalog.partitionCounts).toEqual(new Map([['persistent://t/ns/orders', 2]]));
  const later = await storeObject(store, messages(1, 10, 12));
  await storeManifest(store, [later], 'r-3', 5);
  const partitions = (await readCatalog(store, PREFIX)).partitionCounts.get('persistent://t/ns/orders') ?? 0;
  expect(partitions).toBe(5);
  const { publisher, published } = fakePublisher();
  await restore(store, publisher, { sourcePartitions: partitions, targetPartitions: 5 });
  for (const { topic, message: one } of published)
    expect(topic.at(-1)).toBe(Object.fromEntries(one.properties)['tdmq-backup-id']?.split(':')[2]);
});

it('reports why publishing failed, also when the progress cannot be saved then', async () => {
  const { store } = await sampleArchive();
  const { publisher } = fakePublisher({ failAfter: 5 });
  const save = () => Promise.reject(new Error('no room for notes'));
  expect((await restore(store, publisher, { save })).counts).toEqual(new Error('the broker is gone'));
  const { publisher: sound } = fakePublisher();
  expect((await restore(store, sound, { save })).counts).toEqual(new Error('no room for notes'));
});

it('chooses partitions as Pulsar does by key, and refuses what cannot be', () => {
  // Java: "hello".hashCode() = 99162322; "polygenelubricants".hashCode() = Integer.MIN_VALUE.
  expect(javaStringHash('hello')).toBe(99_162_322);
  expect(javaStringHash('polygenelubricants')).toBe(0);
  const byKey = choosePartition('key', 4, 5);
  expect(byKey(message(3, 1, { key: 'hello' }))).toBe(99_162_322 % 5);
  expect(byKey(message(3, 1, { key: undefined }))).toBe(3);
  expect(choosePartition('auto', 4, 4)(message(3, 1))).toBe(3);
  expect(choosePartition('auto', 4, 0)(message(3, 1))).toBe(-1);
  expect(() => choosePartition('same', 4, 3)).toThrow('4 partitions');
});

it('publishes nothing in a dry run, and counts what it would', async () => {
  const { store } = await sampleArchive();
  const { counts } = await restore(store, undefined, { selection: { key: 'k1' } });
  expect(counts).toMatchObject({ messages: 10 });
  expect([...(counts as { routes: Map<string, object> }).routes.keys()].sort()).toEqual(['0 → 0', '1 → 1']);
});

it('publishes no faster than it is asked to', async () => {
  const { store } = await sampleArchive();
  const { publisher, published } = fakePublisher();
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    async sleep(ms: number) {
      nowMs += ms;
    },
  };
  await restore(store, publisher, { clock, messagesPerSecond: 10 });
  expect(published).toHaveLength(30);
  expect(nowMs).toBeGreaterThan(2_500);
  expect(nowMs).toBeLessThan(3_500);
});

it('publishes messages of producers of bytes as they are: with a version of no bytes, or none', async () => {
  const store = createMemoryStore();
  const own = [undefined, new Uint8Array()].map((schemaVersion, n) => message(0, n, { schemaVersion }));
  await storeManifest(store, [await storeObject(store, own)]);
  const { publisher, published } = fakePublisher();
  const { counts } = await restore(store, publisher);
  expect(counts).toMatchObject({ messages: 2, withoutSchema: 0 });
  expect(published.map((one) => one.message.schemaVersion?.length)).toEqual([undefined, 0]);
});
