// CRC-64/XZ (ECMA-182, reflected), as COS answers it in x-cos-hash-crc64ecma. Eight bytes a step, in 32-bit halves:
// JavaScript has no fast 64-bit integers.

const LOW = new Int32Array(8 * 256);
const HIGH = new Int32Array(8 * 256);

for (let byte = 0; byte < 256; byte++) {
  let low = byte;
  let high = 0;
  for (let bit = 0; bit < 8; bit++) {
    const carry = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (carry) {
      low ^= 0xd7870f42;
      high ^= 0xc96c5795;
    }
  }
  LOW[byte] = low;
  HIGH[byte] = high;
}
for (let slice = 1; slice < 8; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const low = LOW[(slice - 1) * 256 + byte] as number;
    const high = HIGH[(slice - 1) * 256 + byte] as number;
    const at = low & 0xff;
    LOW[slice * 256 + byte] = ((low >>> 8) | (high << 24)) ^ (LOW[at] as number);
    HIGH[slice * 256 + byte] = (high >>> 8) ^ (HIGH[at] as number);
  }
}

/** A running checksum. Feed it chunks in order; `digest` may be asked at any time. */
export class Crc64 {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): this {
    let low = this.#low;
    let high = this.#high;
    const length = bytes.length;
    const whole = length - (length % 8);
    let i = 0;
    for (; i < whole; i += 8) {
      low ^=
        (bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24);
      high ^=
        (bytes[i + 4] as number) |
        ((bytes[i + 5] as number) << 8) |
        ((bytes[i + 6] as number) << 16) |
        ((bytes[i + 7] as number) << 24);
      const a = 1792 + (low & 0xff);
      const b = 1536 + ((low >>> 8) & 0xff);
      const c = 1280 + ((low >>> 16) & 0xff);
      const d = 1024 + (low >>> 24);
      const e = 768 + (high & 0xff);
      const f = 512 + ((high >>> 8) & 0xff);
      const g = 256 + ((high >>> 16) & 0xff);
      const h = high >>> 24;
      low =
        (LOW[a] as number) ^
        (LOW[b] as number) ^
        (LOW[c] as number) ^
        (LOW[d] as number) ^
        (LOW[e] as number) ^
        (LOW[f] as number) ^
        (LOW[g] as number) ^
        (LOW[h] as number);
      high =
        (HIGH[a] as number) ^
        (HIGH[b] as number) ^
        (HIGH[c] as number) ^
        (HIGH[d] as number) ^
        (HIGH[e] as number) ^
        (HIGH[f] as number) ^
        (HIGH[g] as number) ^
        (HIGH[h] as number);
    }
    for (; i < length; i++) {
      const at = (low ^ (bytes[i] as number)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (LOW[at] as number);
      high = (high >>> 8) ^ (HIGH[at] as number);
    }
    this.#low = low;
    this.#high = high;
    return this;
  }

  /** The checksum of everything so far, decimal, as COS writes it. */
  digest(): string {
    return ((BigInt(~this.#high >>> 0) << 32n) | BigInt(~this.#low >>> 0)).toString();
  }
}

/** The checksum of chunks in order, decimal. */
export function crc64(chunks: Iterable<Uint8Array>): string {
  const crc = new Crc64();
  for (const chunk of chunks) crc.update(chunk);
  return crc.digest();
}
