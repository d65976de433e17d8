// Copies a selection of an archive to another place: whole objects with everything that belongs to them, the
// manifests that list them, and finally a note of the selection, so that the copy can be verified by itself. Changes
// nothing at the source.
import { createHash } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import { schemaFolder } from '../../format/kept-schema.ts';
import { topicFolder } from '../../format/object-key.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { crc64 } from '../../lib/crc64.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { CallOptions, Clock, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { findArchived } from '../catalog/archived.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import {
  COPIES,
  COPY_FORMAT,
  type CopyNote,
  describeSelection,
  isCopied,
  readCopyScope,
} from '../catalog/copy-scope.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import { isSelected, mayHoldMissing, type Selection } from '../catalog/selection.ts';
import type { DamagedObject } from '../read/read-messages.ts';
import { describeObject } from '../repair/index-archive.ts';
import { selectRaw } from '../restore/restore-raw.ts';
import { type Days, manifestsToCopy } from './copy-manifests.ts';
import { type CopyTarget, copyObject } from './copy-object.ts';
import { createKeySet } from './key-set.ts';

export interface CopyOptions extends CallOptions {
  /** What is copied of. */
  readonly topics: readonly TopicName[];
  /** Whether these are all that there are. */
  readonly isAll: boolean;
  readonly selection: Selection;
  /** False for a local copy, which has lost the metadata. */
  readonly knowsMetadata: boolean;
  readonly parallel: number;
  readonly isDry: boolean;
  /** Goes on behind what is damaged or gone. */
  readonly isSkipping: boolean;
  /** Of the source, for the note. */
  readonly name: string;
  readonly version: string;
  readonly clock: Clock;
  readonly onProgress?: (counts: Readonly<CopyCounts>) => void;
}

export interface CopyCounts {
  /** Of records: copied now, and there before. */
  objects: number;
  bytes: number;
  there: number;
  /** Objects with messages outside of the selection as well. */
  beyond: number;
  /** Everything else that was copied or there: raw entries, their reasons, schemas, contents. */
  others: number;
  manifests: number;
  /** Copied by this call, of whatever kind. */
  copied: number;
  copiedBytes: number;
  readonly archived: string[];
  readonly damaged: DamagedObject[];
  /** The key of the note, where all is there. */
  note?: string;
}

/** Copies what is selected. May be repeated. @throws BackupError; what was copied by then stays, without a note */
export async function copyArchive(
  store: ObjectStore,
  prefix: string,
  target: CopyTarget,
  options: CopyOptions,
): Promise<CopyCounts> {
  const { topics, selection, isDry, isSkipping } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const counts: CopyCounts = {
    ...{ objects: 0, bytes: 0, there: 0, beyond: 0, others: 0, manifests: 0, copied: 0, copiedBytes: 0 },
    ...{ archived: [], damaged: [] },
  };
  const isBounded = [selection.fromMs, selection.toMs, selection.fromId, selection.toId].some(
    (bound) => bound !== undefined,
  );
  const paths = createKeySet();
  let around: Days | undefined;
  // First: what runs store meanwhile is no part of the copy, and neither is what they say about it.
  const before = createKeySet();
  let hasRuns = false;
  for await (const { key } of store.list(`${prefix}_runs/`, call)) {
    before.add(key);
    hasRuns = true;
  }
  const scope = await readCopyScope(store, prefix, call);

  /** Copies what is at a key; false where it is not there. @throws BackupError */
  async function copyOne(key: string, manifest?: ManifestObject): Promise<boolean> {
    if (isDry) return true;
    const to = `${target.prefix}${key.slice(prefix.length)}`;
    const { kind, sizeBytes } = await copyObject(store, key, target, to, { manifest }, call);
    if (kind === 'archived') counts.archived.push(key);
    if (kind === 'there') counts.there++;
    if (kind === 'copied') {
      counts.copied++;
      counts.copiedBytes += sizeBytes;
    }
    options.onProgress?.(counts);
    return kind !== 'gone';
  }

  const skip = (error: unknown): void => {
    const isDamage = error instanceof BackupError && error.code === 'corrupt';
    if (!isDamage || !isSkipping) throw error;
    counts.damaged.push({ key: String(error.details['key'] ?? ''), reason: error.message });
  };

  async function copyRecords(object: ArchiveObject): Promise<void> {
    const { key, sizeBytes, parts } = object;
    const manifest = object.manifest ?? (await described(object));
    if (isDry && isArchiveClass(object.storageClass))
      for (const { state } of await findArchived(store, [object], call))
        if (state.kind !== 'there') counts.archived.push(key);
    if (await copyOne(key, manifest)) {
      counts.objects++;
      counts.bytes += sizeBytes;
      if (isBounded && reachesBeyond(object, selection)) counts.beyond++;
      options.onProgress?.(counts);
    }
    around = {
      from: around === undefined || parts.date < around.from ? parts.date : around.from,
      until: around === undefined || parts.date > around.until ? parts.date : around.until,
    };
  }

  /** What would be in the metadata of an object that a local copy has without, and no manifest knows. */
  async function described(object: ArchiveObject): Promise<ManifestObject | undefined> {
    if (options.knowsMetadata || target.keepTime !== undefined || isDry) return undefined;
    const entry = await describeObject(store, object, call);
    if (entry.kind === 'described') return entry.object;
    throw new BackupError('corrupt', `${object.key} is damaged: ${entry.findings[0]?.detail}`, {
      hint: 'It is not copied. --skip-damaged goes on behind it; archive verify reports all that is damaged.',
      details: { key: object.key },
    });
  }

  /** Small objects beside the records, by their keys. */
  async function copyAll(keys: AsyncIterable<string> | Iterable<string>): Promise<number> {
    let found = 0;
    for await (const isThere of mapInOrder(keys, options.parallel, (key) => copyOne(key)))
      if (isThere) found++;
    return found;
  }

  async function copyTopic(topic: TopicName): Promise<void> {
    const catalog = streamCatalog(store, prefix, {
      ...call,
      ...{ topic, time: selection, isLocal: !options.knowsMetadata, scope: scope ?? 'none' },
    });
    const places = createKeySet();
    const selected = async function* () {
      for await (const object of catalog.objects()) {
        if (!isCopied(object, selection, hasRuns)) continue;
        paths.add(pathOf(object.key));
        places.add(withoutEnding(object.key));
        yield object;
      }
    };
    const copy = (object: ArchiveObject) => copyRecords(object).catch(skip);
    for await (const _ of mapInOrder(selected(), options.parallel, copy));
    const { missing, raw, rawWithoutBytes } = await catalog.surroundings();
    const gone = missing
      .filter((one) => mayHoldMissing(one, selection, topic.full))
      .map(({ key, messages }) => ({
        key,
        reason: `${key}: it is in a manifest, and is not there (0 of ${messages} messages)`,
      }));
    for (const key of rawWithoutBytes)
      gone.push({ key, reason: `${key}: it was kept raw, and is not there` });
    counts.damaged.push(...gone);
    const asKept = raw.map((one) => ({ ...one, recoveredBy: undefined }));
    const entries = await selectRaw(store, asKept, selection, call);
    const pairs = entries.flatMap(({ key }) => [key, key.replace(/\.bin$/, '.json')]);
    counts.others += await copyAll(pairs);
    counts.others += await copyAll(keysIn(schemaFolder(prefix, topic)));
    const contents = async function* () {
      for await (const key of keysIn(topicFolder(`${prefix}_contents/`, topic)))
        if (places.take(`${prefix}${key.slice(`${prefix}_contents/`.length).replace(/\.\d+\.json$/, '')}`))
          yield key;
    };
    counts.others += await copyAll(contents());
  }

  async function* keysIn(folder: string): AsyncGenerator<string, void, undefined> {
    for await (const { key } of store.list(folder, call)) if (!key.endsWith('/')) yield key;
  }

  for (const topic of topics) await copyTopic(topic);
  if (counts.damaged.length > 0 && !isSkipping) throw notWhole(counts.damaged);
  if (counts.objects + counts.others === 0) return counts;
  const names = topics.map(({ full }) => full);
  const wanted =
    isBounded && around !== undefined ? { objects: paths, count: counts.objects, around } : undefined;
  const manifests = await manifestsToCopy(store, prefix, options.isAll ? undefined : names, wanted, call);
  const known = async function* () {
    for await (const key of manifests.keys()) if (before.take(key)) yield key;
  };
  counts.manifests += await copyAll(known());
  if (isDry || counts.archived.length > 0) return counts;
  const copiedAt = new Date(options.clock.now()).toISOString();
  const note: CopyNote = {
    format: COPY_FORMAT,
    ...{ source: options.name, copiedAt, version: options.version },
    selection: describeSelection(options.isAll ? undefined : names, selection),
    ...{ objects: counts.objects, bytes: counts.bytes },
    ...(manifests.days && { runs: manifests.days }),
    manifests: counts.manifests,
    ...(scope && { of: scope.notes }),
  };
  counts.note = await writeNote(target, note, counts.copied > 0, call);
  return counts;
}

/** Of a copy that was there already, the note that says so stays as it is. */
async function writeNote(
  target: CopyTarget,
  note: CopyNote,
  isNew: boolean,
  call: CallOptions,
): Promise<string> {
  const { copiedAt, ...what } = note;
  const hash = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 12);
  const store = target.store(undefined);
  const folder = `${target.prefix}${COPIES}`;
  if (!isNew)
    for await (const { key } of store.list(folder, call)) if (key.endsWith(`-${hash}.json`)) return key;
  const key = `${folder}${copiedAt.replace(/[-:.]/g, '')}-${hash}.json`;
  const bytes = Buffer.from(`${JSON.stringify(note)}\n`);
  const attributes = {
    metadata: { format: COPY_FORMAT },
    contentType: 'application/json',
    isReadByRuns: true,
  };
  await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc64([bytes]), attributes, call);
  return key;
}

/** Whether the object has messages that are not selected, as far as its ends show it. */
function reachesBeyond({ facts }: ArchiveObject, selection: Selection): boolean {
  const { firstId, lastId, firstPublishTimeMs, lastPublishTimeMs } = facts;
  const { earliestPublishTimeMs = firstPublishTimeMs, latestPublishTimeMs = lastPublishTimeMs } = facts;
  const isIn = (id: typeof firstId | undefined, publishTimeMs: typeof firstPublishTimeMs) =>
    id === undefined ||
    publishTimeMs === undefined ||
    isSelected({ id, publishTimeMs, key: undefined, properties: [] }, selection);
  return !isIn(firstId, earliestPublishTimeMs) || !isIn(lastId, latestPublishTimeMs);
}

const withoutEnding = (key: string): string => key.replace(/\.jsonl(\.\w+)?$/, '');

function notWhole(damaged: readonly DamagedObject[]): BackupError {
  const reasons = damaged.slice(0, 10).map(({ reason }) => reason);
  const more = damaged.length > 10 ? [`and ${damaged.length - 10} more`] : [];
  const what = `${damaged.length} objects of this selection are not there any more`;
  return new BackupError('corrupt', [what, ...reasons, ...more].join(' | '), {
    hint: 'What is there was copied, without a note that the copy is whole. --skip-damaged copies without them, and says so; archive verify reports what else is missing.',
  });
}
