// The target of an export: the operations that a folder and a bucket implement. A concurrent reader of a day gets its
// old state, its new state, or an error of the engine, never a mixture.
import { BackupError } from '../../errors.ts';
import type { ExportedFile } from './day-note.ts';

/** A Parquet file that is whole, and that nobody reads yet. */
export interface Draft extends ExportedFile {
  readonly path: string;
}

/** What becomes of the files of a day. */
export interface DayChange {
  /** Under names that the day does not have yet; or one, under the name of the one file that it replaces. */
  readonly drafts: readonly Draft[];
  /** The names of files that go; the one that is replaced is not among them. */
  readonly removed: readonly string[];
}

/** The place of an export. All keys are below it, with `/` between names. */
export interface ExportTarget {
  /** For people. */
  readonly name: string;
  /** A folder on this machine, for what is not whole yet. */
  readonly draftFolder: string;
  /** The Parquet files of a day, with their sizes. @throws BackupError `store` */
  filesOf(folder: string): Promise<ReadonlyMap<string, number>>;
  /** Brings a draft on its way, unseen, where that takes a copy: then its file here is not needed. @throws BackupError `store` */
  readonly stage?: (folder: string, draft: Draft, signal: AbortSignal) => Promise<void>;
  /** Gives up what was staged and not published. May be repeated; never throws. */
  readonly unstage?: () => Promise<void>;
  /** Removes what killed exports have left of files below a folder, where nobody else writes there. Never throws. */
  readonly cleanUp?: (folder: string) => Promise<void>;
  /**
   * Changes the files of a day. What takes one step (a file more, a file replaced) readers see at once. Where it takes
   * several, a file is there meanwhile that no engine can read: a query fails then, instead of answering wrong.
   * @throws BackupError `store`
   */
  publish(folder: string, change: DayChange, signal: AbortSignal): Promise<void>;
  /** `undefined`: there is none. @throws BackupError `store` */
  readNote(key: string): Promise<string | undefined>;
  /** Resolves when the text is durable. @throws BackupError `store` */
  writeNote(key: string, text: string): Promise<void>;
  /** Whether there was no note at the key: else nothing is written. @throws BackupError `store` */
  createNote(key: string, text: string): Promise<boolean>;
  /** May be repeated. @throws BackupError `store` */
  removeNote(key: string): Promise<void>;
  /** The keys of the notes below a folder. @throws BackupError `store` */
  notesIn(folder: string): AsyncIterable<string>;
  /** Removes the drafts. May be repeated; never throws. */
  close(): Promise<void>;
}

/** The file that is in a day while several others are changed. Engines name it in their error. */
export const GUARD_NAME = 'this-day-is-being-replaced.parquet';
/** What is in it: no engine takes that for Parquet. */
export const GUARD_TEXT =
  'The files of this day are being replaced: ask again. If this stays, an export was killed: call it again.\n';

/** What whoever reads the day meanwhile is answered. */
export const isChanging = (what: string): BackupError =>
  new BackupError('store', `an export is changing a day of these tables: ${what}`, {
    retryable: true,
    hint: 'Ask again. If it stays so, an export was killed: call it again.',
  });

const OWN_NAME = /^part-(\d{5,})\.parquet$/;

/** Whether an export has written a file of this name. */
export const isOwnName = (name: string): boolean => name === GUARD_NAME || OWN_NAME.test(name);

/**
 * The names of `count` new files of a day. One that takes the place of the only one that goes has its name: that is one
 * step. Others have names that no file had before: a query that has listed the day never reads some of each.
 */
export function newNames(there: Iterable<string>, removed: readonly string[], count: number): string[] {
  const [only] = removed;
  if (count === 1 && removed.length === 1 && only !== undefined && OWN_NAME.test(only)) return [only];
  const numbers = [...there].map((name) => Number(OWN_NAME.exec(name)?.[1] ?? -1));
  const first = Math.max(-1, ...numbers) + 1;
  return Array.from({ length: count }, (_, i) => `part-${String(first + i).padStart(5, '0')}.parquet`);
}
