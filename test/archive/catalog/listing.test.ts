// What is listed and read of an archive: no more than was asked for, and the same as if everything was.
import { expect, it } from 'vitest';
import { streamCatalog } from '../../../src/archive/catalog/catalog-stream.ts';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import { mayHold } from '../../../src/archive/catalog/selection.ts';
import { formatTime } from '../../../src/format/record.ts';
import type { ManifestLink, ManifestObject } from '../../../src/format/run-manifest.ts';
import { storeRunManifest } from '../../../src/format/run-manifest.ts';
import { readAhead } from '../../../src/lib/read-ahead.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, PREFIX, storeObject } from '../archive-fixture.ts';

const TOPIC = parseTopicName('t/ns/orders') as TopicName;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 1, 12);

/** One object of two messages a partition and day, and a manifest of each day; by day and partition. */
async function archiveOf(days: number, partitions: number, lagDays = 0) {
  const store = createMemoryStore();
  const stored: ManifestObject[][] = [];
  for (let day = 0; day < days; day++) {
    const own: ManifestObject[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const at = (n: number) =>
        message(partition, day * 10 + n, { publishTimeMs: START_MS + day * DAY_MS + n * 1_000 });
      own.push(await storeObject(store, [at(0), at(1)]));
    }
    stored.push(own);
    await storeManifestOf(store, own, START_MS + (day + lagDays) * DAY_MS);
  }
  store.calls.length = 0;
  return { store, stored };
}

async function storeManifestOf(
  store: MemoryStore,
  objects: readonly ManifestObject[],
  startedAtMs: number,
  rule = 'orders-backup',
  more?: Partial<ManifestLink>,
): Promise<string> {
  const summary = {
    rule,
    requestId: 'r',
    startedAt: formatTime(startedAtMs),
    durationMs: 1,
    stopReason: 'caught_up' as const,
    messages: 0,
    recordBytes: 0,
    objects: objects.length,
    alreadyStored: 0,
    unreadable: 0,
    partitions: 2,
  };
  const link = { topic: TOPIC.full, subscription: 's', subscriptionType: 'exclusive', positions: [] };
  const linked = more === undefined ? summary : { ...summary, link: { ...link, ...more } };
  return storeRunManifest(store, PREFIX, linked, objects, {});
}

const datesIn = (calls: readonly string[], kind: string) =>
  [
    ...new Set(
      calls
        .filter((call) => call.startsWith(`${kind} `))
        .flatMap((call) => /date=(\d{4}-\d{2}-\d{2})/.exec(call)?.[1] ?? []),
    ),
  ].sort();

it('lists a few dates of a topic, and reads the manifests of these alone', async () => {
  const { store } = await archiveOf(20, 2);
  const dates = { from: '2026-11-10', until: '2026-11-11' };
  const { objects } = await readCatalog(store, PREFIX, { topic: TOPIC, dates });
  expect(objects.map(({ parts }) => parts.date)).toEqual([
    ...['2026-11-10', '2026-11-11', '2026-11-10', '2026-11-11'],
  ]);
  expect(objects.every(({ manifest }) => manifest !== undefined)).toBe(true);
  expect(datesIn(store.calls, 'list').filter((date) => date < '2026-11-09' || date > '2026-11-12')).toEqual(
    [],
  );
  expect(datesIn(store.calls, 'read')).toEqual(['2026-11-09', '2026-11-10', '2026-11-11', '2026-11-12']);
});

it('finds what a manifest of much later says, by when its objects were stored', async () => {
  const { store } = await archiveOf(6, 2, 40);
  const { objects } = await readCatalog(store, PREFIX, {
    topic: TOPIC,
    dates: { from: '2026-11-03', until: '2026-11-03' },
    isLocal: true,
  });
  expect(objects.map(({ facts }) => facts.messages)).toEqual([2, 2]);
});

it('asks for the metadata of those alone that no manifest knows', async () => {
  const { store } = await archiveOf(3, 1);
  const own = await storeObject(store, [message(0, 99, { publishTimeMs: START_MS + 99_000 })]);
  store.calls.length = 0;
  const { objects } = await readCatalog(store, PREFIX, { topic: TOPIC });
  expect(store.calls.filter((call) => call.startsWith('head'))).toEqual([`head ${own.key}`]);
  expect(objects.every(({ facts }) => facts.messages !== undefined)).toBe(true);
});

it('misses an object of a day of which nothing else is left, and of a topic of which nothing is', async () => {
  const { store, stored } = await archiveOf(5, 1);
  store.objects.delete(stored[4]?.[0]?.key as string);
  const gone = { ...(stored[0]?.[0] as ManifestObject) };
  const key = gone.key.replace('t/ns/orders', 't/ns/payments');
  await storeManifestOf(store, [{ ...gone, key }], START_MS, 'payments-backup');
  const { missing, objects } = await readCatalog(store, PREFIX);
  expect(missing.map((one) => one.key)).toEqual([stored[4]?.[0]?.key, key]);
  expect(objects).toHaveLength(4);
  const own = await readCatalog(store, PREFIX, { topic: parseTopicName('t/ns/payments') });
  expect(own.missing.map((one) => one.key)).toEqual([key]);
});

it('does not read the manifests of the rules of other topics', async () => {
  const { store, stored } = await archiveOf(5, 1);
  const [first] = stored[0] as [ManifestObject];
  const other = { ...first, key: first.key.replace('orders', 'payments') };
  for (let day = 0; day < 30; day++)
    await storeManifestOf(store, [other], START_MS + day * DAY_MS, 'payments-backup');
  store.calls.length = 0;
  await readCatalog(store, PREFIX, { topic: TOPIC });
  const read = store.calls.filter((call) => /^read .*rule=payments/.test(call));
  expect(read.length).toBeLessThanOrEqual(2);
});

it('reads each manifest once or twice, however many topics and rules there are', async () => {
  const { store, stored } = await archiveOf(1, 1);
  const [first] = stored[0] as [ManifestObject];
  const topics = 300;
  for (let i = 0; i < topics; i++) {
    const key = first.key.replace('orders', `topic-${i}`);
    store.objects.set(key, { ...(store.objects.get(first.key) as never as object), key } as never);
    await storeManifestOf(store, [{ ...first, key }], START_MS, `rule-${i}`);
  }
  store.calls.length = 0;
  const { objects } = await readCatalog(store, PREFIX);
  expect(objects).toHaveLength(topics + 1);
  expect(objects.every(({ manifest }) => manifest !== undefined)).toBe(true);
  expect(store.calls.filter((call) => call.startsWith('read')).length).toBeLessThanOrEqual(3 * (topics + 1));
});

it('finds messages of a time in objects of other dates, by what manifests say about their times', async () => {
  const { store } = await archiveOf(600, 2);
  const late = await storeObject(store, [
    message(0, 50_000, { publishTimeMs: START_MS + 500 * DAY_MS }),
    message(0, 50_001, { publishTimeMs: START_MS + 10 * DAY_MS }),
    message(0, 50_002, { publishTimeMs: START_MS + 500 * DAY_MS + 1 }),
  ]);
  const manifest = { ...late, earliestPublishTime: formatTime(START_MS + 10 * DAY_MS) };
  await storeManifestOf(store, [manifest], START_MS + 500 * DAY_MS + 1);
  const time = { fromMs: START_MS + 10 * DAY_MS - 1, toMs: START_MS + 10 * DAY_MS + 1 };
  const { objects } = await readCatalog(store, PREFIX, { topic: TOPIC, time });
  expect(objects.map(({ key }) => key)).toContain(late.key);
  expect(objects.length).toBeLessThan(10);
});

it('finds messages of a time between the ends of an object of which a manifest from before does not say when they were published', async () => {
  const store = createMemoryStore();
  const since = formatTime(START_MS + 200 * DAY_MS);
  const keys: string[] = [];
  const previous = { key: `${PREFIX}_runs/rule=orders-backup/date=2026-11-01/x.json`, sha256: 'aa' };
  for (let day = 0; day < 600; day++) {
    const at = (n: number, publishDay: number, partition = 0) =>
      message(partition, day * 10 + n, { publishTimeMs: START_MS + publishDay * DAY_MS + n });
    const objects = [await storeObject(store, [at(0, day), at(1, 10), at(2, day)])];
    if (day >= 200) objects[0] = await storeObject(store, [at(3, day), at(4, day)]);
    objects.push(await storeObject(store, [at(5, day, 1), at(6, day, 1)]));
    keys.push(objects[0]?.key as string);
    // Days 0 to 99 as the first versions did it, 100 to 199 one object with a checksum beside one without.
    const said = objects.map(
      ({ sha256, ...rest }, i): ManifestObject =>
        day >= 200 || (day >= 100 && i === 1) ? { ...rest, sha256: sha256 as string } : rest,
    );
    const link = day < 100 ? undefined : { previous, ...(day >= 200 && { spansInKeysSince: since }) };
    await storeManifestOf(store, said, START_MS + day * DAY_MS, undefined, link);
  }
  store.calls.length = 0;
  const time = { fromMs: START_MS + 10 * DAY_MS, toMs: START_MS + 10 * DAY_MS + 1_000 };
  const { objects } = await readCatalog(store, PREFIX, { topic: TOPIC, time });
  const found = objects.filter((object) => mayHold(object, time)).map(({ key }) => key);
  expect(found).toEqual(expect.arrayContaining(keys.slice(0, 200)));
  expect(found.filter((key) => keys.indexOf(key) >= 200)).toEqual([]);
  // Of the runs since keys say it, those of a day in which two versions may have run.
  expect(store.calls.filter((call) => call.startsWith('read ')).length).toBeLessThan(210);
});

it('opens no manifest for a time but those whose keys say that they tell of it, and those from before keys said it', async () => {
  const store = createMemoryStore();
  const since = formatTime(START_MS + 100 * DAY_MS);
  const astray = { 50: 10, 300: 10, 310: 330, 320: 12 } as Record<number, number>;
  const keys = new Map<number, string>();
  for (let day = 0; day < 400; day++) {
    const objects: ManifestObject[] = [];
    for (let partition = 0; partition < 3; partition++) {
      const at = (n: number, publishDay: number) =>
        message(partition, day * 10 + n, { publishTimeMs: START_MS + publishDay * DAY_MS + n });
      const between = partition === 0 ? astray[day] : undefined;
      const object = await storeObject(store, [at(0, day), at(1, between ?? day), at(2, day)]);
      const said = between === undefined ? undefined : formatTime(START_MS + between * DAY_MS + 1);
      const name = (between ?? 0) < day ? 'earliestPublishTime' : 'latestPublishTime';
      objects.push(said === undefined ? object : { ...object, [name]: said });
      if (between !== undefined) keys.set(day, object.key);
    }
    const spansSince = day < 100 ? undefined : { spansInKeysSince: since };
    await storeManifestOf(store, objects, START_MS + day * DAY_MS, undefined, spansSince);
  }
  store.calls.length = 0;
  const on = (day: number) => ({ fromMs: START_MS + day * DAY_MS, toMs: START_MS + day * DAY_MS + 1_000 });
  const { objects } = await readCatalog(store, PREFIX, { topic: TOPIC, time: on(10) });
  const found = objects.map(({ key }) => key);
  expect(found).toEqual(expect.arrayContaining([keys.get(50), keys.get(300)]));
  expect(found).not.toContain(keys.get(310));
  const manifests = store.calls.filter((call) => call.startsWith('read ')).length;
  expect(manifests).toBeLessThan(112);
  const ahead = await readCatalog(store, PREFIX, { topic: TOPIC, time: on(330) });
  expect(ahead.objects.map(({ key }) => key)).toContain(keys.get(310));
  // Between the ends of these two there may be messages of any day.
  const between = await readCatalog(store, PREFIX, { topic: TOPIC, time: on(200) });
  const others = between.objects.filter(
    ({ parts }) => Math.abs(Date.parse(parts.date) - on(200).fromMs) > 2 * DAY_MS,
  );
  expect(others.map(({ key }) => key)).toEqual([keys.get(300), keys.get(320)]);
});

it('leaves out what others keep in the bucket, and says what is foreign at the prefix', async () => {
  const { store } = await archiveOf(2, 1);
  for (const key of ['aaa/x', `${PREFIX}note.txt`, `${PREFIX}t/ns/orders/date=2026-11-01/x.csv`, 'zzz/x'])
    await storeObjectAt(store, key);
  const { foreign, objects } = await readCatalog(store, PREFIX);
  expect(objects).toHaveLength(2);
  expect(foreign.map(({ key }) => key).sort()).toEqual([
    `${PREFIX}note.txt`,
    `${PREFIX}t/ns/orders/date=2026-11-01/x.csv`,
  ]);
});

async function storeObjectAt(store: MemoryStore, key: string): Promise<void> {
  store.objects.set(key, { key, bytes: Buffer.from('x'), metadata: {}, contentType: '', crc64: '0' });
}

it('lists large folders side by side, in the order of keys all the same', async () => {
  const { store } = await archiveOf(40, 60);
  const keys: string[] = [];
  for await (const { key } of streamCatalog(store, PREFIX, { topic: TOPIC }).objects()) keys.push(key);
  expect(keys).toHaveLength(2_400);
  expect(keys).toEqual(keys.toSorted());
});

it('reads sources ahead, no further than it was asked to, and throws where one fails', async () => {
  const taken: number[] = [0, 0, 0];
  const source = (n: number) =>
    async function* () {
      for (let i = 0; i < 10; i++) {
        taken[n] = i + 1;
        if (n === 1 && i === 3) throw new Error('no more');
        yield n * 100 + i;
      }
    };
  const items: number[] = [];
  const reading = (async () => {
    for await (const item of readAhead([source(0), source(1), source(2)], { width: 2, ahead: 2 })) {
      if (item === 0) expect(taken[2]).toBe(0);
      items.push(item);
      expect((taken[1] as number) <= 4).toBe(true);
    }
  })();
  await expect(reading).rejects.toThrow('no more');
  expect(items).toEqual([...Array.from({ length: 10 }, (_, i) => i), 100, 101, 102]);
});

it.each([false, true])(
  'objects that stand for folders are none of the archive, and no notice (a local copy: %s)',
  async (isLocal) => {
    const { store } = await archiveOf(2, 2);
    const folders = new Set<string>();
    for (const key of store.objects.keys())
      for (let at = key.indexOf('/'); at >= 0; at = key.indexOf('/', at + 1))
        folders.add(key.slice(0, at + 1));
    for (const more of ['_runs/rule=new/', '_unreadable/', '_schemas/', 't/ns/orders/date=2026-12-31/'])
      folders.add(`${PREFIX}${more}`);
    const empty = { chunks: [], sizeBytes: 0 };
    for (const key of folders) await store.create(key, empty, '0', { metadata: {}, contentType: '' });
    const stream = streamCatalog(store, PREFIX, { isLocal });
    let objects = 0;
    for await (const _ of stream.objects()) objects++;
    expect(objects).toBe(4);
    expect(await stream.surroundings()).toMatchObject({ foreign: [], missing: [], badManifests: [] });
  },
);

it('lists the topics of a tenant whose name begins with an underscore, and no folder of the archive itself', async () => {
  const { store } = await archiveOf(2, 1);
  const first = await storeObject(store, [message(0, 1)]);
  const bytes = store.objects.get(first.key);
  if (bytes === undefined) throw new Error('it was not stored');
  for (const place of ['_t/ns/', '_copies/ns/', '_later/ns/x/'])
    store.objects.set(first.key.replace('t/ns/', place), bytes);
  const { objects, foreign } = await readCatalog(store, PREFIX, {});
  expect(new Set(objects.map(({ topic }) => topic))).toEqual(
    new Set(['persistent://_t/ns/orders', 'persistent://t/ns/orders']),
  );
  expect(foreign.map(({ key }) => key)).toEqual([]);
});
