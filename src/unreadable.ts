// Keeps an entry that cannot be decoded: its raw bytes and, beside them, the reason. Both under a key made of its id
// alone, so that storing it again changes nothing.
import { crc64 } from './crc64.ts';
import { unreadableKey } from './object-key.ts';
import type { CallOptions, ObjectAttributes, ObjectStore, UnreadableEntry } from './ports.ts';
import type { TopicName } from './topic-name.ts';

/** What stands in `x-cos-meta-format` of both objects. */
const FORMAT = 'tdmq-backup-unreadable/1';

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
  const reason = {
    format: FORMAT,
    id: `${entry.id.ledgerId}:${entry.id.entryId}:${partition}:-1`,
    topic: entry.topic,
    reason: entry.reason,
    bytes: entry.raw.length,
  };
  const metadata = { format: FORMAT, rule };
  await createWhole(store, key, entry.raw, { metadata, contentType: 'application/octet-stream' }, options);
  const text = Buffer.from(`${JSON.stringify(reason)}\n`);
  const reasonKey = key.replace(/\.bin$/, '.json');
  await createWhole(store, reasonKey, text, { metadata, contentType: 'application/json' }, options);
  return key;
}

async function createWhole(
  store: ObjectStore,
  key: string,
  bytes: Uint8Array,
  attributes: ObjectAttributes,
  options: CallOptions,
): Promise<void> {
  await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc64([bytes]), attributes, options);
}
