// An archive in a folder that tests of exports fill, and what DuckDB reads back from an export of it.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll } from 'vitest';
import { createFolderStore } from '../../../src/archive/catalog/folder-store.ts';
import { main } from '../../../src/cli/main.ts';
import type { ManifestObject } from '../../../src/format/run-manifest.ts';
import type { Message } from '../../../src/ports.ts';
import { PREFIX, storeManifest, storeObject } from '../../archive/archive-fixture.ts';
import type { MemoryStore } from '../../fakes/memory-store.ts';
import { testTerminal } from '../terminal.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An empty archive, and a place for its tables. */
export function emptyArchive() {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-export-'));
  folders.push(folder);
  const store = createFolderStore(folder) as unknown as MemoryStore;
  mkdirSync(join(folder, PREFIX));
  const archive = join(folder, PREFIX);
  const tables = join(folder, 'tables');
  let runs = 0;
  return {
    archive,
    tables,
    /** Stores the messages of each list as one object; all are in the manifest of one run, unless there is to be none. */
    async store(lists: readonly (readonly Message[])[], { manifest = true } = {}): Promise<ManifestObject[]> {
      const objects: ManifestObject[] = [];
      for (const list of lists) objects.push(await storeObject(store, list));
      if (manifest) await storeManifest(store, objects, `r-${++runs}`);
      return objects;
    },
    /** Runs `archive NAME … --folder`. */
    async run(name: string, ...args: string[]) {
      const { terminal, out, err } = testTerminal();
      const code = await main(['archive', name, '--folder', archive, ...args], terminal);
      return { code, out: out(), err: err() };
    },
  };
}

/** Of all tests of the process; what files contain is read anew by each query. */
let duckDb: Promise<DuckDBInstance> | undefined;

/** What DuckDB answers, as JSON has it. */
export async function query(sql: string): Promise<unknown[]> {
  duckDb ??= DuckDBInstance.create(':memory:', { threads: '1', enable_external_file_cache: 'false' });
  const connection = await (await duckDb).connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    return (await connection.runAndReadAll(sql)).getRowObjectsJson();
  } finally {
    connection.closeSync();
  }
}

/** All Parquet files below a folder, as a pattern of DuckDB's. */
export const allTables = (tables: string): string => `read_parquet('${tables}/**/*.parquet')`;
