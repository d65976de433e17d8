// Reads an object in pieces, each by a request that completes before its bytes are used: so that many objects can be
// read in parallel and slowly without an idle connection each. The next piece is fetched meanwhile.
import { BackupError } from '../../errors.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';

const BUDGET_BYTES = 32 * 1_048_576;
const MIN_BYTES = 65_536;
const MAX_BYTES = 1_048_576;

/** How large the pieces are where so many objects are read at a time: two of each are held. */
export const rangeBytesFor = (objects: number): number =>
  Math.max(MIN_BYTES, Math.min(MAX_BYTES, Math.floor(BUDGET_BYTES / (2 * Math.max(1, objects)))));

/** A store's `read` for one object of `sizeBytes`, in pieces of `rangeBytes`. */
export function rangedRead(store: ObjectStore, sizeBytes: number, rangeBytes: number): ObjectStore['read'] {
  return async function* (key, options: CallOptions = {}) {
    const fetch = async (start: number): Promise<Uint8Array[]> => {
      const chunks: Uint8Array[] = [];
      const end = Math.min(sizeBytes, start + rangeBytes) - 1;
      let bytes = 0;
      for await (const chunk of store.read(key, { ...options, start, end })) {
        chunks.push(chunk);
        bytes += chunk.byteLength;
      }
      // Where a piece is cut, or is the whole, all behind it would be out of place.
      if (bytes === end - start + 1) return chunks;
      throw new BackupError('corrupt', `${key}: ${bytes} bytes came for bytes ${start} to ${end}`, {
        details: { key },
      });
    };
    let piece = sizeBytes > 0 ? fetch(0) : undefined;
    for (let next = rangeBytes; piece !== undefined; next += rangeBytes) {
      const chunks: Uint8Array[] = await piece;
      piece = next < sizeBytes ? fetch(next) : undefined;
      // Whoever stops reading does not wait for it.
      piece?.catch(() => undefined);
      yield* chunks;
    }
  };
}
