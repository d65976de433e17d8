// Zstd in WebAssembly, as Node 18 and 20 use it: on any Node.
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { ZSTDDecoder } from 'zstddec/stream';
import { loadWasmZstd } from '../../src/lib/zstd-wasm.ts';

const text = Buffer.from('many times the same '.repeat(5_000));

it('makes frames that others read, of pieces that are put together', async () => {
  const zstd = await loadWasmZstd();
  const frame = Buffer.from(
    zstd.compress([text.subarray(0, 7), text.subarray(7, 50_000), text.subarray(50_000)], text.length, 1),
  );
  expect(frame.length).toBeLessThan(text.length / 100);
  const decoder = new ZSTDDecoder();
  await decoder.init();
  expect(Buffer.from(decoder.decode(frame, text.length)).equals(text)).toBe(true);
});

it('goes on with larger and smaller bytes, which compress or not, in memory that grows and is used again', async () => {
  const zstd = await loadWasmZstd();
  for (const size of [1, 300_000, 10, 30_000_000, 0, 262_144]) {
    for (const bytes of [randomBytes(size), Buffer.alloc(size, 'x')]) {
      const frame = Buffer.from(zstd.compress([bytes], size, 1));
      expect(Buffer.from(zstd.decompress(frame, size)).equals(bytes)).toBe(true);
    }
  }
});

it('says what is wrong with a damaged frame, or one that is too large, and goes on', async () => {
  const zstd = await loadWasmZstd();
  const frame = Buffer.from(zstd.compress([text], text.length, 1));
  expect(() => zstd.decompress(frame.subarray(0, 20), text.length)).toThrow('Src size is incorrect');
  expect(() => zstd.decompress(Buffer.from('no frame at all'), 100)).toThrow(/./);
  expect(() => zstd.decompress(frame, 1_000)).toThrow('Destination buffer is too small');
  expect(zstd.decompress(frame, text.length)).toHaveLength(text.length);
});

it('says so where there is no memory for what it is asked, and goes on', async () => {
  const zstd = await loadWasmZstd();
  expect(() => zstd.decompress(Buffer.from('x'), 2 ** 32 - 2 ** 20)).toThrow(/memory/);
  expect(Buffer.from(zstd.compress([text], text.length, 1)).length).toBeGreaterThan(0);
});
