// Where an export is written: what a folder and a bucket have to offer for that. Whoever reads a day meanwhile gets it as
// it was or as it is now, never a part of it, and never both.
import type { ExportedFile } from './day-note.ts';

/** A Parquet file that is whole, and that nobody reads yet. */
export interface Draft extends ExportedFile {
  readonly path: string;
}

/** The place of an export. All keys are below it, with `/` between names. */
export interface ExportTarget {
  /** For people. */
  readonly name: string;
  /** A folder on this machine, for what is not whole yet. */
  readonly draftFolder: string;
  /** Whether a day that is not there yet can be several files, which appear together. */
  readonly canSplit: boolean;
  /** The Parquet files of a day, with their sizes. @throws BackupError `store` */
  filesOf(folder: string): Promise<ReadonlyMap<string, number>>;
  /** Makes the drafts the files of a day, instead of those that it has, all at once. @throws BackupError `store` */
  publish(folder: string, drafts: readonly Draft[], signal: AbortSignal): Promise<void>;
  /** `undefined`: there is none. @throws BackupError `store` */
  readNote(key: string): Promise<string | undefined>;
  /** Resolves when the text is durable. @throws BackupError `store` */
  writeNote(key: string, text: string): Promise<void>;
  /** The keys of the notes below a folder. @throws BackupError `store` */
  notesIn(folder: string): AsyncIterable<string>;
  /** Removes the drafts. May be repeated; never throws. */
  close(): Promise<void>;
}

/** The name of the n-th file of a day, from 0. */
export const fileName = (number: number): string => `part-${String(number).padStart(5, '0')}.parquet`;
