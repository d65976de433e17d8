// zstd's WebAssembly as a file of the bundle. Its package contains it as compressed text and decodes that in
// JavaScript at each load, which takes 50 ms of CPU and more. Refuses package versions with another text.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'esbuild';

const NAME = 'zstd.wasm';

/** The binary as the package has it, and where it decodes that. */
const TEXT = /'[^'\n]{100000,}'/;
const DECODED = /(\w+)\?\?=(\w+\(\w+\(\w+\)\))/;

/** The binary, and what makes the bundled package read it from a file of that name beside it. */
export async function wasmAsFile(): Promise<{ name: string; binary: Uint8Array; plugin: Plugin }> {
  const file = fileURLToPath(import.meta.resolve('@hpcc-js/wasm-zstd'));
  const code = await readFile(file, 'utf8');
  const [, kept = '', decode = ''] = DECODED.exec(code) ?? [];
  if (!TEXT.test(code) || decode === '') throw new Error(`${file} does not have its binary as it had`);
  const decoding = `${code.replace(/^\/\/# sourceMappingURL=.*/m, '')}\nexport const binary = ${decode};`;
  const { binary } = (await import(
    `data:text/javascript;base64,${Buffer.from(decoding).toString('base64')}`
  )) as { binary: Uint8Array };
  const contents = code
    .replace(TEXT, "''")
    .replace(DECODED, `${kept} ??= readFileSync(new URL('./${NAME}', import.meta.url))`);
  const plugin: Plugin = {
    name: 'wasm-file',
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]@hpcc-js[\\/]wasm-zstd[\\/].*\.js$/ }, () => ({
        contents: `import { readFileSync } from 'node:fs';\n${contents}`,
      }));
    },
  };
  return { name: NAME, binary, plugin };
}
