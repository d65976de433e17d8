// `tdmq-backup archive export`: Parquet files of an archive's messages, a folder for each day; again for what is new.
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { pathOf } from '../../archive/catalog/manifest-content.ts';
import { nothingOf } from '../../archive/catalog/nothing-found.ts';
import { type ExportLock, lockTables } from '../../archive/export/export-lock.ts';
import {
  type DayResult,
  type ExportOptions,
  seePayloads,
  writeDays,
} from '../../archive/export/export-topic.ts';
import { openFolderTarget } from '../../archive/export/folder-target.ts';
import { expectDuckDb, type ParquetWriter, startParquetWriter } from '../../archive/export/parquet-file.ts';
import { type DecodeMode, openPayloads, type PayloadColumns } from '../../archive/export/payload-columns.ts';
import { expectSources, type PlanOptions, planDay } from '../../archive/export/plan-days.ts';
import type { ExportTarget } from '../../archive/export/target.ts';
import { BackupError } from '../../errors.ts';
import { type Compression, compressionOf, topicFolder } from '../../format/object-key.ts';
import { systemClock } from '../../lib/clock.ts';
import type { TopicName } from '../../topic-name.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { startProgress, timeLeft } from '../terminal/progress.ts';
import { counted, formatBytes } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { keepViews } from './archive-views.ts';
import { reportDamaged } from './damaged.ts';
import { listDays, topicsOf } from './export-days.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, openLocation } from './location.ts';
import type { Location } from './opened-location.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

const MIN_FILE_BYTES = 100_000;
/** Fields of payloads that have no type of their own. */
const MAX_NAMED = 20;
/** What tables take of the bytes of records; of compressed objects nearly all. Only for the estimate. */
const SHARES: Readonly<Record<Compression, number>> = { none: 0.25, gzip: 0.95, zstd: 1 };

export const command: Command = {
  summary: 'write the messages as Parquet tables, and later what is new',
  help: `
Usage: tdmq-backup archive export --to DIR|cos://bucket/prefix/ [options]

Writes Parquet files that DuckDB, Spark, Polars, pandas and others read as one table:
{tenant}/{namespace}/{topic}/date=2026-11-23/part-00000.parquet, a folder for each day (UTC) on which messages were
published; rows in the order of each partition, each message once. The archive does not change. The same command later
adds new messages; concurrent readers see a day in its old or its new state (docs/tables.md). Without
--topic it exports every topic. Columns: docs/tables.md. Needs the package @duckdb/node-api.

  --to DIR         a folder, or cos://bucket-appid/prefix/ (files are made in the folder for temporary files first)
  --to-region NAME  of that bucket, instead of COS_REGION
  --file-size SIZE  files of about this size, 256MB by default; a changed size applies to days that change
  --decode         also the payloads as typed columns, by the stored schemas; --decode json: also payloads without a
                   stored schema, as JSON with inferred types (reads the messages twice)
  --compression C  zstd (default) or snappy
  --skip-damaged   leave out damaged and missing objects; each is named, and makes the exit code 1
  --dry-run        only report what would be written, and about how much
  --json           the result as JSON
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive export --env-file .env.orders --to ./tables
  tdmq-backup archive export --env-file .env.orders --to cos://tables-1250000000/orders/ --from 2026-11-01
  duckdb -c "select date, count(*) from read_parquet('tables/**/*.parquet') group by date"
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      // Without a value it means the schemas.
      args: args.map((arg, at) => (arg === '--decode' && args[at + 1] !== 'json' ? '--decode=schemas' : arg)),
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        decode: { type: 'string' },
        to: { type: 'string' },
        'to-region': { type: 'string' },
        'file-size': { type: 'string', default: '256' },
        compression: { type: 'string', default: 'zstd' },
        'skip-damaged': { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    if (values.to === undefined) throw new UsageError('--to DIR or --to cos://bucket/prefix/ is missing');
    expectPlace(values.to);
    const { compression } = values;
    if (compression !== 'zstd' && compression !== 'snappy')
      throw new UsageError('--compression must be zstd or snappy');
    const fileBytes = parseFileSize(values['file-size']);
    const decode = decodeModeOf(values.decode);
    const selection = parseSelection(values);
    expectDuckDb();
    const location = await openLocation(values, terminal);
    let target: ExportTarget | undefined;
    let writer: Promise<ParquetWriter> | undefined;
    let lock: ExportLock | undefined;
    const progress = startProgress(terminal.stderr);
    try {
      await expectApart(values.to, values.folder, location);
      progress.update('listing the archive');
      const topics = await topicsOf(location, terminal.signal);
      target = await openTarget(values.to, values['to-region'], values['dry-run'], terminal);
      const place = target;
      const results: TopicResult[] = [];
      let exitCode = 0;
      for (const topic of topics) {
        await lock?.release();
        lock = values['dry-run'] ? undefined : await takeLock(place, topic, terminal);
        if (lock !== undefined) await place.cleanUp?.(topicFolder('', topic));
        const how = { decode, isSkipping: values['skip-damaged'], fileBytes };
        const found = await listDays(location, topic, selection, place, terminal, how);
        const beforeChange = lock?.check;
        const options = { ...found.plan, compression, beforeChange, signal: terminal.signal } as const;
        if (found.days.dates().length === 0) {
          if (topics.length === 1) throw await nothingOfTopic(location, topic, terminal.signal);
          continue;
        }
        if (values['dry-run']) {
          results.push({
            topic: topic.full,
            days: await planAll(found, place, { ...options, onDamaged: found.damage.onDamaged }),
            rawEntries: found.raw,
          });
          exitCode ||= reportDamaged(found.damage.damaged, terminal);
          continue;
        }
        const reading = { ...options, onDamaged: found.damage.onDamaged };
        const texts = new Map<string, string>();
        let payload: PayloadColumns | undefined;
        if (decode !== undefined) {
          const { store, prefix } = location;
          const payloads = await openPayloads(store, prefix, topic, decode, { signal: terminal.signal });
          progress.update(`${topic.topic}: looking at payloads`);
          if (decode === 'json') await seePayloads(store, found.days, found.notes, place, payloads, reading);
          payload = payloads.columns((path, reason) => texts.set(path, reason));
        }
        const startedMs = Date.now();
        let readBytes = 0;
        const days = await writeDays(
          location.store,
          found.days,
          found.notes,
          place,
          () => (writer ??= startParquetWriter(place.draftFolder)),
          {
            ...reading,
            payload,
            onRead(date, bytes) {
              readBytes += bytes;
              const share = Math.min(0.999, readBytes / Math.max(1, found.bytes));
              progress.update(
                `${topic.topic} ${date}: ${formatBytes(readBytes)} of ${formatBytes(found.bytes)} read  ${timeLeft(share, Date.now() - startedMs)}`,
              );
            },
          },
        );
        await lock?.check();
        await keepViews(location, topic, place, terminal.signal);
        progress.clear();
        exitCode ||= reportDamaged(found.damage.damaged, terminal);
        const jsonTexts = [...texts].map(([path, reason]) => ({ path, reason }));
        results.push({ topic: topic.full, days, rawEntries: found.raw, jsonTexts });
      }
      progress.clear();
      if (results.length === 0)
        throw new BackupError('config', `nothing found: no message of ${location.name} is selected`, {
          hint: 'tdmq-backup archive ls shows topics, times, ids and partitions.',
        });
      report(results, { isDry: values['dry-run'], isJson: values.json, to: values.to }, terminal);
      return exitCode;
    } finally {
      progress.clear();
      await (await writer?.catch(() => undefined))?.end();
      await lock?.release();
      await target?.close();
      await location.close();
    }
  },
};

/** A day in the report. */
type DayReport = Omit<DayResult, 'state' | 'files'> & { readonly state: string; readonly files?: number };

interface TopicResult {
  readonly topic: string;
  readonly days: readonly DayReport[];
  /** What could not be decoded, and is in no table. */
  readonly rawEntries: number;
  /** What of the payloads has no common type, and is JSON text. */
  readonly jsonTexts?: readonly { readonly path: string; readonly reason: string }[];
}

type Found = Awaited<ReturnType<typeof listDays>>;

function decodeModeOf(text: string | undefined): DecodeMode | undefined {
  if (text === undefined || text === 'schemas' || text === 'json') return text;
  throw new UsageError('--decode is alone, or --decode json');
}

function parseFileSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(?:([kMG])B?)?$/i.exec(text) ?? [];
  const bytes = Number(number) * ({ k: 1_000, g: 1_000_000_000 }[unit?.toLowerCase() ?? ''] ?? 1_000_000);
  if (bytes >= MIN_FILE_BYTES) return bytes;
  throw new UsageError('--file-size must be megabytes (256), or a number with its unit: 500kB, 64MB, 1GB');
}

const openTarget = async (
  to: string,
  region: string | undefined,
  isDry: boolean,
  terminal: Terminal,
): Promise<ExportTarget> => {
  if (!to.includes('://')) return openFolderTarget(to, { isDry });
  const { openBucketTarget } = await import('./bucket-target.ts');
  return openBucketTarget(to, region, terminal);
};

/** A place that is no folder, though a folder of that name could be made. @throws UsageError */
function expectPlace(to: string): void {
  if (to === '') throw new UsageError('--to is empty: name a folder, or cos://bucket-appid/prefix/');
  if (to.startsWith('~'))
    throw new UsageError(
      `--to ${to}: the shell did not replace ~ here: write --to ~/…, apart, or the whole path`,
    );
  const isOther = sep === '/' && /^[a-z]:[\\/]/i.test(to);
  if (isOther || (/^[a-z][a-z0-9+.-]+:/i.test(to) && !to.startsWith('cos://')))
    throw new UsageError(`--to ${to} is no folder of this machine: name one, or cos://bucket-appid/prefix/`);
}

/** The path that links lead to, as far as it is there. */
async function realPathOf(path: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found !== undefined || dirname(path) === path) return found ?? path;
  return join(await realPathOf(dirname(path)), basename(path));
}

/** Tables among the objects of an archive would be foreign to it. @throws UsageError */
async function expectApart(to: string, folder: string | undefined, { name }: Location): Promise<void> {
  const asFolder = async (path: string) => `${(await realPathOf(resolve(path))).replace(/\/*$/, '')}/`;
  const into = to.includes('://') ? `${to.replace(/\/*$/, '')}/` : await asFolder(to);
  const from = folder === undefined ? `cos://${name}` : await asFolder(folder);
  if (into.startsWith(from))
    throw new UsageError(`--to ${to} is inside of the archive: name a place outside of ${name}`);
}

const nothingOfTopic = ({ store, prefix, knowsMetadata }: Location, topic: TopicName, signal: AbortSignal) =>
  nothingOf(store, prefix, topic, { isLocal: !knowsMetadata, signal });

/** Waits where another export writes the same tables. */
async function takeLock(target: ExportTarget, topic: TopicName, terminal: Terminal): Promise<ExportLock> {
  const { signal, stderr } = terminal;
  let isSaid = false;
  return lockTables(target, topic, {
    clock: systemClock,
    signal,
    onWait(owner) {
      if (!isSaid) stderr.write(`waiting for another export of ${topic.topic} there: ${owner}\n`);
      isSaid = true;
    },
  });
}

async function planAll(
  { days, notes }: Found,
  target: ExportTarget,
  options: PlanOptions & Pick<ExportOptions, 'onDamaged'>,
): Promise<DayReport[]> {
  const plans: DayReport[] = [];
  for (const date of days.dates()) {
    const { change, sources, kept, note } = await planDay(date, days, notes.get(date), target, options, true);
    if (change === 'none') {
      plans.push({ date, state: 'unchanged', rows: note?.rows ?? 0, bytes: 0 });
      continue;
    }
    if (change === 'whole') await expectSources(target, options.topic, date, sources, options);
    const paths = new Set(sources.map(({ path }) => path));
    const counts = days
      .partitionsOf(date)
      .flatMap(({ recovered, others }) => [...recovered, ...others()])
      .filter(({ key }) => paths.has(pathOf(key)))
      .map(({ facts }) => facts.messages ?? Number.NaN);
    const rows = [...kept.files.map((file) => file.rows), ...counts].reduce((sum, count) => sum + count, 0);
    const estimate = sources.reduce(
      (sum, { path, sizeBytes }) => sum + sizeBytes * SHARES[compressionOf(path) ?? 'none'],
      0,
    );
    const state = note === undefined ? 'new' : 'changed';
    plans.push({ date, state, rows, bytes: Math.round(estimate) });
  }
  return plans;
}

function report(
  results: readonly TopicResult[],
  { isDry, isJson, to }: { isDry: boolean; isJson: boolean; to: string },
  { stdout }: Terminal,
): void {
  if (isJson) {
    stdout.write(
      `${JSON.stringify({ format: 'tdmq-backup-export-report/1', to, dryRun: isDry, topics: results })}\n`,
    );
    return;
  }
  for (const { topic, days, rawEntries, jsonTexts = [] } of results) {
    const written = days.filter(({ state }) => state !== 'unchanged');
    const sum = (name: 'rows' | 'bytes' | 'files') =>
      written.reduce((total, day) => total + (day[name] ?? 0), 0);
    const size = formatBytes(sum('bytes'));
    const rest = days.length - written.length;
    const rows = counted(sum('rows'), 'row');
    // Of objects that no manifest knows nobody says how many messages they hold.
    const most = Number.isNaN(sum('rows')) ? '' : `, at most ${rows}`;
    const what = isDry
      ? `would write ${counted(written.length, 'day')}${most}, about ${size}`
      : `${counted(written.length, 'day')} written, ${rows}, ${counted(sum('files'), 'file')}, ${size}`;
    stdout.write(`${topic}: ${what}${rest > 0 ? `; as before: ${counted(rest, 'day')}` : ''}\n`);
    for (const { path, reason } of jsonTexts.slice(0, MAX_NAMED))
      stdout.write(`${topic}: ${path} is JSON text, since ${reason}\n`);
    if (jsonTexts.length > MAX_NAMED)
      stdout.write(`${topic}: ${jsonTexts.length - MAX_NAMED} more are JSON text: --json names them\n`);
    if (rawEntries > 0)
      stdout.write(`${topic}: ${rawEntries} raw entries are in no table: archive recover decodes them\n`);
  }
}
