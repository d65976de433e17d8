// The message ids of an object in an archive class, as a small object that can be read at once: a run that finds an
// object of a killed run has to know its messages, and thawing the body takes hours. Written before its object, and
// named after that object's checksum, so that it applies to exactly these bytes.
import { BackupError } from '../errors.ts';
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, EntryId, Message, MessageId, ObjectHead, ObjectStore } from '../ports.ts';
import { formatMessageId } from './record.ts';

const FORMAT = 'tdmq-backup-contents/1';
const OBJECT_PATH_DEPTH = 6;

/** Whether objects of the class, or of one of its tiers, have to be thawed before reading. */
export const isArchiveClass = (storageClass: string | undefined): boolean =>
  storageClass !== undefined && /(^|_)ARCHIVE$/.test(storageClass);

/** `{prefix}_contents/{path of the object, without its extension}.{its CRC-64}.json` */
function contentsKey(key: string, crc: string): string {
  const path = key.split('/').slice(-OBJECT_PATH_DEPTH).join('/');
  return `${key.slice(0, key.length - path.length)}_contents/${path.replace(/\.jsonl(\.\w+)?$/, '')}.${crc}.json`;
}

/** Ids of consecutive messages of an entry, `ledger:entry:first-last` of their places in the batch; one for each entry. */
export function idRunsOf(messages: readonly Message[]): string[] {
  const runs: { ledgerId: number; entryId: number; from: number; to: number }[] = [];
  for (const { id } of messages) {
    const last = runs.at(-1);
    if (last?.ledgerId === id.ledgerId && last.entryId === id.entryId && last.to + 1 === id.batchIndex)
      last.to = id.batchIndex;
    else runs.push({ ledgerId: id.ledgerId, entryId: id.entryId, from: id.batchIndex, to: id.batchIndex });
  }
  return runs.map(({ from, to, ...entry }) => formatIdRun(entry, from, to));
}

/** Messages of an entry that follow each other, by their first and last place in the batch. */
export const formatIdRun = ({ ledgerId, entryId }: EntryId, from: number, to: number): string =>
  `${ledgerId}:${entryId}:${from}..${to}`;

/** Stores what the object at `key` will hold. May be repeated. @throws BackupError `store` */
export async function storeContents(
  store: ObjectStore,
  { key, crc, partition }: { readonly key: string; readonly crc: string; readonly partition: number },
  idRuns: readonly string[],
  options: CallOptions,
): Promise<void> {
  const bytes = Buffer.from(
    `${JSON.stringify({ format: FORMAT, key, crc64: crc, partition, ids: idRuns })}\n`,
  );
  const attributes = { metadata: { format: FORMAT }, contentType: 'application/json', isReadByRuns: true };
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  await store.create(contentsKey(key, crc), body, crc64([bytes]), attributes, options);
}

/**
 * The ids of all messages in the object, and the last of them, without reading its body; `undefined` if there is no
 * note for exactly these bytes. @throws BackupError `store`
 */
export async function readContents(
  store: ObjectStore,
  head: ObjectHead,
  options: CallOptions,
): Promise<{ ids: Set<string>; last: MessageId } | undefined> {
  if (head.crc64 === undefined) return undefined;
  const key = contentsKey(head.key, head.crc64);
  if ((await store.head(key, options)) === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(key, options)) chunks.push(chunk);
  const said = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { partition: number; ids: string[] };
  const ids = new Set<string>();
  let last: MessageId | undefined;
  for (const run of said.ids) {
    const match = /^(\d+):(\d+):(-?\d+)\.\.(-?\d+)$/.exec(run);
    if (match === null) throw unreadable(key);
    const [ledgerId, entryId, from, to] = match.slice(1).map(Number) as [number, number, number, number];
    for (let batchIndex = from; batchIndex <= to; batchIndex++) {
      last = { ledgerId, entryId, partition: said.partition, batchIndex };
      ids.add(formatMessageId(last));
    }
  }
  if (last === undefined) throw unreadable(key);
  return { ids, last };
}

const unreadable = (key: string): BackupError =>
  new BackupError('corrupt', `${key} does not say what is in its object`, {
    hint: 'Remove it; then archive thaw the object that it is about, and run again when that can be read.',
    details: { key },
  });
