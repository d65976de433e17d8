// SQL over tables of an archive, by DuckDB. A query reads these tables and nothing else: no other file, no address, no
// extension; it writes nothing and changes no setting. What it answers can be written to one file that is asked for.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { sqlName, sqlText } from './columns.ts';
import { expectDuckDb } from './parquet-file.ts';

/** The tables of a topic: a folder with one for each day. */
export interface TopicTables {
  readonly topic: string;
  readonly folder: string;
}

/** A view that is filled from here. */
export interface SmallView {
  readonly name: string;
  /** Types by name. */
  readonly columns: Readonly<Record<string, string>>;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** How many rows a person is shown. */
const MAX_SHOWN = 1_000;
const MEMORY_LIMIT = '1GB';

export type FileFormat = 'csv' | 'jsonl' | 'parquet';

/** What a query answers, as texts; numbers where they are exact ones. */
export interface Shown {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  readonly hasMore: boolean;
}

/** Tables that can be queried. */
export interface QueriedTables {
  /** The first rows. @throws BackupError `config` where DuckDB refuses the query */
  show(sql: string): Promise<Shown>;
  /** All rows, in a file in the folder that `openTables` was given; answers its path. @throws as `show` */
  write(sql: string, format: FileFormat): Promise<string>;
  close(): void;
}

/** `folder`: on this machine, for what does not fit into memory, and for results. @throws BackupError `config` where DuckDB is missing */
export async function openTables(
  folder: string,
  topics: readonly TopicTables[],
  small: readonly SmallView[],
  signal: AbortSignal,
): Promise<QueriedTables> {
  expectDuckDb();
  const { DuckDBInstance, StatementType } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: MEMORY_LIMIT,
    temp_directory: folder,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  const stop = () => connection.interrupt();
  signal.addEventListener('abort', stop);
  const close = () => {
    signal.removeEventListener('abort', stop);
    connection.closeSync();
    instance.closeSync();
  };

  async function prepareViews(): Promise<void> {
    await connection.run("SET TimeZone = 'UTC'");
    for (const { name, columns, rows } of small) {
      const path = join(folder, `${name}.jsonl`);
      await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
      const types = Object.entries(columns).map(([column, type]) => `${sqlName(column)}: ${sqlText(type)}`);
      await connection.run(
        `CREATE TABLE ${name} AS FROM read_json(${sqlText(path)}, format = 'newline_delimited', maximum_object_size = 67108864, columns = {${types.join(', ')}})`,
      );
    }
    const parts = topics.map(
      ({ topic, folder: own }) =>
        `SELECT ${sqlText(topic)} AS topic, * FROM read_parquet(${sqlText(`${own}/**/*.parquet`)}, hive_partitioning = true, union_by_name = true)`,
    );
    if (parts.length > 0)
      await connection.run(`CREATE VIEW messages AS ${parts.join(' UNION ALL BY NAME ')}`);
    const folders = [folder, ...topics.map((one) => one.folder)].map(sqlText).join(', ');
    await connection.run(`SET allowed_directories = [${folders}]`);
    await connection.run('SET enable_external_access = false');
    await connection.run('SET lock_configuration = true');
  }

  /** The one SELECT that the text is. @throws BackupError `config` */
  async function expectSelect(sql: string): Promise<string> {
    const statements = await connection.extractStatements(sql).catch(() => undefined);
    if (statements?.count !== 1)
      throw refused(statements === undefined ? await faultOf(sql) : 'it has to be one statement');
    const prepared = await statements.prepare(0);
    if (prepared.statementType !== StatementType.SELECT)
      throw refused('it has to be a SELECT: a query writes nothing, and changes no setting');
    return sql.replace(/;\s*(--[^\n]*\s*)*$/, '');
  }

  const faultOf = (sql: string) =>
    connection.run(sql).then(
      () => 'it is empty',
      (error) => messageOf(error),
    );

  const attempt = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof BackupError ? error : refused(messageOf(error));
    }
  };

  try {
    await attempt(prepareViews);
  } catch (error) {
    close();
    throw error;
  }
  return {
    show: (sql) =>
      attempt(async () => {
        const select = await expectSelect(sql);
        // Whatever is asked next of a connection ends what it streams.
        const prepared = await connection.prepare(`FROM (${select}\n)`);
        const types = Array.from({ length: prepared.columnCount }, (_, i) => String(prepared.columnType(i)));
        const result = await connection.stream(`SELECT COLUMNS(*)::VARCHAR FROM (${select}\n)`);
        const rows: (string | number)[][] = [];
        for (let chunk = await result.fetchChunk(); chunk?.rowCount; chunk = await result.fetchChunk()) {
          for (const row of chunk.getRows() as (string | null)[][])
            if (rows.push(row.map((cell, i) => shown(cell, types[i] ?? ''))) > MAX_SHOWN) break;
          if (rows.length > MAX_SHOWN) break;
        }
        const names = result.columnNames();
        return { names, rows: rows.slice(0, MAX_SHOWN), hasMore: rows.length > MAX_SHOWN };
      }),
    write: (sql, format) =>
      attempt(async () => {
        const select = await expectSelect(sql);
        const path = join(folder, `result.${format}`);
        const options = {
          csv: 'FORMAT csv, HEADER true',
          jsonl: 'FORMAT json',
          parquet: 'FORMAT parquet, COMPRESSION zstd',
        };
        await connection.run(`COPY (${select}\n) TO ${sqlText(path)} (${options[format]})`);
        return path;
      }),
    close,
  };
}

/** Integers are grouped by whoever shows them. */
function shown(cell: string | null, type: string): string | number {
  if (cell === null) return '';
  return /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type) && Number.isSafeInteger(Number(cell))
    ? Number(cell)
    : cell;
}

const refused = (what: string) =>
  new BackupError('config', `DuckDB refuses the query: ${what.replaceAll(/\s*\n\s*/g, ' ')}`, {
    hint: 'Views are messages, and of an archive also runs and schemas: "DESCRIBE messages" lists columns. docs/reading-back.md has queries.',
  });
