// The files of a day: how large and how many, which of them an export writes again, and what else may be in their folder.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { pidSpace } from '../../../src/archive/export/process-owner.ts';
import { main } from '../../../src/cli/main.ts';
import type { Message } from '../../../src/ports.ts';
import { messages } from '../../archive/archive-fixture.ts';
import { testTerminal } from '../terminal.ts';
import { allTables, emptyArchive, query } from './exported.ts';

type Archive = ReturnType<typeof emptyArchive>;

const FILE_BYTES = 200_000;

/** Messages of one day of 4 kB, which no compression makes smaller than 3 kB. */
const large = (from: number, to: number, partition = 0): Message[] =>
  messages(partition, from, to).map((one) => ({
    ...one,
    payload: Buffer.from(randomBytes(3_000).toString('base64')),
  }));

const dayOf = (archive: Archive) => join(archive.tables, 't/ns/orders/date=2026-11-23');

/** The files of the day, by name: size, and what tells one from another of its name. */
const filesOf = (archive: Archive) =>
  new Map(
    readdirSync(dayOf(archive))
      .sort()
      .map((name) => {
        const { size, ino, mtimeMs } = statSync(join(dayOf(archive), name));
        return [name, { size, identity: `${ino} ${mtimeMs}` }];
      }),
  );

async function exportDay(archive: Archive, size: string): Promise<{ rows: number; files: number }> {
  const { code, out, err } = await archive.run(
    'export',
    '--to',
    archive.tables,
    '--json',
    '--file-size',
    size,
  );
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out).topics[0].days[0];
}

/** All rows once, in the order of each partition over the files by name. */
async function expectRows(archive: Archive, count: number): Promise<void> {
  const [found] = (await query(
    `SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(*) FILTER (entry_id <= before) AS wrong FROM
       (SELECT id, entry_id, lag(entry_id) OVER (PARTITION BY "partition" ORDER BY filename, file_row_number) AS before
        FROM read_parquet('${archive.tables}/**/*.parquet', filename = true, file_row_number = true))`,
  )) as object[];
  expect(found).toEqual({ rows: String(count), ids: String(count), wrong: '0' });
}

/** Files of about that size: all but the last of them. */
function expectSizes(archive: Archive, bytes: number): void {
  const sizes = [...filesOf(archive).values()].map(({ size }) => size);
  for (const size of sizes) expect(size).toBeLessThan(bytes * 1.6);
  for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThan(bytes * 0.7);
}

it('writes a changed day in files of the size that is asked for, whatever files it has', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 299), large(0, 99, 1)]);
  expect(await exportDay(archive, '256MB')).toMatchObject({ rows: 400, files: 1 });
  await archive.store([large(300, 309)]);
  const { files } = await exportDay(archive, '200kB');
  expect(files).toBeGreaterThan(4);
  expectSizes(archive, FILE_BYTES);
  await expectRows(archive, 410);
  await archive.store([large(310, 319)]);
  expect(await exportDay(archive, '500kB')).toMatchObject({ rows: 420 });
  expectSizes(archive, 500_000);
  await expectRows(archive, 420);
  await archive.store([large(320, 320)]);
  expect(await exportDay(archive, '256MB')).toMatchObject({ rows: 421, files: 1 });
  await expectRows(archive, 421);
  // No name was used twice: a query that has listed some of them finds those or none.
  expect(Number(/\d+/.exec([...filesOf(archive).keys()].join())?.[0])).toBeGreaterThan(files);
});

it('adds rows that come in behind, in files of their own; only the last one grows', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 159), large(0, 19, 1)]);
  await exportDay(archive, '200kB');
  const first = filesOf(archive);
  expect(first.size).toBeGreaterThan(2);
  let rows = 180;
  let before = first;
  for (const count of [10, 10, 10, 10, 10, 10, 100]) {
    await archive.store([large(rows, rows + count - 1)]);
    rows += count;
    expect(await exportDay(archive, '200kB')).toMatchObject({ rows });
    const after = filesOf(archive);
    for (const [name, file] of [...before].slice(0, -1)) expect(after.get(name)).toEqual(file);
    for (const [name, file] of first) expect(after.get(name)).toEqual(file);
    await expectRows(archive, rows);
    before = after;
  }
  // Small exports do not make small files: two that follow each other have about the size together, or more.
  const added = [...before.values()].slice(first.size).map(({ size }) => size);
  expect(added.length).toBeLessThan(6);
  for (const [i, size] of added.slice(1).entries())
    expect((added[i] as number) + size).toBeGreaterThan(FILE_BYTES * 0.8);
});

it('writes a day anew into which rows come between others', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 79), large(100, 179)]);
  await exportDay(archive, '200kB');
  await archive.store([large(80, 99)]);
  expect(await exportDay(archive, '200kB')).toMatchObject({ rows: 180 });
  await expectRows(archive, 180);
  expectSizes(archive, FILE_BYTES);
  // An object that begins behind all and repeats what is before it: its key does not say so.
  const [object] = await archive.store([large(180, 189)], { manifest: false });
  const path = join(archive.archive, (object?.key ?? '').replace('tdmq/', ''));
  const [one] = await archive.store([large(150, 150)], { manifest: false });
  const again = readFileSync(join(archive.archive, (one?.key ?? '').replace('tdmq/', '')));
  writeFileSync(path, Buffer.concat([readFileSync(path), again]));
  await exportDay(archive, '200kB');
  const [found] = (await query(
    `SELECT count(DISTINCT id) AS ids FROM ${allTables(archive.tables)}`,
  )) as object[];
  expect(found).toEqual({ ids: '190' });
});

it('puts what was recovered later between the others, and adds behind it then', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 79), large(81, 159)]);
  const raw = join(archive.archive, '_unreadable/t/ns/orders/partition=0');
  mkdirSync(raw, { recursive: true });
  writeFileSync(join(raw, '000000000007-0000000080.bin'), 'x');
  writeFileSync(join(raw, '000000000007-0000000080.json'), '{"reason":"bad checksum"}');
  expect(await exportDay(archive, '200kB')).toMatchObject({ rows: 159 });
  await archive.store([large(80, 80)]);
  expect(await exportDay(archive, '200kB')).toMatchObject({ rows: 160 });
  await expectRows(archive, 160);
  const before = filesOf(archive);
  await archive.store([large(160, 169)]);
  expect(await exportDay(archive, '200kB')).toMatchObject({ rows: 170 });
  await expectRows(archive, 170);
  for (const [name, file] of [...before].slice(0, -1)) expect(filesOf(archive).get(name)).toEqual(file);
});

it('bounds row groups by a part of the size of files', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 399)]);
  await exportDay(archive, '400kB');
  const [found] = (await query(
    `SELECT max(row_group_bytes) AS most FROM parquet_metadata('${archive.tables}/**/*.parquet')`,
  )) as [{ most: string }];
  expect(Number(found.most)).toBeLessThan(200_000);
});

it('refuses files among its own that no export has written, and leaves all others alone', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 9)]);
  mkdirSync(dayOf(archive), { recursive: true });
  writeFileSync(join(archive.tables, 'notes.txt'), 'mine');
  writeFileSync(join(dayOf(archive), 'README'), 'mine');
  await exportDay(archive, '256MB');
  await archive.store([large(20, 29)]);
  await exportDay(archive, '100kB');
  await archive.store([large(10, 19)]);
  await exportDay(archive, '100kB');
  expect(readFileSync(join(archive.tables, 'notes.txt'), 'utf8')).toBe('mine');
  expect(readFileSync(join(dayOf(archive), 'README'), 'utf8')).toBe('mine');
  await expectRows(archive, 30);
  const foreign = join(dayOf(archive), 'part-0-4711.snappy.parquet');
  writeFileSync(foreign, 'of Spark');
  for (const args of [['--dry-run'], []]) {
    const { code, err } = await archive.run('export', '--to', archive.tables, ...args);
    expect(code).toBe(1);
    expect(err).toContain('date=2026-11-23/part-0-4711.snappy.parquet, which no export has written');
  }
  expect(readFileSync(foreign, 'utf8')).toBe('of Spark');
});

it('waits for another export of the same topic, and adds then what is new', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 199)]);
  const all = await Promise.all(
    ['200kB', '200kB', '300kB'].map((size) =>
      archive.run('export', '--to', archive.tables, '--file-size', size),
    ),
  );
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(all.filter(({ out }) => out.includes('1 day written'))).toHaveLength(1);
  expect(all.filter(({ err }) => err.includes('waiting for another export of orders'))).toHaveLength(2);
  await expectRows(archive, 200);
  expect(readdirSync(join(archive.tables, '_export'))).toEqual(['t']);
});

it('waits no longer for an export that was killed, and ends at Ctrl-C where it waits', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 9)]);
  const lock = join(archive.tables, '_export/t/ns/orders/lock');
  mkdirSync(dirname(lock), { recursive: true });
  // No process has this number.
  writeFileSync(lock, JSON.stringify({ id: 'x', host: 'this', pidSpace: pidSpace(), pid: 2 ** 30, beat: 3 }));
  expect(await exportDay(archive, '256MB')).toMatchObject({ rows: 10 });
  writeFileSync(
    lock,
    JSON.stringify({ id: 'x', host: 'another', pidSpace: 'another', pid: 2 ** 30, beat: 3 }),
  );
  const stop = new AbortController();
  const { terminal, err } = testTerminal({}, stop.signal);
  const stderr = {
    ...terminal.stderr,
    write(text: string) {
      if (text.includes('waiting for')) stop.abort(new Error('Ctrl-C'));
      return terminal.stderr.write(text);
    },
  };
  const args = ['archive', 'export', '--folder', archive.archive, '--to', archive.tables];
  expect(await main(args, { ...terminal, stderr })).toBe(130);
  expect(err()).toContain('process 1073741824 on another');
  expect(JSON.parse(readFileSync(lock, 'utf8'))).toMatchObject({ host: 'another' });
});

it('leaves nothing where it finds nothing', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 9)]);
  const before = readdirSync(dirname(archive.tables));
  expect(
    (
      await archive.run(
        'export',
        '--to',
        join(archive.tables, 'a/b'),
        '--key',
        'none',
        '--topic',
        't/ns/none',
      )
    ).code,
  ).toBe(1);
  expect(readdirSync(dirname(archive.tables))).toEqual(before);
});

it.runIf(process.platform === 'linux')('ends where the system lets nobody make a folder', async () => {
  const archive = emptyArchive();
  await archive.store([large(0, 1)]);
  const { code, err } = await archive.run('export', '--to', '/proc/new');
  expect([code, err]).toEqual([1, expect.stringContaining('cannot make /proc/new: ENOENT')]);
});
