// Reads files, most of which are small: it reads a small file synchronously, for a thirtieth of a stream's CPU. On a
// slow disk, and after the first piece of a large file, it uses a stream.
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createBreather } from '../../lib/breather.ts';
import type { CallOptions } from '../../ports.ts';
import { fileError, isBrokenLink } from './folder-listing.ts';

const PIECE_BYTES = 262_144;
/** A small file that takes so long waits for a disk. */
const SLOW_MS = 5;
/** So many files are read by streams before one is read at once again. */
const SLOW_FILES = 100;

type ReadOptions = CallOptions & { readonly start?: number; readonly end?: number };

/** A function that reads a file, or a part of it as ObjectStore.read has it. @throws BackupError `store`, from the iterator */
export function createFileReader(): (path: string, options?: ReadOptions) => AsyncIterable<Uint8Array> {
  const breathe = createBreather();
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let slowFiles = 0;

  /** The first bytes of a file, from `start` on. */
  function readPiece(path: string, start: number, length: number): Buffer {
    const startedMs = performance.now();
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.from(piece.subarray(0, readSync(file, piece, 0, length, start)));
      if (performance.now() - startedMs > SLOW_MS) slowFiles = SLOW_FILES;
      return bytes;
    } finally {
      closeSync(file);
    }
  }

  return async function* (path, { signal, start = 0, end = Number.POSITIVE_INFINITY } = {}) {
    await breathe();
    signal?.throwIfAborted();
    let from = start;
    let to = end;
    try {
      if (from < 0) {
        from = Math.max(0, (await stat(path)).size + from);
        to = Number.POSITIVE_INFINITY;
      }
      if (slowFiles > 0) slowFiles--;
      else {
        const length = Math.min(PIECE_BYTES, to - from + 1);
        const bytes = readPiece(path, from, length);
        if (bytes.length > 0) yield bytes;
        from += bytes.length;
        // A file is at its end where a read gives less than was asked for.
        if (bytes.length < length || from > to) return;
      }
      const range = { start: from, ...(Number.isFinite(to) ? { end: to } : {}) };
      const stream = createReadStream(path, {
        ...range,
        highWaterMark: PIECE_BYTES,
        ...(signal && { signal }),
      });
      for await (const chunk of stream) yield chunk as Buffer;
    } catch (cause) {
      if (isBrokenLink(path, cause)) return;
      throw fileError('read', path, cause);
    }
  };
}
