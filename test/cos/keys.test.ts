// Whatever a key holds, its object is stored, found, listed and read under that key. The stand-in checks signatures.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFolderStore } from '../../src/archive/catalog/folder-store.ts';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { objectKey, parseObjectKey } from '../../src/format/object-key.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { ObjectStore } from '../../src/ports.ts';
import { parseTopicName } from '../../src/topic-name.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { cosConfig } from './answering-server.ts';
import { type Loopback, startLoopback } from './loopback.ts';

let loopback: Loopback;
let store: CosStore;
beforeAll(async () => {
  loopback = await startLoopback();
  store = createCosStore(cosConfig(loopback.cos.url), { logger: keepingLogger() });
});
afterAll(async () => {
  await store.close();
  await loopback.end();
});

const topics = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(...'%+#?&=:;.,\\ 订2e\'"()*!~<>'), minLength: 1, maxLength: 40 }),
  )
  .map((name) => parseTopicName(`t/ns/${name}`))
  .filter((topic) => topic !== undefined);
const id = { ledgerId: 1, entryId: 2, partition: 3, batchIndex: 0 };

async function textAt(from: ObjectStore, key: string): Promise<string> {
  let text = '';
  for await (const chunk of from.read(key)) text += Buffer.from(chunk).toString();
  return text;
}

test('objects of topics of any name are what was stored, in the bucket and in a copy of it', async () => {
  await fc.assert(
    fc.asyncProperty(topics, async (topic) => {
      const key = objectKey('a b/', topic, { id, publishTimeMs: 0 }, 'none');
      const body = { chunks: [Buffer.from(key)], sizeBytes: Buffer.byteLength(key) };
      const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
      const { kind } = await store.create(key, body, crc64(body.chunks), attributes);
      expect(['created', 'exists']).toContain(kind);
      expect(await store.head(key)).toMatchObject({ key, sizeBytes: body.sizeBytes });
      expect(await textAt(store, key)).toBe(key);
      const listed: string[] = [];
      const folder = key.slice(0, key.indexOf('/date=') + 1);
      for await (const one of store.list(folder)) listed.push(one.key);
      expect(listed).toEqual([key]);
      expect(parseObjectKey('a b/', key)).toMatchObject({ tenant: 't', namespace: 'ns', topic: topic.topic });
      expect(await textAt(createFolderStore(loopback.folder), key)).toBe(key);
    }),
    { numRuns: 100 },
  );
});
