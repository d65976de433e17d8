// Zstandard (RFC 8878) as independent frames of bounded size, so that a reader never holds more than one. Node's own
// where it has it (22.15), in its thread pool; else WebAssembly, on a thread of its own. Refuses frames that are too
// large to be held.
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { readFrame, type ZstdFrame } from './zstd-frame.ts';
import { compressedRoomBytes, type InMemory, ZstdThread } from './zstd-thread.ts';

/** Bytes of input that become one frame. */
export const FRAME_INPUT_BYTES = 262_144;

/**
 * Of 1 to 22. On records of 1 KiB, 2 takes 1.1 to 1.7 times the time of 1. That stores 9 % more of JSON that repeats
 * itself, and as much of text that hardly compresses.
 */
const LEVEL = 1;
const MAX_FRAME_BYTES = 16 * 1_048_576;
const MAX_CONTENT_BYTES = 64 * 1_048_576;

/** `ZSTD_c_compressionLevel`. */
const COMPRESSION_LEVEL = 100;

/** `ZSTD_c_checksumFlag`: each frame ends with a checksum of its content, so that a reader sees damage as with gzip. */
const CHECKSUM_FLAG = 201;

type Native<O> = (bytes: Uint8Array, options: O, done: (error: Error | null, result: Buffer) => void) => void;

/** Newer than the types of the oldest Node that this runs on. */
const { zstdCompress, zstdDecompress } = zlib as unknown as {
  zstdCompress?: Native<{ pledgedSrcSize: number; params: Record<number, number> }>;
  zstdDecompress?: Native<{ maxOutputLength: number }>;
};

const nativeCompress = zstdCompress && promisify(zstdCompress);
const nativeDecompress = zstdDecompress && promisify(zstdDecompress);

/** Whether Node itself compresses zstd. */
export const hasNativeZstd = nativeCompress !== undefined;

/** Lies beside this module, also where both are bundled. */
const thread = new ZstdThread(new URL('./zstd-worker.mjs', import.meta.url));

/** Memory for the bytes of a frame, before compression and after. */
export const createFrameMemory = (): ArrayBuffer => new ArrayBuffer(compressedRoomBytes(FRAME_INPUT_BYTES));

/**
 * One frame, which reports the size of its content. Takes the memory of the bytes over and gives it back.
 * @throws BackupError `store`
 */
export async function compressFrame(bytes: InMemory): Promise<{ frame: Uint8Array; memory: ArrayBuffer }> {
  if (nativeCompress !== undefined) {
    const { memory, sizeBytes } = bytes;
    const frame = await nativeCompress(new Uint8Array(memory, 0, sizeBytes), {
      pledgedSrcSize: sizeBytes,
      params: { [CHECKSUM_FLAG]: 1, [COMPRESSION_LEVEL]: LEVEL },
    });
    return { frame, memory };
  }
  const { memory, sizeBytes } = await thread.compress(bytes, LEVEL);
  return { frame: new Uint8Array(memory.slice(0, sizeBytes)), memory };
}

/** Ends what compression has started, as soon as nothing is under way; more compression starts it again. */
export const endZstd = (): Promise<void> => thread.end();

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
  return roomBytes === 0 ? new Uint8Array(0) : thread.decompress(bytes, roomBytes);
}
