// `npm run demo` as a person runs it: built, started as a program of its own, and with --keep until Ctrl-C.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { bundleCli, bundleFunction } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';

const root = packageRoot(import.meta.url);

beforeAll(async () => {
  await bundleFunction(root, join(root, 'dist/function'));
  await bundleCli(root, join(root, 'dist/cli'));
});

function startDemo(...args: string[]) {
  const child = spawn(process.execPath, [join(root, 'dist/cli/tdmq-backup.js'), 'demo', ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, ended, output: () => output };
}

/** Where it says the files lie. */
const folderOf = (output: string) => /The files are in (\S+)\/cos\//.exec(output)?.[1] ?? '/nowhere';

test('the demo stores every message it published, shows objects, records and summary, and ends by itself', async () => {
  const { ended, output } = startDemo('--messages', '3000');
  expect(await ended, output()).toBe(0);
  expect(output()).toMatch(/first tick: 3,000 messages in 8 objects; second tick: 0/);
  const rows = [...output().matchAll(/^ +tdmq\/public\/default\/orders\/\S+\.jsonl +([\d,]+) +[\d,]+$/gm)];
  expect(rows.reduce((sum, [, messages]) => sum + Number(messages), 0)).toBe(3_000);
  expect(output()).toMatch(/"valueBase64":/);
  expect(output()).toMatch(/"value":null/);
  expect(output()).toMatch(/"stopReason": "caught_up"/);
  rmSync(folderOf(output()), { recursive: true });
});

test('with --keep the demo stays until Ctrl-C and says how to connect', async () => {
  const { child, ended, output } = startDemo('--messages', '100', '--keep');
  await expect.poll(output, { timeout: 30_000 }).toMatch(/--env-file \S+demo\.env/);
  child.kill('SIGINT');
  expect(await ended, output()).toBe(0);
  rmSync(folderOf(output()), { recursive: true });
});

test('a broker that is not there ends the demo with what failed and what to do', async () => {
  const { ended, output } = startDemo('--pulsar', 'pulsar://127.0.0.1:1');
  expect(await ended).toBe(1);
  expect(output()).toMatch(/✗ tdmq-backup demo failed at Pulsar: .*ECONNREFUSED[\s\S]*→ Check that pulsar:/);
});
