// The loopback COS in the eyes of a client that is not ours: the official Python SDK, with its own signatures, digests
// and XML. What it takes for COS, the tests of our adapter may rely on.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import { runPython } from './python.ts';

const BUCKET = 'archive-1250000000';
const REGION = 'ap-guangzhou';
const CREDENTIALS = { secretId: 'AKIDpython', secretKey: 'python-key', sessionToken: 'python-token' };
const MIB = 1024 * 1024;

type Step = readonly [name: string, args?: Record<string, unknown>];

async function start(): Promise<LoopbackCos> {
  const dir = await mkdtemp(join(tmpdir(), 'loopback-cos-'));
  const cos = await startLoopbackCos({
    dir,
    buckets: [{ name: BUCKET, region: REGION }],
    credentials: CREDENTIALS,
  });
  onTestFinished(async () => {
    await cos.close();
    await rm(dir, { recursive: true, force: true });
  });
  return cos;
}

async function python(cos: LoopbackCos, steps: readonly Step[], changed: object = {}): Promise<unknown[]> {
  const { secretId, secretKey, sessionToken: token } = CREDENTIALS;
  const server = { port: cos.port, bucket: BUCKET, region: REGION, secretId, secretKey, token };
  const input = JSON.stringify({
    ...server,
    ...changed,
    steps: steps.map(([name, args]) => [name, args ?? {}]),
  });
  return JSON.parse(await runPython('cos_client.py', [], { input })) as unknown[];
}

/** What the script's pattern(size) is. */
function pattern(size: number): Buffer {
  return Buffer.alloc(size, createHash('sha256').update(String(size)).digest());
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

it('the Python client puts, heads, gets by range, and deletes an object with an awkward key', async () => {
  const cos = await start();
  const key = "a b/c+d=1/é&'(x)~*.jsonl";
  const headers = { 'x-cos-meta-first-id': '1:2:0:3', 'x-cos-storage-class': 'STANDARD_IA' };
  const [put, head, part, whole, last, removed, gone] = await python(cos, [
    ['put', { key, size: 5_000_000, headers }],
    ['head', { key }],
    ['get', { key, range: 'bytes=10-19' }],
    ['get', { key }],
    ['get', { key, range: 'bytes=-7' }],
    ['delete', { key }],
    ['get', { key }],
  ]);
  const body = pattern(5_000_000);
  expect(put).toMatchObject({ ETag: `"${createHash('md5').update(body).digest('hex')}"` });
  expect(head).toMatchObject({ ...headers, 'Content-Length': '5000000' });
  expect(part).toBe(body.subarray(10, 20).toString('base64'));
  expect(whole).toBe(sha256(body));
  expect(last).toBe(body.subarray(-7).toString('base64'));
  expect(removed).not.toHaveProperty('code');
  expect(gone).toEqual({ status: 404, code: 'NoSuchKey' });
  expect(cos.requests().map(({ status }) => status)).toEqual([200, 200, 206, 200, 206, 204, 404]);
});

it('the Python client pages through a listing, with prefix, delimiter and encoded keys', async () => {
  const cos = await start();
  const keys = ['p/a', 'p/b c', 'p/d/1', 'p/d/2', 'p/é+', 'q'];
  const [, , , , , , pages, folded, encoded] = await python(cos, [
    ...keys.map((key): Step => ['put', { key, size: 1 }]),
    ['listing', { Prefix: 'p/', MaxKeys: 2 }],
    ['listing', { Prefix: 'p/', Delimiter: '/', MaxKeys: 1 }],
    ['listing', { Prefix: 'p/', EncodingType: 'url' }],
  ]);
  expect(pages).toEqual({ keys: keys.slice(0, 5), folders: [], pages: 3 });
  expect(folded).toEqual({ keys: ['p/a', 'p/b c', 'p/é+'], folders: ['p/d/'], pages: 4 });
  expect((encoded as { keys: string[] }).keys.map(decodeURIComponent)).toEqual(keys.slice(0, 5));
});

it('the Python client uploads in parts, by hand and on its own, and its own CRC-64 agrees', async () => {
  const cos = await start();
  const [byHand, head, body, onItsOwn] = await python(cos, [
    ['multipart', { key: 'm', sizes: [MIB, MIB + 5, 3], headers: { 'x-cos-meta-rule': 'r' } }],
    ['head', { key: 'm' }],
    ['get', { key: 'm' }],
    ['upload_file', { key: 'f', size: 5 * MIB + 1 }],
  ]);
  const whole = Buffer.concat([MIB, MIB + 5, 3].map(pattern));
  expect(byHand).toMatchObject({ listed: [MIB, MIB + 5, 3], complete: { Key: 'm', Bucket: BUCKET } });
  expect(head).toMatchObject({ 'x-cos-meta-rule': 'r', 'Content-Length': String(whole.length) });
  expect(body).toBe(sha256(whole));
  expect(onItsOwn).toEqual({ etag: expect.stringMatching(/^"[0-9a-f]{32}-6"$/), same: true });
  expect(cos.uploads()).toEqual([]);
});

it('the Python client sees unfinished uploads, aborts them, and is reported what is wrong with a complete', async () => {
  const cos = await start();
  const [unfinished, listed, wrongOrder, tooSmall] = await python(cos, [
    ['multipart', { key: 'u/1', sizes: [10], stop: true }],
    ['uploads', { prefix: 'u/' }],
    ['multipart', { key: 'v', sizes: [MIB, MIB], order: [2, 1] }],
    ['multipart', { key: 'v', sizes: [10, 10] }],
  ]);
  const { uploadId } = unfinished as { uploadId: string };
  expect(listed).toEqual([['u/1', uploadId]]);
  expect(wrongOrder).toEqual({ status: 400, code: 'InvalidPartOrder' });
  expect(tooSmall).toEqual({ status: 400, code: 'EntityTooSmall' });
  const [, none, again] = await python(cos, [
    ['abort', { key: 'u/1', uploadId }],
    ['uploads', { prefix: 'u/' }],
    ['abort', { key: 'u/1', uploadId }],
  ]);
  expect(none).toEqual([]);
  expect(again).toEqual({ status: 404, code: 'NoSuchUpload' });
});

it('the Python client cannot replace an object that it forbids to overwrite, until versioning was enabled', async () => {
  const cos = await start();
  const forbidOverwrite = true;
  const results = await python(cos, [
    ['put', { key: 'k', size: 10, forbidOverwrite }],
    ['put', { key: 'k', size: 20, forbidOverwrite }],
    ['multipart', { key: 'k', sizes: [30], forbidOverwrite }],
    ['versioning'],
    ['versioning', { status: 'Suspended' }],
    ['put', { key: 'k', size: 40, forbidOverwrite }],
  ]);
  expect(results[0]).toHaveProperty('ETag');
  expect(results.slice(1, 3)).toEqual(Array(2).fill({ status: 409, code: 'FileAlreadyExists' }));
  expect(results[3]).not.toHaveProperty('Status');
  expect(results[4]).toEqual({ Status: 'Suspended' });
  expect(results[5]).toHaveProperty('ETag');
  expect(cos.replacedCount).toBe(1);
  expect(cos.object('k')?.sizeBytes).toBe(40);
});

it('the Python client is refused with a wrong key, another token, or another bucket', async () => {
  const cos = await start();
  const codes = async (changed: object) =>
    (await python(cos, [['put', { key: 'k', size: 1 }], ['lifecycle']], changed)).map(
      (result) => (result as { code: string }).code,
    );
  expect(await codes({ secretKey: 'other' })).toEqual(['SignatureDoesNotMatch', 'SignatureDoesNotMatch']);
  expect(await codes({ token: 'other' })).toEqual(['InvalidAccessKeyId', 'InvalidAccessKeyId']);
  expect(await codes({ bucket: 'other-1250000000' })).toEqual(['NoSuchBucket', 'NoSuchBucket']);
  expect(await python(cos, [['head_bucket'], ['lifecycle']])).toEqual([
    true,
    { status: 404, code: 'NoSuchLifecycleConfiguration' },
  ]);
  expect(cos.objects()).toEqual([]);
});
