// The page of an archive: what it shows, and that nothing in a name becomes markup.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { ArchiveObject } from '../../../src/archive/catalog/catalog.ts';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import { createReportPage } from '../../../src/archive/report/page.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { messages, PREFIX, sampleArchive, storeObject } from '../archive-fixture.ts';

async function pageOf(store: MemoryStore, name = 'bucket/tdmq/'): Promise<string> {
  const catalog = await readCatalog(store, PREFIX);
  const report = createReportPage(PREFIX);
  for (const object of catalog.objects) report.add(object);
  return report.page(catalog, name, new Date(0));
}

it('shows each partition, the sizes of files, and the gaps between objects', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(1, 20, 24));
  const page = await pageOf(store);
  expect(page).toContain('35 messages in 5 files');
  expect(page).toContain('>partition 0</text>');
  expect(page).toContain('>partition 1</text>');
  expect(page).toContain('Sizes of files');
  expect(page).toMatch(/<li class="notice"><strong>gap<\/strong> .*10 entries between 7:9 and 7:20/);
  // The gap is drawn in the lane of its partition, and only there.
  const [, lane0, lane1] = page.split('<g data-partition=');
  expect(lane0).not.toContain('class="gap"');
  expect(lane1).toMatch(/class="gap" data-kind="gap".*10 entries between 7:9 and 7:20/);
});

it('draws an object that is missing where it was', async () => {
  const { store, stored } = await sampleArchive();
  store.objects.delete(stored[0]?.key as string);
  const page = await pageOf(store);
  expect(page).toMatch(/<div class="tile bad"><b>1<\/b><span>files missing/);
  expect(page).toMatch(
    /data-kind="missing".*2026-11-23 12:00:00 UTC to 2026-11-23 12:00:09 UTC: .* with 10 messages/,
  );
});

it('reports what it knows of objects whose times and counts nobody tells', async () => {
  const store = createMemoryStore();
  await storeObject(store, messages(0, 0, 4), { multipart: true });
  const [key] = store.objects.keys();
  store.objects.set(
    key as string,
    { ...(store.objects.get(key as string) as object), metadata: {} } as never,
  );
  const page = await pageOf(store);
  expect(page).toContain('? messages in 1 file,');
  expect(page).toContain('Days with data, by bytes');
  expect(page).toContain('No object reports its times');
});

it('leaves the other objects counted where the count of one is not known', async () => {
  const { store, stored } = await sampleArchive();
  await storeObject(store, messages(1, 10, 12), { multipart: true });
  const page = await pageOf(store);
  expect(stored).toHaveLength(4);
  expect(page).toContain('30 messages in 5 files, 1 unknown,');
  expect(page).toContain('<b>30</b><span>messages; 1 file unknown</span>');
  expect(page).toContain('<td class="number">10, 1 unknown</td>');
  expect(page).toContain('partition 1: 10 messages, 1 file unknown, in 3 files</title>');
  expect(page).toContain('Days with data, by messages');
});

it('shows weeks instead of days where there are many', async () => {
  const store = createMemoryStore();
  for (const day of [0, 400])
    await storeObject(
      store,
      messages(0, day, day + 1).map((one) => ({
        ...one,
        // In another ledger, between which no entries can be missed.
        id: { ...one.id, ledgerId: 7 + day },
        publishTimeMs: Number(one.publishTimeMs) + day * 86_400_000,
      })),
    );
  const page = await pageOf(store);
  expect(page).toContain('<title>week from 2026-11-23, partition 0: 2 messages in 1 file</title>');
  expect(page.match(/class="cell empty"/g)).toHaveLength(56);
});

it('keeps no object that it was given', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { store } = await sampleArchive();
  const report = createReportPage(PREFIX);
  const given: WeakRef<ArchiveObject>[] = [];
  for (let round = 0; round < 2; round++)
    for (const object of (await readCatalog(store, PREFIX)).objects) {
      report.add(object);
      given.push(new WeakRef(object));
    }
  // What was made in a turn of the event loop stays until its end.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  // The last one may still be in the frame of the loop.
  expect(given.filter((one) => one.deref() !== undefined).length).toBeLessThanOrEqual(1);
});

it('takes names for text', async () => {
  const { store } = await sampleArchive();
  const page = await pageOf(store, '<script>alert("x")</script>');
  expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)');
  expect(page).not.toContain('<script');
});
