// Makes a folder with those above it. Node's own `recursive` tries for ever where a file system lets nobody make a folder
// and says ENOENT (/proc, mounts by autofs): nodejs/node, lib mkdir -p, up to Node 24 at least. This one fails.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** May be repeated. Gives the first folder that was not there, as `mkdir` does. @throws what the file system refuses */
export async function makeFolder(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return undefined;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    const made = await makeFolder(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again;
    });
    return made;
  }
}
