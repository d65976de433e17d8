// LZ4 block decoder (LZ4 Block Format Description), as Pulsar compresses payloads: no frame, the size known before.
// It refuses input that ends early, reaches back before its beginning, or does not fill the size exactly.
import { copyWithin } from './copy-within.ts';

/** Decompresses one block of `sizeBytes`. @throws Error where the block is not valid */
export function decompressLz4(block: Uint8Array, sizeBytes: number): Buffer {
  const out = Buffer.allocUnsafe(sizeBytes);
  const end = block.length;
  let at = 0;
  let outAt = 0;
  while (at < end) {
    const token = block[at++] as number;
    let literals = token >>> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (at >= end) throw new Error('the LZ4 block is cut off');
        more = block[at++] as number;
        literals += more;
      } while (more === 255);
    }
    if (at + literals > end || outAt + literals > sizeBytes) {
      throw new Error('an LZ4 literal is longer than its block');
    }
    if (literals > 24) out.set(block.subarray(at, at + literals), outAt);
    else for (let i = 0; i < literals; i++) out[outAt + i] = block[at + i] as number;
    at += literals;
    outAt += literals;
    if (at === end) break;
    if (at + 2 > end) throw new Error('the LZ4 block is cut off');
    const offset = (block[at] as number) | ((block[at + 1] as number) << 8);
    at += 2;
    let length = token & 15;
    if (length === 15) {
      let more: number;
      do {
        if (at >= end) throw new Error('the LZ4 block is cut off');
        more = block[at++] as number;
        length += more;
      } while (more === 255);
    }
    length += 4;
    if (offset === 0 || offset > outAt || outAt + length > sizeBytes) {
      throw new Error('an LZ4 match leaves its block');
    }
    copyWithin(out, outAt, offset, length);
    outAt += length;
  }
  if (outAt !== sizeBytes) throw new Error(`the LZ4 block holds ${outAt} bytes, not ${sizeBytes}`);
  return out;
}
