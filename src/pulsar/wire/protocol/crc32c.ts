// CRC-32C (Castagnoli), as Pulsar puts it before the metadata of each entry. The loop is WebAssembly, two times
// eight bytes a step: every byte that is read passes here.
import { instantiate, once, type WithMemory } from '../../../lib/wasm.ts';

/** crc32c.wat, assembled. A test assembles it again and compares. */
export const CRC32C_WASM =
  'AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQADBxMCBm1lbW9yeQIABnVwZGF0ZQAACpEFAY4FAgN/An4gASACaiEDAkADQCABQYAEaiADSw0BQQAhBSABQYACaiEEA0AgAK0gASkDAIUhBiAFrSABKQOAAoUhByAGp0H/AXFBAnQoAoA4IAZCCIinQf8BcUECdCgCgDBzIAZCEIinQf8BcUECdCgCgCggBkIYiKdB/wFxQQJ0KAKAIHNzIAZCIIinQf8BcUECdCgCgBggBkIoiKdB/wFxQQJ0KAKAEHMgBkIwiKdB/wFxQQJ0KAKACCAGQjiIp0ECdCgCAHNzcyEAIAenQf8BcUECdCgCgDggB0IIiKdB/wFxQQJ0KAKAMHMgB0IQiKdB/wFxQQJ0KAKAKCAHQhiIp0H/AXFBAnQoAoAgc3MgB0IgiKdB/wFxQQJ0KAKAGCAHQiiIp0H/AXFBAnQoAoAQcyAHQjCIp0H/AXFBAnQoAoAIIAdCOIinQQJ0KAIAc3NzIQUgAUEIaiEBIAEgBEkNAAsgBSAAQf8BcUECdCgCgEAgAEEIdkH/AXFBAnQoAoBIcyAAQRB2Qf8BcUECdCgCgFAgAEEYdkECdCgCgFhzc3MhACABQYACaiEBDAALCwJAA0AgAUEIaiADSw0BIACtIAEpAwCFIQYgBqdB/wFxQQJ0KAKAOCAGQgiIp0H/AXFBAnQoAoAwcyAGQhCIp0H/AXFBAnQoAoAoIAZCGIinQf8BcUECdCgCgCBzcyAGQiCIp0H/AXFBAnQoAoAYIAZCKIinQf8BcUECdCgCgBBzIAZCMIinQf8BcUECdCgCgAggBkI4iKdBAnQoAgBzc3MhACABQQhqIQEMAAsLAkADQCABIANPDQEgAEEIdiAAIAEtAABzQf8BcUECdCgCAHMhACABQQFqIQEMAAsLIAAL';

const POLYNOMIAL = 0x82f63b78;
/** How many bytes after the first half the second begins, see crc32c.wat. */
const HALF_BYTES = 256;
const TABLES_BYTES = 12 * 256 * 4;
const BUFFER_BYTES = 131_072;

interface Exports extends WithMemory {
  update(crc: number, at: number, length: number): number;
}

/** Made at the first checksum: a run without messages needs none. */
const loaded = once(() => {
  const { memory, update } = instantiate<Exports>(CRC32C_WASM);
  fillTables(new Int32Array(memory.buffer, 0, 12 * 256), update);
  return { update, buffer: new Uint8Array(memory.buffer, TABLES_BYTES, BUFFER_BYTES) };
});

/**
 * Table 0 is the checksum of one byte; each up to 7 is that of the byte with one more zero byte behind it. The tables
 * from 8 on are for the bytes of a checksum, with a half of zeros behind it.
 */
function fillTables(tables: Int32Array, update: Exports['update']): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < 8 * 256; at++) {
    const before = tables[at - 256] as number;
    tables[at] = (tables[before & 0xff] as number) ^ (before >>> 8);
  }
  for (let at = 8 * 256; at < tables.length; at++) {
    tables[at] = update((at & 0xff) << (((at >> 8) - 8) * 8), TABLES_BYTES, HALF_BYTES);
  }
}

/** The CRC-32C of `bytes` from `start` to `end`, unsigned. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const { update, buffer } = loaded();
  let crc = -1;
  for (let at = start; at < end; at += BUFFER_BYTES) {
    const piece = bytes.subarray(at, Math.min(end, at + BUFFER_BYTES));
    buffer.set(piece);
    crc = update(crc, TABLES_BYTES, piece.length);
  }
  return ~crc >>> 0;
}
