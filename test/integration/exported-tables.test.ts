// What `archive export` writes, read by engines of others and compared with what `archive cat` prints: every row, every
// value, every type. The archives are golden objects of today's format and messages as odd as a broker lets them be.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { decodeRecord, formatMessageId } from '../../src/format/record.ts';
import type { Message, Text } from '../../src/ports.ts';
import { message, messages } from '../archive/archive-fixture.ts';
import { emptyArchive } from '../cli/archive/exported.ts';
import { testTerminal } from '../cli/terminal.ts';
import { pythonWith } from './python.ts';
import { runCommand } from './run-command.ts';

const ENGINES = ['pyarrow', 'duckdb', 'polars', 'spark'];
const GOLDEN = join(import.meta.dirname, '../fixtures/golden/v1');
const DAY_MS = 86_400_000;

let python: string;
const folders: string[] = [];
beforeAll(async () => {
  python = await pythonWith('engines.txt');
}, 600_000);
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

type Row = Record<string, unknown> & { readonly id: string };

/** The rows by id, as an engine reads them. */
async function readTables(engine: string, tables: string): Promise<Map<string, Row>> {
  const script = join(import.meta.dirname, 'read_tables.py');
  const printed = await runCommand(python, [script, engine, tables], {
    timeoutMs: 110_000,
    env: { ...process.env, SPARK_LOCAL_IP: '127.0.0.1', PYSPARK_PYTHON: python },
  });
  const rows = printed
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Row);
  const byId = new Map(rows.map((row) => [row.id, row]));
  expect(byId.size).toBe(rows.length);
  return byId;
}

async function command(...args: string[]): Promise<string> {
  const { terminal, out, err } = testTerminal();
  expect({ code: await main(['archive', ...args], terminal), err: err() }).toEqual({ code: 0, err: '' });
  return out();
}

const number = (value: number | bigint | undefined) =>
  value === undefined ? null : { number: String(value) };
const bytes = (value: Uint8Array | undefined | null) =>
  value ? { base64: Buffer.from(value).toString('base64') } : null;
const text = (value: Text | undefined) => (typeof value === 'string' ? value : null);

/** Microseconds, as Python writes them. */
const time = (timeMs: Message['publishTimeMs'] | undefined) =>
  timeMs === undefined || timeMs < Date.UTC(1900) || timeMs > Date.UTC(9999, 11, 31, 23, 59, 59, 999)
    ? null
    : { time: new Date(Number(timeMs)).toISOString().replace('Z', '000') };

/** The row that a record is to be. */
function expectedRow(line: string): Row {
  const record = JSON.parse(line) as { value?: string | null };
  const one = decodeRecord(line);
  const { id, properties, payload } = one;
  const pairs = properties.filter((pair): pair is [string, string] =>
    pair.every((part) => typeof part === 'string'),
  );
  return {
    id: formatMessageId(id),
    ledger_id: number(id.ledgerId),
    entry_id: number(id.entryId),
    partition: number(id.partition),
    batch_index: number(id.batchIndex),
    publish_time: time(one.publishTimeMs),
    event_time: time(one.eventTimeMs),
    key: text(one.key),
    key_bytes: one.key instanceof Uint8Array ? bytes(one.key) : null,
    ordering_key: bytes(one.orderingKey),
    properties: Object.fromEntries(pairs),
    producer: text(one.producer),
    sequence_id: number(one.sequenceId),
    schema_version: bytes(one.schemaVersion),
    replicated_from: text(one.replicatedFrom),
    value: typeof record.value === 'string' ? record.value : null,
    value_bytes: typeof record.value === 'string' ? null : bytes(payload),
    is_tombstone: payload === null,
  };
}

async function expectSame(engine: string, archive: string, tables: string, topic: string): Promise<void> {
  const printed = (await command('cat', '--folder', archive, '--topic', topic)).trimEnd().split('\n');
  const rows = await readTables(engine, tables);
  expect(rows.size).toBe(printed.length);
  for (const line of printed) {
    const expected = expectedRow(line);
    const { other_fields: _, ...row } = rows.get(expected.id) as Row;
    expect(row).toEqual(expected);
  }
}

describe.each(ENGINES)('%s', (engine) => {
  it('reads the golden objects as they are', async () => {
    const tables = await mkdtemp(join(tmpdir(), 'tdmq-backup-tables-'));
    folders.push(tables);
    const topics = [...new Set(goldenTopics())];
    for (const topic of topics) {
      await command('export', '--folder', GOLDEN, '--topic', topic, '--to', join(tables, 't'));
      await expectSame(engine, GOLDEN, join(tables, 't'), topic);
    }
  });

  it('reads what a producer, a clock and a broker of any kind have left', async () => {
    const archive = emptyArchive();
    const start = Number(message(0, 0).publishTimeMs);
    const odd = Buffer.from([0xff, 0, 0xc3, 0x28]);
    const batch = (batchIndex: number, rest: Partial<Message> = {}) =>
      message(1, 30, { ...rest, id: { ledgerId: 9, entryId: 30, partition: 1, batchIndex } });
    await archive.store([
      [
        message(0, 0, { payload: null }),
        message(0, 1, { payload: Buffer.alloc(0), key: '', properties: [['', '']] }),
        message(0, 2, { payload: odd, key: odd, orderingKey: odd, schemaVersion: odd }),
        message(0, 3, { sequenceId: 2n ** 64n - 1n, eventTimeMs: 1, replicatedFrom: 'gz' }),
        message(0, 4, { key: undefined, properties: [], producer: undefined, sequenceId: undefined }),
        message(0, 5, {
          payload: Buffer.from('😀\u0000"\\u0000\n\\ud83d'),
          key: '\u0000',
          properties: [['\u0000', '😀']],
        }),
        message(0, 6, { eventTimeMs: -1 }),
        message(0, 7, { eventTimeMs: 2n ** 63n }),
        message(0, 8, {
          producer: odd,
          replicatedFrom: odd,
          properties: [
            [odd, 'v'],
            ['n', odd],
            ['m', 'w'],
          ],
        }),
        message(0, 9, { publishTimeMs: 2n ** 64n - 1n }),
        message(0, 10, { publishTimeMs: 0, payload: Buffer.alloc(2_000_000, 'ü') }),
        message(0, 11, { publishTimeMs: start + DAY_MS / 2 }),
      ],
      messages(0, 12, 40),
      messages(0, 30, 50),
      [batch(0), batch(1), batch(2, { payload: Buffer.from('{"a":1}') })],
      messages(-1, 0, 3),
    ]);
    await command('export', '--folder', archive.archive, '--to', archive.tables);
    await expectSame(engine, archive.archive, archive.tables, 't/ns/orders');
  });
});

/** The topics of the golden objects. */
const goldenTopics = (): string[] =>
  (JSON.parse(readFileSync(`${GOLDEN}-expected.json`, 'utf8')) as { topic: string }[]).map(({ topic }) =>
    topic.replace(/^persistent:\/\//, '').replace(/-partition-\d+$/, ''),
  );
