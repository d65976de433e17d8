// The codecs a producer may have used. Sizes come from the metadata and are checked before any memory is taken, and
// the result must have that size exactly.
import * as zlib from 'node:zlib';
import { decompressLz4 } from './lz4.ts';
import { COMPRESSION_TYPE } from './protocol-tables.ts';
import { decompressSnappy } from './snappy.ts';

type Decompress = (block: Uint8Array, sizeBytes: number) => Buffer;

/** Node has it from 22.15 on; the types of older ones do not know it. */
const nodeZstd = (
  zlib as unknown as {
    zstdDecompressSync?: (block: Uint8Array, options: { maxOutputLength: number }) => Buffer;
  }
).zstdDecompressSync;

/** A block that becomes larger than this is decompressed in pieces, where Node itself cannot do it. */
const STREAMED_BYTES = 1_048_576;
const PIECE_BYTES = 131_072;

let decompressZstd: Decompress | undefined =
  nodeZstd === undefined
    ? undefined
    : (block, sizeBytes) => nodeZstd(block, { maxOutputLength: Math.max(1, sizeBytes) });
let zstdLoading: Promise<void> | undefined;

async function loadZstd(): Promise<void> {
  const { ZSTDDecoder } = await import('zstddec/stream');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  decompressZstd = (block, sizeBytes) => {
    if (sizeBytes > STREAMED_BYTES) return inPieces(decoder, block, sizeBytes);
    const out = decoder.decode(block, sizeBytes);
    return Buffer.from(out.buffer, out.byteOffset, out.byteLength);
  };
}

/** WebAssembly never gives memory back: a large block passes through it in pieces. */
function inPieces(
  decoder: { decodeStreaming(pieces: Iterable<Uint8Array>): Iterable<Uint8Array> },
  block: Uint8Array,
  sizeBytes: number,
): Buffer {
  let given = 0;
  function* pieces() {
    for (; given < block.length; given += PIECE_BYTES) yield block.subarray(given, given + PIECE_BYTES);
  }
  const out = Buffer.allocUnsafeSlow(sizeBytes);
  let used = 0;
  let stuckAt = -1;
  for (const piece of decoder.decodeStreaming(pieces())) {
    // The decoder does not look at errors: it goes on without end and without output, at the same piece.
    if (piece.length === 0 && stuckAt === given) throw new Error('its ZSTD frame is damaged');
    stuckAt = piece.length === 0 ? given : -1;
    if (used + piece.length > sizeBytes) {
      throw new Error(`it has more bytes decompressed than the ${sizeBytes} that its metadata says`);
    }
    out.set(piece, used);
    used += piece.length;
  }
  return out.subarray(0, used);
}

/** Whether a codec still has to be loaded before `decompress`: then a promise of that, else `undefined`. */
export function loadCodec(compression: number): Promise<void> | undefined {
  if (compression !== COMPRESSION_TYPE.ZSTD || decompressZstd !== undefined) return undefined;
  zstdLoading ??= loadZstd();
  return zstdLoading;
}

/**
 * Decompresses a payload to exactly `sizeBytes`, at most `limitBytes`. Uncompressed payloads are given back as they
 * are. @throws Error whose message is a reason for a person
 */
export function decompress(
  payload: Buffer,
  compression: number,
  sizeBytes: number,
  limitBytes: number,
): Buffer {
  if (compression === COMPRESSION_TYPE.NONE) return payload;
  if (sizeBytes > limitBytes) {
    throw new Error(`it would have ${sizeBytes} bytes decompressed, more than the limit of ${limitBytes}`);
  }
  const out = codecOf(compression)(payload, sizeBytes);
  if (out.length !== sizeBytes) {
    throw new Error(`it has ${out.length} bytes decompressed, but its metadata says ${sizeBytes}`);
  }
  return out;
}

function codecOf(compression: number): Decompress {
  switch (compression) {
    case COMPRESSION_TYPE.LZ4:
      return decompressLz4;
    case COMPRESSION_TYPE.ZLIB:
      return (block, sizeBytes) => zlib.inflateSync(block, { maxOutputLength: Math.max(1, sizeBytes) });
    case COMPRESSION_TYPE.ZSTD:
      if (decompressZstd === undefined) throw new Error('its ZSTD codec is not loaded');
      return decompressZstd;
    case COMPRESSION_TYPE.SNAPPY:
      return decompressSnappy;
    default:
      throw new Error(`its compression type ${compression} is not known`);
  }
}
