// Stores an entry that cannot be decoded: its raw bytes and, beside them, the reason and the offsets of its entries.
// Both keys depend only on its id, so storing it again changes nothing.
import { BackupError } from '../errors.ts';
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, EntryId, ObjectAttributes, ObjectStore, UnreadableEntry } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import { formatEntry } from './entry-order.ts';
import { unreadableKey } from './object-key.ts';
import { readWhole } from './stored-object.ts';

/** The `x-cos-meta-format` of both objects. */
const FORMAT = 'tdmq-backup-unreadable/1';

/** The content of the `.json` beside the bytes. */
export interface UnreadableReason {
  readonly format: typeof FORMAT;
  /** `ledger:entry:partition:-1`; of several entries that of the last. */
  readonly id: string;
  /** Full name of the topic partition. */
  readonly topic: string;
  readonly reason: string;
  /** Of the raw object. */
  readonly bytes: number;
  /** Where in the raw object each stored entry is. Older objects do not have it. */
  readonly entries: readonly { readonly id: string; readonly offset: number; readonly sizeBytes: number }[];
}

/**
 * Stores the entry; resolves with its key when bytes and reason are durable. May be repeated. @throws BackupError `store`;
 * `config` where other bytes are at its key
 */
export async function storeUnreadable(
  store: ObjectStore,
  rule: string,
  prefix: string,
  topic: TopicName,
  partition: number,
  entry: UnreadableEntry,
  options: CallOptions,
): Promise<string> {
  const key = unreadableKey(prefix, topic, partition, entry.id);
  const idOf = ({ ledgerId, entryId }: EntryId) => `${ledgerId}:${entryId}:${partition}:-1`;
  const entries: UnreadableReason['entries'][number][] = [];
  let sizeBytes = 0;
  for (const { id, bytes } of entry.raw) {
    entries.push({ id: idOf(id), offset: sizeBytes, sizeBytes: bytes.length });
    sizeBytes += bytes.length;
  }
  const reason: UnreadableReason = {
    format: FORMAT,
    id: idOf(entry.id),
    topic: entry.topic,
    reason: entry.reason,
    bytes: sizeBytes,
    entries,
  };
  const metadata = { format: FORMAT, rule };
  const chunks = entry.raw.map(({ bytes }) => bytes);
  const raw = { metadata, contentType: 'application/octet-stream' };
  if (
    (await createWhole(store, key, chunks, raw, options)) === 'exists' &&
    !(await holds(store, key, entry, options))
  )
    throw otherEntry(key, reason.id);
  const text = Buffer.from(`${JSON.stringify(reason)}\n`);
  const attributes = { metadata, contentType: 'application/json', isReadByRuns: true };
  await createWhole(store, reasonKeyOf(key), [text], attributes, options);
  return key;
}

async function createWhole(
  store: ObjectStore,
  key: string,
  chunks: readonly Uint8Array[],
  attributes: ObjectAttributes,
  options: CallOptions,
): Promise<'created' | 'exists'> {
  const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0);
  return (await store.create(key, { chunks, sizeBytes }, crc64(chunks), attributes, options)).kind;
}

/**
 * Whether the raw object holds these bytes of the entry: as a whole, or, of chunks, with others that did not come this
 * time. A damaged one does not.
 */
async function holds(
  store: ObjectStore,
  key: string,
  { raw }: UnreadableEntry,
  options: CallOptions,
): Promise<boolean> {
  const chunks = raw.map(({ bytes }) => bytes);
  const head = await store.head(key, options);
  if (head === undefined) return false;
  if (head.crc64 === crc64(chunks)) return true;
  const [kept, whole] = [await readWhole(store, key, options), Buffer.concat(chunks)];
  if (kept.equals(whole)) return true;
  const places = await readPlaces(store, reasonKeyOf(key), options);
  return raw.every(({ id, bytes }) => {
    const place = places.get(formatEntry(id));
    return place !== undefined && kept.subarray(place.offset, place.offset + place.sizeBytes).equals(bytes);
  });
}

/** Where in the raw object each entry is, as its reason says; empty where there is none to be read. */
async function readPlaces(
  store: ObjectStore,
  key: string,
  options: CallOptions,
): Promise<Map<string, { readonly offset: number; readonly sizeBytes: number }>> {
  if ((await store.head(key, options)) === undefined) return new Map();
  const text = (await readWhole(store, key, options)).toString('utf8');
  try {
    const { entries } = JSON.parse(text) as UnreadableReason;
    return new Map(entries.map((one) => [one.id.split(':').slice(0, 2).join(':'), one]));
  } catch {
    return new Map();
  }
}

const reasonKeyOf = (key: string): string => key.replace(/\.bin$/, '.json');

const otherEntry = (key: string, id: string): BackupError =>
  new BackupError('config', `${key} exists, and does not hold the bytes of entry ${id}`, {
    hint: 'The object is damaged, or another archive lives at this prefix (a cluster that is made anew gives its ids again). Keep a copy of the object and move it away with its .json, or give the rule a COS_PREFIX of its own; then run again. Nothing was replaced or acknowledged.',
    details: { key },
  });
