// Tables of an export in a bucket, for one query: DuckDB reads files alone, so what the query reads is fetched to a folder
// on this machine first. Keys stay with what talks to COS: SQL has none.
import { join } from 'node:path';
import { findTopics } from '../../archive/catalog/nothing-found.ts';
import { openTables, type QueriedTables, type SmallView } from '../../archive/export/query-tables.ts';
import {
  type ByteRange,
  expectSame,
  fetchEnds,
  fetchRanges,
  listTables,
  type RemoteFile,
} from '../../archive/export/remote-tables.ts';
import type { ObjectStore } from '../../ports.ts';
import type { Terminal } from '../command.ts';
import { startProgress } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import { openBucket } from './bucket-location.ts';
import { parseBucketTarget } from './bucket-target.ts';

const AT_A_TIME = 8;

/** Fills the views of a query besides `messages`. */
export type ViewsOf = (
  store: ObjectStore,
  prefix: string,
  names: readonly string[],
) => Promise<readonly SmallView[]>;

/** What is asked. */
interface Asked {
  /** Those of the topics that are asked. @throws BackupError */
  readonly ownOf: (names: readonly string[]) => readonly string[];
  readonly viewsOf: ViewsOf;
  /** Absent where it does not name `messages`. */
  readonly sql: string | undefined;
}

/**
 * Fetches what the query reads of the tables at `text` (`cos://bucket/prefix/`) into the folder, and opens it there.
 * @throws BackupError
 */
export async function openBucketTables(
  text: string,
  region: string | undefined,
  { ownOf, viewsOf, sql }: Asked,
  folder: string,
  terminal: Terminal,
): Promise<QueriedTables> {
  const { bucket, prefix } = parseBucketTarget(text);
  const { signal } = terminal;
  const { store, close } = await openBucket({ bucket, prefix, region }, undefined, terminal, AT_A_TIME);
  const progress = startProgress(terminal.stderr);
  let bytes = 0;
  let allBytes = 0;
  const onBytes = (read: number) => {
    bytes += read;
    progress.update(`reading ${text}: ${formatBytes(bytes)} of ${formatBytes(allBytes)}`);
  };
  try {
    progress.update(`listing ${text}`);
    const names = ownOf(await findTopics(store, prefix, { signal }, Number.POSITIVE_INFINITY));
    const topics = names.map((name) => ({
      topic: `persistent://${name}`,
      folder: join(folder, 'tables', name),
    }));
    const list = async () => {
      const files: RemoteFile[] = [];
      for (const [i, { folder: own }] of topics.entries())
        files.push(...(await listTables(store, `${prefix}${names[i]}/`, own, signal)));
      return files;
    };
    const views = await viewsOf(store, prefix, names);
    if (sql === undefined) return await openTables(folder, [], views, signal);
    const files = await list();
    await fetchEnds(store, files, { signal, onBytes });
    const tables = await openTables(folder, topics, views, signal);
    try {
      const days = new Set(files.flatMap(({ date }) => date ?? []));
      const { isColumn, isDate } = await tables.needs(sql, [...days]);
      const ranges = new Map<string, ByteRange[]>();
      for (const { path, column, start, end } of await tables.chunks())
        if (isColumn(column)) {
          const own = ranges.get(path) ?? [];
          own.push({ start, end });
          ranges.set(path, own);
        }
      const read = files.filter(({ date }) => date === undefined || isDate(date));
      const needed = read.map((file) => [file, ranges.get(file.path) ?? []] as const);
      allBytes =
        bytes + needed.flatMap(([, own]) => own).reduce((sum, { start, end }) => sum + end - start, 0);
      await fetchRanges(store, needed, { signal, onBytes });
      expectSame(read, await list());
      return tables;
    } catch (error) {
      tables.close();
      throw error;
    }
  } finally {
    progress.clear();
    await close();
  }
}
