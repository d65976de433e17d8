// One text as many encoders write it, and blocks that none of them wrote to the end.
import { constants, deflateSync, type ZlibOptions } from 'node:zlib';
import { COMPRESSION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';

const { LZ4, ZLIB, ZSTD, SNAPPY } = COMPRESSION_TYPE;

/** The same text as lz4 1.9.4, zlib 1.2.13, zstd 1.5.7 and Python's snappy (cramjam) compress it. */
export const TEXT = Buffer.from('tdmq-backup '.repeat(20));
export const REFERENCE: readonly (readonly [name: string, type: number, hex: string])[] = [
  ['LZ4', LZ4, 'cf74646d712d6261636b7570200c00cc50636b757020'],
  ['ZLIB', ZLIB, '789c2b49c92dd44d4a4cce2e2d502819016c0037125975'],
  ['ZSTD', ZSTD, '28b52ffd20f09d00006074646d712d6261636b7570200100e1532509'],
  ['Snappy', SNAPPY, 'f0012c74646d712d6261636b757020fe0c00fe0c00fe0c008e0c00'],
];

/** A frame without content. */
export const SKIPPABLE = '502a4d1803000000616263';
/** What encoders may do besides: flushed is what Java's client does, without a content size what Rust's does. */
export const VARIANTS: readonly (readonly [name: string, type: number, hex: string])[] = [
  ['ZLIB, flushed and not finished', ZLIB, '789c2a49c92dd44d4a4cce2e2d502819016c00000000ffff'],
  ['ZLIB, flushed twice', ZLIB, '789c2a49c92dd44d4a4cce2e2d5028a1111b000000ffff1a4c6c00000000ffff'],
  ['ZLIB, stored', ZLIB, deflateSync(TEXT, { level: 0 }).toString('hex')],
  ['ZLIB, stored and flushed', ZLIB, flushed(TEXT, { level: 0 }).toString('hex')],
  ['ZLIB, with a full flush', ZLIB, flushed(TEXT, { finishFlush: constants.Z_FULL_FLUSH }).toString('hex')],
  ['ZSTD, without a content size', ZSTD, '28b52ffd00589d00006074646d712d6261636b7570200100e1532509'],
  ['ZSTD, with a checksum', ZSTD, '28b52ffd24f09d00006074646d712d6261636b7570200100e153250964d9b01a'],
  [
    'ZSTD, in two frames',
    ZSTD,
    '28b52ffd20649d00006074646d712d6261636b7570200100f5a9240128b52ffd208c9d0000602d6261636b75702074646d710100fd694902',
  ],
  [
    'ZSTD, between skippable frames',
    ZSTD,
    `${SKIPPABLE}28b52ffd20f09d00006074646d712d6261636b7570200100e1532509${SKIPPABLE}`,
  ],
];

/** Compressed as Java's client does it. */
export function flushed(bytes: Buffer, options: ZlibOptions = {}): Buffer {
  return deflateSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
}

/** What is to be refused. */
export const REFUSED: readonly (readonly [name: string, type: number, hex: string])[] = [
  ['ZLIB with a wrong checksum', ZLIB, '789c2b49c92dd44d4a4cce2e2d502819016c0037125976'],
  ['ZLIB with a part of its checksum', ZLIB, '789c2b49c92dd44d4a4cce2e2d502819016c00371259'],
  [
    'ZLIB with a flush inside that is not its end',
    ZLIB,
    '789c2a49c92dd44d4a4cce2e2d5028a1111b000000ffff1a4c',
  ],
  ['ZSTD with a wrong checksum', ZSTD, '28b52ffd24f09d00006074646d712d6261636b7570200100e153250964d9b01b'],
  [
    'ZSTD with a part of its checksum',
    ZSTD,
    '28b52ffd24f09d00006074646d712d6261636b7570200100e153250964d9b0',
  ],
  [
    'ZSTD with something behind its end',
    ZSTD,
    '28b52ffd20f09d00006074646d712d6261636b7570200100e15325096d6f7265',
  ],
];
