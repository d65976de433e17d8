// Whatever bytes come, decoding ends, in an error that says why or in an entry that is kept raw. What garbage does to
// a live connection is shown in source-faults.test.ts.
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeEntry, encodeFrame } from '../../../src/local/broker/frames.ts';
import { ChunkJoiner } from '../../../src/pulsar/wire/chunks.ts';
import { ProtocolError } from '../../../src/pulsar/wire/protocol/codec.ts';
import { crc32c } from '../../../src/pulsar/wire/protocol/crc32c.ts';
import { loadCodec } from '../../../src/pulsar/wire/protocol/decompress.ts';
import {
  decodeEntry,
  decodePayload,
  readStoredEntry,
} from '../../../src/pulsar/wire/protocol/entry-decoder.ts';
import { isChunk } from '../../../src/pulsar/wire/protocol/entry-metadata.ts';
import { decodeCommand, FrameSplitter } from '../../../src/pulsar/wire/protocol/frame.ts';
import { COMPRESSION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';
import { encodeMessages } from '../../stand-ins/broker/publish.ts';

const ID = { ledgerId: 1, entryId: 1 };
const CONTEXT = { topic: 'persistent://t/n/orders', partition: -1, limitBytes: 1 << 16 };
const text = 'some text, some more text '.repeat(20);

const ENTRIES: readonly Buffer[] = (['none', 'lz4', 'zlib', 'zstd', 'snappy'] as const).flatMap(
  (compression) =>
    [0, 3].map(
      (batchSize) =>
        encodeMessages(
          [
            { payload: text, key: 'k', properties: { a: 'b' } },
            { payload: null, key: Buffer.from([255]) },
            { payload: '', eventTimeMs: 1 },
          ],
          0,
          { compression, batchSize },
        )[0] as Buffer,
    ),
);
const CHUNK = encodeEntry(
  {
    producerName: 'p',
    sequenceId: 1,
    publishTime: 1,
    uuid: 'u',
    chunkId: 1,
    numChunksFromMsg: 3,
    totalChunkMsgSize: 900,
  },
  Buffer.from(text),
);

type Mutation = (bytes: Buffer) => Buffer;
const anyMutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(2000), fc.nat(255)).map(
    ([at, byte]): Mutation =>
      (bytes) => {
        const out = Buffer.from(bytes);
        out[at % Math.max(1, out.length)] = byte;
        return out;
      },
  ),
  fc.nat(2000).map(
    (length): Mutation =>
      (bytes) =>
        Buffer.from(bytes.subarray(0, length % (bytes.length + 1))),
  ),
  fc.tuple(fc.nat(2000), fc.uint8Array({ minLength: 1, maxLength: 12 })).map(
    ([at, more]): Mutation =>
      (bytes) => {
        const cut = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, cut), more, bytes.subarray(cut)]);
      },
  ),
  fc.tuple(fc.nat(2000), fc.constantFrom(0x7fffffff, 0x80000000, 0xffffffff, 0)).map(
    ([at, size]): Mutation =>
      (bytes) => {
        const out = Buffer.from(bytes);
        if (out.length >= 4) out.writeUInt32BE(size, at % (out.length - 3));
        return out;
      },
  ),
);
const mutated = (of: readonly Buffer[]) =>
  fc
    .tuple(fc.constantFrom(...of), fc.array(anyMutation, { minLength: 1, maxLength: 4 }))
    .map(([bytes, mutations]) => mutations.reduce((spoilt, mutate) => mutate(spoilt), bytes));

/** So that what is behind the checksum is reached too. */
function withRightChecksum(bytes: Buffer): Buffer {
  if (bytes.length >= 6 && bytes.readUInt16BE(0) === 0x0e01) bytes.writeUInt32BE(crc32c(bytes, 6), 2);
  return bytes;
}

describe('spoilt', () => {
  beforeAll(async () => {
    await loadCodec(COMPRESSION_TYPE.ZSTD);
  });

  it('entries are decoded or kept raw, and take no more memory than they may', () => {
    fc.assert(
      fc.property(mutated([...ENTRIES, CHUNK]), fc.boolean(), (bytes, fix) => {
        const entry = readStoredEntry(ID, fix ? withRightChecksum(bytes) : bytes);
        expect(entry.permits).toBeGreaterThanOrEqual(0);
        const decoded = decodeEntry(entry, CONTEXT);
        if (decoded.kind === 'unreadable') {
          expect(decoded.reason).toMatch(/cannot be decoded: \S/);
          expect(bytes.includes(Buffer.from(decoded.raw[0]?.bytes as Uint8Array))).toBe(true);
        } else {
          const size = decoded.messages.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0);
          expect(size).toBeLessThanOrEqual(Math.max(CONTEXT.limitBytes, bytes.length));
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('chunks are joined, kept raw or left, within the bound of memory', () => {
    fc.assert(
      fc.property(fc.array(mutated([CHUNK]), { maxLength: 30 }), (chunks) => {
        const joiner = new ChunkJoiner({
          limitBytes: 2_000,
          isOrdered: true,
          heldChunks: { sizeBytes: 0 },
          onLeftOut: () => undefined,
        });
        for (const bytes of chunks) {
          const entry = readStoredEntry(ID, withRightChecksum(bytes));
          if (!isChunk(entry.metadata)) continue;
          const result = joiner.add(entry, entry.metadata);
          expect(joiner.heldBytes).toBeLessThanOrEqual(4_000);
          if (result.kind === 'joined') {
            try {
              decodePayload(ID, result.metadata, result.payload, CONTEXT);
            } catch (error) {
              expect(error).toBeInstanceOf(Error);
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('streams are cut into commands, or refused with a reason', () => {
    const frames = [
      encodeFrame('connected', { serverVersion: 'x', protocolVersion: 21, maxMessageSize: 1000 }),
      encodeFrame('message', { consumerId: 1, messageId: { ledgerId: 1, entryId: 2 } }, ENTRIES[1]),
      encodeFrame('error', { requestId: 2n ** 64n - 1n, error: 3, message: 'no' }),
      encodeFrame('getLastMessageIdResponse', { requestId: 1, lastMessageId: { ledgerId: 1, entryId: 1 } }),
    ].map((frame) => Buffer.from(frame));
    fc.assert(
      fc.property(
        mutated([Buffer.concat(frames), ...frames]),
        fc.integer({ min: 1, max: 400 }),
        (stream, size) => {
          let taken = 0;
          const splitter = new FrameSplitter((frame) => {
            taken += frame.length;
            decodeCommand(frame);
          });
          splitter.maxFrameBytes = 4_096;
          try {
            for (let at = 0; at < stream.length; at += size) splitter.push(stream.subarray(at, at + size));
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
          expect(taken).toBeLessThanOrEqual(stream.length);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});
