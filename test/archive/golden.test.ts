// Golden objects of record format v1: written once, and never again. Every later version has to read them as they are.
// Those of zstd have several frames, of partition 3 by WebAssembly, of partition 4 by Node 22's own; what reads them is
// what this Node has, and in the integration suite each.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { byPartition } from '../../src/archive/catalog/catalog.ts';
import { createFolderStore } from '../../src/archive/catalog/folder-store.ts';
import { readCatalog } from '../../src/archive/catalog/read-catalog.ts';
import { mergeByTime, readPartition } from '../../src/archive/read/read-messages.ts';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { decodeRecord, encodeRecord } from '../../src/format/record.ts';
import type { Message } from '../../src/ports.ts';

const FOLDER = fileURLToPath(new URL('../fixtures/golden/v1', import.meta.url));
const store = createFolderStore(FOLDER);

async function golden(): Promise<{ message: Message; line: string }[]> {
  const { objects } = await readCatalog(store, '', { heads: 'none' });
  const partitions = [...byPartition(objects).values()].map((own) => readPartition(store, own, {}));
  const all: { message: Message; line: string }[] = [];
  for await (const one of mergeByTime(partitions)) all.push(one);
  return all;
}

/** Large values are represented by their checksum. */
const payloadOf = (payload: Uint8Array | null) =>
  payload !== null && payload.length > 10_000
    ? `sha256 ${createHash('sha256').update(payload).digest('hex')}`
    : hex(payload);

const hex = (bytes: Uint8Array | null | undefined) => (bytes ? Buffer.from(bytes).toString('hex') : bytes);

it('are read back field by field, from plain, gzip and zstd objects', async () => {
  const expected = JSON.parse(readFileSync(`${FOLDER}/../v1-expected.json`, 'utf8'));
  const facts = (await golden()).map(({ message }) => ({
    id: message.id,
    topic: message.topic,
    publishTimeMs: message.publishTimeMs,
    eventTimeMs: message.eventTimeMs ?? null,
    key: typeof message.key === 'string' ? message.key : (hex(message.key) ?? null),
    isBinaryKey: message.key instanceof Uint8Array,
    orderingKeyHex: hex(message.orderingKey) ?? null,
    properties: message.properties,
    producer: message.producer ?? null,
    sequenceId: message.sequenceId === undefined ? null : String(message.sequenceId),
    schemaVersionHex: hex(message.schemaVersion) ?? null,
    replicatedFrom: message.replicatedFrom ?? null,
    payloadHex: payloadOf(message.payload),
  }));
  expect(facts).toEqual(expected);
});

it('are written today as they were then', async () => {
  for (const { line } of await golden()) expect(encodeRecord(decodeRecord(line))).toBe(`${line}\n`);
});

it('are sound by what their manifest says', async () => {
  const report = await verifyArchive(store, '', { level: 'record', knowsMetadata: false });
  // Objects from before schemas were kept: a notice, no damage.
  const findings = [{ severity: 'notice', kind: 'schema-missing', key: '_schemas/t/ns/orders/1.json' }];
  expect(report).toMatchObject({ objects: 5, messages: 22, findings });
});
