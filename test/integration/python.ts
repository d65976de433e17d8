// Runs Python scripts that use the official clients, in an environment of pinned versions kept in the user's cache.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cachedFolder } from './cache.ts';
import { runCommand } from './run-command.ts';

const here = import.meta.dirname;

/** The interpreter that has what a file beside this one pins; requirements.txt: `pulsar-client` and `cos-python-sdk-v5`. */
export async function pythonWith(pins: string): Promise<string> {
  const requirements = await readFile(join(here, pins));
  const version = await runCommand('python3', ['-c', 'import sys; print(sys.executable, sys.version)'], {
    timeoutMs: 30_000,
    install: 'Python 3.10 or later, with venv',
  });
  const folder = await cachedFolder('python', [requirements, version], async (draft) => {
    // A virtual environment must not be moved, but this much of it does not mind: site-packages and the interpreter.
    await runCommand('python3', ['-m', 'venv', draft], { timeoutMs: 60_000 });
    await runCommand(join(draft, 'bin', 'python'), ['-m', 'pip', 'install', '-q', '-r', join(here, pins)], {
      timeoutMs: 900_000,
    });
  });
  return join(folder, 'bin', 'python');
}

/** What the script (a file beside this one, or an absolute path) printed on stdout. Throws if it fails. */
export async function runPython(
  script: string,
  args: readonly string[],
  options: { readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<string> {
  const python = await pythonWith('requirements.txt');
  return await runCommand(python, [resolve(here, script), ...args], {
    timeoutMs: options.timeoutMs ?? 120_000,
    ...(options.input === undefined ? {} : { input: options.input }),
  });
}
