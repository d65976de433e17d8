// `npm run bench:archive -- --tables 1000000,10000000`: archives of so many messages of 1 KiB (`--value 170`: values of so
// many bytes) as tables, all of one day. CPU and peak memory of `archive export` beside DuckDB's own COPY of the same JSON
// lines in the same run and, with `--writers DIR`, beside the other writers that are installed there; the sizes, and five
// queries over both. Linux only.
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createCompressor } from '../../src/format/compression.ts';
import { objectKey } from '../../src/format/object-key.ts';
import { encodeRecord } from '../../src/format/record.ts';
import type { Message } from '../../src/ports.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import { type Cost, measure, measureOwn } from './archive-objects.ts';
import { progress, table } from './report.ts';

const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
const PARTITIONS = 4;
const MESSAGES_AN_OBJECT = 5_000;
/** Of text in a value of 1 KiB. */
const TEXT_LENGTH = 850;
/** Around the text of a value. */
const FRAME_LENGTH = 42;
const DAY_MS = 80_000_000;
const START_MS = Date.UTC(2026, 10, 23);
const MB = 1_000_000;
const DUCKDB = join(import.meta.dirname, 'duckdb.cjs');
const WRITERS = join(import.meta.dirname, 'parquet-writers.mjs');

/** Over `messages`, and over JSON lines with the names of their fields. */
const QUERIES: readonly (readonly [name: string, tables: string, lines: string])[] = [
  ['count', 'SELECT count(*) FROM messages', 'SELECT count(*) FROM lines'],
  [
    'messages of one key',
    `SELECT count(*) FROM messages WHERE key = 'customer-7'`,
    `SELECT count(*) FROM lines WHERE key = 'customer-7'`,
  ],
  [
    'ten busiest keys',
    'SELECT key, count(*) FROM messages GROUP BY 1 ORDER BY 2 DESC LIMIT 10',
    'SELECT key, count(*) FROM lines GROUP BY 1 ORDER BY 2 DESC LIMIT 10',
  ],
  [
    'messages per minute of an hour',
    `SELECT date_trunc('minute', publish_time) AS m, count(*) FROM messages WHERE publish_time BETWEEN '2026-11-23 00:10:00Z' AND '2026-11-23 01:10:00Z' GROUP BY 1`,
    `SELECT date_trunc('minute', "publishTime"::TIMESTAMPTZ) AS m, count(*) FROM lines WHERE "publishTime"::TIMESTAMPTZ BETWEEN '2026-11-23 00:10:00Z' AND '2026-11-23 01:10:00Z' GROUP BY 1`,
  ],
  [
    'sum of a field of the payload',
    `SELECT sum((value->>'$.amount')::DOUBLE) FROM messages`,
    `SELECT sum((value->>'$.amount')::DOUBLE) FROM lines`,
  ],
];

/** Values of so many bytes, and a folder where other writers are installed. */
export interface TablesOptions {
  readonly valueBytes: number | undefined;
  readonly writers: string | undefined;
  readonly keeps: boolean;
}

/** Measures an archive of so many messages below `folder`, and prints tables of the results. */
export async function measureTables(
  messages: number,
  folder: string,
  { valueBytes, writers, keeps }: TablesOptions,
): Promise<void> {
  const copy = join(folder, `tables-${messages}-${valueBytes ?? 'kib'}`);
  const textLength = valueBytes === undefined ? TEXT_LENGTH : valueBytes - FRAME_LENGTH;
  if (!existsSync(copy)) fill(copy, messages, textLength);
  const made = join(folder, 'tables-made');
  const files = filesIn(copy);
  const lines = join(copy, '**/*.jsonl');
  const rows: string[][] = [];
  const add = (name: string, { seconds, cpuSeconds, peakBytes = 0 }: Cost, times = '') => {
    const micros = ((cpuSeconds * MB) / messages).toFixed(1);
    rows.push([name, seconds.toFixed(1), cpuSeconds.toFixed(1), micros, (peakBytes / MB).toFixed(0), times]);
    progress(rows.at(-1)?.join('  ') ?? '');
  };
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made);
  const to = join(made, 'tables');
  const exported = await measureOwn(['export', '--folder', copy, '--to', to]);
  progress(`archive export: ${exported.cpuSeconds} s of CPU, ${(exported.peakBytes ?? 0) / MB} MB`);
  const copied = await measure(duckdb('copy', lines, join(made, 'own.parquet')));
  add("DuckDB's COPY of the JSON lines", copied);
  add('archive export', exported, `${(exported.cpuSeconds / copied.cpuSeconds).toFixed(2)} × COPY`);
  add('archive export, nothing new', await measureOwn(['export', '--folder', copy, '--to', to]));
  const others = writers === undefined ? [] : ['hyparquet', 'wasm'];
  for (const what of others) {
    const cost = await measure(otherWriter(writers as string, what, copy, join(made, `${what}.parquet`)));
    add(`${what} writer`, cost, `${(cost.cpuSeconds / copied.cpuSeconds).toFixed(2)} × COPY`);
  }
  const heads = ['', 'seconds', 'CPU seconds', 'CPU µs a message', 'peak MB', 'CPU, times'];
  process.stdout.write(`\n${messages.toLocaleString('en-US')} messages\n\n${table(heads, rows)}`);

  const sizes = [
    ['JSON lines', sizeOf(files)],
    ['JSON lines, gzip', await compressedSize(files, 'gzip')],
    ['JSON lines, zstd', await compressedSize(files, 'zstd')],
    ['tables of archive export', sizeOf(filesIn(to).filter((path) => path.endsWith('.parquet')))],
    ["DuckDB's own COPY", sizeOf([join(made, 'own.parquet')])],
    ...others.map((what) => [`${what} writer`, sizeOf([join(made, `${what}.parquet`)])] as const),
  ] as const;
  const sizeRows = sizes.map(([name, bytes]) => [name, (bytes / MB).toFixed(0)]);
  process.stdout.write(`\n${table(['', 'MB'], sizeRows)}`);

  const queryRows: string[][] = [];
  for (const [name, overTables, overLines] of QUERIES) {
    const ofTables = await measure(duckdb('tables', join(to, '**/*.parquet'), overTables));
    const ofLines = await measure(duckdb('lines', lines, overLines));
    const costs = [ofTables, ofLines].flatMap(({ seconds, cpuSeconds }) => [seconds, cpuSeconds]);
    const times = ofLines.cpuSeconds / ofTables.cpuSeconds;
    queryRows.push([name, ...costs.map((one) => one.toFixed(2)), times.toFixed(1)]);
    progress(queryRows.at(-1)?.join('  ') ?? '');
  }
  const queryHeads = ['', 'tables: seconds', 'CPU', 'JSON lines: seconds', 'CPU', 'CPU, times'];
  process.stdout.write(`\n${table(queryHeads, queryRows)}`);
  rmSync(made, { recursive: true, force: true });
  if (!keeps) rmSync(copy, { recursive: true, force: true });
}

/** DuckDB in a process of its own, as our command is. */
const duckdb = (...args: string[]): string[] => [
  process.execPath,
  '--require',
  join(import.meta.dirname, 'report-peak.cjs'),
  DUCKDB,
  ...args,
];

/** From where it is installed. */
const otherWriter = (home: string, what: string, from: string, path: string): string[] => {
  const program = [process.execPath, '--require', join(import.meta.dirname, 'report-peak.cjs'), WRITERS];
  return ['env', '-C', home, ...program, what, from, path];
};

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => statSync(path).isFile());

const sizeOf = (paths: readonly string[]): number =>
  paths.reduce((sum, path) => sum + statSync(path).size, 0);

async function compressedSize(paths: readonly string[], compression: 'gzip' | 'zstd'): Promise<number> {
  let size = 0;
  for (const path of paths) {
    const compressor = createCompressor(compression, (bytes) => {
      size += bytes.length;
    });
    await compressor?.write(readFileSync(path));
    await compressor?.end();
  }
  return size;
}

/** Objects of 5,000 messages, one partition after the other; 10 ms between two messages, or what keeps them in a day. */
function fill(copy: string, messages: number, textLength: number): void {
  progress(`making ${messages} messages`);
  const words = Array.from({ length: 3_000 }, (_, i) => ((i * 2_654_435_761) % 2 ** 32).toString(36));
  let random = 1;
  const next = (below: number) => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
    return random % below;
  };
  const entries = new Array<number>(PARTITIONS).fill(0);
  const gapMs = Math.min(10, Math.floor(DAY_MS / messages));
  for (let number = 0; number < messages; number += MESSAGES_AN_OBJECT) {
    const partition = (number / MESSAGES_AN_OBJECT) % PARTITIONS;
    const own = Array.from({ length: Math.min(MESSAGES_AN_OBJECT, messages - number) }, (_, i): Message => {
      const text: string[] = [];
      for (let length = 0; length < textLength; length += (text.at(-1)?.length ?? 0) + 1)
        text.push(words[next(words.length)] as string);
      const value = { order: number + i, amount: next(100_000) / 100, text: text.join(' ') };
      entries[partition] = (entries[partition] as number) + 1;
      return {
        id: { ledgerId: 12, entryId: entries[partition] as number, partition, batchIndex: -1 },
        topic: partitionTopic(TOPIC, partition),
        publishTimeMs: START_MS + (number + i) * gapMs,
        eventTimeMs: START_MS + (number + i) * gapMs,
        key: `customer-${next(10_000)}`,
        orderingKey: undefined,
        properties: [
          ['region', `r-${next(20)}`],
          ['type', 'order.created'],
        ],
        producer: `producer-${partition}`,
        sequenceId: number + i,
        schemaVersion: undefined,
        replicatedFrom: undefined,
        payload: Buffer.from(JSON.stringify(value)),
      };
    });
    const path = join(copy, objectKey('', TOPIC, own[0] as Message, 'none'));
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, own.map(encodeRecord).join(''));
  }
}
