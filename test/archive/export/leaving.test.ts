// A process that ends while DuckDB writes a file (a second Ctrl-C, or one that takes too long) ends as requested.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { packageRoot } from '../../../src/packaging/package-root.ts';

const root = packageRoot(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-leaving-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([1, 40])('ends with its own exit code while a file is written, after %s pieces', (pieces) => {
  const program = `
    const { startParquetWriter } = await import('${pathToFileURL(join(root, 'src/archive/export/parquet-file.ts'))}');
    const writer = await startParquetWriter(${JSON.stringify(folder)});
    const select = 'SELECT lines FROM rows_to_write()';
    const path = ${JSON.stringify(join(folder, 'lines.parquet'))};
    const file = writer.open({ path, select, compression: 'zstd', fileBytes: 1e9 });
    for (let piece = 0; piece < ${pieces}; piece++) {
      while (!file.write('x'.repeat(5_000) + Math.random())) ;
      await file.untilTaken();
    }
    process.exit(130);`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  const { status, signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
  expect({ status, signal, stderr }).toEqual({ status: 130, signal: null, stderr: '' });
});
