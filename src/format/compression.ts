// The bytes of records to the bytes of an object, and back, as streams. Compression runs in Node's thread pool, or for
// zstd on a Node that has none on a thread of its own (zstd.ts).
import zlib from 'node:zlib';
import { BackupError, messageOf } from '../errors.ts';
import {
  compressFrame,
  createFrameMemory,
  decompressFrames,
  endZstd,
  FRAME_INPUT_BYTES,
  hasNativeZstd,
} from '../lib/zstd.ts';
import type { Compression } from './object-key.ts';

/** Of 1 to 9. On records of 1 KiB 6 takes twice the time of 5 for one percent less, and 4 stores a tenth more. */
const GZIP_LEVEL = 5;
/** V8 again, WebAssembly and its memory; measured. */
const ZSTD_THREAD_MB = 24;

/** A compressor that is fed in order and hands its output to `onOutput` in order. */
export interface Compressor {
  /** Resolves when the compressor can take more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when all output has been handed over. */
  end(): Promise<void>;
  /** Drops what is inside. */
  destroy(): void;
}

/** What compression takes of the process's memory besides the buffers of the files. */
export const compressionMemoryMb = (compression: Compression): number =>
  compression === 'zstd' && !hasNativeZstd ? ZSTD_THREAD_MB : 0;

/** Ends threads that compression has started, awaited where nothing is under way. They start again when needed. */
export const endCompression = endZstd;

/** A compressor for a file; `undefined` for `none`. */
export function createCompressor(
  compression: Compression,
  onOutput: (bytes: Uint8Array) => void,
): Compressor | undefined {
  if (compression === 'none') return undefined;
  return compression === 'gzip' ? createGzip(onOutput) : createZstd(onOutput);
}

function createGzip(onOutput: (bytes: Uint8Array) => void): Compressor {
  const stream = zlib.createGzip({ level: GZIP_LEVEL, chunkSize: 65_536 });
  let failure: Error | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    stream.on('data', onOutput);
    stream.once('end', resolve);
    stream.once('error', (error) => {
      failure = error;
      reject(error);
    });
    stream.once('close', () => reject(failure ?? new BackupError('store', 'compression was ended early')));
  });
  ended.catch(() => undefined);
  return {
    async write(bytes) {
      if (failure !== undefined) throw failure;
      if (!stream.write(bytes))
        await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), ended]);
    },
    async end() {
      stream.end();
      await ended;
    },
    destroy() {
      stream.destroy();
    },
  };
}

function createZstd(onOutput: (bytes: Uint8Array) => void): Compressor {
  /** Filled from its start; a frame is made of it when it is full, and nothing else happens until then. */
  let memory: ArrayBuffer | undefined;
  let usedBytes = 0;
  let isDestroyed = false;
  const flush = async (full: ArrayBuffer) => {
    memory = undefined;
    const done = await compressFrame({ memory: full, sizeBytes: usedBytes });
    usedBytes = 0;
    if (isDestroyed) return;
    memory = done.memory;
    onOutput(done.frame);
  };
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length && !isDestroyed; ) {
        memory ??= createFrameMemory();
        const copied = Math.min(bytes.length - at, FRAME_INPUT_BYTES - usedBytes);
        new Uint8Array(memory).set(bytes.subarray(at, at + copied), usedBytes);
        usedBytes += copied;
        at += copied;
        if (usedBytes === FRAME_INPUT_BYTES) await flush(memory);
      }
    },
    async end() {
      if (memory !== undefined && usedBytes > 0) await flush(memory);
      if (isDestroyed) throw new BackupError('store', 'compression was ended early');
    },
    destroy() {
      isDestroyed = true;
      memory = undefined;
    },
  };
}

/** The records of an object's bytes. @throws BackupError `corrupt` where they cannot be decompressed. */
export async function* decompress(
  compression: Compression,
  source: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') {
    yield* source;
    return;
  }
  if (compression === 'zstd') {
    yield* decompressZstd(source);
    return;
  }
  const stream = zlib.createGunzip({ chunkSize: 65_536 });
  const closed = new Promise((resolve) => stream.once('close', resolve));
  let sourceFailure: unknown;
  const feeding = (async () => {
    try {
      for await (const chunk of source) {
        if (stream.destroyed) return;
        if (!stream.write(chunk))
          await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), closed]);
      }
      stream.end();
    } catch (error) {
      sourceFailure = error;
      stream.destroy(error as Error);
    }
  })();
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (cause) {
    if (sourceFailure !== undefined) throw sourceFailure;
    throw new BackupError('corrupt', `the object is not valid ${compression}`, { cause });
  } finally {
    stream.destroy();
    await feeding;
  }
}

async function* decompressZstd(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let sourceFailure: unknown;
  const watched = (async function* () {
    try {
      yield* source;
    } catch (error) {
      sourceFailure = error;
      throw error;
    }
  })();
  try {
    yield* decompressFrames(watched);
  } catch (cause) {
    if (sourceFailure !== undefined) throw sourceFailure;
    if (cause instanceof BackupError) throw cause;
    throw new BackupError('corrupt', `the object is not valid zstd: ${messageOf(cause)}`, { cause });
  }
}
