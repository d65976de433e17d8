// `tdmq-backup archive` over the loopback COS, filled by a real run, and over a folder that it was copied to.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { testTerminal } from './terminal.ts';

const COUNT = 40;
let rule: LoopbackStage;
let folder: string;

beforeAll(async () => {
  rule = await startLoopbackStage();
  const messages = Array.from({ length: COUNT }, (_, i) => ({
    payload: `message ${i}`,
    key: `key-${i % 4}`,
    properties: { n: String(i) },
    // Each partition gets several times, so that a chart over time has something to draw.
    publishTimeMs: Date.UTC(2026, 9, 1) + i * 1_000,
  }));
  rule.broker.publish(TOPIC, messages);
  expect(await main(['run'], testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '10' }).terminal)).toBe(0);
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
async function archive(
  location: 'bucket' | 'copy',
  args: readonly string[],
  expectedCode = 0,
): Promise<string> {
  const { terminal, out, err } = testTerminal(location === 'bucket' ? rule.env : {});
  const where = location === 'bucket' ? [] : ['--folder', folder];
  expect(await main(['archive', ...args, ...where], terminal), err()).toBe(expectedCode);
  return out();
}

test.each(['bucket', 'copy'] as const)('ls reports what the %s holds, with a time line', async (location) => {
  const text = await archive(location, ['ls']);
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
  async (location) => {
    const lines = (await archive(location, ['cat'])).split('\n').slice(0, -1);
    const stored = rule.cos
      .objects()
      .filter(({ key }) => key.endsWith('.jsonl'))
      .flatMap(({ key }) => rule.cos.object(key)?.bytes.toString().split('\n').slice(0, -1) ?? []);
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
    expect(page).not.toMatch(/<script|src=|href="(?!data:,")|url\((?!#)|@import/);
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
  expect(await archive('bucket', ['cat', '--until', '2001-01-01'], 1)).toBe('');
  expect(await archive('bucket', ['cat', '--format', 'table'])).toMatch(
    /published +id +key +value\n.*message/,
  );
});

test('cat merges more partitions than there are connections, however large their objects', async () => {
  const [topic, partitions] = ['public/default/wide', 20];
  rule.broker.createTopic(topic, partitions);
  const payload = Buffer.alloc(400_000, 'wide ');
  for (let i = 0; i < 3; i++)
    rule.broker.publish(
      topic,
      Array.from({ length: partitions }, () => ({ payload })),
    );
  const env = { ...rule.env, PULSAR_TOPIC: topic };
  expect(await main(['run'], testTerminal(env).terminal)).toBe(0);
  const { terminal, out, err } = testTerminal(env);
  expect(await main(['archive', 'cat'], terminal), err()).toBe(0);
  expect(out().trimEnd().split('\n')).toHaveLength(3 * partitions);
});

test('cat ends cleanly when its reader goes', async () => {
  const { terminal } = testTerminal(rule.env);
  const stdout = new PassThrough({ highWaterMark: 1 });
  stdout.once('readable', () => stdout.destroy());
  expect(await main(['archive', 'cat'], { ...terminal, stdout })).toBe(0);
});

test.each(['bucket', 'copy'] as const)(
  'verify finds no damage in the %s and exits with 0',
  async (location) => {
    expect(await archive(location, ['verify'])).toMatch(/✓ .* 40 messages.*no damage/);
  },
);

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
    const { terminal, out } = testTerminal();
    expect(await main(['archive', 'verify', '--folder', damaged, '--json'], terminal)).toBe(1);
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

test('wrong use exits with 2 and names the command whose help says more', async () => {
  for (const args of [
    ['cat', '--from', 'yesterday'],
    ['cat', '--from', '2026-02-30'],
    ['cat', '--from', '2026-11-24', '--until', '2026-11-23T23:59:59Z'],
    ['restore', '--to', 'a/b/c', '--from', '2026-11-24', '--until', '2026-11-24'],
    ['cat', '--from-id', '7:2:0:-1', '--until-id', '7:1:0:-1'],
    ['cat', '--property', 'n'],
    ['cat', '--from-id', '7:0:0:-1', '--until-id', '7:1:1:-1'],
    ['cat', '--from-id', '7:0:0:-1', '--partition', '1'],
    ['ls', '--folder', folder, '--region', 'ap-guangzhou'],
    ['verify', '--level', 'all'],
    ['verify', '--parallel', '0'],
    ['index', '--rule', 'a rule'],
    ['restore', '--to', 'nowhere'],
  ]) {
    const { terminal, err } = testTerminal(rule.env);
    expect(await main(['archive', ...args], terminal), args.join(' ')).toBe(2);
    expect(err()).toContain(`See tdmq-backup archive ${args[0]} --help`);
  }
  for (const args of [[], ['fly']])
    expect(await main(['archive', ...args], testTerminal(rule.env).terminal), args.join(' ')).toBe(2);
});

test.each([
  [['ls', '--folder', '/nowhere'], 'there is no folder /nowhere'],
  [['verify'], 'it is not said where the archive is'],
  [['cat', '--topic', 'a/b/c', '--folder', 'FOLDER'], 'holds no messages of persistent://a/b/c'],
  [
    ['verify', '--state', '/nowhere/state', '--folder', 'FOLDER'],
    'the state file /nowhere/state cannot be used',
  ],
])('%j fails with what is wrong and what to do', async (args, message) => {
  const { terminal, err } = testTerminal();
  const own = args.map((arg) => (arg === 'FOLDER' ? folder : arg));
  expect(await main(['archive', ...own], terminal)).toBe(1);
  expect(err()).toContain(message);
  expect(err()).toMatch(/\n {2}→ \w/);
});

test('where there are several topics, they are named', async () => {
  const other = join(folder, 'public/default/payments/date=2026-11-23/partition=none');
  mkdirSync(other, { recursive: true });
  writeFileSync(join(other, '000000000001-0000000000-00000.jsonl'), '');
  try {
    const { terminal, err } = testTerminal();
    expect(await main(['archive', 'cat', '--folder', folder], terminal)).toBe(2);
    expect(err()).toContain('--topic public/default/orders\n');
    expect(err()).toContain('--topic public/default/payments\n');
  } finally {
    rmSync(join(folder, 'public/default/payments'), { recursive: true });
  }
});

test('an id that names a partition means that partition', async () => {
  const lines = (await archive('copy', ['cat'])).trimEnd().split('\n');
  const last = lines.map((line) => JSON.parse(line).id).findLast((id) => id.split(':')[2] === '0');
  const ids = (await archive('copy', ['cat', '--until-id', last]))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).id);
  expect(ids).toHaveLength(COUNT / 2);
  expect(new Set(ids.map((id) => id.split(':')[2]))).toEqual(new Set(['0']));
});

test.each([['ls'], ['verify'], ['index']])(
  '%s at a terminal takes its progress away before it prints, and colours nothing in a pipe',
  async (name) => {
    const { terminal, out } = testTerminal(rule.env);
    const tty = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
    const written: string[] = [];
    tty.on('data', (chunk: Buffer) => written.push(chunk.toString()));
    let printedAfter: string | undefined;
    terminal.stdout.once('data', () => {
      printedAfter = written.at(-1);
    });
    expect(await main(['archive', name], { ...terminal, stderr: tty })).toBe(0);
    if (written.length > 0) expect(printedAfter).toBe('\r\u001b[2K');
    if (name !== 'index') expect(written.length).toBeGreaterThan(0);
    expect(out()).not.toContain('\u001b');
  },
);

test('colours go to a terminal, and not with NO_COLOR', async () => {
  for (const [env, isColoured] of [
    [{}, true],
    [{ NO_COLOR: '1' }, false],
  ] as const) {
    const { terminal, out } = testTerminal(env);
    const stdout = Object.assign(terminal.stdout, { isTTY: true });
    expect(await main(['archive', 'verify', '--folder', folder], { ...terminal, stdout })).toBe(0);
    expect(out().includes('\u001b[32m✓')).toBe(isColoured);
  }
});
