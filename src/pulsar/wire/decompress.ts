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

let decompressZstd: Decompress | undefined =
  nodeZstd === undefined
    ? undefined
    : (block, sizeBytes) => nodeZstd(block, { maxOutputLength: Math.max(1, sizeBytes) });
let zstdLoading: Promise<void> | undefined;

async function loadZstd(): Promise<void> {
  const { ZSTDDecoder } = await import('zstddec');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  decompressZstd = (block, sizeBytes) => {
    const out = decoder.decode(block, sizeBytes);
    return Buffer.from(out.buffer, out.byteOffset, out.byteLength);
  };
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
