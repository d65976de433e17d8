// CRC-64/XZ (ECMA-182, reflected), as COS answers it in x-cos-hash-crc64ecma. The loop is WebAssembly, sixteen bytes a
// step: JavaScript has no fast 64-bit integers, and every stored byte passes here.
import { instantiate, type WithMemory } from './wasm.ts';

/** crc64.wat, assembled. A test assembles it again and compares. */
export const CRC64_WASM =
  'AGFzbQEAAAABCAFgA35/fwF+AwIBAAUDAQADBxMCBm1lbW9yeQIABnVwZGF0ZQAACpEDAY4DAgF/An4gASACQXBxaiEDAkADQCABIANPDQEgACABKQMAhSEEIAEpAwghBSAEp0H/AXFBA3QpA4DwASAEQgiIp0H/AXFBA3QpA4DgAYUgBEIQiKdB/wFxQQN0KQOA0AGFIARCGIinQf8BcUEDdCkDgMABhSAEQiCIp0H/AXFBA3QpA4CwAYUgBEIoiKdB/wFxQQN0KQOAoAGFIARCMIinQf8BcUEDdCkDgJABhSAEQjiIp0EDdCkDgIABhSAFp0H/AXFBA3QpA4BwhSAFQgiIp0H/AXFBA3QpA4BghSAFQhCIp0H/AXFBA3QpA4BQhSAFQhiIp0H/AXFBA3QpA4BAhSAFQiCIp0H/AXFBA3QpA4AwhSAFQiiIp0H/AXFBA3QpA4AghSAFQjCIp0H/AXFBA3QpA4AQhSAFQjiIp0EDdCkDAIUhACABQRBqIQEMAAsLIAMgAkEPcWohAwJAA0AgASADTw0BIABCCIggAKcgAS0AAHNB/wFxQQN0KQMAhSEAIAFBAWohAQwACwsgAAs=';

const POLYNOMIAL = 0xc96c5795d7870f42n;
const TABLES_BYTES = 16 * 256 * 8;
const BUFFER_BYTES = 131_072;

interface Exports extends WithMemory {
  update(crc: bigint, at: number, length: number): bigint;
}

const { memory, update } = instantiate<Exports>(CRC64_WASM);
const buffer = new Uint8Array(memory.buffer, TABLES_BYTES, BUFFER_BYTES);
fillTables(new BigUint64Array(memory.buffer, 0, 16 * 256));

/** Table 0 is the checksum of one byte; each further one is that of the byte with one more zero byte behind it. */
function fillTables(tables: BigUint64Array): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] as bigint;
    tables[at] = (before >> 8n) ^ (tables[Number(before & 0xffn)] as bigint);
  }
}

/** A running checksum. Feed it chunks in order; `digest` may be asked at any time. */
export class Crc64 {
  #crc = -1n;

  update(bytes: Uint8Array): this {
    for (let start = 0; start < bytes.length; start += BUFFER_BYTES) {
      const piece = bytes.subarray(start, start + BUFFER_BYTES);
      buffer.set(piece);
      this.#crc = update(this.#crc, TABLES_BYTES, piece.length);
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

/** The polynomial 1; its bits stand in reverse, the highest power last. */
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
