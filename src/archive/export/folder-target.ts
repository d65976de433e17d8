// An export in a folder. Adding or replacing one file is one rename. A new day of several files is prepared as a
// folder beside the export, outside of any pattern, and renamed as a whole. Other changes take several steps, during
// which a file in the day makes engines fail. Removes only files that an export has written.
import { randomUUID } from 'node:crypto';
import { constants, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import {
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { makeFolder } from '../../lib/make-folder.ts';
import { fileError } from '../catalog/folder-listing.ts';
import { isGone, pidSpace } from './process-owner.ts';
import { type Draft, type ExportTarget, GUARD_NAME, GUARD_TEXT } from './target.ts';

/** Drafts of another machine or container, on which nothing has changed for so long. */
const LEFT_AFTER_MS = 86_400_000;

/** Of exports of this process. */
const inUse = new Set<string>();

/** How a folder is opened. */
export interface FolderTargetOptions {
  /** Nothing is to be written: no folder is made, and nothing is removed. */
  readonly isDry?: boolean;
}

/** Opens or makes the folder, and removes what a killed export left. @throws BackupError `config`, `store` */
export async function openFolderTarget(
  path: string,
  { isDry = false }: FolderTargetOptions = {},
): Promise<ExportTarget> {
  const folder = resolve(path);
  const own = `-${randomUUID().slice(0, 8)}-${pidSpace()}-${process.pid}`;
  const draftFolder = join(folder, '_export', `drafts${own}`);
  const beside = join(dirname(folder), `.${basename(folder)}.tdmq-backup${own}`);
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  if (!isDry) await cleanUp(folder);
  inUse.add(draftFolder).add(beside);
  const made = isDry ? undefined : await attempt('make', folder, () => makeFolder(draftFolder));

  async function filesOf(dayFolder: string): Promise<Map<string, number>> {
    const files = new Map<string, number>();
    for (const name of await namesIn(pathOf(dayFolder))) {
      if (!name.endsWith('.parquet')) continue;
      const found = await stat(join(pathOf(dayFolder), name)).catch(() => undefined);
      if (found !== undefined) files.set(name, found.size);
    }
    return files;
  }

  /** The drafts as a new day. Whether that could be: not where the export has a disk or a folder above for itself. */
  async function appear(day: string, drafts: readonly Draft[]): Promise<boolean> {
    const ready = join(beside, 'day');
    const moved: Draft[] = [];
    try {
      await rm(beside, { recursive: true, force: true });
      await mkdir(ready, { recursive: true });
      for (const draft of drafts) {
        await rename(draft.path, join(ready, draft.name));
        moved.push(draft);
      }
      await rmdir(day).catch(() => undefined);
      await rename(ready, day);
      return true;
    } catch {
      for (const { path: back, name } of moved) await rename(join(ready, name), back);
      return false;
    } finally {
      await rm(beside, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  /** Steps behind the guard, one right behind the other. Where one fails the day is as it was. */
  async function changeGuarded(
    day: string,
    drafts: readonly Draft[],
    removed: readonly string[],
  ): Promise<void> {
    const [guard, draft] = [join(day, GUARD_NAME), join(draftFolder, 'guard')];
    await mkdir(day, { recursive: true });
    await writeFile(draft, GUARD_TEXT);
    await rename(draft, guard);
    const moved: string[] = [];
    try {
      for (const { path: from, name } of drafts) {
        renameSync(from, join(day, name));
        moved.push(join(day, name));
      }
    } catch (error) {
      for (const one of moved) rmSync(one, { force: true });
      if (!removed.includes(GUARD_NAME)) rmSync(guard, { force: true });
      throw error;
    }
    for (const name of removed) if (name !== GUARD_NAME) rmSync(join(day, name), { force: true });
    rmSync(guard);
    if (readdirSync(day).length === 0) rmdirSync(day);
  }

  return {
    name: path,
    draftFolder,
    filesOf,
    async publish(dayFolder, { drafts, removed }) {
      const day = pathOf(dayFolder);
      await attempt('write', day, async () => {
        for (const { path: draft } of drafts) await sync(draft);
        const [only] = drafts;
        if (drafts.length + removed.length > 1) {
          const isNew = removed.length === 0 && (await namesIn(day)).length === 0;
          if (isNew) await mkdir(dirname(day), { recursive: true });
          if (!isNew || !(await appear(day, drafts))) await changeGuarded(day, drafts, removed);
        } else if (only !== undefined) {
          await mkdir(day, { recursive: true });
          await rename(only.path, join(day, only.name));
        } else {
          for (const name of removed) await rm(join(day, name), { force: true });
          await rmdir(day).catch(() => undefined);
        }
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
        const draft = join(draftFolder, `note-${basename(key)}`);
        await writeFile(draft, text);
        await sync(draft);
        await rename(draft, pathOf(key));
      });
    },
    createNote: (key, text) =>
      attempt('write', pathOf(key), async () => {
        await mkdir(dirname(pathOf(key)), { recursive: true });
        const draft = join(draftFolder, `new-${basename(key)}`);
        await writeFile(draft, text);
        const isThere = ({ code }: NodeJS.ErrnoException) => code === 'EEXIST';
        try {
          // Some file systems have no links.
          await link(draft, pathOf(key)).catch((error) => {
            if (isThere(error)) throw error;
            return copyFile(draft, pathOf(key), constants.COPYFILE_EXCL);
          });
          return true;
        } catch (error) {
          if (isThere(error as NodeJS.ErrnoException)) return false;
          throw error;
        }
      }),
    removeNote: (key) =>
      attempt('remove', pathOf(key), async () => {
        await rm(pathOf(key), { force: true });
        await removeEmpty(dirname(pathOf(key)), folder);
      }),
    async *notesIn(key) {
      for (const name of await namesIn(pathOf(key))) if (name.endsWith('.json')) yield `${key}${name}`;
    },
    async close() {
      for (const one of [draftFolder, beside])
        await rm(one, { recursive: true, force: true }).catch(() => undefined);
      inUse.delete(draftFolder);
      inUse.delete(beside);
      // Where nothing was written, nothing is left of what was made for it.
      if (made !== undefined) await removeEmpty(dirname(draftFolder), dirname(made));
    },
  };
}

async function attempt<T>(doing: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof BackupError) throw cause;
    // On Windows.
    const isInUse = ['EBUSY', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '');
    if (!isInUse) throw fileError(doing, path, cause, 'Name a folder that this user can write.');
    throw new BackupError('store', `cannot ${doing} ${path}: ${messageOf(cause)}`, {
      hint: 'A program may have this file open: end it, and call the command again. This user must be able to write the folder.',
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

/** Removes the folder, and those above it that are empty then, up to `top`, which stays. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let one = folder; one !== top && one.startsWith(top); one = dirname(one))
    if (
      !(await rmdir(one).then(
        () => true,
        () => false,
      ))
    )
      return;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes drafts of exports that are gone. */
async function cleanUp(folder: string): Promise<void> {
  const [parent, prefix] = [dirname(folder), `.${basename(folder)}.tdmq-backup-`];
  for (const name of (await namesIn(parent).catch(() => [])).filter((one) => one.startsWith(prefix)))
    if (await isLeft(join(parent, name))) await rm(join(parent, name), { recursive: true, force: true });
  const drafts = join(folder, '_export');
  for (const name of await namesIn(drafts))
    if (/^(drafts|moved)-/.test(name) && (await isLeft(join(drafts, name))))
      await rm(join(drafts, name), { recursive: true, force: true });
}

/** Whether nobody works there any more: its process, by the end of its name, is gone, or was another one's of this number. */
async function isLeft(path: string): Promise<boolean> {
  const pid = Number(path.slice(path.lastIndexOf('-') + 1));
  if (path.endsWith(`-${pidSpace()}-${pid}`)) return pid === process.pid ? !inUse.has(path) : isGone(pid);
  const changedMs = await stat(path).then(({ mtimeMs }) => mtimeMs, Date.now);
  return Date.now() - changedMs > LEFT_AFTER_MS;
}
