// Reads messages from objects, one at a time: a partition in its order, partitions merged by publish time. Returns
// messages in two objects (a crash, a Shared subscription, a subscription set back) once.
import { BackupError } from '../../errors.ts';
import { createEndCheck } from '../../format/end-mark.ts';
import { compareMessageIds, decodeRecord } from '../../format/record.ts';
import { isGone, readLines, readWhole } from '../../format/stored-object.ts';
import type { CallOptions, Message, MessageId, ObjectStore, TimeMs } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import { isSelected, mayHold, type Selection } from '../catalog/selection.ts';
import { contentTestOf } from './content-match.ts';
import { IdSet } from './id-set.ts';
import { rangedRead } from './ranged-read.ts';
import { type RawMatch, rawMatchOf } from './raw-match.ts';

/** Ids of so many objects are remembered at least; of older ones while they reach into the object that is read. */
const REMEMBERED_OBJECTS = 8;
/** An object of this size is looked at as a whole, before its records are parsed. */
const SMALL_BYTES = 65_536;
const LINE_FEED = 0x0a;

export interface StoredMessage {
  readonly kind: 'message';
  readonly message: Message;
  /** The record as it is in the object, without its line break. */
  readonly line: string;
  readonly object: ArchiveObject;
}

export interface ReadOptions extends CallOptions {
  /** Also the copies of messages that are in two objects. */
  readonly withDuplicates?: boolean;
  /** Where many partitions are read side by side: how much of an object is read at a time (ranged-read.ts). */
  readonly rangeBytes?: number;
  readonly onObject?: (object: ArchiveObject) => void;
  readonly onDuplicate?: (message: Message) => void;
  /** Called with an object that cannot be read to its end, which is skipped; without it, reading fails there. */
  readonly onDamaged?: ((damaged: DamagedObject) => void) | undefined;
}

/** An object that holds less than it should, or something else. */
export interface DamagedObject {
  readonly key: string;
  /** One sentence for a person. */
  readonly reason: string;
}

/** The selected messages of one partition, whose objects are given in order. @throws BackupError as reading goes on */
export function readPartition(
  store: ObjectStore,
  objects: readonly ArchiveObject[],
  selection: Selection,
  options: ReadOptions = {},
): AsyncGenerator<StoredMessage, void, undefined> {
  return readInOrder(store, splitRecovered(objects, selection), selection, options);
}

/**
 * The selected messages of one partition. Those that were recovered later are between the messages of the other objects,
 * and come in their place. @throws BackupError as reading goes on
 */
export async function* readInOrder(
  store: ObjectStore,
  { recovered, others }: Pick<PartitionObjects, 'recovered' | 'others'>,
  selection: Selection,
  options: ReadOptions = {},
): AsyncGenerator<StoredMessage, void, undefined> {
  const seen = createDuplicateFilter<TimeMs>();
  const begin = (object: ArchiveObject) => {
    options.onObject?.(object);
    seen.begin(object.facts.firstId);
  };
  const match = rawMatchOf(selection);
  const isFound = contentTestOf(selection);
  const read = (some: Iterable<ArchiveObject>) => readObjects(store, some, options, begin, match);
  const messages = recovered.length === 0 ? read(others()) : mergeById(read(others()), read(recovered));
  for await (const one of messages) {
    if (!isSelected(one.message, selection) || isFound?.(one.message) === false) continue;
    if (options.withDuplicates !== true && seen.isDuplicate(one.message.id, one.message.publishTimeMs))
      options.onDuplicate?.(one.message);
    else yield one;
  }
}

function splitRecovered(objects: readonly ArchiveObject[], selection: Selection) {
  const own = objects.filter((object) => mayHold(object, selection));
  const others = own.filter(({ isRecovered }) => !isRecovered);
  return { recovered: own.filter(({ isRecovered }) => isRecovered), others: () => others };
}

/** Object by object. */
async function* readObjects(
  store: ObjectStore,
  objects: Iterable<ArchiveObject>,
  { signal, rangeBytes, onDamaged }: ReadOptions,
  begin: (object: ArchiveObject) => void,
  match: RawMatch | undefined,
): AsyncGenerator<StoredMessage, void, undefined> {
  const call: CallOptions = signal === undefined ? {} : { signal };
  for (const object of objects) {
    begin(object);
    let read = rangeBytes === undefined ? store.read : rangedRead(store, object.sizeBytes, rangeBytes);
    try {
      if (match !== undefined && object.sizeBytes <= SMALL_BYTES && object.parts.compression === 'none') {
        const bytes = await readWhole(store, object.key, call);
        if (isWithout(bytes, object, match)) continue;
        read = async function* () {
          yield bytes;
        };
      }
      for await (const { message, line } of readRecords({ ...store, read }, object, call, match))
        yield { kind: 'message', message, line, object };
    } catch (error) {
      if (onDamaged === undefined || !isDamage(error)) throw error;
      onDamaged({ key: object.key, reason: error.message });
    }
  }
}

/** Whether the object is whole with these bytes, and none of its records can fit: it need not be parsed then. */
function isWithout(bytes: Buffer, { sizeBytes, facts }: ArchiveObject, match: RawMatch): boolean {
  if (bytes.length !== sizeBytes || match.inBytes(bytes)) return false;
  const firstEnd = bytes.indexOf(LINE_FEED);
  if (firstEnd < 0 || bytes[bytes.length - 1] !== LINE_FEED) return false;
  let lines = 0;
  for (let end = firstEnd; end >= 0; end = bytes.indexOf(LINE_FEED, end + 1)) lines++;
  if (facts.messages !== undefined && lines !== facts.messages) return false;
  const ending = createEndCheck();
  ending.see(bytes.toString('latin1', 0, firstEnd));
  const lastStart = bytes.lastIndexOf(LINE_FEED, bytes.length - 2) + 1;
  ending.see(bytes.toString('latin1', lastStart, bytes.length - 1));
  return !ending.isCut();
}

/** What has a place in a partition: a message, or what holds some. */
export interface Placed {
  readonly message: Pick<Message, 'id'>;
}

/** `inserted` before the first of `main` that is behind it. */
export async function* mergeById<A extends Placed, B extends Placed>(
  main: AsyncGenerator<A, void, undefined>,
  inserted: AsyncGenerator<B, void, undefined>,
): AsyncGenerator<A | B, void, undefined> {
  try {
    let next = await inserted.next();
    for await (const one of main) {
      while (!next.done && compareMessageIds(next.value.message.id, one.message.id) < 0) {
        yield next.value;
        next = await inserted.next();
      }
      yield one;
    }
    for (; !next.done; next = await inserted.next()) yield next.value;
  } finally {
    await main.return(undefined);
    await inserted.return(undefined);
  }
}

/** Whether it is the object that is at fault, not the store. */
const isDamage = (error: unknown): error is BackupError =>
  isGone(error) || (error instanceof BackupError && error.code === 'corrupt');

/**
 * All records of an object: as many bytes as were listed, and as many messages as manifest and metadata say.
 * @throws BackupError `corrupt` that names the object, the line, and how many messages there should be
 */
async function* readRecords(
  store: ObjectStore,
  object: ArchiveObject,
  call: CallOptions,
  match: RawMatch | undefined,
) {
  const { key, parts, sizeBytes, facts } = object;
  let number = 0;
  let bytes = 0;
  const read: ObjectStore['read'] = async function* (...args) {
    for await (const chunk of store.read(...args)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
    if (bytes !== sizeBytes) throw corrupt(`: ${bytes} of ${sizeBytes} bytes came`);
  };
  const corrupt = (what: string, cause?: unknown) => {
    const count = facts.messages === undefined ? '' : ` (${number} of ${facts.messages} messages)`;
    return new BackupError('corrupt', `${key}${what}${count}`, {
      hint: 'tdmq-backup archive verify reports all that is damaged. --skip-damaged goes on behind it, and names each such object.',
      cause,
      details: { key },
    });
  };
  try {
    for await (const line of readLines({ ...store, read }, key, parts.compression, call)) {
      // What is no record at all is found all the same.
      if (
        match !== undefined &&
        line.startsWith('{') &&
        line.trimEnd().endsWith('}') &&
        !match.inLine(line)
      ) {
        number++;
        continue;
      }
      const message = decodeRecord(line);
      number++;
      yield { message, line };
    }
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
    if (error.details['key'] === key && error.hint !== undefined) throw error;
    const isNamed = error.message.startsWith(key);
    throw corrupt(
      isNamed ? `: ${error.message.slice(key.length).trim()}` : `, line ${number + 1}: ${error.message}`,
      error,
    );
  }
  if (number === 0) throw corrupt(': it holds no record');
  if (facts.messages !== undefined && number !== facts.messages) throw corrupt(': it is not whole');
}

/** Several partitions as one, by publish time; the order inside each stays. Holds one message of each. */
export async function* mergeByTime(
  partitions: readonly AsyncGenerator<StoredMessage, void, undefined>[],
): AsyncGenerator<StoredMessage, void, undefined> {
  const heads: { next: StoredMessage; rest: AsyncGenerator<StoredMessage, void, undefined> }[] = [];
  try {
    for (const rest of partitions) {
      const first = await rest.next();
      if (!first.done) heads.push({ next: first.value, rest });
    }
    while (heads.length > 0) {
      let at = 0;
      for (let i = 1; i < heads.length; i++) if (timeAt(heads, i) < timeAt(heads, at)) at = i;
      const head = heads[at] as (typeof heads)[number];
      yield head.next;
      const following = await head.rest.next();
      if (following.done) heads.splice(at, 1);
      else head.next = following.value;
    }
  } finally {
    for (const partition of partitions) await partition.return(undefined);
  }
}

const timeAt = (heads: readonly { next: StoredMessage }[], at: number): TimeMs =>
  heads[at]?.next.message.publishTimeMs ?? 0;

/**
 * Recognizes messages of a partition that came before, and forgets those that cannot come again. `Time`: anything that is
 * ordered, of the publish time. A message has its id and its publish time wherever it is; a cluster that is made anew gives
 * its ids again, to messages of another time.
 */
export function createDuplicateFilter<Time extends TimeMs | string>(): {
  begin(firstId: MessageId): void;
  isDuplicate(id: MessageId, published: Time): boolean;
} {
  let objects: { firstId: MessageId; ids: IdSet; from?: Time; to?: Time }[] = [];
  let highest: MessageId | undefined;
  return {
    begin(firstId) {
      const old = objects.length - REMEMBERED_OBJECTS;
      objects = objects.filter(
        ({ firstId: own, ids }, i) => i >= old || compareMessageIds(ids.greatest ?? own, firstId) >= 0,
      );
      objects.push({ firstId, ids: new IdSet() });
    },
    isDuplicate(id, published) {
      if (highest === undefined || compareMessageIds(id, highest) > 0) highest = id;
      else if (objects.some((one) => isWithin(published, one) && one.ids.has(id))) return true;
      const own = objects.at(-1);
      if (own === undefined) return false;
      own.ids.add(id);
      if (own.from === undefined || published < own.from) own.from = published;
      if (own.to === undefined || published > own.to) own.to = published;
      return false;
    },
  };
}

const isWithin = <Time extends TimeMs | string>(
  time: Time,
  { from, to }: { from?: Time; to?: Time },
): boolean => from !== undefined && to !== undefined && from <= time && time <= to;
