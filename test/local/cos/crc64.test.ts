// CRC-64/XZ against its published check value, against the definition bit by bit, and joined out of pieces.
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { combineCrc64, createCrc64 } from '../../../src/local/cos/crc64.ts';

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

test('the check value of CRC-64/XZ comes out', () => {
  expect(sum(Buffer.from('123456789'))).toBe(11051210869376104954n);
  expect(sum()).toBe(0n);
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

test('a chunk longer than the memory of the loop gives the same sum as small ones', () => {
  const bytes = randomBytes(1_000_003);
  const small = Array.from({ length: 11 }, (_, i) => bytes.subarray(i * 100_000, (i + 1) * 100_000));
  expect(sum(bytes)).toBe(sum(...small));
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
