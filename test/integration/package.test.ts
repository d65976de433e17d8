// `npm run package` as a person runs it, and what it leaves in dist/.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { testTerminal } from '../cli/terminal.ts';
import { runCommand } from './run-command.ts';

const root = packageRoot(import.meta.url);
const zip = join(root, 'dist/function.zip');
const hash = () => createHash('sha256').update(readFileSync(zip)).digest('hex');
const packageIt = () =>
  runCommand('npm', ['run', '--silent', 'package', '--prefix', root], { timeoutMs: 120_000 });

test('npm run package reports what is in the zip and how big it is, and makes the same bytes again', async () => {
  const output = await packageIt();
  const files = ['index.js', 'bootstrap.js', 'zstd.wasm', 'package.json', 'bootstrap', 'scf_bootstrap'];
  for (const file of files)
    expect(output).toMatch(new RegExp(`^ +${file.replace('.', '\\.')} +(644|755) +[\\d,]+$`, 'm'));
  expect(output).toMatch(/dist\/function\.zip {2}[\d.]+ [kM]B/);
  const first = hash();
  await packageIt();
  expect(hash()).toBe(first);
  expect(statSync(zip).size).toBeLessThan(5_000_000);
});

test('dist/function is as complete as the zip, for the Serverless Framework, which packs the folder', async () => {
  await packageIt();
  for (const name of ['bootstrap', 'scf_bootstrap']) {
    const path = join(root, 'dist/function', name);
    expect((statSync(path).mode & 0o777).toString(8)).toBe('755');
    expect(readFileSync(path, 'utf8')).toMatch(/^#!\/bin\/bash\n/);
    expect(readFileSync(path, 'utf8')).not.toContain('\r');
  }
});

test('--out writes elsewhere, and --json reports path, size and files', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  try {
    const { terminal, out } = testTerminal();
    const path = join(folder, 'a/function.zip');
    expect(await main(['package', '--out', path, '--json'], terminal)).toBe(0);
    const told = JSON.parse(out());
    expect(told).toMatchObject({ path, sizeBytes: statSync(path).size });
    expect(told.files).toContainEqual({ path: 'bootstrap', mode: '755', sizeBytes: expect.any(Number) });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('--native adds the binding where it can be downloaded, and where it cannot it says why and what to do', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  try {
    const { terminal, out, err } = testTerminal();
    const code = await main(['package', '--native', '--out', join(folder, 'native.zip')], terminal);
    if (code === 0) expect(out()).toMatch(/node_modules\/pulsar-client +dir +[\d,]+/);
    else
      expect(err()).toMatch(
        /pulsar-client 1\.14\.0 for Nodejs18\.15 is not available here: .+\n +→ .*PULSAR_DRIVER=wire/,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
