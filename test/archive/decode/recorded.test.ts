// What the official clients encode, with the schemas that a broker keeps of it (test/fixtures/schemas), against what the
// official Java client reads of it: the typed consumer, and AUTO_CONSUME.
import { expect, test } from 'vitest';
import { type JsonValue, NumberText } from '../../../src/archive/decode/json-value.ts';
import { RECORDED, type RecordedContent, type RecordedValue } from './recordings.ts';

type Fields = { readonly [name: string]: JsonValue };

function decode({ decoder, key, payload }: RecordedValue): RecordedContent {
  const decoded = decoder.decode(key, payload);
  if (decoded.kind === 'undecoded') throw new Error(decoded.error);
  const { kind: _, ...content } = decoded;
  return content;
}

/** Numbers as their value: Java writes 0.0, and 1.4E-45 for the float that is 1e-45 as well. */
const plain = (value: unknown): unknown => {
  if (value instanceof NumberText) return plain(Number(value.text));
  if (typeof value === 'number' && Math.abs(value) < 1e-40) return Math.fround(value) || value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
};

const topics = [...new Set(RECORDED.map(({ topic }) => topic))];
const of = (topic: string) => RECORDED.filter((message) => message.topic === topic);

test('the recordings hold every type of schema', () => {
  expect(new Set(RECORDED.map(({ type }) => type))).toEqual(
    new Set([
      ...[
        'STRING',
        'BOOLEAN',
        'INT8',
        'INT16',
        'INT32',
        'INT64',
        'FLOAT',
        'DOUBLE',
        'DATE',
        'TIME',
        'TIMESTAMP',
      ],
      ...[
        'INSTANT',
        'LOCAL_DATE',
        'LOCAL_TIME',
        'LOCAL_DATE_TIME',
        'AVRO',
        'JSON',
        'PROTOBUF',
        'PROTOBUF_NATIVE',
      ],
      'KEY_VALUE',
    ]),
  );
});

// JSON is given as it was written, which is not how Java holds it; PROTOBUF schemas do not keep all that its class knows.
const AS_TYPED = topics.filter((topic) => !/^json|^protobuf$|mixed|^python/.test(topic));
test.each(AS_TYPED)('%s: every field is what the typed consumer in Java reads', (topic) => {
  for (const message of of(topic))
    if (message.typed != null) expect(plain(decode(message))).toEqual(plain(message.typed));
});

// Java's AUTO_CONSUME reads all texts as UTF-8, and no PROTOBUF schemas.
const AS_GENERIC = topics.filter((topic) => !/utf-16|latin|^protobuf$|^json-times/.test(topic));
test.each(AS_GENERIC)('%s: every field is what AUTO_CONSUME in Java reads', (topic) => {
  for (const message of of(topic)) expect(plain(decode(message))).toEqual(plain(message.generic));
});

test('three versions of a schema on one topic: each message is decoded as it was written', () => {
  const messages = of('avro-evolution');
  expect(messages.map(({ version }) => version)).toEqual(['AAAAAAAAAAA=', 'AAAAAAAAAAE=', 'AAAAAAAAAAI=']);
  expect(messages.map((message) => plain(decode(message).value))).toEqual([
    { a: 0, gone: 'text' },
    { a: 1 },
    { new: [1, 2], a: 9_223_372_036_854_775_807n },
  ]);
});

test('JSON keeps the digits and the forms that its producer wrote', () => {
  const [message] = of('json-times');
  expect(decode(message as RecordedValue).value).toEqual({
    day: [2026, 11, 23],
    date: 1_764_000_000_123,
    at: new NumberText('1764000000.123000000'),
    amount: new NumberText('-12345678901234567890.1230'),
    uuid: '00010203-0405-0607-0809-0a0b0c0d0e0f',
  });
});

test('a PROTOBUF schema gives its own fields; what is nested is its bytes, enums are numbers', () => {
  const [full, empty] = of('protobuf') as [RecordedValue, RecordedValue];
  const expected = full.typed?.value as Fields;
  const item = (name: string, count: number) =>
    Buffer.from([...(count === 0 ? [] : [8, count]), 26, name.length, ...Buffer.from(name)]).toString(
      'base64',
    );
  const changed = {
    state: 5,
    states: [5, 9],
    main: item('m', 1),
    items: [item('i', 2), ''],
    by_name: { n: item('o', 4) },
    counts: [Buffer.from([8, ...Buffer.from('f9ffffffffffffffff01', 'hex'), 16, 15]).toString('base64')],
  };
  const parent = { ...(expected['parent'] as Fields), ...changed, cash: 0 };
  expect(plain(decode(full).value)).toEqual(plain({ ...expected, ...changed, card: '', parent }));
  const zero = { ...(empty.typed?.value as Fields), card: '', cash: 0, maybe: 0, counts: [] };
  expect(plain(decode(empty).value)).toEqual(
    plain(Object.fromEntries(Object.entries(zero).filter(([name]) => name !== 'state'))),
  );
});
