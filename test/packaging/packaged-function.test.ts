// What is in the real package: the function, nothing of the tools around it, and little enough to upload.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Metafile } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleFunction } from '../../src/packaging/bundle.ts';
import { collectFunction, zipFunction } from '../../src/packaging/function-package.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { startRunStage } from '../stage/loopback-stage.ts';

const root = packageRoot(import.meta.url);
const out = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
let metafile: Metafile;

beforeAll(async () => {
  metafile = await bundleFunction(root, out);
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

test('the bundle holds nothing of the command line, the stand-ins, the packaging or the archive side', () => {
  const ours = Object.keys(metafile.inputs).filter((path) => path.startsWith('src/'));
  expect(ours).toContain('src/drain.ts');
  expect(ours.filter((path) => /^src\/(cli|local|packaging|archive)\//.test(path))).toEqual([]);
  expect(Object.keys(metafile.inputs).filter((path) => path.includes('@bufbuild'))).toEqual([]);
});

test('of the control plane it holds what reads the role key, and no generated client of any service', () => {
  const inputs = Object.keys(metafile.inputs);
  expect(inputs.filter((path) => path.startsWith('src/rules/'))).toEqual(['src/rules/role-key.ts']);
  expect(inputs.filter((path) => /tencentcloud\/services\//.test(path))).toEqual([]);
});

test('of the COS SDK it leaves out what the function never asks for, since each cold start would load it', () => {
  const inputs = Object.keys(metafile.inputs);
  expect(inputs).toContain('node_modules/cos-request/request.js');
  expect(inputs.filter((path) => /node_modules\/(psl|tough-cookie|sshpk|mime-db)\//.test(path))).toEqual([]);
});

test('it needs nothing at run time but Node and, where it is asked for, pulsar-client', () => {
  const external = Object.values(metafile.outputs)
    .flatMap(({ imports }) => imports)
    .filter((one) => one.external)
    .map(({ path }) => path.replace(/^node:/, ''))
    .filter((path) => !builtinModules.includes(path));
  // node-fetch, inside the cloud SDK, tries for `encoding` and does without.
  const needed = new Set(external.filter((path) => path !== 'encoding'));
  expect([...needed].sort()).toEqual(['./cloud-sdk.js', './index.js', 'pulsar-client']);
  expect(readdirSync(out)).toEqual(expect.arrayContaining(['cloud-sdk.js', 'function.js', 'index.js']));
});

/** What a process of its own loads of the package for a run of the rule; its log. */
async function loadedBy(env: Record<string, string>): Promise<{ files: string[]; log: string }> {
  const program = `
    require('./index.js').main_handler({}, { request_id: 'r', memory_limit_in_mb: 512, time_limit_in_ms: 60000 }).then(() => {
      const files = Object.keys(require.cache).map((file) => require('node:path').basename(file));
      require('node:fs').writeSync(2, JSON.stringify(files));
    });`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', program], { cwd: out, env });
  return { files: JSON.parse(stderr) as string[], log: stdout };
}

test('a run with nothing to do, which most are, loads little; the first with messages the rest', async () => {
  const stage = await startRunStage();
  try {
    const idle = await loadedBy(stage.environment());
    expect(idle.log).toContain('"run finished"');
    expect(idle.files).toEqual(['index.js']);
    expect(statSync(join(out, 'function.js')).size).toBeLessThan(1_150_000);
    stage.publish(10);
    const busy = await loadedBy(stage.environment());
    expect(busy.log).toContain('"object stored"');
    expect(busy.files).toContainEqual(expect.stringMatching(/^partition-drain-/));
    expect(busy.files).not.toContainEqual(
      expect.stringMatching(/^(source|addon|role-key|cloud-sdk|zstddec)/),
    );
    stage.expectExactlyOnce();
  } finally {
    await stage.close();
  }
});

test('what a run with nothing to do loads has nothing of reading, storing, another driver or another API in it', () => {
  const started = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint === 'src/index.ts');
  const late =
    /^src\/(partition\/(?!standby)|pulsar\/native\/|rules\/)|node_modules\/(zstddec|thread-stream|sonic-boom)\//;
  expect(Object.keys(started?.inputs ?? {}).filter((path) => late.test(path))).toEqual([]);
});

test('the zip is well under 5 MB, and the same each time it is made', async () => {
  const zip = zipFunction(collectFunction(root, out));
  expect(zip.length).toBeLessThan(5_000_000);
  await bundleFunction(root, out);
  expect(Buffer.from(zipFunction(collectFunction(root, out))).equals(Buffer.from(zip))).toBe(true);
});
