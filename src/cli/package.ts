// `tdmq-backup package`: writes the function's zip and says what is in it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import {
  collectFunction,
  type PackageFile,
  writePackage,
  ZIP_LIMIT_BYTES,
  zipFunction,
} from '../packaging/function-package.ts';
import { collectNative, NATIVE_PLATFORMS } from '../packaging/native-binding.ts';
import { packageRoot } from '../packaging/package-root.ts';
import type { Command } from './command.ts';
import { parseArgs } from './parse-args.ts';
import { paint } from './terminal/paint.ts';
import { formatBytes, formatTable } from './terminal/table.ts';

const runtimes = Object.keys(NATIVE_PLATFORMS);

export const command: Command = {
  summary: "write the function's zip for SCF",
  help: `
Usage: tdmq-backup package [--out FILE] [--native] [--runtime NAME] [--json]

Writes the function as SCF takes it: index.js (handler index.main_handler), bootstrap.js, and the start scripts
bootstrap and scf_bootstrap. The same version gives the same bytes.

  --out FILE       the zip; dist/function.zip of this package by default, and dist/function/ is completed too
  --native         adds pulsar-client with its linux-x64 binding, for PULSAR_DRIVER=native; needs a network
  --runtime NAME   the runtime that --native is for: ${runtimes.join(', ')}; by default ${runtimes[0]}
  --json           reports path, size and files as JSON

Examples:
  tdmq-backup package
  tdmq-backup package --native --out function-native.zip
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        out: { type: 'string' },
        native: { type: 'boolean', default: false },
        runtime: { type: 'string', default: runtimes[0] as string },
        json: { type: 'boolean', default: false },
      },
    });
    const root = packageRoot(import.meta.url);
    const files = collectFunction(root);
    if (values.native) {
      if (!values.json) terminal.stdout.write(`fetching pulsar-client for ${values.runtime} …\n`);
      files.push(...(await collectNative(values.runtime, terminal.signal)));
    }
    const zip = zipFunction(files);
    const out = resolve(values.out ?? join(root, 'dist/function.zip'));
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, zip);
    // The Serverless Framework zips the folder itself, so it must be as complete as the zip.
    if (values.out === undefined) writePackage(join(root, 'dist/function'), files);
    if (values.json) {
      const list = files.map(({ path, mode, bytes }) => ({
        path,
        mode: mode.toString(8),
        sizeBytes: bytes.length,
      }));
      terminal.stdout.write(`${JSON.stringify({ path: out, sizeBytes: zip.length, files: list })}\n`);
      return 0;
    }
    for (const line of describe(files)) terminal.stdout.write(`  ${line}\n`);
    terminal.stdout.write(`${relative(process.cwd(), out) || out}  ${formatBytes(zip.length)}\n`);
    if (zip.length > ZIP_LIMIT_BYTES) {
      const { yellow } = paint(terminal.stdout, terminal.env);
      terminal.stdout.write(
        `${yellow('⚠')} SCF takes at most ${formatBytes(ZIP_LIMIT_BYTES)} through its API; upload this one to COS and deploy from there\n`,
      );
    }
    return 0;
  },
};

/** One line per file of ours; what is in node_modules counts as one per package. */
function describe(files: readonly PackageFile[]): string[] {
  const rows = new Map<string, { mode: string; sizeBytes: number }>();
  for (const { path, mode, bytes } of files) {
    const name = /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? path;
    const row = rows.get(name) ?? { mode: name === path ? mode.toString(8) : 'dir', sizeBytes: 0 };
    row.sizeBytes += bytes.length;
    rows.set(name, row);
  }
  return formatTable(
    ['file', 'mode', 'bytes'],
    [...rows].map(([name, { mode, sizeBytes }]) => [name, mode, sizeBytes]),
  );
}
