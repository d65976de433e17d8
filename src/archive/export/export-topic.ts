// Writes the days of a topic as tables that are not there yet, or that are of other objects than today. A day is read
// again as a whole, in the order of each partition, and takes the place of what there was only when it is complete.
import type { ObjectStore } from '../../ports.ts';
import { type DamagedObject, readInOrder } from '../read/read-messages.ts';
import { selectOf } from './columns.ts';
import { createDayFiles, fill, fillQuickly, isQuick, type OnOtherDay } from './day-files.ts';
import { type DayNote, dayFolder, EXPORT_FORMAT, noteFolder, noteKey } from './day-note.ts';
import { cutOf, type Days, isSelectedDay } from './days.ts';
import type { ParquetCompression, ParquetWriter } from './parquet-file.ts';
import type { PayloadReader } from './payload-columns.ts';
import { typeFromJson, typeToJson } from './payload-type.ts';
import {
  columnsOf,
  columnsText,
  expectSources,
  type KnownDay,
  type PlanOptions,
  planDay,
} from './plan-days.ts';
import type { Draft, ExportTarget } from './target.ts';

/** How rows look, and how files are made. */
export interface ExportOptions extends PlanOptions {
  readonly compression: ParquetCompression;
  readonly fileBytes: number;
  readonly signal: AbortSignal;
  /** See ReadOptions. */
  readonly onDamaged: ((damaged: DamagedObject) => void) | undefined;
  /** Bytes of objects as they are read. */
  readonly onRead?: ((date: string, bytes: number) => void) | undefined;
}

/** What became of a day. */
export interface DayResult {
  readonly date: string;
  readonly state: 'written' | 'unchanged';
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Looks at the messages of all days that have to be written, for the types of their payloads, and keeps what was seen for
 * the next time. @throws BackupError
 */
export async function seePayloads(
  store: ObjectStore,
  days: Days,
  notes: ReadonlyMap<string, KnownDay>,
  target: ExportTarget,
  payloads: PayloadReader,
  options: ExportOptions,
): Promise<void> {
  const { topic, selection, signal, onDamaged } = options;
  const key = `${noteFolder(topic)}payload.json`;
  const before = await target.readNote(key);
  for (const date of days.dates()) {
    const plan = await planDay(date, days.sourcesOf(date), notes.get(date), target, options, true);
    if (!plan.isStale) continue;
    // Damage is reported where it is left out of the tables.
    const reading = { signal, onDamaged: onDamaged && (() => undefined) };
    for (const objects of days.partitionsOf(date))
      for await (const { message, object } of readInOrder(store, objects, selection, reading))
        await payloads.see(message, object);
  }
  const text = typeToJson(payloads.seen(before === undefined ? undefined : typeFromJson(before)));
  if (text !== before) await target.writeNote(key, text);
}

/** Writes what is stale of the days, and answers all. @throws BackupError */
export async function writeDays(
  store: ObjectStore,
  days: Days,
  notes: ReadonlyMap<string, KnownDay>,
  target: ExportTarget,
  writer: () => Promise<ParquetWriter>,
  options: ExportOptions,
): Promise<DayResult[]> {
  const results = new Map<string, DayResult>();
  const queue = days.dates();
  for (let date = queue.shift(); date !== undefined; date = queue.shift()) {
    const plan = await planDay(date, days.sourcesOf(date), notes.get(date), target, options);
    if (!plan.isStale && !results.has(date)) {
      const { rows, files } = plan.note as KnownDay;
      results.set(date, { date, state: 'unchanged', rows, ...sumOf(files) });
      continue;
    }
    await expectSources(target, options.topic, date, days.sourcesOf(date), options);
    const onOtherDay: OnOtherDay = (object, other) => {
      if (!isSelectedDay(other, options.selection) || days.learn(object, other)) return;
      // Days behind this one are in the queue already, unless nothing was known of them.
      if (!queue.includes(other)) queue.push(other);
      queue.sort();
    };
    results.set(date, await writeDay(store, date, days, target, await writer(), onOtherDay, options));
  }
  return [...results.values()].sort((a, b) => (a.date < b.date ? -1 : 1));
}

const sumOf = (files: readonly { sizeBytes: number }[]) => ({
  files: files.length,
  bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
});

/** Makes the files of a day, and puts them in place. */
async function writeDay(
  store: ObjectStore,
  date: string,
  days: Days,
  target: ExportTarget,
  writer: ParquetWriter,
  onOtherDay: OnOtherDay,
  options: ExportOptions,
): Promise<DayResult> {
  const { topic, selection, signal, compression, fileBytes, settings } = options;
  const folder = dayFolder(topic, date);
  const before = await target.filesOf(folder);
  // One file is replaced at once on any disk: a day that is one stays one.
  const maxBytes = target.canSplit && before.size !== 1 ? fileBytes : Number.POSITIVE_INFINITY;
  const sources = days.sourcesOf(date);
  const partitions = days.partitionsOf(date);
  const select = selectOf(columnsOf(options.payload), options.payload?.fields);
  const open = () => createDayFiles(target.draftFolder, writer, { select, compression, fileBytes: maxBytes });
  const damaged: string[] = [];
  const onDamaged = options.onDamaged && ((one: DamagedObject) => void damaged.push(one.key));
  const reading = {
    ...options,
    onDamaged:
      onDamaged &&
      ((one: DamagedObject) => {
        onDamaged(one);
        options.onDamaged?.(one);
      }),
  };
  let drafts: readonly Draft[] | undefined;
  if (options.payload === undefined && isQuick(partitions, selection))
    drafts = await fillQuickly(store, date, partitions, open(), onOtherDay, reading);
  drafts ??= await fill(store, date, partitions, open(), onOtherDay, reading);
  signal.throwIfAborted();
  await target.publish(folder, drafts, signal);
  const files = drafts.map(({ name, sizeBytes, rows }) => ({ name, sizeBytes, rows }));
  const rows = files.reduce((sum, one) => sum + one.rows, 0);
  const note: DayNote = {
    format: EXPORT_FORMAT,
    topic: topic.full,
    date,
    settings,
    ...cutOf(date, selection),
    columns: columnsText(options.payload),
    rows,
    files,
    ...(damaged.length > 0 && { damaged }),
    sources,
  };
  await target.writeNote(noteKey(topic, date), `${JSON.stringify(note)}\n`);
  return { date, state: 'written', rows, ...sumOf(files) };
}
