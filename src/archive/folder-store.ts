// A local copy of an archive as an ObjectStore: files under a folder are objects under keys. It reads, and creates what
// is not there; it refuses to replace, and knows neither metadata nor checksums, which a copy has lost.
import { createReadStream } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { BackupError, messageOf } from '../errors.ts';
import type { ListedObject, ObjectStore } from '../ports.ts';

/** The files under `folder`; their paths below it are the keys. @throws BackupError `store` from the calls */
export function createFolderStore(folder: string): ObjectStore {
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  const refused = (what: string) =>
    Promise.reject(new BackupError('store', `a local copy of an archive cannot ${what}`));
  return {
    async create(key, body, crc64) {
      const path = pathOf(key);
      try {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, Buffer.concat(body.chunks), { flag: 'wx' });
        return { kind: 'created', crc64 };
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return { kind: 'exists' };
        throw fileError('write', path, cause);
      }
    },
    startUpload: () => refused('take uploads'),
    async head(key) {
      const path = pathOf(key);
      try {
        const { size, mtime } = await stat(path);
        return { key, sizeBytes: size, crc64: undefined, metadata: {}, lastModified: mtime };
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw fileError('look at', path, cause);
      }
    },
    async *read(key, options = {}) {
      const path = pathOf(key);
      let { start, end } = options;
      if (start !== undefined && start < 0) {
        start = Math.max(0, (await stat(path)).size + start);
        end = undefined;
      }
      const range = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
      const { signal } = options;
      try {
        const stream = createReadStream(path, {
          ...range,
          highWaterMark: 262_144,
          ...(signal ? { signal } : {}),
        });
        for await (const chunk of stream) yield chunk as Buffer;
      } catch (cause) {
        throw fileError('read', path, cause);
      }
    },
    list: (prefix, options) => listFolder(folder, prefix, options?.startAfter),
    async *listUploads() {},
    abortUpload: async () => undefined,
    close: async () => undefined,
  };
}

/** Keys in order: a folder's own order is that of `name` against `name/`, as object stores compare whole keys. */
async function* listFolder(
  folder: string,
  prefix: string,
  startAfter: string | undefined,
): AsyncIterable<ListedObject> {
  const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  for await (const key of keysBelow(folder, base)) {
    if (!key.startsWith(prefix) || (startAfter !== undefined && key <= startAfter)) continue;
    const { size, mtime } = await stat(join(folder, ...key.split('/')));
    yield { key, sizeBytes: size, lastModified: mtime };
  }
}

async function* keysBelow(folder: string, base: string): AsyncIterable<string> {
  const path = join(folder, ...base.split('/'));
  let entries: { name: string; isFolder: boolean }[];
  try {
    const found = await readdir(path, { withFileTypes: true });
    entries = found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' && base !== '') return;
    throw fileError('list', path, cause);
  }
  const keys = entries.map(({ name, isFolder }) => `${base}${name}${isFolder ? '/' : ''}`).sort();
  for (const key of keys) {
    if (key.endsWith('/')) yield* keysBelow(folder, key);
    else yield key;
  }
}

const WRONG_FOLDER = 'Name the folder that the prefix of the archive was copied to.';
const NOT_ALLOWED = 'This user may not do that: change the permissions of the copy, or take one of your own.';
const HINTS: Readonly<Record<string, string>> = {
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: 'The copy lies where nothing can be written: take one that can be written.',
  ENOSPC: 'The disk is full: make room, and call the command again.',
  EMFILE: 'Too many files are open: raise the limit (ulimit -n).',
};

function fileError(doing: string, path: string, cause: unknown): BackupError {
  return new BackupError('store', `cannot ${doing} ${path.split(sep).join('/')}: ${messageOf(cause)}`, {
    hint: HINTS[(cause as NodeJS.ErrnoException).code ?? ''] ?? WRONG_FOLDER,
    cause,
  });
}
