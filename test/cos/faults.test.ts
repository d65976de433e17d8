// The retrying store over the COS adapter, while the loopback COS fails in each way at each call: what can be
// recovered is, once and whole; what cannot is an error, and never a replaced object.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCosStore } from '../../src/cos/store.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { CallKind } from '../../src/local/cos/call.ts';
import type { FaultAction } from '../../src/local/cos/fault-plan.ts';
import type { Clock, Created, Exists, ObjectStore } from '../../src/ports.ts';
import { retryingStore } from '../../src/retrying-store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { cosConfig } from './answering-server.ts';
import { type Loopback, startLoopback } from './loopback.ts';

const MIB = 1_048_576;
const SMALL = Buffer.from('{"id":"1:2:3:4"}\n');
const PARTS = [Buffer.alloc(MIB, 'a'), Buffer.from('b')] as const;
const attributes = {
  metadata: { 'first-id': '1:2:3:4', sha256: 'abc' },
  contentType: 'application/x-ndjson',
};

let loopback: Loopback;
let store: ObjectStore;
let logger: ReturnType<typeof keepingLogger>;
const impatient: Clock = { now: () => 0, sleep: async () => {} };

beforeEach(async () => {
  loopback = await startLoopback();
  logger = keepingLogger();
  store = open();
});
afterEach(async () => {
  await store.close();
  await loopback.end();
});

function open(times: { idleTimeoutMs?: number } = {}): ObjectStore {
  return retryingStore(createCosStore(cosConfig(loopback.cos.url), { logger, ...times }), {
    clock: impatient,
    logger,
  });
}

const createSmall = () =>
  store.create('small', { chunks: [SMALL], sizeBytes: SMALL.length }, crc64([SMALL]), attributes);

async function uploadLarge(): Promise<Created | Exists> {
  const upload = await store.startUpload('large', attributes);
  if (upload.kind === 'exists') return upload;
  for (const [i, part] of PARTS.entries()) {
    await upload.part(i + 1, { chunks: [part], sizeBytes: part.length }, crc64([part]));
  }
  return upload.complete({ crc64: crc64([...PARTS]), sizeBytes: MIB + 1 });
}

const abortOne = async () => {
  const upload = await store.startUpload('aborted', attributes);
  if (upload.kind === 'upload') await upload.abort();
  return { kind: 'created' };
};
const lookAtOne = async () => {
  await createSmall();
  await expect(store.head('small')).resolves.toMatchObject({ crc64: crc64([SMALL]) });
  return { kind: 'created' };
};
const readOne = async () => {
  await createSmall();
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read('small')) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(SMALL)).toBe(true);
  return { kind: 'created' };
};

const WORK: Partial<Record<CallKind, () => Promise<{ kind: string }>>> = {
  put: createSmall,
  init: uploadLarge,
  part: uploadLarge,
  complete: uploadLarge,
  abort: abortOne,
  head: lookAtOne,
  get: readOne,
  versioning: createSmall,
};
const EVERYWHERE: [name: string, action: FaultAction, times: number][] = [
  ['503, twice', { type: 'status', status: 503, code: 'SlowDown' }, 2],
  ['429, twice', { type: 'status', status: 429, code: 'SlowDown' }, 2],
  ['500 without a body', { type: 'status', status: 500, body: 'empty' }, 1],
  ["a proxy's 502", { type: 'status', status: 502, body: 'html' }, 1],
  ['a reset before anything was done', { type: 'reset', when: 'before-commit' }, 2],
  ['a reset after all was done', { type: 'reset', when: 'after-commit' }, 1],
  ['no answer, nothing done', { type: 'hang', when: 'before-commit' }, 1],
  ['no answer, all done', { type: 'hang', when: 'after-commit' }, 1],
];
const SOMEWHERE: [kind: CallKind, name: string, action: FaultAction, times: number][] = [
  ['put', 'a 503 after all was done', { type: 'status', status: 503, when: 'after-commit' }, 1],
  ['complete', 'a 503 after all was done', { type: 'status', status: 503, when: 'after-commit' }, 1],
  ['put', 'a reset in mid-body', { type: 'reset', when: 'mid-body' }, 2],
  ['part', 'a reset in mid-body', { type: 'reset', when: 'mid-body' }, 2],
  ['get', 'a reset in mid-body', { type: 'reset', when: 'mid-body' }, 2],
  ['put', 'no ETag', { type: 'no-etag' }, 1],
  ['part', 'no ETag', { type: 'no-etag' }, 1],
  ['complete', 'no ETag', { type: 'no-etag' }, 1],
  ['init', 'an empty 200', { type: 'empty-body' }, 1],
  ['complete', 'an empty 200', { type: 'empty-body' }, 1],
  ['complete', 'an error in a 200', { type: 'error-in-200', code: 'InternalError' }, 2],
  ['complete', 'spaces, then an error', { type: 'spaces-first', ending: 'error' }, 1],
  ['complete', 'spaces, then the result', { type: 'spaces-first', ending: 'result' }, 1],
  ['put', 'no checksum', { type: 'no-crc' }, 1],
  ['complete', 'no checksum', { type: 'no-crc' }, 1],
];
const RECOVERABLE = [
  ...Object.keys(WORK).flatMap((kind) => EVERYWHERE.map((fault) => [kind as CallKind, ...fault] as const)),
  ...SOMEWHERE,
];

test.each(RECOVERABLE)(
  '%s answered by %s is recovered: one whole object, nothing replaced',
  async (kind, _name, action, times) => {
    loopback.cos.addFault({ kind, times, action });
    if (action.type === 'hang') {
      await store.close();
      store = open({ idleTimeoutMs: 150 });
    }
    await expect(WORK[kind]?.()).resolves.toMatchObject({ kind: 'created' });
    expect(loopback.cos.pendingFaults()).toEqual([]);
    expect(loopback.cos.replacedCount).toBe(0);
    for (const [key, bytes] of [
      ['small', SMALL],
      ['large', Buffer.concat([...PARTS])],
    ] as const) {
      const stored = loopback.cos.object(key);
      if (stored !== undefined) expect(stored.bytes.equals(bytes)).toBe(true);
    }
  },
);

test.each([
  ['put', createSmall],
  ['complete', uploadLarge],
] as const)(
  'a wrong checksum in the answer to %s is an error that is not tried again',
  async (kind, work) => {
    loopback.cos.addFault({ kind, action: { type: 'wrong-crc' } });
    await expect(work()).rejects.toMatchObject({ code: 'corrupt', retryable: false });
    expect(loopback.cos.requests().filter((request) => request.kind === kind)).toHaveLength(1);
  },
);

test.each(['put', 'init', 'part', 'complete'] as const)(
  '%s refused for good fails at once and stores nothing',
  async (kind) => {
    loopback.cos.addFault({ kind, times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    await expect(WORK[kind]?.()).rejects.toMatchObject({
      code: 'store',
      retryable: false,
      details: { code: 'AccessDenied' },
    });
    expect(loopback.cos.objects()).toEqual([]);
    expect(loopback.cos.requests().filter((request) => request.kind === kind)).toHaveLength(1);
  },
);

test.each(['put', 'complete'] as const)(
  '%s that never gets an answer though it was carried out is found by looking',
  async (kind) => {
    loopback.cos.addFault({ kind, times: 'always', action: { type: 'reset', when: 'after-commit' } });
    await expect(WORK[kind]?.()).resolves.toMatchObject({ kind: 'created' });
  },
);

test('credentials that expire in mid-run are an error that says so', async () => {
  await createSmall();
  loopback.cos.setTokenExpired(true);
  await expect(uploadLarge()).rejects.toMatchObject({
    retryable: false,
    hint: expect.stringContaining('expired'),
  });
});
