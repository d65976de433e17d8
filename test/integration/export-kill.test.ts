// `archive export` is killed with SIGKILL at any moment, again and again, while DuckDB reads the tables: each day is what
// it was or what it is to be, and the export after it is whole.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { GUARD_NAME } from '../../src/archive/export/target.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import type { Message } from '../../src/ports.ts';
import { messages } from '../archive/archive-fixture.ts';
import { allTables, emptyArchive, query } from '../cli/archive/exported.ts';
import { runCommand } from './run-command.ts';

const root = packageRoot(import.meta.url);
const ROUNDS = 8;
const DAY_MS = 86_400_000;
const DAYS = 3;
const ROWS = 200;

beforeAll(() => bundleCli(root, join(root, 'dist/cli')), 60_000);

/** Of each day `ROWS` messages, the `round`-th time; large enough for several files. */
const round = (number: number): Message[][] =>
  Array.from({ length: DAYS }, (_, day) =>
    messages(day, number * ROWS, (number + 1) * ROWS - 1).map((one, i) => ({
      ...one,
      publishTimeMs: Date.UTC(2026, 10, 23) + day * DAY_MS + i,
      // No compression makes it small: a day is several files of the smaller size.
      payload: Buffer.from(randomBytes(1_500 + (i % 7) * 300).toString('base64')),
    })),
  );

/** By turns rows come in behind, and days of several files are written anew, in one file or several. */
const SIZES = ['200kB', '200kB', '256MB', '300kB', '300kB', '200kB', '200kB', '256MB'];

function startExport(archive: string, tables: string, size: string) {
  const program = join(root, 'dist/cli/tdmq-backup.js');
  const args = ['archive', 'export', '--folder', archive, '--to', tables, '--file-size', size];
  const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
  return { child, exited: once(child, 'exit') };
}

const hasTables = (tables: string) => {
  try {
    return readdirSync(tables, { recursive: true }).some((name) => String(name).endsWith('.parquet'));
  } catch {
    return false;
  }
};

const reads = { good: 0, failed: 0, wrong: 0 };

/** Whether a kill left a day that readers are kept from. */
const isGuarded = (tables: string) =>
  readdirSync(tables, { recursive: true }).some((name) => String(name).endsWith(GUARD_NAME));

/** Rows of each day, as they were read last. */
const seen = new Map<string, number>();

/** Counts days that are half, there twice, away again, or as they were before what a read had already. */
function count(days: readonly { date: string; rows: string; ids: string }[] | undefined): void {
  if (days === undefined) return;
  const now = new Map(days.map(({ date, rows }) => [date, Number(rows)]));
  for (const { date, rows, ids } of days) {
    if (ids !== rows || Number(rows) % ROWS !== 0) reads.wrong++;
    if (!seen.has(date)) seen.set(date, 0);
  }
  for (const [date, before] of seen) {
    if ((now.get(date) ?? 0) < before) reads.wrong++;
    seen.set(date, now.get(date) ?? before);
  }
}

/**
 * Rows and different ids by day; nothing where the engine fails. It opens a file more than once, so one that is replaced
 * meanwhile, or gone, ends the query in whatever words the engine has: an error, and no wrong answer.
 */
async function read(tables: string): Promise<{ date: string; rows: string; ids: string }[] | undefined> {
  if (!hasTables(tables)) return [];
  try {
    const sql = `SELECT date::VARCHAR AS date, count(*) AS rows, count(DISTINCT id) AS ids FROM ${allTables(tables)} GROUP BY 1 ORDER BY 1`;
    const days = (await query(sql)) as { date: string; rows: string; ids: string }[];
    reads.good++;
    return days;
  } catch {
    reads.failed++;
    return undefined;
  }
}

it('leaves nothing half, whenever it is killed', { timeout: 300_000 }, async () => {
  const archive = emptyArchive();
  let kills = 0;
  let wholeMs = 0;
  for (let number = 0; number < ROUNDS; number++) {
    await archive.store(round(number));
    const started = Date.now();
    const { child, exited } = startExport(archive.archive, archive.tables, SIZES[number] as string);
    let isOver = false;
    void exited.then(() => {
      isOver = true;
    });
    // The first one shows how long it takes here: the kills of the others are spread over that.
    const killAtMs = started + (number === 0 ? Number.POSITIVE_INFINITY : (number / ROUNDS) * wholeMs);
    while (!isOver) {
      await nextTurn();
      count(await read(archive.tables));
      if (Date.now() > killAtMs && child.exitCode === null) child.kill('SIGKILL');
    }
    await exited;
    if (number === 0) wholeMs = Date.now() - started;
    if (child.signalCode === 'SIGKILL') kills++;
    // Nobody writes now: what cannot be read is half.
    const left = await read(archive.tables);
    expect(left === undefined, 'the tables that a kill left').toBe(isGuarded(archive.tables));
    count(left);
  }
  expect(kills).toBeGreaterThan(2);
  expect(reads.good).toBeGreaterThan(10);
  expect(reads.failed).toBeLessThan(reads.good / 4);
  expect(reads.wrong).toBe(0);
  const { exited } = startExport(archive.archive, archive.tables, '300kB');
  expect(await exited).toEqual([0, null]);
  const days = await read(archive.tables);
  expect(days?.map(({ rows, ids }) => [rows, ids])).toEqual(
    Array.from({ length: DAYS }, () => [String(ROUNDS * ROWS), String(ROUNDS * ROWS)]),
  );
  expect(readdirSync(join(archive.tables, '_export'))).toEqual(['t']);
});

it('a disk that takes no more leaves the tables as they were, and is named', {
  timeout: 120_000,
}, async () => {
  const archive = emptyArchive();
  await archive.store(round(0));
  expect(await startExport(archive.archive, archive.tables, '256MB').exited).toEqual([0, null]);
  const before = await read(archive.tables);
  await archive.store(round(1));
  // The largest file that the system lets this process write: less than a day needs.
  const limited = ['-c', 'ulimit -f 400; exec "$@"', 'bash', process.execPath];
  const args = ['archive', 'export', '--folder', archive.archive, '--to', archive.tables];
  const failing = runCommand('bash', [...limited, join(root, 'dist/cli/tdmq-backup.js'), ...args], {
    timeoutMs: 60_000,
  });
  await expect(failing).rejects.toThrow(
    /ended with 1\n✗ tdmq-backup archive export failed: cannot write \S+: .*File too large\n {2}→ Files may not be as large there/,
  );
  expect(await read(archive.tables)).toEqual(before);
  expect(await startExport(archive.archive, archive.tables, '256MB').exited).toEqual([0, null]);
  expect((await read(archive.tables))?.map(({ rows }) => rows)).toEqual(Array(DAYS).fill(String(2 * ROWS)));
});
