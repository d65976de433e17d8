// Lists the objects of an archive, or of a topic and its `date=` folders. Yields in key order, as it reads; lists
// large folders in parallel. Excludes the archive's own folders (`_runs/` and the like).
import {
  createKeyParser,
  dateOf,
  isOwnFolder,
  type ObjectKeyParts,
  topicFolder,
} from '../../format/object-key.ts';
import { batchesOf } from '../../lib/each-of.ts';
import { readAhead } from '../../lib/read-ahead.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';

/** Folders that are listed at a time, on each level. */
const WIDTH = 6;
/** A page of COS: what fits into one is not worth a list of its folders. */
const PAGE = 1_000;
/** So many objects are handed on together: one by one, the way through all that asks would take longer than the listing. */
const BATCH = 500;
/** So many batches of a folder that is listed beside another one are held. */
const AHEAD = 2;
const DAY_MS = 86_400_000;

/**
 * Producers' clocks set the publish times, so these can decrease inside a partition: a selection by time excludes an
 * object only if its ends and manifest show that it is this far outside.
 */
export const CLOCK_SLACK_MS = 3_600_000;

/** So many keys that are not of the archive are kept. */
export const MAX_FOREIGN = 1_000;

/** Days of UTC, both included; `undefined`: no end. */
export interface DateRange {
  readonly from: string | undefined;
  readonly until: string | undefined;
}

/** Publish times, from `fromMs` on and before `toMs`. */
export interface TimeRange {
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
}

export interface ListOptions extends CallOptions {
  readonly topic?: TopicName | undefined;
  readonly dates?: DateRange | undefined;
  /** True for a local copy: folders side by side would be no faster. */
  readonly isLocal?: boolean | undefined;
}

/** An object under an archive's prefix; `parts` is `undefined` where it is none of its objects of records. */
export interface ListedRecords {
  readonly listed: ListedObject;
  readonly parts: ObjectKeyParts | undefined;
}

/**
 * The dates of keys under which messages of this time are stored. A day of slack on both sides: a file is named after its
 * first message, and clocks of producers differ. `undefined`: all.
 */
export function datesOfTime({ fromMs, toMs }: TimeRange): DateRange | undefined {
  if (fromMs === undefined && toMs === undefined) return undefined;
  return {
    from: fromMs === undefined ? undefined : dateOf(fromMs - DAY_MS),
    until: toMs === undefined ? undefined : dateOf(toMs - 1 + DAY_MS),
  };
}

/**
 * The dates to list for messages of this time: all where the topic is small, since a page more is cheaper than to find out
 * which objects have times out of order.
 */
export async function datesToList(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  time: TimeRange,
  call: CallOptions,
): Promise<DateRange | undefined> {
  const range = datesOfTime(time);
  if (range === undefined) return undefined;
  let objects = 0;
  for await (const _ of store.list(topicFolder(prefix, topic), call)) if (++objects > PAGE) return range;
  return undefined;
}

/** Whether the date is one of these. */
export const isInRange = (date: string, range: DateRange | undefined): boolean =>
  (range?.from === undefined || date >= range.from) && (range?.until === undefined || date <= range.until);

/** The UTC day `days` after the date. */
export const daysAfter = (date: string, days: number): string =>
  dateOf(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS);

/** Everything under the archive's prefix but its own folders, in key order, several at a time. @throws BackupError `store` */
export async function* listRecords(
  store: ObjectStore,
  prefix: string,
  options: ListOptions,
): AsyncGenerator<ListedRecords[], void, undefined> {
  const parse = createKeyParser(prefix);
  for await (const batch of listKeys(store, prefix, options))
    yield batch
      .filter(({ key }) => !key.endsWith('/'))
      .map((listed) => ({ listed, parts: parse(listed.key) }))
      // A later version may keep something of its own beside `_runs/`; a tenant may begin with `_`, too.
      .filter(({ listed, parts }) => parts !== undefined || !listed.key.startsWith('_', prefix.length));
}

type Batches = AsyncGenerator<readonly ListedObject[], void, undefined>;

function listKeys(store: ObjectStore, prefix: string, options: ListOptions): Batches {
  const { topic, dates } = options;
  if (topic === undefined) return listTopics(store, prefix, options);
  const folder = topicFolder(prefix, topic);
  return dates === undefined
    ? listTree(store, folder, options)
    : listFolders(store, folder, options, (name) => isDateIn(name, dates));
}

/** `date=2026-11-23/` within the range. */
function isDateIn(name: string, range: DateRange): boolean {
  const date = /^date=(\d{4}-\d{2}-\d{2})\/$/.exec(name)?.[1];
  return date !== undefined && isInRange(date, range);
}

/** All topics, folder by folder where only some dates are asked for. */
async function* listTopics(store: ObjectStore, prefix: string, options: ListOptions): Batches {
  const { dates } = options;
  if (dates === undefined) {
    yield* listFolders(store, prefix, options, (name) => !isOwnFolder(name));
    return;
  }
  async function* topics() {
    for await (const topic of topicFolders(store, prefix, callOf(options)))
      yield () => listFolders(store, topic, options, (name) => isDateIn(name, dates as DateRange));
  }
  yield* readAhead(topics(), { width: options.isLocal ? 1 : WIDTH, ahead: AHEAD });
}

/** `{prefix}{tenant}/{namespace}/{topic}/`, in key order, whatever is in them. @throws BackupError `store` */
export async function* topicFolders(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
  depth = 3,
): AsyncGenerator<string, void, undefined> {
  for await (const { kind, key } of store.listFolder(prefix, call)) {
    if (kind !== 'folder' || (depth === 3 && isOwnFolder(key.slice(prefix.length)))) continue;
    if (depth === 1) yield key;
    else yield* topicFolders(store, key, call, depth - 1);
  }
}

/** The objects right below `prefix`, and those in its folders whose names (with their `/`) are asked for. */
async function* listFolders(
  store: ObjectStore,
  prefix: string,
  options: ListOptions,
  isAskedFor: (name: string) => boolean,
): Batches {
  async function* sources() {
    for await (const item of store.listFolder(prefix, callOf(options))) {
      const { key } = item;
      if (!isAskedFor(key.slice(prefix.length))) continue;
      yield item.kind === 'folder' ? () => listTree(store, key, options) : () => only(item.object);
    }
  }
  if (options.isLocal) for await (const source of sources()) yield* source();
  else yield* readAhead(sources(), { width: WIDTH, ahead: AHEAD });
}

/** All objects under `prefix`: as one list where they fit into a page, else folder by folder. */
async function* listTree(store: ObjectStore, prefix: string, options: ListOptions): Batches {
  const call = callOf(options);
  if (options.isLocal) {
    yield* inBatches(store.list(prefix, call));
    return;
  }
  const first: ListedObject[] = [];
  for await (const listed of store.list(prefix, call)) {
    first.push(listed);
    if (first.length > PAGE) break;
  }
  if (first.length <= PAGE) {
    if (first.length > 0) yield first;
    return;
  }
  const sources: (() => Batches)[] = [];
  let folders = 0;
  for await (const item of store.listFolder(prefix, call)) {
    const { key } = item;
    if (item.kind === 'folder') folders++;
    sources.push(item.kind === 'folder' ? () => listTree(store, key, options) : () => only(item.object));
    // Files without folders are one list: it goes on where it is.
    if (folders === 0 && sources.length > PAGE) break;
  }
  if (folders > 1) yield* readAhead(sources, { width: WIDTH, ahead: AHEAD });
  else {
    yield first;
    yield* inBatches(store.list(prefix, { ...call, startAfter: (first.at(-1) as ListedObject).key }));
  }
}

async function* only(listed: ListedObject): Batches {
  yield [listed];
}

async function* inBatches(objects: AsyncIterable<ListedObject>): Batches {
  let batch: ListedObject[] = [];
  const pieces = batchesOf(objects);
  if (pieces !== undefined) {
    for await (const some of pieces) {
      batch.push(...some);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
    return;
  }
  for await (const listed of objects) {
    batch.push(listed);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

const callOf = ({ signal }: CallOptions): CallOptions => (signal === undefined ? {} : { signal });
