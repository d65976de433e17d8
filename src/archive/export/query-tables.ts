// SQL over tables of an archive, by DuckDB. A query reads these tables and nothing else: no other file, no address, no
// extension; it writes nothing and changes no setting. What it answers can be written to one file that is asked for.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { sqlName, sqlText } from './columns.ts';
import { expectDuckDb } from './parquet-file.ts';
import { GUARD_NAME, isChanging } from './target.ts';
import { selectOfTopics } from './topics-view.ts';

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

/** What a query reads of `messages`, as far as DuckDB plans it: rather too much than too little. */
export interface TableNeeds {
  /** By its name. */
  readonly isColumn: (name: string) => boolean;
  readonly isDate: (date: string) => boolean;
}

/** Where a column of a row group is in its file. */
export interface ColumnChunk {
  readonly path: string;
  /** Of what is in a column of records, that column's. */
  readonly column: string;
  readonly start: number;
  readonly end: number;
}

/** Tables that can be queried. */
export interface QueriedTables {
  /** What the query reads, of files that have their ends alone. @throws BackupError `config` where DuckDB refuses the query */
  needs(sql: string, dates: readonly string[]): Promise<TableNeeds>;
  /** By file, and by place. */
  chunks(): Promise<ColumnChunk[]>;
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
    // What is not there yet of a file may come.
    enable_external_file_cache: 'false',
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
    if (topics.length > 0)
      await connection.run(`CREATE VIEW messages AS ${await selectOfTopics(connection, topics)}`);
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

  /** Days that no scan reads, by the filters that DuckDB has for the names of files. */
  async function dateTest(
    scans: readonly PlanNode[],
    dates: readonly string[],
  ): Promise<(date: string) => boolean> {
    const filters = scans.map(({ extra_info: info }) => textsOf(info?.['File Filters']));
    if (dates.length === 0 || filters.some((texts) => texts.length === 0)) return () => true;
    const any = filters.map((texts) => `(${texts.map((one) => `(${one})`).join(' AND ')})`).join(' OR ');
    const all = dates.map((date) => `(${sqlText(date)}::DATE)`).join(', ');
    try {
      const found = await connection.runAndReadAll(
        `SELECT date::VARCHAR FROM (VALUES ${all}) AS days(date) WHERE (${any}) IS NOT FALSE`,
      );
      const own = new Set(found.getRows().map(([date]) => String(date)));
      return (date) => own.has(date);
    } catch {
      return () => true;
    }
  }

  const attempt = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      signal.throwIfAborted();
      if (messageOf(error).includes(GUARD_NAME)) throw isChanging(messageOf(error));
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
    needs: (sql, dates) =>
      attempt(async () => {
        const plan = await connection.runAndReadAll(`EXPLAIN (FORMAT JSON) ${await expectSelect(sql)}`);
        const [{ explain_value: text } = {}] = plan.getRowObjectsJson() as { explain_value?: string }[];
        const scans = scansOf(JSON.parse(String(text)) as PlanNode[]);
        return { isColumn: columnTest(scans), isDate: await dateTest(scans, dates) };
      }),
    chunks: () =>
      attempt(async () => {
        const columns =
          'file_name, path_in_schema, dictionary_page_offset, data_page_offset, total_compressed_size';
        const parts = topics.map(
          ({ folder: own }) => `SELECT ${columns} FROM parquet_metadata(${sqlText(`${own}/**/*.parquet`)})`,
        );
        const read = await connection.runAndReadAll(parts.join(' UNION ALL '));
        return read.getRows().map(([path, names, dictionary, data, bytes]) => {
          const start = dictionary ? Math.min(Number(dictionary), Number(data)) : Number(data);
          const [column = ''] = String(names).split(', ');
          return { path: String(path), column, start, end: start + Number(bytes) };
        });
      }),
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

/** A node of a plan, as EXPLAIN (FORMAT JSON) has it. */
interface PlanNode {
  readonly name: string;
  readonly children?: readonly PlanNode[];
  readonly extra_info?: Readonly<Record<string, string | readonly string[]>>;
}

const textsOf = (info: string | readonly string[] | undefined): string[] =>
  [info ?? []].flat().filter((text) => text !== '');

const scansOf = (nodes: readonly PlanNode[]): PlanNode[] =>
  nodes.flatMap((node) => [...(/PARQUET/.test(node.name) ? [node] : []), ...scansOf(node.children ?? [])]);

/** Columns that a scan reads, whole or a part of them; in filters, whatever has such a name in it. */
function columnTest(scans: readonly PlanNode[]): (name: string) => boolean {
  const read = scans.flatMap(({ extra_info: info }) => textsOf(info?.['Projections']));
  const filters = scans.flatMap(({ extra_info: info }) => textsOf(info?.['Filters'])).join(' ');
  const wholes = new Set(read);
  return (name) =>
    wholes.has(name) || read.some((one) => one.startsWith(`${name}.`)) || filters.includes(name);
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
    hint: 'Views are messages, runs and schemas: "DESCRIBE messages" lists columns. docs/tables.md has queries.',
  });
