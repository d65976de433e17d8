// The function's package for SCF. Reproducible: sorted names, one fixed time, fixed modes, and compression in
// JavaScript, so that the bytes do not depend on a zlib version.
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Zippable, zipSync } from 'fflate';
import { BackupError } from '../errors.ts';

/** One file of the package. `path` is relative, with `/`. */
export interface PackageFile {
  readonly path: string;
  readonly mode: 0o644 | 0o755;
  readonly bytes: Uint8Array;
}

/** SCF's limits: 50 MB zipped when a function is created, 20 MB when its code is replaced through the API. */
export const ZIP_LIMIT_BYTES = 20_000_000;

/** Start scripts, one content under both names: Web functions run `scf_bootstrap`, custom runtimes `bootstrap`. */
const START_SCRIPTS = ['bootstrap', 'scf_bootstrap'];

/**
 * The files of the package: what `npm run build` put into dist/function (or `bundle`), and the start scripts.
 * @throws BackupError `rule` where the bundle was not built
 */
export function collectFunction(root: string, bundle = join(root, 'dist/function')): PackageFile[] {
  let files: PackageFile[];
  try {
    const names = new Set(['index.js', 'bootstrap.js', 'package.json', ...readdirSync(bundle)]);
    files = [...names].map((path) => ({ path, mode: 0o644, bytes: readFileSync(join(bundle, path)) }));
  } catch (cause) {
    throw new BackupError('rule', `there is no function bundle at ${bundle}`, {
      hint: 'Run `npm run build` in the repository, or install the published package, which holds the bundle.',
      cause,
    });
  }
  const script = readFileSync(join(root, 'scf_bootstrap'), 'utf8').replaceAll('\r\n', '\n');
  const scripts = START_SCRIPTS.map(
    (path): PackageFile => ({ path, mode: 0o755, bytes: Buffer.from(script) }),
  );
  return [...files, ...scripts];
}

/** Every file below `folder`, as files of the package below `prefix`. Modes become 644 or 755. */
export function collectFolder(folder: string, prefix: string): PackageFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .map((item) => {
      const path = join(item.parentPath, item.name);
      const relative = path.slice(folder.length + 1).replaceAll('\\', '/');
      const mode = statSync(path).mode & 0o100 ? 0o755 : 0o644;
      return { path: `${prefix}${relative}`, mode, bytes: readFileSync(path) };
    });
}

/** Writes the files below `folder`, with their modes. */
export function writePackage(folder: string, files: readonly PackageFile[]): void {
  for (const { path, mode, bytes } of files) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
    chmodSync(target, mode);
  }
}

/** The package as a zip. The same files give the same bytes, in any order, at any time, in any time zone. */
export function zipFunction(files: readonly PackageFile[]): Uint8Array {
  const entries: Zippable = {};
  for (const { path, mode, bytes } of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    // mtime is written in local time; 1 January 1980 local is the same four bytes everywhere.
    entries[path] = [bytes, { os: 3, attrs: ((0o100000 | mode) << 16) >>> 0, mtime: new Date(1980, 0, 1) }];
  }
  return zipSync(entries, { level: 9 });
}
