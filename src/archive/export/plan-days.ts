// Which days of a topic an export has to write: by the notes of those that it has, and by what the archive has today. It
// writes nothing.
import { BackupError } from '../../errors.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { expectReadable } from '../catalog/archived.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import type { Selection } from '../catalog/selection.ts';
import type { ReadOptions } from '../read/read-messages.ts';
import { BASE_COLUMNS, type Column } from './columns.ts';
import {
  type DayNote,
  dayFolder,
  noteFolder,
  noteKey,
  parseDayNote,
  type SourceObject,
  sourcesSha256,
} from './day-note.ts';
import { cutOf, type Days } from './days.ts';
import type { PayloadColumns } from './payload-columns.ts';
import type { ExportTarget } from './target.ts';

/** What is exported of a topic. */
export interface PlanOptions {
  readonly topic: TopicName;
  readonly selection: Selection;
  /** What must be the same in all days; see settingsOf. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly payload?: PayloadColumns | undefined;
}

/** A day as it is to be: why it is written, or that it is not. */
export interface DayPlan {
  readonly date: string;
  readonly isStale: boolean;
  readonly note: KnownDay | undefined;
}

/** What is kept of a day's note: of its objects, no more than a checksum. */
export interface KnownDay extends Omit<DayNote, 'sources'> {
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
  { topic, selection, settings, payload }: PlanOptions,
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
  options: PlanOptions & CallOptions,
): Promise<void> {
  if (archived.length === 0) return;
  const needed = new Set<string>();
  for (const date of days.dates()) {
    const sources = days.sourcesOf(date);
    const { isStale } = await planDay(date, sources, notes.get(date), target, options, true);
    if (isStale) for (const { path } of sources) needed.add(path);
  }
  const { signal } = options;
  const own = archived.filter(({ key }) => needed.has(pathOf(key)));
  await expectReadable(store, own, signal === undefined ? {} : { signal });
}

/** All columns of an export. */
export const columnsOf = (payload: PayloadColumns | undefined): readonly Column[] => [
  ...BASE_COLUMNS,
  ...(payload?.columns ?? []),
];

/** Names and types of columns, as notes keep them. */
export const columnsText = (payload: PayloadColumns | undefined): string =>
  columnsOf(payload)
    .map(({ name, type }) => (type === undefined ? name : `${name} ${type}`))
    .join(', ');

const otherExport = (target: ExportTarget, note: KnownDay, settings: object) =>
  new BackupError(
    'config',
    `${target.name} has an export of another selection: ${JSON.stringify(note.settings)} instead of ${JSON.stringify(settings)}`,
    { hint: 'Use the same options but --from and --until as before, or another place with --to.' },
  );

/** Refuses to write a day anew without rows that it has: of objects that are gone. @throws BackupError `corrupt` */
export async function expectSources(
  target: ExportTarget,
  topic: TopicName,
  date: string,
  sources: readonly SourceObject[],
  { onDamaged }: Pick<ReadOptions, 'onDamaged'>,
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
