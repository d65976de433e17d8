// CRC-64/XZ (ECMA-182, reflected), as COS returns it in x-cos-hash-crc64ecma. The loop is WebAssembly, sixteen bytes
// per step: JavaScript has no fast 64-bit integers, and every stored byte is checked.
import { instantiate, once, type WithMemory } from './wasm.ts';

/** crc64.wat, assembled. A test assembles it again and compares. */
export const CRC64_WASM =
  'AGFzbQEAAAABDQJgAX8Be2ADfn9/AX4DAwIAAQUDAQADBxMCBm1lbW9yeQIABnVwZGF0ZQABCqIJAlQAIABBmgNr/QAEACAAQYAEa/0ABAD9USAAQdMHa/0ABAAgAEHtCGv9AAQA/VH9USAAQZoKa/0ABAAgAEHJEGv9AAQA/VEgAEGtE2v9AAQA/VH9UQvKCAMCfwN+A38gASACaiEDIAJBgMAATwRAIAEgACABKQMAhTcDAEIAIQAgASACQa0Ta0FgcWohCCABQa0TayEJA0AgCSAJ/QAEkxAgCf0ABK0P/VEgCf0ABNoLIAn9AATACv1R/VEgCf0ABJMJIAn9AATkAv1RIAn9AAQAIAn9AAStE/1R/VH9Uf0LBK0TIAkgCf0ABKMQIAn9AAS9D/1RIAn9AATqCyAJ/QAE0Ar9Uf1RIAn9AASjCSAJ/QAE9AL9USAJ/QAEECAJ/QAEvRP9Uf1R/VH9CwS9EyAJQSBqIQkgCSAIQa0Ta0kNAAsgCCEBQdCTCiEKA0AgCiAB/QAEAP0LBAAgAf0MAAAAAAAAAAAAAAAAAAAAAP0LBAAgCkEQaiEKIAFBEGohASABIANJDQALIAghAUHQkwohCgNAIAogCv0ABAAgARAA/VH9CwQAIApBEGohCiABQRBqIQEgASADSQ0AC0HQkwohASABIAMgCGtqIQMLAkADQCABQYAEaiADSw0BQgAhBSABQYACaiEEA0AgACABKQMAhSEGIAUgASkDgAKFIQcgBqdB/wFxQQN0KQOAcCAGQgiIp0H/AXFBA3QpA4BghSAGQhCIp0H/AXFBA3QpA4BQIAZCGIinQf8BcUEDdCkDgECFhSAGQiCIp0H/AXFBA3QpA4AwIAZCKIinQf8BcUEDdCkDgCCFIAZCMIinQf8BcUEDdCkDgBAgBkI4iKdBA3QpAwCFhYUhACAHp0H/AXFBA3QpA4BwIAdCCIinQf8BcUEDdCkDgGCFIAdCEIinQf8BcUEDdCkDgFAgB0IYiKdB/wFxQQN0KQOAQIWFIAdCIIinQf8BcUEDdCkDgDAgB0IoiKdB/wFxQQN0KQOAIIUgB0IwiKdB/wFxQQN0KQOAECAHQjiIp0EDdCkDAIWFhSEFIAFBCGohASABIARJDQALIAUgAKdB/wFxQQN0KQOAgAEgAEIIiKdB/wFxQQN0KQOAkAGFIABCEIinQf8BcUEDdCkDgKABIABCGIinQf8BcUEDdCkDgLABhYUgAEIgiKdB/wFxQQN0KQOAwAEgAEIoiKdB/wFxQQN0KQOA0AGFIABCMIinQf8BcUEDdCkDgOABIABCOIinQQN0KQOA8AGFhYWFIQAgAUGAAmohAQwACwsCQANAIAFBCGogA0sNASAAIAEpAwCFIQYgBqdB/wFxQQN0KQOAcCAGQgiIp0H/AXFBA3QpA4BghSAGQhCIp0H/AXFBA3QpA4BQIAZCGIinQf8BcUEDdCkDgECFhSAGQiCIp0H/AXFBA3QpA4AwIAZCKIinQf8BcUEDdCkDgCCFIAZCMIinQf8BcUEDdCkDgBAgBkI4iKdBA3QpAwCFhYUhACABQQhqIQEMAAsLAkADQCABIANPDQEgAEIIiCAApyABLQAAc0H/AXFBA3QpAwCFIQAgAUEBaiEBDAALCyAACw==';

const POLYNOMIAL = 0xc96c5795d7870f42n;
/** How many bytes of the second half follow the first, see crc64.wat. */
const HALF_BYTES = 256;
const TABLES_BYTES = 16 * 256 * 8;
/** Zeros before the bytes, which crc64.wat reads. */
const ZEROS_BYTES = 2_496;
const INPUT_AT = TABLES_BYTES + ZEROS_BYTES;
const BUFFER_BYTES = 131_072;

interface Exports extends WithMemory {
  update(crc: bigint, at: number, length: number): bigint;
}

/** Created at the first checksum: an empty run needs none. */
const loaded = once(() => {
  const { memory, update } = instantiate<Exports>(CRC64_WASM);
  fillTables(new BigUint64Array(memory.buffer, 0, 16 * 256), update);
  return { update, buffer: new Uint8Array(memory.buffer, INPUT_AT, BUFFER_BYTES) };
});

/**
 * Table 0 is the checksum of one byte; each up to 7 is that of the byte with one more zero byte behind it. The tables
 * from 8 on are for the bytes of a checksum, with a half of zeros behind it.
 */
function fillTables(tables: BigUint64Array, update: Exports['update']): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
    tables[byte] = crc;
  }
  for (let at = 256; at < 8 * 256; at++) {
    const before = tables[at - 256] as bigint;
    tables[at] = (before >> 8n) ^ (tables[Number(before & 0xffn)] as bigint);
  }
  for (let at = 8 * 256; at < tables.length; at++) {
    tables[at] = update(BigInt(at & 0xff) << BigInt(((at >> 8) - 8) * 8), INPUT_AT, HALF_BYTES);
  }
}

/** A running checksum. Feed it chunks in order; `digest` may be called at any time. */
export class Crc64 {
  #crc = -1n;

  update(bytes: Uint8Array): this {
    const { update, buffer } = loaded();
    for (let start = 0; start < bytes.length; start += BUFFER_BYTES) {
      const piece = bytes.subarray(start, start + BUFFER_BYTES);
      buffer.set(piece);
      this.#crc = update(this.#crc, INPUT_AT, piece.length);
    }
    return this;
  }

  /** The checksum of everything so far, decimal, as COS writes it. */
  digest(): string {
    return BigInt.asUintN(64, ~this.#crc).toString();
  }
}

/**
 * The checksum of bytes, decimal, from those of their two halves: the second half is `secondBytes` long. The method is
 * that of zlib's crc32_combine: a checksum behind which n zero bytes follow is multiplied by x^8n.
 */
export function combineCrc64(first: string, second: string, secondBytes: number): string {
  let factor = ONE;
  for (let bits = BigInt(secondBytes) * 8n, power = ONE >> 1n; bits > 0n; bits >>= 1n) {
    if (bits & 1n) factor = multiply(power, factor);
    power = multiply(power, power);
  }
  return (multiply(factor, BigInt(first)) ^ BigInt(second)).toString();
}

/** The polynomial 1; its bits are reversed, the highest power last. */
const ONE = 1n << 63n;

/** The product of two polynomials, modulo the checksum's own. */
function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = ONE; bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ POLYNOMIAL : shifted >> 1n;
  }
  return product;
}

/** The checksum of chunks in order, decimal. */
export function crc64(chunks: Iterable<Uint8Array>): string {
  const crc = new Crc64();
  for (const chunk of chunks) crc.update(chunk);
  return crc.digest();
}
