// CRC-32C (Castagnoli), as Pulsar puts it before the metadata of each entry. The loop is WebAssembly, sixteen bytes a
// step: every byte that is read passes here.
import { instantiate, type WithMemory } from '../../wasm.ts';

/** crc32c.wat, assembled. A test assembles it again and compares. */
export const CRC32C_WASM =
  'AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQADBxMCBm1lbW9yeQIABnVwZGF0ZQAACokDAYYDAgF/An4gASACQXBxaiEDAkADQCABIANPDQEgAK0gASkDAIUhBCABKQMIIQUgBKdB/wFxQQJ0KAKAeCAEQgiIp0H/AXFBAnQoAoBwcyAEQhCIp0H/AXFBAnQoAoBocyAEQhiIp0H/AXFBAnQoAoBgcyAEQiCIp0H/AXFBAnQoAoBYcyAEQiiIp0H/AXFBAnQoAoBQcyAEQjCIp0H/AXFBAnQoAoBIcyAEQjiIp0ECdCgCgEBzIAWnQf8BcUECdCgCgDhzIAVCCIinQf8BcUECdCgCgDBzIAVCEIinQf8BcUECdCgCgChzIAVCGIinQf8BcUECdCgCgCBzIAVCIIinQf8BcUECdCgCgBhzIAVCKIinQf8BcUECdCgCgBBzIAVCMIinQf8BcUECdCgCgAhzIAVCOIinQQJ0KAIAcyEAIAFBEGohAQwACwsgAyACQQ9xaiEDAkADQCABIANPDQEgAEEIdiAAIAEtAABzQf8BcUECdCgCAHMhACABQQFqIQEMAAsLIAAL';

const POLYNOMIAL = 0x82f63b78;
const TABLES_BYTES = 16 * 256 * 4;
const BUFFER_BYTES = 131_072;

interface Exports extends WithMemory {
  update(crc: number, at: number, length: number): number;
}

const { memory, update } = instantiate<Exports>(CRC32C_WASM);
const buffer = new Uint8Array(memory.buffer, TABLES_BYTES, BUFFER_BYTES);
fillTables(new Int32Array(memory.buffer, 0, 16 * 256));

/** Table 0 is the checksum of one byte; each further one is that of the byte with one more zero byte behind it. */
function fillTables(tables: Int32Array): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] as number;
    tables[at] = (tables[before & 0xff] as number) ^ (before >>> 8);
  }
}

/** The CRC-32C of `bytes` from `start` to `end`, unsigned. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = -1;
  for (let at = start; at < end; at += BUFFER_BYTES) {
    const piece = bytes.subarray(at, Math.min(end, at + BUFFER_BYTES));
    buffer.set(piece);
    crc = update(crc, TABLES_BYTES, piece.length);
  }
  return ~crc >>> 0;
}
