// Bundles with esbuild: the function for SCF's Node 18 as CommonJS, the CLI for Node 20 as ESM. Used while building
// only; the installed CLI never imports it. Names and lines are kept, so that a stack trace in the logs can be read.
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build, type Metafile, type Plugin } from 'esbuild';
import { type Group, joinFiles } from './join.ts';
import { bundleSplit } from './split.ts';
import { wasmAsFile } from './wasm-file.ts';

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

/** Packages that few rules need: they become separate files beside index.js, with these names. */
const SHARED_PACKAGES: Readonly<Record<string, string>> = {
  'tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js': 'cloud-sdk',
};

const sharePackages: Plugin = {
  name: 'share-packages',
  setup({ onResolve }) {
    onResolve({ filter: /^tencentcloud-sdk-nodejs/ }, ({ path, kind }) => {
      const name = kind === 'entry-point' ? undefined : SHARED_PACKAGES[path];
      return name === undefined ? undefined : { path: `./${name}.js`, external: true };
    });
  },
};

/**
 * Modules that packages load at their start and the function never uses, each with its replacement: the SDKs' request
 * library loads cookies, another kind of signature, and types by file name; pino loads writers to files and threads,
 * and redaction by path.
 */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'mime-db': 'module.exports = {};',
  'tough-cookie': `const none = () => { throw new Error('cookies are left out of the function'); };
exports.Cookie = { parse: none };
exports.CookieJar = class { setCookieSync() { none(); } getCookieStringSync() { none(); } getCookiesSync() { none(); } };`,
  'http-signature': `exports.signRequest = () => { throw new Error('HTTP signatures are left out of the function'); };`,
  'thread-stream': leftOut('a transport'),
  'sonic-boom': leftOut('a file as its destination'),
  'fast-redact': `${leftOut('redaction')} module.exports.validator = () => () => undefined;`,
};

function leftOut(what: string): string {
  return `module.exports = function () { throw new Error('${what} is left out of the function'); };`;
}

const leaveOut: Plugin = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    const filter = new RegExp(`^(?:${Object.keys(LEFT_OUT).join('|')})$`);
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'left-out' }));
    onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({ contents: LEFT_OUT[path] ?? '' }));
  },
};

/** The packages that `index` loads, minified except for names: a cold start reads and parses all of it. */
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
  for (const [, name] of packages) {
    const file = join(outDir, `${name}.js`);
    await writeFile(file, asAscii(await readFile(file, 'utf8')));
  }
  return metafile;
}

/** What a file begins with whose own address is asked for: CommonJS has no `import.meta`. */
const MODULE_URL = `const moduleUrl = require('node:url').pathToFileURL(__filename).href;`;

/**
 * The code as plain ASCII: esbuild leaves comments and regular expressions as they are, and a single character of theirs
 * would double the memory that V8 takes for the source, which is megabytes.
 */
function asAscii(code: string): string {
  const asEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  return code.replaceAll(/[^\x00-\x7f]/g, asEscape);
}

/**
 * Writes to `outDir`, which is emptied first: index.js (exports `main_handler`), which runs function.js by function.cache;
 * what that loads later; zstd.wasm, bootstrap.js and package.json. `pulsar-client` stays outside: it cannot be bundled.
 * Answers esbuild's account of what went in, in which function.js is index.js.
 */
export async function bundleFunction(root: string, outDir: string): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const zstd = await wasmAsFile();
  await writeFile(join(outDir, zstd.name), zstd.binary);
  const { files, metafile } = await bundleSplit('src/index.ts', root, {
    outdir: outDir,
    external: ['pulsar-client'],
    define: { 'import.meta.url': 'moduleUrl' },
    plugins: [sharePackages, leaveOut, zstd.plugin],
  });
  for (const [name, code] of files) {
    const file = join(outDir, name === 'index.js' ? 'function.js' : name);
    await writeFile(file, asAscii(code.includes('moduleUrl') ? `${MODULE_URL}\n${code}` : code));
  }
  await copyFile(join(import.meta.dirname, 'function-start.cjs'), join(outDir, 'index.js'));
  const bootstrap = await build({
    absWorkingDir: root,
    entryPoints: ['src/bootstrap.ts'],
    outdir: outDir,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    plugins: [shareIndex],
    metafile: true,
    logLevel: 'warning',
  });
  const packages = await bundlePackages(root, outDir, metafile);
  await writeFile(join(outDir, 'package.json'), `${JSON.stringify(FUNCTION_MANIFEST)}\n`);
  // A seed of its own, for the same bytes each time.
  await promisify(execFile)(process.execPath, ['--hash-seed=1', join(outDir, 'index.js')], { env: {} });
  return {
    inputs: { ...metafile.inputs, ...bootstrap.metafile.inputs, ...packages.inputs },
    outputs: { ...metafile.outputs, ...bootstrap.metafile.outputs, ...packages.outputs },
  };
}

/** What is loaded together: by every command, and by those that read an archive. */
const CLI_GROUPS: readonly Group[] = [
  { name: 'start', entryPoints: ['src/cli/command-line.ts'] },
  { name: 'reading', entryPoints: ['src/cli/archive/commands.ts', 'src/cli/archive/ls.ts'] },
];

/**
 * Writes tdmq-backup.js, the files it loads later and the code of its thread to `outDir`, which is emptied first. Packages
 * stay outside. Answers esbuild's account of what went in, from before files were joined.
 */
export async function bundleCli(root: string, outDir: string): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const split = await build({
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
    write: false,
    logLevel: 'warning',
  });
  for (const [name, code] of await joinFiles(split, CLI_GROUPS, root))
    await writeFile(join(outDir, name), code);
  // A thread is started from a file of its own beside the rest.
  await build({
    absWorkingDir: root,
    entryPoints: ['src/archive/export/parquet-worker.mjs'],
    outdir: outDir,
    entryNames: '[name]',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    legalComments: 'inline',
    logLevel: 'warning',
  });
  await chmod(join(outDir, 'tdmq-backup.js'), 0o755);
  return split.metafile;
}
