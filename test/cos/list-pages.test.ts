// Listings of many pages, and answers that lead nowhere.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { type AnsweringServer, cosConfig, startAnsweringServer } from './answering-server.ts';

let server: AnsweringServer;
let store: CosStore;
beforeEach(async () => {
  server = await startAnsweringServer();
  store = createCosStore(cosConfig(server.endpoint), { logger: keepingLogger() });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

const queries = () =>
  server.arrived.map(({ url }) => Object.fromEntries(new URL(url, server.endpoint).searchParams));
const object = (key: string) =>
  `<Contents><Key>${key}</Key><Size>7</Size><LastModified>2026-11-23T23:21:41.000Z</LastModified></Contents>`;
const answerInTurn = (...pages: string[]) => {
  server.answer = (_request, response) => {
    response.end(pages.shift());
  };
};

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test('a list goes on behind the marker of COS, or behind the last key where there is none', async () => {
  answerInTurn(
    `<ListBucketResult><IsTruncated>true</IsTruncated>${object('p/a')}${object('p/b')}<NextMarker>p/b2</NextMarker></ListBucketResult>`,
    `<ListBucketResult><IsTruncated>true</IsTruncated>${object('p/c')}</ListBucketResult>`,
    `<ListBucketResult><IsTruncated>false</IsTruncated>${object('p/d&amp;e')}</ListBucketResult>`,
  );
  const listed = await collect(store.list('p/', { startAfter: 'p/0' }));
  expect(listed.map(({ key }) => key)).toEqual(['p/a', 'p/b', 'p/c', 'p/d&e']);
  expect(listed[0]).toEqual({ key: 'p/a', sizeBytes: 7, lastModified: new Date('2026-11-23T23:21:41Z') });
  expect(queries().map(({ prefix, marker }) => [prefix, marker])).toEqual([
    ['p/', 'p/0'],
    ['p/', 'p/b2'],
    ['p/', 'p/c'],
  ]);
});

test('a folder is listed over pages, also by a server that knows no folders', async () => {
  const folder = (key: string) => `<CommonPrefixes><Prefix>${key}</Prefix></CommonPrefixes>`;
  answerInTurn(
    `<ListBucketResult><IsTruncated>true</IsTruncated>${folder('p/a/')}<NextMarker>p/a/</NextMarker></ListBucketResult>`,
    `<ListBucketResult><IsTruncated>true</IsTruncated>${object('p/b/1')}${object('p/b/2')}</ListBucketResult>`,
    `<ListBucketResult><IsTruncated>false</IsTruncated>${object('p/b0')}${folder('p/c/')}</ListBucketResult>`,
  );
  const items = await collect(store.listFolder('p/'));
  expect(items.map(({ kind, key }) => `${kind} ${key}`)).toEqual([
    'folder p/a/',
    'folder p/b/',
    'object p/b0',
    'folder p/c/',
  ]);
  expect(queries().map(({ delimiter, marker = '' }) => `${delimiter} ${marker}`)).toEqual([
    '/ ',
    '/ p/a/\u{10ffff}',
    '/ p/b/\u{10ffff}',
  ]);
});

test('unfinished uploads are listed over pages, by both markers', async () => {
  const upload = (key: string, id: string) =>
    `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>2026-11-23T23:21:41.000Z</Initiated></Upload>`;
  answerInTurn(
    `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>${upload('k', '1')}${upload('k', '2')}<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker></ListMultipartUploadsResult>`,
    `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${upload('k', '3')}</ListMultipartUploadsResult>`,
  );
  const listed = await collect(store.listUploads('k'));
  expect(listed.map(({ uploadId }) => uploadId)).toEqual(['1', '2', '3']);
  expect(queries()).toMatchObject([{ prefix: 'k' }, { 'key-marker': 'k', 'upload-id-marker': '2' }]);
  expect(queries()[0]).not.toHaveProperty('delimiter');
});

test.each([
  ['Mon, 23 Nov 2026 23:41:41 GMT', 20 * 60_000],
  ['', 0],
])('the age of an unfinished upload is that of the clock of COS, which says "%s"', async (date, ageMs) => {
  const page =
    '<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>1</UploadId><Initiated>2026-11-23T23:21:41.000Z</Initiated></Upload></ListMultipartUploadsResult>';
  server.answer = (_request, response) => {
    response.sendDate = false;
    if (date !== '') response.setHeader('Date', date);
    response.end(page);
  };
  expect(await collect(store.listUploads('k'))).toMatchObject([{ ageMs }]);
});

test('a list that goes on without saying where ends with an error', async () => {
  const page = `<ListBucketResult><IsTruncated>true</IsTruncated>${object('a')}<NextMarker>a</NextMarker></ListBucketResult>`;
  answerInTurn(page, page, page);
  await expect(collect(store.list(''))).rejects.toMatchObject({ code: 'store' });
  expect(server.arrived).toHaveLength(2);

  answerInTurn('<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>');
  await expect(collect(store.listUploads(''))).rejects.toMatchObject({ code: 'store' });
});

test('a list goes on beyond U+FFFF, where a bucket has another order than UTF-16', async () => {
  const folder = (key: string) => `<CommonPrefixes><Prefix>${key}</Prefix></CommonPrefixes>`;
  answerInTurn(
    `<ListBucketResult><IsTruncated>true</IsTruncated>${folder('p/\uff5e/')}<NextMarker>p/\uff5e/</NextMarker></ListBucketResult>`,
    `<ListBucketResult><IsTruncated>false</IsTruncated>${folder('p/\u{1f600}/')}</ListBucketResult>`,
    `<ListBucketResult><IsTruncated>true</IsTruncated>${object('p/\uff5e')}</ListBucketResult>`,
    `<ListBucketResult><IsTruncated>false</IsTruncated>${object('p/\u{1f600}')}</ListBucketResult>`,
  );
  expect((await collect(store.listFolder('p/'))).map(({ key }) => key)).toEqual([
    'p/\uff5e/',
    'p/\u{1f600}/',
  ]);
  expect((await collect(store.list('p/'))).map(({ key }) => key)).toEqual(['p/\uff5e', 'p/\u{1f600}']);
});

test('a folder is listed behind a page that has nothing, or only what stands for the folder', async () => {
  const folder = '<CommonPrefixes><Prefix>p/a/</Prefix></CommonPrefixes>';
  const rest = `<ListBucketResult><IsTruncated>false</IsTruncated>${folder}${object('p/b')}</ListBucketResult>`;
  answerInTurn(
    '<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>p/</NextMarker></ListBucketResult>',
    rest,
    `<ListBucketResult><IsTruncated>true</IsTruncated>${object('p/')}<NextMarker>p/</NextMarker></ListBucketResult>`,
    rest,
  );
  for (const own of [[], ['p/']])
    expect((await collect(store.listFolder('p/'))).map(({ key }) => key)).toEqual([...own, 'p/a/', 'p/b']);
  expect(queries().map(({ marker }) => marker ?? '')).toEqual(['', 'p/', '', 'p/']);
});

test('keys that come encoded, and are said to be, are decoded', async () => {
  const encoded = '<EncodingType>url</EncodingType>';
  answerInTurn(
    `<ListBucketResult>${encoded}<IsTruncated>true</IsTruncated>${object('p%2Fa%20b')}<NextMarker>p%2Fa%20b</NextMarker></ListBucketResult>`,
    `<ListBucketResult>${encoded}<IsTruncated>false</IsTruncated>${object('p%2Fc%253D')}</ListBucketResult>`,
    `<ListBucketResult>${encoded}<IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>p%2Fd%2F</Prefix></CommonPrefixes></ListBucketResult>`,
  );
  expect((await collect(store.list('p/'))).map(({ key }) => key)).toEqual(['p/a b', 'p/c%3D']);
  expect((await collect(store.listFolder('p/'))).map(({ key }) => key)).toEqual(['p/d/']);
  expect(queries().map(({ marker }) => marker)[1]).toBe('p/a b');
});
