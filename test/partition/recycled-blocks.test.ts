// Blocks of memory go round between bodies, but never while somebody may still send them: a call that was cut keeps its
// bytes for as long as it lives, whatever is stored meanwhile.
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { encodeRecord } from '../../src/format/record.ts';
import { encodeRecords } from '../../src/format/record-encoder.ts';
import { BLOCK_BYTES, ChunkList } from '../../src/lib/chunk-list.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import { createSlots } from '../../src/lib/semaphore.ts';
import { MemoryBudget, MIN_PART_BYTES } from '../../src/memory-budget.ts';
import { rangeOf } from '../../src/partition/message-range.ts';
import { ObjectFile } from '../../src/partition/object-file.ts';
import type { Body, Message, ObjectStore } from '../../src/ports.ts';
import { retryingStore } from '../../src/retrying-store.ts';
import { messages } from '../archive/archive-fixture.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';

/** COS takes no smaller ones. */
const PART_BYTES = MIN_PART_BYTES;

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** A store whose first `cuts` sendings of each body end without an answer, and keep what they were to send. */
function cuttingStore(cuts: number) {
  const kept: { chunks: readonly Uint8Array[]; crc: string }[] = [];
  const seen = new WeakMap<Body, number>();
  const memory = createMemoryStore();
  const cut = (body: Body, crc: string): void => {
    const times = (seen.get(body) ?? 0) + 1;
    seen.set(body, times);
    if (times > cuts) return;
    kept.push({ chunks: body.chunks, crc });
    throw new BackupError('store', 'the call was cut', { retryable: true, outcomeUnknown: false });
  };
  const cutting: ObjectStore = {
    ...memory,
    async create(key, body, crc, attributes, options) {
      cut(body, crc);
      return memory.create(key, body, crc, attributes, options);
    },
    async startUpload(key, attributes, options) {
      const upload = await memory.startUpload(key, attributes, options);
      if (upload.kind === 'exists') return upload;
      return {
        ...upload,
        async part(number, body, crc, partOptions) {
          cut(body, crc);
          await upload.part(number, body, crc, partOptions);
        },
      };
    },
  };
  const clock = { ...systemClock, sleep: async () => undefined };
  return { store: retryingStore(cutting, { clock, logger: quiet }), memory, kept };
}

async function storeFile(store: ObjectStore, key: string, fill: string, sizeBytes: number): Promise<void> {
  const signal = new AbortController().signal;
  const budget = new MemoryBudget(8 * PART_BYTES, systemClock);
  const options = {
    key,
    rule: 'r',
    compression: 'none' as const,
    store,
    budget,
    slots: createSlots(6),
    signal,
    partBytes: PART_BYTES,
  };
  const file = new ObjectFile(options, 0);
  const line = Buffer.alloc(sizeBytes, fill);
  line[sizeBytes - 1] = 0x0a;
  await file.append({ chunks: [line], sizeBytes }, rangeOf(messages(0, 0, 0)));
  await file.seal('end');
  await file.create();
}

describe.each([
  ['one PUT', 300_000],
  ['parts', 2 * PART_BYTES + 100],
])('a file of %s', (_, sizeBytes) => {
  it('leaves the bytes of calls that were cut as they were', async () => {
    const { store, memory, kept } = cuttingStore(1);
    for (const fill of ['a', 'b', 'c', 'd']) await storeFile(store, fill, fill, sizeBytes);
    expect(kept.length).toBeGreaterThanOrEqual(4);
    for (const { chunks, crc } of kept) expect(crc64(chunks)).toBe(crc);
    expect([...memory.objects.values()].map(({ bytes }) => String.fromCharCode(bytes[0] as number))).toEqual([
      'a',
      'b',
      'c',
      'd',
    ]);
  });
});

it('a list shows each byte once, in order, and by the time that it is taken out', () => {
  const seen: Uint8Array[] = [];
  const list = new ChunkList((bytes) => seen.push(Buffer.from(bytes)));
  const expected: Uint8Array[] = [];
  for (const [turn, sizes] of [[3, BLOCK_BYTES - 3, 1], [2 * BLOCK_BYTES], [], [5, BLOCK_BYTES]].entries()) {
    for (const size of sizes) {
      const bytes = Buffer.alloc(size, `${turn}-${size} `);
      list.append(bytes);
      expected.push(bytes);
    }
    const taken = Buffer.concat([...list.takeAll().views()]);
    const all = Buffer.concat(seen);
    expect(all.subarray(-taken.length || Number.POSITIVE_INFINITY).equals(taken)).toBe(true);
    expect(all.equals(Buffer.concat(expected))).toBe(true);
  }
});

it('blocks that were sent once are used again, others are not', () => {
  const list = new ChunkList();
  const bytes = Buffer.alloc(BLOCK_BYTES + 1, 'x');
  const take = () => {
    list.append(bytes);
    return list.takeAll();
  };
  const sentOnce = take();
  const [first] = sentOnce.chunks;
  sentOnce.recycle();
  const next = take();
  const again = next.chunks;
  expect(again.map(({ buffer }) => buffer)).toContain(first?.buffer);
  expect(next.chunks).toEqual(again);
  next.recycle();
  expect(take().chunks.map(({ buffer }) => buffer)).not.toContain(first?.buffer);
});

// What is encoded next takes the memory of what was encoded before.
describe.each(['none', 'gzip'] as const)(
  'files that are written side by side, compression %s',
  (compression) => {
    it.each([
      ['of many records', 50, 400],
      ['of one large record', 1, 3 * PART_BYTES],
    ])('%s have each their own', async (_, count, sizeBytes) => {
      const memory = createMemoryStore();
      const budget = new MemoryBudget(16 * PART_BYTES, systemClock);
      const slots = createSlots(6);
      const { signal } = new AbortController();
      const expected = await Promise.all(
        ['a', 'b', 'c'].map(async (key) => {
          const payload = Buffer.alloc(sizeBytes, key);
          const its = messages(0, 0, count - 1).map((message) => ({ ...message, payload }));
          const file = new ObjectFile(
            { key, rule: 'r', compression, store: memory, budget, slots, signal, partBytes: PART_BYTES },
            0,
          );
          await file.append(encodeRecords(its), rangeOf(its));
          await file.seal('end');
          await file.create();
          return its.map(encodeRecord).join('');
        }),
      );
      const stored = ['a', 'b', 'c'].map((key) => {
        const bytes = memory.objects.get(key)?.bytes ?? Buffer.alloc(0);
        return (compression === 'gzip' ? gunzipSync(bytes) : bytes).toString().replaceAll(/ +\n/g, '\n');
      });
      for (const [i, text] of stored.entries()) expect(text === expected[i], `file ${i}`).toBe(true);
    });
  },
);

it('files keep apart what is in several chunks: a small value behind a large head, in a large entry', async () => {
  const memory = createMemoryStore();
  const budget = new MemoryBudget(16 * PART_BYTES, systemClock);
  const options = {
    rule: 'r',
    partBytes: PART_BYTES,
    store: memory,
    budget,
    slots: createSlots(6),
    compression: 'gzip',
  } as const;
  const keys = ['a', 'b', 'c'];
  const expected = await Promise.all(
    keys.map(async (key) => {
      const [small, large] = messages(0, 0, 1) as [Message, Message];
      const its = [
        { ...large, payload: Buffer.alloc(PART_BYTES, key) },
        { ...small, properties: [['name', key.repeat(500_000)]], payload: Buffer.alloc(60_000, key) },
      ] satisfies Message[];
      const file = new ObjectFile({ ...options, key, signal: new AbortController().signal }, 0);
      await file.append(encodeRecords(its), rangeOf(its));
      await file.seal('end');
      await file.create();
      return its.map(encodeRecord).join('');
    }),
  );
  const stored = keys.map((key) =>
    gunzipSync(memory.objects.get(key)?.bytes ?? '')
      .toString()
      .replaceAll(/ +\n/g, '\n'),
  );
  for (const [i, text] of stored.entries()) expect(text === expected[i], `file ${i}`).toBe(true);
});
