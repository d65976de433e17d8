// What is in the bucket, read by the documented format alone (design: objects, record format v1): no code of the
// product takes part, so a mistake that writer and reader share would be seen here.
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { crc64 } from '../../src/lib/crc64.ts';
import type { InspectedObject, LoopbackCos } from '../../src/local/cos/server.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import type { PublishedMessage } from './python-clients.ts';

/** A line of an object, as JSON gives it. */
interface StoredRecord {
  readonly id: string;
  readonly topic: string;
  readonly publishTime: string;
  readonly eventTime?: string;
  readonly key?: string;
  readonly keyBase64?: string;
  readonly orderingKey?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly producer?: string;
  readonly sequenceId?: number;
  readonly value?: string | null;
  readonly valueBase64?: string;
}

export interface StoredFile {
  readonly object: InspectedObject;
  readonly partition: string;
  readonly records: readonly StoredRecord[];
}

/** The files of messages under a prefix, in key order; not the manifests. */
export function storedFiles(cos: LoopbackCos, prefix: string): StoredFile[] {
  return objectsUnder(cos, prefix)
    .filter(({ key }) => !key.startsWith(`${prefix}_`))
    .map((object) => {
      const text = (object.key.endsWith('.gz') ? gunzipSync(object.bytes) : object.bytes).toString('utf8');
      expect(text.endsWith('\n'), `${object.key} ends with a line break`).toBe(true);
      const records = text
        .slice(0, -1)
        .split('\n')
        .map((line) => JSON.parse(line) as StoredRecord);
      const partition = /\/partition=(none|\d+)\//.exec(object.key)?.[1] ?? '';
      return { object, partition, records };
    });
}

export function objectsUnder(cos: LoopbackCos, prefix: string): InspectedObject[] {
  return cos
    .objects()
    .filter(({ key }) => key.startsWith(prefix))
    .map(({ key }) => cos.object(key) as InspectedObject);
}

/** A copy of what is under a prefix, that a test may damage. */
export function copyOf(cos: LoopbackCos, prefix: string): MemoryStore {
  const store = createMemoryStore();
  for (const { key, bytes, metadata } of objectsUnder(cos, prefix))
    store.objects.set(key, { key, bytes, metadata, contentType: '', crc64: crc64([bytes]) });
  return store;
}

/** The manifests of the runs under a prefix, oldest first. */
export function runManifests(cos: LoopbackCos, prefix: string) {
  return objectsUnder(cos, `${prefix}_runs/`).map(({ key, bytes }) => ({
    key,
    manifest: JSON.parse(bytes.toString('utf8')) as Record<string, unknown>,
  }));
}

/** Key, bytes and time of everything under a prefix: equal before and after means that nothing was touched. */
export function fingerprint(cos: LoopbackCos, prefix: string): string[] {
  return objectsUnder(cos, prefix).map(({ key, etag, lastModifiedMs }) => `${key} ${etag} ${lastModifiedMs}`);
}

/** What the driver of a run sees of a message: the wire driver everything. */
export interface SeenFields {
  /** Sequence ids, null values as such, and properties of every name. */
  readonly exactFields: boolean;
  /** Who published it. */
  readonly origin: boolean;
}

const EVERYTHING: SeenFields = { exactFields: true, origin: true };

/**
 * Every published message is in some file with every field intact that the driver sees, and nothing else is stored.
 * Answers how many records there are besides the first of each message.
 */
export function expectAtLeastOnce(
  files: readonly StoredFile[],
  topic: string,
  published: readonly PublishedMessage[],
  seen: SeenFields = EVERYTHING,
): number {
  const records = files.flatMap((file) => file.records);
  const different = new Set(records.map(({ id }) => id));
  expect([...different].sort()).toEqual(published.map(({ id }) => id).sort());

  const byId = new Map(published.map((message) => [message.id, message]));
  const wrong = records.filter((record) => {
    const message = byId.get(record.id) as PublishedMessage;
    return JSON.stringify(factsOf(record)) !== JSON.stringify(expectedFacts(topic, message, seen));
  });
  // One by one, so that a failure shows a difference and not 20,000 records.
  for (const record of wrong.slice(0, 3)) {
    expect(factsOf(record)).toEqual(expectedFacts(topic, byId.get(record.id) as PublishedMessage, seen));
  }
  expect(wrong, 'messages with a field that differs').toEqual([]);
  return records.length - different.size;
}

/**
 * Every published message is in exactly one file with every field intact, and nothing else is stored; the files
 * of a partition hold its messages in order and do not overlap.
 */
export function expectExactlyOnce(
  files: readonly StoredFile[],
  topic: string,
  published: readonly PublishedMessage[],
  seen: SeenFields = EVERYTHING,
): void {
  const duplicates = expectAtLeastOnce(files, topic, published, seen);
  expect(duplicates, 'records of messages that stand elsewhere too').toBe(0);

  for (const partition of new Set(files.map((file) => file.partition))) {
    const ids = files
      .filter((file) => file.partition === partition)
      .flatMap((file) => file.records.map(({ id }) => id));
    expect(ids, `partition ${partition} in the broker's order`).toEqual([...ids].sort(compareIds));
  }
}

/** A record with its value as a checksum, every field in one place. */
function factsOf(record: StoredRecord) {
  const { publishTime, value, valueBase64, ...fields } = record;
  const published = Date.parse(publishTime);
  expect(new Date(published).toISOString(), 'a time in UTC with milliseconds').toBe(publishTime);
  expect(Math.abs(published - Date.now()), 'published in this test').toBeLessThan(3_600_000);
  const bytes =
    value === null
      ? null
      : value === undefined
        ? Buffer.from(valueBase64 ?? '', 'base64')
        : Buffer.from(value);
  return sorted({ ...fields, isText: value !== undefined, sha256: bytes === null ? null : sha256(bytes) });
}

function expectedFacts(topic: string, message: PublishedMessage, { exactFields, origin }: SeenFields) {
  const partition = Number(message.id.split(':')[2]);
  const properties = Object.entries(message.properties).filter(
    ([name]) => exactFields || name !== '__proto__',
  );
  const nullValue = exactFields ? null : sha256(Buffer.alloc(0));
  return sorted({
    id: message.id,
    topic: partition < 0 ? topic : `${topic}-partition-${partition}`,
    ...(message.eventTimeMs === null ? {} : { eventTime: new Date(message.eventTimeMs).toISOString() }),
    ...(message.key === null ? {} : { key: message.key }),
    ...(message.orderingKey === null ? {} : { orderingKey: message.orderingKey }),
    ...(properties.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
    ...(origin && { producer: message.producer }),
    ...(exactFields && { sequenceId: message.sequenceId }),
    isText: message.isText,
    sha256: message.sha256 ?? nullValue,
  });
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** With names in order, at both levels, so that two of them compare as text. */
function sorted(fields: Record<string, unknown>): Record<string, unknown> {
  const inOrder = Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    inOrder.map(([name, content]) => [
      name,
      name === 'properties'
        ? Object.entries(content as object).sort(([a], [b]) => (a < b ? -1 : 1))
        : content,
    ]),
  );
}

/** The broker's order within a partition: by ledger, entry, place in the batch. */
function compareIds(a: string, b: string): number {
  const [left, right] = [a, b].map((id) => id.split(':').map(Number)) as [number[], number[]];
  return (
    (left[0] as number) - (right[0] as number) ||
    (left[1] as number) - (right[1] as number) ||
    (left[3] as number) - (right[3] as number)
  );
}

/** The published messages of each partition as the entries that the broker stored, in order. */
export function entriesByPartition(
  published: readonly PublishedMessage[],
): Map<string, PublishedMessage[][]> {
  const partitions = new Map<string, PublishedMessage[][]>();
  let last = '';
  for (const message of [...published].sort((a, b) => compareIds(a.id, b.id))) {
    const [ledger, entry, partition] = message.id.split(':') as [string, string, string];
    const name = partition === '-1' ? 'none' : partition;
    const entries = partitions.get(name) ?? [];
    partitions.set(name, entries);
    const place = `${ledger}:${entry}:${partition}`;
    if (place !== last) entries.push([]);
    last = place;
    entries.at(-1)?.push(message);
  }
  return partitions;
}
