// Payloads of JSON schemas: given as they were written, where they can be of the type.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDecoder } from '../../../src/archive/decode/decoder.ts';
import { jsonText, parseJson } from '../../../src/archive/decode/json-value.ts';
import { anyCharacter } from '../../any-character.ts';
import { schemaOf } from './schemas.ts';

const ORDER = {
  ...{ type: 'record', name: 'Order' },
  fields: [
    { name: 'id', type: 'long' },
    { name: 'letter', type: { type: 'int', 'java-class': 'java.lang.Character' } },
    { name: 'small', type: { type: 'int', 'java-class': 'java.lang.Byte' } },
    { name: 'text', type: ['null', 'string'] },
    { name: 'yes', type: 'boolean' },
    { name: 'price', type: 'double' },
    { name: 'color', type: { type: 'enum', name: 'Color', symbols: ['RED'] } },
    { name: 'day', type: { type: 'int', logicalType: 'date' } },
    { name: 'bytes', type: 'bytes' },
    { name: 'list', type: { type: 'array', items: 'Order' } },
    { name: 'map', type: { type: 'map', values: 'int' } },
    {
      name: 'date',
      type: { type: 'record', name: 'Date', namespace: 'java.util', fields: [{ name: 'x', type: 'int' }] },
    },
    { name: 'letters', type: { type: 'array', items: 'int', 'java-class': '[C' } },
    {
      name: 'numbered',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'P',
          fields: [
            { name: 'key', type: 'int' },
            { name: 'value', type: 'int' },
          ],
        },
      },
    },
  ],
};

function decode(payload: string | Uint8Array, definition: object | string = ORDER): string {
  const decoded = createDecoder(schemaOf('JSON', definition)).decode(
    undefined,
    Buffer.from(payload as string),
  );
  return decoded.kind === 'undecoded' ? decoded.error : jsonText(decoded.value);
}

test('JSON stays what it is, in one line: its digits, its order, fields that the schema does not have', () => {
  const text = `{ "other": 1.10, "more": 12345678901234567890123,\n "list": [ {"id": 1e3} ], "\\u0000a": "\\u0000b", "1": -0, "__proto__": {"a": "\\ud800"} }`;
  expect(decode(text)).toBe(
    '{"1":-0,"other":1.10,"more":12345678901234567890123,"list":[{"id":1e3}],"\\u0000a":"\\u0000b","__proto__":{"a":"\\ud800"}}',
  );
});

test('what JSON libraries write of a type fits it', () => {
  for (const text of [
    ...[
      '{}',
      'null',
      '{"id":null}',
      '{"id":"9"}',
      '{"letter":"a"}',
      '{"list":["a value class"]}',
      '{"small":1.0}',
      '{"text":1}',
      '{"price":"NaN"}',
    ],
    ...[
      '{"day":[2026,11,23]}',
      '{"day":"2026-11-23"}',
      '{"day":20000}',
      '{"bytes":"/w=="}',
      '{"color":"RED"}',
      '{"color":1}',
    ],
    ...[
      '{"date":1764000000123}',
      '{"letters":"abc"}',
      '{"numbered":{"7":1}}',
      '{"map":{"a":1}}',
      '{"list":[null,{}]}',
    ],
  ])
    expect(decode(text)).toBe(text);
});

test.each([
  ['{"id":"x1"}', 'id: a text where the schema has an integer'],
  ['{"id":1.5}', 'id: a fraction where the schema has an integer'],
  ['{"small":1e10}', 'small: more digits where the schema has an integer'],
  ['{"text":{}}', 'text: an object where the schema has a string'],
  ['{"yes":1}', 'yes: a number where the schema has a boolean'],
  ['{"price":true}', 'price: a boolean where the schema has a float'],
  ['{"list":[{"list":{}}]}', 'list.list: an object where the schema has an array'],
  ['{"map":{"a":{}}}', 'map: an object where the schema has an integer'],
  ['[]', 'an array where the schema has a record'],
  ['"text"', 'a text where the schema has a record'],
  ['{"list":[[]]}', 'list: an array where the schema has a record'],
  ['{"id":1', 'it is no JSON'],
  ['', 'it is no JSON'],
  ['{"price":NaN}', 'it is no JSON'],
])('%s does not fit', (payload, reason) => {
  expect(decode(payload)).toBe(`it does not fit its schema: ${reason}`);
});

test('a byte order mark is no part of it', () => {
  expect(decode('\ufeff{"id":1}')).toBe('{"id":1}');
});

test('bytes that are no text do not fit', () => {
  expect(decode(Uint8Array.of(0x22, 0xff, 0x22))).toContain('no valid UTF-8');
});

test('under a definition that is no Avro, as old clients kept them, any JSON fits', () => {
  expect(decode('[1]', { type: 'object', id: 'urn:jsonschema:Order', properties: {} })).toBe('[1]');
  expect(decode('"a"', '')).toBe('"a"');
});

test('JSON that is nested without end is refused', () => {
  expect(decode('['.repeat(200_000) + ']'.repeat(200_000), '')).toBe(
    'it does not fit its schema: it is nested too deeply',
  );
});

test('any JSON is read and written without a change', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: anyCharacter }), (text) => {
      expect(JSON.parse(jsonText(parseJson(text)))).toEqual(JSON.parse(text));
    }),
    { numRuns: 50 },
  );
  const number = fc.tuple(
    fc.bigInt(),
    fc.option(fc.stringMatching(/^[0-9]{1,20}$/)),
    fc.option(fc.stringMatching(/^[eE][-+]?[0-9]{1,3}$/)),
  );
  fc.assert(
    fc.property(number, (parts) => {
      const text = `${parts[0]}${parts[1] === null ? '' : `.${parts[1]}`}${parts[2] ?? ''}`;
      expect(jsonText(parseJson(`[ ${text} ]`))).toBe(`[${text}]`);
    }),
  );
});
