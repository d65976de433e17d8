// Compresses payloads the five ways a Pulsar producer can, without a vendor library. For test data: LZ4 and Snappy are
// a small greedy search for repeats, ZSTD is a frame of uncompressed blocks. Decompresses nothing.
import { deflateSync } from 'node:zlib';
import { COMPRESSION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';

export type Compression = 'none' | 'lz4' | 'zlib' | 'zstd' | 'snappy';

/** The number of a compression in an entry's metadata. */
export function compressionType(compression: Compression): number {
  return COMPRESSION_TYPE[compression.toUpperCase() as keyof typeof COMPRESSION_TYPE];
}

/** The compressed form of `bytes`, as consumers expect it. */
export function compress(bytes: Buffer, compression: Compression): Buffer {
  if (compression === 'none') return bytes;
  if (compression === 'zlib') return deflateSync(bytes);
  if (compression === 'zstd') return storeAsZstd(bytes);
  return compression === 'lz4' ? compressLz4(bytes) : compressSnappy(bytes);
}

interface Match {
  readonly at: number;
  readonly distance: number;
  readonly length: number;
}

/** Repeats of at least four bytes, found by a table of what was where; none begins in the last `tail` bytes. */
function* findMatches(bytes: Buffer, window: number, maxLength: number, tail: number): Generator<Match> {
  const seen = new Map<number, number>();
  const end = bytes.length - tail;
  for (let at = 0; at + 12 < bytes.length; ) {
    const four = bytes.readUInt32LE(at);
    const before = seen.get(four);
    seen.set(four, at);
    if (before === undefined || at - before > window) {
      at++;
      continue;
    }
    let length = 4;
    while (length < maxLength && at + length < end && bytes[before + length] === bytes[at + length]) length++;
    yield { at, distance: at - before, length };
    at += length;
  }
}

/** LZ4 block format. The last five bytes are literals, and no match begins in the last twelve. */
function compressLz4(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let done = 0;
  for (const { at, distance, length } of findMatches(bytes, 0xffff, Number.POSITIVE_INFINITY, 5)) {
    parts.push(lz4Token(bytes.subarray(done, at), length - 4));
    parts.push(Buffer.from([distance & 0xff, distance >> 8, ...lz4Length(length - 4)]));
    done = at + length;
  }
  parts.push(lz4Token(bytes.subarray(done), 0));
  return Buffer.concat(parts);
}

function lz4Token(literals: Buffer, matchLength: number): Buffer {
  const token = (Math.min(literals.length, 15) << 4) | Math.min(matchLength, 15);
  return Buffer.concat([Buffer.from([token, ...lz4Length(literals.length)]), literals]);
}

/** What follows a length that did not fit the token's four bits. */
function lz4Length(length: number): number[] {
  if (length < 15) return [];
  const rest = length - 15;
  return [...new Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
}

/** Snappy's raw format: the length, then literals and copies. */
function compressSnappy(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from(varint(bytes.length))];
  let done = 0;
  for (const { at, distance, length } of findMatches(bytes, 0xffff, 64, 0)) {
    parts.push(snappyLiteral(bytes.subarray(done, at)));
    parts.push(Buffer.from([((length - 1) << 2) | 2, distance & 0xff, distance >> 8]));
    done = at + length;
  }
  parts.push(snappyLiteral(bytes.subarray(done)));
  return Buffer.concat(parts);
}

function snappyLiteral(literals: Buffer): Buffer {
  if (literals.length === 0) return literals;
  const rest = literals.length - 1;
  const head =
    rest < 60 ? [rest << 2] : [63 << 2, rest & 0xff, (rest >> 8) & 0xff, (rest >> 16) & 0xff, rest >>> 24];
  return Buffer.concat([Buffer.from(head), literals]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

const ZSTD_BLOCK_BYTES = 128 * 1024;

/** A Zstandard frame whose blocks are stored as they are (RFC 8878, 3.1.1): valid, and no smaller. */
function storeAsZstd(bytes: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32LE(0xfd2fb528, 0);
  // Single segment, content size in four bytes, no checksum.
  head.writeUInt8(0b1010_0000, 4);
  head.writeUInt32LE(bytes.length, 5);
  const parts: Buffer[] = [head];
  let at = 0;
  do {
    const block = bytes.subarray(at, at + ZSTD_BLOCK_BYTES);
    at += block.length;
    const isLast = at >= bytes.length ? 1 : 0;
    const blockHead = Buffer.alloc(3);
    blockHead.writeUIntLE(isLast | (block.length << 3), 0, 3);
    parts.push(blockHead, block);
  } while (at < bytes.length);
  return Buffer.concat(parts);
}
