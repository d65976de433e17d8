// An export in a folder. A day of one file is replaced by renaming that file, which no reader sees half done. A day of
// several is a folder that is made beside the export, where no pattern over it looks, and renamed as a whole.
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { fileError } from '../catalog/folder-listing.ts';
import type { Draft, ExportTarget } from './target.ts';

/** In a folder beside the export: which day's folder was moved there, until another is in its place. */
const MOVED = 'moved.txt';
/** An exchange is two calls, one right behind the other. */
const EXCHANGED_WITHIN_MS = 1_000;
/** Drafts of another machine, on which nothing has changed for so long. */
const LEFT_AFTER_MS = 86_400_000;

/** Opens or makes the folder, and removes what a killed export left. @throws BackupError `config`, `store` */
export async function openFolderTarget(path: string): Promise<ExportTarget> {
  const folder = resolve(path);
  const own = `-${hostname()}-${process.pid}`;
  const draftFolder = join(folder, '_export', `drafts${own}`);
  const beside = join(dirname(folder), `.${basename(folder)}.tdmq-backup${own}`);
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  await cleanUp(folder);
  const made = await attempt('make', folder, () => mkdir(draftFolder, { recursive: true }));

  async function filesOf(dayFolder: string): Promise<Map<string, number>> {
    const files = new Map<string, number>();
    for (const name of await namesIn(pathOf(dayFolder))) {
      if (!name.endsWith('.parquet')) continue;
      const found = await stat(join(pathOf(dayFolder), name)).catch(() => undefined);
      if (found !== undefined) files.set(name, found.size);
    }
    return files;
  }

  /** The drafts in a folder of their own, which takes the place of the day's. */
  async function exchange(day: string, drafts: readonly Draft[]): Promise<void> {
    const [made, moved] = [join(beside, 'day'), join(beside, 'before')];
    await rm(beside, { recursive: true, force: true });
    await mkdir(made, { recursive: true });
    for (const { path: draft, name } of drafts) await rename(draft, join(made, name));
    await mkdir(dirname(day), { recursive: true });
    const isThere = await rmdir(day).then(
      () => false,
      ({ code }: NodeJS.ErrnoException) => code !== 'ENOENT',
    );
    if (isThere) {
      await writeFile(join(beside, MOVED), day);
      await rename(day, moved);
    }
    try {
      await rename(made, day);
    } catch (error) {
      if (isThere) await rename(moved, day);
      throw error;
    }
    await rm(beside, { recursive: true, force: true });
  }

  return {
    name: path,
    draftFolder,
    canSplit: await canRename(beside, join(folder, '_export', `moved${own}`)),
    filesOf,
    async publish(dayFolder, drafts) {
      const day = pathOf(dayFolder);
      await attempt('write', day, async () => {
        for (const { path: draft } of drafts) await sync(draft);
        const before = [...(await filesOf(dayFolder)).keys()];
        const [only] = drafts;
        if (drafts.length === 1 && only !== undefined && before.every((name) => name === only.name)) {
          await mkdir(day, { recursive: true });
          await rename(only.path, join(day, only.name));
        } else if (drafts.length === 0 && before.length < 2) {
          for (const name of before) await rm(join(day, name));
          await rmdir(day).catch(() => undefined);
        } else await exchange(day, drafts);
      });
    },
    async readNote(key) {
      try {
        return await readFile(pathOf(key), 'utf8');
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw fileError('read', pathOf(key), cause);
      }
    },
    async writeNote(key, text) {
      await attempt('write', pathOf(key), async () => {
        await mkdir(dirname(pathOf(key)), { recursive: true });
        const draft = join(draftFolder, 'note.json');
        await writeFile(draft, text);
        await sync(draft);
        await rename(draft, pathOf(key));
      });
    },
    async *notesIn(key) {
      for (const name of await namesIn(pathOf(key))) if (name.endsWith('.json')) yield `${key}${name}`;
    },
    async close() {
      for (const one of [draftFolder, beside])
        await rm(one, { recursive: true, force: true }).catch(() => undefined);
      // Where nothing was written, nothing is left of what was made for it.
      for (let one = dirname(draftFolder); made !== undefined && one.startsWith(made); one = dirname(one))
        await rmdir(one).catch(() => undefined);
    },
  };
}

async function attempt<T>(doing: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof BackupError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new BackupError('store', `cannot ${doing} ${path}: ${messageOf(cause)}`, {
      hint:
        code === 'ENOSPC'
          ? 'The disk is full: make room, and call the command again.'
          : 'Name a folder that this user can write.',
      cause,
    });
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw fileError('list', path, cause);
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Whether a folder can be made at the one path and moved to the other: not where they are on different disks. */
async function canRename(from: string, to: string): Promise<boolean> {
  try {
    await mkdir(from);
    await rename(from, to);
    return true;
  } catch {
    return false;
  } finally {
    for (const one of [from, to]) await rm(one, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Removes drafts of exports that are gone; a day that one of them moved away and did not replace comes back. */
async function cleanUp(folder: string): Promise<void> {
  const [parent, prefix] = [dirname(folder), `.${basename(folder)}.tdmq-backup-`];
  for (const name of (await namesIn(parent)).filter((one) => one.startsWith(prefix))) {
    const left = join(parent, name);
    const day = await readFile(join(left, MOVED), 'utf8').catch(() => undefined);
    // Where there is a folder already, the one was exchanged for the other.
    if (day !== undefined && (await ageMs(join(left, MOVED))) > EXCHANGED_WITHIN_MS)
      await rename(join(left, 'before'), day).catch(() => undefined);
    if (await isLeft(left)) await rm(left, { recursive: true, force: true });
  }
  const drafts = join(folder, '_export');
  for (const name of await namesIn(drafts))
    if (/^(drafts|moved)-/.test(name) && (await isLeft(join(drafts, name))))
      await rm(join(drafts, name), { recursive: true, force: true });
}

/** Whether nobody works there any more: its process, by the end of its name, is gone, or was another one's of this number. */
async function isLeft(path: string): Promise<boolean> {
  if ((await ageMs(path)) > LEFT_AFTER_MS) return true;
  const pid = Number(path.slice(path.lastIndexOf('-') + 1));
  if (!path.endsWith(`-${hostname()}-${pid}`)) return false;
  if (pid === process.pid) return true;
  try {
    return !process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

const ageMs = async (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
