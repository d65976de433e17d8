// The golden objects of record format v1 by the built command, on a Node without zstd of its own (then WebAssembly reads
// it) and on one with it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Zstd } from '@hpcc-js/wasm-zstd';
import { beforeAll, expect, it } from 'vitest';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { fetchNode } from './node-versions.ts';
import { runCommand } from './run-command.ts';

const root = packageRoot(import.meta.url);
const FOLDER = join(root, 'test/fixtures/golden/v1');
const DAY = 't/ns/orders/date=2026-11-23';

beforeAll(async () => {
  await bundleCli(root, join(root, 'dist/cli'));
});

/** The records of the golden objects, read by other means, by partition. */
async function goldenLines(): Promise<string[][]> {
  const zstd = await Zstd.load();
  const read = (path: string) => readFileSync(join(FOLDER, DAY, path));
  return [
    read('partition=0/000000000012-0000000007-00000.jsonl'),
    gunzipSync(read('partition=1/000000000012-0000000003-00000.jsonl.gz')),
    read('partition=2/000000000012-0000000000-00000.jsonl'),
    ...[3, 4].map((n) => decompressAll(zstd, read(`partition=${n}/000000000012-0000000020-00000.jsonl.zst`))),
  ].map((bytes) => bytes.toString().trimEnd().split('\n'));
}

/** All frames; each begins with the magic number. */
function decompressAll(zstd: Zstd, bytes: Buffer): Buffer {
  const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
  const starts: number[] = [];
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) starts.push(at);
  expect(starts.length).toBeGreaterThan(1);
  return Buffer.concat(starts.map((start, i) => zstd.decompress(bytes.subarray(start, starts[i + 1]))));
}

it.each([
  ['20.19.0', false],
  ['22.23.3', true],
])('on Node %s, zstd of its own: %s', async (version, isNative) => {
  const node = await fetchNode(version);
  const run = (...args: string[]) =>
    runCommand(node, [join(root, 'dist/cli/tdmq-backup.js'), 'archive', ...args, '--folder', FOLDER], {
      timeoutMs: 60_000,
    });
  const has = await runCommand(node, ['-p', 'typeof require("node:zlib").zstdDecompress'], {
    timeoutMs: 60_000,
  });
  expect(has.trim()).toBe(isNative ? 'function' : 'undefined');
  const lines = (await run('cat')).trimEnd().split('\n');
  expect(lines.toSorted()).toEqual((await goldenLines()).flat().toSorted());
  // Objects from before schemas were kept: a notice, no damage.
  const findings = [{ severity: 'notice', kind: 'schema-missing', key: '_schemas/t/ns/orders/1.json' }];
  expect(JSON.parse(await run('verify', '--json'))).toMatchObject({ objects: 5, messages: 22, findings });
});
