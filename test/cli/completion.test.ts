// The completion scripts: bash's is run here, zsh's and fish's with their shells by the integration tests.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from './terminal.ts';

async function script(shell: string): Promise<string> {
  const { terminal, out } = testTerminal();
  expect(await main(['completion', shell], terminal)).toBe(0);
  return out();
}

/** What bash offers for the last of the words. */
async function offered(...words: string[]): Promise<string[]> {
  const program = `${await script('bash')}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tdmq_backup; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', program, 'bash', 'tdmq-backup', ...words], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);
}

test.each([
  [['ru'], ['run', 'rule']],
  [['rule', 'cr'], ['create']],
  [
    ['--env-file', 'x', 'archive', 're'],
    ['recover', 'restore'],
  ],
  [['rule', 'edit', 'orders', '--yes', '--mem'], ['--memory']],
  [['rule', 'run', '--mi'], []],
  [['run', '--mi'], ['--minutes']],
  [['completion', 'z'], ['zsh']],
  // A value is not a word of ours.
  [['archive', 'cat', '--folder', 'c'], []],
])('bash offers for %j: %j', async (words, expected) => {
  expect(await offered(...words)).toEqual(expected);
});

test('every option that a help lists is offered', async () => {
  const { terminal, out } = testTerminal();
  await main(['archive', 'restore', '--help'], terminal);
  const listed = [...out().matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, name]) => name);
  expect(listed.length).toBeGreaterThan(10);
  expect(await offered('archive', 'restore', '--')).toEqual(expect.arrayContaining(listed));
});

test('Tab runs nothing of what is typed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'completion-'));
  try {
    const trap = join(folder, 'trap');
    await offered('archive', `$(touch ${trap})`, `\`touch ${trap}\``, '--k');
    expect(existsSync(trap)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('another shell is refused, with those that there are', async () => {
  const { terminal, err } = testTerminal();
  expect(await main(['completion', 'tcsh'], terminal)).toBe(2);
  expect(err()).toContain('name one shell: bash, zsh, fish');
});
