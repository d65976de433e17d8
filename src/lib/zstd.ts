// Zstandard (RFC 8878) as independent frames of bounded size, so that a reader never holds more than one. Node's own
// where it has it (22.15), else WebAssembly. Refuses frames that are too large to be held.
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { readFrame, type ZstdFrame } from './zstd-frame.ts';
import { compressedRoomBytes, loadWasmZstd } from './zstd-wasm.ts';

/** Bytes of input that become one frame. */
export const FRAME_INPUT_BYTES = 262_144;

/**
 * Of 1 to 22. On records of 1 KiB, 2 takes 1.1 to 1.7 times the time of 1. That stores 9 % more of JSON that repeats
 * itself, and as much of text that hardly compresses. Levels below 1 store a fifth and a third more.
 */
const LEVEL = 1;
const MAX_FRAME_BYTES = 16 * 1_048_576;
const MAX_CONTENT_BYTES = 64 * 1_048_576;

/** `ZSTD_c_compressionLevel`. */
const COMPRESSION_LEVEL = 100;

/** `ZSTD_c_checksumFlag`: each frame ends with a checksum of its content, so that a reader sees damage as with gzip. */
const CHECKSUM_FLAG = 201;

interface CompressOptions {
  readonly chunkSize: number;
  readonly pledgedSrcSize: number;
  readonly params: Readonly<Record<number, number>>;
}

/** Newer than the types of the oldest Node that this runs on. */
const { zstdCompressSync, zstdDecompress } = zlib as unknown as {
  zstdCompressSync?: (bytes: Uint8Array, options: CompressOptions) => Uint8Array<ArrayBuffer>;
  zstdDecompress?: (
    bytes: Uint8Array,
    options: { maxOutputLength: number },
    done: (error: Error | null, result: Buffer) => void,
  ) => void;
};

const nativeDecompress = zstdDecompress && promisify(zstdDecompress);

/** Whether Node itself compresses zstd. */
export const hasNativeZstd = zstdCompressSync !== undefined;

/**
 * One frame of the pieces, together `sizeBytes` and at most `FRAME_INPUT_BYTES`; it reports the size of its content. Copy
 * it before the next call. @throws Error
 */
export type CompressFrame = (pieces: Iterable<Uint8Array>, sizeBytes: number) => Uint8Array;

/** Loads what `compressFrame` needs. */
export async function loadCompressFrame(): Promise<CompressFrame> {
  if (zstdCompressSync !== undefined) return nativeFrames(zstdCompressSync);
  const { compress } = await loadWasmZstd();
  return (pieces, sizeBytes) => compress(pieces, sizeBytes, LEVEL);
}

/**
 * On the thread that asks: in Node's thread pool, which each time takes memory from the system and gives it back, a frame
 * takes two to three times the CPU. With room for the whole of it, zstd makes it from the bytes as they are, in one call.
 */
function nativeFrames(compress: NonNullable<typeof zstdCompressSync>): CompressFrame {
  const input = Buffer.allocUnsafeSlow(FRAME_INPUT_BYTES);
  return (pieces, sizeBytes) => {
    let at = 0;
    for (const piece of pieces) {
      input.set(piece, at);
      at += piece.length;
    }
    return compress(input.subarray(0, sizeBytes), {
      chunkSize: compressedRoomBytes(FRAME_INPUT_BYTES),
      pledgedSrcSize: sizeBytes,
      params: { [CHECKSUM_FLAG]: 1, [COMPRESSION_LEVEL]: LEVEL },
    });
  };
}

/** The content of the frames, one by one. @throws Error where they are damaged, cut off, or too large */
export async function* decompressFrames(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (let frame = readFrame(rest); frame !== undefined; frame = readFrame(rest)) {
      const bytes = rest.subarray(0, frame.sizeBytes);
      rest = rest.subarray(frame.sizeBytes);
      if (!frame.isSkippable) yield await decompressFrame(bytes, frame);
    }
    if (rest.length > MAX_FRAME_BYTES) throw new Error(`a frame is larger than ${MAX_FRAME_BYTES} bytes`);
  }
  if (rest.length > 0) throw new Error('the last frame is cut off');
}

async function decompressFrame(
  bytes: Uint8Array,
  { contentBytes, contentAtMostBytes }: ZstdFrame,
): Promise<Uint8Array> {
  const roomBytes = contentBytes ?? Math.min(contentAtMostBytes, MAX_CONTENT_BYTES);
  if (roomBytes > MAX_CONTENT_BYTES) throw new Error(`a frame holds more than ${MAX_CONTENT_BYTES} bytes`);
  if (nativeDecompress) return await nativeDecompress(bytes, { maxOutputLength: MAX_CONTENT_BYTES });
  if (roomBytes === 0) return new Uint8Array(0);
  return Buffer.from((await loadWasmZstd()).decompress(bytes, roomBytes));
}
