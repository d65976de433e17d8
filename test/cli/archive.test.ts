// `tdmq-backup archive` over the loopback COS, filled by a real run, and over a folder that it was copied to.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { testIo } from './io.ts';
import { type LoopbackRule, startLoopbackRule, TOPIC } from './loopback-rule.ts';

const COUNT = 40;
let rule: LoopbackRule;
let folder: string;

beforeAll(async () => {
  rule = await startLoopbackRule();
  const messages = Array.from({ length: COUNT }, (_, i) => ({
    payload: `message ${i}`,
    key: `key-${i % 4}`,
    properties: { n: String(i) },
  }));
  rule.broker.publish(TOPIC, messages);
  expect(await main(['run'], testIo({ ...rule.env, FILE_MAX_MESSAGES: '10' }).io)).toBe(0);
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-copy-'));
  for (const { key } of rule.cos.objects()) {
    const path = join(folder, key.replace('tdmq/', ''));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, rule.cos.object(key)?.bytes as Buffer);
  }
});
afterAll(async () => {
  await rule.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command on the bucket, or with `--folder` on the copy, and gives what it printed. */
async function archive(place: 'bucket' | 'copy', args: readonly string[], expectedCode = 0): Promise<string> {
  const { io, out, err } = testIo(place === 'bucket' ? rule.env : {});
  const where = place === 'bucket' ? [] : ['--folder', folder];
  expect(await main(['archive', ...args, ...where], io), err()).toBe(expectedCode);
  return out();
}

test.each(['bucket', 'copy'] as const)('ls tells what the %s holds, with a time line', async (place) => {
  const text = await archive(place, ['ls']);
  expect(text).toContain('persistent://public/default/orders');
  expect(text).toMatch(/date +partition +objects +messages/);
  expect(text).toMatch(/partition 0 +[·▁▂▃▄▅▆▇█]{48}/);
  expect(text).toMatch(/ objects, 40 messages, /);
});

test('ls downloads only the manifests of the runs', async () => {
  const before = rule.cos.requests().length;
  await archive('bucket', ['ls', '--objects']);
  const read = rule.cos
    .requests()
    .slice(before)
    .filter(({ kind, key }) => kind === 'get' && key.endsWith('.jsonl'));
  expect(read).toEqual([]);
});

test('ls --json gives totals and objects for scripts', async () => {
  const report = JSON.parse(await archive('bucket', ['ls', '--json']));
  expect(report.totals).toMatchObject({ topics: 1, messages: COUNT, missing: 0 });
  const count = report.objects.reduce((sum: number, { messages }: { messages: number }) => sum + messages, 0);
  expect(count).toBe(COUNT);
});

test.each(['bucket', 'copy'] as const)(
  'cat prints the records of the %s as they are stored',
  async (place) => {
    const lines = (await archive(place, ['cat'])).trimEnd().split('\n');
    const stored = rule.cos
      .objects()
      .filter(({ key }) => key.endsWith('.jsonl'))
      .flatMap(({ key }) => rule.cos.object(key)?.bytes.toString().trimEnd().split('\n') ?? []);
    expect(lines.toSorted()).toEqual(stored.toSorted());
  },
);

test('ls --html writes a page that needs nothing else', async () => {
  const file = join(folder, '..', `page-${process.pid}.html`);
  try {
    await archive('bucket', ['ls', '--html', file]);
    const page = readFileSync(file, 'utf8');
    expect(page).toContain('40 messages');
    expect(page.match(/<rect class="messages"/g)?.length).toBeGreaterThan(2);
    expect(page).not.toMatch(/<script|<link|src=|url\(|@import/);
  } finally {
    rmSync(file, { force: true });
  }
});

test('index finds nothing to do after a run that ended in order', async () => {
  expect(await archive('bucket', ['index'])).toContain('0 objects with 0 messages indexed');
});

test('cat filters, and prints values or a table', async () => {
  const values = await archive('bucket', ['cat', '--key', 'key-3', '--format', 'value']);
  expect(values.trimEnd().split('\n').toSorted()).toEqual(
    Array.from({ length: COUNT / 4 }, (_, i) => `message ${i * 4 + 3}`).toSorted(),
  );
  expect(await archive('bucket', ['cat', '--property', 'n=17', '--format', 'value'])).toBe('message 17\n');
  expect(await archive('bucket', ['cat', '--until', '2001-01-01'])).toBe('');
  expect(await archive('bucket', ['cat', '--format', 'table'])).toMatch(
    /published +id +key +value\n.*message/,
  );
});

test('cat ends cleanly when its reader goes', async () => {
  const { io } = testIo(rule.env);
  const stdout = new PassThrough({ highWaterMark: 1 });
  stdout.once('readable', () => stdout.destroy());
  expect(await main(['archive', 'cat'], { ...io, stdout })).toBe(0);
});

test.each(['bucket', 'copy'] as const)('verify finds no damage in the %s and exits with 0', async (place) => {
  expect(await archive(place, ['verify'])).toMatch(/✓ .* 40 messages.*no damage/);
});

test('verify exits with 1 and names the object where something is wrong', async () => {
  const damaged = mkdtempSync(join(tmpdir(), 'tdmq-backup-damaged-'));
  try {
    const { key = '' } = rule.cos.objects().find((one) => one.key.endsWith('.jsonl')) ?? {};
    for (const { key: one } of rule.cos.objects()) {
      const path = join(damaged, one.replace('tdmq/', ''));
      mkdirSync(dirname(path), { recursive: true });
      const bytes = rule.cos.object(one)?.bytes as Buffer;
      writeFileSync(path, one === key ? bytes.subarray(0, -3) : bytes);
    }
    const { io, out } = testIo();
    expect(await main(['archive', 'verify', '--folder', damaged, '--json'], io)).toBe(1);
    const report = JSON.parse(out());
    expect(report.damagedObjects).toBe(1);
    expect(report.findings[0]).toMatchObject({ key: key.replace('tdmq/', ''), severity: 'damage' });
  } finally {
    rmSync(damaged, { recursive: true, force: true });
  }
});

test('verify --state goes on from what was verified before', async () => {
  const state = join(folder, '..', `state-${process.pid}.jsonl`);
  try {
    await archive('bucket', ['verify', '--state', state]);
    const before = rule.cos.requests().length;
    expect(await archive('bucket', ['verify', '--state', state])).toContain('40 messages');
    const after = rule.cos.requests().slice(before);
    expect(after.filter(({ kind, key }) => kind === 'get' && key.endsWith('.jsonl'))).toEqual([]);
  } finally {
    rmSync(state, { force: true });
  }
});

test('wrong use exits with 2, a missing folder with 1', async () => {
  for (const args of [
    [],
    ['fly'],
    ['cat', '--from', 'yesterday'],
    ['verify', '--level', 'all'],
    ['cat', '--property', 'n'],
  ])
    expect(await main(['archive', ...args], testIo(rule.env).io), args.join(' ')).toBe(2);
  expect(await main(['archive', 'ls', '--folder', join(folder, 'nowhere')], testIo().io)).toBe(1);
});
