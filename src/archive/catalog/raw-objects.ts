// Raw entries, by their keys alone: which entries, their place among the messages, and whether an object begins with
// one.
import { compareEntries, formatEntry } from '../../format/entry-order.ts';
import { topicFolder } from '../../format/object-key.ts';
import type { CallOptions, EntryId, ListedObject, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { RawObject } from './catalog.ts';

/** A raw entry by its key. */
export type ListedRaw = Omit<RawObject, 'recoveredBy'>;

/** What was kept raw. */
export interface RawListing {
  /** In the order of messages. */
  readonly entries: readonly ListedRaw[];
  /** Keys of those of which only the reason is there: it is stored behind the bytes. */
  readonly withoutBytes: readonly string[];
}

/** The raw entries of a topic, or of all. @throws BackupError `store` */
export async function listRaw(
  store: ObjectStore,
  prefix: string,
  topic: TopicName | undefined,
  call: CallOptions,
): Promise<RawListing> {
  const found: ListedRaw[] = [];
  const reasons = new Set<string>();
  const base = `${prefix}_unreadable/`;
  for await (const listed of store.list(topic === undefined ? base : topicFolder(base, topic), call)) {
    const path = listed.key.slice(prefix.length);
    found.push(...parseRaw(listed, path));
    const bytesKey = listed.key.replace(/\.json$/, '.bin');
    if (bytesKey !== listed.key && parseRaw(listed, bytesKey.slice(prefix.length)).length > 0)
      reasons.add(bytesKey);
  }
  for (const { key } of found) reasons.delete(key);
  return { entries: found.sort(compareRaw), withoutBytes: [...reasons] };
}

/** Names an entry among those of all topics. */
export const entryName = (topic: string, partition: number, id: EntryId): string =>
  `${topic} ${partition} ${formatEntry(id)}`;

function compareRaw(a: ListedRaw, b: ListedRaw): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition || compareEntries(a.id, b.id);
}

/** `_unreadable/{tenant}/{namespace}/{topic}/partition={n|none}/{ledger}-{entry}.bin` */
function parseRaw(listed: ListedObject, path: string): ListedRaw[] {
  const match = /^_unreadable\/([^/]+\/[^/]+\/[^/]+)\/partition=(none|\d+)\/(\d+)-(\d+)(?:-\d+)?\.bin$/.exec(
    path,
  );
  if (match === null) return [];
  const [, topic, partition, ledgerId, entryId] = match;
  const number = partition === 'none' ? -1 : Number(partition);
  const id = { ledgerId: Number(ledgerId), entryId: Number(entryId) };
  return [{ ...listed, topic: `persistent://${topic}`, partition: number, id }];
}
