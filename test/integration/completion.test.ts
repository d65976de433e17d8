// The completion scripts in zsh and fish themselves.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from '../cli/terminal.ts';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'completion-'));
  for (const shell of ['zsh', 'fish']) {
    const { terminal, out } = testTerminal();
    expect(await main(['completion', shell], terminal)).toBe(0);
    writeFileSync(join(folder, shell), out());
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (text: string) => text.split('\n').filter(Boolean);

const shells = {
  fish: (words: readonly string[]) =>
    lines(
      execFileSync(
        'fish',
        [
          '--no-config',
          '-c',
          'source $argv[1]; complete -C "$argv[2]"',
          join(folder, 'fish'),
          words.join(' '),
        ],
        { encoding: 'utf8', env: { ...process.env, HOME: folder } },
      ),
    ).map((line) => line.split('\t')[0]),
  // What zsh's own functions are given: they need a terminal to show it.
  zsh: (words: readonly string[]) =>
    lines(
      execFileSync(
        'zsh',
        [
          '-fc',
          `compdef() { : }; _describe() { print -l -- \${(P)2} }; _files() { : }
          source $1; shift; CURRENT=$#; words=("$@"); _tdmq_backup`,
          'zsh',
          join(folder, 'zsh'),
          ...words,
        ],
        { encoding: 'utf8' },
      ),
    )
      .map((line) => line.split(':')[0] as string)
      .filter((word) => word.startsWith(words.at(-1) as string)),
};

describe.each(['zsh', 'fish'] as const)('%s', (shell) => {
  test.each([
    [['ru'], ['rule', 'run']],
    [['rule', 'cr'], ['create']],
    [
      ['--env-file', 'x', 'archive', 're'],
      ['recover', 'restore'],
    ],
    [['rule', 'edit', 'orders', '--yes', '--mem'], ['--memory']],
    [['rule', 'run', '--mi'], []],
    [['run', '--mi'], ['--minutes']],
  ])('offers for %j: %j', (words, expected) => {
    expect(shells[shell](['tdmq-backup', ...words]).sort()).toEqual(expected);
  });
});
