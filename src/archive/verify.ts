// Verifies an archive: the catalog, then object by object, several at a time, then what overlapping objects have in
// common. It changes nothing. What was verified before can be handed in, so that a verification can be gone on with.
import { createHash } from 'node:crypto';
import { BackupError } from '../errors.ts';
import { compareMessageIds, decodeRecord, encodeRecord, formatMessageId } from '../format/record.ts';
import { readLines } from '../format/stored-object.ts';
import { createSlots } from '../lib/semaphore.ts';
import type { CallOptions, Message, MessageId, ObjectStore } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import {
  type ArchiveObject,
  byPartition,
  type Catalog,
  isNothing,
  isRecovered,
  readCatalog,
} from './catalog.ts';
import { type Chain, createRunFollower, ofTopic } from './chain/follow-runs.ts';
import { readManifests } from './chain/read-manifests.ts';
import {
  type ChainSummary,
  type PartitionResult,
  summariseChain,
  verifyChain,
} from './chain/verify-chain.ts';
import { damage, type Finding, notice } from './finding.ts';
import { type Inspection, inspectObject } from './inspect.ts';
import { pathOf } from './manifest-index.ts';
import { countMessages } from './message-count.ts';
import { nothingFound } from './nothing-found.ts';
import { type DayResult, resultsByDay } from './report/days.ts';
import { compareDays, type EarlierReport } from './report/earlier.ts';
import { verifyCatalog } from './verify-catalog.ts';

const PARALLEL_LOOKS = 16;

/** `list`: without downloading. `object`: also the checksum of the bytes. `record`: also every line. */
export type VerifyLevel = 'list' | 'object' | 'record';

export interface VerifyOptions extends CallOptions {
  readonly level: VerifyLevel;
  readonly topic?: TopicName | undefined;
  /** Objects at a time; 4 by default. */
  readonly parallel?: number;
  /** False for a local copy, which has no metadata. */
  readonly knowsMetadata?: boolean;
  /** What an earlier verification saw has to be there still. */
  readonly earlier?: EarlierReport | undefined;
  /** What an earlier verification found in an object that has not changed since. */
  readonly known?: (object: ArchiveObject) => Inspection | undefined;
  readonly onInspected?: (object: ArchiveObject, inspection: Inspection) => void;
  /** Of the metadata that is asked for first. */
  readonly onChecked?: (objects: number) => void;
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  readonly objects: number;
  readonly totalObjects: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface VerifyReport {
  readonly format: 'tdmq-backup-verify/1';
  readonly level: VerifyLevel;
  readonly objects: number;
  readonly bytes: number;
  /** Counted at the level of records, below it as manifests and metadata say. */
  readonly messages: number;
  /** Objects whose count is not known: `messages` is without theirs. */
  readonly unknown: number;
  /** Messages that stand in more than one object; only at the level of records. */
  readonly duplicates: number;
  readonly damagedObjects: number;
  /** Entries kept raw, and how many of them stand in objects all the same. */
  readonly unreadable: number;
  readonly recovered: number;
  /** How far the runs could be followed by their manifests. */
  readonly chain: ChainSummary;
  readonly partitions: readonly PartitionResult[];
  readonly days: readonly DayResult[];
  readonly findings: readonly Finding[];
}

/** Verifies the archive at `prefix`. @throws BackupError `store` where it cannot be read; `config` where there is none */
export async function verifyArchive(
  store: ObjectStore,
  prefix: string,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const { level, topic, parallel = 4, knowsMetadata = true, earlier } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const follower = createRunFollower(prefix, earlier?.heads);
  const listed = await readCatalog(store, prefix, {
    ...call,
    topic,
    isLocal: !knowsMetadata,
    ...(knowsMetadata && { heads: 'all' as const }),
    ...(options.onChecked === undefined ? {} : { onProgress: options.onChecked }),
  });
  for await (const read of readManifests(store, await listManifests(store, prefix, call), call))
    follower.add(read);
  const followed = topic === undefined ? follower.finish() : ofTopic(follower.finish(), topic.full);
  const { catalog, chain } = await lookAgain(store, prefix, listed, followed, call);
  if (isNothing(catalog))
    throw await nothingFound(store, prefix, { ...call, topic, isLocal: !knowsMetadata });
  let findings = verifyCatalog(catalog, knowsMetadata);
  const inspections = new Map<ArchiveObject, Inspection>();
  let duplicates = 0;
  if (level !== 'list') {
    await inspectAll(store, catalog, options, parallel, inspections);
    for (const [object, inspection] of inspections) findings.push(...verifyInspection(object, inspection));
  }
  if (level === 'record') {
    const common: Finding[] = [];
    for (const objects of byPartition(catalog.objects).values()) {
      const overlaps = await compareOverlaps(store, objects, inspections, call);
      duplicates += overlaps.duplicates;
      common.push(...overlaps.findings);
    }
    // Messages that a transaction held back lie in an object of their own, inside of another's ends.
    const shared = new Set(common.map(({ key }) => key));
    findings = findings.filter(({ kind, key }) => kind !== 'overlap' || shared.has(key));
    findings.push(...common);
  }
  const { findings: ofChain, partitions } = verifyChain(catalog, chain, (object) => {
    const { greatest } = inspections.get(object) ?? {};
    return greatest ?? object.facts.lastId;
  });
  findings.push(...ofChain);
  const unordered = new Set(findings.filter(({ kind }) => kind === 'unordered').map(({ key }) => key));
  // Where messages are in no order, first and last ids are no ranges.
  findings = findings.filter(({ kind, key }) => !(kind === 'gap' && unordered.has(key)));
  const verified = catalog.objects.map((object) => {
    const { messages, sha256 } = inspections.get(object) ?? {};
    const { manifest, head, facts } = object;
    return {
      object,
      messages: messages ?? facts.messages,
      sha256: sha256 ?? manifest?.sha256 ?? head?.metadata['sha256'],
    };
  });
  const lessThanBefore =
    earlier === undefined ? [] : compareDays(earlier, resultsByDay(verified, []), prefix, topic);
  findings.push(...lessThanBefore);
  const count = countMessages(
    catalog.objects,
    (object) => inspections.get(object)?.messages ?? object.facts.messages,
  );
  return {
    format: 'tdmq-backup-verify/1',
    level,
    objects: catalog.objects.length,
    bytes: catalog.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    messages: count.messages,
    unknown: count.unknown,
    duplicates,
    damagedObjects: new Set(findings.filter(({ severity }) => severity === 'damage').map(({ key }) => key))
      .size,
    unreadable: catalog.raw.length,
    recovered: catalog.raw.filter(isRecovered).length,
    chain: summariseChain(chain),
    partitions,
    days: resultsByDay(verified, findings),
    findings,
  };
}

/** The keys of all manifests, in order. */
async function listManifests(store: ObjectStore, prefix: string, call: CallOptions): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(`${prefix}_runs/`, call)) keys.push(key);
  return keys;
}

/** A run may have ended while the catalog was read, and left what was not there before. */
async function lookAgain(
  store: ObjectStore,
  prefix: string,
  catalog: Catalog,
  chain: Chain,
  call: CallOptions,
): Promise<{ catalog: Catalog; chain: Chain }> {
  const isGone = async (key: string) => (await store.head(key, call)) === undefined;
  const gone = async <T>(all: readonly T[], keyOf: (one: T) => string): Promise<T[]> => {
    const slots = createSlots(PARALLEL_LOOKS);
    const answers = await Promise.all(all.map((one) => slots.run(() => isGone(keyOf(one)))));
    return all.filter((_, i) => answers[i]);
  };
  const missing = await gone(catalog.missing, ({ key }) => `${prefix}${pathOf(key)}`);
  const missingManifests = await gone(chain.missing, ({ key }) => key);
  return { catalog: { ...catalog, missing }, chain: { ...chain, missing: missingManifests } };
}

async function inspectAll(
  store: ObjectStore,
  catalog: Catalog,
  options: VerifyOptions,
  parallel: number,
  inspections: Map<ArchiveObject, Inspection>,
): Promise<void> {
  const slots = createSlots(parallel);
  const totalObjects = catalog.objects.length;
  const totalBytes = catalog.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let bytes = 0;
  let objects = 0;
  let isFailed = false;
  const report = () => options.onProgress?.({ objects, totalObjects, bytes, totalBytes });
  await Promise.all(
    catalog.objects.map((object) =>
      slots.run(async () => {
        if (isFailed) return;
        try {
          let inspection = options.known?.(object);
          if (inspection === undefined) {
            inspection = await inspectObject(store, object, options.level === 'record', {
              ...(options.signal === undefined ? {} : { signal: options.signal }),
              onBytes(count) {
                bytes += count;
                report();
              },
            });
            options.onInspected?.(object, inspection);
          } else bytes += object.sizeBytes;
          inspections.set(object, inspection);
          objects++;
          report();
        } catch (error) {
          isFailed = true;
          throw error;
        }
      }),
    ),
  );
}

/** What was read of an object against what is said of it. */
function verifyInspection(object: ArchiveObject, inspection: Inspection): Finding[] {
  const { key, manifest, head } = object;
  const metadata = head?.metadata ?? {};
  const findings = [...inspection.findings];
  const compare = (
    kind: Finding['kind'],
    what: string,
    found: string | number,
    ...said: [source: string, value: string | number | undefined][]
  ) => {
    for (const [source, value] of said) {
      if (value !== undefined && String(value) !== String(found))
        findings.push(damage(key, kind, `its ${what} is ${found}, ${source} says ${value}`));
    }
  };
  compare('size', 'size', inspection.sizeBytes, ['the listing', object.sizeBytes]);
  compare('checksum', 'CRC-64', inspection.crc64, ['COS', head?.crc64], ['its manifest', manifest?.crc64]);
  compare(
    'checksum',
    'SHA-256',
    inspection.sha256,
    ['its metadata', metadata['sha256']],
    ['its manifest', manifest?.sha256],
  );
  if (inspection.messages !== undefined && inspection.recordBytes !== undefined) {
    const { messages, recordBytes } = inspection;
    compare(
      'count',
      'number of messages',
      messages,
      ['its metadata', metadata['messages']],
      ['its manifest', manifest?.messages],
    );
    compare(
      'count',
      'size of records',
      recordBytes,
      ['its metadata', metadata['record-bytes']],
      ['its manifest', manifest?.recordBytes],
    );
  }
  return findings;
}

/** Messages in two objects of a partition: equal ones are duplicates, others are a conflict. */
async function compareOverlaps(
  store: ObjectStore,
  objects: readonly ArchiveObject[],
  inspections: ReadonlyMap<ArchiveObject, Inspection>,
  call: CallOptions,
): Promise<{ duplicates: number; findings: Finding[] }> {
  const findings: Finding[] = [];
  let duplicates = 0;
  const ranges = objects
    .map((object) => ({ object, ...inspections.get(object) }))
    .flatMap(({ object, least, greatest }) =>
      least === undefined || greatest === undefined ? [] : [{ object, least, greatest }],
    )
    .sort((a, b) => compareMessageIds(a.least, b.least));
  let open: { object: ArchiveObject; greatest: MessageId; records: Map<string, string> | undefined }[] = [];
  for (const { object, least, greatest } of ranges) {
    open = open.filter((one) => compareMessageIds(one.greatest, least) >= 0);
    let records: Map<string, string> | undefined;
    for (const one of open) {
      one.records ??= await recordsOf(store, one.object, call);
      records ??= await recordsOf(store, object, call);
      let equal = 0;
      let first: string | undefined;
      for (const [id, record] of records) {
        const other = one.records.get(id);
        if (other === undefined) continue;
        if (other === record) equal++;
        else first ??= id;
      }
      if (equal > 0)
        findings.push(
          notice(object.key, 'duplicates', `${equal} of its messages also stand in ${one.object.key}`),
        );
      if (first !== undefined)
        findings.push(
          damage(object.key, 'conflict', `message ${first} stands otherwise in ${one.object.key}`),
        );
      duplicates += equal;
    }
    open.push({ object, greatest, records });
  }
  return { duplicates, findings };
}

/** A checksum of a message's record, without what drivers may not see. */
export function digestOf(message: Message): string {
  const comparable = { ...message, sequenceId: undefined, schemaVersion: undefined };
  return createHash('sha256').update(encodeRecord(comparable)).digest('base64');
}

/** Checksums of records by id, without what drivers may not see. Lines that are no records were found before. */
async function recordsOf(
  store: ObjectStore,
  object: ArchiveObject,
  call: CallOptions,
): Promise<Map<string, string>> {
  const records = new Map<string, string>();
  try {
    for await (const line of readLines(store, object.key, object.parts.compression, call)) {
      try {
        const message = decodeRecord(line);
        records.set(formatMessageId(message.id), digestOf(message));
      } catch {}
    }
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
  }
  return records;
}
