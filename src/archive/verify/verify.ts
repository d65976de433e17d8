// Verifies an archive: follows its runs, then goes over its objects as they are listed, several at a time, then looks at
// what they have in common and leave out. It changes nothing, and keeps of each object no more than a few numbers. What
// was verified before can be handed in, so that a verification can be gone on with.
import { parseObjectKey } from '../../format/object-key.ts';
import { parseMessageId } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { isGone } from '../../format/stored-object.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import { createMemoryPressure } from '../../lib/memory-pressure.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { untilArchived } from '../catalog/archived.ts';
import { type ArchiveObject, isRecovered, partitionName } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import { type CopyNote, type CopyScope, readCopyScope } from '../catalog/copy-scope.ts';
import { type ListOptions, listRecords } from '../catalog/listing.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import { nothingFound } from '../catalog/nothing-found.ts';
import { fullTopic } from '../catalog/object-facts.ts';
import { PartitionRanges } from '../catalog/object-ranges.ts';
import { compareOverlaps, verifyEnds } from '../catalog/overlaps.ts';
import { type Chain, createRunFollower, ofTopic } from '../chain/follow-runs.ts';
import { justBefore } from '../chain/gaps.ts';
import type { EntryRange } from '../chain/marked-ranges.ts';
import { readManifests } from '../chain/read-manifests.ts';
import {
  type ChainSummary,
  type LeftOut,
  type PartitionResult,
  summariseChain,
  verifyChain,
} from '../chain/verify-chain.ts';
import type { Finding } from '../finding.ts';
import { createDayTally, type DayResult } from './day-tally.ts';
import { compareDays, type EarlierReport } from './earlier.ts';
import { type Inspection, inspectObject } from './inspect.ts';
import { verifySurroundings } from './verify-catalog.ts';
import { verifyFacts, verifyInspection } from './verify-object.ts';
import { createSchemaCheck, type SchemaResult } from './verify-schemas.ts';

/** V8 would let garbage grow to several times of what is in use. */
const MAX_IN_USE_BYTES = 64 * 1_048_576;
/** What comes and goes with an object, or with a manifest: its metadata, what is known about it, and keys. */
const OBJECT_BYTES = 1_024;

/** `list`: without downloading. `object`: also the checksum of the bytes. `record`: also every line. */
export type VerifyLevel = 'list' | 'object' | 'record';

export interface VerifyOptions extends CallOptions {
  readonly level: VerifyLevel;
  readonly topic?: TopicName | undefined;
  /** Objects at a time; 4 by default. */
  readonly parallel?: number;
  /** Only what was published, and what runs did, on this UTC day or later: what is older may be gone. */
  readonly from?: string | undefined;
  /** False for a local copy, which has no metadata. */
  readonly knowsMetadata?: boolean;
  /** What an earlier verification saw has to be there still. */
  readonly earlier?: EarlierReport | undefined;
  /** What an earlier verification found in an object that has not changed since. */
  readonly known?: (object: ArchiveObject) => Inspection | undefined;
  readonly onInspected?: (object: ArchiveObject, inspection: Inspection) => void;
  /** Of manifests, which are read first. */
  readonly onFollowed?: (manifests: number) => void;
  /** Of objects that are listed and looked at. */
  readonly onChecked?: (objects: number) => void;
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  readonly objects: number;
  readonly bytes: number;
  /** `undefined` until all are counted. */
  readonly total: { readonly objects: number; readonly bytes: number } | undefined;
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
  /** Objects that no manifest names. */
  readonly unlisted: number;
  /** Messages that are in more than one object; only at the level of records. */
  readonly duplicates: number;
  readonly damagedObjects: number;
  /** Entries kept raw, and how many of them are in objects all the same. */
  readonly unreadable: number;
  readonly recovered: number;
  readonly schemas: SchemaResult;
  /** Of a copy: what its notes say that was copied, and how many objects its manifests name besides. */
  readonly copies: readonly CopyNote[];
  readonly leftOut: number;
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
  const { level, topic, from, knowsMetadata = true, earlier } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const dates = from === undefined ? undefined : { from, until: undefined };
  const listing = { ...call, topic, dates, isLocal: !knowsMetadata };
  const pressure = createMemoryPressure(MAX_IN_USE_BYTES);
  const scope = await readCopyScope(store, prefix, call);
  const left = scope && createLeftOut(scope);
  // First, so that the objects of every manifest that is there are there as well.
  const chain = await followRuns(store, prefix, options, call, pressure, scope);
  const catalog = streamCatalog(store, prefix, {
    ...listing,
    ...(knowsMetadata && { heads: 'all' as const }),
    onProgress: options.onChecked,
    scope: scope ?? 'none',
    onLeftOut: left?.add,
  });
  const partitions = new PartitionRanges(prefix);
  const days = createDayTally();
  const schemaCheck = createSchemaCheck(store, prefix);
  const ofObjects: Finding[] = [];
  const unordered = new Set<string>();
  const total = { objects: 0, bytes: 0, messages: 0, unknown: 0, unlisted: 0 };
  const objects = level === 'list' ? catalog.objects() : untilArchived(catalog.objects());
  for await (const { object, inspection, isGone: isMissing } of inspectAll(
    store,
    prefix,
    objects,
    options,
    listing,
  )) {
    pressure(OBJECT_BYTES);
    ofObjects.push(...verifyFacts(object, knowsMetadata, isMissing));
    const ofContent = inspection === undefined ? [] : verifyInspection(object, inspection);
    ofObjects.push(...ofContent);
    if (inspection?.findings.some(({ kind }) => kind === 'unordered')) unordered.add(object.key);
    // Of a damaged object counts what it should hold: what is lost of it is found in it, and what it holds instead hides
    // no other loss.
    const isAsStored = !ofContent.some(({ severity }) => severity === 'damage');
    const hasKnownEnd = object.facts.lastId !== undefined;
    partitions.addObject(object, isAsStored || !hasKnownEnd ? inspection : undefined);
    if (object.manifest === undefined && !object.isRecovered) total.unlisted++;
    schemaCheck.add(object, inspection);
    const messages = inspection?.messages ?? object.facts.messages;
    const said = object.manifest?.sha256 ?? object.head?.metadata['sha256'];
    days.add({ object, messages, sha256: inspection?.sha256 ?? said });
    total.objects++;
    total.bytes += object.sizeBytes;
    total.messages += messages ?? 0;
    if (messages === undefined) total.unknown++;
  }
  const surroundings = await catalog.surroundings();
  const { raw, missing } = surroundings;
  if (total.objects + raw.length + missing.length === 0) throw await nothingFound(store, prefix, listing);
  const { duplicates, findings: ofEnds } = await verifyPartitions(store, partitions, level, call);
  const joined = verifyChain(partitions, surroundings, chain, left, from !== undefined);
  const { findings: ofSchemas, ...schemas } = await schemaCheck.results(topic, level !== 'list', call);
  const findings = [
    ...verifySurroundings(surroundings),
    ...ofSchemas,
    ...ofObjects,
    ...[...ofEnds, ...joined.findings]
      // Where messages are in no order, first and last ids are no ranges.
      .filter(({ kind, key }) => !(kind === 'gap' && unordered.has(key))),
  ];
  if (earlier !== undefined)
    findings.push(...compareDays(earlier, days.results([]), prefix, { topic, from }));
  const damaged = findings.filter(({ severity }) => severity === 'damage');
  return {
    format: 'tdmq-backup-verify/1',
    level,
    ...total,
    duplicates,
    damagedObjects: new Set(damaged.map(({ key }) => key)).size,
    unreadable: raw.length,
    recovered: raw.filter(isRecovered).length,
    schemas,
    copies: scope?.notes ?? [],
    leftOut: left?.count() ?? 0,
    chain: summariseChain(chain),
    partitions: joined.partitions,
    days: days.results(findings),
    findings,
  };
}

/** Reads all manifests. One that is named and not there may have come since they were listed. */
async function followRuns(
  store: ObjectStore,
  prefix: string,
  { topic, from, earlier, onFollowed }: VerifyOptions,
  call: CallOptions,
  pressure: (bytes: number) => void,
  scope: CopyScope | undefined,
): Promise<Chain> {
  const follower = createRunFollower(prefix, earlier?.heads, Date.parse(from ?? '') || 0);
  let manifests = 0;
  for await (const read of readManifests(store, prefix, call)) {
    follower.add(read);
    onFollowed?.(++manifests);
    pressure(OBJECT_BYTES);
  }
  const chain = topic === undefined ? follower.finish() : ofTopic(follower.finish(), topic.full);
  const missing: Chain['missing'][number][] = [];
  const wanted = chain.missing.filter(
    ({ startedAtMs }) => scope?.hasRuns(startedAtMs, startedAtMs) !== false,
  );
  for (const one of wanted) if ((await store.head(one.key, call)) === undefined) missing.push(one);
  return { ...chain, missing };
}

/** Keeps what a copy is without, as far as its partitions are of the copy. */
function createLeftOut(scope: CopyScope): LeftOut & { add(object: ManifestObject): void; count(): number } {
  const ranges = new Map<string, EntryRange[]>();
  let count = 0;
  return {
    scope,
    ranges,
    count: () => count,
    add(object) {
      const parts = parseObjectKey('', pathOf(object.key));
      if (parts === undefined) return;
      if (!object.alreadyStored) count++;
      const [first, last] = [parseMessageId(object.firstId), parseMessageId(object.lastId)];
      const topic = fullTopic(parts);
      if (!first || !last || !scope.hasPartition(topic, parts.partition)) return;
      const name = partitionName(topic, parts.partition);
      const own = ranges.get(name);
      const range = { after: justBefore(first), through: last };
      if (own === undefined) ranges.set(name, [range]);
      else own.push(range);
    },
  };
}

interface Inspected {
  readonly object: ArchiveObject;
  /** `undefined`: it was not read. */
  readonly inspection: Inspection | undefined;
  /** It was listed, and was not there when it was to be read. */
  readonly isGone?: boolean;
}

/** The objects, in their order, each with what was read of it. */
async function* inspectAll(
  store: ObjectStore,
  prefix: string,
  objects: AsyncIterable<ArchiveObject>,
  options: VerifyOptions,
  listing: ListOptions,
): AsyncGenerator<Inspected, void, undefined> {
  const { level, parallel = 4, signal, onProgress } = options;
  if (level === 'list') {
    for await (const object of objects) yield { object, inspection: undefined };
    return;
  }
  const counting = new AbortController();
  const total = onProgress === undefined ? undefined : countAll(store, prefix, listing, counting.signal);
  const done = { objects: 0, bytes: 0 };
  const report = () => onProgress?.({ ...done, total: total?.isKnown ? total : undefined });
  try {
    yield* mapInOrder(objects, parallel, async (object) => {
      let inspection = options.known?.(object);
      if (inspection === undefined) {
        inspection = await inspectObject(store, object, level === 'record', {
          ...(signal === undefined ? {} : { signal }),
          onBytes(count) {
            done.bytes += count;
            report();
          },
        }).catch(unlessGone);
        if (inspection === undefined) return { object, inspection, isGone: true };
        options.onInspected?.(object, inspection);
      } else done.bytes += object.sizeBytes;
      done.objects++;
      report();
      return { object, inspection };
    });
  } finally {
    counting.abort();
  }
}

function unlessGone(error: unknown): undefined {
  if (!isGone(error)) throw error;
}

/** Counts beside the reading, for whoever waits: how much there is. What fails here, fails there. */
function countAll(store: ObjectStore, prefix: string, listing: ListOptions, ended: AbortSignal) {
  const total = { objects: 0, bytes: 0, isKnown: false };
  const signal = listing.signal === undefined ? ended : AbortSignal.any([listing.signal, ended]);
  const count = async () => {
    for await (const batch of listRecords(store, prefix, { ...listing, signal })) {
      if (ended.aborted) return;
      for (const { listed, parts } of batch) {
        if (parts === undefined) continue;
        total.objects++;
        total.bytes += listed.sizeBytes;
      }
    }
    total.isKnown = true;
  };
  count().catch(() => undefined);
  return total;
}

/** What objects of one partition have in common. */
async function verifyPartitions(
  store: ObjectStore,
  partitions: PartitionRanges,
  level: VerifyLevel,
  call: CallOptions,
): Promise<{ duplicates: number; findings: Finding[] }> {
  const findings: Finding[][] = [];
  let duplicates = 0;
  for (const own of partitions.values()) {
    const ends = [...verifyEnds(own.inOrder())];
    if (level !== 'record') {
      findings.push(ends);
      continue;
    }
    const common = await compareOverlaps(store, own.inOrder(), call);
    duplicates += common.duplicates;
    // Messages that a transaction held back are in an object of their own, inside of another's ends.
    const shared = new Set(common.findings.map(({ key }) => key));
    findings.push(
      ends.filter(({ kind, key }) => kind !== 'overlap' || shared.has(key)),
      common.findings,
    );
  }
  return { duplicates, findings: findings.flat() };
}
