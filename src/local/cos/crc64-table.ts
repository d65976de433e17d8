// CRC-64/XZ (ECMA-182, reflected), as COS answers it in x-cos-hash-crc64ecma. Shares nothing with the COS adapter on
// purpose: each checks the other. JavaScript has no fast 64-bit integers, so a sum is two halves of 32 bits.

const POLYNOMIAL = 0xc96c5795d7870f42n;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** x^0: in the reflected order the highest bit is the lowest power. */
const ONE = 1n << 63n;
const SLICES = 8;

const { low: LOW, high: HIGH } = makeTables();

/** What a byte adds to the sum when k more bytes follow it, at 256 · k + byte. */
function makeTables(): { low: Int32Array; high: Int32Array } {
  const sums: bigint[] = [];
  for (let byte = 0; byte < 256; byte++) {
    let sum = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1n) === 0n ? sum >> 1n : (sum >> 1n) ^ POLYNOMIAL;
    sums.push(sum);
  }
  for (let i = 256; i < SLICES * 256; i++) {
    const before = sums[i - 256] as bigint;
    sums.push((before >> 8n) ^ (sums[Number(before & 255n)] as bigint));
  }
  const half = (shift: bigint) => Int32Array.from(sums, (sum) => Number(BigInt.asIntN(32, sum >> shift)));
  return { low: half(0n), high: half(32n) };
}

/** A running CRC-64. */
export interface Crc64 {
  update(chunk: Uint8Array): void;
  /** The sum of all bytes so far. */
  value(): bigint;
}

/** A new CRC-64, over no bytes yet. */
export function createCrc64(): Crc64 {
  let low = -1;
  let high = -1;
  return {
    update(chunk) {
      const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let at = 0;
      for (; at + 8 <= chunk.length; at += 8) {
        const a = low ^ view.getInt32(at, true);
        const b = high ^ view.getInt32(at + 4, true);
        low = sumOf(LOW, a, b);
        high = sumOf(HIGH, a, b);
      }
      for (; at < chunk.length; at++) {
        const byte = (low ^ (chunk[at] as number)) & 255;
        low = ((low >>> 8) | (high << 24)) ^ (LOW[byte] as number);
        high = (high >>> 8) ^ (HIGH[byte] as number);
      }
    },
    value: () => ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) ^ ALL_ONES,
  };
}

/** One half of the sum after the eight bytes of `a` and `b`. */
function sumOf(half: Int32Array, a: number, b: number): number {
  return (
    (half[7 * 256 + (a & 255)] as number) ^
    (half[6 * 256 + ((a >>> 8) & 255)] as number) ^
    (half[5 * 256 + ((a >>> 16) & 255)] as number) ^
    (half[4 * 256 + (a >>> 24)] as number) ^
    (half[3 * 256 + (b & 255)] as number) ^
    (half[2 * 256 + ((b >>> 8) & 255)] as number) ^
    (half[256 + ((b >>> 16) & 255)] as number) ^
    (half[b >>> 24] as number)
  );
}

/** The CRC-64 of two pieces joined: of the sum of the first, the sum of the second, and the second's length. */
export function combineCrc64(first: bigint, second: bigint, secondSizeBytes: number): bigint {
  return multiply(powerOfX(secondSizeBytes), first) ^ second;
}

const powers = new Map<number, bigint>();

/** x^(8 · sizeBytes) modulo the polynomial. Remembered, because parts mostly have one size. */
function powerOfX(sizeBytes: number): bigint {
  const known = powers.get(sizeBytes);
  if (known !== undefined) return known;
  let result = ONE;
  let square = ONE >> 8n;
  for (let n = sizeBytes; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = multiply(result, square);
    square = multiply(square, square);
  }
  if (powers.size > 1000) powers.clear();
  powers.set(sizeBytes, result);
  return result;
}

/** a · b modulo the polynomial, in the reflected order. */
function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = ONE; bit > 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= shifted;
    shifted = (shifted & 1n) === 0n ? shifted >> 1n : (shifted >> 1n) ^ POLYNOMIAL;
  }
  return product;
}
