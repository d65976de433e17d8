// A copy of an archive made from docs/format.md alone: it verifies at the target, whatever was selected; nothing that was
// left out is called lost, and everything that then goes from the copy is.
import { describe, expect, it } from 'vitest';
import { listTopics } from '../../../src/archive/catalog/archive-topics.ts';
import { type CopyOptions, copyArchive } from '../../../src/archive/copy/copy.ts';
import type { CopyTarget } from '../../../src/archive/copy/copy-object.ts';
import { type VerifyReport, verifyArchive } from '../../../src/archive/verify/verify.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import type { ObjectStore } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { at, type DocumentedArchive, documentedArchive, PREFIX } from '../chain/documented-archive.ts';

const TO = 'evidence/';
const DAY_MS = 86_400_000;
const day = (number: number) => at(number) - DAY_MS / 2;

/** Two runs a day for six days, each with ten entries of both partitions; and those of another rule. */
function archiveOf(): DocumentedArchive {
  const archive = documentedArchive();
  for (let run = 0; run < 12; run++)
    for (const [rule, topic] of [
      ['orders-backup', 't/ns/orders'],
      ['payments-backup', 't/ns/payments'],
    ] as const) {
      const [first, last] = [run * 10, run * 10 + 9];
      const position = `7:${first - 1} 7:${last} 7:${last}`;
      archive.run({
        ...{ rule, topic, startedMs: at(Math.floor(run / 2), (run % 2) * 60) },
        positions: { 0: position, 1: position },
        objects: [0, 1].map((partition) => ({
          partition,
          entries: `7:${first}-${last}`,
          isMultipart: run % 3 === 0,
        })),
      });
    }
  return archive;
}

const targetOf = (store: MemoryStore, more: Partial<CopyTarget> = {}): CopyTarget => ({
  store: () => store,
  ...{ prefix: TO, name: 'target' },
  ...more,
});

async function copy(
  archive: { readonly store: ObjectStore },
  store: MemoryStore,
  { topic, ...options }: Partial<CopyOptions> & { topic?: string } = {},
  prefix = PREFIX,
) {
  const all = await listTopics(archive.store, prefix, {});
  return copyArchive(archive.store, prefix, targetOf(store), {
    topics: topic === undefined ? all : [parseTopicName(topic) as TopicName],
    isAll: topic === undefined,
    selection: {},
    ...{ knowsMetadata: true, parallel: 3, isDry: false, isSkipping: false },
    ...{ name: 'source', version: '1', clock: systemClock },
    ...options,
  });
}

const damages = ({ findings }: VerifyReport) =>
  findings.filter(({ severity }) => severity === 'damage').map(({ kind, key }) => `${kind} ${key}`);

const verify = (store: MemoryStore) => verifyArchive(store, TO, { level: 'record' });

const SELECTIONS: [string, Parameters<typeof copy>[2]][] = [
  ['everything', {}],
  ['a topic', { topic: 't/ns/payments' }],
  ['a partition of a topic', { topic: 't/ns/orders', selection: { partitions: [1] } }],
  ['two days', { selection: { fromMs: day(2), toMs: day(4) } }],
  ['the days from one on', { selection: { fromMs: day(4) } }],
  ['the days before one', { topic: 't/ns/orders', selection: { toMs: day(2) } }],
  ['an hour in which one of two runs was', { selection: { fromMs: at(3, 30), toMs: at(3, 90) } }],
  [
    'ids of a partition',
    {
      topic: 't/ns/orders',
      selection: {
        partitions: [0],
        fromId: { ledgerId: 7, entryId: 45, partition: 0, batchIndex: -1 },
        toId: { ledgerId: 7, entryId: 72, partition: 0, batchIndex: Number.MAX_SAFE_INTEGER },
      },
    },
  ],
];

/** Removes each of these objects in turn, and expects that it is damage. */
async function expectMissed(
  store: ReturnType<typeof createMemoryStore>,
  keys: readonly string[],
): Promise<void> {
  expect(keys.length).toBeGreaterThan(0);
  for (const key of keys) {
    const kept = store.objects.get(key) as NonNullable<ReturnType<typeof store.objects.get>>;
    store.objects.delete(key);
    expect(damages(await verify(store)).length, key).toBeGreaterThan(0);
    store.objects.set(key, kept);
  }
}

describe.each(SELECTIONS)('a copy of %s', (_, options) => {
  it('verifies at the target, and misses each object and each manifest that then goes', async () => {
    const archive = archiveOf();
    const store = createMemoryStore();
    const counts = await copy(archive, store, options);
    expect(counts.objects).toBeGreaterThan(0);
    const report = await verify(store);
    expect([damages(report), report.objects]).toEqual([[], counts.objects]);
    expect(report.copies).toHaveLength(1);
    // Byte for byte, with metadata and type.
    for (const [key, { bytes, metadata, crc64 }] of store.objects) {
      if (key.includes('_copies/')) continue;
      const own = archive.store.objects.get(key.replace(TO, PREFIX));
      expect(bytes.equals(own?.bytes as Buffer)).toBe(true);
      expect({ metadata, crc64 }).toEqual({ metadata: own?.metadata, crc64: own?.crc64 });
    }
    const keys = [...store.objects.keys()].filter((key) => !key.includes('_copies/'));
    const newest = ['orders', 'payments'].map((rule) =>
      keys.filter((key) => key.includes(`_runs/rule=${rule}`)).at(-1),
    );
    // The newest of a rule is named by none, as in any archive.
    await expectMissed(
      store,
      keys.filter((key) => !newest.includes(key)),
    );
  });

  it('is cheap again, and writes no second note', async () => {
    const archive = archiveOf();
    const store = createMemoryStore();
    await copy(archive, store, options);
    const keys = [...store.objects.keys()];
    expect(await copy(archive, store, options)).toMatchObject({ copied: 0, copiedBytes: 0 });
    expect([...store.objects.keys()]).toEqual(keys);
  });
});

it('takes along what belongs to the objects: schemas of their topics, raw entries, what archived ones hold', async () => {
  const archive = archiveOf();
  const put = (path: string) => {
    const bytes = Buffer.from(`{"about":"${path}"}\n`);
    const key = `${PREFIX}${path}`;
    archive.store.objects.set(key, { key, bytes, metadata: {}, contentType: '', crc64: crc64([bytes]) });
  };
  const [other, own] = (archive.runs[0]?.objects ?? []).map((key) =>
    key.slice(PREFIX.length).replace('.jsonl', ''),
  );
  const belongs = [
    '_schemas/t/ns/orders/0.json',
    '_schemas/t/ns/orders/1-0123456789ab.json',
    '_unreadable/t/ns/orders/partition=1/000000000007-0000000200.bin',
    '_unreadable/t/ns/orders/partition=1/000000000007-0000000200.json',
    `_contents/${own}.123.json`,
  ];
  const others = [
    '_schemas/t/ns/payments/0.json',
    '_unreadable/t/ns/orders/partition=0/000000000007-0000000200.bin',
    '_unreadable/t/ns/payments/partition=1/000000000007-0000000200.bin',
    `_contents/${other}.123.json`,
  ];
  for (const path of [...belongs, ...others]) put(path);
  const store = createMemoryStore();
  const counts = await copy(archive, store, { topic: 't/ns/orders', selection: { partitions: [1] } });
  expect(counts.others).toBe(belongs.length);
  const there = [...store.objects.keys()]
    .map((key) => key.slice(TO.length))
    .filter((path) => path.startsWith('_'));
  const isOfCopy = (path: string) => path.startsWith('_runs/') || path.startsWith('_copies/');
  expect(there.filter((path) => !isOfCopy(path)).toSorted()).toEqual(belongs.toSorted());
  expect(damages(await verify(store)).filter((one) => !one.startsWith('schema'))).toEqual([]);
});

it('two copies of days apart are one archive, and what is between them is not lost', async () => {
  const archive = archiveOf();
  const store = createMemoryStore();
  await copy(archive, store, { selection: { fromMs: day(0), toMs: day(1) } });
  await copy(archive, store, { selection: { fromMs: day(4), toMs: day(5) } });
  const report = await verify(store);
  expect([damages(report), report.copies.length]).toEqual([[], 2]);
  const gone = archive.runs.find(({ objects }) => objects[0]?.includes('date=2026-11-05'))
    ?.objects[0] as string;
  store.objects.delete(gone.replace(PREFIX, TO));
  expect(damages(await verify(store))).toHaveLength(1);
});

it('a copy of a copy verifies too, and misses what the first one had', async () => {
  const archive = archiveOf();
  const first = createMemoryStore();
  await copy(archive, first, { topic: 't/ns/orders', selection: { fromMs: day(1), toMs: day(4) } });
  const second = createMemoryStore();
  const selection = { partitions: [0], fromMs: day(2) };
  await copy({ store: first }, second, { topic: 't/ns/orders', selection }, TO);
  const report = await verify(second);
  expect([damages(report), report.objects]).toEqual([[], 4]);
  await expectMissed(
    second,
    [...second.objects.keys()].filter((one) => one.endsWith('.jsonl')),
  );
});

it('what a run stores while it copies is no part of it, and is not missed', async () => {
  const archive = archiveOf();
  const store = createMemoryStore();
  let isLate = false;
  const source = {
    ...archive.store,
    async *list(...args: Parameters<typeof archive.store.list>) {
      yield* archive.store.list(...args);
      // Behind the listing of the last topic.
      if (!args[0].includes('payments/') || isLate) return;
      isLate = true;
      archive.run({
        ...{ rule: 'orders-backup', topic: 't/ns/orders', startedMs: at(6) },
        positions: { 0: '7:119 7:129 7:129' },
        objects: [{ partition: 0, entries: '7:120-129' }],
      });
    },
  };
  await copy({ store: source }, store);
  expect(isLate).toBe(true);
  expect(damages(await verify(store))).toEqual([]);
  const { copied } = await copy(archive, store);
  expect(copied).toBe(2);
});

it('a copy is not written down where an object of it is gone, or is damaged', async () => {
  const archive = archiveOf();
  const [first, second] = archive.runs as [
    DocumentedArchive['runs'][number],
    DocumentedArchive['runs'][number],
  ];
  archive.remove(first.objects[0] as string);
  const store = createMemoryStore();
  await expect(copy(archive, store)).rejects.toThrow('is in a manifest, and is not there');
  expect([...store.objects.keys()].some((key) => key.includes('_copies/'))).toBe(false);
  const skipped = await copy(archive, store, { isSkipping: true });
  expect(skipped.damaged.map(({ key }) => key)).toEqual([first.objects[0]]);
  expect(damages(await verify(store)).join()).toContain('missing');
  archive.change(second.objects[0] as string, (text) => text.replace('message', 'massage'));
  await expect(copy(archive, createMemoryStore())).rejects.toThrow('its manifest says');
});

it('replaces nothing, and names what is there with other bytes', async () => {
  const archive = archiveOf();
  const store = createMemoryStore();
  await copy(archive, store);
  const key = [...store.objects.keys()].find((one) => one.endsWith('.jsonl')) as string;
  const object = store.objects.get(key) as NonNullable<ReturnType<typeof store.objects.get>>;
  store.objects.set(key, { ...object, bytes: Buffer.from('other'), crc64: '1' });
  await expect(copy(archive, store)).rejects.toThrow(`${key} is at the target with other bytes`);
  expect(store.objects.get(key)?.bytes.toString()).toBe('other');
});

it('an object that no manifest names is copied with those of any time, since nothing else would tell of it', async () => {
  const archive = archiveOf();
  archive.run({
    startedMs: at(6),
    isKilled: true,
    objects: [{ partition: 0, entries: '7:120-129', publishedMs: at(2) }],
  });
  archive.run({ startedMs: at(6, 60), positions: { 0: '7:129 7:129 7:129' } });
  const store = createMemoryStore();
  await copy(archive, store, { selection: { fromMs: day(1), toMs: day(2) } });
  expect([...store.objects.keys()].filter((key) => key.includes('0000000120'))).toHaveLength(1);
  expect(damages(await verify(store))).toEqual([]);
});

it('what runs store at the target after the copy is missed when it goes, whatever the copy was of', async () => {
  const archive = archiveOf();
  const store = createMemoryStore();
  await copy(archive, store, { topic: 't/ns/orders', selection: { fromMs: day(4), toMs: day(5) } });
  const later = documentedArchive();
  const startedMs = Date.now() + DAY_MS;
  const { objects, manifest } = later.run({
    ...{ startedMs, previous: undefined, positions: { 0: '8:-1 8:9 8:9' } },
    objects: [{ partition: 0, entries: '8:0-9' }],
  });
  for (const key of [manifest, ...objects])
    store.objects.set(key.replace(PREFIX, TO), {
      ...(later.store.objects.get(key) as NonNullable<ReturnType<typeof store.objects.get>>),
      key: key.replace(PREFIX, TO),
    });
  store.objects.delete((objects[0] as string).replace(PREFIX, TO));
  expect(damages(await verify(store)).join()).toContain((objects[0] as string).slice(PREFIX.length));
});
