// PROTOBUF schemas, beyond what is recorded of the Java client (recorded.test.ts): classes of proto2, and what such a schema
// does not say.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect, test } from 'vitest';
import { createDecoder } from '../../../src/archive/decode/decoder.ts';
import { jsonText } from '../../../src/archive/decode/json-value.ts';
import { schemaOf } from './schemas.ts';

type Row = readonly [
  number: number,
  name: string,
  type: string,
  label: string,
  avro: unknown,
  fallback?: unknown,
];

/** The schema as Java registers it: the fields as Avro, and their numbers in a property. */
function decode(rows: readonly Row[], payload: Uint8Array): string {
  const definition = {
    ...{ type: 'record', name: 'Order', namespace: 'shop.Shop$1' },
    fields: rows.map(([, name, , , type, fallback]) => ({ name, type, default: fallback })),
  };
  const info = rows.map(([number, name, type, label]) => ({
    ...{ number, name, type, label: `LABEL_${label}`, definition: null },
  }));
  const schema = schemaOf('PROTOBUF', definition, { __PARSING_INFO__: JSON.stringify(info) });
  const decoded = createDecoder(schema).decode(undefined, payload);
  return decoded.kind === 'undecoded' ? decoded.error : jsonText(decoded.value);
}

const written = (write: (writer: BinaryWriter) => BinaryWriter) => write(new BinaryWriter()).finish();
const NOTHING = new Uint8Array();

test('in a class of proto2 what is not there is absent, and what is required is missed', () => {
  const rows: Row[] = [
    [1, 'must', 'INT32', 'REQUIRED', 'int', 0],
    [2, 'may', 'STRING', 'OPTIONAL', 'string', ''],
    [3, 'list', 'INT32', 'REPEATED', { type: 'array', items: 'int' }, []],
  ];
  expect(decode(rows, NOTHING)).toBe('it does not fit its schema: must is missing');
  const must = written((w) => w.tag(1, WireType.Varint).int32(7));
  expect(decode(rows, must)).toBe('{"must":7,"list":[]}');
});

test('a default that is no zero shows proto2 as well', () => {
  const rows: Row[] = [
    [1, 'seven', 'INT32', 'OPTIONAL', 'int', 7],
    [2, 'zero', 'INT64', 'OPTIONAL', 'long', 0],
  ];
  expect(decode(rows, NOTHING)).toBe('{}');
  expect(decode([rows[1] as Row], NOTHING)).toBe('{"zero":0}');
});

test('an enum is its number, and absent where it is not there', () => {
  const avro = { type: 'enum', name: 'State', symbols: ['OPEN', 'SHUT'] };
  const rows: Row[] = [[4, 'state', 'ENUM', 'OPTIONAL', avro, 'OPEN']];
  expect(decode(rows, NOTHING)).toBe('{}');
  expect(
    decode(
      rows,
      written((w) => w.tag(4, WireType.Varint).int32(5)),
    ),
  ).toBe('{"state":5}');
});

test('a map is one where its types have one encoding; with integers its entries are their bytes', () => {
  const entry = (name: string, value: string) => ({
    type: 'array',
    items: {
      ...{ type: 'record', name, namespace: 'shop.Shop$Order' },
      fields: [
        { name: 'key', type: 'string' },
        { name: 'value', type: value },
      ],
    },
  });
  const bytes = written((w) =>
    w.tag(1, WireType.LengthDelimited).string('k').tag(2, WireType.Varint).int32(1),
  );
  const rows: Row[] = [
    [1, 'by_name', 'MESSAGE', 'REPEATED', entry('ByNameEntry', 'boolean')],
    [2, 'counts', 'MESSAGE', 'REPEATED', entry('CountsEntry', 'int')],
  ];
  const payload = written((w) => w.tag(1, 2).bytes(bytes).tag(2, 2).bytes(bytes));
  expect(decode(rows, payload)).toBe('{"by_name":{"k":true},"counts":["CgFrEAE="]}');
});

test('a schema without the numbers of its fields, or with a group, says so', () => {
  const decoded = createDecoder(schemaOf('PROTOBUF', '{}')).decode(undefined, NOTHING);
  expect(decoded).toEqual({
    kind: 'undecoded',
    error: 'its schema cannot be used: it does not keep the numbers of its fields',
  });
  expect(decode([[1, 'thing', 'GROUP', 'OPTIONAL', 'int']], NOTHING)).toBe(
    'its schema cannot be used: a field of type GROUP is not described',
  );
});
