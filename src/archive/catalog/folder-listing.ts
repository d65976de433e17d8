// Lists the files of a local copy as objects under keys, in a bucket's order. Reads file attributes one after the
// other, which is cheapest, and in parallel on slow disks. Holds the names of one folder at a time.
import { type Dirent, lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { createBreather } from '../../lib/breather.ts';
import { eachOf } from '../../lib/each-of.ts';
import type { CallOptions, FolderItem, ListedObject } from '../../ports.ts';

/** The suffix of incomplete files. */
export const PARTIAL = '.tdmq-backup-partial';

/** Files that are asked for together. */
const BATCH = 64;
/** A call that takes so long waits for a disk, or the process waited for a CPU: several of a batch, for a disk. */
const SLOW_MS = 2;
const SLOW_CALLS = 3;
/** So many batches are asked for side by side before one file after the other is tried again. */
const SLOW_BATCHES = 16;
/** A folder that takes so long comes from a disk or a network; after so many quick ones nothing else has to go on meanwhile. */
const SLOW_FOLDER_MS = 50;
const QUICK_FOLDERS = 4;

/** What systems keep right below the root of a disk, which may be all of a copy; mostly nobody else may look into it. */
const OF_DISK =
  /^(?:lost\+found|System Volume Information|\$RECYCLE\.BIN|\.(?:Trashes|Trash-\d+|Spotlight-V100|fseventsd|DocumentRevisions-V100|TemporaryItems))\/$/;

/** Links to folders are followed no deeper than any key: they may lead round in a circle. */
const MAX_LINK_DEPTH = 8;

type ListOptions = CallOptions & { readonly startAfter?: string };

/** What is in a folder, as ObjectStore has it: in key order; those who read get BackupError `store`. */
export interface FolderListing {
  /** The files whose keys begin with `prefix`. */
  listFiles(prefix: string, options?: ListOptions): AsyncGenerator<ListedObject, void, undefined>;
  /** What is right below `prefix`. */
  listFolder(prefix: string, options?: ListOptions): AsyncGenerator<FolderItem, void, undefined>;
}

/** Lists what is in `folder`. */
export function createFolderListing(folder: string): FolderListing {
  const breathe = createBreather();
  const look = createLook(folder, breathe);
  let quickFolders = 0;

  async function entriesIn(path: string): Promise<Dirent[]> {
    const startedMs = performance.now();
    const options = { withFileTypes: true } as const;
    const isQuick = quickFolders >= QUICK_FOLDERS;
    const entries = isQuick ? readdirSync(path, options) : await readdir(path, options);
    quickFolders = performance.now() - startedMs > SLOW_FOLDER_MS ? 0 : quickFolders + 1;
    await breathe();
    return entries;
  }

  /** Names in order: a folder's own order is that of `name` against `name/`, as object stores compare whole keys. */
  async function itemsIn(prefix: string, { startAfter = '', signal }: ListOptions): Promise<Items> {
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const begin = prefix.slice(base.length);
    const path = join(folder, ...base.split('/'));
    let entries: Dirent[];
    try {
      entries = await entriesIn(path);
    } catch (cause) {
      const { code = '' } = cause as NodeJS.ErrnoException;
      const isNone = code === 'ENOENT' || code === 'ENOTDIR';
      const isClosed = code === 'EACCES' || code === 'EPERM';
      if ((isNone && base !== '') || (isClosed && OF_DISK.test(base))) return { base, names: [], next: 0 };
      throw fileError('list', path, cause);
    }
    signal?.throwIfAborted();
    const names: string[] = [];
    const depth = base.split('/').length;
    for (const entry of entries) {
      const isLink = entry.isSymbolicLink();
      const isFolder =
        entry.isDirectory() || (isLink && depth < MAX_LINK_DEPTH && isFolderAt(join(path, entry.name)));
      // A pipe would never be read to its end.
      if (!isFolder && !entry.isFile() && !isLink) continue;
      const name = isFolder ? `${entry.name}/` : entry.name;
      if (!name.startsWith(begin) || name.endsWith(PARTIAL)) continue;
      const key = `${base}${name}`;
      if (key > startAfter || (isFolder && startAfter.startsWith(key))) names.push(name);
    }
    return { base, names: names.sort(), next: 0 };
  }

  async function* filesIn(prefix: string, options: ListOptions = {}) {
    const { signal } = options;
    const open: Items[] = [await itemsIn(prefix, options)];
    for (let items = open.at(-1); items !== undefined; items = open.at(-1)) {
      const { base, names } = items;
      let keys: string[] = [];
      let below: string | undefined;
      while (items.next < names.length && below === undefined) {
        const name = names[items.next++] as string;
        if (name.endsWith('/')) below = `${base}${name}`;
        else keys.push(`${base}${name}`);
        if (keys.length < BATCH) continue;
        yield await look(keys, signal);
        keys = [];
      }
      if (keys.length > 0) yield await look(keys, signal);
      if (below === undefined) open.pop();
      else open.push(await itemsIn(below, options));
    }
  }

  async function* listFolder(prefix: string, options: ListOptions = {}) {
    const { base, names } = await itemsIn(prefix, options);
    for (const name of names) {
      const key = `${base}${name}`;
      if (key <= (options.startAfter ?? '')) continue;
      if (name.endsWith('/')) yield { kind: 'folder' as const, key };
      else
        for (const object of await look([key], options.signal))
          yield { kind: 'object' as const, key, object };
    }
  }

  return { listFiles: (prefix, options) => eachOf(filesIn(prefix, options)), listFolder };
}

/** What is right below `base`, by its name; that of a folder with its `/`. */
interface Items {
  readonly base: string;
  readonly names: readonly string[];
  /** How far it was gone through. */
  next: number;
}

/** Whether a link leads to a folder. */
const isFolderAt = (path: string): boolean => statsAt(path)?.isDirectory() === true;

const UNLESS_GONE = { throwIfNoEntry: false } as const;

function statsAt(path: string): Stats | undefined {
  try {
    return statSync(path, UNLESS_GONE);
  } catch (cause) {
    return unlessGone(path, cause);
  }
}

/** What these files are; those that went meanwhile are left out. */
function createLook(folder: string, breathe: ReturnType<typeof createBreather>) {
  let slowBatches = 0;

  const objectOf = (key: string, stats: Stats | undefined): ListedObject | undefined => {
    if (stats?.isFile()) return { key, sizeBytes: stats.size, lastModified: stats.mtime };
    const link = stats === undefined ? brokenLink(join(folder, key)) : undefined;
    return link && { key, sizeBytes: 0, lastModified: link.mtime };
  };

  return async (keys: readonly string[], signal: AbortSignal | undefined): Promise<ListedObject[]> => {
    const found: ListedObject[] = [];
    let at = 0;
    let slowCalls = 0;
    let startedMs = performance.now();
    for (; at < keys.length && slowBatches === 0; at++) {
      const key = keys[at] as string;
      const object = objectOf(key, statsAt(`${folder}${sep}${key}`));
      if (object !== undefined) found.push(object);
      const endedMs = performance.now();
      if (endedMs - startedMs > SLOW_MS && ++slowCalls >= SLOW_CALLS) slowBatches = SLOW_BATCHES;
      startedMs = endedMs;
    }
    if (at < keys.length) {
      slowBatches--;
      const rest = keys.slice(at).map(async (key) => {
        const path = join(folder, key);
        return objectOf(key, await stat(path).catch((cause) => unlessGone(path, cause)));
      });
      for (const object of await Promise.all(rest)) if (object !== undefined) found.push(object);
    }
    await breathe();
    signal?.throwIfAborted();
    return found;
  };
}

function unlessGone(path: string, cause: unknown): undefined {
  if (!isNowhere(cause)) throw fileError('look at', path, cause);
}

const isNowhere = (cause: unknown): boolean =>
  ['ENOENT', 'ELOOP'].includes((cause as NodeJS.ErrnoException).code ?? '');

/**
 * A dangling link, if the path is one. Some tools keep large files elsewhere and leave links: the object is then
 * listed as empty, not ignored.
 */
function brokenLink(path: string): Stats | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSymbolicLink() ? found : undefined;
}

/** Whether reading failed because the file is a link that leads nowhere. */
export const isBrokenLink = (path: string, cause: unknown): boolean =>
  isNowhere(cause) && brokenLink(path) !== undefined;

const WRONG_FOLDER = 'Name the folder that the prefix of the archive was copied to.';
const GONE = 'The file is not there any more: somebody removed it.';
const NOT_ALLOWED = 'This user may not do that: change the permissions of the copy, or take one of your own.';
const HINTS: Readonly<Record<string, string>> = {
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: 'Nothing can be written there: name a folder that can be written.',
  ENOSPC: 'The disk is full: make room, and call the command again.',
  EDQUOT: 'The quota of this user on the disk is used up: make room, and call the command again.',
  EFBIG: 'Files may not be as large there: raise the limit (ulimit -f), or name a folder on another disk.',
  EIO: 'The disk fails: look at the log of the system.',
  EMFILE: 'Too many files are open: raise the limit (ulimit -n).',
};

/** Converts a file system error; `otherwise` is the hint if the disk is not the cause. */
export function fileError(
  doing: string,
  path: string,
  cause: unknown,
  otherwise: string = WRONG_FOLDER,
): BackupError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  const isGone = doing === 'read' && code === 'ENOENT';
  return new BackupError('store', `cannot ${doing} ${path.split(sep).join('/')}: ${messageOf(cause)}`, {
    hint: isGone ? GONE : (HINTS[code] ?? otherwise),
    cause,
    // As COS says it.
    ...(isGone && { details: { code: 'NoSuchKey' } }),
  });
}
