// Joins files of a split bundle: each file costs a command half a millisecond at its start, so everything that a
// command always loads becomes one file. Each module still exists once. Knows nothing of the bundle's content.
import { basename } from 'node:path';
import { type BuildResult, build } from 'esbuild';
import { importedAtOnce, type Outputs } from './split.ts';

/** Files that become one, `{name}.js`: what these entry points import at once, and no group before this one has. */
export interface Group {
  readonly name: string;
  readonly entryPoints: readonly string[];
}

type SplitBuild = BuildResult<{ metafile: true; write: false }>;

/** The code of each file of a build with `splitting` to ESM, by name, where those of each group are one. */
export async function joinFiles(
  { outputFiles, metafile }: SplitBuild,
  groups: readonly Group[],
  root: string,
): Promise<Map<string, string>> {
  const code = new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
  const outputs: Outputs = new Map(
    Object.entries(metafile.outputs).map(([path, one]) => [basename(path), one]),
  );
  /** The group of a file, and the letter that distinguishes its exports there. */
  const places = new Map<string, { readonly group: Group; readonly mark: string }>();
  for (const group of groups)
    for (const [file, { entryPoint }] of outputs) {
      if (entryPoint === undefined || !group.entryPoints.includes(entryPoint)) continue;
      for (const name of importedAtOnce(outputs, file))
        if (!places.has(name)) places.set(name, { group, mark: `s${places.size}_` });
    }

  const exportsOf = (name: string) => outputs.get(name)?.exports ?? [];
  /** The exports of a joined file, from its group. */
  const takenFrom = (name: string, { group, mark }: { group: Group; mark: string }) =>
    `export { ${exportsOf(name).map((one) => `${mark}${one} as ${one}`)} } from './${group.name}.js';`;

  async function bundled(contents: string, own: Group | undefined): Promise<string> {
    const { outputFiles: written } = await build({
      ...{ bundle: true, write: false, platform: 'node', target: 'node20', format: 'esm' },
      ...{ packages: 'external', logLevel: 'warning', absWorkingDir: root },
      stdin: { contents, resolveDir: root },
      plugins: [
        {
          name: 'joined',
          setup({ onResolve, onLoad }) {
            onResolve({ filter: /^\.\/[^/]+\.js$/ }, ({ path, kind }) => {
              const isFile = !places.has(basename(path)) || kind === 'dynamic-import';
              return isFile ? { path, external: true } : { path: basename(path), namespace: 'joined' };
            });
            onLoad({ filter: /./, namespace: 'joined' }, ({ path: name }) => {
              const place = places.get(name);
              const isOwn = place === undefined || place.group === own;
              const contents = isOwn ? (code.get(name) ?? '') : takenFrom(name, place);
              return { contents, resolveDir: root };
            });
          },
        },
      ],
    });
    return written[0]?.text ?? '';
  }

  const files = new Map<string, string>();
  const write = async (name: string, contents: string, own?: Group) => {
    files.set(name, await bundled(contents, own));
  };
  const ofGroup = (own: Group) =>
    [...places].flatMap(([name, { group, mark }]) =>
      group === own
        ? `import './${name}'; export { ${exportsOf(name).map((one) => `${one} as ${mark}${one}`)} } from './${name}';`
        : [],
    );
  await Promise.all([
    ...groups.map((group) => write(`${group.name}.js`, ofGroup(group).join('\n'), group)),
    ...[...code].map(async ([name, text]) => {
      const place = places.get(name);
      if (place === undefined) await write(name, text);
      // Later imports use its own name.
      else if (outputs.get(name)?.entryPoint !== undefined) files.set(name, takenFrom(name, place));
    }),
  ]);
  return files;
}
