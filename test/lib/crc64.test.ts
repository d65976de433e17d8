import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import wabt from 'wabt';
import { CRC64_WASM, Crc64, combineCrc64, crc64 } from '../../src/lib/crc64.ts';

it("computes CRC-64/XZ: the catalogue's check value, and the empty checksum", () => {
  expect(crc64([Buffer.from('123456789')])).toBe('11051210869376104954');
  expect(crc64([])).toBe('0');
});

it('gives the same for any way of cutting the bytes into chunks, and what the definition gives bit by bit', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 1_500, size: 'max' }), { maxLength: 4 }), (chunks) => {
      const whole = Buffer.concat(chunks);
      const running = new Crc64();
      for (const chunk of chunks) running.update(chunk);
      expect(running.digest()).toBe(crc64([whole]));
      expect(running.digest()).toBe(bitByBit(whole));
    }),
    { endOnFailure: true },
  );
});

it.each([8_191, 8_192, 8_193, 8_223, 8_224, 10_668, 65_536, 131_071, 131_072, 150_000])(
  'gives for %i bytes, which are shortened before the tables have them, what the definition gives',
  (sizeBytes) => {
    const bytes = Buffer.from(Array.from({ length: sizeBytes }, (_, i) => (i * 167 + (i >> 7) * 59) & 255));
    expect(crc64([bytes])).toBe(bitByBit(bytes));
    // What was there before does not count.
    expect(crc64([Buffer.alloc(sizeBytes)])).toBe(bitByBit(Buffer.alloc(sizeBytes)));
    expect(crc64([bytes.subarray(0, 9_000), bytes.subarray(9_000)])).toBe(bitByBit(bytes));
  },
);

function bitByBit(bytes: Uint8Array): string {
  let crc = 0xffffffffffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0xc96c5795d7870f42n : crc >> 1n;
  }
  return (crc ^ 0xffffffffffffffffn).toString();
}

it('gives that of two pieces together from their own', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (first, second) => {
      const whole = combineCrc64(crc64([first]), crc64([second]), second.length);
      expect(whole).toBe(crc64([first, second]));
    }),
  );
});

it('runs the code that is in crc64.wat', async () => {
  const { parseWat } = await wabt();
  const source = readFileSync(new URL('../../src/lib/crc64.wat', import.meta.url), 'utf8');
  const { buffer } = parseWat('crc64.wat', source).toBinary({});
  expect(Buffer.from(buffer).toString('base64')).toBe(CRC64_WASM);
});
