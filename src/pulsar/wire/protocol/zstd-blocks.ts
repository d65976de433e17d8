// Payloads compressed with Zstandard: by Node itself where it can (22.15), else by WebAssembly. Neither reports all that is
// wrong, so the frames are found here: several are put together, skippable ones left out, and one that is cut off,
// or anything behind the last, is refused.
import * as zlib from 'node:zlib';
import { readFrame, type ZstdFrame } from '../../../lib/zstd-frame.ts';

type DecompressFrame = (bytes: Buffer, frame: ZstdFrame, mostBytes: number) => Buffer;

/** The types of the oldest Node that this runs on do not know it. */
const nodeZstd = (
  zlib as unknown as {
    zstdDecompressSync?: (block: Uint8Array, options: { maxOutputLength: number }) => Buffer;
  }
).zstdDecompressSync;

/** A frame that becomes larger than this is decompressed in pieces, where Node itself cannot do it. */
const STREAMED_BYTES = 1_048_576;
const PIECE_BYTES = 131_072;

let decompressFrame: DecompressFrame | undefined =
  nodeZstd === undefined
    ? undefined
    : (bytes, _, mostBytes) => nodeZstd(bytes, { maxOutputLength: Math.max(1, mostBytes) });
let loading: Promise<void> | undefined;

/** Whether zstd still has to be loaded before `decompressZstd`: then a promise of that, else `undefined`. */
export function loadZstd(): Promise<void> | undefined {
  if (decompressFrame !== undefined) return undefined;
  loading ??= loadWebAssembly();
  return loading;
}

/** Decompresses a block to at most `sizeBytes`. @throws Error where it is damaged, cut off, or larger */
export function decompressZstd(block: Buffer, sizeBytes: number): Buffer {
  if (decompressFrame === undefined) throw new Error('its ZSTD codec is not loaded');
  const parts: Buffer[] = [];
  let left = sizeBytes;
  for (let at = 0; at < block.length; ) {
    const rest = block.subarray(at);
    const frame = readFrame(rest);
    if (frame === undefined) throw new Error('its ZSTD frame is cut off');
    at += frame.sizeBytes;
    if (frame.isSkippable) continue;
    if ((frame.contentBytes ?? 0) > left) throw tooLarge(sizeBytes);
    const part = decompressFrame(rest.subarray(0, frame.sizeBytes), frame, left);
    if (part.length !== (frame.contentBytes ?? part.length)) throw new Error('its ZSTD frame is damaged');
    left -= part.length;
    parts.push(part);
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

const tooLarge = (sizeBytes: number) =>
  new Error(`it has more bytes decompressed than the ${sizeBytes} that its metadata says`);

async function loadWebAssembly(): Promise<void> {
  const { ZSTDDecoder } = await import('zstddec/stream');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  decompressFrame = (bytes, { contentBytes }, mostBytes) => {
    const room = contentBytes ?? mostBytes;
    // At once it gives nothing where it fails, which is no answer for a frame that may be empty.
    if (room === 0 || room > STREAMED_BYTES) return inPieces(decoder, bytes, room);
    const out = decoder.decode(bytes, room);
    return Buffer.from(out.buffer, out.byteOffset, out.byteLength);
  };
}

/** WebAssembly never gives memory back: a large frame passes through it in pieces. */
function inPieces(
  decoder: { decodeStreaming(pieces: Iterable<Uint8Array>): Iterable<Uint8Array> },
  frame: Uint8Array,
  mostBytes: number,
): Buffer {
  let given = 0;
  function* pieces() {
    for (; given < frame.length; given += PIECE_BYTES) yield frame.subarray(given, given + PIECE_BYTES);
  }
  const out = Buffer.allocUnsafeSlow(mostBytes);
  let used = 0;
  let stuckAt = -1;
  for (const piece of decoder.decodeStreaming(pieces())) {
    // The decoder ignores errors: it goes on without end and without output, at the same piece.
    if (piece.length === 0 && stuckAt === given) throw new Error('its ZSTD frame is damaged');
    stuckAt = piece.length === 0 ? given : -1;
    if (used + piece.length > mostBytes) throw tooLarge(mostBytes);
    out.set(piece, used);
    used += piece.length;
  }
  return out.subarray(0, used);
}
