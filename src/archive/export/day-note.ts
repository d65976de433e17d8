// The note of an exported day, in a file beside the tables: the objects of its rows, and the settings. A day with the
// same objects and settings need not be written again.
import { createHash } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import { topicFolder } from '../../format/object-key.ts';
import { formatMessageId } from '../../format/record.ts';
import type { TopicName } from '../../topic-name.ts';
import type { Selection } from '../catalog/selection.ts';

/** The `format` of the note of a day. */
export const EXPORT_FORMAT = 'tdmq-backup-export/1';

/** Where the notes of an export are; engines leave out what begins with `_`. */
const NOTES = '_export/';

/** An object that has rows of a day. */
export interface SourceObject {
  /** Its key, without the prefix of the archive. */
  readonly path: string;
  readonly sizeBytes: number;
  /** With which addition its rows came; absent in a list that is not of a note. */
  readonly addition?: number;
  /** Its key has another date. Where nothing else says that it has rows of this day, reading it has shown that. */
  readonly isOfOtherDay?: boolean;
}

/** A Parquet file of a day. */
export interface ExportedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly rows: number;
}

/** Rows that came into a day together, all behind those that it had before. */
export interface Addition {
  /** How many files it has: they are next to each other in the list of files. */
  readonly files: number;
  /** The last message of each partition. */
  readonly lastIds: Readonly<Record<string, string>>;
}

/** What is remembered of a day. */
export interface DayNote {
  readonly format: typeof EXPORT_FORMAT;
  readonly topic: string;
  readonly date: string;
  /** What was asked for but the time; see settingsOf. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Where the selection begins or ends within this day, milliseconds since the epoch. */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Of names and types of the columns. */
  readonly columns: string;
  readonly rows: number;
  /** What was asked for. */
  readonly fileBytes?: number;
  readonly files: readonly ExportedFile[];
  readonly additions?: readonly Addition[];
  readonly sources: readonly SourceObject[];
  /** Keys of objects that were skipped: the day is written again the next time. */
  readonly damaged?: readonly string[];
}

/** `{topic}/date=2026-11-23/`, below the place of the export. */
export const dayFolder = (topic: TopicName, date: string): string => `${topicFolder('', topic)}date=${date}/`;

/** Where the notes of a topic are. */
export const noteFolder = (topic: TopicName): string => topicFolder(NOTES, topic);

/** Where the note of a day is. */
export const noteKey = (topic: TopicName, date: string): string => `${noteFolder(topic)}date=${date}.json`;

/** What of a selection and of the rest must be the same in all days of an export. */
export function settingsOf(selection: Selection, decode: string | undefined): Record<string, unknown> {
  const { partitions, fromId, toId, key, properties, texts, valuePaths, storedUntilMs } = selection;
  return {
    ...(partitions !== undefined && { partitions: [...partitions].sort((a, b) => a - b) }),
    ...(fromId !== undefined && { fromId: formatMessageId(fromId) }),
    ...(toId !== undefined && { toId: formatMessageId(toId) }),
    ...(key !== undefined && { key }),
    ...(properties !== undefined && { properties }),
    ...(texts !== undefined && { texts }),
    ...(valuePaths !== undefined && { valuePaths }),
    ...(storedUntilMs !== undefined && { storedUntilMs }),
    ...(decode !== undefined && { decode }),
  };
}

/** A checksum of the objects that a day is made of. */
export function sourcesSha256(sources: readonly SourceObject[]): string {
  const lines = sources.map(({ path, sizeBytes }) => `${path} ${sizeBytes}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** @throws BackupError `corrupt` where the text is no note of this version */
export function parseDayNote(text: string, key: string): DayNote {
  let note: Partial<DayNote> | undefined;
  try {
    note = JSON.parse(text);
  } catch {}
  if (note?.format === EXPORT_FORMAT && Array.isArray(note.sources) && Array.isArray(note.files))
    return note as DayNote;
  throw new BackupError('corrupt', `${key} is no note of an export that this version knows`, {
    hint: 'Remove it: then its day is written again.',
    details: { key },
  });
}
