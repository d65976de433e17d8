// An export that is called again: what is as before stays, what has changed is written anew as a whole, and whoever reads
// meanwhile gets the one or the other.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { pidSpace } from '../../../src/archive/export/process-owner.ts';
import { main } from '../../../src/cli/main.ts';
import type { Message } from '../../../src/ports.ts';
import { message, messages } from '../../archive/archive-fixture.ts';
import { testTerminal } from '../terminal.ts';
import { allTables, emptyArchive, query } from './exported.ts';

const DAY_MS = 86_400_000;
const NOON_MS = Date.UTC(2026, 10, 23, 12);

/** Messages of a day, counted from the 23rd. */
const ofDay = (day: number, from: number, to: number, rest: Partial<Message> = {}) =>
  messages(0, from, to).map((one) => ({
    ...one,
    publishTimeMs: Number(one.publishTimeMs) + day * DAY_MS,
    ...rest,
  }));

type Archive = ReturnType<typeof emptyArchive>;

const day = (archive: Archive, date: string) => join(archive.tables, 't/ns/orders', `date=${date}`);

/** The state of each day, by the report of an export. */
async function exportDays(archive: Archive, ...args: string[]) {
  const { code, out, err } = await archive.run('export', '--to', archive.tables, '--json', ...args);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [topic] = JSON.parse(out).topics as {
    days: { date: string; state: string; rows: number; files: number }[];
  }[];
  return Object.fromEntries((topic?.days ?? []).map(({ date, state, rows }) => [date, `${state} ${rows}`]));
}

const rowsIn = async (archive: Archive): Promise<number> =>
  Number(((await query(`SELECT count(*) AS n FROM ${allTables(archive.tables)}`)) as [{ n: string }])[0].n);

it('writes only the days that have changed', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)]);
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10', '2026-11-24': 'written 10' });
  const before = statSync(join(day(archive, '2026-11-23'), 'part-00000.parquet'));
  await archive.store([ofDay(1, 20, 24), ofDay(2, 25, 29)]);
  expect(await exportDays(archive)).toEqual({
    '2026-11-23': 'unchanged 10',
    '2026-11-24': 'written 15',
    '2026-11-25': 'written 5',
  });
  const after = statSync(join(day(archive, '2026-11-23'), 'part-00000.parquet'));
  expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  expect(await rowsIn(archive)).toBe(30);
  expect(await exportDays(archive)).toEqual({
    '2026-11-23': 'unchanged 10',
    '2026-11-24': 'unchanged 15',
    '2026-11-25': 'unchanged 5',
  });
});

it.each([
  ['that nobody foretold', false],
  ['that the manifest names', true],
])('puts messages of another day than their object into that day, %s', async (_, manifest) => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)], { manifest });
  await exportDays(archive);
  // Published before midnight, and after; one by a clock of last year.
  const late = [
    message(0, 20, { publishTimeMs: NOON_MS + 2 * DAY_MS }),
    message(0, 21, { publishTimeMs: NOON_MS }),
    message(0, 22, { publishTimeMs: NOON_MS - 365 * DAY_MS }),
    message(0, 23, { publishTimeMs: NOON_MS + 2 * DAY_MS }),
  ];
  await archive.store([late], { manifest });
  const days = await exportDays(archive);
  expect(days).toEqual({
    '2025-11-23': 'written 1',
    '2026-11-23': 'written 11',
    '2026-11-24': expect.stringMatching(/ 10$/),
    '2026-11-25': 'written 2',
  });
  expect(await rowsIn(archive)).toBe(24);
  expect(Object.values(await exportDays(archive)).filter((one) => one.startsWith('written'))).toEqual([]);
  const wrong = await query(
    `SELECT id FROM ${allTables(archive.tables)} WHERE date <> CAST(publish_time AT TIME ZONE 'UTC' AS DATE)`,
  );
  expect(wrong).toEqual([]);
});

it('splits a new day into files that appear together, and replaces them together', async () => {
  const archive = emptyArchive();
  const payload = () => Buffer.from(randomBytes(60_000).toString('base64'));
  const large = (from: number, to: number) =>
    ofDay(0, from, to).map((one) => ({ ...one, payload: payload() }));
  await archive.store([large(0, 39), large(40, 79)]);
  await exportDays(archive, '--file-size', '500kB');
  const files = readdirSync(day(archive, '2026-11-23')).sort();
  expect(files.length).toBeGreaterThan(2);
  expect(files[1]).toBe('part-00001.parquet');
  expect(await rowsIn(archive)).toBe(80);
  await archive.store([large(80, 89)]);
  await exportDays(archive, '--file-size', '500kB');
  expect(await rowsIn(archive)).toBe(90);
  expect(readdirSync(dirname(archive.tables)).filter((name) => name.startsWith('.'))).toEqual([]);
  const inOrder = await query(
    `SELECT count(*) AS n FROM (SELECT entry_id, lag(entry_id) OVER (ORDER BY filename, file_row_number) AS before FROM read_parquet('${archive.tables}/**/*.parquet', filename = true, file_row_number = true)) WHERE entry_id <= before`,
  );
  expect(inOrder).toEqual([{ n: '0' }]);
});

it('writes a day again whose files were changed or removed', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)]);
  await exportDays(archive);
  rmSync(join(day(archive, '2026-11-23'), 'part-00000.parquet'));
  writeFileSync(join(day(archive, '2026-11-24'), 'part-00000.parquet'), 'x');
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10', '2026-11-24': 'written 10' });
});

it('leaves the days of an export alone of which nothing is asked for or listed any more', async () => {
  const archive = emptyArchive();
  const [old] = await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)], { manifest: false });
  await exportDays(archive);
  rmSync(join(archive.archive, (old?.key ?? '').replace('tdmq/', '')));
  expect(await exportDays(archive, '--from', '2026-11-24')).toEqual({ '2026-11-24': 'unchanged 10' });
  expect(await rowsIn(archive)).toBe(20);
});

it('is as before where an object is gone whose rows it has, though a manifest names it', async () => {
  const archive = emptyArchive();
  const [gone] = await archive.store([ofDay(0, 0, 4), ofDay(0, 5, 9), ofDay(1, 10, 19)]);
  await exportDays(archive);
  rmSync(join(archive.archive, (gone?.key ?? '').replace('tdmq/', '')));
  await archive.store([ofDay(2, 20, 24)]);
  expect(await exportDays(archive)).toEqual({
    '2026-11-23': 'unchanged 10',
    '2026-11-24': 'unchanged 10',
    '2026-11-25': 'written 5',
  });
  expect((await archive.run('export', '--to', join(archive.tables, 'others'))).code).toBe(1);
});

it('adds to a day of which objects are gone, and loses none of their rows', async () => {
  const archive = emptyArchive();
  const [gone] = await archive.store([ofDay(0, 0, 4), ofDay(0, 5, 9)], { manifest: false });
  await exportDays(archive);
  rmSync(join(archive.archive, (gone?.key ?? '').replace('tdmq/', '')));
  await archive.store([ofDay(0, 10, 14)], { manifest: false });
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 15' });
  expect(await rowsIn(archive)).toBe(15);
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'unchanged 15' });
});

it.each([['--dry-run'], []])(
  'refuses to write a day anew without rows that the export has, unless asked for: %s',
  async (...args) => {
    const archive = emptyArchive();
    const [gone] = await archive.store([ofDay(0, 0, 4), ofDay(0, 8, 9)], { manifest: false });
    await exportDays(archive);
    rmSync(join(archive.archive, (gone?.key ?? '').replace('tdmq/', '')));
    // Between those that it has.
    await archive.store([ofDay(0, 5, 7)], { manifest: false });
    const refused = await archive.run('export', '--to', archive.tables, ...args);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('1 of its objects are gone');
    expect(await rowsIn(archive)).toBe(7);
    const skipped = await archive.run('export', '--to', archive.tables, '--skip-damaged', ...args);
    expect(skipped.code).toBe(1);
    expect(await rowsIn(archive)).toBe(args.length > 0 ? 7 : 5);
  },
);

it('refuses another selection for the same tables', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  await exportDays(archive, '--key', 'k1');
  const { code, err } = await archive.run('export', '--to', archive.tables);
  expect(code).toBe(1);
  expect(err).toContain('has an export of another selection: {"key":"k1"} instead of {}');
});

it('writes a day again that the selection had cut', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  expect(await exportDays(archive, '--until', '2026-11-23T12:00:05Z')).toEqual({ '2026-11-23': 'written 5' });
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10' });
});

it('fails at a damaged object and leaves the day as it was; skips it only where asked, and reads it the next time', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  await exportDays(archive);
  const [object] = await archive.store([ofDay(0, 10, 14)]);
  const path = join(archive.archive, (object?.key ?? '').replace('tdmq/', ''));
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.indexOf(10) + 1));
  const failed = await archive.run('export', '--to', archive.tables);
  expect(failed.code).toBe(1);
  expect(failed.err).toContain('of 5 messages');
  expect(await rowsIn(archive)).toBe(10);
  const skipped = await archive.run('export', '--to', archive.tables, '--skip-damaged');
  expect(skipped.code).toBe(1);
  writeFileSync(path, whole);
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 15' });
});

it('writes a day anew that a killed export had begun to replace, and removes what it left', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  await exportDays(archive);
  // A process that is gone: this one has ended.
  const pid = execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).trim();
  const beside = join(dirname(archive.tables), `.tables.tdmq-backup-0a0a-${pidSpace()}-${pid}`);
  mkdirSync(beside);
  mkdirSync(join(archive.tables, `_export/drafts-0a0a-${pidSpace()}-${pid}`));
  const own = day(archive, '2026-11-23');
  renameSync(join(own, 'part-00000.parquet'), join(own, 'part-00001.parquet'));
  writeFileSync(join(own, 'this-day-is-being-replaced.parquet'), 'ask again');
  await expect(rowsIn(archive)).rejects.toThrow('this-day-is-being-replaced');
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10' });
  expect(await rowsIn(archive)).toBe(10);
  expect([existsSync(beside), readdirSync(join(archive.tables, '_export'))]).toEqual([false, ['t']]);
});

it('says what it would write, and writes nothing', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)]);
  const { code, out } = await archive.run('export', '--to', archive.tables, '--dry-run');
  expect({ code, out }).toEqual({
    code: 0,
    out: expect.stringMatching(
      /^persistent:\/\/t\/ns\/orders: would write 2 days, at most 20 rows, about [\d.]+ k?B\n$/,
    ),
  });
  expect(existsSync(archive.tables)).toBe(false);
  await archive.store([ofDay(2, 20, 24)], { manifest: false });
  const unknown = await archive.run('export', '--to', archive.tables, '--dry-run');
  expect(unknown.out).toMatch(/would write 3 days, about [\d.]+ k?B\n$/);
});

it('ends at Ctrl-C, with nothing half that a reader would see', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)]);
  const stop = new AbortController();
  const { terminal } = testTerminal({}, stop.signal);
  const running = main(['archive', 'export', '--folder', archive.archive, '--to', archive.tables], terminal);
  stop.abort(new Error('Ctrl-C'));
  expect(await running).toBe(130);
  const left = existsSync(archive.tables) ? readdirSync(archive.tables, { recursive: true }).map(String) : [];
  expect(left.filter((name) => name.endsWith('.parquet'))).toEqual([]);
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10', '2026-11-24': 'written 10' });
});

it('refuses tables inside of the archive, and a place that is none', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  const link = join(dirname(archive.archive), 'link');
  symlinkSync(archive.archive, link);
  const inside = [
    archive.archive,
    `${archive.archive}/`,
    join(archive.archive, 'tables'),
    link,
    join(link, 'a/b'),
  ];
  for (const to of inside) {
    const { code, err } = await archive.run('export', '--to', to);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('inside of the archive') });
  }
  const none = [
    's3://bucket/',
    'file:///tmp/x',
    'cos:/bucket/x',
    'cos://',
    'cos://Bucket/x',
    '~/tables',
    '',
    'C:\\x',
  ];
  for (const to of none)
    expect({ to, code: (await archive.run('export', '--to', to)).code }).toEqual({ to, code: 2 });
  expect((await archive.run('export')).code).toBe(2);
  writeFileSync(join(dirname(archive.archive), 'file'), '');
  const { code, err } = await archive.run('export', '--to', join(dirname(archive.archive), 'file'));
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('Name a folder') });
});

it('takes a folder for the same with a slash at its end, and one that a link leads to', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9)]);
  expect(await exportDays(archive)).toEqual({ '2026-11-23': 'written 10' });
  const link = `${archive.tables}-link`;
  symlinkSync(archive.tables, link);
  for (const to of [`${archive.tables}/`, `${archive.tables}/../tables`, link]) {
    const { out } = await archive.run('export', '--to', to);
    expect(out).toContain('0 days written, 0 rows, 0 files, 0 B; as before: 1 day');
  }
});

it('says in a dry run what a run does, and touches nothing', async () => {
  const archive = emptyArchive();
  await archive.store([ofDay(0, 0, 9), ofDay(1, 10, 19)]);
  await exportDays(archive);
  await archive.store([ofDay(1, 20, 24), ofDay(2, 25, 29)]);
  const left = join(archive.tables, '_export/drafts-0a0a-host-1/x');
  mkdirSync(dirname(left), { recursive: true });
  writeFileSync(left, '');
  execFileSync('touch', ['-d', '9 days ago', dirname(left)]);
  const before = readdirSync(archive.tables, { recursive: true });
  const dry = JSON.parse((await archive.run('export', '--to', archive.tables, '--dry-run', '--json')).out);
  expect(readdirSync(archive.tables, { recursive: true })).toEqual(before);
  expect(dry).toMatchObject({ format: 'tdmq-backup-export-report/1', dryRun: true });
  const planned = dry.topics[0].days.map(({ date, state, rows }: Record<string, unknown>) => [
    date,
    state,
    rows,
  ]);
  expect(planned).toEqual([
    ['2026-11-23', 'unchanged', 10],
    ['2026-11-24', 'changed', 15],
    ['2026-11-25', 'new', 5],
  ]);
  expect(await exportDays(archive)).toEqual({
    '2026-11-23': 'unchanged 10',
    '2026-11-24': 'written 15',
    '2026-11-25': 'written 5',
  });
  expect(existsSync(left)).toBe(false);
});
