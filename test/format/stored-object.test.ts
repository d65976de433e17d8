// What is in an object that was found at a key: whose it is, and where it ends. Over a store in memory.
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { encodeRecord } from '../../src/format/record.ts';
import { assertBeginsWith, readIds, readLastId } from '../../src/format/stored-object.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Message, ObjectHead } from '../../src/ports.ts';
import { createFakeBroker, type FakePartition, publish } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';

let store: MemoryStore;
let messages: Message[];
beforeEach(() => {
  store = createMemoryStore();
  const partition = createFakeBroker(1).partitions[0] as FakePartition;
  // Lines that end within and beyond the chunks in which an object is read.
  messages = [10, 9_000, 70_000, 100, 200_000, 30].flatMap((bytes, i) =>
    publish(partition, [`${i} `.padEnd(bytes, 'x')]).messages.slice(),
  );
});

const text = (all: readonly Message[]) => Buffer.from(all.map((one) => encodeRecord(one)).join(''));

async function put(bytes: Buffer, metadata: Record<string, string> = {}): Promise<ObjectHead> {
  store.objects.set('k', { key: 'k', bytes, metadata, contentType: 'x', crc64: crc64([bytes]) });
  return (await store.head('k')) as ObjectHead;
}

describe('the last message of an object', () => {
  it('comes from its metadata, without reading it', async () => {
    const head = await put(Buffer.from('no record'), { 'last-id': '7:5:0:-1' });
    await expect(readLastId(store, head, 'none', {})).resolves.toMatchObject({ ledgerId: 7, entryId: 5 });
    expect(store.calls).toEqual(['head k']);
  });

  it('is read from its end, however long its last record is', async () => {
    for (const count of [1, 2, 3, 4, 5, 6]) {
      const head = await put(text(messages.slice(0, count)));
      await expect(readLastId(store, head, 'none', {})).resolves.toEqual(messages[count - 1]?.id);
    }
  });

  it('is the last of all its lines, where it is compressed', async () => {
    const head = await put(gzipSync(text(messages)));
    await expect(readLastId(store, head, 'gzip', {})).resolves.toEqual(messages[5]?.id);
  });

  it('is none in an empty object: it is damaged', async () => {
    const head = await put(Buffer.alloc(0));
    await expect(readLastId(store, head, 'none', {})).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('no record'),
    });
    const compressed = await put(gzipSync(Buffer.alloc(0)));
    await expect(readLastId(store, compressed, 'gzip', {})).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('that is cut off is damage too', async () => {
    const head = await put(gzipSync(text(messages).subarray(0, -5)));
    await expect(readLastId(store, head, 'gzip', {})).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('whole record'),
    });
  });
});

it('the ids of all messages of an object are read from it, and the last one, compressed or not', async () => {
  const ids = new Set(messages.map(({ id }) => `${id.ledgerId}:${id.entryId}:0:-1`));
  const read = { ids, last: messages.at(-1)?.id };
  await put(text(messages));
  await expect(readIds(store, 'k', 'none', {})).resolves.toEqual(read);
  await put(gzipSync(text(messages)));
  await expect(readIds(store, 'k', 'gzip', {})).resolves.toEqual(read);
});

describe('an object begins as our file does', () => {
  const ours = {
    format: 'tdmq-backup/1',
    'first-id': '7:0:0:-1',
    'first-publish-time': '2026-11-23T23:21:41.123Z',
  };

  it('where format, first id and its publish time are the same', async () => {
    const head = await put(Buffer.from('x'), ours);
    expect(() => assertBeginsWith(head, messages[0] as Message)).not.toThrow();
  });

  it.each([
    ['format', { format: 'tdmq-backup/9' }],
    ['first id', { 'first-id': '7:1:0:-1' }],
    ['publish time', { 'first-publish-time': '2026-11-23T23:21:41.124Z' }],
  ])('and not where the %s differs', async (_what, other) => {
    const head = await put(Buffer.from('x'), { ...ours, ...other });
    expect(() => assertBeginsWith(head, messages[0] as Message)).toThrow(
      /another archive lives at this prefix: k/,
    );
  });
});
