// Splits a bundle: one file with everything that its entry imports at once, and a separate file for each later
// import. The start of a function takes time in proportion to the code that is read, plus half a millisecond per
// file. Late files import shared modules from the entry, so that each module exists once. Knows nothing of the
// bundle's content.
import { basename } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';

export interface Split {
  /** The code of each file, as CommonJS, by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly metafile: Metafile;
}

const CJS = { platform: 'node', target: 'node18', format: 'cjs', legalComments: 'inline' } as const;

/** Bundles `entry` (`src/{name}.ts`) to `{name}.js`, which exports what the entry does, and the late files. */
export async function bundleSplit(
  entry: string,
  root: string,
  options: Pick<BuildOptions, 'outdir' | 'external' | 'define' | 'plugins'>,
): Promise<Split> {
  const split = await build({
    ...{
      ...options,
      absWorkingDir: root,
      entryPoints: [entry],
      bundle: true,
      splitting: true,
      write: false,
      metafile: true,
    },
    ...{ ...CJS, format: 'esm', chunkNames: '[name]-[hash]', logLevel: 'warning' },
  });
  const code = new Map(split.outputFiles.map(({ path, text }) => [basename(path), text]));
  const outputs = new Map(Object.entries(split.metafile.outputs).map(([path, one]) => [basename(path), one]));
  const [start = ''] = [...outputs].find(([, { entryPoint }]) => entryPoint === entry) ?? [];
  const together = [...importedAtOnce(outputs, start)];
  const shared = (name: string) => `shared${together.indexOf(name)}`;

  const joining = `export * from './${start}';\n${together.map((name) => `export * as ${shared(name)} from './${name}';`).join('\n')}`;
  const sharing = (name: string) =>
    `const shared = require('./${start}').${shared(name)};\n${outputs
      .get(name)
      ?.exports.map((one) => `const ${one}_ = shared.${one};\nexport { ${one}_ as ${one} };`)
      .join('\n')}`;
  const files = new Map<string, string>();
  const write = async (name: string, contents: string, parts: Plugin): Promise<void> => {
    const { outputFiles } = await build({
      ...{ ...CJS, bundle: true, write: false, logLevel: 'warning', absWorkingDir: root },
      // Imports of files that are loaded later are calls of require, as others are.
      supported: { 'dynamic-import': false },
      stdin: { contents, sourcefile: name, resolveDir: root },
      plugins: [parts],
      packages: 'external',
    });
    files.set(name, outputFiles[0]?.text ?? '');
  };
  const isLate = (name: string) => !together.includes(name);
  await write(
    start,
    joining,
    partsFrom((name) => (isLate(name) ? undefined : code.get(name))),
  );
  for (const name of [...outputs.keys()].filter((one) => isLate(one) && one !== start))
    await write(
      name,
      code.get(name) ?? '',
      partsFrom((one) => (isLate(one) ? undefined : sharing(one))),
    );
  return { files, metafile: split.metafile };
}

/** What esbuild says of each file that it made, by name. */
export type Outputs = ReadonlyMap<string, Metafile['outputs'][string]>;

/** The entry and everything that it imports at once, directly or indirectly. */
export function importedAtOnce(outputs: Outputs, start: string): Set<string> {
  const found = new Set([start]);
  for (const name of found)
    for (const { path, kind } of outputs.get(name)?.imports ?? [])
      if (kind === 'import-statement' && outputs.has(basename(path))) found.add(basename(path));
  return found;
}

/** Imports between these files: if `codeOf` returns code, it becomes part of the file; otherwise the import stays. */
const partsFrom = (codeOf: (name: string) => string | undefined): Plugin => ({
  name: 'parts',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/[^/]+\.js$/ }, ({ path, kind }) =>
      kind === 'require-call' || codeOf(basename(path)) === undefined
        ? { path, external: true }
        : { path: basename(path), namespace: 'part' },
    );
    onLoad({ filter: /./, namespace: 'part' }, ({ path }) => ({ contents: codeOf(path) ?? '' }));
  },
});
