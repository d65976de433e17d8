// SQL over tables in a bucket: the same answers as over the same tables in a folder, and no more read than the query needs.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { message } from '../../archive/archive-fixture.ts';
import { type LoopbackStage, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';
import { emptyArchive } from './exported.ts';

const DAYS = 3;
const ROWS = 100;
const DAY_MS = 86_400_000;

let rule: LoopbackStage;
const archive = emptyArchive();
const wide = emptyArchive();
/** Temporary files of these commands alone. */
const temporary = mkdtempSync(join(tmpdir(), 'tdmq-backup-temporary-'));
const to = () => `cos://${rule.env['COS_BUCKET']}/tables`;

async function command(args: readonly string[], signal?: AbortSignal) {
  const { terminal, out, err } = testTerminal({ ...rule.env, PULSAR_TOPIC: '' }, signal);
  const code = await main(['archive', ...args], terminal);
  return { code, out: out(), err: err() };
}

const ask = (sql: string, ...args: string[]) =>
  command(['query', '--tables', to(), '--format', 'csv', sql, ...args]);

const read = () => rule.cos.requests().filter(({ kind, key }) => kind === 'get' && key.endsWith('.parquet'));

beforeAll(async () => {
  rule = await startLoopbackStage();
  vi.stubEnv('TMPDIR', temporary);
  const days = Array.from({ length: DAYS }, (_, day) =>
    Array.from({ length: ROWS }, (_, i) =>
      message(i % 2, day * ROWS + i, {
        publishTimeMs: Date.UTC(2026, 10, 23, 12) + day * DAY_MS + i,
        key: `k${i % 5}`,
        properties: [['n', String(i)]],
        // No compression makes it small.
        payload: Buffer.from(
          JSON.stringify({ i, day, at: { x: i % 3 }, fill: randomBytes(9_000).toString('base64') }),
        ),
      }),
    ),
  );
  await archive.store(days);
  for (const place of [to(), archive.tables])
    expect(
      await command([
        'export',
        '--folder',
        archive.archive,
        '--to',
        place,
        '--file-size',
        '400kB',
        '--decode',
        'json',
      ]),
    ).toMatchObject({ code: 0, err: '' });
});
afterAll(async () => {
  // Other files go on in this process.
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true, force: true });
  await rule.close();
});

it.each([
  'SELECT count(*) FROM messages',
  'SELECT date, count(*), min(publish_time), max(id) FROM messages GROUP BY 1 ORDER BY 1',
  "SELECT key, count(*) FROM messages WHERE date = '2026-11-24' GROUP BY 1 ORDER BY 1",
  "SELECT count(*) FROM messages WHERE date >= '2026-11-24' AND key = 'k1' AND value LIKE '%\"x\":2%'",
  "SELECT id, payload.at.x, properties['n'] FROM messages WHERE payload.i > 97 ORDER BY id",
  'SELECT * FROM messages ORDER BY entry_id DESC LIMIT 3',
  'SELECT topic, is_tombstone, sum(length(value)) FROM messages GROUP BY ALL',
  'SELECT a.id FROM messages a JOIN messages b ON a.entry_id = b.entry_id + 1 WHERE a.date <> b.date ORDER BY 1',
  'WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < 2) SELECT n, (SELECT count(*) FROM messages m WHERE m.payload.day = n) FROM r ORDER BY 1',
  'SELECT key, (SELECT max(o.sequence_id) FROM messages o WHERE o.key = m.key) FROM messages m WHERE entry_id < 5 ORDER BY 1',
  'SELECT id, row_number() OVER (PARTITION BY key ORDER BY publish_time DESC) AS n FROM messages QUALIFY n = 1 ORDER BY 1',
  "SELECT count(*) FROM messages WHERE topic = 'persistent://t/ns/others'",
  'SELECT decode_error, count(DISTINCT producer) FROM messages GROUP BY 1',
  'SELECT rule, messages, started_at FROM runs',
  'SELECT count(*) FROM messages, runs, (SELECT count(*) FROM schemas)',
  "FROM messages SELECT COLUMNS('.*_time') ORDER BY ALL LIMIT 2",
])('answers as over a folder: %s', async (sql) => {
  const local = await command(['query', '--tables', archive.tables, '--format', 'csv', sql]);
  expect(local).toMatchObject({ code: 0, err: '' });
  expect(await ask(sql)).toEqual(local);
  expect(readdirSync(temporary)).toEqual([]);
});

it('reads the columns and days that the query asks for', async () => {
  const ofDay = (date: string) =>
    rule.cos.objects().filter(({ key }) => key.includes(`date=${date}/`)).length;
  /** How often a file of each day was read. */
  const readsOf = async (sql: string) => {
    const before = read().length;
    expect((await ask(sql)).code).toBe(0);
    const keys = read()
      .slice(before)
      .map(({ key }) => key);
    return ['23', '24', '25'].map((day) => keys.filter((key) => key.includes(`date=2026-11-${day}/`)).length);
  };
  const files = ['23', '24', '25'].map((day) => ofDay(`2026-11-${day}`));
  expect(Math.min(...files)).toBeGreaterThan(1);
  // Of each the end, which says how many rows there are.
  expect(await readsOf('SELECT count(*) FROM messages')).toEqual(files);
  const [first, middle, last] = await readsOf("SELECT max(value) FROM messages WHERE date = '2026-11-24'");
  expect([first, last]).toEqual([files[0], files[2]]);
  expect(middle).toBeGreaterThan(files[1] as number);
});

it('reads more of a file where its end does not say all', async () => {
  const fields = Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`field_of_a_long_name_${i}`, i]));
  await wide.store([[message(0, 0, { payload: Buffer.from(JSON.stringify(fields)) })]]);
  const place = `cos://${rule.env['COS_BUCKET']}/wide/`;
  const exported = await command(['export', '--folder', wide.archive, '--to', place, '--decode', 'json']);
  expect(exported).toMatchObject({ code: 0, err: '' });
  const before = read().length;
  const sql = 'SELECT payload.field_of_a_long_name_899 AS last FROM messages';
  expect(await command(['query', '--tables', place, '--format', 'csv', sql])).toMatchObject({
    code: 0,
    out: 'last\n899\n',
  });
  expect(read().length - before).toBe(3);
});

it('says where there is nothing, and what DuckDB and COS refuse; no key in any of it', async () => {
  const secret = rule.env['TENCENTCLOUD_SECRET_KEY'] ?? rule.env['COS_SECRET_KEY'];
  const missing = await command(['query', '--tables', `${to()}/none`, 'SELECT 1 FROM messages']);
  expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('has no tables') });
  const refused = await ask('SELECT nothing FROM messages');
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('nothing') });
  rule.cos.addFault({ kind: 'get', times: 'always', action: { type: 'error', code: 'AccessDenied' } });
  const denied = await ask('SELECT count(*) FROM messages');
  rule.cos.clearFaults();
  expect(denied.code).toBe(1);
  for (const { out, err } of [missing, refused, denied]) expect(`${out}${err}`).not.toContain(secret);
  expect(secret).toBeDefined();
  expect(readdirSync(temporary)).toEqual([]);
});

it('ends at Ctrl-C while it reads, and leaves nothing', async () => {
  const stop = new AbortController();
  rule.cos.addFault({
    kind: 'get',
    nth: 3,
    times: 'always',
    action: { type: 'hang', when: 'before-commit' },
  });
  rule.cos.setOnRequest((kind) => {
    if (kind === 'get') stop.abort(new Error('Ctrl-C'));
  });
  const { code } = await command(['query', '--tables', to(), 'SELECT max(value) FROM messages'], stop.signal);
  rule.cos.setOnRequest(undefined);
  rule.cos.clearFaults();
  expect(code).toBe(130);
  expect(readdirSync(temporary)).toEqual([]);
});

it('says that an export is changing a day', async () => {
  await archive.store([[message(0, 50, { publishTimeMs: Date.UTC(2026, 10, 24, 13) })]]);
  const again = [
    'export',
    '--folder',
    archive.archive,
    '--to',
    to(),
    '--file-size',
    '500kB',
    '--decode',
    'json',
  ];
  rule.cos.addFault({
    kind: 'delete',
    times: 'always',
    key: 'this-day',
    action: { type: 'error', code: 'AccessDenied' },
  });
  expect((await command(again)).code).toBe(1);
  rule.cos.clearFaults();
  expect(await ask('SELECT count(*) FROM messages')).toMatchObject({
    code: 1,
    err: expect.stringContaining('an export is changing a day of these tables'),
  });
  expect((await command(again)).code).toBe(0);
  expect(await ask('SELECT count(*) AS n FROM messages')).toMatchObject({
    code: 0,
    out: `n\n${DAYS * ROWS + 1}\n`,
  });
});

it('takes no filters: they are for an archive', async () => {
  for (const args of [['--key', 'k'], ['--from', '2026-11-23'], ['--decode']])
    expect((await ask('SELECT 1', ...args)).code).toBe(2);
});
