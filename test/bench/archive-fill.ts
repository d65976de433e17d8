// Fills a bucket with an archive of any size, as the function would leave it: objects of the product's own records with
// their metadata, some in parts, and manifests. One object in memory at a time.
import { createHash } from 'node:crypto';
import { objectKey } from '../../src/format/object-key.ts';
import { formatMessageId, formatTime, RECORD_FORMAT } from '../../src/format/record.ts';
import { encodeRecords } from '../../src/format/record-encoder.ts';
import type { ManifestObject } from '../../src/format/run-manifest.ts';
import { storeRunManifest } from '../../src/format/run-manifest.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Message, ObjectStore } from '../../src/ports.ts';
import { partitionTopic, type TopicName } from '../../src/topic-name.ts';

const PART_BYTES = 8 * 1_048_576;
const START_MS = Date.UTC(2026, 10, 1);
const OBJECTS_PER_RUN = 16;
/** Of each 40 objects one is large: a file of large messages, stored in parts. The others are 5000 of 1 KiB. */
const LARGE_EVERY = 40;
const SMALL = { count: 5_000, bytes: 1_024 };
const LARGE = { count: 2_500, bytes: 100_000 };

export interface Filled {
  readonly objects: number;
  readonly messages: number;
  readonly bytes: number;
}

/** Stores objects until `bytes` are reached. */
export async function fillArchive(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  options: { readonly bytes: number; readonly partitions: number; readonly largeMessages?: number },
): Promise<Filled> {
  const large = { ...LARGE, count: options.largeMessages ?? LARGE.count };
  const filled = { objects: 0, messages: 0, bytes: 0 };
  let run: ManifestObject[] = [];
  const nextEntry = new Array<number>(options.partitions).fill(0);
  const endRun = async () => {
    if (run.length > 0) await storeRun(store, prefix, run, options.partitions);
    run = [];
  };
  while (filled.bytes < options.bytes) {
    const partition = filled.objects % options.partitions;
    const { count, bytes } = filled.objects % LARGE_EVERY === 1 ? large : SMALL;
    const entryId = nextEntry[partition] as number;
    const messages = makeMessages(topic, partition, entryId, count, bytes);
    nextEntry[partition] = entryId + count;
    const object = await storeObject(store, prefix, topic, messages);
    run.push(object);
    filled.objects++;
    filled.messages += count;
    filled.bytes += object.size;
    if (run.length === OBJECTS_PER_RUN) await endRun();
  }
  await endRun();
  return filled;
}

function makeMessages(
  topic: TopicName,
  partition: number,
  from: number,
  count: number,
  bytes: number,
): Message[] {
  return Array.from({ length: count }, (_, i): Message => {
    const entryId = from + i;
    return {
      id: { ledgerId: 12, entryId, partition, batchIndex: -1 },
      topic: partitionTopic(topic, partition),
      publishTimeMs: START_MS + entryId * 20,
      eventTimeMs: undefined,
      key: `customer-${entryId % 1_000}`,
      orderingKey: undefined,
      properties: [['type', 'order.created']],
      producer: 'bench',
      sequenceId: entryId,
      schemaVersion: undefined,
      replicatedFrom: undefined,
      payload: makePayload(entryId, bytes),
    };
  });
}

/** JSON that compresses to about a third: neither all noise nor all the same. */
function makePayload(seed: number, bytes: number): Buffer {
  let text = `{"order":${seed},"lines":[`;
  for (let i = 0; text.length < bytes - 80; i++) {
    const mixed = Math.imul(seed * 131 + i, 2_654_435_761) >>> 0;
    text += `{"sku":"${mixed.toString(36)}","quantity":${mixed % 13},"price":${mixed % 100_000}},`;
  }
  return Buffer.from(`${text.slice(0, bytes - 3)}"}]`);
}

async function storeObject(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  messages: readonly Message[],
): Promise<ManifestObject> {
  const [first, last] = [messages[0] as Message, messages.at(-1) as Message];
  const bytes = Buffer.concat(Array.from(encodeRecords(messages).chunks, (chunk) => Buffer.from(chunk)));
  const key = objectKey(prefix, topic, first, 'none');
  const crc = crc64([bytes]);
  const begin = {
    format: RECORD_FORMAT,
    rule: 'bench',
    'first-id': formatMessageId(first.id),
    'first-publish-time': formatTime(first.publishTimeMs),
  };
  const contentType = 'application/x-ndjson';
  if (bytes.length < PART_BYTES) {
    const metadata = {
      ...begin,
      'last-id': formatMessageId(last.id),
      'last-publish-time': formatTime(last.publishTimeMs),
      messages: String(messages.length),
      'record-bytes': String(bytes.length),
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
    await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc, { metadata, contentType });
  } else {
    const upload = await store.startUpload(key, { metadata: begin, contentType });
    if (upload.kind === 'exists') throw new Error(`${key} is there already`);
    for (let at = 0, number = 1; at < bytes.length; at += PART_BYTES, number++) {
      const part = bytes.subarray(at, at + PART_BYTES);
      await upload.part(number, { chunks: [part], sizeBytes: part.length }, crc64([part]));
    }
    await upload.complete({ crc64: crc, sizeBytes: bytes.length });
  }
  return {
    key,
    partition: first.id.partition,
    messages: messages.length,
    recordBytes: bytes.length,
    size: bytes.length,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    crc64: crc,
    alreadyStored: false,
  };
}

async function storeRun(
  store: ObjectStore,
  prefix: string,
  objects: readonly ManifestObject[],
  partitions: number,
): Promise<void> {
  const [first] = objects as readonly [ManifestObject];
  const summary = {
    rule: 'bench',
    requestId: first.firstId.replaceAll(':', '-'),
    startedAt: first.firstPublishTime,
    durationMs: 1,
    stopReason: 'caught_up' as const,
    messages: objects.reduce((sum, one) => sum + one.messages, 0),
    recordBytes: objects.reduce((sum, one) => sum + one.recordBytes, 0),
    objects: objects.length,
    alreadyStored: 0,
    unreadable: 0,
    partitions,
  };
  await storeRunManifest(store, prefix, summary, objects, {});
}
