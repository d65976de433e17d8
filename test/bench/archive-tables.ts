// `npm run bench:archive -- --tables 1000000`: an archive of so many messages of 1 KiB as tables. CPU and peak memory of
// `archive export` beside DuckDB's own COPY of the same JSON lines in the same run, the sizes, and five queries over both.
// Linux only.
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createCompressor, endCompression } from '../../src/format/compression.ts';
import { objectKey } from '../../src/format/object-key.ts';
import { encodeRecord } from '../../src/format/record.ts';
import type { Message } from '../../src/ports.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import { type Cost, measure, measureOwn } from './archive-objects.ts';
import { progress, table } from './report.ts';

const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
const PARTITIONS = 4;
const MESSAGES_AN_OBJECT = 5_000;
const VALUE_LENGTH = 850;
const START_MS = Date.UTC(2026, 10, 23);
const MB = 1_000_000;
const DUCKDB = join(import.meta.dirname, 'duckdb.cjs');

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

/** Measures an archive of so many messages below `folder`, and prints tables of the results. */
export async function measureTables(messages: number, folder: string, keeps: boolean): Promise<void> {
  const copy = join(folder, `tables-${messages}`);
  if (!existsSync(copy)) fill(copy, messages);
  const made = join(folder, 'tables-made');
  const files = filesIn(copy);
  const lines = join(copy, '**/*.jsonl');
  const rows: string[][] = [];
  const add = (name: string, { seconds, cpuSeconds, peakBytes = 0 }: Cost, times = '') => {
    rows.push([name, seconds.toFixed(1), cpuSeconds.toFixed(1), (peakBytes / MB).toFixed(0), times]);
    progress(rows.at(-1)?.join('  ') ?? '');
  };
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made);
  const copied = await measure(duckdb('copy', lines, join(made, 'own.parquet')));
  add("DuckDB's COPY of the JSON lines", copied);
  const to = join(made, 'tables');
  const exported = await measureOwn(['export', '--folder', copy, '--to', to]);
  add('archive export', exported, `${(exported.cpuSeconds / copied.cpuSeconds).toFixed(2)} × COPY`);
  add('archive export, nothing new', await measureOwn(['export', '--folder', copy, '--to', to]));
  process.stdout.write(
    `\n${messages.toLocaleString('en-US')} messages\n\n${table(['', 'seconds', 'CPU seconds', 'peak MB', 'CPU, times'], rows)}`,
  );

  const sizes = [
    ['JSON lines', sizeOf(files)],
    ['JSON lines, gzip', await compressedSize(files, 'gzip')],
    ['JSON lines, zstd', await compressedSize(files, 'zstd')],
    ['tables of archive export', sizeOf(filesIn(to).filter((path) => path.endsWith('.parquet')))],
    ["DuckDB's own COPY", sizeOf([join(made, 'own.parquet')])],
  ] as const;
  await endCompression();
  const sizeRows = sizes.map(([name, bytes]) => [name, (bytes / MB).toFixed(0)]);
  process.stdout.write(`\n${table(['', 'MB'], sizeRows)}`);

  const queryRows: string[][] = [];
  for (const [name, overTables, overLines] of QUERIES) {
    const ofTables = await measure(duckdb('tables', join(to, '**/*.parquet'), overTables));
    const ofLines = await measure(duckdb('lines', lines, overLines));
    queryRows.push([name, ...[ofTables, ofLines].map(({ seconds }) => seconds.toFixed(2))]);
    progress(queryRows.at(-1)?.join('  ') ?? '');
  }
  process.stdout.write(`\n${table(['', 'tables: seconds', 'JSON lines: seconds'], queryRows)}`);
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

/** Objects of 5,000 messages, one partition after the other; 10 ms between two messages. */
function fill(copy: string, messages: number): void {
  progress(`making ${messages} messages`);
  const words = Array.from({ length: 3_000 }, (_, i) => ((i * 2_654_435_761) % 2 ** 32).toString(36));
  let random = 1;
  const next = (below: number) => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
    return random % below;
  };
  const entries = new Array<number>(PARTITIONS).fill(0);
  for (let number = 0; number < messages; number += MESSAGES_AN_OBJECT) {
    const partition = (number / MESSAGES_AN_OBJECT) % PARTITIONS;
    const own = Array.from({ length: Math.min(MESSAGES_AN_OBJECT, messages - number) }, (_, i): Message => {
      const text: string[] = [];
      for (let length = 0; length < VALUE_LENGTH; length += (text.at(-1)?.length ?? 0) + 1)
        text.push(words[next(words.length)] as string);
      const value = { order: number + i, amount: next(100_000) / 100, text: text.join(' ') };
      entries[partition] = (entries[partition] as number) + 1;
      return {
        id: { ledgerId: 12, entryId: entries[partition] as number, partition, batchIndex: -1 },
        topic: partitionTopic(TOPIC, partition),
        publishTimeMs: START_MS + (number + i) * 10,
        eventTimeMs: START_MS + (number + i) * 10,
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
