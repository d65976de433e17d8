// One file on its way into the store: what is sent when, what is held until when, and what is left behind when it
// fails or is dropped. Over a store in memory.
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { decompress } from '../../src/format/compression.ts';
import type { Compression } from '../../src/format/object-key.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createSlots } from '../../src/lib/semaphore.ts';
import { FRAME_INPUT_BYTES, hasNativeZstd } from '../../src/lib/zstd.ts';
import { MemoryBudget, MIN_PART_BYTES } from '../../src/memory-budget.ts';
import { rangeOf } from '../../src/partition/message-range.ts';
import { ObjectFile, type StoredFile } from '../../src/partition/object-file.ts';
import type { Message } from '../../src/ports.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';

const KEY = 'p/t/n/orders/x.jsonl';
/** So that half a part is one that COS takes. */
const PART_BYTES = 2 * MIN_PART_BYTES;
const LIMIT_BYTES = 4 * PART_BYTES;
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

let store: MemoryStore;
let budget: MemoryBudget;
let storingEnd: AbortController;
beforeEach(() => {
  store = createMemoryStore();
  budget = new MemoryBudget(LIMIT_BYTES, systemClock);
  storingEnd = new AbortController();
});

const openFile = (compression: Compression = 'none', slots = createSlots(6)) =>
  new ObjectFile(
    {
      key: KEY,
      rule: 'r',
      compression,
      store,
      budget,
      slots,
      signal: storingEnd.signal,
      partBytes: PART_BYTES,
    },
    0,
  );

const message = (entryId: number): Message => ({
  id: { ledgerId: 7, entryId, partition: 0, batchIndex: -1 },
  topic: 'persistent://t/n/orders-partition-0',
  publishTimeMs: 1_000 + entryId,
  eventTimeMs: undefined,
  key: undefined,
  orderingKey: undefined,
  properties: [],
  producer: undefined,
  sequenceId: undefined,
  schemaVersion: undefined,
  replicatedFrom: undefined,
  payload: null,
});

/** No compression makes it smaller, and its length divides no part: bytes in another place are other bytes. */
const NOISE = randomBytes(1_300_003).map((byte) => (byte === 0x0a ? 0x20 : byte));

/** A record of that size: one line, mostly unlike any other. */
function line(size: number): Buffer {
  const bytes = Buffer.alloc(size, NOISE.subarray(randomInt(1_000)));
  bytes[size - 1] = 0x0a;
  return bytes;
}

/** What a file of these records has to be: with a space behind the first record, and two behind the last. */
function marked(records: Buffer): Buffer {
  const first = records.indexOf(0x0a);
  const [head, rest] = [records.subarray(0, first), records.subarray(first, -1)];
  return Buffer.concat([head, Buffer.from(' '), rest, Buffer.from('  \n')]);
}

async function append(file: ObjectFile, ...sizes: number[]): Promise<Buffer> {
  const all: Buffer[] = [];
  for (const size of sizes) {
    const records = line(size);
    all.push(records);
    const one = message(file.messages);
    await file.append({ chunks: [records], sizeBytes: size }, rangeOf([one]));
  }
  return Buffer.concat(all);
}

/** Zstd is loaded by the first file that needs it. */
async function compressFirst(): Promise<void> {
  const file = openFile('zstd');
  await append(file, 100);
  await file.seal('end');
  await file.discard();
}

/** Fails a call for good, or the nth of its kind. */
function refuse(call: string, nth = 1): void {
  let count = 0;
  store.hook = (when, kind) => {
    if (when === 'before' && kind === call && ++count >= nth) throw new BackupError('store', 'access denied');
  };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const callsOf = (call: string) => store.calls.filter((line) => line.startsWith(`${call} `)).length;

describe('a file', () => {
  it('below one part is one PUT, with all of its metadata', async () => {
    const file = openFile();
    const bytes = await append(file, 100, 200, 300);
    await file.seal('end');
    await expect(file.create()).resolves.toMatchObject({ kind: 'created', sizeBytes: 603 });
    expect(store.calls).toEqual([`create ${KEY}`]);
    expect(store.objects.get(KEY)?.bytes.equals(marked(bytes))).toBe(true);
    expect(store.objects.get(KEY)?.metadata).toMatchObject({
      'first-id': '7:0:0:-1',
      'last-id': '7:2:0:-1',
      messages: '3',
      'record-bytes': '603',
    });
    expect(file.first?.id.entryId).toBe(0);
  });

  it('of several parts sends them while it is open, numbered from one, and the rest with its end', async () => {
    const file = openFile();
    const bytes = await append(file, PART_BYTES, PART_BYTES, 1_000);
    await nextTurn();
    expect(callsOf('part')).toBe(2);
    await file.seal('end');
    await expect(file.create()).resolves.toMatchObject({ kind: 'created', sizeBytes: bytes.length + 3 });
    expect(callsOf('part')).toBe(3);
    expect(store.objects.get(KEY)?.bytes.equals(marked(bytes))).toBe(true);
    expect(file.crc64).toBe(store.objects.get(KEY)?.crc64);
    expect(file.sha256).toBe(sha256(marked(bytes)));
  });

  it.each(['none', 'gzip'] as const)(
    'knows its SHA-256 as it is stored, spilled early or not (%s)',
    async (compression) => {
      const file = openFile(compression);
      await append(file, 2 * PART_BYTES, 2_000_000);
      file.spill();
      await append(file, 700);
      await file.seal('end');
      await file.create();
      const stored = store.objects.get(KEY)?.bytes as Buffer;
      expect(callsOf('complete')).toBe(1);
      expect(file.sha256).toBe(sha256(stored));
      expect(file.sha256).toBe(sha256(stored));
    },
  );

  it.each(['none', 'gzip', 'zstd'] as const)(
    'takes what it is given at once: the memory of records may be used again while it works on (%s)',
    async (compression) => {
      const file = openFile(compression);
      const records = line(FRAME_INPUT_BYTES * 2 + 1_000);
      const given = Buffer.from(records);
      const one = message(0);
      const appending = file.append({ chunks: [given], sizeBytes: given.length }, rangeOf([one]));
      given.fill(0);
      await appending;
      await file.seal('end');
      await file.create();
      const { bytes } = store.objects.get(KEY) as { bytes: Buffer };
      const read = await buffer(decompress(compression, Readable.from([bytes])));
      expect(read.equals(marked(records))).toBe(true);
    },
  );

  it('compresses with zstd while it is read, where Node cannot: without a promise for each entry', async () => {
    await compressFirst();
    const file = openFile('zstd');
    const records = Buffer.alloc(FRAME_INPUT_BYTES, 'a record that repeats itself\n');
    const one = message(0);
    for (let entry = 0; entry < 8; entry++) {
      const appending = file.append({ chunks: [records], sizeBytes: records.length }, rangeOf([one]));
      expect(appending !== undefined).toBe(hasNativeZstd);
      await appending;
    }
    expect(file.spillableBytes()).toBeGreaterThan(0);
    await file.discard();
  });

  it.each(['none', 'zstd'] as const)(
    'takes large records at the pace at which parts leave (%s)',
    async (compression) => {
      await compressFirst();
      let made = 0;
      const chunks = {
        *[Symbol.iterator]() {
          for (; made < 80; made++) yield line(1_048_576);
        },
      };
      const releases: (() => void)[] = [];
      store.hook = (when, call) =>
        when === 'before' && call === 'part'
          ? new Promise<void>((resolve) => releases.push(resolve))
          : undefined;
      const file = openFile(compression);
      const one = message(0);
      const appending = file.append({ chunks, sizeBytes: 80 * 1_048_576 }, rangeOf([one]));
      await nextTurn();
      expect(made * 1_048_576).toBeLessThanOrEqual(3 * PART_BYTES);
      store.hook = undefined;
      for (const release of releases) release();
      await appending;
      await file.seal('end');
      const { sizeBytes } = (await file.create()) as StoredFile;
      expect(made).toBe(80);
      expect(sizeBytes).toBeGreaterThan(80 * 1_048_576);
    },
  );

  it('waits with each of its calls for a slot of the run', async () => {
    let underWay = 0;
    let most = 0;
    store.hook = async (when) => {
      underWay += when === 'before' ? 1 : -1;
      most = Math.max(most, underWay);
      await nextTurn();
    };
    const slots = createSlots(2);
    const files = [openFile('none', slots), openFile('none', slots)];
    for (const file of files) {
      await append(file, PART_BYTES, PART_BYTES, PART_BYTES);
      await file.seal('end');
    }
    await Promise.allSettled(files.map((file) => file.create()));
    expect(callsOf('part')).toBe(8);
    expect(most).toBe(2);
  });

  it('is completed only when every part is stored', async () => {
    const file = openFile();
    await append(file, PART_BYTES, PART_BYTES);
    let stored = 0;
    store.hook = async (when, call) => {
      if (when === 'before' && call === 'complete') expect(stored).toBe(3);
      if (when !== 'after' || call !== 'part') return;
      for (let turn = 0; turn < 10; turn++) await nextTurn();
      stored++;
    };
    await file.seal('end');
    await expect(file.create()).resolves.toMatchObject({ kind: 'created' });
  });

  it('is not completed where a part could not be stored, and sends no further ones', async () => {
    const file = openFile();
    refuse('part', 2);
    await append(file, PART_BYTES, PART_BYTES, 100);
    await nextTurn();
    await nextTurn();
    expect(file.hasConflict).toBe(true);
    await append(file, PART_BYTES, PART_BYTES, 100);
    await file.seal('end');
    await expect(file.create()).rejects.toThrow('access denied');
    expect(callsOf('part')).toBe(2);
    expect(callsOf('complete')).toBe(0);
  });

  it('whose records cannot be compressed is never created, and says why when its turn comes', async () => {
    const file = openFile('gzip');
    await append(file, 100);
    const one = message(1);
    await file.append({ chunks: [null as never], sizeBytes: 1 }, rangeOf([one]));
    expect(file.hasConflict).toBe(true);
    await append(file, 100);
    await file.seal('end');
    await expect(file.create()).rejects.toThrow('null');
    await file.discard();
    expect(store.calls).toEqual([]);
    expect(budget.usedBytes).toBe(0);
  });

  it('whose upload finds its key taken knows it before its end', async () => {
    store.objects.set(KEY, { key: KEY, bytes: Buffer.from('x'), metadata: {}, contentType: 'x', crc64: '1' });
    const file = openFile();
    await append(file, PART_BYTES, 100);
    await nextTurn();
    expect(file.hasConflict).toBe(true);
    await file.seal('end');
    await expect(file.create()).resolves.toEqual({ kind: 'exists' });
    expect(callsOf('part')).toBe(0);
  });

  it('that nothing went wrong with is not doomed', async () => {
    const file = openFile();
    await append(file, PART_BYTES, 100);
    await nextTurn();
    expect(file.hasConflict).toBe(false);
    await file.discard();
  });
});

describe('the memory that a file holds is free again', () => {
  const SIZES = {
    none: [[100], [PART_BYTES, 100], [PART_BYTES, PART_BYTES]],
    gzip: [[100], [PART_BYTES, 100_000]],
    zstd: [[100], [PART_BYTES, 100_000]],
  };
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    for (const sizes of SIZES[compression]) {
      const what = `${compression}, ${sizes.length} × up to ${sizes[0]} bytes`;

      it(`when it was created (${what})`, async () => {
        const file = openFile(compression);
        await append(file, ...sizes);
        await file.seal('end');
        await file.create();
        expect(budget.usedBytes).toBe(0);
        await file.discard();
        await file.discard();
        expect(budget.usedBytes).toBe(0);
      });

      it.each(['create', 'start', 'part', 'complete'])(
        `when %s failed and it was dropped (${what})`,
        async (call) => {
          const file = openFile(compression);
          refuse(call);
          await append(file, ...sizes);
          await file.seal('end');
          await file.create().catch(() => undefined);
          await file.discard();
          await file.discard();
          expect(budget.usedBytes).toBe(0);
          expect(store.uploads.size).toBe(0);
        },
      );

      it(`when it was dropped while it was open, for good (${what})`, async () => {
        const file = openFile(compression);
        await append(file, ...sizes);
        await file.discard();
        await file.discard();
        for (let turn = 0; turn < 20; turn++) await nextTurn();
        expect(budget.usedBytes).toBe(0);
        expect(store.uploads.size).toBe(0);
        expect(store.objects.size).toBe(0);
      });

      it(`when it was dropped between its seal and its creation (${what})`, async () => {
        const file = openFile(compression);
        await append(file, ...sizes);
        await file.seal('end');
        await file.discard();
        expect(budget.usedBytes).toBe(0);
        expect(store.uploads.size).toBe(0);
      });
    }
  }

  it('and counts as leaving from the seal on: a reader waits for it', async () => {
    budget = new MemoryBudget(1_000, systemClock);
    const file = openFile();
    await append(file, 5_000);
    await file.seal('end');
    let isRoom = false;
    const room = Promise.resolve(budget.reserve(1, storingEnd.signal)).then(() => {
      isRoom = true;
    });
    await nextTurn();
    expect(isRoom).toBe(false);
    await file.create();
    await room;
    expect(isRoom).toBe(true);
  });

  it('and counts no more as open once it was dropped: nobody else is asked to leave for its sake', async () => {
    budget = new MemoryBudget(PART_BYTES, systemClock);
    const dropped = openFile();
    await append(dropped, PART_BYTES / 2);
    await dropped.discard();
    const other = openFile();
    await append(other, PART_BYTES / 4);
    void budget.reserve(PART_BYTES, storingEnd.signal);
    expect(other.spillableBytes()).toBeGreaterThan(PART_BYTES / 8);
    storingEnd.abort();
    await other.discard();
  });

  it('and is not asked to leave any more, once it is sealed', async () => {
    budget = new MemoryBudget(PART_BYTES, systemClock);
    const file = openFile();
    await append(file, PART_BYTES - 4);
    await file.seal('end');
    const other = openFile();
    await append(other, PART_BYTES - 2);
    void budget.reserve(1, storingEnd.signal);
    // The sealed one is the larger, but stays what it is: one PUT.
    await nextTurn();
    expect(other.spillableBytes()).toBe(0);
    await file.create();
    expect(callsOf('create')).toBe(1);
    await other.discard();
    expect(budget.usedBytes).toBe(0);
    storingEnd.abort();
  });
});

describe('the upload of a dropped file', () => {
  it('is aborted when its parts have ended, and not before', async () => {
    const file = openFile();
    let underWay = 0;
    store.hook = async (when, call) => {
      if (call === 'abort') expect(underWay).toBe(0);
      if (call !== 'part') return;
      if (when === 'before') underWay++;
      else {
        for (let turn = 0; turn < 10; turn++) await nextTurn();
        underWay--;
      }
    };
    await append(file, PART_BYTES, PART_BYTES);
    await nextTurn();
    expect(underWay).toBeGreaterThan(0);
    await file.discard();
    await file.discard();
    expect(callsOf('abort')).toBe(1);
    expect(store.uploads.size).toBe(0);
  });

  it('is aborted also when the time of the run is over', async () => {
    const file = openFile();
    await append(file, PART_BYTES, 100);
    await nextTurn();
    storingEnd.abort();
    await file.discard();
    expect(store.uploads.size).toBe(0);
  });

  it('that cannot be aborted is left to a later run', async () => {
    const file = openFile();
    await append(file, PART_BYTES, 100);
    await nextTurn();
    refuse('abort');
    await file.discard();
    expect(store.uploads.size).toBe(1);
    expect(budget.usedBytes).toBe(0);
  });
});
