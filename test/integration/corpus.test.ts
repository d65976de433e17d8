// The corpus of recorded entries on each Node that the function may run on: with zstd of its own, and by WebAssembly.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchNode, NODE_VERSIONS } from './node-versions.ts';
import { runCommand } from './run-command.ts';

const wire = join(import.meta.dirname, '../pulsar/wire');
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-corpus-'));
const program = join(folder, 'corpus-process.mjs');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  await build({
    entryPoints: [join(wire, 'corpus-process.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'esm',
    define: { 'import.meta.dirname': JSON.stringify(wire) },
    logLevel: 'warning',
  });
});

// The first that has zstd, and the newest.
it.each([...NODE_VERSIONS, '22.15.0', '24.4.0'])('is read on Node %s', async (version) => {
  const answer = await runCommand(await fetchNode(version), [program], { timeoutMs: 100_000 });
  expect(JSON.parse(answer)).toEqual({ topics: 68, blocks: expect.any(Number), wrong: [] });
});
