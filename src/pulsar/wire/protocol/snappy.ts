// Snappy block decoder (Snappy's format description), as Pulsar compresses payloads: raw blocks, no framing. It
// refuses input that ends early, reaches back before its beginning, or does not fill the size exactly.
import { copyWithin } from './copy-within.ts';

/** Decompresses one block of `sizeBytes`. @throws Error where the block is not valid or of another size */
export function decompressSnappy(block: Uint8Array, sizeBytes: number): Buffer {
  const end = block.length;
  let at = 0;
  let announced = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= end || shift > 28) throw new Error('the Snappy block has no length');
    const byte = block[at++] as number;
    announced += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (announced !== sizeBytes) throw new Error(`the Snappy block holds ${announced} bytes, not ${sizeBytes}`);
  const out = Buffer.allocUnsafe(sizeBytes);
  let outAt = 0;
  while (at < end) {
    const tag = block[at++] as number;
    const kind = tag & 3;
    if (kind === 0) {
      let length = tag >>> 2;
      if (length >= 60) {
        const lengthBytes = length - 59;
        if (at + lengthBytes > end) throw new Error('the Snappy block is cut off');
        length = 0;
        for (let i = 0; i < lengthBytes; i++) length += (block[at + i] as number) * 2 ** (8 * i);
        at += lengthBytes;
      }
      length += 1;
      if (at + length > end || outAt + length > sizeBytes) {
        throw new Error('a Snappy literal is longer than its block');
      }
      if (length > 24) out.set(block.subarray(at, at + length), outAt);
      else for (let i = 0; i < length; i++) out[outAt + i] = block[at + i] as number;
      at += length;
      outAt += length;
      continue;
    }
    const offsetBytes = kind === 3 ? 4 : kind;
    if (at + offsetBytes > end) throw new Error('the Snappy block is cut off');
    let length = (tag >>> 2) + 1;
    let offset = 0;
    for (let i = 0; i < offsetBytes; i++) offset += (block[at + i] as number) * 2 ** (8 * i);
    if (kind === 1) {
      length = ((tag >>> 2) & 7) + 4;
      offset += (tag >>> 5) << 8;
    }
    at += offsetBytes;
    if (offset === 0 || offset > outAt || outAt + length > sizeBytes) {
      throw new Error('a Snappy copy leaves its block');
    }
    copyWithin(out, outAt, offset, length);
    outAt += length;
  }
  if (outAt !== sizeBytes) throw new Error(`the Snappy block holds ${outAt} bytes, not ${sizeBytes}`);
  return out;
}
