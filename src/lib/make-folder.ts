// Makes a folder with those above it. Node's own `recursive` tries for ever where a file system lets nobody make a folder
// and says ENOENT (/proc, mounts by autofs): nodejs/node, lib mkdir -p, up to Node 24 at least. This one fails.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** May be repeated. @throws what the file system refuses */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again;
    });
  }
}
