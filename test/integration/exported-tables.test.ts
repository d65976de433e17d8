// What `archive export` writes, read by engines of others and compared with what `archive cat` prints: every row, every
// value, every type. The archives are golden objects of today's format and messages as odd as a broker lets them be.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import avro from 'avsc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJson } from '../../src/archive/decode/json-value.ts';
import { main } from '../../src/cli/main.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../src/format/kept-schema.ts';
import { decodeRecord, formatMessageId } from '../../src/format/record.ts';
import type { Message, Text } from '../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
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

const number = (value: number | bigint | string | undefined) =>
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

  it('reads decoded payloads as cat --decode prints them, over versions of a schema', async () => {
    const archive = emptyArchive();
    const types = keepShopSchemas(archive.archive);
    const at = { number: 2 ** 52 - 1, at: 1_795_000_000_123_456, local: 1_795_000_000_123, day: 20_780 };
    const value = {
      ...at,
      ratio: 0.5,
      flag: true,
      raw: Buffer.from([0xff, 0, 0x27]),
      amount: Buffer.from([0xff, 0x85]),
      tags: ['a', 'ü', ''],
      counts: { x: -1, '': 2 },
      customer: { 'shop.Customer': { name: 'Ada', lines: [{ sku: 'A', count: 3 }] } },
      exact: Buffer.from([0xff, 0xff, 0xff, 0x85]),
      clock: 84_101_123_456,
      ref: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
      span: Buffer.from([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
      state: 'DONE',
      either: { string: '7' },
      shape: { 'shop.Circle': { radius: 2 } },
    };
    const empty = {
      ...value,
      ...{ number: -1, flag: false, tags: [], counts: {}, customer: null },
      ...{ either: { int: 7 }, shape: { 'shop.Square': { side: 3 } } },
    };
    const one = (entryId: number, version: 0 | 1, rest: object) =>
      message(0, entryId, {
        schemaVersion: versionOf(version),
        payload: types[version].toBuffer({ ...value, ...rest }),
      });
    await archive.store([
      [
        one(0, 0, {}),
        one(1, 0, empty),
        one(2, 1, { note: { string: 'later' } }),
        one(3, 1, { ...empty, note: null }),
        message(0, 4, { schemaVersion: versionOf(1), payload: null }),
        message(0, 5, { payload: Buffer.from('names no schema') }),
      ],
    ]);
    const at0 = ['--folder', archive.archive];
    await command('export', ...at0, '--to', archive.tables, '--decode');
    const { terminal, out } = testTerminal();
    await main(['archive', 'cat', ...at0, '--decode'], terminal);
    const rows = await readTables(engine, archive.tables);
    expect(rows.size).toBe(6);
    for (const line of out().trimEnd().split('\n')) {
      const { id, decoded } = parseJson(line) as unknown as { id: string; decoded?: Shop };
      expect(rows.get(id)?.['payload']).toEqual(decoded ? expectedPayload(decoded) : null);
      expect(rows.get(id)?.['decode_error']).toBeNull();
    }
  });
});

/** A decoded value of the shop's schemas. */
interface Shop {
  readonly number: number;
  readonly at: string;
  readonly local: string;
  readonly day: string;
  readonly ratio: number;
  readonly flag: boolean;
  readonly raw: string;
  readonly amount: string;
  readonly tags: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
  readonly customer: {
    readonly name: string;
    readonly lines: readonly { sku: string; count: number }[];
  } | null;
  readonly note?: string | null;
  readonly exact: string;
  readonly clock: string;
  readonly ref: string;
  readonly span: string;
  readonly state: string;
  readonly either: string | number;
  readonly shape: { readonly radius?: number; readonly side?: number };
}

/** What Python makes of the decoded values of the shop's schemas. */
function expectedPayload(decoded: Shop): Record<string, unknown> {
  const { number: count, at, local, day, ratio, flag, raw, amount, tags, counts, customer, note } = decoded;
  const { exact, clock, ref, span, state, either, shape } = decoded;
  const times = (text: string) => ({
    time: text.replace('Z', '').padEnd('2026-11-23T00:00:00.000000'.length, '0'),
  });
  return {
    number: number(count),
    at: times(at),
    local: times(local),
    day: { date: day },
    ratio: { float: String(ratio) },
    flag,
    raw: { base64: raw },
    amount: number(amount),
    tags: listOf(tags),
    counts: Object.fromEntries(Object.entries(counts).map(([key, one]) => [key, number(one)])),
    customer: customer && {
      name: customer.name,
      lines: listOf(customer.lines.map((one) => ({ sku: one.sku, count: number(one.count) }))),
    },
    note: note ?? null,
    exact: number(exact),
    // Spark opens no file that has a time of the day or a UUID in it.
    ...{ clock, ref, span, state },
    // Of branches that have nothing in common; of records a struct of the fields of all.
    either: JSON.stringify(either),
    shape: {
      radius: shape.radius === undefined ? null : number(shape.radius),
      side: shape.side === undefined ? null : number(shape.side),
    },
  };
}

/** An empty list looks as an empty map does. */
const listOf = (items: readonly unknown[]) => (items.length === 0 ? {} : items);

const versionOf = (number: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, number]);

/** Two versions of a schema: a field more, and a wider one. */
function keepShopSchemas(archive: string): [avro.Type, avro.Type] {
  const record = (name: string, fields: object[]) => ({ type: 'record', name, namespace: 'shop', fields });
  const line = record('Line', [
    { name: 'sku', type: 'string' },
    { name: 'count', type: 'int' },
  ]);
  const fixed = (name: string, size: number) => ({ type: 'fixed', name, size });
  const fields = (more: object[]) => [
    { name: 'number', type: 'long' },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'local', type: { type: 'long', logicalType: 'local-timestamp-millis' } },
    { name: 'day', type: { type: 'int', logicalType: 'date' } },
    { name: 'ratio', type: more.length === 0 ? 'float' : 'double' },
    { name: 'flag', type: 'boolean' },
    { name: 'raw', type: 'bytes' },
    { name: 'amount', type: { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 } },
    { name: 'tags', type: { type: 'array', items: 'string' } },
    { name: 'counts', type: { type: 'map', values: 'long' } },
    {
      name: 'customer',
      type: [
        'null',
        record('Customer', [
          { name: 'name', type: 'string' },
          { name: 'lines', type: { type: 'array', items: line } },
        ]),
      ],
    },
    { name: 'exact', type: { ...fixed('Exact', 4), logicalType: 'decimal', precision: 8, scale: 2 } },
    { name: 'clock', type: { type: 'long', logicalType: 'time-micros' } },
    { name: 'ref', type: { type: 'string', logicalType: 'uuid' } },
    { name: 'span', type: { ...fixed('Span', 12), logicalType: 'duration' } },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['OPEN', 'DONE'] } },
    { name: 'either', type: ['int', 'string'] },
    {
      name: 'shape',
      type: [
        record('Circle', [{ name: 'radius', type: 'long' }]),
        record('Square', [{ name: 'side', type: 'long' }]),
      ],
    },
    ...more,
  ];
  const topic = parseTopicName('t/ns/orders') as TopicName;
  const keep = (number: number, more: object[]) => {
    const definition = record('Order', fields(more));
    const bytes = Buffer.from(JSON.stringify(definition));
    const schema = { type: 'AVRO', name: 'Order', properties: [], definition: bytes };
    const path = join(archive, schemaKey('', topic, schemaName(versionOf(number))));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, encodeKeptSchema(keepSchema(topic, versionOf(number), schema)));
    return avro.Type.forSchema(definition as avro.Schema, { logicalTypes: {}, wrapUnions: true });
  };
  return [keep(0, []), keep(1, [{ name: 'note', type: ['null', 'string'] }])];
}

/** The topics of the golden objects. */
const goldenTopics = (): string[] =>
  (JSON.parse(readFileSync(`${GOLDEN}-expected.json`, 'utf8')) as { topic: string }[]).map(({ topic }) =>
    topic.replace(/^persistent:\/\//, '').replace(/-partition-\d+$/, ''),
  );
