// The loopback COS's calls on the bucket: listing in pages, unfinished uploads, versioning, lifecycle.
import { expect, test } from 'vitest';
import { type Client, startTestCos, textOf, textsOf, uploadParts } from './test-client.ts';

async function listAll(call: Client, query: Record<string, string>): Promise<string[][]> {
  const pages: string[][] = [];
  let marker: string | undefined = '';
  while (marker !== undefined) {
    const { text } = await call('GET', '', { query: { ...query, ...(marker === '' ? {} : { marker }) } });
    pages.push([
      ...textsOf(text, 'Key'),
      ...textsOf(text.replace(/<Prefix>[^<]*<\/Prefix><Marker>/, ''), 'Prefix'),
    ]);
    marker = textOf(text, 'IsTruncated') === 'true' ? textOf(text, 'NextMarker') : undefined;
  }
  return pages;
}

test('objects are listed by prefix in the order of their bytes, in pages', async () => {
  const { call } = await startTestCos();
  for (const key of ['p/\u{1f600}', 'p/\uffee', 'p/b', 'p/a', 'q/a', 'p/B', 'o'])
    await call('PUT', key, { body: key });
  expect(await listAll(call, { prefix: 'p/', 'max-keys': '2' })).toEqual([
    ['p/B', 'p/a'],
    ['p/b', 'p/\uffee'],
    ['p/\u{1f600}'],
  ]);
  expect(await listAll(call, { prefix: 'none/' })).toEqual([[]]);
});

test('a listing has size, ETag, time and storage class', async () => {
  const { call } = await startTestCos();
  const put = await call('PUT', 'k', { body: '123', headers: { 'x-cos-storage-class': 'MAZ_STANDARD' } });
  const { text } = await call('GET', '');
  expect(textOf(text, 'Size')).toBe('3');
  expect(textOf(text, 'ETag')).toBe(put.headers.etag?.replaceAll('"', '&quot;'));
  expect(textOf(text, 'StorageClass')).toBe('MAZ_STANDARD');
  expect(Date.now() - Date.parse(textOf(text, 'LastModified') as string)).toBeLessThan(60_000);
});

test('a delimiter folds keys into common prefixes, also over pages', async () => {
  const { call } = await startTestCos();
  for (const key of ['a/1', 'a/2', 'b', 'c/1', 'c/d/2', 'e']) await call('PUT', key, { body: key });
  const all = await listAll(call, { delimiter: '/', 'max-keys': '1' });
  expect(all).toEqual([['a/'], ['b'], ['c/'], ['e']]);
  expect(await listAll(call, { delimiter: '/', prefix: 'c/' })).toEqual([['c/1', 'c/d/']]);
});

test('keys are percent-encoded where the call asks for it, and escaped where not', async () => {
  const { call } = await startTestCos();
  await call('PUT', 'a&b <ü>', { body: 'x' });
  expect(textsOf((await call('GET', '', { query: { 'encoding-type': 'url' } })).text, 'Key')).toEqual([
    encodeURIComponent('a&b <ü>'),
  ]);
  expect(textsOf((await call('GET', '')).text, 'Key')).toEqual(['a&amp;b &lt;ü&gt;']);
});

test('a page holds at most 1000 keys, whatever is asked', async () => {
  const { call } = await startTestCos({ discardBodies: true });
  await Promise.all(Array.from({ length: 1001 }, (_, i) => call('PUT', `k${String(i).padStart(4, '0')}`)));
  const pages = await listAll(call, { 'max-keys': '5000' });
  expect(pages.map((page) => page.length)).toEqual([1000, 1]);
});

test('unfinished uploads are listed by prefix, in pages', async () => {
  const { call } = await startTestCos();
  for (const key of ['p/2', 'p/1', 'p/1', 'q']) await uploadParts(call, key, []);
  const seen: string[] = [];
  let markers: Record<string, string> = {};
  for (let isTruncated = true; isTruncated; ) {
    const query = { uploads: '', prefix: 'p/', 'max-uploads': '1', ...markers };
    const { text } = await call('GET', '', { query });
    seen.push(...textsOf(text, 'Key'));
    expect(Date.parse(textOf(text, 'Initiated') as string)).toBeGreaterThan(0);
    isTruncated = textOf(text, 'IsTruncated') === 'true';
    const [key, id] = [textOf(text, 'NextKeyMarker'), textOf(text, 'NextUploadIdMarker')];
    markers = { 'key-marker': key ?? '', 'upload-id-marker': id ?? '' };
  }
  expect(seen).toEqual(['p/1', 'p/1', 'p/2']);
});

test('versioning has no status until it is set, and then the one that was set', async () => {
  const { call } = await startTestCos();
  expect(textOf((await call('GET', '', { query: { versioning: '' } })).text, 'Status')).toBeUndefined();
  const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
  expect((await call('PUT', '', { query: { versioning: '' }, body })).status).toBe(200);
  expect(textOf((await call('GET', '', { query: { versioning: '' } })).text, 'Status')).toBe('Enabled');
  expect((await call('PUT', '', { query: { versioning: '' }, body: '<x/>' })).code).toBe('MalformedXML');
});

test('the lifecycle is what was put, or NoSuchLifecycleConfiguration', async () => {
  const { call } = await startTestCos();
  const query = { lifecycle: '' };
  expect(await call('GET', '', { query })).toMatchObject({
    status: 404,
    code: 'NoSuchLifecycleConfiguration',
  });
  const body = '<LifecycleConfiguration><Rule><ID>1</ID></Rule></LifecycleConfiguration>';
  expect((await call('PUT', '', { query, body })).status).toBe(200);
  expect((await call('GET', '', { query })).text).toBe(body);
});

test('the bucket answers HEAD', async () => {
  const { call } = await startTestCos();
  expect((await call('HEAD', '')).status).toBe(200);
});
