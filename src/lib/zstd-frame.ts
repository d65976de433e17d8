// Finds the end of the Zstandard frame (RFC 8878) at the beginning of some bytes. Decompresses nothing.

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a5;
const RLE_BLOCK = 1;
const COMPRESSED_BLOCK = 2;
const MAX_BLOCK_BYTES = 131_072;
const RESERVED_BLOCK = 3;

/** The end of a frame, and the sizes in its header. */
export interface ZstdFrame {
  readonly sizeBytes: number;
  readonly isSkippable: boolean;
  /** `undefined` if the frame does not report it, as with streaming encoders. */
  readonly contentBytes: number | undefined;
  /** The most that its blocks can contain, whatever it reports. */
  readonly contentAtMostBytes: number;
}

/** The frame at the beginning of the bytes; `undefined` if it is incomplete. @throws Error if there is none */
export function readFrame(bytes: Buffer): ZstdFrame | undefined {
  if (bytes.length < 8) return undefined;
  const magic = bytes.readUInt32LE(0);
  if (magic >>> 4 === SKIPPABLE_MAGIC) {
    const sizeBytes = 8 + bytes.readUInt32LE(4);
    return sizeBytes > bytes.length
      ? undefined
      : { sizeBytes, isSkippable: true, contentBytes: undefined, contentAtMostBytes: 0 };
  }
  if (magic !== MAGIC) throw new Error('what follows is no frame');
  const descriptor = bytes[4] as number;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const sizeAt = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  const sizeFieldBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  let at = sizeAt + sizeFieldBytes;
  let contentAtMostBytes = 0;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.length) return undefined;
    const block = bytes.readUIntLE(at, 3);
    const type = (block >> 1) & 3;
    if (type === RESERVED_BLOCK) throw new Error('a block is of no known type');
    isLast = (block & 1) === 1;
    at += 3 + (type === RLE_BLOCK ? 1 : block >> 3);
    contentAtMostBytes += type === COMPRESSED_BLOCK ? MAX_BLOCK_BYTES : block >> 3;
  }
  if ((descriptor & 4) !== 0) at += 4;
  if (at > bytes.length) return undefined;
  const contentBytes = contentSize(bytes, sizeAt, sizeFieldBytes);
  return { sizeBytes: at, isSkippable: false, contentBytes, contentAtMostBytes };
}

function contentSize(bytes: Buffer, at: number, fieldBytes: number): number | undefined {
  switch (fieldBytes) {
    case 0:
      return undefined;
    case 2:
      return bytes.readUInt16LE(at) + 256;
    case 8:
      return Number(bytes.readBigUInt64LE(at));
    default:
      return bytes.readUIntLE(at, fieldBytes);
  }
}
