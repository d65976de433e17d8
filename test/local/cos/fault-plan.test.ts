// Faults of the loopback COS: what each one does to the caller, and whether the call took effect.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { FaultAction } from '../../../src/local/cos/fault-plan.ts';
import type { LoopbackCos } from '../../../src/local/cos/server.ts';
import { BUCKET, type Client, MIB, startTestCos, textOf, uploadParts } from './test-client.ts';

async function putUnder(action: FaultAction) {
  const { cos, call, dir } = await startTestCos();
  cos.addFault({ kind: 'put', action });
  const answer = await call('PUT', 'k', { body: '123456789' });
  expect(cos.pendingFaults()).toEqual([]);
  expect(readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary'))).toEqual([]);
  return { answer, isStored: cos.object('k') !== undefined, cos, call };
}

test.each([500, 503, 429])(
  'status %i with error XML, before anything took effect; the next call succeeds',
  async (status) => {
    const { answer, isStored, call } = await putUnder({ type: 'status', status });
    expect(answer.status).toBe(status);
    expect(answer.code).toBeDefined();
    expect(textOf(answer.text, 'RequestId')).toBe(answer.headers['x-cos-request-id']);
    expect(isStored).toBe(false);
    expect((await call('PUT', 'k', { body: 'x' })).status).toBe(200);
  },
);

test('a status can come with no body, or with the page of a proxy', async () => {
  const empty = await putUnder({ type: 'status', status: 503, body: 'empty' });
  expect(empty.answer).toMatchObject({ status: 503, text: '' });
  const html = await putUnder({ type: 'status', status: 502, body: 'html' });
  expect(html.answer.headers['content-type']).toBe('text/html');
});

test('a status after commit: refused, and stored all the same', async () => {
  const { answer, isStored } = await putUnder({ type: 'status', status: 500, when: 'after-commit' });
  expect(answer.status).toBe(500);
  expect(isStored).toBe(true);
});

test.each([
  ['AccessDenied', 403],
  ['ExpiredToken', 403],
  ['RequestTimeTooSkewed', 403],
  ['NoSuchBucket', 404],
] as const)("COS's own refusal %s has status %i and its XML", async (code, status) => {
  const { answer, isStored } = await putUnder({ type: 'error', code });
  expect(answer).toMatchObject({ status, code });
  expect(isStored).toBe(false);
});

test('status 200 with an error in the body, and nothing stored', async () => {
  const { answer, isStored } = await putUnder({ type: 'error-in-200' });
  expect(answer).toMatchObject({ status: 200, code: 'InternalError' });
  expect(isStored).toBe(false);
});

test('an answer without ETag, with a wrong CRC-64, without CRC-64: stored each time', async () => {
  const noEtag = await putUnder({ type: 'no-etag' });
  expect(noEtag.answer.headers.etag).toBeUndefined();
  const wrong = await putUnder({ type: 'wrong-crc' });
  expect(wrong.answer.headers['x-cos-hash-crc64ecma']).toMatch(/^\d+$/);
  expect(wrong.answer.headers['x-cos-hash-crc64ecma']).not.toBe('11051210869376104954');
  const noCrc = await putUnder({ type: 'no-crc' });
  expect(noCrc.answer.headers['x-cos-hash-crc64ecma']).toBeUndefined();
  expect([noEtag, wrong, noCrc].map(({ isStored }) => isStored)).toEqual([true, true, true]);
});

test.each([
  ['before-commit', false],
  ['after-commit', true],
  ['mid-body', false],
] as const)('a reset %s breaks the connection; stored: %s', async (when, isStored) => {
  const { cos, call, dir } = await startTestCos();
  cos.addFault({ kind: 'put', action: { type: 'reset', when } });
  await expect(call('PUT', 'k', { body: Buffer.alloc(3 * MIB) })).rejects.toThrow(/ECONNRESET|EPIPE|hang up/);
  expect(cos.object('k') !== undefined).toBe(isStored);
  expect(cos.requests()).toMatchObject([{ kind: 'put', status: 'reset' }]);
  expect(readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary'))).toEqual([]);
  expect((await call('PUT', 'other', { body: 'x' })).status).toBe(200);
});

test('a reset in the middle of a get breaks off after half of the bytes', async () => {
  const { cos, call } = await startTestCos();
  await call('PUT', 'k', { body: Buffer.alloc(3 * MIB) });
  cos.addFault({ kind: 'get', action: { type: 'reset', when: 'mid-body' } });
  await expect(call('GET', 'k')).rejects.toThrow(/ECONNRESET|aborted/);
  expect((await call('GET', 'k')).body.length).toBe(3 * MIB);
});

test.each([
  ['before-commit', false],
  ['after-commit', true],
] as const)('a hang %s never answers; stored: %s; close ends it', async (when, isStored) => {
  const { cos, call } = await startTestCos();
  cos.addFault({ kind: 'put', action: { type: 'hang', when } });
  const put = call('PUT', 'k', { body: 'x' });
  const ended = expect(put).rejects.toThrow(/hang up|ECONNRESET/);
  await expect.poll(() => cos.requests()[0]?.status).toBe('hung');
  expect(cos.object('k') !== undefined).toBe(isStored);
  await cos.close();
  await ended;
});

test('a slow answer comes at the rate that was ordered, and whole', async () => {
  const { cos, call } = await startTestCos();
  await call('PUT', 'k', { body: Buffer.alloc(20_000, 7) });
  cos.addFault({ kind: 'get', action: { type: 'slow', bytesPerSecond: 100_000 } });
  const start = performance.now();
  const { body } = await call('GET', 'k');
  expect(performance.now() - start).toBeGreaterThan(150);
  expect(body.equals(Buffer.alloc(20_000, 7))).toBe(true);
});

async function completeUnder(
  action: FaultAction,
): Promise<{ answer: Awaited<ReturnType<Client>>; cos: LoopbackCos }> {
  const { cos, call } = await startTestCos();
  const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('part')]);
  cos.addFault({ kind: 'complete', action });
  return { answer: await call('POST', 'k', { query: { uploadId }, body: xml }), cos };
}

test('a complete answers 200 at once, then spaces, then its result', async () => {
  const { answer, cos } = await completeUnder({ type: 'spaces-first' });
  expect(answer.status).toBe(200);
  expect(answer.text).toMatch(/^ +<\?xml.*<ETag>.*<\/ETag>/s);
  expect(answer.headers).not.toHaveProperty('content-length');
  expect(cos.object('k')?.bytes.toString()).toBe('part');
});

test('a complete answers 200 at once, then spaces, then an error; nothing was stored', async () => {
  const { answer, cos } = await completeUnder({ type: 'spaces-first', ending: 'error' });
  expect(answer).toMatchObject({ status: 200, code: 'InternalError' });
  expect(answer.text).toMatch(/^ +<\?xml/);
  expect(cos.objects()).toEqual([]);
  expect(cos.uploads()).toHaveLength(1);
});

test('a complete answers 200 without a body, or without an ETag; the object is there', async () => {
  const empty = await completeUnder({ type: 'empty-body' });
  expect(empty.answer).toMatchObject({ status: 200, text: '' });
  expect(empty.cos.objects()).toHaveLength(1);
  const noEtag = await completeUnder({ type: 'no-etag' });
  expect(noEtag.answer.text).toContain('<Key>k</Key>');
  expect(noEtag.answer.text).not.toContain('<ETag>');
  expect(noEtag.cos.objects()).toHaveLength(1);
});

test('a fault strikes the kind, the key, the nth call and as often as it says', async () => {
  const { cos, call } = await startTestCos();
  cos.addFault({
    kind: ['put', 'get'],
    key: '^a/',
    nth: 2,
    times: 2,
    action: { type: 'status', status: 503 },
  });
  const statuses: number[] = [];
  for (const [method, key] of [
    ['PUT', 'a/1'],
    ['PUT', 'b/1'],
    ['HEAD', 'a/1'],
    ['GET', 'a/1'],
    ['PUT', 'a/2'],
    ['PUT', 'a/2'],
  ] as const) {
    statuses.push((await call(method, key)).status);
  }
  expect(statuses).toEqual([200, 200, 200, 503, 503, 200]);
});

test('a fault that is always there stays until it is cleared', async () => {
  const { cos, call } = await startTestCos();
  cos.addFault({ times: 'always', action: { type: 'status', status: 500 } });
  for (let i = 0; i < 3; i++) expect((await call('GET', '')).status).toBe(500);
  cos.clearFaults();
  expect((await call('GET', '')).status).toBe(200);
});

test.each(['init', 'part', 'complete', 'abort', 'head', 'get', 'list', 'versioning', 'listUploads'] as const)(
  'a fault can strike %s',
  async (kind) => {
    const { cos, call } = await startTestCos();
    const { uploadId, xml } = await uploadParts(call, 'k', [Buffer.from('x')]);
    cos.addFault({ kind, action: { type: 'status', status: 503, body: 'empty' } });
    const query = { uploadId };
    const calls = {
      init: () => call('POST', 'k', { query: { uploads: '' } }),
      part: () => call('PUT', 'k', { query: { ...query, partNumber: '1' }, body: 'x' }),
      complete: () => call('POST', 'k', { query, body: xml }),
      abort: () => call('DELETE', 'k', { query }),
      head: () => call('HEAD', 'k'),
      get: () => call('GET', 'k'),
      list: () => call('GET', ''),
      versioning: () => call('GET', '', { query: { versioning: '' } }),
      listUploads: () => call('GET', '', { query: { uploads: '' } }),
    };
    expect((await calls[kind]()).status).toBe(503);
    expect(cos.requests().at(-1)).toMatchObject({ kind, status: 503 });
    expect(cos.uploads()).toHaveLength(1);
    expect(cos.objects()).toEqual([]);
  },
);

test('the hook sees every call before it is served, and can hold it', async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const seen: string[] = [];
  const onRequest = (kind: string, key: string, n: number) => {
    seen.push(`${kind} ${key} ${n}`);
    return n === 2 ? held : undefined;
  };
  const { cos, call } = await startTestCos({ onRequest });
  await call('PUT', 'a', { body: '1' });
  const second = call('PUT', 'b', { body: '2' });
  await expect.poll(() => seen).toEqual(['put a 1', 'put b 2']);
  expect(cos.objects().map(({ key }) => key)).toEqual(['a']);
  release();
  expect((await second).status).toBe(200);
});
