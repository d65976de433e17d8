// Payloads of JSON that no table has a type for: names, numbers, depths and widths of any kind. Each is in its row exactly,
// as JSON text where nothing else holds it, and the command names what became text.
import { expect, it } from 'vitest';
import { message } from '../../archive/archive-fixture.ts';
import { allTables, emptyArchive, query } from './exported.ts';

/** What the command says, the type of the column, and the rows as JSON. */
async function exportJson(...payloads: (string | Buffer | null)[]) {
  const archive = emptyArchive();
  const own = payloads.map((one, i) => message(0, i, { payload: one === null ? null : Buffer.from(one) }));
  await archive.store([own]);
  const { code, out, err } = await archive.run('export', '--to', archive.tables, '--decode', 'json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [{ type }] = (await query(
    `SELECT typeof(payload) AS type FROM ${allTables(archive.tables)} LIMIT 1`,
  )) as [{ type: string }];
  const rows = (await query(
    `SELECT payload::JSON::VARCHAR AS payload, decode_error, value FROM ${allTables(archive.tables)} ORDER BY entry_id`,
  )) as { payload: string | null; decode_error: string | null; value: string | null }[];
  expect(rows).toHaveLength(payloads.length);
  for (const [i, { value }] of rows.entries())
    if (typeof payloads[i] === 'string') expect(value).toBe(payloads[i]);
  return { out, type, rows, payloads: rows.map(({ payload }) => payload), reasonOf: reasonIn(out) };
}

const reasonIn = (out: string) => (path: string) =>
  new RegExp(`^\\S+: ${path.replaceAll(/[.[\]]/g, '\\$&')} is JSON text, since (.*)$`, 'm').exec(out)?.[1];

it.each([
  ['in one payload', ['{"o":{"a":1,"A":2}}', '{"o":{"b":1}}'], 'payload.o'],
  ['in two', ['{"o":{"a":1}}', '{"o":{"A":1}}'], 'payload.o'],
  ['beyond ASCII', ['{"o":{"ä":1}}', '{"o":{"Ä":1}}'], 'payload.o'],
  ['at the top', ['{"a":1,"A":2}', '{"b":1}'], 'payload'],
])('names that differ only in upper and lower case, %s, are kept apart', async (_, payloads, path) => {
  const { reasonOf, rows, type } = await exportJson(...payloads);
  expect(reasonOf(path)).toBe('two of its fields have the same name but for upper and lower case');
  expect(type).toBe(path === 'payload' ? 'VARCHAR' : 'STRUCT(o VARCHAR)');
  const texts = rows.map(({ payload }) => JSON.parse(payload as string));
  expect(texts.map((one) => (path === 'payload' ? one : { o: JSON.parse(one.o) }))).toEqual(
    payloads.map((one) => JSON.parse(one)),
  );
});

it('fields named as columns, words of SQL and anything else are fields', async () => {
  const names = [
    'id',
    'key',
    'payload',
    'decoded',
    'decodeError',
    'date',
    'select',
    'a"b',
    "c'd",
    'e\\f',
    '.',
    '😀',
    '\n',
    ' ',
  ];
  const one = JSON.stringify(Object.fromEntries(names.map((name, i) => [name, { [name]: i }])));
  const { out, payloads } = await exportJson(one);
  expect(out).not.toContain('JSON text');
  expect(JSON.parse(payloads[0] as string)).toEqual(JSON.parse(one));
});

it.each([
  ['an empty name', '{"o":{"":1}}'],
  ['a name with a zero', '{"o":{"a\\u0000b":1}}'],
])('%s makes its object a text', async (_, one) => {
  const { reasonOf, payloads } = await exportJson(one);
  expect(reasonOf('payload.o')).toBe('a field has a name that no column can have');
  expect(JSON.parse(JSON.parse(payloads[0] as string).o)).toEqual(JSON.parse(one).o);
});

it('numbers keep their digits, and what is no JSON says so', async () => {
  const { type, reasonOf, rows } = await exportJson(
    '{"int":9223372036854775807,"big":9223372036854775808,"ratio":0.1,"wide":0.12345678901234567890,"huge":1e400,"zero":-0.0}',
    '{"int":-9223372036854775808,"big":1,"ratio":1e3,"wide":1,"huge":1,"zero":0}',
    '{"int":NaN}',
    '{"int":Infinity}',
  );
  expect(type).toBe(
    'STRUCT("int" BIGINT, big VARCHAR, ratio DOUBLE, wide VARCHAR, huge VARCHAR, zero DOUBLE)',
  );
  for (const path of ['big', 'wide', 'huge'])
    expect(reasonOf(`payload.${path}`)).toBe(
      'it is a number of more digits than an integer of 64 bits or a double has',
    );
  expect(rows.map(({ payload }) => payload)).toEqual([
    '{"int":9223372036854775807,"big":"9223372036854775808","ratio":0.1,"wide":"0.12345678901234567890","huge":"1e400","zero":-0.0}',
    '{"int":-9223372036854775808,"big":"1","ratio":1000.0,"wide":"1","huge":"1","zero":0.0}',
    null,
    null,
  ]);
  expect(rows.slice(2).map(({ decode_error: error }) => error)).toEqual(['it is no JSON', 'it is no JSON']);
});

it('of a name that comes twice the last one counts, as in every reader of JSON', async () => {
  const { type, payloads } = await exportJson('{"a":1,"a":"x"}', '{"a":"y","__proto__":1,"constructor":2}');
  expect(type).toBe('STRUCT(a VARCHAR, __proto__ BIGINT, constructor BIGINT)');
  expect(payloads).toEqual([
    '{"a":"x","__proto__":null,"constructor":null}',
    '{"a":"y","__proto__":1,"constructor":2}',
  ]);
});

it('objects, lists, texts, tombstones and bytes side by side are each what they are', async () => {
  const { rows, reasonOf } = await exportJson(
    '{"a":1}',
    '[1]',
    '"t"',
    'true',
    '',
    null,
    Buffer.from([0xff]),
    'null',
  );
  expect(reasonOf('payload')).toBe('it is struct and list');
  expect(
    rows.map(({ payload, decode_error: error }) => (payload === null ? error : JSON.parse(payload))),
  ).toEqual([{ a: 1 }, [1], 't', true, 'it is no JSON', null, 'it is no text', null]);
});

it('a thousand levels are text behind thirty', async () => {
  const deep = `${'{"a":'.repeat(1_000)}[[${'['.repeat(1_000)}1${']'.repeat(1_000)}]]${'}'.repeat(1_000)}`;
  const { out, type, payloads } = await exportJson(deep);
  expect(out).toContain('since it is 30 levels deep');
  expect(type.match(/STRUCT/g)).toHaveLength(30);
  let inner = JSON.parse(payloads[0] as string);
  while (typeof inner !== 'string') inner = inner.a;
  expect(inner).toBe(deep.slice(30 * '{"a":'.length, -30));
});

it('of 10,000 fields an object is text, also where each of its objects has few', async () => {
  const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`f${i}`, i]));
  const { reasonOf, payloads, type } = await exportJson(JSON.stringify({ plain: { x: 1 }, wide }));
  expect(type).toBe('STRUCT(plain STRUCT(x BIGINT), wide VARCHAR)');
  expect(reasonOf('payload.wide')).toBe('it has more than 1000 names');
  expect(JSON.parse(JSON.parse(payloads[0] as string).wide)).toEqual(wide);
});

it('of 10,000 fields in objects of few each, the one that has most is text, over payloads of any kind', async () => {
  const users = (from: number) =>
    Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [`u${from + i}`, { name: 'n', age: 1, tags: [{ a: 1 }] }]),
    );
  const payloads = Array.from({ length: 9 }, (_, i) =>
    JSON.stringify({ plain: { x: i }, list: [{ y: i }], users: users(i * 100) }),
  );
  const { out, type, reasonOf, payloads: read } = await exportJson(...payloads);
  expect(type).toBe('STRUCT(plain STRUCT(x BIGINT), list STRUCT(y BIGINT)[], users VARCHAR)');
  expect(reasonOf('payload.users')).toBe('payloads have more than 1000 fields in all');
  expect(out.match(/JSON text/g)).toHaveLength(1);
  expect(JSON.parse(JSON.parse(read[8] as string).users)).toEqual(users(800));
});
