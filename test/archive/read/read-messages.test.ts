// Messages out of objects: in order, filtered, each once.
import { expect, it } from 'vitest';
import { byPartition } from '../../../src/archive/catalog/catalog.ts';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import type { Selection } from '../../../src/archive/catalog/selection.ts';
import { mergeByTime, readPartition } from '../../../src/archive/read/read-messages.ts';
import { formatMessageId, parseMessageId } from '../../../src/format/record.ts';
import type { Message, MessageId } from '../../../src/ports.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, messages, PREFIX, sampleArchive, storeObject, tamper } from '../archive-fixture.ts';

async function read(store: MemoryStore, selection: Selection = {}, options: object = {}) {
  const { objects } = await readCatalog(store, PREFIX);
  const partitions = [...byPartition(objects).values()].map((own) =>
    readPartition(store, own, selection, options),
  );
  const ids: string[] = [];
  for await (const one of mergeByTime(partitions)) ids.push(formatMessageId(one.message.id));
  return ids;
}

/** Messages of the fixture are published in the order of their entries, and of partitions within them. */
const byTime = (a: string, b: string) => {
  const [[, entryA, partitionA], [, entryB, partitionB]] = [a, b].map((id) => id.split(':').map(Number)) as [
    number[],
    number[],
  ];
  return Number(entryA) - Number(entryB) || Number(partitionA) - Number(partitionB);
};

const ids = (partition: number, from: number, to: number) =>
  messages(partition, from, to).map(({ id }) => formatMessageId(id));

it('merges partitions by publish time and keeps the order of each', async () => {
  const { store } = await sampleArchive();
  const all = await read(store);
  expect(all.slice(0, 4)).toEqual(['7:0:0:-1', '7:0:1:-1', '7:1:0:-1', '7:1:1:-1']);
  for (const [partition, last] of [
    [0, 19],
    [1, 9],
  ] as const)
    expect(all.filter((id) => id.split(':')[2] === String(partition))).toEqual(ids(partition, 0, last));
});

it('filters by partition, time, id, key and property', async () => {
  const { store } = await sampleArchive();
  const at = (entryId: number) => Number(message(0, entryId).publishTimeMs);
  expect(await read(store, { partitions: [1] })).toEqual(ids(1, 0, 9));
  expect(await read(store, { partitions: [0], fromMs: at(8), toMs: at(12) })).toEqual(ids(0, 8, 11));
  expect(
    await read(store, {
      partitions: [0],
      fromId: parseMessageId('7:3:0:-1'),
      toId: parseMessageId('7:5:0:-1'),
    }),
  ).toEqual(ids(0, 3, 5));
  expect(await read(store, { partitions: [1], key: 'k1' })).toEqual(['7:1:1:-1', '7:4:1:-1', '7:7:1:-1']);
  expect(await read(store, { properties: [['n', '12']] })).toEqual(['7:12:0:-1']);
});

it('does not read objects that cannot hold what is selected', async () => {
  const { store, stored } = await sampleArchive();
  store.calls.length = 0;
  await read(store, { partitions: [0], toId: parseMessageId('7:3:0:-1') });
  const reads = store.calls.filter((call) => call.startsWith('read') && call.includes('.jsonl'));
  expect(reads).toEqual([`read ${stored[0]?.key}`]);
});

it('reads each object once for a key, whether it holds the key or not', async () => {
  const { store } = await sampleArchive();
  store.calls.length = 0;
  expect(await read(store, { key: 'k1' })).toEqual(
    [...ids(0, 0, 19), ...ids(1, 0, 9)].filter((id) => Number(id.split(':')[1]) % 3 === 1).sort(byTime),
  );
  const reads = store.calls.filter((call) => /^read .*\.jsonl/.test(call));
  expect(reads).toHaveLength(4);
  expect(new Set(reads).size).toBe(4);
});

it('gives every message of a cluster that was made anew, and has given ids again', async () => {
  const { store } = await sampleArchive();
  const { objects } = await readCatalog(store, PREFIX);
  const dayLater = ({ publishTimeMs }: Message) => Number(publishTimeMs) + 86_400_000;
  const anew = messages(0, 0, 4).map((one) => ({ ...one, publishTimeMs: dayLater(one) }));
  await storeObject(store, anew);
  expect(await read(store, { partitions: [0] })).toHaveLength(25);
  expect((await readCatalog(store, PREFIX)).objects.length).toBe(objects.length + 1);
});

it('gives a message that is in two objects once, unless asked for copies', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(0, 15, 22));
  expect(await read(store, { partitions: [0] })).toEqual(ids(0, 0, 22));
  expect(await read(store, { partitions: [0] }, { withDuplicates: true })).toHaveLength(28);
});

it('gives every message of objects that are in no order', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, [message(1, 20), message(1, 18), message(1, 21)]);
  await storeObject(store, [message(1, 22), message(1, 19), message(1, 18)]);
  expect((await read(store, { partitions: [1] })).slice(10).sort()).toEqual(ids(1, 18, 22));
});

it('finds a message by its own id, though the key of its object has another place for it', async () => {
  const store = createMemoryStore();
  const first = await storeObject(store, messages(0, 0, 4));
  await storeObject(store, messages(0, 5, 9), { multipart: true });
  store.objects.set(first.key, {
    ...(store.objects.get(first.key) as NonNullable<ReturnType<MemoryStore['objects']['get']>>),
    metadata: {},
  });
  expect(await read(store, { toId: parseMessageId('7:0:0:-1') })).toEqual(['7:0:0:-1']);
  expect(await read(store, { toId: parseMessageId('7:5:0:-1') })).toEqual(ids(0, 0, 5));
  const [unknown, known] = (await readCatalog(store, PREFIX)).objects;
  expect(formatMessageId(unknown?.facts.firstId as MessageId)).toBe('7:0:0:0');
  expect(formatMessageId(known?.facts.firstId as MessageId)).toBe('7:5:0:-1');
});

it('names the object and the line that cannot be read', async () => {
  const { store, stored } = await sampleArchive();
  const key = stored[0]?.key as string;
  tamper(store, key, {
    bytes: (bytes) => Buffer.from(bytes.toString().replace('{"id":"7:3:', '{"id":"7;3:')),
  });
  await expect(read(store)).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining(`${key}, line 4: `),
    hint: expect.stringContaining('archive verify'),
  });
  const gzip = stored[2]?.key as string;
  tamper(store, gzip, { bytes: (bytes) => bytes.subarray(0, -9) });
  await expect(read(store, { partitions: [1] })).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining(gzip),
  });
});

/** The store, whose bodies of that object end early, or are the whole of it whatever range is asked for. */
function answering(store: MemoryStore, key: string, how: 'short' | 'whole'): MemoryStore {
  const read: MemoryStore['read'] = async function* (asked, options = {}) {
    if (asked !== key) return yield* store.read(asked, options);
    const bytes = store.objects.get(key)?.bytes as Buffer;
    const lines = bytes.toString().match(/.*\n/g) as string[];
    yield how === 'whole' ? bytes : Buffer.from(lines.slice(0, 3).join(''));
  };
  return { ...store, read };
}

it.each([
  ['short', undefined, /: \d+ of \d+ bytes came \(3 of 5 messages\)$/],
  ['short', 65_536, /: \d+ bytes came for bytes 0 to \d+ \(0 of 5 messages\)$/],
  ['whole', 100, /: \d+ bytes came for bytes 0 to 99 \(0 of 5 messages\)$/],
] as const)(
  'a body that is %s (in pieces of %s bytes) is an error that names the object',
  async (how, rangeBytes, what) => {
    const { store, stored } = await sampleArchive();
    const key = stored[3]?.key as string;
    const options = rangeBytes === undefined ? {} : { rangeBytes };
    const odd = answering(store, key, how);
    const reading = read(odd, { partitions: [1] }, options);
    await expect(reading).rejects.toMatchObject({ code: 'corrupt', details: { key } });
    await expect(read(odd, { partitions: [1] }, options)).rejects.toThrow(what);
    const damaged: string[] = [];
    const onDamaged = (one: { key: string }) => damaged.push(one.key);
    const rest = await read(odd, {}, { ...options, onDamaged });
    expect(damaged).toEqual([key]);
    expect(rest.filter((id) => id.split(':')[2] === '0')).toEqual(ids(0, 0, 19));
  },
);
