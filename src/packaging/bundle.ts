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

/** Packages that go into files of their own beside index.js, by the names of these. */
const SHARED_PACKAGES: Readonly<Record<string, string>> = {
  'cos-nodejs-sdk-v5': 'cos-sdk',
  'tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js': 'cloud-sdk',
};

const sharePackages: Plugin = {
  name: 'share-packages',
  setup({ onResolve }) {
    onResolve({ filter: /^(cos-nodejs-sdk-v5|tencentcloud-sdk-nodejs)/ }, ({ path, kind }) => {
      const name = kind === 'entry-point' ? undefined : SHARED_PACKAGES[path];
      return name === undefined ? undefined : { path: `./${name}.js`, external: true };
    });
  },
};

/**
 * What the COS SDK's request library loads at its start for cookies, another kind of signature, and types by the names
 * of files: most of the time of loading it. The SDK asks for none of it, since each upload names its type.
 */
const leaveOut: Plugin = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(tough-cookie|http-signature|mime-db)$/ }, ({ path }) => ({
      path,
      namespace: 'left-out',
    }));
    onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({ contents: LEFT_OUT[path] as string }));
  },
};

const LEFT_OUT: Readonly<Record<string, string>> = {
  'mime-db': 'module.exports = {};',
  'tough-cookie': `const none = () => { throw new Error('cookies are left out of the function'); };
exports.Cookie = { parse: none };
exports.CookieJar = class { setCookieSync() { none(); } getCookieStringSync() { none(); } getCookiesSync() { none(); } };`,
  'http-signature': `exports.signRequest = () => { throw new Error('HTTP signatures are left out of the function'); };`,
};

/** Those packages that `index` loads, minified but for their names: a cold start reads and parses all of it. */
async function bundlePackages(root: string, outDir: string, index: Metafile): Promise<Metafile> {
  const loaded = new Set(
    Object.values(index.outputs).flatMap(({ imports }) => imports.map(({ path }) => path)),
  );
  const packages = Object.entries(SHARED_PACKAGES).filter(([, name]) => loaded.has(`./${name}.js`));
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: packages.map(([path, name]) => ({ in: path, out: name })),
    outdir: outDir,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    plugins: [leaveOut],
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'inline',
    metafile: true,
    logLevel: 'warning',
  });
  for (const [, name] of packages) await toAscii(join(outDir, `${name}.js`));
  return metafile;
}

/**
 * Makes the file plain ASCII: esbuild leaves comments and regular expressions as they are, and a single character of
 * theirs would double the memory that V8 takes for the source, which is megabytes.
 */
async function toAscii(file: string): Promise<void> {
  const asEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll(/[^\x00-\x7f]/g, asEscape));
}

const ZSTD_WORKER = 'src/lib/zstd-worker.mjs';

/** The code of threads, each of which is started from a file of its own beside the rest. */
const bundleWorkers = (
  root: string,
  outDir: string,
  entryPoints: string[],
  options: Pick<BuildOptions, 'target' | 'packages'>,
) =>
  build({
    absWorkingDir: root,
    entryPoints,
    outdir: outDir,
    entryNames: '[name]',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    legalComments: 'inline',
    logLevel: 'warning',
    ...options,
  });

/**
 * Writes index.js (exports `main_handler`), the packages that it loads, bootstrap.js, zstd-worker.mjs and package.json to
 * `outDir`, which is emptied first. `pulsar-client` stays outside: it cannot be bundled. Answers esbuild's account of what went in.
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
    plugins: [shareIndex, sharePackages],
    legalComments: 'inline',
    metafile: true,
    logLevel: 'warning',
  });
  await toAscii(join(outDir, 'index.js'));
  const packages = await bundlePackages(root, outDir, metafile);
  await bundleWorkers(root, outDir, [ZSTD_WORKER], { target: 'node18' });
  await writeFile(join(outDir, 'package.json'), `${JSON.stringify(FUNCTION_MANIFEST)}\n`);
  return {
    inputs: { ...metafile.inputs, ...packages.inputs },
    outputs: { ...metafile.outputs, ...packages.outputs },
  };
}

/** Writes tdmq-backup.js, the chunks it loads lazily and the code of its threads to `outDir`, which is emptied first. Packages stay outside. */
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
  const workers = [ZSTD_WORKER, 'src/archive/export/parquet-worker.mjs'];
  await bundleWorkers(root, outDir, workers, { target: 'node20', packages: 'external' });
  await chmod(join(outDir, 'tdmq-backup.js'), 0o755);
  return metafile;
}
