// The key of an object: a function of its first message only, so that a repeated run builds the same keys. Numbers
// are zero-padded, so that keys sort in message order; date= and partition= are Hive-style folders.
import type { EntryId, MessageId, TimeMs } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';

/** How objects are compressed. */
export const COMPRESSIONS = ['none', 'gzip', 'zstd'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export interface ObjectKeyParts {
  readonly tenant: string;
  readonly namespace: string;
  readonly topic: string;
  /** UTC date of the first message's publish time, `YYYY-MM-DD`; see `dateOf`. */
  readonly date: string;
  /** -1 where the topic is not partitioned. */
  readonly partition: number;
  readonly ledgerId: number;
  readonly entryId: number;
  /** 0 also where the first message was in no batch. */
  readonly batchIndex: number;
  readonly compression: Compression;
}

const EXTENSIONS: Record<Compression, string> = { none: '.jsonl', gzip: '.jsonl.gz', zstd: '.jsonl.zst' };
const BY_EXTENSION = new Map(COMPRESSIONS.map((compression) => [EXTENSIONS[compression], compression]));

/** The name of an object of records, below its partition's folder: ledger, entry, batch index, extension. */
export const OBJECT_NAME = new RegExp(
  `^(\\d{12,})-(\\d{10,})-(\\d{5,})(${Object.values(EXTENSIONS).join('|').replaceAll('.', '\\.')})$`,
);

/** The compression of an object of records by its key; `undefined` if the key has none of the extensions. */
export const compressionOf = (key: string): Compression | undefined =>
  BY_EXTENSION.get(key.slice(key.lastIndexOf('.jsonl')));

/** `{prefix}{tenant}/{namespace}/{topic}/`: the folder of all objects of a topic. */
export function topicFolder(
  prefix: string,
  topic: Pick<TopicName, 'tenant' | 'namespace' | 'topic'>,
): string {
  return `${prefix}${topic.tenant}/${topic.namespace}/${topic.topic}/`;
}

/** The key of the object that begins with this message. */
export function objectKey(
  prefix: string,
  topic: Pick<TopicName, 'tenant' | 'namespace' | 'topic'>,
  first: { readonly id: MessageId; readonly publishTimeMs: TimeMs },
  compression: Compression,
): string {
  const { partition, batchIndex } = first.id;
  const place = `${entryDigits(first.id)}-${digits(Math.max(batchIndex, 0), 5)}`;
  return `${partitionFolder(prefix, topic, first.publishTimeMs, partition)}${place}${EXTENSIONS[compression]}`;
}

/** The reverse of parseObjectKey. */
export function formatObjectKey(prefix: string, parts: ObjectKeyParts): string {
  const { date, partition, batchIndex, compression } = parts;
  const place = `${entryDigits(parts)}-${digits(batchIndex, 5)}`;
  return `${topicFolder(prefix, parts)}date=${date}/partition=${partitionText(partition)}/${place}${EXTENSIONS[compression]}`;
}

/** The folder of a partition's objects whose first message was published on the UTC day of this time. */
export function partitionFolder(
  prefix: string,
  topic: Pick<TopicName, 'tenant' | 'namespace' | 'topic'>,
  publishTimeMs: TimeMs,
  partition: number,
): string {
  return `${topicFolder(prefix, topic)}date=${dateOf(publishTimeMs)}/partition=${partitionText(partition)}/`;
}

/** The prefix of the names of objects that begin in this entry. */
export function entryDigits({ ledgerId, entryId }: EntryId): string {
  return `${digits(ledgerId, 12)}-${digits(entryId, 10)}`;
}

/** The parts of an object's key under `prefix`; `undefined` if it is not the key of an object of records. */
export function parseObjectKey(prefix: string, key: string): ObjectKeyParts | undefined {
  return createKeyParser(prefix)(key);
}

type FolderParts = Pick<ObjectKeyParts, 'tenant' | 'namespace' | 'topic' | 'date' | 'partition'>;

/** As parseObjectKey, for keys in order: parses a folder once, and its keys share the texts of its parts. */
export function createKeyParser(prefix: string): (key: string) => ObjectKeyParts | undefined {
  let folder = '';
  let ofFolder: FolderParts | undefined;
  return (key) => {
    const nameAt = key.lastIndexOf('/') + 1;
    if (nameAt !== folder.length || !key.startsWith(folder)) {
      folder = key.slice(0, nameAt);
      ofFolder = parsePartitionFolder(prefix, folder);
    }
    if (ofFolder === undefined) return undefined;
    const match = OBJECT_NAME.exec(key.slice(nameAt));
    if (match === null) return undefined;
    const [, ledgerId, entryId, batchIndex, extension = ''] = match;
    const { tenant, namespace, topic, date, partition } = ofFolder;
    return {
      tenant,
      namespace,
      topic,
      date,
      partition,
      ledgerId: Number(ledgerId),
      entryId: Number(entryId),
      batchIndex: Number(batchIndex),
      compression: BY_EXTENSION.get(extension) as Compression,
    };
  };
}

function parsePartitionFolder(prefix: string, folder: string): FolderParts | undefined {
  if (!folder.startsWith(prefix)) return undefined;
  const match = /^([^/]+)\/([^/]+)\/([^/]+)\/date=(\d{4}-\d{2}-\d{2})\/partition=(none|\d+)\/$/.exec(
    folder.slice(prefix.length),
  );
  if (match === null) return undefined;
  const [, tenant, namespace, topic, date, partition] = match as unknown as [string, ...string[]];
  return {
    tenant: tenant as string,
    namespace: namespace as string,
    topic: topic as string,
    date: date as string,
    partition: partition === 'none' ? -1 : Number(partition),
  };
}

/** The key of an unreadable entry's bytes; the reason is beside it, with `.json` instead of `.bin`. */
export function unreadableKey(
  prefix: string,
  topic: Pick<TopicName, 'tenant' | 'namespace' | 'topic'>,
  partition: number,
  id: EntryId,
): string {
  return `${topicFolder(`${prefix}_unreadable/`, topic)}partition=${partitionText(partition)}/${entryDigits(id)}.bin`;
}

/** UTC days, both included. */
export interface DateSpan {
  readonly from: string;
  readonly until: string;
}

/**
 * The key of a run's manifest: `{prefix}_runs/rule={rule}/date={YYYY-MM-DD}/{start}-{requestId}.json`. With `span`,
 * the days of messages in objects of other dates: `~{from}~{until}` before `.json`.
 */
export function runManifestKey(
  prefix: string,
  rule: string,
  startedAtMs: number,
  requestId: string,
  span?: DateSpan,
): string {
  const start = new Date(startedAtMs).toISOString().replaceAll(/[-:.]/g, '');
  const days = span === undefined ? '' : `~${span.from}~${span.until}`;
  return `${manifestFolder(prefix, rule)}date=${dateOf(startedAtMs)}/${start}-${requestId}${days}.json`;
}

/** The days in a manifest's key; `undefined` if it has none. */
export function parseManifestSpan(key: string): DateSpan | undefined {
  const [, from, until] = /~(\d{4}-\d{2}-\d{2})~(\d{4}-\d{2}-\d{2})\.json$/.exec(key) ?? [];
  return from === undefined || until === undefined ? undefined : { from, until };
}

/** What COS takes. */
export const MAX_KEY_BYTES = 850;

/** The bytes of the longest key that a rule can make, whatever ids its messages have. */
export function longestKeyBytes(prefix: string, topic: TopicName, rule: string): number {
  const most = { ledgerId: Number.MAX_SAFE_INTEGER, entryId: Number.MAX_SAFE_INTEGER };
  const id = { ...most, partition: 2 ** 31 - 1, batchIndex: 2 ** 31 - 1 };
  const keys = [
    ...COMPRESSIONS.map((compression) => objectKey(prefix, topic, { id, publishTimeMs: 0 }, compression)),
    unreadableKey(prefix, topic, id.partition, most).replace(/bin$/, 'json'),
    runManifestKey(prefix, rule, 0, '0'.repeat(36), { from: dateOf(0), until: dateOf(0) }),
  ];
  return Math.max(...keys.map((key) => Buffer.byteLength(key)));
}

/** Whether this is one of the archive's own folders directly below its prefix, and not a tenant's. */
export const isOwnFolder = (name: string): boolean =>
  /^_(?:runs|contents|copies|export|restores|schemas|unreadable)\//.test(name);

/** `{prefix}_runs/rule={rule}/`: the manifests of all runs of a rule, in the order of their starts. */
export function manifestFolder(prefix: string, rule: string): string {
  return `${prefix}_runs/rule=${rule}/`;
}

/** When the run of a manifest began, milliseconds since the epoch; `undefined` if the key is not a manifest's. */
export function parseManifestStart(key: string): number | undefined {
  const match = /\/(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(\d{3})Z-[^/]*\.json$/.exec(key);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, ms] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  return Number.isNaN(time) ? undefined : time;
}

const digits = (number: number, width: number) => String(number).padStart(width, '0');
const partitionText = (partition: number) => (partition < 0 ? 'none' : String(partition));

/**
 * The `YYYY-MM-DD` of a key: times before 1970 are under the first day of 1970, those after 9999 under its last day.
 */
export function dateOf(timeMs: TimeMs): string {
  const last = Date.UTC(9999, 11, 31);
  return new Date(Math.min(Math.max(Number(timeMs), 0), last)).toISOString().slice(0, 10);
}
