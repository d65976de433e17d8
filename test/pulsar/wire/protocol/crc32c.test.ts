import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import wabt from 'wabt';
import { CRC32C_WASM, crc32c } from '../../../../src/pulsar/wire/protocol/crc32c.ts';

/** The definition, bit by bit. */
function slowly(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

// The test vectors of RFC 3720, appendix B.4, and the common check value.
it.each([
  ['123456789', Buffer.from('123456789'), 0xe3069283],
  ['nothing', Buffer.alloc(0), 0],
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 ascending', Buffer.from(Array.from({ length: 32 }, (_, n) => n)), 0x46dd794e],
  ['32 descending', Buffer.from(Array.from({ length: 32 }, (_, n) => 31 - n)), 0x113fdb5c],
])('the CRC-32C of %s is that of the specification', (_, bytes, checksum) => {
  expect(crc32c(bytes)).toBe(checksum);
});

it('the CRC-32C of any part of any bytes is that of the definition', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_500, size: 'max' }), fc.nat(1_500), (bytes, start) => {
      const from = Math.min(start, bytes.length);
      expect(crc32c(bytes, from)).toBe(slowly(bytes.subarray(from)));
    }),
    { endOnFailure: true },
  );
});

it('the CRC-32C of bytes larger than its buffer is that of the definition', () => {
  const bytes = Buffer.alloc(300_001, 'over and over');
  expect(crc32c(bytes, 3)).toBe(slowly(bytes.subarray(3)));
});

it('runs the code of crc32c.wat', async () => {
  const { parseWat } = await wabt();
  const source = readFileSync(
    new URL('../../../../src/pulsar/wire/protocol/crc32c.wat', import.meta.url),
    'utf8',
  );
  const { buffer } = parseWat('crc32c.wat', source).toBinary({});
  expect(Buffer.from(buffer).toString('base64')).toBe(CRC32C_WASM);
});
