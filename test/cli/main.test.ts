// The command line around the commands: help, version, settings file, exit codes, and how failures are reported.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Command, Terminal } from '../../src/cli/command.ts';
import { main } from '../../src/cli/main.ts';
import { UsageError } from '../../src/cli/usage-error.ts';
import { BackupError } from '../../src/errors.ts';
import { testTerminal } from './terminal.ts';

const calling = (run: Command['run']) => ({
  greet: async () => ({ command: { summary: 'says hello', help: 'Usage: greet', run } }),
});
const fine = calling(async () => 0);
const failing = (error: unknown) => calling(async () => Promise.reject(error));

test('--version reports the version of package.json', async () => {
  const { terminal, out } = testTerminal();
  expect(await main(['--version'], terminal, fine)).toBe(0);
  expect(out()).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('--help lists the commands with their summaries', async () => {
  const { terminal, out } = testTerminal();
  expect(await main(['--help'], terminal, fine)).toBe(0);
  expect(out()).toMatch(/greet {2}says hello/);
});

test('no command, and an unknown one, are wrong usage and show the list', async () => {
  const { terminal, err } = testTerminal();
  expect(await main([], terminal, fine)).toBe(2);
  expect(await main(['gret'], terminal, fine)).toBe(2);
  expect(await main(['constructor'], terminal, fine)).toBe(2);
  expect(err()).toMatch(/there is no command "gret"[\s\S]*says hello/);
});

test('a command shows its own help and does not run', async () => {
  const { terminal, out } = testTerminal();
  expect(await main(['greet', '--help'], terminal, failing(new Error('ran')))).toBe(0);
  expect(out()).toBe('Usage: greet\n');
});

test('a command gets its arguments and its exit code is the answer', async () => {
  const seen: (readonly string[])[] = [];
  const commands = calling(async (args) => {
    seen.push(args);
    return 7;
  });
  expect(await main(['greet', 'a', '--b', '--', '--help'], testTerminal().terminal, commands)).toBe(7);
  expect(seen).toEqual([['a', '--b', '--', '--help']]);
});

test('--env-file gives settings, and what the environment sets already stays', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  try {
    const file = join(folder, '.env');
    writeFileSync(file, '# rule\nRULE_NAME=from-file\nCOS_PREFIX="a/b/"\n');
    for (const args of [['--env-file', file], [`--env-file=${file}`]]) {
      let env: Terminal['env'] = {};
      const commands = calling(async (others, terminal) => {
        env = terminal.env;
        return others.length;
      });
      expect(await main(['greet', ...args], testTerminal({ RULE_NAME: 'from-env' }).terminal, commands)).toBe(
        0,
      );
      expect(env).toMatchObject({ RULE_NAME: 'from-env', COS_PREFIX: 'a/b/' });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a settings file that is not there is a failure that names it', async () => {
  const { terminal, err } = testTerminal();
  expect(await main(['greet', '--env-file', '/nowhere/.env'], terminal, fine)).toBe(1);
  expect(err()).toMatch(/settings file "\/nowhere\/\.env" cannot be read\n {2}→ /);
});

const refused = new BackupError('store', 'COS refused the object', {
  hint: 'Allow cos:PutObject.',
  details: { statusCode: 403 },
});

test('a failure is reported as what, where and what to do, without colour and without a stack', async () => {
  const { terminal, out, err } = testTerminal();
  expect(await main(['greet'], terminal, failing(refused))).toBe(1);
  expect(err()).toBe(
    '✗ tdmq-backup greet failed at COS: COS refused the object\n  statusCode 403\n  → Allow cos:PutObject.\n',
  );
  expect(out()).toBe('');
});

test('with --json a failure is JSON on stdout', async () => {
  const { terminal, out, err } = testTerminal();
  expect(await main(['greet', '--json'], terminal, failing(refused))).toBe(1);
  expect(JSON.parse(out())).toEqual({
    error: {
      code: 'store',
      message: 'COS refused the object',
      hint: 'Allow cos:PutObject.',
      details: { statusCode: 403 },
    },
  });
  expect(err()).toBe('');
});

test('faults of the settings stand on a line each', async () => {
  const { terminal, err } = testTerminal();
  const faults = [
    { setting: 'A', text: 'A is "x | y"' },
    { setting: 'B', text: 'B is not set' },
  ];
  const error = new BackupError('config', '2 settings are wrong', { faults, hint: 'Set.' });
  expect(await main(['greet'], terminal, failing(error))).toBe(1);
  expect(err()).toMatch(/^✗ .*2 settings are wrong\n {4}A is "x \| y"\n {4}B is not set\n {2}→ Set\.\n$/);
  const { terminal: other, out } = testTerminal();
  await main(['greet', '--json'], other, failing(error));
  expect(JSON.parse(out()).error).toMatchObject({ message: error.message, faults });
});

test('wrong arguments exit with 2, a fault of ours with 1 and its stack', async () => {
  const { terminal, err } = testTerminal();
  expect(await main(['greet'], terminal, failing(new UsageError('--speed must be a number')))).toBe(2);
  expect(await main(['package', '--fast'], terminal)).toBe(2);
  expect(err()).toMatch(/--speed must be a number\nSee tdmq-backup greet --help/);
  expect(await main(['greet'], terminal, failing(new TypeError('oops')))).toBe(1);
  expect(err()).toMatch(/TypeError: oops\n\s+at /);
});

test('an option that takes one value and is given two is wrong usage: neither is passed over', async () => {
  const { terminal, err } = testTerminal();
  expect(await main(['archive', 'cat', '--folder', 'x', '--key', 'k1', '--key=k2'], terminal)).toBe(2);
  expect(err()).toBe(
    'tdmq-backup archive cat: --key takes one value, and is given two\nSee tdmq-backup archive cat --help\n',
  );
  expect(await main(['check', '--env-file', 'a', '--env-file=b'], terminal)).toBe(2);
  expect(err()).toContain('--env-file takes one value');
  const twice = ['archive', 'cat', '--folder', 'x', '--folder', 'x', '--grep', 'a', '--grep', 'b'];
  expect(await main(twice, terminal)).toBe(1);
});

test.each([
  ['archive', 'cat', '--folder', ''],
  ['archive', 'export', '--to='],
  ['archive', 'verify', '--folder', 'x', '--report', ''],
])('%s %s %s %s without a name is wrong usage, and not the working directory', async (...args) => {
  const { terminal, err } = testTerminal();
  expect(await main(args, terminal)).toBe(2);
  expect(err()).toContain('has nothing behind it');
});

test('an interrupted command exits with 130', async () => {
  const interrupt = new AbortController();
  interrupt.abort();
  const { terminal, err } = testTerminal({}, interrupt.signal);
  expect(await main(['greet'], terminal, failing(new Error('aborted')))).toBe(130);
  expect(err()).toBe('tdmq-backup greet: interrupted\n');
});

test('at a terminal the failure is red, unless NO_COLOR says otherwise', async () => {
  for (const [env, isRed] of [
    [{}, true],
    [{ NO_COLOR: '1' }, false],
  ] as const) {
    const { terminal, err } = testTerminal(env);
    terminal.stderr.isTTY = true;
    await main(['greet'], terminal, failing(refused));
    expect(err().includes('\u001b[31m')).toBe(isRed);
  }
});

test.each([
  [['rule', 'ls', '--help'], 'rule list'],
  [['rule', 'get', '--help'], 'rule show'],
  [['rule', 'rm', '--help'], 'rule delete'],
  [['archive', 'list', '--help'], 'archive ls'],
])('%j is understood as %s', async (args, path) => {
  const { terminal, out } = testTerminal();
  expect(await main(args, terminal)).toBe(0);
  expect(out()).toContain(`Usage: tdmq-backup ${path}`);
});

test('-o json is --json, and names what it knows for anything else', async () => {
  const asked: string[][] = [];
  const commands = {
    echo: async () => ({
      command: { summary: '', help: '', run: async (args: readonly string[]) => asked.push([...args]) - 1 },
    }),
  };
  const { terminal, err } = testTerminal();
  expect(await main(['echo', '-o', 'json', 'a'], terminal, commands)).toBe(0);
  expect(asked).toEqual([['--json', 'a']]);
  expect(await main(['echo', '-o', 'yaml'], terminal, commands)).toBe(2);
  expect(err()).toContain('-o yaml: expected json');
});
