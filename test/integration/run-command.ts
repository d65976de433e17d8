// Runs one program to its end. A failure reports what it printed.
import { spawn } from 'node:child_process';

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What a person installs if the program is missing. */
  readonly install?: string;
}

/** What the program printed on stdout. Throws if it is missing, ends with another code than 0, or takes too long. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<string> {
  const child = spawn(command, args, { env: options.env ?? process.env, timeout: options.timeoutMs });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => {}); // a program that ends before it has read everything says so by its exit code
  child.stdin.end(options.input);
  const outcome = await new Promise<string>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ENOENT' ? `is not there: install ${options.install ?? 'it'}` : error.message);
    });
    child.on('close', (code, signal) => resolve(code === 0 ? '' : `ended with ${code ?? signal}`));
  });
  if (outcome === '') return Buffer.concat(stdout).toString();
  const printed = Buffer.concat([...stdout, ...stderr]).toString();
  throw new Error(`${command} ${outcome}\n${printed.slice(-4000)}`);
}
