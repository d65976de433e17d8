// CRC-64/XZ (ECMA-182, reflected), as COS tells it in x-cos-hash-crc64ecma. The inner loop is a few WebAssembly
// instructions, for speed. Shares nothing with the COS adapter on purpose: each checks the other.
import { loadCrcLoop } from './crc64-wasm.ts';

const POLYNOMIAL = 0xc96c5795d7870f42n;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** x^0: in the reflected order the highest bit is the lowest power. */
const ONE = 1n << 63n;

const loop = loadCrcLoop(POLYNOMIAL);

/** A running CRC-64. */
export interface Crc64 {
  update(chunk: Uint8Array): void;
  /** The sum of all bytes so far. */
  value(): bigint;
}

/** A new CRC-64, over no bytes yet. */
export function createCrc64(): Crc64 {
  let state = ALL_ONES;
  return {
    update(chunk) {
      for (let i = 0; i < chunk.length; i += loop.maxBytes) {
        state = loop.run(state, chunk.subarray(i, i + loop.maxBytes));
      }
    },
    value: () => state ^ ALL_ONES,
  };
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
