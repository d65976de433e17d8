// The page of an archive: what it shows, and that nothing in a name becomes markup.
import { expect, it } from 'vitest';
import { readCatalog } from '../../../src/archive/catalog.ts';
import { reportPage } from '../../../src/archive/report/page.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';
import { messages, PREFIX, sampleArchive, storeObject } from '../archive-fixture.ts';

it('shows each partition, the sizes of files, and the gaps between objects', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(1, 20, 24));
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
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
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
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
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
  expect(page).toContain('? messages in 1 file,');
  expect(page).toContain('Days with data, by bytes');
  expect(page).toContain('No object reports its times');
});

it('leaves the other objects counted where the count of one is not known', async () => {
  const { store, stored } = await sampleArchive();
  await storeObject(store, messages(1, 10, 12), { multipart: true });
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
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
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
  expect(page).toContain('<title>week from 2026-11-23, partition 0: 2 messages in 1 file</title>');
  expect(page.match(/class="cell empty"/g)).toHaveLength(56);
});

it('takes names for text', async () => {
  const { store } = await sampleArchive();
  const page = reportPage(await readCatalog(store, PREFIX), '<script>alert("x")</script>', new Date(0));
  expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)');
  expect(page).not.toContain('<script');
});
