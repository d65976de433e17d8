// Storage classes that have to be thawed: small things are STANDARD, reading commands say what is archived and what to do,
// and `archive thaw` asks for it and says when it is there. Over a stand-in that keeps such objects as COS does.
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const HOUR_MS = 3_600_000;
const TABLES = join(tmpdir(), `tdmq-backup-cold-${process.pid}`);
/** Commands that need what objects contain. */
const READING = [
  ['cat'],
  ['verify'],
  ['restore', '--to', 'public/default/replay', '--dry-run'],
  ['export', '--to', TABLES],
  ['query', 'SELECT count(*) FROM messages'],
];
let rule: LoopbackStage;
/** How far the stand-in is ahead of this machine. */
let aheadMs: number;

beforeEach(async () => {
  aheadMs = 0;
  rule = await startLoopbackStage({ cosClock: () => Date.now() + aheadMs });
  rule.broker.createTopic('public/default/replay');
  rule.broker.publish(
    TOPIC,
    Array.from({ length: 6 }, (_, i) => ({ payload: `message ${i}` })),
  );
});
afterEach(async () => {
  rmSync(TABLES, { recursive: true, force: true });
  await rule.close();
});

async function command(args: readonly string[], env: Record<string, string> = {}) {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env });
  return { code: await main([...args], terminal), out: out(), err: err() };
}

const objects = () => rule.cos.objects().filter(({ key }) => key.endsWith('.jsonl'));

describe.each(['ARCHIVE', 'DEEP_ARCHIVE', 'MAZ_ARCHIVE'])('%s', (COS_STORAGE_CLASS) => {
  beforeEach(async () => {
    const { code, out, err } = await command(['run'], { COS_STORAGE_CLASS });
    expect(code, out + err).toBe(0);
  });

  it('everything small and needed is STANDARD', () => {
    expect(objects().length).toBeGreaterThan(0);
    for (const { key, headers } of rule.cos.objects())
      expect(headers['x-cos-storage-class'], key).toBe(
        key.startsWith('tdmq/_') ? undefined : COS_STORAGE_CLASS,
      );
  });

  it.each([
    ['small objects', 10],
    ['uploads in parts', 2_200_000],
  ])('a run that meets %s of another goes on behind them, and reads none', async (_, bytes) => {
    const publish = (count: number, sizeBytes: number) =>
      rule.broker.publish(
        TOPIC,
        Array.from({ length: count }, (_each, i) => ({ payload: Buffer.alloc(sizeBytes, `${i}`) })),
      );
    publish(8, bytes);
    const env = { COS_STORAGE_CLASS, PULSAR_SUBSCRIPTION: 'one', FILE_MAX_MESSAGES: '20' };
    expect((await command(['run'], { ...env, COS_PREFIX: 'again/' })).code).toBe(0);
    const uploads = rule.cos.requests().filter(({ kind }) => kind === 'complete');
    expect(uploads).toHaveLength(bytes > 10 ? 2 : 0);
    publish(4, 10);
    // As a run comes that could not see the acknowledgements of the one before.
    const other = { ...env, PULSAR_SUBSCRIPTION: 'two', COS_PREFIX: 'again/' };
    let out = '';
    // A busy machine may end a run before the stand-in has delivered all: the next one goes on.
    do {
      const run = await command(['run'], other);
      expect(run.code, run.out).toBe(0);
      out += run.out;
    } while (rule.broker.subscriptionBacklog(TOPIC, 'two') > 0);
    expect(out).toContain('"message":"object already stored"');
    const stored = rule.cos.objects().filter(({ key }) => /^again\/[^_].*\.jsonl$/.test(key));
    const lines = stored.flatMap(
      ({ key }) => rule.cos.object(key)?.bytes.toString().trimEnd().split('\n') ?? [],
    );
    const ids = lines.map((line) => JSON.parse(line).id);
    expect(ids, out).toHaveLength(18);
    expect(new Set(ids).size).toBe(18);
    const read = rule.cos.requests().filter(({ kind, key }) => kind === 'get' && key.endsWith('.jsonl'));
    expect(read).toEqual([]);
  });

  it('ls and verify --level list read nothing that is archived', async () => {
    expect((await command(['archive', 'ls'])).out).toContain('6 messages');
    expect((await command(['archive', 'verify', '--level', 'list'])).code).toBe(0);
  });

  it.each(READING)('%s says that objects are archived, which, and what to do', async (...args) => {
    const { code, out, err } = await command(['archive', ...args]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain(
      `${objects().length} of ${objects().length} objects are archived (${COS_STORAGE_CLASS})`,
    );
    for (const { key } of objects()) expect(err).toContain(key);
    expect(err).toMatch(/→ tdmq-backup archive thaw/);
    expect(existsSync(TABLES)).toBe(false);
  });

  it('thaw asks once, says how it is, and then they can be read for so many days', async () => {
    const thaw = async (...args: string[]) =>
      JSON.parse((await command(['archive', 'thaw', '--json', '--days', '2', ...args])).out);
    const count = objects().length;
    expect(await thaw('--dry-run')).toMatchObject({ archived: count, underWay: 0, there: 0, askedNow: 0 });
    expect(await thaw()).toMatchObject({ archived: 0, underWay: count, askedNow: count });
    expect(await thaw()).toMatchObject({ underWay: count, askedNow: 0 });
    expect((await command(['archive', 'cat'])).err).toContain('They are being thawed');
    aheadMs += 25 * HOUR_MS;
    expect(await thaw()).toMatchObject({ there: count, underWay: 0, askedNow: 0 });
    expect((await command(['archive', 'cat'])).out.trimEnd().split('\n')).toHaveLength(6);
    expect((await command(['archive', 'verify'])).code).toBe(0);
    aheadMs += 72 * HOUR_MS;
    expect((await command(['archive', 'cat'])).err).toContain('are archived');
  });

  it('thaw takes a selection', async () => {
    const { out } = await command(['archive', 'thaw', '--partition', '0']);
    expect(out).toMatch(/^1 archived objects, .*: 1 are being thawed, 1 of them requested now\n$/);
    const asked = rule.cos.requests().filter(({ kind }) => kind === 'restore');
    expect(asked.map(({ key }) => key)).toEqual(
      objects()
        .filter(({ key }) => key.includes('partition=0'))
        .map(({ key }) => key),
    );
  });

  it('thaw --wait stays until all are there', async () => {
    const { terminal, out } = testTerminal(rule.env);
    const clock = {
      now: () => Date.now() + aheadMs,
      async sleep() {
        aheadMs += 5 * HOUR_MS;
      },
    };
    expect(await main(['archive', 'thaw', '--wait', '--tier', 'bulk'], { ...terminal, clock })).toBe(0);
    expect(out()).toMatch(/can be read until 20/);
  });
});

it('thaw asks for manifests first that a lifecycle rule has moved, since nothing is known without them', async () => {
  expect((await command(['run'], { COS_STORAGE_CLASS: 'ARCHIVE' })).code).toBe(0);
  const [manifest] = rule.cos.objects().filter(({ key }) => key.includes('/_runs/'));
  Object.assign(manifest?.headers ?? {}, { 'x-cos-storage-class': 'DEEP_ARCHIVE' });
  expect((await command(['archive', 'cat'])).err).toMatch(/→ .*tdmq-backup archive thaw/);
  const first = await command(['archive', 'thaw']);
  expect(first.code, first.err).toBe(0);
  expect(first.out).toMatch(
    /^1 archived objects, .*: 1 are being thawed, 1 of them requested now\nThese are manifests/,
  );
  expect((await command(['archive', 'thaw'])).out).toMatch(/1 are being thawed\nThese are manifests/);
  aheadMs += 48 * HOUR_MS;
  const count = objects().length;
  expect(JSON.parse((await command(['archive', 'thaw', '--json'])).out)).toMatchObject({
    selected: count,
    askedNow: count,
  });
});

it('thaw refuses what COS does not have, and what is not there', async () => {
  await command(['run'], { COS_STORAGE_CLASS: 'DEEP_ARCHIVE' });
  const expedited = await command(['archive', 'thaw', '--tier', 'expedited']);
  expect(expedited).toMatchObject({ code: 2, err: expect.stringContaining('DEEP_ARCHIVE') });
  expect(rule.cos.requests().filter(({ kind }) => kind === 'restore')).toEqual([]);
  expect((await command(['archive', 'thaw', '--days', '0'])).code).toBe(2);
  expect((await command(['archive', 'thaw', '--until', '2001-01-01'])).code).toBe(1);
});

it('of a class that can be read, thaw has nothing to ask for', async () => {
  await command(['run'], { COS_STORAGE_CLASS: 'STANDARD_IA' });
  expect(await command(['archive', 'thaw'])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^None of the \d selected objects is archived/),
  });
});

describe.each(['ARCHIVE', 'DEEP_ARCHIVE'])('the tier %s of INTELLIGENT_TIERING', (tier) => {
  /** As COS moves objects that nobody has read for months: a list still shows the class, only a HEAD the tier. */
  const moveTo = (to: string) => {
    for (const { headers } of objects()) (headers as Record<string, string>)['x-cos-storage-tier'] = to;
  };
  beforeEach(async () => {
    expect((await command(['run'], { COS_STORAGE_CLASS: 'INTELLIGENT_TIERING' })).code).toBe(0);
  });

  it.each(READING)(
    '%s reads what is in a tier that can be read, and else says what is archived and what to do',
    async (...args) => {
      moveTo('INFREQUENT');
      expect((await command(['archive', ...args])).code).toBe(0);
      // An export that is there need not read them again.
      rmSync(TABLES, { recursive: true, force: true });
      moveTo(tier);
      const { code, err } = await command(['archive', ...args]);
      expect(code, err).toBe(1);
      expect(err).toContain('archive');
      expect(err).toContain(objects()[0]?.key);
      expect(err).toMatch(/→ .*archive thaw/);
      expect(existsSync(TABLES)).toBe(false);
    },
  );

  it('thaw asks for it without days, and it comes back for good', async () => {
    moveTo(tier);
    const count = objects().length;
    const thaw = async () => JSON.parse((await command(['archive', 'thaw', '--json'])).out);
    expect(await thaw()).toMatchObject({ archived: 0, underWay: count, askedNow: count });
    aheadMs += 25 * HOUR_MS;
    moveTo('FREQUENT');
    expect(await thaw()).toMatchObject({ inArchiveClass: 0, askedNow: 0 });
    expect((await command(['archive', 'cat'])).code).toBe(0);
  });
});
