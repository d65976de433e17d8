// Compresses records to the bytes of an object, and back, as streams. gzip and Node's own zstd run in Node's thread
// pool; zstd in WebAssembly, which takes a tenth of gzip's time, runs on the calling thread (zstd.ts).
import zlib from 'node:zlib';
import { BackupError, messageOf } from '../errors.ts';
import { type BlockBody, ChunkList } from '../lib/chunk-list.ts';
import { compressFrame, decompressFrames, FRAME_INPUT_BYTES, hasNativeZstd } from '../lib/zstd.ts';
import type { Compression } from './object-key.ts';

/** Of 1 to 9. On records of 1 KiB 6 takes twice the time of 5 for one percent less, and 4 stores a tenth more. */
const GZIP_LEVEL = 5;
/** WebAssembly: its code and the used part of its memory; measured. */
const ZSTD_WASM_MB = 8;
/** The reserved size of its memory. */
const ZSTD_WASM_RESERVED_MB = 16;

/** A compressor: input and output are in order; `onOutput` receives views, so copy each at once. */
export interface Compressor {
  /**
   * Copies the bytes at once. Returns a promise if the compressor is full; it resolves when there is room for more.
   * @throws Error
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /** Resolves when all output has been handed over. */
  end(): Promise<void>;
  /** Drops what is inside. */
  destroy(): void;
}

const isInWasm = (compression: Compression) => compression === 'zstd' && !hasNativeZstd;

/** The memory that compression takes besides the buffers of the files. */
export const compressionMemoryMb = (compression: Compression): number =>
  isInWasm(compression) ? ZSTD_WASM_MB : 0;

/** The memory that compression reserves and V8 counts as in use, even if unused. */
export const compressionReservedMb = (compression: Compression): number =>
  isInWasm(compression) ? ZSTD_WASM_RESERVED_MB : 0;

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
  let draining: Promise<void> | undefined;
  /** A single byte waits for the next bytes, because each write is a call of the thread pool. */
  let before: Buffer = Buffer.alloc(0);
  return {
    write(bytes) {
      if (failure !== undefined) throw failure;
      const copy = Buffer.concat([before, bytes]);
      before = copy.length === 1 ? copy : Buffer.alloc(0);
      if (copy.length === 1 || stream.write(copy)) return undefined;
      draining ??= Promise.race([
        new Promise<void>((resolve) => stream.once('drain', resolve)),
        ended,
      ]).finally(() => {
        draining = undefined;
      });
      return draining;
    },
    async end() {
      stream.end(before);
      await ended;
    },
    destroy() {
      stream.destroy();
    },
  };
}

function createZstd(onOutput: (bytes: Uint8Array) => void): Compressor {
  const pending = new ChunkList();
  /** Each becomes a frame. */
  let full: BlockBody[] = [];
  let working: Promise<void> | undefined;
  let isDestroyed = false;
  const take = (body: BlockBody, frame: Uint8Array): void => {
    if (!isDestroyed) onOutput(frame);
    body.recycle();
  };
  const finish = async (body: BlockBody, frame: Promise<Uint8Array>): Promise<void> => {
    take(body, await frame);
    await work();
  };
  const work = (): Promise<void> | undefined => {
    for (let body = full.shift(); body !== undefined; body = full.shift()) {
      const frame = compressFrame(body.views(), body.sizeBytes);
      if (frame instanceof Promise) return finish(body, frame);
      take(body, frame);
    }
    return undefined;
  };
  return {
    write(bytes) {
      for (let at = 0; at < bytes.length && !isDestroyed; ) {
        const end = Math.min(bytes.length, at + FRAME_INPUT_BYTES - pending.sizeBytes);
        pending.append(bytes.subarray(at, end));
        at = end;
        if (pending.sizeBytes < FRAME_INPUT_BYTES) continue;
        full.push(pending.takeAll());
        working ??= work()?.finally(() => {
          working = undefined;
        });
      }
      return working;
    },
    async end() {
      await working;
      if (pending.sizeBytes > 0) full.push(pending.takeAll());
      await work();
      if (isDestroyed) throw new BackupError('store', 'compression was ended early');
    },
    destroy() {
      isDestroyed = true;
      full = [];
      pending.takeAll().recycle();
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
