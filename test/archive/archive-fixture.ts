// A small archive in a memory store, made by the product's own drain-side pieces: objects, metadata and a manifest, as
// the function leaves them. Tests damage it.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { objectKey } from '../../src/format/object-key.ts';
import { encodeRecord, formatMessageId, formatTime, RECORD_FORMAT } from '../../src/format/record.ts';
import type { ManifestObject } from '../../src/format/run-manifest.ts';
import { storeRunManifest } from '../../src/format/run-manifest.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Message } from '../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';

export const PREFIX = 'tdmq/';
const TOPIC = parseTopicName('t/ns/orders') as TopicName;
const START_MS = Date.UTC(2026, 10, 23, 12);

/** Message `entryId` of a partition, alone in its entry; published one second after the one before. */
export function message(partition: number, entryId: number, rest: Partial<Message> = {}): Message {
  return {
    id: { ledgerId: 7, entryId, partition, batchIndex: -1 },
    topic: partition < 0 ? TOPIC.full : `${TOPIC.full}-partition-${partition}`,
    publishTimeMs: START_MS + entryId * 1_000,
    eventTimeMs: undefined,
    key: `k${entryId % 3}`,
    orderingKey: undefined,
    properties: [['n', String(entryId)]],
    producer: 'p',
    sequenceId: entryId,
    schemaVersion: undefined,
    replicatedFrom: undefined,
    payload: Buffer.from(`value ${partition}/${entryId}`),
    ...rest,
  };
}

/** Messages `from` to `to`, both included. */
export const messages = (partition: number, from: number, to: number): Message[] =>
  Array.from({ length: to - from + 1 }, (_, i) => message(partition, from + i));

/** Stores one object as a run does; `multipart` leaves out the metadata that a multipart object cannot have. */
export async function storeObject(
  store: MemoryStore,
  own: readonly Message[],
  options: { compression?: 'none' | 'gzip'; multipart?: boolean } = {},
): Promise<ManifestObject> {
  const { compression = 'none', multipart = false } = options;
  const [first, last] = [own[0] as Message, own.at(-1) as Message];
  const records = Buffer.from(own.map(encodeRecord).join(''));
  const bytes = compression === 'gzip' ? gzipSync(records) : records;
  const key = objectKey(PREFIX, TOPIC, first, compression);
  const metadata = {
    format: RECORD_FORMAT,
    rule: 'orders-backup',
    'first-id': formatMessageId(first.id),
    'first-publish-time': formatTime(first.publishTimeMs),
    ...(multipart
      ? {}
      : {
          'last-id': formatMessageId(last.id),
          'last-publish-time': formatTime(last.publishTimeMs),
          messages: String(own.length),
          'record-bytes': String(records.length),
          sha256: createHash('sha256').update(bytes).digest('hex'),
        }),
  };
  const crc = crc64([bytes]);
  await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc, {
    metadata,
    contentType: 'application/x-ndjson',
  });
  return {
    key,
    partition: first.id.partition,
    messages: own.length,
    recordBytes: records.length,
    size: bytes.length,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    crc64: crc,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    alreadyStored: false,
  };
}

/** The manifest of a run that stored these. */
export async function storeManifest(
  store: MemoryStore,
  objects: readonly ManifestObject[],
  requestId = 'r-1',
  partitions = 2,
): Promise<void> {
  const summary = {
    rule: 'orders-backup',
    requestId,
    startedAt: '2026-11-23T12:30:00.000Z',
    durationMs: 1,
    stopReason: 'caught_up' as const,
    messages: objects.reduce((sum, one) => sum + one.messages, 0),
    recordBytes: 0,
    objects: objects.length,
    alreadyStored: 0,
    unreadable: 0,
    partitions,
  };
  await storeRunManifest(store, PREFIX, summary, objects, {});
}

/** Two partitions with two objects each, one of them compressed, and the manifest of the run. */
export async function sampleArchive(): Promise<{ store: MemoryStore; stored: ManifestObject[] }> {
  const store = createMemoryStore();
  const stored = [
    await storeObject(store, messages(0, 0, 9)),
    await storeObject(store, messages(0, 10, 19), { multipart: true }),
    await storeObject(store, messages(1, 0, 4), { compression: 'gzip' }),
    await storeObject(store, messages(1, 5, 9)),
  ];
  await storeManifest(store, stored);
  return { store, stored };
}

/** Replaces what is at a key, as damage does; the store's checksum follows unless `silently`. */
export function tamper(
  store: MemoryStore,
  key: string,
  change: { bytes?: (bytes: Buffer) => Buffer; metadata?: Record<string, string>; silently?: boolean },
): void {
  const object = store.objects.get(key);
  if (object === undefined) throw new Error(`no ${key}`);
  const bytes = change.bytes?.(Buffer.from(object.bytes)) ?? object.bytes;
  store.objects.set(key, {
    ...object,
    bytes,
    metadata: change.metadata ?? object.metadata,
    crc64: change.silently ? object.crc64 : crc64([bytes]),
  });
}
