// Creates a folder and its parents. Node's own `recursive` loops for ever on file systems that refuse new folders
// with ENOENT (/proc, mounts by autofs), up to Node 24 at least. This one fails.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** May be repeated. Returns the first folder that it created, as `mkdir` does. @throws the file system's error */
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
