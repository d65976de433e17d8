import { randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { Zstd } from '@hpcc-js/wasm-zstd';
import fc from 'fast-check';
import { compress as compressSnappy } from 'snappyjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { decompress, loadCodec } from '../../../../src/pulsar/wire/protocol/decompress.ts';
import { COMPRESSION_TYPE } from '../../../../src/pulsar/wire/protocol/tables.ts';
import { compress } from '../../../stand-ins/broker/compress.ts';
import { flushed, REFERENCE, REFUSED, SKIPPABLE, TEXT, VARIANTS } from '../encoder-blocks.ts';

const { NONE, LZ4, ZLIB, ZSTD, SNAPPY } = COMPRESSION_TYPE;
const LIMIT = 1 << 20;

/** Bytes with repeats of all distances and lengths. */
const anyBytes = fc
  .array(fc.tuple(fc.uint8Array({ maxLength: 90 }), fc.integer({ min: 1, max: 40 })), { maxLength: 12 })
  .map((parts) =>
    Buffer.concat(parts.flatMap(([bytes, times]) => Array<Buffer>(times).fill(Buffer.from(bytes)))),
  );

describe('decompression', () => {
  beforeAll(async () => {
    await loadCodec(ZSTD);
  });

  it.each(REFERENCE)('reads a block of another %s implementation', (_, type, hex) => {
    expect(decompress(Buffer.from(hex, 'hex'), type, TEXT.length, LIMIT)).toEqual(TEXT);
  });

  it.each(VARIANTS)('reads %s, and of a part of it nothing', (_, type, hex) => {
    const block = Buffer.from(hex, 'hex');
    expect(decompress(block, type, TEXT.length, LIMIT)).toEqual(TEXT);
    // Skippable frames hold nothing: without the last one it is whole.
    const part = hex.endsWith(SKIPPABLE) ? block.length - SKIPPABLE.length / 2 : block.length;
    for (let length = 0; length < part; length++)
      expect(() => decompress(block.subarray(0, length), type, TEXT.length, LIMIT), `${length}`).toThrow();
    for (const size of [TEXT.length - 1, TEXT.length + 1, 0])
      expect(() => decompress(block, type, size, LIMIT), `${size}`).toThrow();
  });

  it("reads the block of Java's client, which flushes and does not finish", () => {
    const block = Buffer.from('789cca48cdc9c907000000ffff', 'hex');
    expect(decompress(block, ZLIB, 5, LIMIT).toString()).toBe('hello');
  });

  it('gives back what was flushed and not finished, whatever it is', () => {
    fc.assert(
      fc.property(anyBytes, fc.integer({ min: 0, max: 9 }), (bytes, level) => {
        const out = decompress(flushed(bytes, { level }), ZLIB, bytes.length, LIMIT);
        expect(out.equals(bytes)).toBe(true);
      }),
    );
  });

  it.each(REFUSED)('refuses %s', (_, type, hex) => {
    expect(() => decompress(Buffer.from(hex, 'hex'), type, TEXT.length, LIMIT)).toThrow();
  });

  it.each([
    ['nothing at all', [NONE, LZ4, ZLIB, ZSTD, SNAPPY], ''],
    ['an empty LZ4 or Snappy block', [LZ4, SNAPPY], '00'],
    ['an empty ZLIB stream', [ZLIB], '789c030000000001'],
    ['an empty flush', [ZLIB], '789c000000ffff'],
    ['an empty ZSTD frame', [ZSTD], '28b52ffd2000010000'],
    ['an empty ZSTD frame without a size', [ZSTD], '28b52ffd0058010000'],
    ['an empty ZSTD frame with a checksum', [ZSTD], '28b52ffd240001000099e9d851'],
  ])('reads %s as an empty payload', (_, types, hex) => {
    for (const type of types) expect(decompress(Buffer.from(hex, 'hex'), type, 0, LIMIT)).toHaveLength(0);
  });

  it.each([
    ['lz4', LZ4],
    ['zlib', ZLIB],
    ['zstd', ZSTD],
    ['snappy', SNAPPY],
  ] as const)('gives back what was compressed with %s', (name, type) => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const packed = compress(bytes, name);
        expect(decompress(packed, type, bytes.length, LIMIT).equals(bytes)).toBe(true);
      }),
    );
  });

  it("gives back what Snappy's other implementation compressed", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const packed = Buffer.from(compressSnappy(bytes));
        expect(decompress(packed, SNAPPY, bytes.length, LIMIT).equals(bytes)).toBe(true);
      }),
    );
  });

  it('leaves what is not compressed as it is, without a copy', () => {
    const bytes = Buffer.from('as it is');
    expect(decompress(bytes, NONE, 0, LIMIT)).toBe(bytes);
  });

  it('refuses a size beyond the limit before it takes memory', () => {
    const bomb = deflateSync(Buffer.alloc(10 * LIMIT));
    expect(() => decompress(bomb, ZLIB, 10 * LIMIT, LIMIT)).toThrow(/more than the limit/);
    expect(() => decompress(bomb, ZLIB, 100, LIMIT)).toThrow('more than 100 bytes decompressed');
  });

  it('refuses a codec it does not know', () => {
    expect(() => decompress(Buffer.alloc(3), 9, 3, LIMIT)).toThrow(/compression type 9/);
  });

  it.each([
    ['lz4', LZ4],
    ['zlib', ZLIB],
    ['zstd', ZSTD],
    ['snappy', SNAPPY],
  ] as const)('of spoilt %s data fails or gives exactly the size announced', (name, type) => {
    const intact = compress(Buffer.from('some text, some text, and more of some text '.repeat(30)), name);
    const size = 'some text, some text, and more of some text '.length * 30;
    fc.assert(
      fc.property(fc.nat(intact.length - 1), fc.nat(255), fc.nat(intact.length), (at, byte, length) => {
        const spoilt = Buffer.from(intact.subarray(0, length));
        if (at < spoilt.length) spoilt[at] = byte;
        let out: Buffer | undefined;
        try {
          out = decompress(spoilt, type, size, LIMIT);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
        if (out !== undefined) expect(out.length).toBe(size);
      }),
      { numRuns: 300 },
    );
  });

  it('passes large zstd blocks through in pieces: whole ones come out, spoilt ones fail and do not hang', async () => {
    const zstd = await Zstd.load();
    const bytes = Buffer.concat([
      randomBytes(900_000),
      Buffer.alloc(2_000_000, 'much the same '),
      randomBytes(100),
    ]);
    const packed = Buffer.from(zstd.compress(bytes));
    const read = (block: Buffer, size = bytes.length) => decompress(block, ZSTD, size, 4 * LIMIT);
    expect(read(packed).equals(bytes)).toBe(true);
    expect(() => read(packed, bytes.length - 1)).toThrow(/bytes decompressed|size|large/i);
    expect(() => read(packed, bytes.length + 1)).toThrow();
    expect(() => read(packed.subarray(0, -3))).toThrow();
    expect(() => read(Buffer.concat([packed, Buffer.from('more')]))).toThrow();
    for (const at of [0, 3, 150_000, packed.length - 20]) {
      const spoilt = Buffer.from(packed);
      spoilt.fill(0xff, at, at + 8);
      let out: Buffer | undefined;
      try {
        out = read(spoilt);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
      expect([undefined, bytes.length]).toContain(out?.length);
    }
  });
});
