// Fills the folder of the stand-in of COS with an archive of many small objects, as a rule of many partitions leaves it:
// its objects are files that a local copy would have, so both can be measured.
import { createHash } from 'node:crypto';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { objectKey, runManifestKey } from '../../src/format/object-key.ts';
import { encodeRecord, formatMessageId, formatTime, RECORD_FORMAT } from '../../src/format/record.ts';
import { type ManifestObject, RUN_MANIFEST_FORMAT } from '../../src/format/run-manifest.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import { hiddenFolder } from '../../src/local/cos/object-folder.ts';
import type { Message } from '../../src/ports.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import { BUCKET } from './archive-cos.ts';

const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
export const PARTITIONS = 64;
/** As a rule of 64 partitions leaves them every five minutes; at least so many days. */
const OBJECTS_A_DAY = 18_432;
const MIN_DAYS = 10;
export const MESSAGES = 5;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 1);
const KEYS = 1_000;

type Write = (key: string, text: string, metadata: Readonly<Record<string, string>>) => void;

/** At least so many that each has a thousand objects. */
export const daysOf = (objects: number): number => Math.max(MIN_DAYS, Math.ceil(objects / OBJECTS_A_DAY));

/**
 * As the function leaves it: in each run one object of each partition, and a manifest. Written as the files of the
 * stand-in of COS, with the metadata of each.
 */
export function fillObjects(home: string, objects: number): void {
  const runs = Math.ceil(objects / PARTITIONS);
  const days = daysOf(objects);
  const folders = new Set<string>();
  const metadataFolder = join(hiddenFolder(join(home, 'objects'), BUCKET), 'metadata');
  mkdirSync(metadataFolder, { recursive: true });
  const write: Write = (key, text, metadata) => {
    const path = join(home, 'objects', BUCKET, key);
    const folder = dirname(path);
    if (!folders.has(folder)) mkdirSync(folder, { recursive: true });
    folders.add(folder);
    const bytes = Buffer.from(text);
    writeFileSync(path, bytes);
    const { mtimeMs } = statSync(path);
    const described = {
      ...{ key, sizeBytes: bytes.length, lastModifiedMs: mtimeMs, writtenMs: mtimeMs },
      etag: createHash('md5').update(bytes).digest('hex'),
      crc64: crc64([bytes]),
      headers: Object.fromEntries(
        Object.entries(metadata).map(([name, value]) => [`x-cos-meta-${name}`, value]),
      ),
    };
    const name = createHash('sha256').update(key).digest('hex');
    writeFileSync(join(metadataFolder, `${name}.json`), JSON.stringify(described));
  };
  let left = objects;
  for (let run = 0; run < runs; run++) {
    const startedAtMs = START_MS + Math.floor((run * days * DAY_MS) / runs);
    const stored: ManifestObject[] = [];
    for (let partition = 0; partition < PARTITIONS && left > 0; partition++, left--)
      stored.push(writeObject(write, partition, run, startedAtMs));
    // Its messages were there when the run began.
    const runStartedAtMs = startedAtMs + 2_000;
    const summary = {
      format: RUN_MANIFEST_FORMAT,
      rule: 'bench',
      requestId: `run-${run}`,
      startedAt: formatTime(runStartedAtMs),
      durationMs: 1_000,
      stopReason: 'caught_up',
      messages: stored.length * MESSAGES,
      recordBytes: stored.reduce((sum, one) => sum + one.recordBytes, 0),
      objects: stored.length,
      alreadyStored: 0,
      unreadable: 0,
      partitions: PARTITIONS,
      topic: TOPIC.full,
      subscription: 'bench',
      subscriptionType: 'failover',
      spansInKeysSince: formatTime(START_MS),
      positions: stored.map(({ partition, lastId }) => ({
        partition,
        begin: `${12 + run - 1}:4`,
        end: lastId.split(':').slice(0, 2).join(':'),
      })),
    };
    write(
      runManifestKey('', 'bench', runStartedAtMs, `run-${run}`),
      `${JSON.stringify({ ...summary, storedObjects: stored })}\n`,
      { format: RUN_MANIFEST_FORMAT, rule: 'bench' },
    );
  }
}

function writeObject(write: Write, partition: number, run: number, startedAtMs: number): ManifestObject {
  const messages = Array.from({ length: MESSAGES }, (_, i): Message => {
    const number = (run * PARTITIONS + partition) * MESSAGES + i;
    return {
      id: { ledgerId: 12 + run, entryId: i, partition, batchIndex: -1 },
      topic: partitionTopic(TOPIC, partition),
      publishTimeMs: startedAtMs + i,
      eventTimeMs: undefined,
      key: `customer-${number % KEYS}`,
      orderingKey: undefined,
      properties: [['type', 'order.created']],
      producer: 'bench',
      sequenceId: number,
      schemaVersion: undefined,
      replicatedFrom: undefined,
      payload: Buffer.from(`{"order":${number},"quantity":${number % 13}}`),
    };
  });
  const [first, last] = [messages[0] as Message, messages.at(-1) as Message];
  const text = messages.map(encodeRecord).join('');
  const key = objectKey('', TOPIC, first, 'none');
  const size = Buffer.byteLength(text);
  write(key, text, {
    format: RECORD_FORMAT,
    rule: 'bench',
    'first-id': formatMessageId(first.id),
    'first-publish-time': formatTime(first.publishTimeMs),
    'last-id': formatMessageId(last.id),
    'last-publish-time': formatTime(last.publishTimeMs),
    'earliest-publish-time': formatTime(first.publishTimeMs),
    'latest-publish-time': formatTime(last.publishTimeMs),
    messages: String(MESSAGES),
    'record-bytes': String(size),
    sha256: createHash('sha256').update(text).digest('hex'),
  });
  return {
    key,
    partition,
    messages: MESSAGES,
    recordBytes: size,
    size,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    alreadyStored: false,
  };
}
