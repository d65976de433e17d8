// Where this package is on disk, found from any of its own modules: source, bundled CLI or installed package.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds this package's package.json, seen from the module at `moduleUrl`. */
export function packageRoot(moduleUrl: string): string {
  for (let folder = dirname(fileURLToPath(moduleUrl)); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'tdmq-backup')
      return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json of tdmq-backup above ${moduleUrl}`);
  }
}

/** The version in that package.json. */
export function packageVersion(root: string): string {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
}
