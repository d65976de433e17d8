import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createFolderStore } from '../../../src/archive/catalog/folder-store.ts';
import { listSchemas, openSchemas, readSchema } from '../../../src/archive/schemas/schemas.ts';
import {
  definitionBytes,
  encodeKeptSchema,
  keepSchema,
  propertiesOf,
  schemaKey,
  schemaName,
} from '../../../src/format/kept-schema.ts';
import type { ManifestObject } from '../../../src/format/run-manifest.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';

const PREFIX = 'a/';
const topicOf = (name: string) => parseTopicName(name) as TopicName;
const orders = topicOf('t/n/orders');

const version = (number: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
};
const schema = (definition: string) => ({
  type: 'AVRO',
  name: 't/n/orders',
  properties: [],
  definition: Buffer.from(definition),
});

async function put(store: MemoryStore, key: string, bytes: Uint8Array): Promise<void> {
  const attributes = { metadata: {}, contentType: 'application/json' };
  await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc64([bytes]), attributes);
}

/** Keeps a definition; `isOther`: under a name of its own. Returns the name. */
async function keep(
  store: MemoryStore,
  number: number,
  definition: string,
  isOther = false,
): Promise<string> {
  const kept = keepSchema(orders, version(number), schema(definition));
  const name = schemaName(version(number), isOther ? kept.sha256 : undefined);
  await put(store, schemaKey(PREFIX, orders, name), encodeKeptSchema(kept));
  return name;
}

const objectThatNames = (...schemas: string[]) => ({ manifest: { schemas } as unknown as ManifestObject });

describe('the schema that a record means', () => {
  it('is that of its version, for each partition, listed once and read once', async () => {
    const store = createMemoryStore();
    await keep(store, 0, 'zero');
    await keep(store, 10, 'ten');
    store.calls.length = 0;
    const schemas = openSchemas(store, PREFIX, {});
    for (let n = 0; n < 3; n++) {
      const found = await schemas.of(`${orders.full}-partition-${n}`, version(10), undefined);
      expect(found).toMatchObject({ kind: 'schema', schema: { definition: 'ten', version: '10' } });
    }
    expect(await schemas.of(orders.full, version(1), undefined)).toEqual({ kind: 'missing' });
    expect(store.calls).toEqual(['list a/_schemas/t/n/orders/', 'read a/_schemas/t/n/orders/10.json']);
  });

  it('is the one that the manifest of its object names, where the version has had several definitions', async () => {
    const store = createMemoryStore();
    const first = await keep(store, 0, 'zero');
    const other = await keep(store, 0, 'anew', true);
    const schemas = openSchemas(store, PREFIX, {});
    const definitionFor = async (...names: string[]) =>
      schemas.of(orders.full, version(0), objectThatNames(...names));
    expect(await definitionFor(first)).toMatchObject({ schema: { definition: 'zero' } });
    expect(await definitionFor(other)).toMatchObject({ schema: { definition: 'anew' } });
    for (const names of [[], ['1'], [first, other]])
      expect(await definitionFor(...names)).toEqual({ kind: 'ambiguous', names: [first, other] });
    expect(await schemas.of(orders.full, version(0), undefined)).toMatchObject({ kind: 'ambiguous' });
  });

  it('is no question where two objects hold the same definition', async () => {
    const store = createMemoryStore();
    await keep(store, 0, 'zero');
    await keep(store, 0, 'zero', true);
    const found = await openSchemas(store, PREFIX, {}).of(orders.full, version(0), undefined);
    expect(found).toMatchObject({ kind: 'schema', schema: { definition: 'zero' } });
  });

  it.each([
    ['no JSON', Buffer.from('{')],
    ['of another version', encodeKeptSchema(keepSchema(orders, version(1), schema('one')))],
    ['of another topic', encodeKeptSchema(keepSchema(topicOf('t/n/other'), version(0), schema('zero')))],
  ])('is damaged where its object is %s', async (_, bytes) => {
    const store = createMemoryStore();
    await put(store, schemaKey(PREFIX, orders, '0'), bytes);
    const found = await openSchemas(store, PREFIX, {}).of(orders.full, version(0), undefined);
    expect(found).toMatchObject({ kind: 'damaged', key: 'a/_schemas/t/n/orders/0.json' });
  });

  it('is read again where large ones have taken its room', async () => {
    const store = createMemoryStore();
    for (const number of [0, 1, 2]) await keep(store, number, String(number).repeat(8_000_000));
    const schemas = openSchemas(store, PREFIX, {});
    store.calls.length = 0;
    for (const number of [0, 1, 0, 2, 0, 1]) await schemas.of(orders.full, version(number), undefined);
    const read = store.calls.flatMap((call) => /^read .*\/(\d)\.json$/.exec(call)?.[1] ?? []);
    expect(read).toEqual(['0', '1', '2', '1']);
  });
});

it('lists the schemas of a topic, or of all, in the order of versions, and nothing else', async () => {
  const store = createMemoryStore();
  for (const number of [10, 9, 0]) await keep(store, number, String(number));
  const other = await keep(store, 9, 'anew', true);
  await put(store, 'a/_schemas/t/n/orders/9.json.bak', Buffer.from('x'));
  const inOther = topicOf('t/n/a');
  await put(store, schemaKey(PREFIX, inOther, 'x01'), Buffer.from('x'));
  const names = async (topic: TopicName | undefined) =>
    (await listSchemas(store, PREFIX, topic, {})).map((one) => `${one.topic} ${one.name}`);
  const own = ['0', '9', other, '10'].map((name) => `${orders.full} ${name}`);
  expect(await names(topicOf('t/n/orders-partition-1'))).toEqual(own);
  expect(await names(undefined)).toEqual(['persistent://t/n/a x01', ...own]);
});

/** Written once, and never again: every later version reads them as they are. */
describe('golden schemas', () => {
  const folder = fileURLToPath(new URL('../../fixtures/golden/schema-v1', import.meta.url));
  const golden = createFolderStore(folder);

  it('are read, and made again to the byte', async () => {
    const listed = await listSchemas(golden, '', topicOf('t/ns/orders'), {});
    expect(listed.map(({ name }) => name)).toEqual(['0', '0-2586ee28d6d2', '1', '2']);
    for (const one of listed) {
      const bytes = readFileSync(`${folder}/${one.key}`);
      const kept = await readSchema(golden, one, {});
      const { type, name } = kept;
      const schema = { type, name, properties: propertiesOf(kept), definition: definitionBytes(kept) };
      expect(encodeKeptSchema(keepSchema(topicOf('t/ns/orders'), one.version, schema))).toEqual(bytes);
    }
  });
});
