// What the integration suites fetch once and keep: a folder in the user's cache, outside the tree. It never goes stale,
// because a folder is named by the hash of what it was made from.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

const root = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tdmq-backup');

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * The cached folder `name-<hash of sources>`, made by `build` if it is not there yet. `build` gets an empty folder that
 * is moved into place when it is complete, so runs side by side and interrupted ones do no harm.
 */
export async function cachedFolder(
  name: string,
  sources: readonly (string | Buffer)[],
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(source).update('\0');
  const folder = join(root, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (await exists(folder)) return folder;
  await mkdir(root, { recursive: true });
  const draft = await mkdtemp(`${folder}.draft-`);
  try {
    await build(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await exists(folder))) throw error;
  }
  return folder;
}
