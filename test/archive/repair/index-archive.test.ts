// The manifest that a killed run could not write.
import { expect, it } from 'vitest';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import { indexArchive } from '../../../src/archive/repair/index-archive.ts';
import { verifyArchive } from '../../../src/archive/verify/verify.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, messages, PREFIX, sampleArchive, storeObject, tamper } from '../archive-fixture.ts';

const index = (store: MemoryStore) =>
  indexArchive(store, PREFIX, { rule: 'other', knowsMetadata: true, parallel: 2, clock: systemClock });

it('lets the catalog report what is in an object of several parts, and verify miss it when it is gone', async () => {
  const { store } = await sampleArchive();
  const { alreadyStored: _, ...entry } = await storeObject(store, messages(1, 10, 14), { multipart: true });
  const factsOf = async () =>
    (await readCatalog(store, PREFIX)).objects.find(({ key }) => key === entry.key)?.facts.messages;
  expect(await factsOf()).toBeUndefined();
  const result = await index(store);
  expect(result).toMatchObject({ objects: 1, messages: 5, findings: [] });
  expect(result.manifests[0]).toContain('_runs/rule=orders-backup/');
  expect(await factsOf()).toBe(5);
  const manifest = JSON.parse(store.objects.get(result.manifests[0] as string)?.bytes.toString() ?? '');
  expect(manifest.storedObjects).toEqual([{ ...entry, alreadyStored: true }]);
  store.objects.delete(entry.key);
  const { findings } = await verifyArchive(store, PREFIX, { level: 'list' });
  expect(findings.map(({ kind, key }) => `${kind} ${key}`)).toEqual([`missing ${entry.key}`]);
});

it('writes nothing where every object is known', async () => {
  const { store } = await sampleArchive();
  const before = [...store.objects.keys()];
  expect(await index(store)).toMatchObject({ objects: 0, manifests: [] });
  expect([...store.objects.keys()]).toEqual(before);
});

it('leaves damaged objects out and reports them', async () => {
  const { store } = await sampleArchive();
  const { key } = await storeObject(store, messages(1, 10, 14), { multipart: true });
  tamper(store, key, { bytes: (bytes) => bytes.subarray(0, -3) });
  const result = await index(store);
  expect(result).toMatchObject({ objects: 0, manifests: [] });
  expect(result.findings.map(({ kind }) => kind)).toContain('cut');
});

it('reports when messages between the first and the last were published, where that is outside of these', async () => {
  const store = createMemoryStore();
  const times = [Date.UTC(2026, 0, 2), -1, 2n ** 60n, Date.UTC(2026, 0, 3)];
  await storeObject(
    store,
    times.map((publishTimeMs, entryId) => message(0, entryId, { publishTimeMs })),
  );
  await index(store);
  const [object] = (await readCatalog(store, PREFIX)).objects;
  expect(object?.manifest).toMatchObject({
    firstPublishTime: '2026-01-02T00:00:00.000Z',
    lastPublishTime: '2026-01-03T00:00:00.000Z',
    earliestPublishTime: '-1',
    latestPublishTime: '1152921504606846976',
  });
});

it('writes several manifests for many objects, so that it holds few of them, and leaves none out', async () => {
  const store = createMemoryStore();
  const keys: string[] = [];
  for (let n = 0; n < 4_500; n++)
    keys.push(
      (await storeObject(store, [message(n % 3, n, { publishTimeMs: Date.UTC(2026, 10, 1) + n })])).key,
    );
  const { manifests, objects, messages: count, findings } = await index(store);
  expect({ objects, count, findings }).toEqual({ objects: 4_500, count: 4_500, findings: [] });
  expect(new Set(manifests).size).toBe(3);
  const named = manifests.map((key) =>
    (JSON.parse(store.objects.get(key)?.bytes.toString() ?? '').storedObjects as { key: string }[]).map(
      (one) => one.key,
    ),
  );
  expect(Math.max(...named.map((one) => one.length))).toBe(2_000);
  expect(named.flat().sort()).toEqual(keys.sort());
  expect(await index(store)).toMatchObject({ objects: 0, manifests: [] });
});
