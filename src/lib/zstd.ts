// Zstandard (RFC 8878) as independent frames of limited size, so that a reader never holds more than one. Uses Node's
// own zstd if available (22.15), else WebAssembly. Refuses frames that are too large for memory.
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { readFrame, type ZstdFrame } from './zstd-frame.ts';
import { compressedRoomBytes, loadWasmZstd, type WasmZstd } from './zstd-wasm.ts';

/** Bytes of input that become one frame. */
export const FRAME_INPUT_BYTES = 262_144;

/**
 * Of 1 to 22. On records of 1 KiB, 2 takes 1.2 to 1.5 times the CPU of 1, and stores as much, 9 % less at the best. What
 * levels below 1 store besides, a quarter to a third, costs forty times what their CPU saves (docs/benchmarks.md).
 */
const LEVEL = 1;
const MAX_FRAME_BYTES = 16 * 1_048_576;
const MAX_CONTENT_BYTES = 64 * 1_048_576;

/** `ZSTD_c_compressionLevel`. */
const COMPRESSION_LEVEL = 100;

/** `ZSTD_c_checksumFlag`: each frame ends with a checksum of its content, so that a reader sees damage as with gzip. */
const CHECKSUM_FLAG = 201;

/** `ZSTD_e_end`: ends the frame. */
const END = 2;

interface CompressOptions {
  readonly flush: number;
  readonly chunkSize: number;
  readonly readableHighWaterMark: number;
  readonly params: Readonly<Record<number, number>>;
}

/** Newer than the types of the oldest Node that this runs on. */
const { createZstdCompress, zstdDecompress } = zlib as unknown as {
  createZstdCompress?: (options: CompressOptions) => Transform;
  zstdDecompress?: (
    bytes: Uint8Array,
    options: { maxOutputLength: number },
    done: (error: Error | null, result: Buffer) => void,
  ) => void;
};

const nativeDecompress = zstdDecompress && promisify(zstdDecompress);

/** Whether Node itself compresses zstd. */
export const hasNativeZstd = createZstdCompress !== undefined;

let native: ((pieces: Iterable<Uint8Array>, sizeBytes: number) => Promise<Uint8Array>) | undefined;
let wasm: WasmZstd | undefined;

/**
 * One frame of the pieces, together `sizeBytes` and at most `FRAME_INPUT_BYTES`; it reports the size of its content. Copy
 * it before the next call, and keep the pieces as they are until it is there. @throws Error
 */
export function compressFrame(
  pieces: Iterable<Uint8Array>,
  sizeBytes: number,
): Uint8Array | Promise<Uint8Array> {
  if (createZstdCompress !== undefined) {
    native ??= nativeFrames(createZstdCompress);
    return native(pieces, sizeBytes);
  }
  return wasm === undefined ? loadAndCompress(pieces, sizeBytes) : wasm.compress(pieces, sizeBytes, LEVEL);
}

async function loadAndCompress(pieces: Iterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  wasm = await loadWasmZstd();
  // Others that waited too may compress before this result is read.
  return Buffer.from(wasm.compress(pieces, sizeBytes, LEVEL));
}

/**
 * One frame after the other, by one stream, on a thread of Node's pool. Node's one-shot functions create a context
 * for each call and free it only at the next garbage collection: a function of 128 MB used 141 MB.
 */
function nativeFrames(create: NonNullable<typeof createZstdCompress>): NonNullable<typeof native> {
  const input = Buffer.allocUnsafeSlow(FRAME_INPUT_BYTES);
  const roomBytes = compressedRoomBytes(FRAME_INPUT_BYTES);
  const stream = create({
    flush: END,
    chunkSize: roomBytes,
    // A frame is decompressed when it is complete.
    readableHighWaterMark: 2 * roomBytes,
    params: { [CHECKSUM_FLAG]: 1, [COMPRESSION_LEVEL]: LEVEL },
  });
  stream.once('error', () => {
    native = undefined;
  });
  const compress = (pieces: Iterable<Uint8Array>, sizeBytes: number) =>
    new Promise<Uint8Array>((resolve, reject) => {
      let at = 0;
      for (const piece of pieces) {
        input.set(piece, at);
        at += piece.length;
      }
      stream.write(input.subarray(0, sizeBytes), (error) =>
        error ? reject(error) : resolve(stream.read() as Buffer),
      );
    });
  let last: Promise<unknown> = Promise.resolve();
  return (pieces, sizeBytes) => {
    const frame = last.then(() => compress(pieces, sizeBytes));
    last = frame.catch(() => undefined);
    return frame;
  };
}

/** The content of the frames, one by one. @throws Error if they are damaged, incomplete, or too large */
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
