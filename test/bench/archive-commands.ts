// What `npm run bench:archive` measures: the commands on an archive, each in a process of its own as a person runs it.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { packageRoot } from '../../src/packaging/package-root.ts';

export interface CommandCost {
  readonly wallMs: number;
  readonly peakRssBytes: number;
  /** What it printed; of `cat` only how much, by `wc`. */
  readonly output: string;
}

export interface ArchiveCommand {
  readonly name: string;
  readonly args: readonly string[];
  /** Piped into this program, as a person would. */
  readonly into?: string;
  /** Whether it needs a topic to publish to. */
  readonly restores?: boolean;
  /** Reads a local copy instead of the bucket. */
  readonly local?: boolean;
}

export const COMMANDS: readonly ArchiveCommand[] = [
  { name: 'ls', args: ['ls', '--json'] },
  { name: 'verify --level list', args: ['verify', '--level', 'list', '--json'] },
  { name: 'verify --level object', args: ['verify', '--level', 'object', '--json'] },
  { name: 'verify --level record', args: ['verify', '--level', 'record', '--json'] },
  { name: 'verify --level record, of a local copy', args: ['verify', '--json'], local: true },
  { name: 'cat', args: ['cat'], into: 'wc -lc' },
  { name: 'cat of a local copy', args: ['cat'], into: 'wc -lc', local: true },
  { name: 'restore', args: ['restore', '--json'], restores: true },
];

/** Runs the built command. Needs `npm run build`. @throws Error with what it printed, where it fails */
export async function runArchive(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  into?: string,
): Promise<CommandCost> {
  const root = packageRoot(import.meta.url);
  const program = join(root, 'dist/cli/tdmq-backup.js');
  const require = ['--require', join(import.meta.dirname, 'report-peak.cjs')];
  const command = [process.execPath, ...require, program, 'archive', ...args];
  const line = command.map((part) => `'${part.replaceAll("'", "'\\''")}'`).join(' ');
  const startedMs = performance.now();
  const child =
    into === undefined
      ? spawn(command[0] as string, command.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
      : spawn('bash', ['-c', `set -o pipefail; ${line} | ${into} 3>&-`], {
          env: { ...env, PATH: process.env['PATH'] ?? '' },
          stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
        });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const [output, errors, peak] = await Promise.all(
    [child.stdout, child.stderr, child.stdio[3]].map((stream) => textOf(stream as Readable)),
  );
  const code = await closed;
  if (code !== 0) throw new Error(`archive ${args.join(' ')} ended with ${code}:\n${errors}\n${output}`);
  return { wallMs: performance.now() - startedMs, peakRssBytes: Number(peak), output: output as string };
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const piece of stream.setEncoding('utf8')) text += piece;
  return text;
}
