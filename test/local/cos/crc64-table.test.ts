// CRC-64/XZ against published values, against the definition bit by bit, and joined out of pieces.
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { combineCrc64, createCrc64 } from '../../../src/local/cos/crc64-table.ts';

function sum(...chunks: Uint8Array[]): bigint {
  const crc = createCrc64();
  for (const chunk of chunks) crc.update(chunk);
  return crc.value();
}

function bitByBit(bytes: Uint8Array): bigint {
  const ones = (1n << 64n) - 1n;
  let crc = ones;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let i = 0; i < 8; i++) crc = crc & 1n ? (crc >> 1n) ^ 0xc96c5795d7870f42n : crc >> 1n;
  }
  return crc ^ ones;
}

test.each([
  // The check value of the catalogue of CRCs; then those by which Go's hash/crc64 is tested (ECMA).
  ['123456789', 0x995dc9bbdf1939fan],
  ['', 0n],
  ['a', 0x330284772e652b05n],
  ['abc', 0x2cd8094a1a277627n],
  ['abcdefgh', 0x67b4f30a647a0c59n],
  ['abcdefghij', 0x32093a2ecd5773f4n],
])('the published CRC-64/XZ of "%s" comes out', (text, expected) => {
  expect(sum(Buffer.from(text))).toBe(expected);
});

test('every length and cut gives what the definition gives', () => {
  const bytes = randomBytes(70);
  for (let length = 0; length <= bytes.length; length++) {
    const piece = bytes.subarray(0, length);
    const expected = bitByBit(piece);
    expect(sum(piece)).toBe(expected);
    expect(sum(piece.subarray(0, length / 3), piece.subarray(length / 3))).toBe(expected);
  }
});

test('the sum of two joined pieces follows from theirs', () => {
  for (const [first, second] of [
    [0, 0],
    [0, 9],
    [9, 0],
    [1, 1],
    [100, 65_537],
    [1_048_576, 333],
  ] as const) {
    const a = randomBytes(first);
    const b = randomBytes(second);
    expect(combineCrc64(sum(a), sum(b), second)).toBe(sum(a, b));
  }
});
