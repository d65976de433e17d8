// How the function is bundled, shown on a small function of the same shape.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Zstd } from '@hpcc-js/wasm-zstd';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleCli, bundleFunction } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';

const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
const out = join(root, 'out');

beforeAll(async () => {
  mkdirSync(join(root, 'src/lib'), { recursive: true });
  const source = (name: string, text: string) => writeFileSync(join(root, 'src', name), text);
  source(
    'index.ts',
    `import { drain } from './drain.ts';\nexport { drained } from './drain.ts';\nexport const main_handler = async () => drain();\nexport const loadZstd = async () => (await import('@hpcc-js/wasm-zstd')).Zstd.load();\n`,
  );
  source(
    'drain.ts',
    `export const drained = () => /* 完 */ /[完😀]/u.exec('完')?.[0];\nexport async function drain() { await import('pulsar-client').catch(() => {}); throw new Error('drained'); }\n`,
  );
  source(
    'bootstrap.ts',
    `import { main_handler } from './index.ts';\nexport const started = main_handler;\n`,
  );
  mkdirSync(join(root, 'src/archive/export'), { recursive: true });
  source('archive/export/parquet-worker.mjs', `import '@duckdb/node-api';\n`);
  symlinkSync(join(packageRoot(import.meta.url), 'node_modules'), join(root, 'node_modules'));
  await bundleFunction(root, out);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const load = (name: string) => createRequire(join(out, 'x.js'))(`./${name}`);

test('index.js is CommonJS and exports main_handler', () => {
  expect(typeof load('index.js').main_handler).toBe('function');
  expect(JSON.parse(readFileSync(join(out, 'package.json'), 'utf8'))).toMatchObject({ type: 'commonjs' });
});

test('bootstrap.js takes the handler from index.js and carries no copy of it', () => {
  expect(load('bootstrap.js').started).toBe(load('index.js').main_handler);
  expect(readFileSync(join(out, 'bootstrap.js'), 'utf8')).not.toContain('drained');
});

test('a stack trace names the functions as they are written', async () => {
  await expect(load('index.js').main_handler()).rejects.toMatchObject({
    stack: expect.stringMatching(/at (async )?drain /),
  });
});

test('function.js is plain ASCII, so that V8 keeps it in one byte a character, and says what it said', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  expect(readFileSync(join(out, 'function.js'), 'utf8')).toMatch(/^[\x00-\x7f]*$/);
  expect(load('index.js').drained()).toBe('完');
});

/** How often V8 refused what it was given, and what the function said, of a program that loads it as SCF does. */
function loadedBy(folder: string, args: readonly string[] = [], versions: object = {}): string {
  const program = `
    Object.defineProperty(process, 'versions', { value: { ...process.versions, ...${JSON.stringify(versions)} } });
    const vm = require('node:vm');
    const refused = [];
    vm.Script = class extends vm.Script {
      constructor(code, options) {
        super(code, options);
        refused.push(options.cachedData && this.cachedDataRejected);
      }
    };
    console.log(JSON.stringify({ said: require('./index.js').drained(), refused }));`;
  return execFileSync(process.execPath, [...args, '-e', program], { cwd: folder, encoding: 'utf8' }).trim();
}

test('V8 takes the code that it made of function.js, wherever the package is', () => {
  const elsewhere = join(root, 'elsewhere');
  cpSync(out, elsewhere, { recursive: true });
  expect(loadedBy(elsewhere)).toBe('{"said":"完","refused":[false]}');
});

test('a V8 that would have made other code of it compiles function.js', () => {
  expect(loadedBy(out, ['--stack-size=900'])).toBe('{"said":"完","refused":[true]}');
});

test.each([{ node: '20.0.0' }, { v8: '11.3.244.8-node.26' }])(
  'where Node has %j, function.js is compiled, since V8 takes code of other patches of it',
  (versions) => {
    expect(loadedBy(out, [], versions)).toBe('{"said":"完","refused":[null]}');
  },
);

test.each([
  ['it is missing', (file: string) => rmSync(file)],
  ['it is cut off', (file: string) => writeFileSync(file, 'x')],
])('where %s, function.js is compiled', (_, spoil) => {
  const spoilt = mkdtempSync(join(root, 'spoilt-'));
  cpSync(out, spoilt, { recursive: true });
  spoil(join(spoilt, 'function.cache'));
  expect(loadedBy(spoilt)).toBe('{"said":"完","refused":[null]}');
});

test('of a function.js that was changed, the code that it had is not used, though its length is the same', () => {
  const changed = join(root, 'changed');
  cpSync(out, changed, { recursive: true });
  const file = join(changed, 'function.js');
  writeFileSync(file, readFileSync(file, 'latin1').replaceAll(/\\u5b8c/gi, '\\u5b8d'));
  expect(loadedBy(changed)).toBe('{"said":"宍","refused":[null]}');
});

test('the WebAssembly of zstd is a file beside it, which is read and not decoded', async () => {
  const binary = readFileSync(join(out, 'zstd.wasm'));
  expect(binary.subarray(0, 4).toString('latin1')).toBe('\0asm');
  const whole = Buffer.from('many times the same '.repeat(1_000));
  const frame = (await load('index.js').loadZstd()).compress(whole);
  expect(Buffer.from((await Zstd.load()).decompress(frame)).equals(whole)).toBe(true);

  const without = join(root, 'without');
  cpSync(out, without, { recursive: true });
  rmSync(join(without, 'zstd.wasm'));
  await expect(createRequire(join(without, 'x.js'))('./index.js').loadZstd()).rejects.toThrow(/zstd\.wasm/);
});

test('pulsar-client stays outside the bundle', () => {
  expect(readFileSync(join(out, 'function.js'), 'utf8')).toMatch(/require\("pulsar-client"\)/);
});

/** What a command of the CLI loads besides Node's own modules: its files, and packages. */
function loadedByCommand(cli: string, args: readonly string[]): { files: string[]; packages: string[] } {
  const hooks = `export async function load(url, context, next) {
    if (!url.startsWith('node:')) (await import('node:fs')).appendFileSync(${JSON.stringify(`${cli}.loaded`)}, url + '\\n');
    return next(url, context);
  }`;
  const asUrl = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const start = asUrl(`import { register } from 'node:module'; register(${JSON.stringify(asUrl(hooks))});`);
  rmSync(`${cli}.loaded`, { force: true });
  execFileSync(process.execPath, ['--import', start, join(cli, 'tdmq-backup.js'), ...args], {
    stdio: 'ignore',
  });
  const urls = readFileSync(`${cli}.loaded`, 'utf8').trim().split('\n');
  const names = [...new Set(urls.filter((url) => url.startsWith('file:')))];
  return {
    files: names.filter((url) => url.startsWith(`${pathToFileURL(cli)}/`)),
    packages: [
      ...new Set(names.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? [])),
    ],
  };
}

test('a listing of a local copy loads few files, and neither the SDK of COS nor what checks settings', async () => {
  const project = packageRoot(import.meta.url);
  const cli = join(root, 'cli');
  await bundleCli(project, cli);
  writeFileSync(join(cli, 'package.json'), '{"name":"tdmq-backup","version":"0.0.0","type":"module"}');
  const copy = join(project, 'test/fixtures/golden/v1');
  const ofListing = loadedByCommand(cli, ['archive', 'ls', '--folder', copy]);
  // How wide letters are.
  expect(ofListing.packages).toEqual(['fast-string-truncated-width']);
  // The bin; what all commands load and what those of an archive load, each with the name that it is imported by.
  expect(ofListing.files.length).toBeLessThanOrEqual(6);
  // The copy has objects in zstd.
  const mayLoad = [...ofListing.packages, '@hpcc-js/wasm-zstd'];
  for (const command of ['cat', 'verify']) {
    const { packages } = loadedByCommand(cli, ['archive', command, '--folder', copy]);
    expect(packages.filter((one) => !mayLoad.includes(one))).toEqual([]);
  }
});

test('every file of the command line finds in the others what it imports from them', () => {
  const cli = join(root, 'cli');
  const files = readdirSync(cli).filter((file) => file.endsWith('.js') && file !== 'tdmq-backup.js');
  expect(files.length).toBeGreaterThan(20);
  const program = `for (const file of ${JSON.stringify(files)}) await import('./' + file);`;
  execFileSync(process.execPath, ['--input-type=module', '-e', program, 'none', '--version'], { cwd: cli });
});

test('DuckDB is in no file of the function, and on the command line nothing loads it before it is needed', async () => {
  const ofFunction = await bundleFunction(packageRoot(import.meta.url), join(root, 'function'));
  expect(Object.keys(ofFunction.inputs).filter((path) => /duckdb|archive\/export\//.test(path))).toEqual([]);
  for (const { imports } of Object.values(ofFunction.outputs))
    expect(imports.filter(({ path }) => path.includes('duckdb'))).toEqual([]);
  const { outputs } = await bundleCli(packageRoot(import.meta.url), join(root, 'whole-cli'));
  const imported = Object.values(outputs).flatMap(({ imports }) => imports);
  const ofDuckDb = imported.filter(({ path }) => path.includes('duckdb'));
  expect(ofDuckDb.map(({ kind }) => kind)).toEqual(['dynamic-import']);
});
