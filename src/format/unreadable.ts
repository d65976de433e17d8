// Keeps an entry that cannot be decoded: its raw bytes and, beside them, the reason and the borders of the entries that
// the bytes are. Both under a key made of its id alone, so that storing it again changes nothing.
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, EntryId, ObjectAttributes, ObjectStore, UnreadableEntry } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import { unreadableKey } from './object-key.ts';

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

/** Stores the entry; resolves with its key when bytes and reason are durable. May be repeated. @throws BackupError `store` */
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
  await createWhole(store, key, chunks, { metadata, contentType: 'application/octet-stream' }, options);
  const text = Buffer.from(`${JSON.stringify(reason)}\n`);
  const reasonKey = key.replace(/\.bin$/, '.json');
  const attributes = { metadata, contentType: 'application/json', isReadByRuns: true };
  await createWhole(store, reasonKey, [text], attributes, options);
  return key;
}

async function createWhole(
  store: ObjectStore,
  key: string,
  chunks: readonly Uint8Array[],
  attributes: ObjectAttributes,
  options: CallOptions,
): Promise<void> {
  const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0);
  await store.create(key, { chunks, sizeBytes }, crc64(chunks), attributes, options);
}
