// Versions of Node.js that are too old say so: the command, and the function's start script. Those of today say nothing.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { fetchNode } from './node-versions.ts';

const root = packageRoot(import.meta.url);
beforeAll(async () => {
  await bundleCli(root, join(root, 'dist/cli'));
});

it.each(['10.24.1', '12.22.12', '14.21.3', '16.20.2', '18.20.8'])(
  'the command on Node %s',
  async (version) => {
    const node = await fetchNode(version);
    const { status, stdout, stderr } = spawnSync(
      node,
      [join(root, 'dist/cli/tdmq-backup.js'), 'archive', 'ls'],
      {
        encoding: 'utf8',
      },
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^tdmq-backup needs Node\.js 20\.12 or later; this is v\S+ \(.*\)\.\n.*\n$/);
    expect(stderr).toContain(`v${version}`);
  },
);

it.each(['20.19.0', '22.23.3', '24.4.0'])(
  'the command on Node %s, which reads an archive',
  async (version) => {
    const args = ['archive', 'ls', '--folder', join(root, 'test/fixtures/golden/v1')];
    const { status, stdout, stderr } = spawnSync(
      await fetchNode(version),
      [join(root, 'dist/cli/tdmq-backup.js'), ...args],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('objects');
  },
);

it.each(['14.21.3', undefined])('the start script on Node %s', async (version) => {
  const path = mkdtempSync(join(tmpdir(), 'tdmq-backup-path-'));
  try {
    symlinkSync('/usr/bin/dirname', join(path, 'dirname'));
    if (version !== undefined) symlinkSync(await fetchNode(version), join(path, 'node'));
    const { status, stderr } = spawnSync('/bin/bash', [join(root, 'scf_bootstrap')], {
      encoding: 'utf8',
      env: { PATH: path },
    });
    expect(status).toBe(1);
    expect(stderr).toContain(`needs Node.js 18 or later; found ${version ?? 'none'}`);
  } finally {
    rmSync(path, { recursive: true });
  }
});
