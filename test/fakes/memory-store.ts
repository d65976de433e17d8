// An ObjectStore in memory, append-only like the real one, with a hook to fail or to wait at any call.

import { BackupError } from '../../src/errors.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Body, Created, Exists, ObjectAttributes, ObjectStore, Upload } from '../../src/ports.ts';

/** An object as it was stored. */
export interface MemoryObject {
  readonly key: string;
  readonly bytes: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType: string;
  readonly crc64: string;
}

type Call = 'create' | 'start' | 'part' | 'complete' | 'abort' | 'head' | 'read' | 'list' | 'listUploads';

export interface MemoryStore extends ObjectStore {
  readonly objects: Map<string, MemoryObject>;
  readonly uploads: Map<string, { key: string; initiated: Date }>;
  readonly calls: string[];
  /** The store's own time. */
  now: () => Date;
  /** Called before and after each call takes effect; what it throws, the call throws. */
  hook: ((when: 'before' | 'after', call: Call, key: string) => void | Promise<void>) | undefined;
}

export function createMemoryStore(): MemoryStore {
  const objects = new Map<string, MemoryObject>();
  const uploads = new Map<string, { key: string; initiated: Date }>();
  const calls: string[] = [];
  let uploadCount = 0;
  const store: MemoryStore = {
    objects,
    uploads,
    calls,
    now: () => new Date(),
    hook: undefined,
    expectCreations: () => undefined,
    create: (key, body, expected, attributes, options) =>
      step('create', key, options?.signal, () => put(key, bytesOf(body), expected, attributes)),
    startUpload: (key, attributes, options) =>
      step('start', key, options?.signal, () => (objects.has(key) ? exists : start(key, attributes))),
    head: (key, options) =>
      step('head', key, options?.signal, () => {
        const object = objects.get(key);
        if (object === undefined) return undefined;
        const { metadata, bytes } = object;
        return { key, sizeBytes: bytes.length, crc64: object.crc64, metadata, lastModified: new Date(0) };
      }),
    async *read(key, options) {
      const bytes = await step('read', key, options?.signal, () => {
        const object = objects.get(key);
        if (object === undefined)
          throw new BackupError('store', `no such key: ${key}`, { details: { code: 'NoSuchKey' } });
        const start = options?.start ?? 0;
        return start < 0
          ? object.bytes.subarray(start)
          : object.bytes.subarray(start, options?.end === undefined ? undefined : options.end + 1);
      });
      for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
    },
    async *list(prefix, options) {
      await step('list', prefix, options?.signal, () => undefined);
      for (const key of [...objects.keys()].sort()) {
        if (!key.startsWith(prefix) || (options?.startAfter !== undefined && key <= options.startAfter))
          continue;
        yield { key, sizeBytes: (objects.get(key) as MemoryObject).bytes.length, lastModified: new Date(0) };
      }
    },
    async *listFolder(prefix, options) {
      let last: string | undefined;
      for await (const object of store.list(prefix, options?.signal ? { signal: options.signal } : {})) {
        const end = object.key.indexOf('/', prefix.length);
        const key = end < 0 ? object.key : object.key.slice(0, end + 1);
        if (key === last || (options?.startAfter !== undefined && key <= options.startAfter)) continue;
        last = key;
        yield end < 0 ? { kind: 'object', key, object } : { kind: 'folder', key };
      }
    },
    async *listUploads(prefix, options) {
      await step('listUploads', prefix, options?.signal, () => undefined);
      for (const [uploadId, { key, initiated }] of uploads)
        if (key.startsWith(prefix))
          yield { key, uploadId, initiated, ageMs: store.now().getTime() - initiated.getTime() };
    },
    abortUpload: (key, uploadId, options) =>
      step('abort', key, options?.signal, () => {
        uploads.delete(uploadId);
      }),
    close: async () => undefined,
  };

  const exists: Exists = { kind: 'exists' };

  async function step<T>(
    call: Call,
    key: string,
    signal: AbortSignal | undefined,
    effect: () => T,
  ): Promise<T> {
    calls.push(`${call} ${key}`);
    await unlessAborted(signal, store.hook?.('before', call, key));
    const result = effect();
    await unlessAborted(signal, store.hook?.('after', call, key));
    return result;
  }

  function put(key: string, bytes: Buffer, expected: string, attributes: ObjectAttributes): Created | Exists {
    if (objects.has(key)) return exists;
    const crc = crc64([bytes]);
    if (crc !== expected) throw new BackupError('store', `bad digest for ${key}`);
    objects.set(key, { key, bytes, crc64: crc, ...attributes });
    return { kind: 'created', crc64: crc };
  }

  function start(key: string, attributes: ObjectAttributes): Upload {
    const uploadId = `upload-${++uploadCount}`;
    const parts = new Map<number, Buffer>();
    uploads.set(uploadId, { key, initiated: store.now() });
    return {
      kind: 'upload',
      part: (number, body, expected, options) =>
        step('part', key, options?.signal, () => {
          const bytes = bytesOf(body);
          if (number < 1 || number > 10_000) throw new BackupError('store', `there is no part ${number}`);
          if (crc64([bytes]) !== expected) throw new BackupError('store', `bad digest for a part of ${key}`);
          parts.set(number, bytes);
        }),
      complete: (whole, options) =>
        step('complete', key, options?.signal, () => {
          if (!uploads.has(uploadId)) throw new BackupError('store', 'no such upload');
          const ordered = [...parts.entries()].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
          if (ordered.slice(0, -1).some((part) => part.length < 1_048_576)) {
            throw new BackupError('store', 'a part is too small');
          }
          const answer = put(key, Buffer.concat(ordered), whole.crc64, attributes);
          if (answer.kind === 'created') uploads.delete(uploadId);
          return answer;
        }),
      abort: (options) =>
        step('abort', key, options?.signal, () => {
          uploads.delete(uploadId);
        }),
    };
  }

  return store;
}

function bytesOf(body: Body): Buffer {
  const bytes = Buffer.concat(body.chunks);
  if (bytes.length !== body.sizeBytes) throw new Error('sizeBytes is not the size of the chunks');
  return bytes;
}

async function unlessAborted(signal: AbortSignal | undefined, work: void | Promise<void>): Promise<void> {
  const aborted = () => new BackupError('store', 'aborted', { retryable: true, outcomeUnknown: true });
  if (signal?.aborted) throw aborted();
  if (work === undefined) return;
  const done = new AbortController();
  await new Promise<void>((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(aborted()), { signal: done.signal });
    work.then(resolve, reject);
  }).finally(() => done.abort());
}
