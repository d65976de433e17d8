// Multipart uploads on the loopback COS: invisible until complete, checked like COS checks them.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createCrc64 } from '../../../src/local/cos/crc64-table.ts';
import { BUCKET, completeXml, MIB, startTestCos, textOf, textsOf, uploadParts } from './test-client.ts';

const forbid = { 'x-cos-forbid-overwrite': 'true' };

test('parts become one object at complete, with the sum of the whole and the headers of init', async () => {
  const { cos, call, dir } = await startTestCos();
  const parts = [randomBytes(MIB), randomBytes(MIB + 7), randomBytes(3)];
  const headers = {
    'content-type': 'application/x-ndjson',
    'x-cos-meta-rule': 'r',
    'x-cos-storage-class': 'STANDARD_IA',
  };
  const init = await call('POST', 'dir/k', { query: { uploads: '' }, headers });
  const uploadId = textOf(init.text, 'UploadId') as string;
  const etags: string[] = [];
  for (const number of [2, 3, 1]) {
    const query = { partNumber: String(number), uploadId };
    const part = await call('PUT', 'dir/k', { query, body: parts[number - 1] as Buffer });
    etags[number - 1] = part.headers.etag as string;
    expect(part.headers['x-cos-hash-crc64ecma']).toMatch(/^\d+$/);
  }
  expect(cos.objects()).toEqual([]);
  expect(existsSync(join(dir, BUCKET, 'dir/k'))).toBe(false);

  const complete = await call('POST', 'dir/k', { query: { uploadId }, body: completeXml(etags) });
  const whole = Buffer.concat(parts);
  const crc = createCrc64();
  crc.update(whole);
  const md5s = parts.map((part) => createHash('md5').update(part).digest());
  const etag = `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-3"`;
  expect(complete.headers['x-cos-hash-crc64ecma']).toBe(String(crc.value()));
  expect(textOf(complete.text, 'ETag')).toBe(etag.replaceAll('"', '&quot;'));
  const get = await call('GET', 'dir/k');
  expect(get.body.equals(whole)).toBe(true);
  expect(get.headers).toMatchObject({ ...headers, etag, 'x-cos-hash-crc64ecma': String(crc.value()) });
  expect(cos.uploads()).toEqual([]);
  expect(readdirSync(join(dir, '.loopback-cos', BUCKET, 'uploads'))).toEqual([]);
});

test('a part that is uploaded again takes the place of the first', async () => {
  const { cos, call, dir } = await startTestCos();
  const { uploadId, etags } = await uploadParts(call, 'k', [Buffer.from('first')]);
  const folder = join(dir, '.loopback-cos', BUCKET, 'uploads', uploadId);
  expect(readdirSync(folder)).toHaveLength(2);
  const again = await call('PUT', 'k', { query: { partNumber: '1', uploadId }, body: 'second' });
  expect(readdirSync(folder)).toHaveLength(2);
  const stale = await call('POST', 'k', { query: { uploadId }, body: completeXml(etags) });
  expect(stale).toMatchObject({ status: 400, code: 'InvalidPart' });
  const body = completeXml([again.headers.etag as string]);
  expect((await call('POST', 'k', { query: { uploadId }, body })).status).toBe(200);
  expect(cos.object('k')?.bytes.toString()).toBe('second');
});

test('parts are listed in order, page by page', async () => {
  const { call } = await startTestCos();
  const { uploadId, etags } = await uploadParts(call, 'k', [
    Buffer.from('a'),
    Buffer.from('bb'),
    Buffer.from('ccc'),
  ]);
  const first = await call('GET', 'k', { query: { uploadId, 'max-parts': '2' } });
  expect(textsOf(first.text, 'PartNumber')).toEqual(['1', '2']);
  expect(textsOf(first.text, 'ETag')).toEqual(
    etags.slice(0, 2).map((etag) => etag.replaceAll('"', '&quot;')),
  );
  expect(textOf(first.text, 'IsTruncated')).toBe('true');
  const query = { uploadId, 'part-number-marker': textOf(first.text, 'NextPartNumberMarker') as string };
  const second = await call('GET', 'k', { query });
  expect(textsOf(second.text, 'Size')).toEqual(['3']);
  expect(textOf(second.text, 'IsTruncated')).toBe('false');
});

test.each<[string, string, (etags: string[]) => string]>([
  ['parts out of order', 'InvalidPartOrder', (etags) => completeXml([...etags].reverse(), [2, 1])],
  ['one part twice', 'InvalidPartOrder', (etags) => completeXml([etags[0], etags[0]] as string[], [1, 1])],
  ['a part that was never uploaded', 'InvalidPart', (etags) => completeXml([...etags, etags[0] as string])],
  ['a part left out in the middle', 'InvalidPart', (etags) => completeXml([etags[1] as string], [2])],
  ['a wrong ETag', 'InvalidPart', (etags) => completeXml([`"${'0'.repeat(32)}"`, etags[1] as string])],
  ['no part', 'MalformedXML', () => completeXml([])],
])('complete with %s is %s, and the upload stays', async (_, code, xml) => {
  const { cos, call } = await startTestCos();
  const { uploadId, etags } = await uploadParts(call, 'k', [Buffer.alloc(MIB), Buffer.from('end')]);
  expect(await call('POST', 'k', { query: { uploadId }, body: xml(etags) })).toMatchObject({
    status: 400,
    code,
  });
  expect(cos.objects()).toEqual([]);
  expect(cos.uploads()).toHaveLength(1);
});

test('a part under 1 MB that is not the last is EntityTooSmall', async () => {
  const { call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.alloc(MIB - 1), Buffer.from('end')]);
  const complete = await call('POST', 'k', { query: { uploadId }, body: xml });
  expect(complete).toMatchObject({ status: 400, code: 'EntityTooSmall' });
});

test('part numbers are 1 to 10,000', async () => {
  const { call } = await startTestCos();
  const { uploadId } = await uploadParts(call, 'k', []);
  const put = (partNumber: string) => call('PUT', 'k', { query: { partNumber, uploadId }, body: 'x' });
  for (const number of ['0', '10001', '1.5', 'x']) expect((await put(number)).code).toBe('InvalidArgument');
  expect((await put('10000')).status).toBe(200);
});

test('calls on an upload that is not there are NoSuchUpload', async () => {
  const { call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('x')]);
  const query = { uploadId };
  expect((await call('DELETE', 'other', { query })).code).toBe('NoSuchUpload');
  expect((await call('DELETE', 'k', { query })).status).toBe(204);
  expect((await call('DELETE', 'k', { query })).code).toBe('NoSuchUpload');
  expect((await call('GET', 'k', { query })).code).toBe('NoSuchUpload');
  expect((await call('PUT', 'k', { query: { ...query, partNumber: '1' }, body: 'x' })).code).toBe(
    'NoSuchUpload',
  );
  expect((await call('POST', 'k', { query, body: xml })).code).toBe('NoSuchUpload');
});

test('a complete that is repeated after success is NoSuchUpload', async () => {
  const { call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('x')]);
  expect((await call('POST', 'k', { query: { uploadId }, body: xml })).status).toBe(200);
  expect((await call('POST', 'k', { query: { uploadId }, body: xml })).code).toBe('NoSuchUpload');
});

test('forbid-overwrite refuses at init, and at complete where the object came in between', async () => {
  const { cos, call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('late')]);
  await call('PUT', 'k', { body: 'early' });
  const init = await call('POST', 'k', { query: { uploads: '' }, headers: forbid });
  expect(init).toMatchObject({ status: 409, code: 'FileAlreadyExists' });
  const complete = await call('POST', 'k', { query: { uploadId }, body: xml, headers: forbid });
  expect(complete).toMatchObject({ status: 409, code: 'FileAlreadyExists' });
  expect(cos.object('k')?.bytes.toString()).toBe('early');
  expect(cos.uploads()).toHaveLength(1);
  expect(cos.replacedCount).toBe(0);
});

test('with versioning, complete replaces in spite of forbid-overwrite, and that is counted', async () => {
  const { cos, call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('late')]);
  await call('PUT', 'k', { body: 'early' });
  cos.setVersioning('Suspended');
  expect((await call('POST', 'k', { query: { uploadId }, body: xml, headers: forbid })).status).toBe(200);
  expect(cos.object('k')?.bytes.toString()).toBe('late');
  expect(cos.replacedCount).toBe(1);
});

test('of concurrent completes of one key that forbid overwriting, exactly one wins', async () => {
  const { cos, call } = await startTestCos();
  const bodies = [0, 1, 2, 3].map((n) => [Buffer.alloc(2 * MIB, n), Buffer.from([n])]);
  const uploads = await Promise.all(bodies.map((parts) => uploadParts(call, 'k', parts)));
  const answers = await Promise.all(
    uploads.map(({ uploadId, xml }) =>
      call('POST', 'k', { query: { uploadId }, body: xml, headers: forbid }),
    ),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
  const winner = answers.findIndex(({ status }) => status === 200);
  expect(cos.object('k')?.bytes.equals(Buffer.concat(bodies[winner] as Buffer[]))).toBe(true);
});

test('unfinished uploads outlive the server, and can be completed by the next', async () => {
  const { cos, call, dir } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.alloc(MIB, 1), Buffer.from('end')]);
  await cos.close();
  const again = await startTestCos({ dir });
  expect(again.cos.uploads()).toMatchObject([{ key: 'k', uploadId }]);
  expect((await again.call('POST', 'k', { query: { uploadId }, body: xml })).status).toBe(200);
  expect(again.cos.object('k')?.sizeBytes).toBe(MIB + 3);
});

test('of two files of one part, as a kill between them leaves, the younger counts', async () => {
  const { cos, call, dir } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('younger')]);
  await cos.close();
  const folder = join(dir, '.loopback-cos', BUCKET, 'uploads', uploadId);
  for (const name of [`part-00001.${'0'.repeat(32)}.1`, `part-00001.${'f'.repeat(32)}.1`]) {
    writeFileSync(join(folder, name), 'older');
    utimesSync(join(folder, name), 1, 1);
  }
  const again = await startTestCos({ dir });
  expect((await again.call('POST', 'k', { query: { uploadId }, body: xml })).status).toBe(200);
  expect(again.cos.object('k')?.bytes.toString()).toBe('younger');
});
