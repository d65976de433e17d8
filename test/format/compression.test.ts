import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { Zstd } from '@hpcc-js/wasm-zstd';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ZSTDDecoder } from 'zstddec/stream';
import { createCompressor, decompress } from '../../src/format/compression.ts';
import { FRAME_INPUT_BYTES } from '../../src/lib/zstd.ts';

const CODECS = ['gzip', 'zstd'] as const;

async function compressed(codec: 'gzip' | 'zstd', chunks: readonly Uint8Array[]): Promise<Buffer> {
  const out: Uint8Array[] = [];
  const compressor = createCompressor(codec, (bytes) => out.push(Buffer.from(bytes)));
  for (const chunk of chunks) await compressor?.write(chunk);
  await compressor?.end();
  return Buffer.concat(out);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const records = Buffer.from(
  Array.from({ length: 20_000 }, (_, n) => `{"id":"1:${n}:0:-1","value":"order ${n * 7919}"}\n`).join(''),
);

it('zstd keeps files apart that are written side by side, also while it is loaded for the first', async () => {
  const all = Array.from({ length: 6 }, () => randomBytes(3 * FRAME_INPUT_BYTES + 1_000));
  const both = await Promise.all(
    all.map((bytes) => compressed('zstd', [bytes.subarray(0, 9), bytes.subarray(9)])),
  );
  for (const [at, bytes] of both.entries()) {
    const read = await collect(decompress('zstd', pieces(bytes, 65_536)));
    expect(read.equals(all[at] as Buffer)).toBe(true);
  }
});

it.each(CODECS)('%s gives back what it was given, however both sides cut it into chunks', async (codec) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 500 }),
      async (chunks, size) => {
        const bytes = await compressed(codec, chunks);
        expect((await collect(decompress(codec, pieces(bytes, size)))).equals(Buffer.concat(chunks))).toBe(
          true,
        );
      },
    ),
    { numRuns: 30 },
  );
});

it.each(CODECS)(
  '%s gives back chunks larger than its blocks, that compress well or not at all',
  async (codec) => {
    const chunks = [records, randomBytes(2 * FRAME_INPUT_BYTES + 1), Buffer.alloc(FRAME_INPUT_BYTES)];
    const bytes = await compressed(codec, chunks);
    expect((await collect(decompress(codec, pieces(bytes, 65_536)))).equals(Buffer.concat(chunks))).toBe(
      true,
    );
  },
);

it('writes what other programs read: gzip by zlib, zstd by another decoder', async () => {
  expect(gunzipSync(await compressed('gzip', [records])).equals(records)).toBe(true);
  const decoder = new ZSTDDecoder();
  await decoder.init();
  const zstd = await compressed('zstd', [records]);
  expect(zstd.length).toBeLessThan(records.length / 4);
  expect(Buffer.concat([...decoder.decodeStreaming([zstd])]).equals(records)).toBe(true);
});

it('reads zstd frames that do not report the size of their content, as streaming encoders leave them', async () => {
  const zstd = await Zstd.load();
  // With the size left out, and a window of 8 MiB instead; what follows is the same.
  const withoutSize = (content: Buffer) => {
    const frame = Buffer.from(zstd.compress(content));
    const descriptor = frame[4] as number;
    const isSingle = (descriptor & 0x20) !== 0;
    const sizeFieldBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
    const sizeAt = isSingle ? 5 : 6;
    return Buffer.concat([
      frame.subarray(0, 4),
      Buffer.from([descriptor & 0x04, 13 << 3]),
      frame.subarray(sizeAt + sizeFieldBytes),
    ]);
  };
  const long = Buffer.concat([records, records, Buffer.alloc(200_000, 'x'), records]);
  const whole = Buffer.concat([withoutSize(records), withoutSize(long), withoutSize(Buffer.from('{}\n'))]);
  const expected = Buffer.concat([records, long, Buffer.from('{}\n')]);
  expect((await collect(decompress('zstd', pieces(whole, 1_000)))).equals(expected)).toBe(true);
  const cut = pieces(whole.subarray(0, whole.length - 5), 1_000);
  await expect(collect(decompress('zstd', cut))).rejects.toMatchObject({ code: 'corrupt' });
});

it('reads a zstd object that begins with a skippable frame and holds an empty one', async () => {
  const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const zstd = await Zstd.load();
  const whole = Buffer.concat([skippable, zstd.compress(new Uint8Array(0)), zstd.compress(records)]);
  expect((await collect(decompress('zstd', pieces(whole, 10)))).equals(records)).toBe(true);
});

it.each(CODECS)('%s: a damaged or cut off object is corrupt, and says so', async (codec) => {
  const bytes = await compressed(codec, [records]);
  const damaged = Buffer.from(bytes);
  damaged.fill(0xff, 200, 300);
  for (const wrong of [bytes.subarray(0, -5), bytes.subarray(5), damaged, Buffer.from('no archive at all')]) {
    await expect(collect(decompress(codec, pieces(wrong, 1_000)))).rejects.toMatchObject({ code: 'corrupt' });
  }
});

it.each(CODECS)('%s: a source that fails is not taken for a damaged object', async (codec) => {
  const bytes = await compressed(codec, [records]);
  async function* failing() {
    yield bytes.subarray(0, 1_000);
    throw new Error('connection lost');
  }
  await expect(collect(decompress(codec, failing()))).rejects.toThrow('connection lost');
});

it.each(CODECS)('%s: nothing comes out after it was destroyed', async (codec) => {
  let isDestroyed = false;
  let late = 0;
  const compressor = createCompressor(codec, () => {
    if (isDestroyed) late++;
  });
  const writing = compressor?.write(Buffer.concat([records, records]))?.catch(() => undefined);
  isDestroyed = true;
  compressor?.destroy();
  await writing;
  await expect(compressor?.end()).rejects.toThrow();
  expect(late).toBe(0);
});
