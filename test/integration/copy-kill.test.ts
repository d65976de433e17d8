// `archive copy` is killed with SIGKILL at every kind of step, and at random ones, and called again until it ends: there is
// never half an object at the target nor a note of a copy that is not whole, and in the end everything is there once.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { testTerminal } from '../cli/terminal.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { afterCommitOf, atCall, atEvent, type KillPoint, randomFrom } from './kill-points.ts';
import { startCommand } from './restore-under-test.ts';

const OTHER = 'other-1250000000';
const TARGETS = {
  folder: () => ['--to-folder', folder],
  bucket: () => ['--to-bucket', OTHER, '--to-prefix', 'house/'],
};
let rule: LoopbackStage;
let folder: string;

beforeAll(async () => {
  const root = packageRoot(import.meta.url);
  await bundleCli(root, join(root, 'dist/cli'));
}, 60_000);
beforeEach(async () => {
  rule = await startLoopbackStage({ otherBuckets: [OTHER] });
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-copy-'));
  const large = Buffer.alloc(4_000_000, 'large');
  const messages = Array.from({ length: 60 }, (_, i) => ({
    payload: i % 20 < 8 ? large : `message ${i}`,
    key: `k${i % 4}`,
  }));
  rule.broker.publish(TOPIC, messages);
  const { terminal, err } = testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '10' });
  expect(await main(['run'], terminal), err()).toBe(0);
});
afterEach(async () => {
  await rule.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Everything at the target, by its path below the archive. */
function atTarget(target: keyof typeof TARGETS): Map<string, Buffer> {
  if (target === 'bucket')
    return new Map(
      rule.cos
        .objects(OTHER)
        .map(({ key }) => [key.replace('house/', ''), rule.cos.object(key, OTHER)?.bytes as Buffer]),
    );
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => !path.endsWith('.tdmq-backup-partial'))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path)]),
  );
}

function expectNothingHalf(target: keyof typeof TARGETS, isDone: boolean): void {
  const there = atTarget(target);
  for (const [path, bytes] of there)
    if (!path.startsWith('_copies/'))
      expect(bytes.equals(rule.cos.object(`tdmq/${path}`)?.bytes as Buffer), path).toBe(true);
  const isWhole = rule.cos.objects().every(({ key }) => there.has(key.replace('tdmq/', '')));
  const hasNote = [...there.keys()].some((path) => path.startsWith('_copies/'));
  if (hasNote || isDone) expect([isWhole, hasNote]).toEqual([true, true]);
}

const command = (target: keyof typeof TARGETS) => ['archive', 'copy', ...TARGETS[target]()];

async function copyAndKill(target: keyof typeof TARGETS, point: KillPoint): Promise<boolean> {
  const run = startCommand(command(target), rule.env);
  const takeAway = point(rule, run.kill9);
  const { code, err } = await run.outcome;
  takeAway();
  if (code !== null && code !== 0) throw new Error(err);
  return code === null;
}

async function copyToTheEnd(target: keyof typeof TARGETS): Promise<void> {
  const { code, err } = await startCommand(command(target), rule.env).outcome;
  expect(code, err).toBe(0);
  expectNothingHalf(target, true);
  const place = target === 'folder' ? ['--folder', folder] : ['--bucket', OTHER, '--prefix', 'house/'];
  const { terminal, out } = testTerminal({ ...rule.env, PULSAR_TOPIC: '' });
  expect(await main(['archive', 'verify', ...place], terminal), out()).toBe(0);
}

const TO_FOLDER: [string, KillPoint][] = [
  ['while it lists', atCall('list', '')],
  ['when it reads its first object', atCall('get', '.jsonl')],
  ['when it reads a later one', atCall('get', '.jsonl', 4)],
  ['when it reads a manifest to copy it', atCall('get', '_runs/', 2)],
];
const TO_BUCKET: [string, KillPoint][] = [
  ['before COS copies', atCall('copy', '.jsonl', 2)],
  ['when COS has copied, before it knows', afterCommitOf('copy', '.jsonl', 2)],
  ['before COS copies a manifest', atCall('copy', '_runs/')],
  ['before its note', atCall('put', '_copies/')],
  ['when its note is there, before it knows', afterCommitOf('put', '_copies/')],
];

describe.each([
  ['folder', TO_FOLDER],
  ['bucket', TO_BUCKET],
] as const)('to a %s', (target, points) => {
  it.each(points)('killed %s, it goes on', async (_, point) => {
    expect(await copyAndKill(target, point)).toBe(true);
    expectNothingHalf(target, false);
    await copyToTheEnd(target);
  });

  it('killed at random moments, again and again, it goes on', async () => {
    const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
    console.info(`random kills with TEST_SEED=${seed}`);
    const random = randomFrom(seed);
    for (let i = 0; i < 5; i++) {
      await copyAndKill(target, atEvent(1 + Math.floor(random() * 40), Math.floor(random() * 10)));
      expectNothingHalf(target, false);
    }
    await copyToTheEnd(target);
  });
});

it('goes through this machine in parts where COS may not copy, killed between two of them', async () => {
  rule.cos.addFault({ kind: 'copy', times: 100, action: { type: 'error', code: 'AccessDenied' } });
  expect(await copyAndKill('bucket', atCall('part', '.jsonl', 2))).toBe(true);
  rule.cos.addFault({ kind: 'copy', times: 100, action: { type: 'error', code: 'AccessDenied' } });
  expectNothingHalf('bucket', false);
  await copyToTheEnd('bucket');
});
