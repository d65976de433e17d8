// What an archive holds, without downloading it: the listing, the manifests of the runs, and the metadata of those
// objects that no manifest knows. The listing is the truth; the rest is what is said about it.
import { BackupError } from '../errors.ts';
import { compareEntries, formatEntry } from '../format/entry-order.ts';
import { type ObjectKeyParts, parseObjectKey, topicFolder } from '../format/object-key.ts';
import { compareMessageIds, parseMessageId, parseTime } from '../format/record.ts';
import type { ManifestObject, RecoveredRaw } from '../format/run-manifest.ts';
import { createSlots } from '../lib/semaphore.ts';
import type {
  CallOptions,
  EntryId,
  ListedObject,
  MessageId,
  ObjectHead,
  ObjectStore,
  TimeMs,
} from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import type { ReadManifest } from './chain/manifest-link.ts';
import { readManifests } from './chain/read-manifests.ts';

/** Requests at a time, for manifests and metadata. */
const PARALLEL = 16;
const OBJECT_PATH_DEPTH = 6;

/** What is said about an object; `undefined` where nobody says it. */
export interface ObjectFacts {
  readonly messages: number | undefined;
  /** Uncompressed. */
  readonly recordBytes: number | undefined;
  readonly firstId: MessageId;
  readonly lastId: MessageId | undefined;
  readonly firstPublishTimeMs: TimeMs | undefined;
  readonly lastPublishTimeMs: TimeMs | undefined;
  /** Of messages between the first and the last, where they lie outside of these. */
  readonly earliestPublishTimeMs: TimeMs | undefined;
  readonly latestPublishTimeMs: TimeMs | undefined;
}

/** One object of records. */
export interface ArchiveObject extends ListedObject {
  readonly parts: ObjectKeyParts;
  /** `persistent://tenant/namespace/topic`, without the partition. */
  readonly topic: string;
  /** What a run's manifest says of it. */
  readonly manifest: ManifestObject | undefined;
  /** Where it was asked for. */
  readonly head: ObjectHead | undefined;
  readonly facts: ObjectFacts;
  /** It begins with an entry that was kept raw: it lies between the messages of other objects. */
  readonly isRecovered: boolean;
}

/** An entry, or the chunks of a message, kept raw because it could not be decoded. */
export interface RawObject extends ListedObject {
  readonly topic: string;
  readonly partition: number;
  /** Of several entries the last one's. */
  readonly id: EntryId;
  /** Who says that its messages are recovered: a manifest, or only an object that begins with this entry. */
  readonly recoveredBy: 'manifest' | 'object' | undefined;
}

export interface Catalog {
  readonly prefix: string;
  /** By topic, partition and place: in the order of messages. */
  readonly objects: readonly ArchiveObject[];
  /** In a manifest, and not in the bucket. */
  readonly missing: readonly ManifestObject[];
  /** What was kept raw, in the order of messages. */
  readonly raw: readonly RawObject[];
  /** Neither objects of records nor ours in another way. */
  readonly foreign: readonly ListedObject[];
  /** How many partitions a topic has, as far as manifests and keys tell; 0 for a plain topic. By its name. */
  readonly partitionCounts: ReadonlyMap<string, number>;
  readonly manifests: number;
  /** Manifests that cannot be read as such. */
  readonly badManifests: readonly string[];
}

export interface CatalogOptions extends CallOptions {
  readonly topic?: TopicName | undefined;
  /** Whose metadata is asked for: of objects that no manifest knows (default), of all, of none. */
  readonly heads?: 'unknown' | 'all' | 'none';
  /** Is given each manifest, in the order of keys. */
  readonly onManifest?: (manifest: ReadManifest) => void;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Reads the catalog of the archive at `prefix`. @throws BackupError `store` */
export async function readCatalog(
  store: ObjectStore,
  prefix: string,
  options: CatalogOptions = {},
): Promise<Catalog> {
  const { topic, heads = 'unknown' } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const slots = createSlots(PARALLEL);
  const found: { listed: ListedObject; parts: ObjectKeyParts }[] = [];
  const foreign: ListedObject[] = [];
  const manifestKeys: string[] = [];
  const rawFound: Omit<RawObject, 'recoveredBy'>[] = [];
  const folders =
    topic === undefined
      ? [prefix]
      : [topicFolder(prefix, topic), `${prefix}_runs/`, topicFolder(`${prefix}_unreadable/`, topic)];
  for (const folder of folders) {
    for await (const listed of store.list(folder, call)) {
      const path = listed.key.slice(prefix.length);
      const parts = parseObjectKey(prefix, listed.key);
      if (path.startsWith('_runs/')) manifestKeys.push(listed.key);
      else if (path.startsWith('_unreadable/')) rawFound.push(...parseRaw(listed, path));
      else if (parts !== undefined) found.push({ listed, parts });
      else if (!path.startsWith('_') && !path.endsWith('/')) foreign.push(listed);
    }
  }

  const byPath = new Map<string, ManifestObject>();
  const recovered: RecoveredRaw[] = [];
  const badManifests: string[] = [];
  const partitionCounts = new Map<string, number>();
  const countPartitions = (topic: string, partitions: number) =>
    partitionCounts.set(topic, Math.max(partitions, partitionCounts.get(topic) ?? 0));
  for await (const read of readManifests(store, manifestKeys.sort(), call)) {
    options.onManifest?.(read);
    const manifest = manifestOf(read);
    if (manifest === undefined) badManifests.push(read.key);
    recovered.push(...(manifest?.recovered ?? []));
    for (const object of manifest?.objects ?? []) {
      const path = objectPath(object.key);
      const [tenant, namespace, topicName] = path.split('/');
      if (object.partition >= 0)
        countPartitions(`persistent://${tenant}/${namespace}/${topicName}`, manifest?.partitions ?? 0);
      // What the run itself stored is better known to it than what it found there.
      if (byPath.get(path)?.alreadyStored !== false) byPath.set(path, object);
    }
  }

  const present = new Set(found.map(({ listed }) => objectPath(listed.key)));
  const begins = new Set(found.map(({ parts }) => placeOf(fullTopic(parts), parts.partition, parts)));
  const told = new Set(
    recovered
      .filter(({ objects }) => objects.every((key) => present.has(objectPath(key))))
      .map(({ raw }) => objectPath(raw)),
  );
  const raw = rawFound.map((one): RawObject => {
    const isBegun = begins.has(placeOf(one.topic, one.partition, one.id));
    return {
      ...one,
      recoveredBy: told.has(objectPath(one.key)) ? 'manifest' : isBegun ? 'object' : undefined,
    };
  });
  const rawPlaces = new Set(raw.map(({ topic, partition, id }) => placeOf(topic, partition, id)));
  for (const { parts } of found) countPartitions(fullTopic(parts), parts.partition + 1);
  let done = 0;
  const objects = await Promise.all(
    found.map(async ({ listed, parts }): Promise<ArchiveObject> => {
      const manifest = byPath.get(objectPath(listed.key));
      const isAsked = heads === 'all' || (heads === 'unknown' && manifest === undefined);
      const head = isAsked ? await slots.run(() => store.head(listed.key, call)) : undefined;
      options.onProgress?.(++done, found.length);
      return {
        ...listed,
        parts,
        topic: fullTopic(parts),
        manifest,
        head,
        facts: factsOf(parts, manifest, head),
        isRecovered: rawPlaces.has(placeOf(fullTopic(parts), parts.partition, parts)),
      };
    }),
  );
  const folder = topic === undefined ? '' : topicFolder('', topic);
  const missing = [...byPath]
    .filter(([path]) => path.startsWith(folder) && !present.has(path))
    .map(([, object]) => object)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    prefix,
    objects: objects.sort(compareObjects),
    missing,
    raw: raw.sort(compareRaw),
    foreign,
    partitionCounts,
    manifests: manifestKeys.length - badManifests.length,
    badManifests: badManifests.sort(),
  };
}

/**
 * To be called where finding nothing would be told as a success: a folder above the archive's own, or a wrong prefix,
 * holds nothing of it. What is empty may be an archive to come. @throws BackupError `config`
 */
export function expectArchive({ objects, raw, foreign, manifests, missing }: Catalog): void {
  if (objects.length + raw.length + manifests + missing.length > 0) return;
  const [first] = foreign;
  if (first === undefined) return;
  throw new BackupError('config', `nothing there is of an archive, but ${foreign.length} other objects are`, {
    hint: `Name the folder, or the prefix, that _runs/ lies in; there is for example ${first.key}.`,
  });
}

/** Whether the messages of what was kept raw stand in objects now. */
export const isRecovered = ({ recoveredBy }: RawObject): boolean => recoveredBy !== undefined;

/** The name of a partition among those of all topics. */
export const partitionName = (topic: string, partition: number): string => `${topic} ${partition}`;

/** The objects of each partition, in the order of messages; the name is `topic partition`. */
export function byPartition(objects: readonly ArchiveObject[]): Map<string, ArchiveObject[]> {
  const partitions = new Map<string, ArchiveObject[]>();
  for (const object of objects) {
    const name = partitionName(object.topic, object.parts.partition);
    const list = partitions.get(name);
    if (list === undefined) partitions.set(name, [object]);
    else list.push(object);
  }
  return partitions;
}

const fullTopic = ({ tenant, namespace, topic }: ObjectKeyParts): string =>
  `persistent://${tenant}/${namespace}/${topic}`;

/** The key below the archive's prefix: the same in the bucket and in a copy of it. */
export const objectPath = (key: string): string => key.split('/').slice(-OBJECT_PATH_DEPTH).join('/');

function compareObjects(a: ArchiveObject, b: ArchiveObject): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return (
    a.parts.partition - b.parts.partition || compareMessageIds(a.parts, b.parts) || (a.key < b.key ? -1 : 1)
  );
}

const placeOf = (topic: string, partition: number, id: EntryId): string =>
  `${partitionName(topic, partition)} ${formatEntry(id)}`;

function compareRaw(a: RawObject, b: RawObject): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition || compareEntries(a.id, b.id);
}

/** `_unreadable/{tenant}/{namespace}/{topic}/partition={n|none}/{ledger}-{entry}.bin` */
function parseRaw(listed: ListedObject, path: string): Omit<RawObject, 'recoveredBy'>[] {
  const match = /^_unreadable\/([^/]+\/[^/]+\/[^/]+)\/partition=(none|\d+)\/(\d+)-(\d+)(?:-\d+)?\.bin$/.exec(
    path,
  );
  if (match === null) return [];
  const [, topic, partition, ledgerId, entryId] = match;
  const number = partition === 'none' ? -1 : Number(partition);
  const id = { ledgerId: Number(ledgerId), entryId: Number(entryId) };
  return [{ ...listed, topic: `persistent://${topic}`, partition: number, id }];
}

interface Manifest {
  readonly objects: readonly ManifestObject[];
  readonly partitions: number;
  readonly recovered: readonly RecoveredRaw[];
}

function manifestOf({ content }: ReadManifest): Manifest | undefined {
  if (content === undefined) return undefined;
  const { storedObjects, partitions, recovered } = content;
  return {
    objects: (storedObjects as ManifestObject[]).filter((one) => typeof one?.key === 'string'),
    partitions: Number.isInteger(partitions) ? (partitions as number) : 0,
    recovered: Array.isArray(recovered) ? recovered : [],
  };
}

function factsOf(
  parts: ObjectKeyParts,
  manifest: ManifestObject | undefined,
  head: ObjectHead | undefined,
): ObjectFacts {
  const metadata = head?.metadata ?? {};
  const number = (text: string | undefined) =>
    text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  const { ledgerId, entryId, partition, batchIndex } = parts;
  // The key has 0 where the message has no place in a batch.
  const told = parseMessageId(manifest?.firstId ?? metadata['first-id'] ?? '');
  const isAlone = told !== undefined && told.batchIndex < 0 && batchIndex === 0;
  return {
    messages: manifest?.messages ?? number(metadata['messages']),
    recordBytes: manifest?.recordBytes ?? number(metadata['record-bytes']),
    firstId: { ledgerId, entryId, partition, batchIndex: isAlone ? -1 : batchIndex },
    lastId: parseMessageId(manifest?.lastId ?? metadata['last-id'] ?? ''),
    firstPublishTimeMs: parseTime(manifest?.firstPublishTime ?? metadata['first-publish-time'] ?? ''),
    earliestPublishTimeMs: parseTime(manifest?.earliestPublishTime ?? ''),
    latestPublishTimeMs: parseTime(manifest?.latestPublishTime ?? ''),
    lastPublishTimeMs: parseTime(manifest?.lastPublishTime ?? metadata['last-publish-time'] ?? ''),
  };
}
