// The page of an archive: what it shows, and that nothing in a name becomes markup.
import { expect, it } from 'vitest';
import { readCatalog } from '../../src/archive/catalog.ts';
import { reportPage } from '../../src/archive/report-page.ts';
import { messages, PREFIX, sampleArchive, storeObject } from './archive-fixture.ts';

it('shows each partition, the sizes of files, and the gaps between objects', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(1, 20, 24));
  const page = reportPage(await readCatalog(store, PREFIX), 'bucket/tdmq/', new Date(0));
  expect(page).toContain('5 objects, 35 messages');
  expect(page).toContain('>partition 0</text>');
  expect(page).toContain('>partition 1</text>');
  expect(page).toContain('Sizes of files');
  expect(page).toMatch(/<li class="notice"><strong>gap<\/strong> .*10 entries between 7:9 and 7:20/);
});

it('takes names for text', async () => {
  const { store } = await sampleArchive();
  const page = reportPage(await readCatalog(store, PREFIX), '<script>alert("x")</script>', new Date(0));
  expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)');
  expect(page).not.toContain('<script');
});
