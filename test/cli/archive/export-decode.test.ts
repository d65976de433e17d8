// Payloads as columns with types: by the schemas that an archive keeps, over all of their versions, and as JSON shows them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import avro from 'avsc';
import { expect, it } from 'vitest';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import type { Message } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message } from '../../archive/archive-fixture.ts';
import { allTables, emptyArchive, query } from './exported.ts';

const TOPIC = parseTopicName('t/ns/orders') as TopicName;
type Archive = ReturnType<typeof emptyArchive>;

const versionOf = (number: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, number]);

/** Keeps a schema, and makes messages of payloads that name it. */
function keep(archive: Archive, number: number, type: string, definition: object) {
  const version = versionOf(number);
  const schema = { type, name: 'Order', properties: [], definition: Buffer.from(JSON.stringify(definition)) };
  const path = join(archive.archive, schemaKey('', TOPIC, schemaName(version)));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, encodeKeptSchema(keepSchema(TOPIC, version, schema)));
  return (entryId: number, payload: Buffer | null, rest: Partial<Message> = {}) =>
    message(0, entryId, { payload, schemaVersion: version, ...rest });
}

async function exportAll(archive: Archive, ...args: string[]) {
  const answer = await archive.run('export', '--to', archive.tables, ...args);
  expect(answer).toMatchObject({ code: 0, err: '' });
  return answer.out;
}

const rowsOf = (archive: Archive, columns: string) =>
  query(`SELECT ${columns} FROM ${allTables(archive.tables)} ORDER BY entry_id`);

const record = (...fields: object[]) => ({ type: 'record', name: 'Order', namespace: 'shop', fields });
const logical = (type: unknown, logicalType: string, more: object = {}) => ({ type, logicalType, ...more });

it('has a type for every type of Avro, and its values', async () => {
  const archive = emptyArchive();
  const definition = record(
    { name: 'number', type: 'long' },
    { name: 'small', type: 'int' },
    { name: 'ratio', type: 'double' },
    { name: 'single', type: 'float' },
    { name: 'flag', type: 'boolean' },
    { name: 'raw', type: 'bytes' },
    { name: 'amount', type: logical('bytes', 'decimal', { precision: 12, scale: 2 }) },
    { name: 'at', type: logical('long', 'timestamp-micros') },
    { name: 'local', type: logical('long', 'local-timestamp-millis') },
    { name: 'day', type: logical('int', 'date') },
    { name: 'clock', type: logical('int', 'time-millis') },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['OPEN', 'DONE'] } },
    { name: 'tags', type: { type: 'array', items: 'string' } },
    { name: 'counts', type: { type: 'map', values: 'long' } },
    {
      name: 'customer',
      type: ['null', record({ name: 'name', type: 'string' })].map((one) =>
        typeof one === 'string' ? one : { ...one, name: 'Customer' },
      ),
    },
    { name: 'either', type: ['null', 'int', 'string'] },
    { name: 'parent', type: ['null', 'Order'] },
  );
  const type = avro.Type.forSchema(definition as avro.Schema, { logicalTypes: {}, wrapUnions: true });
  const make = keep(archive, 0, 'AVRO', definition);
  const value = {
    number: 2 ** 52 - 1,
    small: -7,
    ratio: 0.1,
    single: 0.5,
    flag: true,
    raw: Buffer.from([0xff, 0]),
    amount: Buffer.from([0x30, 0x39]),
    at: 1_795_000_000_123_456,
    local: 1_795_000_000_123,
    day: 20_780,
    clock: 84_101_123,
    state: 'DONE',
    tags: ['a', 'ü'],
    counts: { x: 1 },
    customer: { 'shop.Customer': { name: 'Ada' } },
    either: { string: 'text' },
    parent: null,
  };
  await archive.store([
    [
      make(0, type.toBuffer(value)),
      make(
        1,
        type.toBuffer({
          ...value,
          number: -1,
          ratio: Number.NaN,
          customer: null,
          either: { int: 3 },
          tags: [],
          counts: {},
        }),
      ),
      make(2, null),
      make(3, Buffer.from('no Avro')),
      message(0, 4, { payload: Buffer.from('no schema') }),
      message(0, 5, { payload: Buffer.from('x'), schemaVersion: versionOf(9) }),
    ],
  ]);
  const out = await exportAll(archive, '--decode');
  expect(out).toContain('payload.either is JSON text, since it is integer and text');
  expect(out).toContain('payload.parent is JSON text, since the record is in itself');
  const described = (await query(`DESCRIBE SELECT payload FROM ${allTables(archive.tables)}`)) as [
    { column_type: string },
  ];
  expect(described[0].column_type).toBe(
    'STRUCT(number BIGINT, small INTEGER, ratio DOUBLE, single FLOAT, flag BOOLEAN, raw BLOB, amount DECIMAL(12,2), "at" TIMESTAMP WITH TIME ZONE, "local" TIMESTAMP, "day" DATE, clock VARCHAR, state VARCHAR, tags VARCHAR[], counts MAP(VARCHAR, BIGINT), customer STRUCT("name" VARCHAR), either VARCHAR, parent VARCHAR)',
  );
  const rows = (await rowsOf(archive, 'payload, decode_error, is_tombstone')) as {
    payload: unknown;
    decode_error: unknown;
  }[];
  expect(rows[0]).toEqual({
    payload: {
      number: '4503599627370495',
      small: -7,
      ratio: 0.1,
      single: 0.5,
      flag: true,
      raw: '\\xFF\\x00',
      amount: '123.45',
      at: '2026-11-18 11:06:40.123456+00',
      local: '2026-11-18 11:06:40.123',
      day: '2026-11-23',
      clock: '23:21:41.123',
      state: 'DONE',
      tags: ['a', 'ü'],
      counts: [{ key: 'x', value: '1' }],
      customer: { name: 'Ada' },
      either: '"text"',
      parent: null,
    },
    decode_error: null,
    is_tombstone: false,
  });
  expect(rows[1]?.payload).toMatchObject({
    number: '-1',
    ratio: 'NaN',
    customer: null,
    either: '3',
    tags: [],
    counts: [],
  });
  expect(rows[2]).toEqual({ payload: null, decode_error: null, is_tombstone: true });
  expect(rows.slice(3).map(({ payload, decode_error }) => [payload, decode_error])).toEqual([
    [null, expect.stringContaining('does not fit its schema')],
    [null, null],
    [null, 'the archive does not have the schema of version 9'],
  ]);
});

it('merges the versions of a schema, and writes all days again when one comes', async () => {
  const archive = emptyArchive();
  const first = record(
    { name: 'id', type: 'int' },
    { name: 'gone', type: 'string' },
    { name: 'changed', type: 'int' },
  );
  const second = record(
    { name: 'id', type: 'long' },
    { name: 'changed', type: 'string' },
    { name: 'note', type: ['null', 'string'] },
  );
  const make = keep(archive, 0, 'AVRO', first);
  const encode = (schema: object, value: unknown) =>
    avro.Type.forSchema(schema as avro.Schema, { wrapUnions: true }).toBuffer(value as object);
  await archive.store([[make(0, encode(first, { id: 1, gone: 'g', changed: 5 }))]]);
  expect(await exportAll(archive, '--decode')).not.toContain('JSON text');
  const makeNext = keep(archive, 1, 'AVRO', second);
  const later = { publishTimeMs: Date.UTC(2026, 10, 24) };
  await archive.store([
    [makeNext(1, encode(second, { id: 2 ** 40, changed: 'c', note: { string: 'n' } }), later)],
  ]);
  const out = await exportAll(archive, '--decode');
  expect(out).toContain('2 days written, 2 rows');
  expect(out).toContain('payload.changed is JSON text, since it is integer and text');
  expect(await rowsOf(archive, 'payload')).toEqual([
    { payload: { id: '1', gone: 'g', changed: '5', note: null } },
    { payload: { id: '1099511627776', gone: null, changed: '"c"', note: 'n' } },
  ]);
});

it('has key and value of KEY_VALUE schemas, and what JSON producers write', async () => {
  const archive = emptyArchive();
  const definition = record(
    { name: 'id', type: 'long' },
    {
      name: 'items',
      type: ['null', { type: 'array', items: record({ name: 'sku', type: ['null', 'string'] }) }],
    },
  );
  const make = keep(
    archive,
    0,
    'JSON',
    JSON.parse(
      JSON.stringify(definition).replace(
        '"name":"Order","namespace":"shop","fields":[{"name":"sku"',
        '"name":"Item","fields":[{"name":"sku"',
      ),
    ),
  );
  await archive.store([
    [
      make(0, Buffer.from('{"id":9223372036854775807,"items":[{"sku":"A"},{}]}')),
      make(1, Buffer.from('{"id":"7"}')),
      make(2, Buffer.from('{"id":1.5}')),
      make(3, Buffer.from('[1]')),
    ],
  ]);
  await exportAll(archive, '--decode');
  expect(await rowsOf(archive, 'payload, decode_error')).toEqual([
    { payload: { id: '9223372036854775807', items: [{ sku: 'A' }, { sku: null }] }, decode_error: null },
    { payload: { id: '7', items: null }, decode_error: null },
    { payload: null, decode_error: expect.any(String) },
    { payload: null, decode_error: expect.any(String) },
  ]);
});

it('finds types in JSON without a schema, keeps them for the next time, and widens them', async () => {
  const archive = emptyArchive();
  const json = (entryId: number, value: string, rest: Partial<Message> = {}) =>
    message(0, entryId, { payload: Buffer.from(value), ...rest });
  await archive.store([
    [
      json(0, '{"a":1,"b":[1,2.5],"c":{"d":null},"e":"x","f":1}'),
      json(1, '{"a":9007199254740993,"c":{"d":true},"f":"text","g":0.10,"h":{}}'),
      json(2, 'no JSON'),
      json(3, 'null'),
    ],
  ]);
  const out = await exportAll(archive, '--decode', 'json');
  expect(out).toContain('1 day written, 4 rows');
  expect(out).toContain('payload.f is JSON text, since it is integer and text');
  const types = async () =>
    (
      (await query(`DESCRIBE SELECT payload FROM ${allTables(archive.tables)}`)) as [{ column_type: string }]
    )[0].column_type;
  expect(await types()).toBe(
    'STRUCT(a BIGINT, b DOUBLE[], c STRUCT(d BOOLEAN), e VARCHAR, f VARCHAR, g DOUBLE, h VARCHAR)',
  );
  expect(await rowsOf(archive, 'payload, decode_error')).toEqual([
    {
      payload: { a: '1', b: [1, 2.5], c: { d: null }, e: 'x', f: '1', g: null, h: null },
      decode_error: null,
    },
    {
      payload: { a: '9007199254740993', b: null, c: { d: true }, e: null, f: '"text"', g: 0.1, h: '{}' },
      decode_error: null,
    },
    { payload: null, decode_error: 'it is no JSON' },
    { payload: null, decode_error: null },
  ]);
  const later = { publishTimeMs: Date.UTC(2026, 10, 24) };
  await archive.store([[json(4, '{"a":2}', later)]]);
  expect(await exportAll(archive, '--decode', 'json')).toContain('1 day written, 1 row');
  await archive.store([[json(5, '{"z":true}', later)]]);
  expect(await exportAll(archive, '--decode', 'json')).toContain('2 days written, 6 rows');
  expect(await types()).toContain('z BOOLEAN');
});

it('takes payloads for JSON whose schema the archive does not have, where that is asked for', async () => {
  const archive = emptyArchive();
  const schemaVersion = versionOf(3);
  await archive.store([
    [
      message(0, 0, { payload: Buffer.from('{"a":1}'), schemaVersion }),
      message(0, 1, { payload: Buffer.from([2, 0xff]), schemaVersion }),
    ],
  ]);
  await exportAll(archive, '--decode', 'json');
  expect(await rowsOf(archive, 'payload, decode_error')).toEqual([
    { payload: { a: '1' }, decode_error: null },
    { payload: null, decode_error: 'the archive does not have the schema of version 3' },
  ]);
});
