// Decides which days of a topic an export has to write, by the notes of existing days and the archive's current
// objects. Writes nothing.
import { BackupError } from '../../errors.ts';
import { compareMessageIds, parseMessageId } from '../../format/record.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { expectReadable } from '../catalog/archived.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import type { Selection } from '../catalog/selection.ts';
import type { ReadOptions } from '../read/read-messages.ts';
import { BASE_COLUMNS, type Column } from './columns.ts';
import {
  type Addition,
  type DayNote,
  dayFolder,
  type ExportedFile,
  noteFolder,
  noteKey,
  parseDayNote,
  type SourceObject,
  sourcesSha256,
} from './day-note.ts';
import { cutOf, type Days } from './days.ts';
import type { PayloadColumns } from './payload-columns.ts';
import { type ExportTarget, isOwnName } from './target.ts';

/** What is exported of a topic. */
export interface PlanOptions {
  readonly topic: TopicName;
  readonly selection: Selection;
  /** What must be the same in all days; see settingsOf. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly payload?: PayloadColumns | undefined;
  /** Of how many bytes a file is to be. */
  readonly fileBytes: number;
  /** Whether an object, by its path, has to be thawed before it can be read. */
  readonly isArchived?: ((path: string) => boolean) | undefined;
}

/** The part of a day that does not change when rows are appended. */
export interface KeptPart {
  readonly files: readonly ExportedFile[];
  readonly additions: readonly Addition[];
  readonly sources: readonly SourceObject[];
}

/** A day as it is to be. */
export interface DayPlan {
  readonly date: string;
  /** `none`: as it is. `more`: rows come in behind those that it has. `whole`: it is written anew. */
  readonly change: 'none' | 'more' | 'whole';
  readonly note: KnownDay | undefined;
  readonly kept: KeptPart;
  /** The objects that have to be read. */
  readonly sources: readonly SourceObject[];
  /** The names of files whose rows are written again. */
  readonly replaced: readonly string[];
}

/** Of a day that is written anew. */
export const NOTHING: KeptPart = { files: [], additions: [], sources: [] };

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

/**
 * What has to be done for a day, by its note and its files. @throws BackupError `config` where the export is of something
 * else, or has files that no export has written
 */
export async function planDay(
  date: string,
  days: Days,
  note: KnownDay | undefined,
  target: ExportTarget,
  options: PlanOptions,
  isOfAnyColumns = false,
): Promise<DayPlan> {
  const { topic, selection, settings, payload, fileBytes } = options;
  const sources = days.sourcesOf(date);
  const folder = dayFolder(topic, date);
  const there = await target.filesOf(folder);
  const foreign = [...there.keys()].find((name) => !isOwnName(name));
  if (foreign !== undefined) throw foreignFile(target, `${folder}${foreign}`);
  const whole: DayPlan = {
    ...{ date, change: 'whole', note, sources, kept: NOTHING },
    replaced: [...there.keys()],
  };
  if (note === undefined) return whole;
  if (JSON.stringify(note.settings) !== JSON.stringify(settings)) throw otherExport(target, note, settings);
  const cut = cutOf(date, selection);
  const isAsAsked =
    note.fromMs === cut.fromMs &&
    note.toMs === cut.toMs &&
    (isOfAnyColumns || note.columns === columnsText(payload)) &&
    (note.damaged ?? []).length === 0 &&
    there.size === note.files.length &&
    note.files.every(({ name, sizeBytes }) => there.get(name) === sizeBytes);
  if (!isAsAsked) return whole;
  const none: DayPlan = { ...whole, change: 'none', sources: [], replaced: [] };
  if (note.sourcesSha256 === sourcesSha256(sources)) return none;
  const known = await sourcesOfNote(target, topic, date);
  const sizes = new Map(known.map(({ path, sizeBytes }) => [path, sizeBytes]));
  if (sources.some(({ path, sizeBytes }) => (sizes.get(path) ?? sizeBytes) !== sizeBytes)) return whole;
  const fresh = sources.filter(({ path }) => !sizes.has(path));
  // Of others that it has the rows of, the objects are gone.
  if (fresh.length === 0) return none;
  const { additions } = note;
  const isBehind = additions !== undefined && areBehind(days.partitionsOf(date), fresh, lastIdsOf(additions));
  if (!isBehind || note.fileBytes !== fileBytes) return whole;
  const kept: KeptPart = { files: note.files, additions, sources: known };
  return { ...none, change: 'more', ...partToWrite(kept, sources, fresh, options) };
}

/** The new objects; with those of the last file, where that is small enough to be written again with them. */
function partToWrite(
  kept: KeptPart,
  sources: readonly SourceObject[],
  fresh: readonly SourceObject[],
  { fileBytes, isArchived }: PlanOptions,
): Pick<DayPlan, 'kept' | 'sources' | 'replaced'> {
  const last = kept.additions.length - 1;
  const ofLast = (one: SourceObject) => one.addition === last;
  const own = new Set(kept.sources.filter(ofLast).map(({ path }) => path));
  const there = sources.filter(({ path }) => own.has(path));
  const file = kept.files.at(-1);
  const grown = file && file.sizeBytes * (1 + sizeOf(fresh) / Math.max(1, sizeOf(there)));
  const isGrowing =
    kept.additions[last]?.files === 1 &&
    file !== undefined &&
    (grown as number) <= fileBytes &&
    there.length === own.size &&
    !there.some(({ path }) => isArchived?.(path));
  if (!isGrowing) return { kept, sources: fresh, replaced: [] };
  return {
    kept: {
      files: kept.files.slice(0, -1),
      additions: kept.additions.slice(0, -1),
      sources: kept.sources.filter((one) => !ofLast(one)),
    },
    sources: [...there, ...fresh],
    replaced: [file.name],
  };
}

const sizeOf = (sources: readonly SourceObject[]) => sources.reduce((sum, one) => sum + one.sizeBytes, 0);

/** The last message of each partition. */
export const lastIdsOf = (additions: readonly Addition[]): Readonly<Record<string, string>> =>
  Object.assign({}, ...additions.map(({ lastIds }) => lastIds));

/** Whether all messages of these objects are behind those, as far as their keys say it. */
function areBehind(
  partitions: readonly PartitionObjects[],
  fresh: readonly SourceObject[],
  lastIds: Readonly<Record<string, string>>,
): boolean {
  const paths = new Set(fresh.map(({ path }) => path));
  for (const { partition, recovered, others } of partitions) {
    if (recovered.some(({ key }) => paths.has(pathOf(key)))) return false;
    const last = parseMessageId(lastIds[partition] ?? '');
    if (last === undefined) continue;
    for (const { key, facts } of others())
      if (paths.has(pathOf(key)) && compareMessageIds(facts.firstId, last) <= 0) return false;
  }
  return true;
}

/** The objects that an export has rows of, by the note of the day. */
export async function sourcesOfNote(
  target: ExportTarget,
  topic: TopicName,
  date: string,
): Promise<readonly SourceObject[]> {
  const key = noteKey(topic, date);
  const text = await target.readNote(key);
  return text === undefined ? [] : parseDayNote(text, key).sources;
}

/** Whether the export has the rows of all these objects: of others it may have them too, which are gone. */
export async function hasAll(
  target: ExportTarget,
  topic: TopicName,
  date: string,
  sources: readonly SourceObject[],
): Promise<boolean> {
  const known = await sourcesOfNote(target, topic, date);
  const sizes = new Map(known.map(({ path, sizeBytes }) => [path, sizeBytes]));
  return sources.every(({ path, sizeBytes }) => sizes.get(path) === sizeBytes);
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
    const { sources } = await planDay(date, days, notes.get(date), target, options, true);
    for (const { path } of sources) needed.add(path);
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

const foreignFile = (target: ExportTarget, key: string) =>
  new BackupError('config', `${target.name} has ${key}, which no export has written`, {
    hint: 'Whoever reads the tables would read it too: move it away, or export to another place.',
  });

/** Refuses to write a day anew without rows that it has: of objects that are gone. @throws BackupError `corrupt` */
export async function expectSources(
  target: ExportTarget,
  topic: TopicName,
  date: string,
  sources: readonly SourceObject[],
  { onDamaged }: Pick<ReadOptions, 'onDamaged'>,
): Promise<void> {
  const now = new Set(sources.map(({ path }) => path));
  const known = await sourcesOfNote(target, topic, date);
  const gone = known.filter(({ path }) => !now.has(path));
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
