// A local copy of an archive as an ObjectStore: files under a folder are objects under keys. Reads, and creates new
// files atomically; never replaces one, and has neither metadata nor checksums, which a copy loses.
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { constants, copyFile, link, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '../../lib/make-folder.ts';
import type { Created, Exists, ObjectStore, Upload } from '../../ports.ts';
import { withArchiveNames } from './copied-names.ts';
import { createFileReader } from './file-reader.ts';
import { createFolderListing, fileError, PARTIAL } from './folder-listing.ts';

/** The files under `folder`; their paths below it are the keys. @throws BackupError `store` from the calls */
export function createFolderStore(folder: string): ObjectStore {
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  const readFile = createFileReader();
  const { listFiles, listFolder } = createFolderListing(folder);
  const store: ObjectStore = {
    create: (key, body, crc64) =>
      createFile(pathOf(key), crc64, (partial) => writeFile(partial, body.chunks)),
    expectCreations: () => undefined,
    startUpload: async (key) => startUpload(pathOf(key)),
    async head(key) {
      const path = pathOf(key);
      try {
        const found = await stat(path);
        if (!found.isFile()) return undefined;
        const { size, mtime } = found;
        return { key, sizeBytes: size, crc64: undefined, metadata: {}, lastModified: mtime };
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw fileError('look at', path, cause);
      }
    },
    read: (key, options) => readFile(pathOf(key), options),
    list: listFiles,
    listFolder,
    async *listUploads() {},
    abortUpload: async () => undefined,
    close: async () => undefined,
  };
  return withArchiveNames(store, folder);
}

/** A file that becomes visible only when it is complete. */
async function createFile(
  path: string,
  crc64: string,
  write: (partial: string) => Promise<void>,
): Promise<Created | Exists> {
  const partial = `${path}.${randomUUID()}${PARTIAL}`;
  try {
    await makeFolder(dirname(path));
    await write(partial);
    // Some file systems have no links.
    await link(partial, path).catch((cause) => {
      if (cause.code === 'EEXIST') throw cause;
      return copyFile(partial, path, constants.COPYFILE_EXCL);
    });
    return { kind: 'created', crc64 };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return { kind: 'exists' };
    throw fileError('write', path, cause);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Parts are files of their own until all of them are there. */
function startUpload(path: string): Upload {
  const id = randomUUID();
  const numbers = new Set<number>();
  const partOf = (number: number) => `${path}.${id}-${number}${PARTIAL}`;
  const abort = async () => {
    for (const number of numbers) await rm(partOf(number), { force: true });
  };
  return {
    kind: 'upload',
    async part(number, body) {
      numbers.add(number);
      try {
        await makeFolder(dirname(path));
        await writeFile(partOf(number), body.chunks);
      } catch (cause) {
        throw fileError('write', partOf(number), cause);
      }
    },
    async complete({ crc64 }) {
      const answer = await createFile(path, crc64, async (partial) => {
        for (const number of [...numbers].sort((a, b) => a - b))
          await pipeline(createReadStream(partOf(number)), createWriteStream(partial, { flags: 'a' }));
      });
      await abort();
      return answer;
    },
    abort,
  };
}
