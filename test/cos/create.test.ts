import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { BackupError } from '../../src/errors.ts';
import type { Body } from '../../src/ports.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import {
  type AnsweringServer,
  cosConfig,
  errorXml,
  refused,
  startAnsweringServer,
  stored,
} from './answering-server.ts';

/** What COS says about each part. */
const PART = '7';

let server: AnsweringServer;
let store: CosStore;
const attributes = { metadata: { format: 'tdmq-backup/1' }, contentType: 'application/x-ndjson' };
const body = (...texts: string[]): Body => {
  const chunks = texts.map((text) => new TextEncoder().encode(text));
  return { chunks, sizeBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0) };
};

beforeEach(async () => {
  server = await startAnsweringServer();
  store = createCosStore(cosConfig(server.endpoint), { logger: keepingLogger() });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

const put = () => server.arrived.filter(({ method }) => method === 'PUT');
const failureOf = async (promise: Promise<unknown>): Promise<BackupError> => {
  const error = await promise.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(BackupError);
  return error;
};

test('an object is created by one PUT that carries its length, its metadata and the refusal to overwrite', async () => {
  server.answer = stored('42');

  await expect(store.create('a/b.jsonl', body('one\n', '', 'two\n'), '42', attributes)).resolves.toEqual({
    kind: 'created',
    crc64: '42',
  });

  const [request, ...others] = put();
  expect(others).toEqual([]);
  expect(request?.url).toBe('/a/b.jsonl');
  expect(request?.body.toString()).toBe('one\ntwo\n');
  expect(request?.headers).toMatchObject({
    host: 'backup-1250000000.cos.ap-guangzhou.myqcloud.com',
    'content-length': '8',
    'content-type': 'application/x-ndjson',
    'x-cos-forbid-overwrite': 'true',
    'x-cos-meta-format': 'tdmq-backup/1',
    'x-cos-security-token': 'session-token-1',
  });
  expect(request?.headers).not.toHaveProperty('x-cos-storage-class');
});

test('an empty object can be created', async () => {
  server.answer = stored('0');
  await expect(store.create('empty', body(), '0', attributes)).resolves.toMatchObject({ kind: 'created' });
  expect(put()[0]?.headers['content-length']).toBe('0');
});

test('storage class and encryption with a key are asked for', async () => {
  server.answer = stored('1');
  const sse = { algorithm: 'cos/kms', kmsKeyId: 'key-1' } as const;
  const config = cosConfig(server.endpoint, { storageClass: 'STANDARD_IA', sse });
  const other = createCosStore(config, { logger: keepingLogger() });
  await other.create('k', body('x'), '1', attributes);
  expect(put()[0]?.headers).toMatchObject({
    'x-cos-storage-class': 'STANDARD_IA',
    'x-cos-server-side-encryption': 'cos/kms',
    'x-cos-server-side-encryption-cos-kms-key-id': 'key-1',
  });
  await other.close();
});

test('what later runs read is stored as STANDARD, and encrypted as everything else', async () => {
  server.answer = stored('1');
  const sse = { algorithm: 'AES256', kmsKeyId: undefined } as const;
  const config = cosConfig(server.endpoint, { storageClass: 'DEEP_ARCHIVE', sse });
  const other = createCosStore(config, { logger: keepingLogger() });
  await other.create('k', body('x'), '1', { ...attributes, isReadByRuns: true });
  expect(put()[0]?.headers).toMatchObject({ 'x-cos-server-side-encryption': 'AES256' });
  expect(put()[0]?.headers).not.toHaveProperty('x-cos-storage-class');
  await other.close();
});

test('409 FileAlreadyExists means that the object exists', async () => {
  server.answer = refused(409, 'FileAlreadyExists');
  await expect(store.create('k', body('x'), '1', attributes)).resolves.toEqual({ kind: 'exists' });
});

test('an object whose checksum differs from what was sent is called damaged', async () => {
  server.answer = stored('43');
  const error = await failureOf(store.create('k', body('x'), '42', attributes));
  expect(error).toMatchObject({ code: 'corrupt', retryable: false });
  expect(error.message).toContain('CRC-64 43 instead of 42');
});

test('where the answer has no checksum, the object is asked for it', async () => {
  server.answer = (request, response, raw) =>
    stored(request.method === 'HEAD' ? '42' : undefined)(
      request,
      request.method === 'HEAD' ? response.setHeader('content-length', 1) : response,
      raw,
    );
  await expect(store.create('k', body('x'), '42', attributes)).resolves.toMatchObject({ kind: 'created' });
  const error = await failureOf(store.create('k', body('x'), '41', attributes));
  expect(error.code).toBe('corrupt');
});

test('a 200 without an ETag is a failure of which nobody knows the outcome', async () => {
  server.answer = (_request, response) => {
    response.end();
  };
  const error = await failureOf(store.create('k', body('x'), '1', attributes));
  expect(error).toMatchObject({ code: 'store', retryable: true, outcomeUnknown: true });
});

test('503 is one request, retryable, and reports the request id', async () => {
  server.answer = refused(503, 'SlowDown');
  const error = await failureOf(store.create('k', body('x'), '1', attributes));
  expect(error).toMatchObject({
    code: 'store',
    retryable: true,
    details: { status: 503, code: 'SlowDown', requestId: 'REQ-1' },
  });
  expect(put()).toHaveLength(1);
});

test('a body that is shorter than announced is refused before anything is sent', async () => {
  const error = await failureOf(
    store.create('k', { chunks: [Buffer.from('x')], sizeBytes: 2 }, '1', attributes),
  );
  expect(error.message).toContain('1 bytes where 2');
  expect(put()).toEqual([]);
});

test('metadata that COS cannot keep is refused before anything is sent', async () => {
  for (const metadata of [{ under_score: 'x' }, { name: 'ümlaut' }]) {
    await failureOf(store.create('k', body('x'), '1', { ...attributes, metadata }));
  }
  expect(put()).toEqual([]);
});

test('connections are used again', async () => {
  server.answer = stored('1');
  for (const key of ['a', 'b', 'c']) await store.create(key, body('x'), '1', attributes);
  expect(new Set(server.arrived.map(({ port }) => port)).size).toBe(1);
});

test('a multipart upload sends each part once and completes with the refusal to overwrite', async () => {
  server.answer = multipart();
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  await Promise.all([upload.part(2, body('two'), PART), upload.part(1, body('one'), PART)]);
  await expect(upload.complete({ crc64: '42', sizeBytes: 6 })).resolves.toEqual({
    kind: 'created',
    crc64: '42',
  });

  const [init, ...rest] = server.arrived.filter(({ url }) => !url.includes('versioning'));
  expect(init?.headers).toMatchObject({
    'x-cos-forbid-overwrite': 'true',
    'x-cos-meta-format': 'tdmq-backup/1',
    'content-type': 'application/x-ndjson',
  });
  expect(rest).toHaveLength(3);
  const complete = rest[2];
  expect(complete?.headers['x-cos-forbid-overwrite']).toBe('true');
  expect(complete?.body.toString()).toMatch(/<PartNumber>1<.*<PartNumber>2</);
});

test('a part whose checksum differs from what was sent is worth another try, and shows nothing', async () => {
  server.answer = multipart({ part: stored('8') });
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  const error = await failureOf(upload.part(1, body('x'), PART));
  expect(error).toMatchObject({ code: 'store', retryable: true, outcomeUnknown: false });
  expect(error.message).toContain('CRC-64 8 of it instead of 7');
});

test('where the answer to a part has no checksum, the part is sent again with an MD5 for COS to compare', async () => {
  server.answer = multipart({ part: stored() });
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  await upload.part(1, body('one'), PART);
  expect(put().map(({ headers }) => headers['content-md5'])).toEqual([
    undefined,
    createHash('md5').update('one').digest('base64'),
  ]);
});

test('409 at Init and at Complete mean that the object exists', async () => {
  server.answer = multipart({ complete: refused(409, 'FileAlreadyExists') });
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  await upload.part(1, body('one'), PART);
  await expect(upload.complete({ crc64: '1', sizeBytes: 3 })).resolves.toEqual({ kind: 'exists' });

  server.answer = refused(409, 'FileAlreadyExists');
  await expect(store.startUpload('k', attributes)).resolves.toEqual({ kind: 'exists' });
});

test('a part answered without an ETag is a failure', async () => {
  server.answer = multipart({
    part: (_request, response) => {
      response.end();
    },
  });
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  const error = await failureOf(upload.part(1, body('x'), PART));
  expect(error).toMatchObject({ retryable: true, outcomeUnknown: false });
});

test.each([
  ['an error in a 200', errorXml('InternalError', 'try later'), { retryable: true, outcomeUnknown: true }],
  ['an empty 200', '', { retryable: true, outcomeUnknown: true }],
  ['spaces, then an error', `   ${errorXml('InternalError', 'x')}`, { retryable: true }],
])('a Complete answered by %s is a failure', async (_name, answer, expected) => {
  server.answer = multipart({
    complete: (_request, response) => {
      response.end(answer);
    },
  });
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  await upload.part(1, body('x'), PART);
  const error = await failureOf(upload.complete({ crc64: '1', sizeBytes: 1 }));
  expect(error).toMatchObject(expected);
  expect(server.arrived.filter(({ method }) => method === 'POST')).toHaveLength(2);
});

test('a completed object whose size or checksum differs is called damaged', async () => {
  for (const [headers, expected] of [
    [{ 'content-length': '2', 'x-cos-hash-crc64ecma': '1' }, '2 bytes instead of 1'],
    [{ 'content-length': '1', 'x-cos-hash-crc64ecma': '2' }, 'CRC-64 2 instead of 1'],
  ] as const) {
    server.answer = multipart({
      complete: (_request, response) => {
        response.end('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>');
      },
      head: (_request, response) => {
        response.writeHead(200, headers).end();
      },
    });
    const upload = await store.startUpload('k', attributes);
    if (upload.kind === 'exists') throw new Error('should not exist');
    await upload.part(1, body('x'), PART);
    const error = await failureOf(upload.complete({ crc64: '1', sizeBytes: 1 }));
    expect(error).toMatchObject({ code: 'corrupt', retryable: false });
    expect(error.message).toContain(expected);
  }
});

test('aborting an upload that is gone is no failure', async () => {
  server.answer = refused(404, 'NoSuchUpload');
  await store.abortUpload('k', 'u-1');
  expect(server.arrived[0]).toMatchObject({ method: 'DELETE', url: '/k?uploadId=u-1' });
});

type Answer = AnsweringServer['answer'];
function multipart(parts: { part?: Answer; complete?: Answer; head?: Answer } = {}): Answer {
  return (request, response, raw) => {
    if (request.url.includes('?uploads')) {
      response.end('<InitiateMultipartUploadResult><UploadId>u-1</UploadId></InitiateMultipartUploadResult>');
      return;
    }
    if (request.method === 'PUT') return (parts.part ?? stored(PART))(request, response, raw);
    if (request.method === 'HEAD') return (parts.head ?? stored('1'))(request, response, raw);
    if (parts.complete) return parts.complete(request, response, raw);
    response.setHeader('x-cos-hash-crc64ecma', '42');
    response.end('<CompleteMultipartUploadResult><ETag>"e-2"</ETag></CompleteMultipartUploadResult>');
  };
}
