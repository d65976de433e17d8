// The codecs a producer may have used. Sizes come from the metadata and are checked before any memory is taken, and
// the result must have that size exactly.
import * as zlib from 'node:zlib';
import { TooLarge } from '../../../largest-message.ts';
import { decompressLz4 } from './lz4.ts';
import { decompressSnappy } from './snappy.ts';
import { COMPRESSION_TYPE } from './tables.ts';
import { decompressZstd, loadZstd } from './zstd-blocks.ts';

type Decompress = (block: Buffer, sizeBytes: number) => Buffer;

/** What a deflate stream ends with after a flush: an empty stored block (RFC 1951). */
const FLUSHED = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/**
 * Java's client never finishes the stream: it ends each block with a flush, and so without a checksum. Only a block that
 * ends so is read to there; any other has to be finished, its checksum right.
 */
function inflate(block: Buffer, sizeBytes: number): Buffer {
  const { Z_SYNC_FLUSH, Z_FINISH } = zlib.constants;
  const finishFlush = block.subarray(-FLUSHED.length).equals(FLUSHED) ? Z_SYNC_FLUSH : Z_FINISH;
  return zlib.inflateSync(block, { finishFlush, maxOutputLength: Math.max(1, sizeBytes) });
}

/** Whether a codec still has to be loaded before `decompress`: then a promise of that, else `undefined`. */
export function loadCodec(compression: number): Promise<void> | undefined {
  return compression === COMPRESSION_TYPE.ZSTD ? loadZstd() : undefined;
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
    throw new TooLarge(`it would have ${sizeBytes} bytes decompressed`, sizeBytes, limitBytes);
  }
  const codec = codecOf(compression);
  // Some encoders make nothing of nothing.
  if (sizeBytes === 0 && payload.length === 0) return payload;
  const out = sized(() => codec(payload, sizeBytes), sizeBytes);
  if (out.length !== sizeBytes) {
    throw new Error(`it has ${out.length} bytes decompressed, but its metadata says ${sizeBytes}`);
  }
  return out;
}

/** In words for a person what Node says about a result that has no room. */
function sized(decompressOnce: () => Buffer, sizeBytes: number): Buffer {
  try {
    return decompressOnce();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    throw new Error(`it has more than ${sizeBytes} bytes decompressed, but its metadata says so many`);
  }
}

function codecOf(compression: number): Decompress {
  switch (compression) {
    case COMPRESSION_TYPE.LZ4:
      return decompressLz4;
    case COMPRESSION_TYPE.ZLIB:
      return inflate;
    case COMPRESSION_TYPE.ZSTD:
      return decompressZstd;
    case COMPRESSION_TYPE.SNAPPY:
      return decompressSnappy;
    default:
      throw new Error(`its compression type ${compression} is not known`);
  }
}
