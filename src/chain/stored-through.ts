// How far the stored objects reach after a position. If a run was killed before it wrote its manifest, they prove
// what it had stored and acknowledged. Reads keys, and the end of one object.
import { isArchiveClass, readContents } from '../format/contents.ts';
import { compareEntries } from '../format/entry-order.ts';
import {
  entryDigits,
  parseObjectKey,
  partitionFolder,
  topicFolder,
  unreadableKey,
} from '../format/object-key.ts';
import { compareMessageIds } from '../format/record.ts';
import { readLastId } from '../format/stored-object.ts';
import type { CallOptions, EntryId, ObjectStore } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';

const DAY_MS = 86_400_000;
const MAX_DAYS = 60;

export interface PartitionLocation {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly topic: TopicName;
  readonly partition: number;
  /** Objects whose first message was published between these days, both included. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/**
 * The keys of the partition's objects that begin after `after` (or at any entry) and up to `upTo`, in message order.
 * @throws BackupError `store`
 */
export async function listObjectsUpTo(
  location: PartitionLocation,
  after: EntryId | undefined,
  upTo: EntryId,
  options: CallOptions,
): Promise<string[]> {
  const { store, prefix, partition } = location;
  const found: { key: string; ledgerId: number; entryId: number; batchIndex: number }[] = [];
  for (const { folder, startAfter } of foldersOf(location, after)) {
    for await (const { key } of store.list(folder, { ...options, ...(startAfter && { startAfter }) })) {
      const parts = parseObjectKey(prefix, key);
      if (parts === undefined || parts.partition !== partition) continue;
      if (after !== undefined && compareEntries(parts, after) <= 0) continue;
      const { ledgerId, entryId, batchIndex } = parts;
      if (compareEntries(parts, upTo) <= 0) found.push({ key, ledgerId, entryId, batchIndex });
    }
  }
  return found.sort(compareMessageIds).map(({ key }) => key);
}

/**
 * The partition's folder of each day. If there are many days, the rule was paused, and there are few objects since.
 */
function foldersOf(
  { prefix, topic, partition, fromMs, untilMs }: PartitionLocation,
  after: EntryId | undefined,
): { folder: string; startAfter?: string }[] {
  const days = Math.floor(untilMs / DAY_MS) - Math.floor(fromMs / DAY_MS) + 1;
  const folderOn = (day: number) => partitionFolder(prefix, topic, fromMs + day * DAY_MS, partition);
  if (days > MAX_DAYS) {
    const startAfter = folderOn(0).replace(/partition=[^/]*\/$/, '');
    return [{ folder: topicFolder(prefix, topic), startAfter }];
  }
  return Array.from({ length: days }, (_, day) => {
    const folder = folderOn(day);
    if (after === undefined || after.entryId < 0) return { folder };
    // '~' sorts behind all places in the entry.
    return { folder, startAfter: `${folder}${entryDigits(after)}~` };
  });
}

/**
 * The last of these objects that a run stored. An object that begins with a raw entry was recovered later, and its
 * messages are between those of another object. @throws BackupError `store`
 */
export async function lastOfRuns(
  location: PartitionLocation,
  keys: readonly string[],
  options: CallOptions,
): Promise<string | undefined> {
  for (const key of [...keys].reverse()) {
    const parts = parseObjectKey(location.prefix, key);
    if (parts !== undefined && !(await isKeptRaw(location, parts, options))) return key;
  }
  return undefined;
}

/** The last entry of which the object holds a message; `undefined` where there is none at the key. @throws BackupError */
export async function readLastEntry(
  { store, prefix }: PartitionLocation,
  key: string,
  options: CallOptions,
): Promise<EntryId | undefined> {
  const head = await store.head(key, options);
  const parts = parseObjectKey(prefix, key);
  if (head === undefined || parts === undefined) return undefined;
  const isAsked = isArchiveClass(head.storageClass) && head.metadata['last-id'] === undefined;
  const contents = isAsked ? await readContents(store, head, options) : undefined;
  const { ledgerId, entryId } = contents?.last ?? (await readLastId(store, head, parts.compression, options));
  return { ledgerId, entryId };
}

/** Whether the entry was kept raw. @throws BackupError `store` */
export async function isKeptRaw(
  { store, prefix, topic, partition }: PartitionLocation,
  id: EntryId,
  options: CallOptions,
): Promise<boolean> {
  return (await store.head(unreadableKey(prefix, topic, partition, id), options)) !== undefined;
}
