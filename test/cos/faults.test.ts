// The retrying store over the COS adapter, while the loopback COS fails in each way at each call: what can be
// recovered is, once and whole; what cannot is an error, and never a replaced object.
import { expect, test } from 'vitest';
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

const impatient: Clock = { now: () => 0, sleep: async () => {} };

/** A loopback COS of its own, and the store over it. */
const it = test.extend<{ times: { idleTimeoutMs?: number }; loopback: Loopback; store: ObjectStore }>({
  times: {},
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads from the pattern which fixtures are used
  loopback: async ({}, use) => {
    const loopback = await startLoopback();
    await use(loopback);
    await loopback.end();
  },
  store: async ({ loopback, times }, use) => {
    const logger = keepingLogger();
    const config = cosConfig(loopback.cos.url);
    const store = retryingStore(createCosStore(config, { logger, ...times }), { clock: impatient, logger });
    await use(store);
    await store.close();
  },
});

const createSmall = (store: ObjectStore) =>
  store.create('small', { chunks: [SMALL], sizeBytes: SMALL.length }, crc64([SMALL]), attributes);

async function uploadLarge(store: ObjectStore): Promise<Created | Exists> {
  const upload = await store.startUpload('large', attributes);
  if (upload.kind === 'exists') return upload;
  for (const [i, part] of PARTS.entries()) {
    await upload.part(i + 1, { chunks: [part], sizeBytes: part.length }, crc64([part]));
  }
  return upload.complete({ crc64: crc64([...PARTS]), sizeBytes: MIB + 1 });
}

const abortOne = async (store: ObjectStore) => {
  const upload = await store.startUpload('aborted', attributes);
  if (upload.kind === 'upload') await upload.abort();
  return { kind: 'created' };
};
const lookAtOne = async (store: ObjectStore) => {
  await createSmall(store);
  await expect(store.head('small')).resolves.toMatchObject({ crc64: crc64([SMALL]) });
  return { kind: 'created' };
};
const readOne = async (store: ObjectStore) => {
  await createSmall(store);
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read('small')) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(SMALL)).toBe(true);
  return { kind: 'created' };
};

const WORK: Partial<Record<CallKind, (store: ObjectStore) => Promise<{ kind: string }>>> = {
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
];
const HANGS: [name: string, action: FaultAction][] = [
  ['no answer, nothing done', { type: 'hang', when: 'before-commit' }],
  ['no answer, all done', { type: 'hang', when: 'after-commit' }],
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
const KINDS = Object.keys(WORK) as CallKind[];
const RECOVERED = '%s answered by %s is recovered: one whole object, nothing replaced';

it.for([...KINDS.flatMap((kind) => EVERYWHERE.map((fault) => [kind, ...fault] as const)), ...SOMEWHERE])(
  RECOVERED,
  ([kind, _name, action, times], { loopback, store }) =>
    expectRecovery(loopback, store, { kind, times, action }),
);

// They wait in real time; so long that a busy machine is not taken for a silent one.
const hanging = it.extend({ times: { idleTimeoutMs: 1_000 } });
hanging.for(KINDS.flatMap((kind) => HANGS.map((fault) => [kind, ...fault] as const)))(
  RECOVERED,
  ([kind, _name, action], { loopback, store }) => expectRecovery(loopback, store, { kind, times: 1, action }),
);

async function expectRecovery(
  loopback: Loopback,
  store: ObjectStore,
  fault: { kind: CallKind; times: number; action: FaultAction },
): Promise<void> {
  loopback.cos.addFault(fault);
  await expect(WORK[fault.kind]?.(store)).resolves.toMatchObject({ kind: 'created' });
  expect(loopback.cos.pendingFaults()).toEqual([]);
  expect(loopback.cos.replacedCount).toBe(0);
  for (const [key, bytes] of [
    ['small', SMALL],
    ['large', Buffer.concat([...PARTS])],
  ] as const) {
    const stored = loopback.cos.object(key);
    if (stored !== undefined) expect(stored.bytes.equals(bytes)).toBe(true);
  }
}

it.for([
  ['put', createSmall],
  ['complete', uploadLarge],
] as const)(
  'a wrong checksum in the answer to %s is an error that is not tried again',
  async ([kind, work], { loopback, store }) => {
    loopback.cos.addFault({ kind, action: { type: 'wrong-crc' } });
    await expect(work(store)).rejects.toMatchObject({ code: 'corrupt', retryable: false });
    expect(loopback.cos.requests().filter((request) => request.kind === kind)).toHaveLength(1);
  },
);

it.for(['put', 'init', 'part', 'complete'] as const)(
  '%s refused for good fails at once and stores nothing',
  async (kind, { loopback, store }) => {
    loopback.cos.addFault({ kind, times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    await expect(WORK[kind]?.(store)).rejects.toMatchObject({
      code: 'store',
      retryable: false,
      details: { code: 'AccessDenied' },
    });
    expect(loopback.cos.objects()).toEqual([]);
    expect(loopback.cos.requests().filter((request) => request.kind === kind)).toHaveLength(1);
  },
);

it.for(['put', 'complete'] as const)(
  '%s that never gets an answer though it was carried out is found by looking',
  async (kind, { loopback, store }) => {
    loopback.cos.addFault({ kind, times: 'always', action: { type: 'reset', when: 'after-commit' } });
    await expect(WORK[kind]?.(store)).resolves.toMatchObject({ kind: 'created' });
  },
);

it('credentials that expire in mid-run are an error that says so', async ({ loopback, store }) => {
  await createSmall(store);
  loopback.cos.setTokenExpired(true);
  await expect(uploadLarge(store)).rejects.toMatchObject({
    retryable: false,
    hint: expect.stringContaining('expired'),
  });
});
