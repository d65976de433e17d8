// Reads one object to its end: the checksum of its bytes, and at the level of records every line. What is wrong is
// reported, not thrown; only the store's own failures are thrown.
import { createHash } from 'node:crypto';
import { BackupError, messageOf } from '../../errors.ts';
import { dateOf } from '../../format/object-key.ts';
import { compareMessageIds, decodeRecord, formatMessageId, formatTime } from '../../format/record.ts';
import { readLines } from '../../format/stored-object.ts';
import { Crc64 } from '../../lib/crc64.ts';
import type { CallOptions, Message, MessageId, ObjectStore, TimeMs } from '../../ports.ts';
import { partitionTopic } from '../../topic-name.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { damage, type Finding, notice } from '../finding.ts';
import { IdSet } from '../read/id-set.ts';

/** So many lines are reported one by one; of an object that is all wrong the rest is not news. */
const MAX_LINES_TOLD = 5;

/** What is in an object. Ids, times and counts only where its records were read. */
export interface Inspection {
  readonly sizeBytes: number;
  readonly crc64: string;
  readonly sha256: string;
  readonly messages?: number;
  readonly recordBytes?: number;
  readonly first?: { readonly id: MessageId; readonly publishTimeMs: TimeMs };
  readonly last?: { readonly id: MessageId; readonly publishTimeMs: TimeMs };
  readonly earliestMs?: TimeMs;
  readonly latestMs?: TimeMs;
  readonly least?: MessageId;
  readonly greatest?: MessageId;
  /** The versions of schemas that its records name, in Base64; absent where they name none. */
  readonly schemaVersions?: readonly string[];
  readonly findings: readonly Finding[];
}

/** Reads the object's bytes, and with `records` its lines. @throws BackupError `store` */
export async function inspectObject(
  store: ObjectStore,
  object: ArchiveObject,
  records: boolean,
  options: CallOptions & { onBytes?: (bytes: number) => void } = {},
): Promise<Inspection> {
  const crc = new Crc64();
  const sha = createHash('sha256');
  let sizeBytes = 0;
  let isRead = false;
  const read = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of store.read(object.key, options.signal ? { signal: options.signal } : {})) {
      crc.update(chunk);
      sha.update(chunk);
      sizeBytes += chunk.byteLength;
      options.onBytes?.(chunk.byteLength);
      yield chunk;
    }
    isRead = true;
  };
  const lines = records ? await inspectLines({ ...store, read }, object) : { findings: [] };
  if (!isRead) {
    // Not decompressed to the end: the rest counts for the checksum all the same.
    const [crcAfresh, shaAfresh] = [new Crc64(), createHash('sha256')];
    sizeBytes = 0;
    for await (const chunk of store.read(object.key, options.signal ? { signal: options.signal } : {})) {
      crcAfresh.update(chunk);
      shaAfresh.update(chunk);
      sizeBytes += chunk.byteLength;
    }
    return { ...lines, sizeBytes, crc64: crcAfresh.digest(), sha256: shaAfresh.digest('hex') };
  }
  return { ...lines, sizeBytes, crc64: crc.digest(), sha256: sha.digest('hex') };
}

async function inspectLines(
  store: ObjectStore,
  object: ArchiveObject,
): Promise<Omit<Inspection, 'sizeBytes' | 'crc64' | 'sha256'>> {
  const { key, parts } = object;
  const findings: Finding[] = [];
  const ids = new IdSet();
  const schemaVersions = createVersionSet();
  const topic = partitionTopic(
    { tenant: parts.tenant, namespace: parts.namespace, topic: parts.topic, full: object.topic },
    parts.partition,
  );
  let messages = 0;
  let recordBytes = 0;
  let wrongLines = 0;
  let disorder = 0;
  let skipped = 0;
  let first: Message | undefined;
  let last: Message | undefined;
  let earliestMs: TimeMs | undefined;
  let latestMs: TimeMs | undefined;
  let least: MessageId | undefined;
  let greatest: MessageId | undefined;
  const add = (kind: Finding['kind'], what: string) => {
    if (++wrongLines <= MAX_LINES_TOLD) findings.push(damage(key, kind, `line ${messages}: ${what}`));
  };
  try {
    for await (const line of readLines(store, key, parts.compression, {})) {
      messages++;
      recordBytes += Buffer.byteLength(line) + 1;
      let message: Message;
      try {
        message = decodeRecord(line);
      } catch (error) {
        add('record', messageOf(error));
        continue;
      }
      if (ids.has(message.id))
        add('duplicate-line', `message ${formatMessageId(message.id)} is there twice in this object`);
      ids.add(message.id);
      if (message.topic !== topic) add('record', `it is of ${message.topic}`);
      if (message.id.partition !== parts.partition)
        add('record', `it is of partition ${message.id.partition}`);
      if (last !== undefined && compareMessageIds(message.id, last.id) < 0) disorder++;
      if (last !== undefined && !isNext(message.id, last.id)) skipped++;
      if (least === undefined || compareMessageIds(message.id, least) < 0) least = message.id;
      if (greatest === undefined || compareMessageIds(message.id, greatest) > 0) greatest = message.id;
      const { publishTimeMs, schemaVersion } = message;
      if (schemaVersion !== undefined) schemaVersions.add(schemaVersion);
      if (earliestMs === undefined || publishTimeMs < earliestMs) earliestMs = publishTimeMs;
      if (latestMs === undefined || publishTimeMs > latestMs) latestMs = publishTimeMs;
      first ??= message;
      last = message;
    }
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
    findings.push(damage(key, 'cut', messageOf(error)));
  }
  if (wrongLines > MAX_LINES_TOLD)
    findings.push(damage(key, 'record', `${wrongLines - MAX_LINES_TOLD} more lines are wrong`));
  if (disorder > 0)
    findings.push(notice(key, 'unordered', `${disorder} messages come before earlier ones (Shared)`));
  else if (skipped > 0 && object.facts.messages === undefined)
    findings.push(
      notice(
        key,
        'gap',
        `between its records ids are left out in ${skipped} places (records taken out, or chunks, markers, compaction), and neither manifest nor metadata says how many messages it should have`,
      ),
    );
  if (messages === 0) findings.push(damage(key, 'record', 'it holds no record'));
  if (first !== undefined && last !== undefined) findings.push(...compareRange(object, first, last));
  return {
    messages,
    recordBytes,
    ...(first === undefined ? {} : { first: { id: first.id, publishTimeMs: first.publishTimeMs } }),
    ...(last === undefined ? {} : { last: { id: last.id, publishTimeMs: last.publishTimeMs } }),
    ...(earliestMs === undefined ? {} : { earliestMs }),
    ...(latestMs === undefined ? {} : { latestMs }),
    ...(least === undefined ? {} : { least }),
    ...(greatest === undefined ? {} : { greatest }),
    ...(schemaVersions.all.size === 0 ? {} : { schemaVersions: [...schemaVersions.all] }),
    findings,
  };
}

/** Whether no id is left out between two messages; into which entry another ledger begins, nobody can know. */
function isNext(id: MessageId, last: MessageId): boolean {
  if (id.ledgerId !== last.ledgerId) return true;
  if (id.entryId === last.entryId) return id.batchIndex <= last.batchIndex + 1;
  return id.entryId === last.entryId + 1 && id.batchIndex <= 0;
}

/** Versions in Base64, few of them among many messages. */
function createVersionSet() {
  const all = new Set<string>();
  let last: Uint8Array | undefined;
  return {
    all,
    /** Producers without a schema write a version of no bytes. */
    add(version: Uint8Array): void {
      if (version.length === 0 || (last !== undefined && Buffer.compare(version, last) === 0)) return;
      last = version;
      all.add(Buffer.from(version).toString('base64'));
    },
  };
}

/** Key, metadata and manifest say with which message the object begins and ends. */
function compareRange(
  { key, parts, manifest, head }: ArchiveObject,
  first: Message,
  last: Message,
): Finding[] {
  const findings: Finding[] = [];
  const expect = (what: string, said: string | undefined, found: string) => {
    if (said !== undefined && said !== found)
      findings.push(damage(key, 'range', `${what} ${said}, but it is ${found}`));
  };
  const place = { ...first.id, batchIndex: Math.max(0, first.id.batchIndex) };
  if (compareMessageIds(place, parts) !== 0)
    findings.push(
      damage(key, 'range', `its first message is ${formatMessageId(first.id)}, not that of its key`),
    );
  expect('its key is of the day', parts.date, dateOf(first.publishTimeMs));
  const metadata = head?.metadata ?? {};
  for (const [source, from] of [
    [
      'manifest',
      [manifest?.firstId, manifest?.firstPublishTime, manifest?.lastId, manifest?.lastPublishTime],
    ],
    [
      'metadata',
      [
        metadata['first-id'],
        metadata['first-publish-time'],
        metadata['last-id'],
        metadata['last-publish-time'],
      ],
    ],
  ] as const) {
    expect(`the ${source} names the first message`, from[0], formatMessageId(first.id));
    expect(`the ${source} names the first publish time`, from[1], formatTime(first.publishTimeMs));
    expect(`the ${source} names the last message`, from[2], formatMessageId(last.id));
    expect(`the ${source} names the last publish time`, from[3], formatTime(last.publishTimeMs));
  }
  return findings;
}
