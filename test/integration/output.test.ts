// The bin as a process: what cannot be written is exit code 1 for every command, told in one line, never as a stack.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/packaging/package-root.ts';

const root = packageRoot(import.meta.url);
const BIN = join(root, 'src/cli/tdmq-backup.ts');
const GOLDEN = ['--folder', join(root, 'test/fixtures/golden/v1')];

function bash(line: string, args: readonly string[]) {
  const program = [process.execPath, '--import', 'tsx', BIN, ...args];
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-c', line, ...program], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
    cwd: root,
  });
  return { status, stdout, stderr };
}

it.each([
  [['--version']],
  [['--help']],
  [['archive', '--help']],
  [['rule', 'create', '--help']],
  [['archive', 'ls', '--json', ...GOLDEN]],
  [['archive', 'ls', ...GOLDEN]],
  [['archive', 'verify', '--json', ...GOLDEN]],
  [['archive', 'cat', ...GOLDEN]],
  [['archive', 'cat', '--format', 'table', ...GOLDEN]],
  [['check', '--json']],
])('%j onto a full disk', (args) => {
  const { status, stderr } = bash('"$0" "$@" >/dev/full', args);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^tdmq-backup: standard output cannot be written: .*ENOSPC.*\n$/);
});

it('a reader that has gone is no failure', () => {
  const args = ['archive', 'cat', ...GOLDEN];
  const { status, stdout, stderr } = bash('set -o pipefail; "$0" "$@" | head -n 1', args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout.split('\n')).toHaveLength(2);
});

it.each([['/nowhere/page.html'], ['/'], ['/dev/full']])('a page that cannot be written to %s', (path) => {
  const { status, stderr } = bash('"$0" "$@" >/dev/null', ['archive', 'ls', ...GOLDEN, '--html', path]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^tdmq-backup archive ls failed: (ENOENT|EISDIR|ENOSPC).*\n {2}→ .*\n$/);
});

it('the bin imports nothing before it knows the version, and asks for the version that the package asks for', () => {
  const text = readFileSync(BIN, 'utf8');
  expect(text).not.toMatch(/^(import|export) /m);
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(engines.node).toBe(`>=${/NEEDED = '([\d.]+)'/.exec(text)?.[1]}`);
});
