import { inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ZSTDDecoder } from 'zstddec';
import { describeEntry } from '../../../src/local/broker/entry.ts';
import { decodeMetadata, isChecksumRight } from '../../../src/local/broker/frames.ts';
import { compress } from '../../stand-ins/broker/compress.ts';
import { encodeMessages } from '../../stand-ins/broker/publish.ts';

/** Text with repeats near and far, runs, and noise. */
const data = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom('abcd', 'hello world, ', 'a'.repeat(400)),
      fc.lorem(),
    ),
    {
      maxLength: 60,
    },
  )
  .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part))));

/** LZ4's block format, read as its specification says. */
function readLz4(block: Buffer): Buffer {
  const out: number[] = [];
  let at = 0;
  const length = (nibble: number) => {
    let sum = nibble;
    for (let more = nibble === 15; more; ) {
      const byte = block[at++] as number;
      sum += byte;
      more = byte === 255;
    }
    return sum;
  };
  while (at < block.length) {
    const token = block[at++] as number;
    const literals = length(token >> 4);
    out.push(...block.subarray(at, at + literals));
    at += literals;
    if (at >= block.length) break;
    const distance = (block[at++] as number) | ((block[at++] as number) << 8);
    if (distance === 0 || distance > out.length) throw new Error('a match begins before the data');
    for (let left = length(token & 15) + 4; left > 0; left--) out.push(out.at(-distance) as number);
  }
  return Buffer.from(out);
}

/** Snappy's raw format: a length, literals, and copies with one or two bytes of distance. */
function readSnappy(block: Buffer): Buffer {
  const out: number[] = [];
  let at = 0;
  let size = 0;
  for (let shift = 0, more = true; more; shift += 7) {
    const byte = block[at++] as number;
    size |= (byte & 0x7f) << shift;
    more = byte >= 0x80;
  }
  while (at < block.length) {
    const tag = block[at++] as number;
    if ((tag & 3) === 0) {
      const extra = Math.max(0, (tag >> 2) - 59);
      const length = 1 + (extra === 0 ? tag >> 2 : block.readUIntLE(at, extra));
      out.push(...block.subarray(at + extra, at + extra + length));
      at += extra + length;
    } else {
      const isShort = (tag & 3) === 1;
      const distance = isShort ? ((tag >> 5) << 8) | (block[at] as number) : block.readUInt16LE(at);
      if (distance === 0 || distance > out.length) throw new Error('a copy begins before the data');
      at += isShort ? 1 : 2;
      const length = isShort ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
      for (let left = length; left > 0; left--) out.push(out.at(-distance) as number);
    }
  }
  if (out.length !== size) throw new Error('the length is not as announced');
  return Buffer.from(out);
}

test('what is compressed is read back by decoders that are not the broker’s', async () => {
  const zstd = new ZSTDDecoder();
  await zstd.init();
  fc.assert(
    fc.property(data, (bytes) => {
      const read = {
        none: compress(bytes, 'none'),
        zlib: inflateSync(compress(bytes, 'zlib')),
        lz4: readLz4(compress(bytes, 'lz4')),
        snappy: readSnappy(compress(bytes, 'snappy')),
        zstd: Buffer.from(zstd.decode(compress(bytes, 'zstd'), bytes.length)),
      };
      for (const [name, back] of Object.entries(read)) expect(back.equals(bytes), name).toBe(true);
    }),
    { numRuns: 100 },
  );
  const large = Buffer.alloc(300_000, 'large ');
  expect(compress(large, 'lz4').length).toBeLessThan(5000);
  expect(large.equals(zstd.decode(compress(large, 'zstd'), large.length))).toBe(true);
});

test('messages become single entries, batches with the key of their first message, and chunks that share one id', () => {
  const messages = Array.from({ length: 5 }, (_, index) => ({
    payload: `message ${index}`,
    key: `k${index}`,
    publishTimeMs: 9,
  }));
  expect(encodeMessages(messages, 10).map((entry) => decodeMetadata(entry))).toMatchObject(
    [0, 1, 2, 3, 4].map((index) => ({
      producerName: 'loopback',
      sequenceId: 10 + index,
      partitionKey: `k${index}`,
    })),
  );
  const batches = encodeMessages(messages, 0, { batchSize: 2, producerName: 'p' });
  expect(batches.map(describeEntry)).toMatchObject([
    { messages: 2, isBatch: true, stickyKey: 'k0', publishTimeMs: 9 },
    { messages: 2, isBatch: true, stickyKey: 'k2' },
    { messages: 1, isBatch: true, stickyKey: 'k4' },
  ]);
  const chunks = encodeMessages([{ payload: Buffer.alloc(25) }], 3, { chunkSizeBytes: 10 });
  expect(chunks.every(isChecksumRight)).toBe(true);
  const metadata = chunks.map((chunk) => decodeMetadata(chunk));
  expect(metadata).toMatchObject(
    [0, 1, 2].map((chunkId) => ({ chunkId, numChunksFromMsg: 3, totalChunkMsgSize: 25, sequenceId: 3 })),
  );
  expect(new Set(metadata.map(({ uuid }) => uuid)).size).toBe(1);
});

test('a batch is laid out as written down by hand', () => {
  const [entry] = encodeMessages([{ payload: 'ab', eventTimeMs: 5 }, { payload: null }], 1, {
    batchSize: 2,
  }) as [Buffer];
  const tail = '00000006 1802 2805 4001 6162 00000006 1800 4002 4801'.replaceAll(' ', '');
  expect(entry.toString('hex').endsWith(tail)).toBe(true);
});

test('what is no entry at all is still stored, as one message', () => {
  expect(describeEntry(Buffer.from('nonsense'))).toMatchObject({ messages: 1, isBatch: false });
  expect(describeEntry(Buffer.alloc(0))).toMatchObject({ messages: 1 });
});
