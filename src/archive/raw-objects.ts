// What was kept raw, by its keys alone: which entries, where they belong among the messages, and whether an object begins
// with one.
import { compareEntries, formatEntry } from '../format/entry-order.ts';
import { topicFolder } from '../format/object-key.ts';
import type { CallOptions, EntryId, ListedObject, ObjectStore } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import type { RawObject } from './catalog.ts';

/** A raw entry by its key. */
export type ListedRaw = Omit<RawObject, 'recoveredBy'>;

/** The raw entries of a topic, or of all, in the order of messages. @throws BackupError `store` */
export async function listRaw(
  store: ObjectStore,
  prefix: string,
  topic: TopicName | undefined,
  call: CallOptions,
): Promise<readonly ListedRaw[]> {
  const found: ListedRaw[] = [];
  const base = `${prefix}_unreadable/`;
  for await (const listed of store.list(topic === undefined ? base : topicFolder(base, topic), call))
    found.push(...parseRaw(listed, listed.key.slice(prefix.length)));
  return found.sort(compareRaw);
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
