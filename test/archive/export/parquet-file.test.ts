// How much is on its way to the thread that writes Parquet, and how large its row groups are: both by bytes, whatever a
// row has.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BASE_COLUMNS, selectOf } from '../../../src/archive/export/columns.ts';
import { type ParquetWriter, startParquetWriter } from '../../../src/archive/export/parquet-file.ts';
import { query } from '../../cli/archive/exported.ts';

const MB = 1_000_000;
let folder: string;
let writer: ParquetWriter;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-parquet-'));
  writer = await startParquetWriter(folder);
});
afterEach(async () => {
  await writer.end();
  rmSync(folder, { recursive: true });
});

const open = (name: string) =>
  writer.open({
    path: join(folder, name),
    select: selectOf(BASE_COLUMNS),
    compression: 'zstd',
    fileBytes: Number.POSITIVE_INFINITY,
  });

/** As JSON.stringify makes it, which takes longer than to write the rows. */
function lineOf(entryId: number, valueBytes: number): Buffer<ArrayBuffer> {
  const head = `{"id":"7:${entryId}:0:-1","value":"`;
  const line = Buffer.alloc(head.length + valueBytes + 2, 97 + (entryId % 26));
  line.write(head);
  line.write('"}', head.length + valueBytes);
  return line;
}

it.each([
  [100, 100_000],
  [20_000, 1_000],
  [MB, 10],
  [20 * MB, 3],
])('of rows of %d bytes no more than a few megabytes are on their way', async (valueBytes, rows) => {
  const file = open('bounded.parquet');
  let unseen = 0;
  let most = 0;
  for (let entryId = 0; entryId < rows; entryId++) {
    const line = lineOf(entryId, valueBytes);
    unseen += line.byteLength;
    if (!file.write(line)) continue;
    most = Math.max(most, unseen);
    await file.untilTaken();
    unseen = 0;
  }
  expect(most).toBeLessThan(4 * MB + 2 * valueBytes);
  expect(await file.close()).toEqual({ rows });
  expect(await query(`SELECT sum(strlen(value)) AS n FROM '${folder}/bounded.parquet'`)).toEqual([
    { n: String(rows * valueBytes) },
  ]);
});

it.each([
  [20 * MB, 4],
  [MB, 100],
  [1_000, 100_000],
])('of rows of %d bytes a row group has few, or at most 32 MB and one row', async (valueBytes, rows) => {
  const file = open('groups.parquet');
  for (let entryId = 0; entryId < rows; entryId++)
    if (file.write(lineOf(entryId, valueBytes))) await file.untilTaken();
  await file.close();
  const groups = (await query(
    `SELECT row_group_id, any_value(row_group_num_rows)::INTEGER AS n FROM parquet_metadata('${folder}/groups.parquet') GROUP BY 1`,
  )) as { n: number }[];
  expect(groups.reduce((sum, { n }) => sum + n, 0)).toBe(rows);
  // DuckDB takes a vector of 2,048 rows before it looks.
  for (const { n } of groups) expect((n - 2_048) * valueBytes).toBeLessThan(32 * MB);
  if (valueBytes >= MB) for (const { n } of groups) expect((n - 1) * valueBytes).toBeLessThan(32 * MB);
});

it('takes the memory of a large line, and leaves that of a small one as it is', async () => {
  const file = open('own.parquet');
  const [small, large, copied] = [lineOf(0, 10), lineOf(1, 2 * MB), lineOf(2, 2 * MB)];
  file.write(small, true);
  file.write(large, true);
  file.write(copied);
  expect([small, large, copied].map(({ byteLength }) => byteLength > 0)).toEqual([true, false, true]);
  expect(await file.close()).toEqual({ rows: 3 });
});
