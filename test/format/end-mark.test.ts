// An object says by itself that it is whole: wherever it is cut at the end of a line, reading it fails.
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { EndMarker, MARK_BYTES } from '../../src/format/end-mark.ts';
import { encodeRecord } from '../../src/format/record.ts';
import { readLines } from '../../src/format/stored-object.ts';
import { message, messages } from '../archive/archive-fixture.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';

const KEY = 'x.jsonl';

/** The bytes of an object whose records come in chunks of that size, of each entry anew. */
function marked(entries: readonly string[], chunkBytes: number): Buffer {
  const marker = new EndMarker();
  const written: Uint8Array[] = [];
  for (const entry of entries) {
    const bytes = Buffer.from(entry);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.subarray(at, at + chunkBytes));
    written.push(...marker.mark(chunks));
  }
  return Buffer.concat([...written, ...marker.end()]);
}

async function read(bytes: Buffer, compression: 'none' | 'gzip' = 'none'): Promise<string[]> {
  const store = createMemoryStore();
  const stored = compression === 'gzip' ? gzipSync(bytes) : bytes;
  store.objects.set(KEY, { key: KEY, bytes: stored, metadata: {}, contentType: 'x', crc64: '1' });
  const lines: string[] = [];
  for await (const line of readLines(store, KEY, compression, {})) lines.push(line);
  return lines;
}

const records = messages(0, 0, 6).map(encodeRecord);
const large = encodeRecord(message(0, 9, { payload: Buffer.alloc(50_000, 'x') }));

describe.each([
  ['one record', [records[0] as string]],
  ['two', records.slice(0, 2)],
  ['some', records],
  ['several of an entry', [records.slice(0, 3).join(''), records.slice(3).join('')]],
  ['large ones', [large, large, large]],
])('%s', (_, entries) => {
  const plain = entries.join('').trimEnd().split('\n');

  it.each([1, 7, 16_384, 1_000_000])(
    'are whole in chunks of %i bytes, and the same JSON',
    async (chunkBytes) => {
      const bytes = marked(entries, chunkBytes);
      expect(bytes.length).toBe(entries.join('').length + MARK_BYTES);
      expect((await read(bytes)).map((line) => line.trimEnd())).toEqual(plain);
      expect((await read(bytes)).map((line) => JSON.parse(line))).toEqual(
        plain.map((line) => JSON.parse(line)),
      );
    },
  );

  it.each(['none', 'gzip'] as const)(
    'are not whole wherever lines are gone at an end (%s)',
    async (compression) => {
      const lines = marked(entries, 100).toString().match(/.*\n/g) as string[];
      for (let cut = 1; cut < lines.length; cut++) {
        for (const rest of [lines.slice(0, cut), lines.slice(cut)])
          await expect(read(Buffer.from(rest.join('')), compression), `${cut}`).rejects.toMatchObject({
            code: 'corrupt',
            message: expect.stringMatching(/^x\.jsonl is cut/),
          });
      }
    },
  );
});

it('an object from before, which has no marks, says nothing', async () => {
  expect(await read(Buffer.from(records.join('')))).toHaveLength(7);
  expect(await read(Buffer.from(records.slice(0, 3).join('')))).toHaveLength(3);
});
