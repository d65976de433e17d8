// What every ObjectStore must keep, whatever is behind it. Run it over each adapter and over the fakes.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Body, ObjectStore, Upload } from '../../src/ports.ts';

/** A store over an empty bucket. */
export interface ContractSetup {
  readonly store: ObjectStore;
  /** Whether of two creations at the same moment one is refused; not so in a bucket that ever had versioning. */
  readonly isAtomic: boolean;
  /** Ends what the setup started, after the store was closed. */
  end(): Promise<void>;
}

const MIB = 1_048_576;
const attributes = {
  metadata: { format: 'tdmq-backup/1', 'first-id': '12:0:-1:-1' },
  contentType: 'application/x-ndjson',
};

/** Declares the contract's tests for one kind of store. */
export function describeObjectStoreContract(name: string, setup: () => Promise<ContractSetup>): void {
  describe(`${name} keeps the contract of ObjectStore:`, () => {
    let stage: ContractSetup;
    let store: ObjectStore;
    beforeEach(async () => {
      stage = await setup();
      store = stage.store;
    });
    afterEach(async () => {
      await store.close();
      await stage.end();
    });

    const create = (key: string, text: string) => {
      const body = bodyOf(Buffer.from(text));
      return store.create(key, body, crc64(body.chunks), attributes);
    };
    const start = async (key: string): Promise<Upload> => {
      const upload = await store.startUpload(key, attributes);
      if (upload.kind === 'exists') throw new Error(`${key} should not exist`);
      return upload;
    };
    const textAt = async (key: string) => Buffer.concat(await collect(store.read(key))).toString();

    test('what was created is there, byte for byte, with its metadata and checksum', async () => {
      const bytes = bytesFrom(300_000, 1);
      const body = bodyOf(bytes.subarray(0, 7), bytes.subarray(7, 7), bytes.subarray(7));
      const sum = crc64([bytes]);
      await expect(store.create('a/b=1/c.jsonl', body, sum, attributes)).resolves.toEqual({
        kind: 'created',
        crc64: sum,
      });
      await expect(store.head('a/b=1/c.jsonl')).resolves.toMatchObject({
        key: 'a/b=1/c.jsonl',
        sizeBytes: bytes.length,
        crc64: sum,
        metadata: attributes.metadata,
        lastModified: expect.any(Date),
      });
      const read = Buffer.concat(await collect(store.read('a/b=1/c.jsonl')));
      expect(read.equals(bytes)).toBe(true);
    });

    test('keys may hold spaces, plus signs, percent signs and any letters', async () => {
      const keys = ["a b+c%20d&e=f#g?h'(i)*!~.jsonl", 'ordres/été/消息.jsonl'];
      for (const key of keys) await create(key, key);
      for (const key of keys) await expect(textAt(key)).resolves.toBe(key);
      expect((await collect(store.list(''))).map(({ key }) => key).sort()).toEqual([...keys].sort());
    });

    test('an object may be empty', async () => {
      await expect(create('empty', '')).resolves.toMatchObject({ kind: 'created', crc64: '0' });
      await expect(textAt('empty')).resolves.toBe('');
    });

    test('an object is never replaced: a second creation says that it exists', async () => {
      await create('k', 'first');
      await expect(create('k', 'second')).resolves.toEqual({ kind: 'exists' });
      await expect(textAt('k')).resolves.toBe('first');
    });

    test('of creations side by side exactly one succeeds, and its bytes stay', async () => {
      if (!stage.isAtomic) await create('k', 'z');
      const texts = ['a', 'b', 'c', 'd'];
      const outcomes = await Promise.all(texts.map((text) => create('k', text)));
      const created = outcomes.flatMap(({ kind }, i) => (kind === 'created' ? [texts[i]] : []));
      expect(created).toHaveLength(stage.isAtomic ? 1 : 0);
      await expect(textAt('k')).resolves.toBe(stage.isAtomic ? created[0] : 'z');
    });

    test('an object that is not there has no head, and reading it fails', async () => {
      await expect(store.head('nothing')).resolves.toBeUndefined();
      await expect(collect(store.read('nothing'))).rejects.toBeInstanceOf(BackupError);
    });

    test('ranges are inclusive, and a negative start counts from the end', async () => {
      await create('k', '0123456789');
      const range = async (options: { start?: number; end?: number }) =>
        Buffer.concat(await collect(store.read('k', options))).toString();
      await expect(range({ start: 3 })).resolves.toBe('3456789');
      await expect(range({ start: 3, end: 5 })).resolves.toBe('345');
      await expect(range({ end: 2 })).resolves.toBe('012');
      await expect(range({ start: -4 })).resolves.toBe('6789');
      await expect(range({ start: -40 })).resolves.toBe('0123456789');
    });

    test('a reading may end early, and the store goes on working', async () => {
      const bytes = bytesFrom(2 * MIB, 2);
      await store.create('k', bodyOf(bytes), crc64([bytes]), attributes);
      for await (const chunk of store.read('k')) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      await expect(store.head('k')).resolves.toMatchObject({ sizeBytes: bytes.length });
    });

    test('a list holds the keys with its prefix, in order, after a given key', async () => {
      for (const key of ['p/b', 'p/a', 'p/c', 'q/a', 'p/']) await create(key, key);
      const keys = async (...args: Parameters<ObjectStore['list']>) =>
        (await collect(store.list(...args))).map(({ key }) => key);
      await expect(keys('p/')).resolves.toEqual(['p/', 'p/a', 'p/b', 'p/c']);
      await expect(keys('p/', { startAfter: 'p/a' })).resolves.toEqual(['p/b', 'p/c']);
      await expect(keys('none/')).resolves.toEqual([]);
      const [first] = await collect(store.list('p/b'));
      expect(first).toMatchObject({ key: 'p/b', sizeBytes: 3, lastModified: expect.any(Date) });
    });

    test('a folder holds the objects and the folders right below it, in order, after a given one', async () => {
      for (const key of ['p/b/1', 'p/b/2/3', 'p/b0', 'p/a', 'p/c/1', 'q/a']) await create(key, key);
      const items = async (...args: Parameters<ObjectStore['listFolder']>) =>
        (await collect(store.listFolder(...args))).map(({ kind, key }) => `${kind} ${key}`);
      await expect(items('p/')).resolves.toEqual(['object p/a', 'folder p/b/', 'object p/b0', 'folder p/c/']);
      await expect(items('p/', { startAfter: 'p/b/' })).resolves.toEqual(['object p/b0', 'folder p/c/']);
      await expect(items('')).resolves.toEqual(['folder p/', 'folder q/']);
      await expect(items('none/')).resolves.toEqual([]);
    });

    test('an upload becomes visible with Complete, as one, in the order of its part numbers', async () => {
      const [one, two, three] = [bytesFrom(MIB, 3), bytesFrom(MIB + 5, 4), bytesFrom(10, 5)] as const;
      const whole = { crc64: crc64([one, two, three]), sizeBytes: 2 * MIB + 15 };
      const upload = await start('big');
      await Promise.all([
        sendPart(upload, 2, bodyOf(two)),
        sendPart(upload, 3, bodyOf(three)),
        sendPart(upload, 1, bodyOf(one)),
      ]);
      await expect(store.head('big')).resolves.toBeUndefined();
      await expect(upload.complete(whole)).resolves.toEqual({ kind: 'created', crc64: whole.crc64 });
      await expect(store.head('big')).resolves.toMatchObject({ ...whole, metadata: attributes.metadata });
      const read = Buffer.concat(await collect(store.read('big')));
      expect(read.equals(Buffer.concat([one, two, three]))).toBe(true);
      await expect(collect(store.listUploads(''))).resolves.toEqual([]);
    });

    test('a part may be sent again, and an upload of one small part is fine', async () => {
      const upload = await start('k');
      await sendPart(upload, 1, bodyOf(Buffer.from('wrong')));
      await sendPart(upload, 1, bodyOf(Buffer.from('right')));
      await expect(
        upload.complete({ crc64: crc64([Buffer.from('right')]), sizeBytes: 5 }),
      ).resolves.toMatchObject({ kind: 'created' });
      await expect(textAt('k')).resolves.toBe('right');
    });

    test('an upload whose key was taken meanwhile says that it exists, and may then be aborted', async () => {
      const upload = await start('k');
      const bytes = Buffer.from('late');
      await sendPart(upload, 1, bodyOf(bytes));
      await create('k', 'early');
      await expect(upload.complete({ crc64: crc64([bytes]), sizeBytes: 4 })).resolves.toEqual({
        kind: 'exists',
      });
      await upload.abort();
      await expect(textAt('k')).resolves.toBe('early');
      await expect(collect(store.listUploads(''))).resolves.toEqual([]);
    });

    test('unfinished uploads are listed by prefix, and aborting one frees it, twice if need be', async () => {
      await start('p/a');
      const upload = await start('p/b');
      await start('q/c');
      const listed = await collect(store.listUploads('p/'));
      expect(listed.map(({ key }) => key).sort()).toEqual(['p/a', 'p/b']);
      expect(listed[0]?.initiated).toBeInstanceOf(Date);
      expect(listed[0]?.ageMs).toBeGreaterThanOrEqual(0);
      expect(listed[0]?.ageMs).toBeLessThan(60_000);
      for (const { key, uploadId } of listed.filter(({ key }) => key === 'p/a')) {
        await store.abortUpload(key, uploadId);
        await store.abortUpload(key, uploadId);
      }
      await upload.abort();
      await upload.abort();
      await expect(collect(store.listUploads('p/'))).resolves.toEqual([]);
      await expect(collect(store.listUploads(''))).resolves.toHaveLength(1);
    });

    test('completing an aborted upload fails and creates nothing', async () => {
      const upload = await start('k');
      const bytes = Buffer.from('x');
      await sendPart(upload, 1, bodyOf(bytes));
      await upload.abort();
      await expect(upload.complete({ crc64: crc64([bytes]), sizeBytes: 1 })).rejects.toMatchObject({
        code: 'store',
        retryable: false,
      });
      await expect(store.head('k')).resolves.toBeUndefined();
    });

    test('bytes that do not have the announced checksum are not called created', async () => {
      await expect(store.create('k', bodyOf(Buffer.from('x')), '1', attributes)).rejects.toBeInstanceOf(
        BackupError,
      );
    });

    test('a call whose signal is raised ends with a retryable error', async () => {
      const options = { signal: AbortSignal.abort() };
      const aborted = { code: 'store', retryable: true };
      const upload = await start('other');
      const body = bodyOf(Buffer.from('x'));
      await expect(store.create('k', body, crc64(body.chunks), attributes, options)).rejects.toMatchObject(
        aborted,
      );
      await expect(store.startUpload('k', attributes, options)).rejects.toMatchObject(aborted);
      await expect(upload.part(1, body, crc64(body.chunks), options)).rejects.toMatchObject(aborted);
      await expect(store.head('k', options)).rejects.toMatchObject(aborted);
      await expect(collect(store.read('k', options))).rejects.toMatchObject(aborted);
      await expect(collect(store.list('', options))).rejects.toMatchObject(aborted);
      await expect(collect(store.listUploads('', options))).rejects.toMatchObject(aborted);
    });

    test('closing may be repeated', async () => {
      await create('k', 'x');
      await store.close();
      await store.close();
    });
  });
}

const sendPart = (upload: Upload, number: number, body: Body) =>
  upload.part(number, body, crc64(body.chunks));

const bodyOf = (...chunks: Uint8Array[]): Body => ({
  chunks,
  sizeBytes: chunks.reduce((sum, { byteLength }) => sum + byteLength, 0),
});

/** Bytes that look random and are the same each time. */
function bytesFrom(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = seed; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
