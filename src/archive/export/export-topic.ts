// Writes the missing and outdated days of a topic as tables. New rows that follow all rows of a day go into another
// file, or into the rewritten last file. Otherwise the whole day is read again, in the order of each partition.
// Replaces files only by complete ones.
import type { ObjectStore } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import { type DamagedObject, readInOrder } from '../read/read-messages.ts';
import { selectOf } from './columns.ts';
import {
  createDayFiles,
  type Filled,
  fill,
  fillQuickly,
  isQuick,
  type NewFile,
  NotBehind,
  type OnOtherDay,
} from './day-files.ts';
import {
  type DayNote,
  dayFolder,
  EXPORT_FORMAT,
  noteFolder,
  noteKey,
  type SourceObject,
  sourcesSha256,
} from './day-note.ts';
import { cutOf, type Days, isSelectedDay } from './days.ts';
import type { ParquetCompression, ParquetWriter } from './parquet-file.ts';
import type { PayloadReader } from './payload-columns.ts';
import { typeFromJson, typeToJson } from './payload-type.ts';
import {
  columnsOf,
  columnsText,
  type DayPlan,
  expectSources,
  type KnownDay,
  lastIdsOf,
  NOTHING,
  type PlanOptions,
  planDay,
} from './plan-days.ts';
import { type ExportTarget, newNames } from './target.ts';

/** How rows look, and how files are made. */
export interface ExportOptions extends PlanOptions {
  readonly compression: ParquetCompression;
  /** Called before a day is changed; throws where it must not be. */
  readonly beforeChange?: (() => Promise<void>) | undefined;
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
    const { sources } = await planDay(date, days, notes.get(date), target, options, true);
    if (sources.length === 0) continue;
    // Damage is reported where it is left out of the tables.
    const reading = { signal, onDamaged: onDamaged && (() => undefined) };
    for (const objects of onlyOf(days.partitionsOf(date), sources))
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
  const written = new Map(notes);
  const queue = days.dates();
  for (let date = queue.shift(); date !== undefined; date = queue.shift()) {
    const plan = await planDay(date, days, written.get(date), target, options);
    if (plan.change === 'none') {
      const { rows, files } = plan.note as KnownDay;
      if (!results.has(date)) results.set(date, { date, state: 'unchanged', rows, ...sumOf(files) });
      continue;
    }
    const onOtherDay: OnOtherDay = (object, other) => {
      if (!isSelectedDay(other, options.selection) || days.learn(object, other)) return;
      // Days behind this one are in the queue already, unless nothing was known of them.
      if (!queue.includes(other)) queue.push(other);
      queue.sort();
    };
    const note = await writeDay(store, plan, days, target, await writer(), onOtherDay, options);
    const { rows, files, sources, ...rest } = note;
    written.set(date, { ...rest, rows, files, sourcesSha256: sourcesSha256(sources) });
    results.set(date, { date, state: 'written', rows, ...sumOf(files) });
  }
  return [...results.values()].sort((a, b) => (a.date < b.date ? -1 : 1));
}

const sumOf = (files: readonly { sizeBytes: number }[]) => ({
  files: files.length,
  bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
});

/** The objects of these that are among the sources. */
function onlyOf(
  partitions: readonly PartitionObjects[],
  sources: readonly SourceObject[],
): PartitionObjects[] {
  const paths = new Set(sources.map(({ path }) => path));
  const isOwn = ({ key }: ArchiveObject) => paths.has(pathOf(key));
  return partitions.map((one) => ({
    ...one,
    recovered: one.recovered.filter(isOwn),
    *others() {
      for (const object of one.others()) if (isOwn(object)) yield object;
    },
  }));
}

/** Makes the files of a day, and puts them in place. */
async function writeDay(
  store: ObjectStore,
  plan: DayPlan,
  days: Days,
  target: ExportTarget,
  writer: ParquetWriter,
  onOtherDay: OnOtherDay,
  options: ExportOptions,
): Promise<DayNote> {
  const { date, kept } = plan;
  const { topic, selection, signal, compression, fileBytes, settings } = options;
  if (plan.change === 'whole') await expectSources(target, topic, date, plan.sources, options);
  const folder = dayFolder(topic, date);
  const partitions = onlyOf(days.partitionsOf(date), plan.sources);
  const select = selectOf(columnsOf(options.payload), options.payload?.fields);
  const there = [...(await target.filesOf(folder)).keys()];
  const stage = async (file: NewFile, number: number) => {
    const name = newNames(there, [], number + 1)[number] as string;
    await target.stage?.(folder, { ...file, name }, signal);
  };
  const open = async () => {
    await target.unstage?.();
    const files = { select, compression, fileBytes };
    return createDayFiles(target.draftFolder, writer, files, target.stage && stage);
  };
  const damaged: string[] = [];
  const onDamaged = options.onDamaged && ((one: DamagedObject) => void damaged.push(one.key));
  const reading = {
    ...options,
    lastIds: lastIdsOf(kept.additions),
    onDamaged:
      onDamaged &&
      ((one: DamagedObject) => {
        onDamaged(one);
        options.onDamaged?.(one);
      }),
  };
  let filled: Filled | undefined;
  try {
    if (options.payload === undefined && isQuick(partitions, selection))
      filled = await fillQuickly(store, date, partitions, open(), onOtherDay, reading);
    filled ??= await fill(store, date, partitions, open(), onOtherDay, reading);
  } catch (error) {
    if (!(error instanceof NotBehind)) throw error;
    const whole: DayPlan = { ...plan, change: 'whole', kept: NOTHING, replaced: there };
    const all = { ...whole, sources: days.sourcesOf(date) };
    return writeDay(store, all, days, target, writer, onOtherDay, options);
  }
  signal.throwIfAborted();
  await options.beforeChange?.();
  const names = newNames(there, plan.replaced, filled.drafts.length);
  const drafts = filled.drafts.map((draft, i) => ({ ...draft, name: names[i] as string }));
  const removed = plan.replaced.filter((name) => !names.includes(name));
  await target.publish(folder, { drafts, removed }, signal);
  const files = [...kept.files, ...drafts.map(({ name, sizeBytes, rows }) => ({ name, sizeBytes, rows }))];
  // Rows that turned out to be of other days add nothing.
  const isMore = drafts.length > 0 || kept.additions.length === 0;
  const addition = isMore ? kept.additions.length : kept.additions.length - 1;
  const note: DayNote = {
    format: EXPORT_FORMAT,
    topic: topic.full,
    date,
    settings,
    ...cutOf(date, selection),
    columns: columnsText(options.payload),
    rows: files.reduce((sum, one) => sum + one.rows, 0),
    fileBytes,
    files,
    additions: isMore
      ? [...kept.additions, { files: drafts.length, lastIds: filled.lastIds }]
      : kept.additions,
    ...(damaged.length > 0 && { damaged }),
    sources: [...kept.sources, ...plan.sources.map((one) => ({ ...one, addition }))],
  };
  await target.writeNote(noteKey(topic, date), `${JSON.stringify(note)}\n`);
  return note;
}
