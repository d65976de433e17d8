// `tdmq-backup archive query`: SQL over an archive, or over tables that were exported from one.
import { createReadStream } from 'node:fs';
import { copyFile, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createFolderStore } from '../../archive/catalog/folder-store.ts';
import { findTopics } from '../../archive/catalog/nothing-found.ts';
import type { Selection } from '../../archive/catalog/selection.ts';
import { settingsOf } from '../../archive/export/day-note.ts';
import { writeDays } from '../../archive/export/export-topic.ts';
import { openFolderTarget } from '../../archive/export/folder-target.ts';
import { expectDuckDb, startParquetWriter } from '../../archive/export/parquet-file.ts';
import { type DecodeMode, openPayloads } from '../../archive/export/payload-columns.ts';
import {
  type FileFormat,
  openTables,
  type QueriedTables,
  type TopicTables,
} from '../../archive/export/query-tables.ts';
import { BackupError } from '../../errors.ts';
import { topicFolder } from '../../format/object-key.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { openOutput } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress.ts';
import { fitColumns, formatTable } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { archiveView, keptView, viewsIn } from './archive-views.ts';
import { reportDamaged } from './damaged.ts';
import { listDays, topicsOf } from './export-days.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, openLocation } from './location.ts';
import type { Location } from './opened-location.ts';
import type { ViewsOf } from './query-bucket.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

const MAX_CELL_COLUMNS = 60;
const FORMATS = ['table', 'csv', 'jsonl', 'parquet'];
const NO_ROWS = 'no rows\n';

export const command: Command = {
  summary: 'ask an archive, or tables of it, in SQL',
  help: `
Usage: tdmq-backup archive query "SELECT …" [options]

Runs a SELECT in DuckDB's SQL over the views messages (the columns that \`archive export\` writes, and topic), runs (the
manifests) and schemas. Over an archive it first makes temporary tables of what --from and the other filters select; with
--tables it queries exported tables directly. A query reads nothing else and writes nothing. Needs the package @duckdb/node-api.

  --tables DIR|cos://bucket/prefix/  tables of \`archive export --to\`, instead of an archive; from a bucket it reads the
                   columns and days that the query needs into the folder for temporary files
  --format FORMAT  table (default): the first 1,000 rows; csv, jsonl or parquet: all of them
  --out FILE       write them there; parquet needs it
  --decode         also payload columns, by the stored schemas
  --skip-damaged   leave out damaged and missing objects; each is named, and makes the exit code 1
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive query --tables ./tables "SELECT key, count(*) FROM messages GROUP BY key ORDER BY 2 DESC LIMIT 10"
  tdmq-backup archive query --env-file .env.orders --from 2026-11-23 "SELECT min(publish_time), max(publish_time) FROM messages"
  tdmq-backup archive query --env-file .env.orders "SELECT started_at, messages, stop_reason FROM runs" --format csv
`,
  endsWithinMs: 500,
  isForPrograms: true,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        tables: { type: 'string' },
        format: { type: 'string', default: 'table' },
        out: { type: 'string' },
        decode: { type: 'boolean', default: false },
        'skip-damaged': { type: 'boolean', default: false },
      },
    });
    const [sql, ...more] = positionals;
    if (sql === undefined || more.length > 0)
      throw new UsageError('give one query, in quotes: archive query "SELECT count(*) FROM messages"');
    if (!FORMATS.includes(values.format)) throw new UsageError(`--format must be ${FORMATS.join(', ')}`);
    const format = values.format as FileFormat | 'table';
    if (format === 'parquet' && values.out === undefined)
      throw new UsageError('--format parquet needs --out FILE');
    if (format === 'table' && values.out !== undefined)
      throw new UsageError('--out FILE needs --format csv, jsonl or parquet');
    const selection = parseSelection(values);
    const isSelecting = [
      ...[values.decode || undefined, selection.fromMs, selection.toMs],
      ...Object.values(settingsOf(selection, undefined)),
    ].some((one) => one !== undefined);
    if (values.tables !== undefined && isSelecting)
      throw new UsageError(
        'filters and --decode are for an archive: write them into the query, or export with them',
      );
    expectDuckDb();
    const folder = await mkdtemp(join(tmpdir(), 'tdmq-backup-query-'));
    try {
      const { tables, exitCode } =
        values.tables === undefined
          ? await tablesOfArchive(sql, values, selection, folder, terminal)
          : { tables: await exportedTables(values.tables, values, sql, folder, terminal), exitCode: 0 };
      try {
        if (format === 'table') {
          const { names, rows, hasMore } = await tables.show(sql);
          const cells = rows.map((row) =>
            row.map((cell) => (typeof cell === 'string' ? fitColumns(cell, MAX_CELL_COLUMNS) : cell)),
          );
          const lines = formatTable(names, cells);
          terminal.stdout.write(rows.length === 0 ? NO_ROWS : `${lines.join('\n')}\n`);
          if (hasMore) terminal.stderr.write(`there are more rows: --format csv, jsonl or parquet has all\n`);
        } else await hand(await tables.write(sql, format), values.out, terminal);
      } finally {
        tables.close();
      }
      return exitCode;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

interface Sources {
  readonly tables: QueriedTables;
  readonly exitCode: number;
}

/** The result, to its file or to standard output. */
async function hand(path: string, out: string | undefined, terminal: Terminal): Promise<void> {
  if (out !== undefined) {
    const partial = `${resolve(out)}.partial`;
    try {
      await copyFile(path, partial);
      await rename(partial, resolve(out));
    } catch (cause) {
      await rm(partial, { force: true });
      throw new BackupError('store', `cannot write ${out}: ${(cause as Error).message}`, {
        hint: 'Name a file in a folder that is there, and that this user can write.',
        cause,
      });
    }
    return;
  }
  const output = openOutput(terminal);
  for await (const chunk of createReadStream(path)) {
    await output.write(chunk as Buffer);
    if (output.isGone) return;
  }
  await output.flush();
}

const namesMessages = (sql: string): boolean => /\bmessages\b/i.test(sql);

/** The tables of an export. @throws BackupError `config` where it has none */
async function exportedTables(
  place: string,
  { topic, region }: { readonly topic?: string | undefined; readonly region?: string | undefined },
  sql: string,
  folder: string,
  terminal: Terminal,
): Promise<QueriedTables> {
  const asked = topic === undefined ? undefined : parseTopicName(topic);
  const ownOf = (names: readonly string[]) => {
    const own = names.filter((name) => asked === undefined || `persistent://${name}` === asked.full);
    if (own.length > 0) return own;
    throw new BackupError('config', `${place} has no tables${topic === undefined ? '' : ` of ${topic}`}`, {
      hint: 'Name the place of archive export --to; without --tables the archive itself is asked.',
    });
  };
  const viewsOf: ViewsOf = (store, prefix, own) => {
    const topics = own.map((name) => parseTopicName(name) as TopicName);
    return Promise.all(viewsIn(sql).map((name) => keptView(name, store, prefix, topics, terminal.signal)));
  };
  if (place.includes('://')) {
    const { openBucketTables } = await import('./query-bucket.ts');
    const asked = { ownOf, viewsOf, sql: namesMessages(sql) ? sql : undefined };
    return openBucketTables(place, region, asked, folder, terminal);
  }
  const isFolder = await stat(place)
    .then((found) => found.isDirectory())
    .catch(() => false);
  const names = isFolder ? await findTopics(createFolderStore(place), '', {}, Number.POSITIVE_INFINITY) : [];
  const own = ownOf(names);
  const { signal } = terminal;
  const views = await viewsOf(createFolderStore(place), '', own);
  const topics = own.map((name) => ({ topic: `persistent://${name}`, folder: join(resolve(place), name) }));
  return openTables(folder, namesMessages(sql) ? topics : [], views, signal);
}

/** What the query names of an archive, as tables in the folder. @throws BackupError */
async function tablesOfArchive(
  sql: string,
  values: Parameters<typeof openLocation>[0] & { readonly decode: boolean; readonly 'skip-damaged': boolean },
  selection: Selection,
  folder: string,
  terminal: Terminal,
): Promise<Sources> {
  const location = await openLocation(values, terminal);
  try {
    const views = await Promise.all(viewsIn(sql).map((name) => archiveView(name, location, terminal.signal)));
    const mode = values.decode ? 'schemas' : undefined;
    const { topics, exitCode } = namesMessages(sql)
      ? await makeTables(location, selection, mode, values['skip-damaged'], folder, terminal)
      : { topics: [], exitCode: 0 };
    return { tables: await openTables(folder, topics, views, terminal.signal), exitCode };
  } finally {
    await location.close();
  }
}

async function makeTables(
  location: Location,
  selection: Selection,
  mode: DecodeMode | undefined,
  isSkipping: boolean,
  folder: string,
  terminal: Terminal,
): Promise<{ readonly topics: readonly TopicTables[]; readonly exitCode: number }> {
  const { store, prefix } = location;
  const { signal } = terminal;
  const progress = startProgress(terminal.stderr);
  const target = await openFolderTarget(join(folder, 'tables'));
  const writer = await startParquetWriter(target.draftFolder);
  const topics: TopicTables[] = [];
  let exitCode = 0;
  try {
    for (const topic of await topicsOf(location, signal)) {
      const found = await listDays(location, topic, selection, target, terminal, {
        decode: mode,
        isSkipping,
        fileBytes: Number.POSITIVE_INFINITY,
      });
      if (found.days.dates().length === 0) continue;
      const options = {
        ...found.plan,
        ...{ compression: 'snappy' as const, signal },
        onDamaged: found.damage.onDamaged,
        onRead: (date: string) => progress.update(`reading ${topic.topic} of ${date}`),
      };
      const payloads = mode && (await openPayloads(store, prefix, topic, mode, { signal }));
      const payload = payloads?.columns(() => undefined);
      const made = async () => writer;
      const days = await writeDays(store, found.days, found.notes, target, made, { ...options, payload });
      progress.clear();
      exitCode ||= reportDamaged(found.damage.damaged, terminal);
      if (days.some(({ rows }) => rows > 0))
        topics.push({ topic: topic.full, folder: join(folder, 'tables', topicFolder('', topic)) });
    }
  } finally {
    progress.clear();
    await writer.end();
    await target.close();
  }
  if (topics.length > 0) return { topics, exitCode };
  throw new BackupError('config', `nothing found: no message of ${location.name} is selected`, {
    hint: 'tdmq-backup archive ls shows topics, times, ids and partitions.',
  });
}
