// The command line: the table of commands, `--help`, `--version`, `--env-file`, and how a failure is reported. What a
// command does is in its own file, which is loaded only when it is called.
import { BackupError, type ErrorCode, messageOf } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { visibleText } from '../lib/visible-text.ts';
import { packageRoot, packageVersion } from '../packaging/package-root.ts';
import type { Command, CommandGroup, Commands, Terminal } from './command.ts';
import { readEnvFile } from './env-file.ts';
import { givenTwice } from './parse-args.ts';
import { paint } from './terminal/paint.ts';
import { safeOutput } from './terminal/safe-output.ts';
import { InterruptedError, UsageError } from './usage-error.ts';

/** What asks for an answer in JSON, failures too. */
const JSON_FLAGS = ['--json', '-o', '--output'];

const COMMANDS: Commands = {
  demo: () => import('./demo.ts'),
  check: () => import('./check/check.ts'),
  run: () => import('./run.ts'),
  smoke: () => import('./smoke/smoke.ts'),
  package: () => import('./package.ts'),
  rule: () => import('./rule/commands.ts'),
  archive: () => import('./archive/commands.ts'),
  completion: async () => ({ command: (await import('./completion.ts')).completionOf(COMMANDS) }),
};

const PLACES: Readonly<Record<ErrorCode, string>> = {
  config: ' at the settings',
  source: ' at Pulsar',
  store: ' at COS',
  corrupt: ' at the stored data',
  // Its messages name the API, or the rule, themselves.
  rule: '',
};

/** Runs the command that `args` name and answers its exit code: 0 fine, 1 failed, 2 wrong usage, 130 interrupted. */
export async function main(
  args: readonly string[],
  streams: Terminal,
  commands: Commands = COMMANDS,
): Promise<number> {
  const isJson = isForJson(args);
  const terminal = safeTerminal(streams, isJson);
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v') {
    terminal.stdout.write(`${packageVersion(packageRoot(import.meta.url))}\n`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? terminal.stderr : terminal.stdout).write(await overview(commands));
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    terminal.stderr.write(
      `tdmq-backup: there is no command ${JSON.stringify(name)}\n\n${await overview(commands)}`,
    );
    return 2;
  }
  const { command: entry } = await load();
  const own = rest.slice(0, rest.includes('--') ? rest.indexOf('--') : rest.length);
  const isHelp = own.includes('--help') || own.includes('-h');
  let path = name;
  try {
    const { envFile, args: given } = takeCommonOptions(rest);
    const { command, subname, args: others } = await findCommand(name, entry, given, isHelp);
    if (subname !== undefined) path = `${name} ${subname}`;
    if (isHelp) {
      terminal.stdout.write(`${command.help.trim()}\n`);
      return 0;
    }
    if (command.subcommands !== undefined)
      throw new UsageError(`name what to do: ${Object.keys(command.subcommands).join(', ')}`);
    const safe = command.isForPrograms ? safeTerminal(streams, true) : terminal;
    const running = command.run(others, envFile === undefined ? safe : withSettings(envFile, safe));
    return await untilLeft(running, command.endsWithinMs, terminal.signal);
  } catch (error) {
    return reportFailure(path, error, isJson, terminal);
  }
}

/** Whether the answer is asked for in JSON. */
function isForJson(args: readonly string[]): boolean {
  const own = args.slice(0, args.includes('--') ? args.indexOf('--') : args.length);
  return JSON_FLAGS.some((one) => own.includes(one));
}

/** Escapes terminal codes for people; output for programs stays exact. */
function safeTerminal(terminal: Terminal, isForPrograms: boolean): Terminal {
  const { stdout, stderr } = terminal;
  const isExact = isForPrograms && stdout.isTTY !== true;
  return { ...terminal, stdout: isExact ? stdout : safeOutput(stdout), stderr: safeOutput(stderr) };
}

/** What the environment sets already stays. */
function withSettings(path: string, terminal: Terminal): Terminal {
  const settings = readEnvFile(path);
  return { ...terminal, env: { ...settings, ...terminal.env }, settingsFile: { path, settings } };
}

/** What a command comes to; a failure where it goes on for so long after Ctrl-C, whatever it waits for. */
async function untilLeft<T>(
  running: Promise<T>,
  endsWithinMs: number | undefined,
  signal: AbortSignal,
): Promise<T> {
  if (endsWithinMs === undefined) return running;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const left = new Promise<never>((_, reject) => {
    onAbort = () => {
      timer = setTimeout(() => reject(signal.reason), endsWithinMs);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([running, left]);
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

/** The command that the arguments name, and what is left of them. Of a family without a member's name, the family. */
async function findCommand(
  name: string,
  entry: Command | CommandGroup,
  args: readonly string[],
  isHelp: boolean,
) {
  if (entry.subcommands === undefined) return { command: entry, args, subname: undefined };
  const { subcommands, aliases = {} } = entry;
  const [given, ...rest] = args;
  // Options may be anywhere else, but a family's member comes first.
  if (given === undefined || given.startsWith('-')) return { command: entry, args, subname: undefined };
  const subname = Object.hasOwn(aliases, given) ? (aliases[given] as string) : given;
  const load = Object.hasOwn(subcommands, subname) ? subcommands[subname] : undefined;
  if (load !== undefined) return { command: await load(), args: rest, subname };
  if (isHelp) return { command: entry, args, subname: undefined };
  const known = nearest(subname, Object.keys(subcommands));
  throw new UsageError(`there is no command ${name} ${given}; did you mean ${name} ${known}?`);
}

async function overview(commands: Commands): Promise<string> {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = await Promise.all(
    Object.entries(commands).map(
      async ([name, load]) => `  ${name.padEnd(width)}  ${(await load()).command.summary}`,
    ),
  );
  return `Keeps the messages of a TDMQ for Apache Pulsar topic as files in Tencent Cloud COS.

Usage: tdmq-backup <command> [options]

${lines.join('\n')}

Settings of a rule are environment variables. --env-file FILE reads them from a file; what the environment sets
already stays. \`tdmq-backup <command> --help\` says more. Exit codes: 0 fine, 1 failed, 2 wrong usage.
`;
}

/** Options of every command are taken out before the command sees its arguments; `-o json` is another name of `--json`. */
function takeCommonOptions(args: readonly string[]): { envFile: string | undefined; args: string[] } {
  let envFile: string | undefined;
  const others: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg === '--') {
      others.push(...args.slice(i));
      break;
    }
    if (arg === '--env-file' || arg.startsWith('--env-file=')) {
      const path = arg === '--env-file' ? (args[++i] ?? '') : arg.slice('--env-file='.length);
      if (envFile !== undefined && path !== envFile) throw givenTwice('env-file');
      envFile = path;
    } else if (arg === '-o' || arg === '--output') {
      const format = args[++i];
      if (format !== 'json')
        throw new UsageError(`${arg} ${format ?? ''}: expected json, the same as --json`);
      others.push('--json');
    } else others.push(arg);
  }
  return { envFile, args: others };
}

/** The error, its place, and the hint; a stack only for our own bugs. */
function reportFailure(name: string, error: unknown, json: boolean, terminal: Terminal): number {
  if (terminal.signal.aborted || error instanceof InterruptedError) {
    terminal.stderr.write(`tdmq-backup ${name}: interrupted\n`);
    return 130;
  }
  if (isUsageError(error)) {
    terminal.stderr.write(`tdmq-backup ${name}: ${messageOf(error)}\nSee tdmq-backup ${name} --help\n`);
    return 2;
  }
  if (isSystemError(error)) {
    const { code, message } = error;
    const hint = 'Check that the file or folder is there and may be used, and that the disk has room.';
    if (json) terminal.stdout.write(`${JSON.stringify({ error: { code, message, hint, details: {} } })}\n`);
    else terminal.stderr.write(`tdmq-backup ${name} failed: ${message}\n  → ${hint}\n`);
    return 1;
  }
  if (!(error instanceof BackupError)) {
    terminal.stderr.write(
      `tdmq-backup ${name}: ${error instanceof Error ? error.stack : messageOf(error)}\n`,
    );
    return 1;
  }
  if (json) {
    const { code, message, hint, details, faults } = error;
    const list = faults.length > 0 ? { faults } : {};
    terminal.stdout.write(`${JSON.stringify({ error: { code, message, hint, details, ...list } })}\n`);
    return 1;
  }
  const { red, dim } = paint(terminal.stderr, terminal.env);
  const details = Object.entries(error.details).map(([key, value]) => visibleText(`${key} ${value}`));
  terminal.stderr.write(
    `${red('✗')} tdmq-backup ${name} failed${isOfFile(error.cause) ? '' : PLACES[error.code]}: ${visibleText(error.summary)}\n`,
  );
  for (const { text } of error.faults) terminal.stderr.write(`    ${visibleText(text)}\n`);
  if (details.length > 0) terminal.stderr.write(`  ${dim(details.join(', '))}\n`);
  if (error.hint !== undefined) terminal.stderr.write(`  → ${visibleText(error.hint)}\n`);
  return 1;
}

/** What the system refused: a file that cannot be written, a full disk. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error;

/** What the system refused about a file or a folder: a copy of an archive is not at COS. */
const isOfFile = (error: unknown): boolean => isSystemError(error) && error.path !== undefined;

/** What node:util's parseArgs throws, and commands that refuse an argument themselves. */
function isUsageError(error: unknown): boolean {
  return (
    error instanceof UsageError || String((error as { code?: unknown })?.code).startsWith('ERR_PARSE_ARGS')
  );
}
