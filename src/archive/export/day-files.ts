// Writes the rows of one day to files, by partition and in order. Uses the quick reader if the selection does not
// look into messages and the objects are regular; otherwise, or if that fails, reads as `archive cat` does, which
// detects damage.
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from '../../errors.ts';
import { dateOf } from '../../format/object-key.ts';
import { compareMessageIds, formatMessageId, parseMessageId, parseTime } from '../../format/record.ts';
import { readWhole } from '../../format/stored-object.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { CallOptions, MessageId, ObjectStore, TimeMs } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import { isByContent, isSelected, type Selection } from '../catalog/selection.ts';
import { createDuplicateFilter, type ReadOptions, readInOrder } from '../read/read-messages.ts';
import { type ParquetFile, type ParquetOptions, type ParquetWriter, rowGroupBytes } from './parquet-file.ts';
import type { PayloadColumns } from './payload-columns.ts';
import { CareNeeded, type QuickRow, readQuickly } from './quick-rows.ts';
import { rowLine } from './row-line.ts';
import type { Draft } from './target.ts';

/** Objects of this size are read so many at a time. */
const SMALL_BYTES = 1_048_576;
const AHEAD = 8;

/** A message of an object was published on another day. */
export type OnOtherDay = (object: ArchiveObject, date: string) => void;

/** What the filling of a day needs to know. */
export interface FillOptions extends CallOptions, Pick<ReadOptions, 'onDamaged'> {
  readonly selection: Selection;
  readonly payload?: PayloadColumns | undefined;
  readonly onRead?: ((date: string, bytes: number) => void) | undefined;
  /** Of each partition the message behind which all have to be. */
  readonly lastIds?: Readonly<Record<string, string>> | undefined;
}

/** A file that has no name yet in its day. */
export type NewFile = Omit<Draft, 'name'>;

/** Files, and the last message of each partition in them. */
export interface Filled {
  readonly drafts: readonly NewFile[];
  readonly lastIds: Readonly<Record<string, string>>;
}

/** Thrown where a message is not behind those that the day has. */
export class NotBehind extends Error {}

/** Sees to it that all messages are behind those, and keeps the last of each partition. */
function createOrder(before: Readonly<Record<string, string>> = {}) {
  const first = new Map(
    Object.entries(before).map(([partition, id]) => [Number(partition), parseMessageId(id) as MessageId]),
  );
  const last = new Map<number, MessageId>();
  return {
    /** @throws NotBehind */
    see(id: MessageId): void {
      const { partition } = id;
      const [bound, known] = [first.get(partition), last.get(partition)];
      if (bound !== undefined && compareMessageIds(id, bound) <= 0) throw new NotBehind();
      if (known === undefined || compareMessageIds(id, known) > 0) last.set(partition, id);
    },
    lastIds: () => Object.fromEntries([...last].map(([partition, id]) => [partition, formatMessageId(id)])),
  };
}

/** The files of a day that is being written. */
export interface DayFiles {
  /** Whether to call `untilTaken` before much more is written. */
  write: ParquetFile['write'];
  /** Begins another file where one is large. @throws BackupError */
  untilTaken(): Promise<void>;
  close(): Promise<readonly NewFile[]>;
  /** Never throws. */
  discard(): Promise<void>;
}

/** Files in `folder`, of about `fileBytes` each. `stage`: takes them by number, once it is known that there are several. */
export async function createDayFiles(
  folder: string,
  writer: ParquetWriter,
  options: Omit<ParquetOptions, 'path'>,
  stage?: (file: NewFile, number: number) => Promise<void>,
): Promise<DayFiles> {
  await mkdir(folder, { recursive: true });
  const drafts: NewFile[] = [];
  let staged = 0;
  const { fileBytes } = options;
  const groupBytes = rowGroupBytes(fileBytes);
  let file: (ParquetFile & { readonly path: string }) | undefined;
  /** Bytes of lines in the file, and at how many of them its size is looked at: rows are mostly larger than what is written of them. */
  let lineBytes = 0;
  let lookAtBytes = fileBytes;

  async function closeFile(): Promise<void> {
    if (file === undefined) return;
    const { path } = file;
    const { rows } = await file.close();
    file = undefined;
    [lineBytes, lookAtBytes] = [0, fileBytes];
    drafts.push({ path, rows, sizeBytes: (await stat(path)).size });
    if (stage === undefined || drafts.length < 2) return;
    for (const draft of drafts.slice(staged)) {
      await stage(draft, staged++);
      await rm(draft.path);
    }
  }

  return {
    write(line, isOwn) {
      if (file === undefined) {
        const path = join(folder, `${drafts.length}.partial`);
        file = { path, ...writer.open({ ...options, path }) };
      }
      // Its memory may be gone behind that.
      lineBytes += line.length;
      return file.write(line, isOwn) || lineBytes >= lookAtBytes;
    },
    async untilTaken() {
      if (file === undefined) return;
      if (lineBytes < lookAtBytes) return file.untilTaken();
      // Then all but one or two row groups is in the file.
      await file.untilTaken(0);
      const written = await stat(file.path).then(
        ({ size }) => size,
        () => 0,
      );
      const perByte = Math.min(1, written / Math.max(groupBytes, lineBytes - 1.5 * groupBytes));
      const left = fileBytes - perByte * lineBytes;
      if (left <= 0) return closeFile();
      const more = written === 0 ? groupBytes : Math.min(fileBytes, left / perByte);
      lookAtBytes = lineBytes + Math.max(groupBytes / 2, more);
    },
    async close() {
      await closeFile();
      return drafts;
    },
    async discard() {
      await file?.discard();
    },
  };
}

/** Whether a day can be tried quickly: only ids and times say what is selected, and no message has its place between others. */
export const isQuick = (partitions: readonly PartitionObjects[], selection: Selection): boolean =>
  !isByContent(selection) && partitions.every(({ recovered }) => recovered.length === 0);

/** Reads an object that is small before its turn comes: many of them are mostly waiting. */
const readSmall =
  (store: ObjectStore, call: CallOptions) =>
  async (object: ArchiveObject): Promise<{ object: ArchiveObject; read: ObjectStore['read'] }> => {
    if (object.sizeBytes > SMALL_BYTES) return { object, read: store.read };
    const reading = readWhole(store, object.key, call);
    // Whatever is wrong is thrown where the object is read.
    await reading.catch(() => undefined);
    const read = async function* () {
      yield await reading;
    };
    return { object, read };
  };

/** The files of a day; `undefined` where it has to be read with care. @throws BackupError `store` */
export async function fillQuickly(
  store: ObjectStore,
  date: string,
  partitions: readonly PartitionObjects[],
  opening: Promise<DayFiles>,
  onOtherDay: OnOtherDay,
  { selection, signal, onRead, lastIds }: FillOptions,
): Promise<Filled | undefined> {
  const files = await opening;
  const order = createOrder(lastIds);
  const isTimed = selection.fromMs !== undefined || selection.toMs !== undefined;
  const call: CallOptions = signal === undefined ? {} : { signal };
  let mayWait = false;
  try {
    for (const { others } of partitions) {
      const seen = createDuplicateFilter<string>();
      for await (const { object, read } of mapInOrder(others(), AHEAD, readSmall(store, call))) {
        seen.begin(object.facts.firstId);
        const onRow = ({ id, date: own, publishTime, line, isOwn }: QuickRow) => {
          const publishTimeMs = isTimed ? (parseTime(publishTime) as TimeMs) : 0;
          if (!isSelected({ id, publishTimeMs, key: undefined, properties: [] }, selection)) return;
          if (seen.isDuplicate(id, publishTime)) return;
          if (own !== date) {
            onOtherDay(object, own);
            return;
          }
          order.see(id);
          mayWait = files.write(line, isOwn) || mayWait;
        };
        const untilTaken = () => {
          signal?.throwIfAborted();
          if (!mayWait) return undefined;
          mayWait = false;
          return files.untilTaken();
        };
        await readQuickly({ ...store, read }, object, call, onRow, untilTaken);
        onRead?.(date, object.sizeBytes);
      }
    }
    return { drafts: await files.close(), lastIds: order.lastIds() };
  } catch (error) {
    await files.discard();
    const isOdd = error instanceof CareNeeded || (error instanceof BackupError && error.code === 'corrupt');
    if (!isOdd || signal?.aborted) throw error;
    return undefined;
  }
}

/** The files of a day, read as `archive cat` reads. @throws BackupError */
export async function fill(
  store: ObjectStore,
  date: string,
  partitions: readonly PartitionObjects[],
  opening: Promise<DayFiles>,
  onOtherDay: OnOtherDay,
  { selection, signal, onDamaged, onRead, payload, lastIds }: FillOptions,
): Promise<Filled> {
  const files = await opening;
  const order = createOrder(lastIds);
  const readOptions = {
    ...(signal !== undefined && { signal }),
    onDamaged,
    onObject: ({ sizeBytes }: ArchiveObject) => onRead?.(date, sizeBytes),
  };
  try {
    for (const objects of partitions) {
      for await (const one of readInOrder(store, objects, selection, readOptions)) {
        const own = dateOf(one.message.publishTimeMs);
        if (own !== date) {
          onOtherDay(one.object, own);
          continue;
        }
        order.see(one.message.id);
        if (files.write(rowLine(one, await payload?.rowFields(one.message, one.object)))) {
          await files.untilTaken();
          signal?.throwIfAborted();
        }
      }
    }
    return { drafts: await files.close(), lastIds: order.lastIds() };
  } catch (error) {
    await files.discard();
    throw error;
  }
}
