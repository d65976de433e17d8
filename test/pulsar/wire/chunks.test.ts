import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import { ChunkJoiner } from '../../../src/pulsar/wire/chunks.ts';
import { readStoredEntry, type StoredEntry } from '../../../src/pulsar/wire/protocol/entry-decoder.ts';
import type { EntryMetadata } from '../../../src/pulsar/wire/protocol/entry-metadata.ts';
import { COMPRESSION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';

const chunk = (
  entryId: number,
  uuid: string,
  chunkId: number,
  chunks: number,
  payload = `<${uuid}${chunkId}>`,
  uncompressedSize = 0,
) =>
  readStoredEntry(
    { ledgerId: 1, entryId },
    encodeEntry(
      {
        producerName: 'p',
        sequenceId: 1,
        publishTime: 1,
        uuid,
        chunkId,
        numChunksFromMsg: chunks,
        totalChunkMsgSize: payload.length * chunks,
        ...(uncompressedSize > 0 ? { compression: COMPRESSION_TYPE.ZLIB, uncompressedSize } : {}),
      },
      Buffer.from(payload),
    ),
  );

function joiner(limitBytes = 10_000, isOrdered = true, heldChunks = { sizeBytes: 0 }) {
  const leftOut: string[] = [];
  const chunks = new ChunkJoiner({
    limitBytes,
    isOrdered,
    heldChunks,
    onLeftOut: (uuid) => leftOut.push(uuid),
  });
  const add = (entry: StoredEntry) => {
    const result = chunks.add(entry, entry.metadata as EntryMetadata);
    const ids = result.kind === 'pending' ? [] : result.ids.map(({ entryId }) => entryId);
    if (result.kind === 'joined') return { kind: 'joined', text: result.payload.toString(), ids };
    if (result.kind === 'broken') return { ...result, ids };
    return { kind: 'pending' };
  };
  return { add, chunks, leftOut };
}

describe('chunks', () => {
  it('of messages that are mixed are joined, each with all its entries', () => {
    const { add, chunks } = joiner();
    expect(add(chunk(0, 'a', 0, 3))).toEqual({ kind: 'pending' });
    expect(add(chunk(1, 'b', 0, 2))).toEqual({ kind: 'pending' });
    expect(add(chunk(2, 'a', 1, 3))).toEqual({ kind: 'pending' });
    expect(add(chunk(3, 'b', 1, 2))).toEqual({ kind: 'joined', text: '<b0><b1>', ids: [1, 3] });
    expect(add(chunk(4, 'a', 2, 3))).toEqual({ kind: 'joined', text: '<a0><a1><a2>', ids: [0, 2, 4] });
    expect(chunks.heldBytes).toBe(0);
  });

  it('that a producer sent twice count once, and are acknowledged with the others', () => {
    const { add } = joiner();
    for (const [entryId, chunkId] of [
      [0, 0],
      [1, 1],
      [2, 0],
      [3, 1],
    ] as const)
      add(chunk(entryId, 'a', chunkId, 3));
    expect(add(chunk(4, 'a', 2, 3))).toEqual({ kind: 'joined', text: '<a0><a1><a2>', ids: [0, 1, 2, 3, 4] });
  });

  it('with one missing are given back raw with the last, in an ordered subscription', () => {
    const { add } = joiner();
    const first = chunk(0, 'a', 0, 3);
    const last = chunk(2, 'a', 2, 3);
    add(first);
    expect(add(last)).toEqual({
      kind: 'broken',
      reason: 'it is a chunked message; chunk 1 of 3 is missing',
      ids: [0, 2],
      raw: [
        { id: first.id, bytes: first.raw },
        { id: last.id, bytes: last.raw },
      ],
    });
    expect(add(chunk(9, 'tail', 1, 2))).toMatchObject({ kind: 'broken', ids: [9] });
  });

  it('with one missing stay unacknowledged in a shared subscription: another consumer may have it', () => {
    const { add } = joiner(10_000, false);
    expect(add(chunk(2, 'a', 2, 3))).toEqual({ kind: 'pending' });
  });

  it('with a wrong checksum are given back raw, with the whole message', () => {
    const { add } = joiner();
    const bad = chunk(0, 'a', 0, 2);
    bad.raw[bad.raw.length - 1] = 0;
    add(bad);
    expect(add(chunk(1, 'a', 1, 2))).toMatchObject({
      kind: 'broken',
      ids: [0, 1],
      reason: expect.stringContaining('checksum'),
    });
  });

  it('of a message beyond the limit are given back raw, one by one, and none is held', () => {
    const { add, chunks } = joiner(100);
    expect(add(chunk(0, 'a', 0, 2, 'x'.repeat(60)))).toMatchObject({
      kind: 'broken',
      ids: [0],
      reason: expect.stringContaining('more than the limit'),
      hint: expect.stringContaining('Give the function'),
    });
    expect(chunks.heldBytes).toBe(0);
  });

  it('of all partitions together have a bound', () => {
    const heldChunks = { sizeBytes: 0 };
    const [one, other] = [joiner(600, true, heldChunks), joiner(600, true, heldChunks)];
    one.add(chunk(0, 'a', 0, 2, 'x'.repeat(250)));
    for (const [entryId, uuid] of ['b', 'c', 'd'].entries())
      other.add(chunk(entryId, uuid, 0, 2, 'x'.repeat(290)));
    expect(heldChunks.sizeBytes).toBe(one.chunks.heldBytes + other.chunks.heldBytes);
    expect(heldChunks.sizeBytes).toBeLessThanOrEqual(1_200);
    expect(other.leftOut).toEqual(['d']);
    expect(one.leftOut).toEqual([]);
    expect(one.add(chunk(1, 'a', 1, 2, 'x'.repeat(250)))).toMatchObject({ kind: 'joined' });
    one.chunks.reset();
    other.chunks.reset();
    expect(heldChunks.sizeBytes).toBe(0);
  });

  it.each([
    ['', 0, 1],
    [' twice, where it is compressed', 400, 0],
  ])('joined to a message count%s until that is not in use any more', (_, uncompressedSize, free) => {
    const heldChunks = { sizeBytes: 0 };
    const [one, other] = [joiner(800, true, heldChunks), joiner(800, true, heldChunks)];
    const part = (entryId: number, chunkId: number) =>
      chunk(entryId, 'a', chunkId, 2, 'x'.repeat(350), uncompressedSize);
    one.add(part(0, 0));
    one.add(part(1, 1));
    for (const uuid of ['b', 'c']) other.add(chunk(0, uuid, 0, 2, 'x'.repeat(250)));
    expect(other.leftOut).toHaveLength(1 - free);
    one.chunks.passed();
    expect(heldChunks.sizeBytes).toBe(other.chunks.heldBytes);
    other.add(chunk(2, 'd', 0, 2, 'x'.repeat(250)));
    expect(other.leftOut).toHaveLength(1 - free);
  });

  it('that do not fit beside those of others are left for a later run', () => {
    const { add, chunks, leftOut } = joiner(300);
    for (let n = 0; n < 10; n++) add(chunk(n, `m${n}`, 0, 2, 'x'.repeat(100)));
    expect(chunks.heldBytes).toBeLessThanOrEqual(600);
    expect(leftOut).toContain('m9');
    expect(leftOut).not.toContain('m0');
    expect(add(chunk(20, 'm9', 1, 2, 'x'.repeat(100)))).toEqual({ kind: 'pending' });
    expect(add(chunk(21, 'm0', 1, 2, 'x'.repeat(100)))).toMatchObject({ kind: 'joined', ids: [0, 21] });
  });
});

describe('chunks that come twice', () => {
  it('count once, with the copy that is whole', () => {
    const { add } = joiner();
    const bad = chunk(0, 'a', 0, 2);
    bad.raw[bad.raw.length - 1] = 0;
    add(bad);
    add(chunk(1, 'a', 0, 2));
    expect(add(chunk(2, 'a', 1, 2))).toEqual({ kind: 'joined', text: '<a0><a1>', ids: [0, 1, 2] });
  });

  it('leave a whole copy for no spoilt one', () => {
    const { add } = joiner();
    const bad = chunk(1, 'a', 0, 2);
    bad.raw[bad.raw.length - 1] = 0;
    add(chunk(0, 'a', 0, 2));
    add(bad);
    expect(add(chunk(2, 'a', 1, 2))).toEqual({ kind: 'joined', text: '<a0><a1>', ids: [0, 1, 2] });
  });
});

describe('messages that are not complete', () => {
  it('are reported with what there is of them', () => {
    const { add, chunks } = joiner();
    add(chunk(0, 'a', 0, 3));
    add(chunk(1, 'b', 0, 2));
    add(chunk(2, 'a', 1, 3));
    expect(chunks.incomplete()).toEqual([
      {
        uuid: 'a',
        firstId: { ledgerId: 1, entryId: 0 },
        held: 2,
        chunks: 3,
        publishTimeMs: 1,
        isLeftOut: false,
      },
      {
        uuid: 'b',
        firstId: { ledgerId: 1, entryId: 1 },
        held: 1,
        chunks: 2,
        publishTimeMs: 1,
        isLeftOut: false,
      },
    ]);
    expect(chunks.incompleteEntries).toBe(3);
    expect(chunks.giveUp('a')?.ids.map(({ entryId }) => entryId)).toEqual([0, 2]);
    expect(chunks.incompleteEntries).toBe(1);
    expect(chunks.giveUp('a')).toBeUndefined();
  });

  it('that were left out are not given up: they are not there', () => {
    const { add, chunks } = joiner(100);
    for (let n = 0; n < 5; n++) add(chunk(n, `m${n}`, 0, 2, 'x'.repeat(50)));
    expect(chunks.giveUp('m4')).toBeUndefined();
    expect(chunks.incomplete().find(({ uuid }) => uuid === 'm4')).toMatchObject({ isLeftOut: true, held: 0 });
  });
});
