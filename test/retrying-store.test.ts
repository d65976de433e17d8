import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, test } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { crc64 } from '../src/lib/crc64.ts';
import type { Clock, ObjectStore } from '../src/ports.ts';
import { retryingStore } from '../src/retrying-store.ts';
import { keepingLogger } from './fakes/loggers.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';

const bytes = Buffer.from('{"id":"1:2:3:4"}\n');
const body = { chunks: [bytes], sizeBytes: bytes.length };
const sum = crc64([bytes]);
const attributes = {
  metadata: { 'first-id': '1:2:3:4', sha256: 'abc' },
  contentType: 'application/x-ndjson',
};
const busy = (more: { outcomeUnknown?: boolean } = {}) =>
  new BackupError('store', 'busy', { retryable: true, details: { code: 'SlowDown', status: 503 }, ...more });
const lost = () => busy({ outcomeUnknown: true });

let inner: MemoryStore;
let logger: ReturnType<typeof keepingLogger>;
let slept: number[];
let clock: Clock;
let store: ObjectStore;

beforeEach(() => {
  inner = createMemoryStore();
  logger = keepingLogger();
  slept = [];
  clock = {
    now: () => 0,
    sleep: async (ms) => {
      slept.push(ms);
    },
  };
  store = retryingStore(inner, { clock, logger, random: () => 1 });
});

/** Fails the first `count` calls of a kind, before or after they take effect. */
function failing(when: 'before' | 'after', call: string, count: number, error: () => Error = busy): void {
  let left = count;
  inner.hook = (at, kind) => {
    if (at === when && kind === call && left-- > 0) throw error();
  };
}

const started = async () => {
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  return upload;
};
const callsOf = (call: string) => inner.calls.filter((line) => line.startsWith(`${call} `)).length;
const whole = { crc64: sum, sizeBytes: bytes.length };

describe('repeating', () => {
  test('every call that fails twice for a while succeeds, and each repetition is logged with key, attempt, code and delay', async () => {
    failing('before', 'create', 2);
    await expect(store.create('k', body, sum, attributes)).resolves.toEqual({ kind: 'created', crc64: sum });
    expect(slept).toEqual([200, 400]);
    expect(logger.lines).toMatchObject([
      {
        level: 'warn',
        message: 'upload retried',
        fields: { key: 'k', attempt: 1, code: 'SlowDown', delayMs: 200 },
      },
      { level: 'warn', message: 'upload retried', fields: { attempt: 2, delayMs: 400 } },
    ]);

    for (const call of ['start', 'part', 'complete', 'abort', 'head', 'list']) {
      inner = createMemoryStore();
      store = retryingStore(inner, { clock, logger });
      failing('before', call, 2);
      const upload = await started();
      await upload.part(1, body, sum);
      await upload.complete(whole);
      await upload.abort();
      await store.abortUpload('k', 'u');
      await expect(store.head('k')).resolves.toMatchObject({ crc64: sum });
      await expect(collect(store.list(''))).resolves.toMatchObject([{ key: 'k' }]);
      await expect(collect(store.listUploads(''))).resolves.toEqual([]);
    }
  });

  test('what is not retryable is thrown at once', async () => {
    failing('before', 'create', 1, () => new BackupError('store', 'denied'));
    await expect(store.create('k', body, sum, attributes)).rejects.toThrow('denied');
    expect(inner.calls).toEqual(['create k']);
  });

  test('each repetition is reported, after it was logged', async () => {
    const told: number[] = [];
    store = retryingStore(inner, {
      clock,
      logger,
      onRetry: (_error, attempt) => {
        expect(logger.lines).toHaveLength(attempt);
        told.push(attempt);
      },
    });
    failing('before', 'create', 2);
    await store.create('k', body, sum, attributes);
    expect(told).toEqual([1, 2]);
  });

  test('tries are bounded, and the last error is thrown', async () => {
    failing('before', 'create', Number.POSITIVE_INFINITY);
    await expect(store.create('k', body, sum, attributes)).rejects.toThrow('busy');
    expect(callsOf('create')).toBe(6);
  });

  test.each(['the store', 'the call'])('the signal of %s ends a wait', async (whose) => {
    const controller = new AbortController();
    const { signal } = controller;
    clock.sleep = (_ms, waiting) =>
      new Promise((_, reject) => {
        waiting?.addEventListener('abort', () => reject(waiting.reason));
        controller.abort();
      });
    store = retryingStore(inner, { clock, logger, signal: whose === 'the store' ? signal : idle() });
    failing('before', 'create', Number.POSITIVE_INFINITY);
    const options = whose === 'the store' ? { signal: idle() } : { signal };
    await expect(store.create('k', body, sum, attributes, options)).rejects.toThrow('busy');
    expect(callsOf('create')).toBe(1);
  });

  test.each(['the store', 'the call'])('the signal of %s ends a call under way', async (whose) => {
    const controller = new AbortController();
    const { signal } = controller;
    inner.hook = () => {
      queueMicrotask(() => controller.abort());
      return new Promise(() => {});
    };
    store = retryingStore(inner, { clock, logger, signal: whose === 'the store' ? signal : idle() });
    const options = whose === 'the store' ? { signal: idle() } : { signal };
    await expect(store.head('k', options)).rejects.toThrow('aborted');
  });
});

test('calls leave no listener on the signals that they were given', async () => {
  const signals = [new AbortController().signal, new AbortController().signal] as const;
  store = retryingStore(inner, { clock, logger, signal: signals[0] });
  const options = { signal: signals[1] };
  await store.create('k', body, sum, attributes, options);
  await collect(store.read('k', options));
  await collect(store.list('', options));
  failing('before', 'head', Number.POSITIVE_INFINITY);
  await expect(store.head('k', options)).rejects.toThrow('busy');
  for (const signal of signals) expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a signal that was raised before ends a call at once', async () => {
  store = retryingStore(inner, { clock, logger, signal: AbortSignal.abort() });
  await expect(store.head('k', { signal: idle() })).rejects.toThrow('aborted');
  expect(inner.calls).toEqual(['head k']);
});

test('an upload is aborted also after the end of the run, in the time that the call is given', async () => {
  const end = new AbortController();
  store = retryingStore(inner, { clock, logger, signal: end.signal });
  const upload = await started();
  end.abort();
  await upload.abort({ signal: idle() });
  expect(inner.uploads.size).toBe(0);
});

describe('lost answers', () => {
  test('a PUT whose answer was lost and that then exists was created, once', async () => {
    failing('after', 'create', 1, lost);
    await expect(store.create('k', body, sum, attributes)).resolves.toEqual({ kind: 'created', crc64: sum });
    expect(callsOf('create')).toBe(2);
    expect(inner.objects.size).toBe(1);
  });

  test('a Complete whose answer was lost and whose upload is then gone was created', async () => {
    const upload = await started();
    await upload.part(1, body, sum);
    failing('after', 'complete', 1, lost);
    await expect(upload.complete(whole)).resolves.toEqual({ kind: 'created', crc64: sum });
    expect(callsOf('complete')).toBe(2);
  });

  test('an object of another kind at the key exists, also after a lost answer', async () => {
    for (const other of [
      { bytes: Buffer.from('other'), metadata: attributes.metadata },
      { bytes, metadata: { 'first-id': '9:9:9:9' } },
      { bytes, metadata: { 'first-id': '1:2:3:4' } },
      { bytes, metadata: { ...attributes.metadata, rule: 'other' } },
    ]) {
      inner.objects.set('k', { key: 'k', contentType: 'x', crc64: crc64([other.bytes]), ...other });
      failing('before', 'create', 1, lost);
      await expect(store.create('k', body, sum, attributes)).resolves.toEqual({ kind: 'exists' });
    }
  });

  test('without a lost answer, what exists is not taken for ours', async () => {
    await inner.create('k', body, sum, attributes);
    await expect(store.create('k', body, sum, attributes)).resolves.toEqual({ kind: 'exists' });
    expect(callsOf('head')).toBe(0);
  });

  test('a missing checksum proves nothing', async () => {
    inner.objects.set('k', {
      key: 'k',
      contentType: 'x',
      bytes,
      metadata: attributes.metadata,
      crc64: undefined as unknown as string,
    });
    failing('before', 'create', 1, lost);
    await expect(store.create('k', body, sum, attributes)).resolves.toEqual({ kind: 'exists' });
  });

  test('our object, but damaged in the store, is an error and not something that exists', async () => {
    inner.objects.set('k', {
      key: 'k',
      contentType: 'x',
      bytes,
      metadata: attributes.metadata,
      crc64: '1',
    });
    failing('before', 'create', 1, lost);
    await expect(store.create('k', body, sum, attributes)).rejects.toMatchObject({ code: 'corrupt' });
  });

  test('when tries end with the outcome unknown, one look decides', async () => {
    failing('after', 'create', 1, lost);
    store = retryingStore(inner, { clock, logger, attempts: 1 });
    await expect(store.create('k', body, sum, attributes)).resolves.toMatchObject({ kind: 'created' });

    failing('before', 'create', 1, lost);
    await expect(store.create('other', body, sum, attributes)).rejects.toThrow('busy');
    expect(callsOf('head')).toBe(2);
  });

  test('after a refusal that proves nothing, it is looked for as often as it takes', async () => {
    let tries = 0;
    let looks = 0;
    inner.hook = (when, call) => {
      if (when === 'after' && call === 'create' && ++tries === 1) throw lost();
      if (when === 'before' && call === 'create' && tries > 0)
        throw new BackupError('store', 'no such upload');
      if (when === 'before' && call === 'head' && ++looks < 3) throw busy();
    };
    await expect(store.create('k', body, sum, attributes)).resolves.toMatchObject({ kind: 'created' });
    expect(looks).toBe(3);
  });

  test('when that look fails too, the error of the creation is thrown', async () => {
    inner.hook = (when, call) => {
      if (when === 'after' && call === 'create') throw lost();
      if (call === 'head') throw new BackupError('store', 'head failed');
    };
    store = retryingStore(inner, { clock, logger, attempts: 1 });
    await expect(store.create('k', body, sum, attributes)).rejects.toMatchObject({
      message: 'busy',
      outcomeUnknown: true,
    });
  });

  test('damage found by the store itself is never resolved away', async () => {
    let tries = 0;
    inner.hook = (when, call) => {
      if (when !== 'after' || call !== 'create') return;
      throw tries++ === 0 ? lost() : new BackupError('corrupt', 'damaged');
    };
    const create = inner.create;
    inner.create = async (...args) => {
      inner.objects.clear();
      return create(...args);
    };
    await expect(store.create('k', body, sum, attributes)).rejects.toThrow('damaged');
  });
});

describe('reading on', () => {
  const large = Buffer.from(Array.from({ length: 45_000 }, (_, i) => i % 251));
  beforeEach(() => {
    inner.objects.set('k', { key: 'k', contentType: 'x', bytes: large, metadata: {}, crc64: '' });
    // Each reading breaks after two chunks of 10,000 bytes.
    const { read } = inner;
    inner.read = async function* (key, options) {
      let chunks = 0;
      for await (const chunk of read(key, options)) {
        if (chunks++ === 2) throw busy();
        yield chunk;
      }
    };
  });

  test.each([
    [{}, large],
    [{ start: 100 }, large.subarray(100)],
    [{ start: 100, end: 42_000 }, large.subarray(100, 42_001)],
    [{ end: 19_999 }, large.subarray(0, 20_000)],
    [{ end: 30_000 }, large.subarray(0, 30_001)],
    [{ start: -44_000 }, large.subarray(1_000)],
    [{ start: -99_000 }, large],
  ])('a reading of %o that breaks goes on where it was', async (range, expected) => {
    // A suffix longer than the object is the whole object.
    const { read } = inner;
    inner.read = (key, options) =>
      read(key, options?.start !== undefined && options.start < -45_000 ? {} : options);
    const chunks = await collect(store.read('k', range));
    expect(Buffer.concat(chunks).equals(expected)).toBe(true);
  });

  test('a reader that stops ends the reading below', async () => {
    let isEnded = false;
    inner.read = async function* () {
      try {
        for (;;) yield bytes;
      } finally {
        isEnded = true;
      }
    };
    for await (const _chunk of store.read('k')) break;
    expect(isEnded).toBe(true);
  });

  test('a list that breaks goes on behind the last object, and uploads are reported once', async () => {
    for (const key of ['a', 'b', 'c']) {
      inner.objects.set(key, { key, contentType: 'x', bytes, metadata: {}, crc64: '' });
      inner.uploads.set(`u-${key}`, { key, initiated: new Date(0) });
    }
    const { list, listUploads } = inner;
    let breaks = 2;
    async function* breaking<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
      let count = 0;
      for await (const item of items) {
        if (count++ === 1 && breaks-- > 0) throw busy();
        yield item;
      }
    }
    inner.list = (...args) => breaking(list(...args));
    expect((await collect(store.list(''))).map(({ key }) => key)).toEqual(['a', 'b', 'c', 'k']);
    breaks = 2;
    inner.listUploads = (...args) => breaking(listUploads(...args));
    expect((await collect(store.listUploads(''))).map(({ uploadId }) => uploadId)).toEqual([
      'u-a',
      'u-b',
      'u-c',
    ]);
  });
});

const idle = () => new AbortController().signal;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
