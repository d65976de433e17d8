// Buckets that ignore the refusal to overwrite: found out once, and then looked at before each creation.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { cosConfig, refused, startAnsweringServer, stored } from './answering-server.ts';
import { type Loopback, startLoopback } from './loopback.ts';

let loopback: Loopback;
let logger: ReturnType<typeof keepingLogger>;
let store: CosStore;
const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
const bytes = Buffer.from('x');
const body = { chunks: [bytes], sizeBytes: 1 };
const sum = crc64([bytes]);

beforeEach(async () => {
  loopback = await startLoopback();
  logger = keepingLogger();
  store = createCosStore(cosConfig(loopback.cos.url), { logger });
});
afterEach(async () => {
  await store.close();
  await loopback.end();
});

const create = (key: string) => store.create(key, body, sum, attributes);
const kinds = () => loopback.cos.requests().map(({ kind }) => kind);
const count = (kind: string) => kinds().filter((one) => one === kind).length;

test('nothing is asked before the first creation, and a bucket without versioning is asked once', async () => {
  await store.head('k');
  expect(count('versioning')).toBe(0);
  await Promise.all(['a', 'b', 'c'].map(create));
  await create('d');
  expect(count('versioning')).toBe(1);
  expect(count('head')).toBe(1);
  expect(logger.lines).toEqual([]);
});

test('where creations are expected, the bucket is asked before the first, and once', async () => {
  store.expectCreations();
  await vi.waitUntil(() => count('versioning') === 1);
  await create('a');
  expect(kinds()).toEqual(['versioning', 'put']);
});

test('where asking before fails, the first creation asks again', async () => {
  loopback.cos.addFault({ kind: 'versioning', times: 1, action: { type: 'status', status: 503 } });
  store.expectCreations();
  await vi.waitUntil(() => count('versioning') === 1);
  await vi.waitFor(() => create('a'));
  expect(kinds()).toEqual(['versioning', 'versioning', 'put']);
});

test.each(['Enabled', 'Suspended'] as const)(
  'a bucket whose versioning is %s is looked at before PUT, Init and Complete, and one warning says so',
  async (versioning) => {
    loopback.cos.setVersioning(versioning);
    await create('k');
    await expect(create('k')).resolves.toEqual({ kind: 'exists' });
    await expect(store.startUpload('k', attributes)).resolves.toEqual({ kind: 'exists' });
    const upload = await store.startUpload('late', attributes);
    if (upload.kind === 'exists') throw new Error('should not exist');
    await upload.part(1, body, sum);
    await create('late');
    await expect(upload.complete({ crc64: sum, sizeBytes: 1 })).resolves.toEqual({ kind: 'exists' });
    expect(loopback.cos.replacedCount).toBe(0);
    expect(count('versioning')).toBe(1);
    expect(logger.lines).toMatchObject([{ level: 'warn', fields: { versioning } }]);
  },
);

test('where the role may not ask, each creation looks first, and one warning names the action', async () => {
  loopback.cos.setVersioning('Enabled');
  loopback.cos.addFault({
    kind: 'versioning',
    times: 'always',
    action: { type: 'error', code: 'AccessDenied' },
  });
  await create('k');
  await expect(create('k')).resolves.toEqual({ kind: 'exists' });
  expect(loopback.cos.replacedCount).toBe(0);
  expect(logger.lines).toMatchObject([{ level: 'warn', fields: { action: 'cos:GetBucketVersioning' } }]);
});

test('a question that fails is asked again by the next creation, and nothing is created unasked', async () => {
  loopback.cos.addFault({
    kind: 'versioning',
    action: { type: 'status', status: 503, code: 'SlowDown' },
  });
  await expect(create('k')).rejects.toMatchObject({ retryable: true, outcomeUnknown: false });
  expect(count('put')).toBe(0);
  await expect(create('k')).resolves.toMatchObject({ kind: 'created' });
});

test('wrong credentials are reported as such, not taken for a missing permission', async () => {
  loopback.cos.setTokenExpired(true);
  await expect(create('k')).rejects.toMatchObject({
    retryable: false,
    details: { code: expect.stringMatching(/Token|AccessKey/) },
  });
  expect(logger.lines).toEqual([]);
});

test('a creation that is aborted while the question is open ends at once, the others go on', async () => {
  const server = await startAnsweringServer(stored(sum));
  let answer = () => {};
  server.answerVersioning = (_request, response) => {
    answer = () => response.end('<VersioningConfiguration/>');
  };
  const other = createCosStore(cosConfig(server.endpoint), { logger });
  const controller = new AbortController();
  const aborted = other
    .create('a', body, sum, attributes, { signal: controller.signal })
    .catch((error) => error);
  const created = other.create('b', body, sum, attributes);
  await vi.waitUntil(() => server.arrived.length === 1, { timeout: 20_000 });
  controller.abort();
  await expect(aborted).resolves.toMatchObject({ retryable: true, outcomeUnknown: false });
  answer();
  await expect(created).resolves.toMatchObject({ kind: 'created' });
  expect(server.arrived.map(({ url }) => url)).toEqual(['/?versioning=', '/b']);
  await other.close();
  await server.close();
});

test('a bucket that is not there is an error, also when it is only asked for its versioning', async () => {
  const server = await startAnsweringServer();
  server.answerVersioning = refused(404, 'NoSuchBucket');
  const other = createCosStore(cosConfig(server.endpoint), { logger });
  await expect(other.create('a', body, sum, attributes)).rejects.toMatchObject({
    details: { code: 'NoSuchBucket' },
    hint: expect.stringContaining('COS_BUCKET'),
  });
  await other.close();
  await server.close();
});
