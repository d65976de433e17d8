// The bytes of records to the bytes of an object, and back, as streams. Compression runs in Node's thread pool.
import zlib from 'node:zlib';
import type { Compression } from './config.ts';
import { BackupError } from './errors.ts';

/** A compressor that is fed in order and hands its output to `onOutput` in order. */
export interface Compressor {
  /** Resolves when the compressor can take more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when all output has been handed over. */
  end(): Promise<void>;
  /** Drops what is inside. */
  destroy(): void;
}

/** Newer than the types of the oldest Node that this runs on. */
interface ZstdZlib {
  createZstdCompress?: (options?: object) => zlib.Gzip;
  createZstdDecompress?: (options?: object) => zlib.Gunzip;
}

/** A compressor for a file; `undefined` for `none`. */
export function createCompressor(
  compression: Compression,
  onOutput: (bytes: Uint8Array) => void,
): Compressor | undefined {
  if (compression === 'none') return undefined;
  const stream = compression === 'gzip' ? zlib.createGzip({ level: 6, chunkSize: 65_536 }) : createZstd();
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

function createZstd(): zlib.Gzip {
  const create = (zlib as ZstdZlib).createZstdCompress;
  if (create === undefined) {
    throw new BackupError('config', 'FILE_COMPRESSION=zstd needs a Node version with zstd (22.15 or later)', {
      hint: 'Choose FILE_COMPRESSION=gzip, or a newer runtime.',
    });
  }
  return create({ chunkSize: 65_536 });
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
  const create = compression === 'gzip' ? zlib.createGunzip : (zlib as ZstdZlib).createZstdDecompress;
  if (create === undefined) {
    throw new BackupError('config', 'reading .zst objects needs a Node version with zstd (22.15 or later)');
  }
  const stream = create({ chunkSize: 65_536 });
  let sourceFailure: unknown;
  const feeding = (async () => {
    try {
      for await (const chunk of source) {
        if (stream.destroyed) return;
        if (!stream.write(chunk))
          await new Promise((resolve) => stream.once('drain', resolve).once('close', resolve));
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
