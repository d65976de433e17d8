// What a command of `tdmq-backup` is: a name in the table of main.ts (or of its group's commands.ts), and a function from arguments to an exit code.

import type { Clock } from '../ports.ts';
import type { Environment } from '../read-settings.ts';

/** The file that `--env-file` names. */
export interface SettingsFile {
  readonly path: string;
  readonly settings: Environment;
}

/** Where a command reads and writes; tests pass their own. */
export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  readonly stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  /** With the settings of the file. */
  readonly env: Environment;
  readonly settingsFile?: SettingsFile;
  /** Aborted by Ctrl-C: the command ends what it began and returns. */
  readonly signal: AbortSignal;
  /** The real one, unless a test has its own. */
  readonly clock?: Clock;
}

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole `--help`, with examples. */
  readonly help: string;
  /** Returns the exit code: 0 fine, 1 failed or found something wrong, 2 wrong usage. Throws BackupError for failures. */
  run(args: readonly string[], terminal: Terminal): Promise<number>;
  /** How long the command may take to finish after Ctrl-C before it is ended; without it, no limit. */
  readonly endsWithinMs?: number;
  /** Its stdout is for programs, with and without `--json`: in a pipe it is not escaped. */
  readonly isForPrograms?: boolean;
  readonly subcommands?: undefined;
}

/** A family of commands, such as `archive`: it runs nothing itself. */
export interface CommandGroup {
  readonly summary: string;
  readonly help: string;
  readonly subcommands: Readonly<Record<string, () => Promise<Command>>>;
  /** Names that other tools have for one of them. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** A table of commands, each loaded when it is called. */
export type Commands = Readonly<Record<string, () => Promise<{ readonly command: Command | CommandGroup }>>>;
