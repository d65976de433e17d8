// The loopback COS's object calls: what is put comes back, byte for byte, with its sums and its headers.
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BUCKET, REGION, startTestCos, textsOf } from './test-client.ts';

test('a put object is a file under its key and comes back with its headers', async () => {
  const { cos, call, dir } = await startTestCos();
  const headers = {
    'content-type': 'application/x-ndjson',
    'x-cos-meta-first-id': '1:2:0:0',
    'x-cos-storage-class': 'STANDARD_IA',
    'x-cos-server-side-encryption': 'AES256',
  };
  const put = await call('PUT', 'a/b=1/c d+é.jsonl', { body: '123456789', headers });
  expect(put.status).toBe(200);
  expect(put.headers).toMatchObject({
    etag: `"${createHash('md5').update('123456789').digest('hex')}"`,
    'x-cos-hash-crc64ecma': '11051210869376104954',
    'x-cos-server-side-encryption': 'AES256',
    'x-cos-request-id': expect.any(String),
  });
  expect(readFileSync(join(dir, BUCKET, 'a/b=1/c d+é.jsonl'), 'utf8')).toBe('123456789');

  const head = await call('HEAD', 'a/b=1/c d+é.jsonl');
  expect(head.status).toBe(200);
  expect(head.headers).toMatchObject({ ...headers, 'content-length': '9', etag: put.headers.etag });
  const get = await call('GET', 'a/b=1/c d+é.jsonl');
  expect(get.text).toBe('123456789');
  expect(get.headers).toMatchObject({ ...headers, 'x-cos-hash-crc64ecma': '11051210869376104954' });
  expect(cos.object('a/b=1/c d+é.jsonl')).toMatchObject({
    bytes: Buffer.from('123456789'),
    metadata: { 'first-id': '1:2:0:0' },
    crc64: '11051210869376104954',
  });
});

test('an object that is replaced while it is read comes as a whole, with its own sums', async () => {
  const { call } = await startTestCos();
  const bodyOf = (length: number) => JSON.stringify('x'.repeat(length));
  await call('PUT', 'note.json', { body: bodyOf(1) });
  const rounds = Array.from({ length: 40 }, (_, i) =>
    Promise.all([call('PUT', 'note.json', { body: bodyOf(i % 7) }), call('GET', 'note.json')]),
  );
  for (const [, { text, headers }] of await Promise.all(rounds))
    expect(headers['etag']).toBe(`"${createHash('md5').update(text).digest('hex')}"`);
});

test('a missing object is NoSuchKey, and deleting it succeeds', async () => {
  const { call } = await startTestCos();
  expect(await call('GET', 'no')).toMatchObject({ status: 404, code: 'NoSuchKey' });
  const head = await call('HEAD', 'no');
  expect(head.status).toBe(404);
  expect(head.body.length).toBe(0);
  expect((await call('DELETE', 'no')).status).toBe(204);
});

test('error XML names code, message, resource, request and trace', async () => {
  const { call } = await startTestCos();
  const { text, headers } = await call('GET', 'no/such');
  expect(textsOf(text, 'Code')).toEqual(['NoSuchKey']);
  expect(textsOf(text, 'Message')[0]).toContain('does not exist');
  expect(textsOf(text, 'Resource')).toEqual([`${BUCKET}.cos.${REGION}.myqcloud.com/no/such`]);
  expect(textsOf(text, 'RequestId')).toEqual([headers['x-cos-request-id']]);
  expect(textsOf(text, 'TraceId')[0]).not.toBe('');
});

test.each([
  ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
  ['bytes=7-', 206, '789', 'bytes 7-9/10'],
  ['bytes=-3', 206, '789', 'bytes 7-9/10'],
  ['bytes=-30', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
  ['bytes=0-1,4-5', 200, '0123456789', undefined],
])('range %s answers %i', async (range, status, body, contentRange) => {
  const { call } = await startTestCos();
  await call('PUT', 'k', { body: '0123456789' });
  const get = await call('GET', 'k', { headers: { range } });
  expect(get).toMatchObject({ status, text: body });
  expect(get.headers['content-range']).toBe(contentRange);
  expect(get.headers['content-length']).toBe(String(body.length));
});

test.each(['bytes=10-', 'bytes=-0'])('range %s beyond the object is InvalidRange', async (range) => {
  const { call } = await startTestCos();
  await call('PUT', 'k', { body: '0123456789' });
  expect(await call('GET', 'k', { headers: { range } })).toMatchObject({ status: 416, code: 'InvalidRange' });
});

test('an empty object is stored and comes back empty', async () => {
  const { call } = await startTestCos();
  const put = await call('PUT', 'empty');
  expect(put.headers['x-cos-hash-crc64ecma']).toBe('0');
  expect((await call('GET', 'empty')).body.length).toBe(0);
});

test('many megabytes come back byte for byte', async () => {
  const { call } = await startTestCos();
  const body = randomBytes(9_000_001);
  await call('PUT', 'big', { body });
  expect((await call('GET', 'big')).body.equals(body)).toBe(true);
});

test('keys that no file system can hold side by side are kept all the same', async () => {
  const { cos, call, dir } = await startTestCos();
  const keys = ['a', 'a/b', 'a/b/c', 'd/', 'd/e', '../up', 'x//y', './dot', 'l'.repeat(600)];
  for (const key of keys) expect((await call('PUT', key, { body: key })).status).toBe(200);
  for (const key of keys) expect((await call('GET', key)).text).toBe(key);
  await cos.close();
  const again = await startTestCos({ dir });
  expect(again.cos.objects().map((object) => object.key)).toEqual([...keys].sort());
  for (const key of keys) expect((await again.call('GET', key)).text).toBe(key);
});

test('a server over the same folder serves what was stored, and files that a person put there', async () => {
  const { cos, call, dir } = await startTestCos();
  await call('PUT', 'p/q', { body: 'kept', headers: { 'x-cos-meta-rule': 'r' } });
  await cos.close();
  writeFileSync(join(dir, BUCKET, 'by-hand'), '123456789');
  const again = await startTestCos({ dir });
  expect((await again.call('GET', 'p/q')).headers).toMatchObject({ 'x-cos-meta-rule': 'r' });
  expect((await again.call('GET', 'by-hand')).headers['x-cos-hash-crc64ecma']).toBe('11051210869376104954');
});

test('metadata is not believed for a body that it was not written with', async () => {
  const { cos, call, dir } = await startTestCos();
  await call('PUT', 'k', { body: 'same size', headers: { 'x-cos-meta-rule': 'r' } });
  await cos.close();
  writeFileSync(join(dir, BUCKET, 'k'), '123456789');
  const again = await startTestCos({ dir });
  const { headers } = await again.call('HEAD', 'k');
  expect(headers['x-cos-hash-crc64ecma']).toBe('11051210869376104954');
  expect(headers['x-cos-meta-rule']).toBeUndefined();
});

test('deleting an object also removes the folders that it leaves empty', async () => {
  const { call, dir } = await startTestCos();
  await call('PUT', 'a/b/c', { body: '1' });
  await call('PUT', 'a/d', { body: '2' });
  await call('DELETE', 'a/b/c');
  expect(readdirSync(join(dir, BUCKET, 'a'))).toEqual(['d']);
  expect((await call('HEAD', 'a/b/c')).status).toBe(404);
});

test('forbid-overwrite refuses the second put and leaves the first untouched', async () => {
  const { cos, call } = await startTestCos();
  const headers = { 'x-cos-forbid-overwrite': 'true' };
  expect((await call('PUT', 'k', { body: 'one', headers })).status).toBe(200);
  expect(await call('PUT', 'k', { body: 'two', headers })).toMatchObject({
    status: 409,
    code: 'FileAlreadyExists',
  });
  expect((await call('GET', 'k')).text).toBe('one');
  expect(cos.replacedCount).toBe(0);
});

test.each(['Enabled', 'Suspended'] as const)(
  'with versioning %s, forbid-overwrite is ignored, and replacing is counted',
  async (status) => {
    const { cos, call } = await startTestCos();
    cos.setVersioning(status);
    const headers = { 'x-cos-forbid-overwrite': 'true' };
    await call('PUT', 'k', { body: 'one', headers });
    expect((await call('PUT', 'k', { body: 'two', headers })).status).toBe(200);
    expect((await call('GET', 'k')).text).toBe('two');
    expect(cos.replacedCount).toBe(1);
  },
);

test('without the header an object is replaced, and that is counted', async () => {
  const { cos, call } = await startTestCos();
  await call('PUT', 'k', { body: 'one' });
  await call('PUT', 'k', { body: 'two' });
  expect((await call('GET', 'k')).text).toBe('two');
  expect(cos.replacedCount).toBe(1);
});

test('of concurrent puts of one key that forbid overwriting, exactly one wins', async () => {
  const { cos, call } = await startTestCos();
  const headers = { 'x-cos-forbid-overwrite': 'true' };
  const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(300_000, i));
  const answers = await Promise.all(bodies.map((body) => call('PUT', 'k', { body, headers })));
  const winners = answers.flatMap(({ status }, i) => (status === 200 ? [i] : []));
  expect(winners).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(7);
  expect(cos.object('k')?.bytes.equals(bodies[winners[0] as number] as Buffer)).toBe(true);
  expect(cos.maxConcurrent).toBeGreaterThan(1);
  expect(cos.replacedCount).toBe(0);
});

test('a client that leaves in the middle of a put leaves nothing behind', async () => {
  const { cos, call, dir } = await startTestCos();
  const leave = new AbortController();
  const put = call('PUT', 'k', {
    body: Buffer.alloc(1000),
    headers: { 'content-length': '2000' },
    signal: leave.signal,
  });
  await expect.poll(() => readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary')).length).toBe(1);
  leave.abort();
  await expect(put).rejects.toThrow();
  await expect.poll(() => cos.requests()[0]?.status).toBe('client gone');
  expect(cos.objects()).toEqual([]);
  expect(readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary'))).toEqual([]);
});

test('bodies that are discarded are summed but not kept', async () => {
  const { cos, call, dir } = await startTestCos({ discardBodies: true, verifyMd5: false });
  const put = await call('PUT', 'k', { body: '123456789' });
  expect(put.headers['x-cos-hash-crc64ecma']).toBe('11051210869376104954');
  expect(cos.objects()).toMatchObject([{ key: 'k', sizeBytes: 9 }]);
  expect(readdirSync(join(dir, BUCKET))).toEqual([]);
  expect((await call('GET', 'k')).status).toBe(501);
});
