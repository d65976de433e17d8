// Bundles with esbuild: the function for SCF's Node 18 as CommonJS, the CLI for Node 20 as ESM. Used while building
// only; the installed CLI never imports it. Names and lines are kept, so that a stack trace in the logs can be read.
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';

/** What SCF's module loader needs to read the bundle as CommonJS, whatever is above it. */
const FUNCTION_MANIFEST = { private: true, type: 'commonjs' };

/** bootstrap.js loads index.js beside it at run time, so the package holds the function's code once. */
const shareIndex: Plugin = {
  name: 'share-index',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/index\.ts$/ }, ({ importer }) =>
      importer.endsWith('bootstrap.ts') ? { path: './index.js', external: true } : undefined,
    );
  },
};

/**
 * Makes the file plain ASCII: esbuild leaves comments and regular expressions as they are, and a single character of
 * theirs would double the memory that V8 takes for the source, which is megabytes.
 */
async function toAscii(file: string): Promise<void> {
  const asEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll(/[^\x00-\x7f]/g, asEscape));
}

/** The code of a thread, which is started from a file of its own beside the rest. */
const bundleWorker = (root: string, outDir: string, options: Pick<BuildOptions, 'target' | 'packages'>) =>
  build({
    absWorkingDir: root,
    entryPoints: ['src/lib/zstd-worker.mjs'],
    outdir: outDir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    legalComments: 'inline',
    logLevel: 'warning',
    ...options,
  });

/**
 * Writes index.js (exports `main_handler`), bootstrap.js, zstd-worker.mjs and package.json to `outDir`, which is emptied
 * first. `pulsar-client` stays outside: it cannot be bundled. Answers esbuild's account of what went in.
 */
export async function bundleFunction(root: string, outDir: string): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/index.ts', 'src/bootstrap.ts'],
    outdir: outDir,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    external: ['pulsar-client'],
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: `const moduleUrl = require('node:url').pathToFileURL(__filename).href;` },
    plugins: [shareIndex],
    legalComments: 'inline',
    metafile: true,
    logLevel: 'warning',
  });
  await toAscii(join(outDir, 'index.js'));
  await bundleWorker(root, outDir, { target: 'node18' });
  await writeFile(join(outDir, 'package.json'), `${JSON.stringify(FUNCTION_MANIFEST)}\n`);
  return metafile;
}

/** Writes tdmq-backup.js, the chunks it loads lazily and zstd-worker.mjs to `outDir`, which is emptied first. Packages stay outside. */
export async function bundleCli(root: string, outDir: string): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/cli/tdmq-backup.ts'],
    outdir: outDir,
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    chunkNames: '[name]-[hash]',
    metafile: true,
    logLevel: 'warning',
  });
  await bundleWorker(root, outDir, { target: 'node20', packages: 'external' });
  await chmod(join(outDir, 'tdmq-backup.js'), 0o755);
  return metafile;
}
