// What verify says about schemas, and what makes it fail.
import { describe, expect, it } from 'vitest';
import { type VerifyLevel, verifyArchive } from '../../../src/archive/verify/verify.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, PREFIX, storeManifest, storeObject, tamper } from '../archive-fixture.ts';

const TOPIC = parseTopicName('t/ns/orders') as TopicName;
const V0 = Buffer.alloc(8);
const V1 = Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]);
const keyOf = (version: Uint8Array) => schemaKey(PREFIX, TOPIC, schemaName(version));

async function keep(store: MemoryStore, version: Uint8Array): Promise<void> {
  const schema = { type: 'AVRO', name: 'n', properties: [], definition: Buffer.from('"int"') };
  const bytes = encodeKeptSchema(keepSchema(TOPIC, version, schema));
  const attributes = { metadata: {}, contentType: 'application/json' };
  await store.create(
    keyOf(version),
    { chunks: [bytes], sizeBytes: bytes.length },
    crc64([bytes]),
    attributes,
  );
}

/** Two objects of version 0, one of both, and one without; the manifest names what is kept. */
async function archive({
  names = ['0', '1'] as readonly string[],
  kept = [V0, V1],
} = {}): Promise<MemoryStore> {
  const store = createMemoryStore();
  const ofVersions = (first: number, ...versions: Uint8Array[]) =>
    storeObject(
      store,
      versions.map((schemaVersion, i) => message(0, first + i, { schemaVersion })),
    );
  const objects = [
    await ofVersions(0, V0, V0),
    await ofVersions(2, V0, V1),
    await ofVersions(4, V0),
    await ofVersions(5, new Uint8Array()),
  ];
  for (const version of kept) await keep(store, version);
  await storeManifest(
    store,
    objects.map((object, at) => (at < 3 && names.length > 0 ? { ...object, schemas: names } : object)),
  );
  return store;
}

const verify = (store: MemoryStore, level: VerifyLevel = 'record') => verifyArchive(store, PREFIX, { level });

describe('verify', () => {
  it('counts the schemas that are kept, and finds nothing wrong with them', async () => {
    for (const level of ['list', 'object', 'record'] as const)
      expect(await verify(await archive(), level)).toMatchObject({
        schemas: { kept: 2, missing: 0 },
        damagedObjects: 0,
        findings: [],
      });
  });

  it('takes no harm from an archive that has none: each version that records name is a notice, once', async () => {
    const report = await verify(await archive({ names: [], kept: [] }));
    expect(report).toMatchObject({ schemas: { kept: 0, missing: 2 }, damagedObjects: 0 });
    expect(
      report.findings.map(({ key, kind, severity, detail }) => [key, kind, severity, detail.slice(0, 21)]),
    ).toEqual([
      [keyOf(V0), 'schema-missing', 'notice', 'records in 3 objects '],
      [keyOf(V1), 'schema-missing', 'notice', 'records in 1 object n'],
    ]);
  });

  it('finds a schema gone that manifests name, without reading a record', async () => {
    const store = await archive();
    store.objects.delete(keyOf(V1));
    for (const level of ['list', 'record'] as const)
      expect((await verify(store, level)).findings).toEqual([
        {
          key: keyOf(V1),
          kind: 'missing',
          severity: 'damage',
          detail: 'manifests name it as the schema of 3 objects',
        },
      ]);
  });

  it.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, -9)],
    ['changed', (bytes: Buffer) => Buffer.from(bytes.toString().replace('int', 'long'))],
    [
      'another one',
      () =>
        encodeKeptSchema(keepSchema(TOPIC, V0, { type: 'JSON', name: '', properties: [], definition: V0 })),
    ],
  ])('finds a schema that is %s', async (_, bytes) => {
    const store = await archive();
    tamper(store, keyOf(V1), { bytes });
    expect((await verify(store, 'list')).findings).toEqual([]);
    for (const level of ['object', 'record'] as const)
      expect((await verify(store, level)).findings).toMatchObject([
        { key: keyOf(V1), kind: 'schema', severity: 'damage' },
      ]);
  });
});
