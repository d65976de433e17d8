// Writes the days of a topic as tables that are not there yet, or that are of other objects than today. A day is read
// again as a whole, in the order of each partition, and takes the place of what there was only when it is complete.
import { BackupError } from '../../errors.ts';
import type { ListedObject, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { expectReadable } from '../archived.ts';
import { pathOf } from '../manifest-content.ts';
import { type DamagedObject, readInOrder } from '../read-messages.ts';
import type { Selection } from '../selection.ts';
import { BASE_COLUMNS, type Column, selectOf } from './columns.ts';
import { createDayFiles, fill, fillQuickly, isQuick, type OnOtherDay } from './day-files.ts';
import {
  type DayNote,
  dayFolder,
  EXPORT_FORMAT,
  noteFolder,
  noteKey,
  parseDayNote,
  type SourceObject,
  sourcesSha256,
} from './day-note.ts';
import { cutOf, type Days, isSelectedDay } from './days.ts';
import type { ParquetCompression, ParquetWriter } from './parquet-file.ts';
import type { PayloadColumns, PayloadReader } from './payload-columns.ts';
import { typeFromJson, typeToJson } from './payload-type.ts';
import type { Draft, ExportTarget } from './target.ts';

/** How rows look, and how files are made. */
export interface ExportOptions {
  readonly topic: TopicName;
  readonly selection: Selection;
  /** What must be the same in all days; see settingsOf. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly compression: ParquetCompression;
  readonly fileBytes: number;
  readonly signal: AbortSignal;
  /** See ReadOptions. */
  readonly onDamaged: ((damaged: DamagedObject) => void) | undefined;
  readonly payload?: PayloadColumns | undefined;
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

/** A day as it is to be: why it is written, or that it is not. */
export interface DayPlan {
  readonly date: string;
  readonly isStale: boolean;
  readonly note: KnownDay | undefined;
}

/** What is kept of a day's note: of its objects, no more than a checksum. */
interface KnownDay extends Omit<DayNote, 'sources'> {
  readonly sourcesSha256: string;
}

/** The notes of the days that an export has of a topic, and which objects it found on other days than those of their keys. */
export async function readNotes(
  target: ExportTarget,
  topic: TopicName,
): Promise<{ notes: Map<string, KnownDay>; learned: Map<string, string[]> }> {
  const notes = new Map<string, KnownDay>();
  const learned = new Map<string, string[]>();
  for await (const key of target.notesIn(noteFolder(topic))) {
    if (!/date=[0-9-]+\.json$/.test(key)) continue;
    const text = await target.readNote(key);
    if (text === undefined) continue;
    const { sources, ...note } = parseDayNote(text, key);
    notes.set(note.date, { ...note, sourcesSha256: sourcesSha256(sources) });
    for (const { path, isOfOtherDay } of sources)
      if (isOfOtherDay) learned.set(path, [...(learned.get(path) ?? []), note.date]);
  }
  return { notes, learned };
}

/** Whether a day has to be written, by its note and its files. @throws BackupError `config` where the export is of something else */
export async function planDay(
  date: string,
  sources: readonly SourceObject[],
  note: KnownDay | undefined,
  target: ExportTarget,
  {
    topic,
    selection,
    settings,
    payload,
  }: Pick<ExportOptions, 'topic' | 'selection' | 'settings' | 'payload'>,
  isOfAnyColumns = false,
): Promise<DayPlan> {
  if (note === undefined) return { date, isStale: true, note };
  if (JSON.stringify(note.settings) !== JSON.stringify(settings)) throw otherExport(target, note, settings);
  const cut = cutOf(date, selection);
  const isSame =
    (note.sourcesSha256 === sourcesSha256(sources) || (await hasAll(target, topic, date, sources))) &&
    note.fromMs === cut.fromMs &&
    note.toMs === cut.toMs &&
    (isOfAnyColumns || note.columns === columnsText(payload)) &&
    (note.damaged ?? []).length === 0;
  if (!isSame) return { date, isStale: true, note };
  const files = await target.filesOf(dayFolder(topic, date));
  const isThere =
    files.size === note.files.length &&
    note.files.every(({ name, sizeBytes }) => files.get(name) === sizeBytes);
  return { date, isStale: !isThere, note };
}

/** Whether the export has the rows of all these objects: of others it may have them too, which are gone. */
export async function hasAll(
  target: ExportTarget,
  topic: TopicName,
  date: string,
  sources: readonly SourceObject[],
): Promise<boolean> {
  const key = noteKey(topic, date);
  const text = await target.readNote(key);
  if (text === undefined) return false;
  const known = new Map(parseDayNote(text, key).sources.map(({ path, sizeBytes }) => [path, sizeBytes]));
  return sources.every(({ path, sizeBytes }) => known.get(path) === sizeBytes);
}

/** Refuses days that have to be written of objects that have to be thawed first. @throws BackupError `store` that names them */
export async function expectReadableDays(
  store: ObjectStore,
  days: Days,
  notes: ReadonlyMap<string, KnownDay>,
  target: ExportTarget,
  archived: readonly ListedObject[],
  options: Pick<ExportOptions, 'topic' | 'selection' | 'settings' | 'signal'>,
): Promise<void> {
  if (archived.length === 0) return;
  const needed = new Set<string>();
  for (const date of days.dates()) {
    const sources = days.sourcesOf(date);
    const { isStale } = await planDay(date, sources, notes.get(date), target, options, true);
    if (isStale) for (const { path } of sources) needed.add(path);
  }
  const { signal } = options;
  await expectReadable(
    store,
    archived.filter(({ key }) => needed.has(pathOf(key))),
    { signal },
  );
}

const columnsOf = (payload: PayloadColumns | undefined): readonly Column[] => [
  ...BASE_COLUMNS,
  ...(payload?.columns ?? []),
];

const columnsText = (payload: PayloadColumns | undefined): string =>
  columnsOf(payload)
    .map(({ name, type }) => (type === undefined ? name : `${name} ${type}`))
    .join(', ');

const otherExport = (target: ExportTarget, note: KnownDay, settings: object) =>
  new BackupError(
    'config',
    `${target.name} has an export of another selection: ${JSON.stringify(note.settings)} instead of ${JSON.stringify(settings)}`,
    { hint: 'Use the same options but --from and --until as before, or another place with --to.' },
  );

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
      for await (const { message } of readInOrder(store, objects, selection, reading)) payloads.see(message);
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

/** Refuses to write a day anew without rows that it has: of objects that are gone. @throws BackupError `corrupt` */
async function expectSources(
  target: ExportTarget,
  topic: TopicName,
  date: string,
  sources: readonly SourceObject[],
  { onDamaged }: Pick<ExportOptions, 'onDamaged'>,
): Promise<void> {
  const key = noteKey(topic, date);
  const text = await target.readNote(key);
  if (text === undefined) return;
  const now = new Set(sources.map(({ path }) => path));
  const gone = parseDayNote(text, key).sources.filter(({ path }) => !now.has(path));
  if (gone.length === 0) return;
  const reason = `it has rows in the export of ${date}, and is not there any more`;
  for (const { path } of gone) onDamaged?.({ key: path, reason: `${path}: ${reason}` });
  if (onDamaged !== undefined) return;
  throw new BackupError(
    'corrupt',
    `${date} has to be written anew, and ${gone.length} of its objects are gone`,
    {
      hint: `A lifecycle rule, or somebody, removed them: ${gone[0]?.path}. The export has their rows still; --skip-damaged writes the day without them, --from leaves it as it is.`,
    },
  );
}

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
