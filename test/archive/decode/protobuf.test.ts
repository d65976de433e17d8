// Protobuf by descriptors: what the library itself writes is read back, and bytes that it takes for good although they do
// not fit are refused.
import { create, createFileRegistry, type DescMessage, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDecoder } from '../../../src/archive/decode/decoder.ts';
import { jsonText } from '../../../src/archive/decode/json-value.ts';
import { schemaOf } from './schemas.ts';

const field = (number: number, name: string, type: Type, more: object = {}) => ({
  ...{ number, name, type, jsonName: name, label: Label.OPTIONAL },
  ...more,
});
const repeated = { label: Label.REPEATED };
const message = (number: number, name: string, typeName: string, more: object = {}) =>
  field(number, name, Type.MESSAGE, { typeName, ...more });

const SCALARS = [
  'DOUBLE',
  'FLOAT',
  'INT64',
  'UINT64',
  'INT32',
  'FIXED64',
  'FIXED32',
  'BOOL',
  'STRING',
  'BYTES',
] as const;
const SIGNED = ['UINT32', 'SFIXED32', 'SFIXED64', 'SINT32', 'SINT64'] as const;

/** A file as Java puts it into a schema: behind what imports it. */
const ORDERS = create(FileDescriptorProtoSchema, {
  name: 'orders.proto',
  package: 'shop',
  syntax: 'proto3',
  dependency: [
    'google/protobuf/timestamp.proto',
    'google/protobuf/duration.proto',
    'google/protobuf/struct.proto',
    'google/protobuf/wrappers.proto',
  ],
  enumType: [
    {
      name: 'State',
      value: [
        { name: 'OPEN', number: 0 },
        { name: 'SHUT', number: 5 },
      ],
    },
  ],
  messageType: [
    {
      name: 'Order',
      field: [
        ...[...SCALARS, ...SIGNED].map((name, i) => field(i + 1, name.toLowerCase(), Type[name])),
        field(20, 'state', Type.ENUM, { typeName: '.shop.State' }),
        field(21, 'numbers', Type.SINT64, repeated),
        field(22, 'states', Type.ENUM, { typeName: '.shop.State', ...repeated }),
        message(23, 'order', '.shop.Order'),
        message(24, 'orders', '.shop.Order', repeated),
        message(25, 'by_name', '.shop.Order.ByNameEntry', repeated),
        message(26, 'counts', '.shop.Order.CountsEntry', repeated),
        field(27, 'card', Type.STRING, { oneofIndex: 0 }),
        field(28, 'cash', Type.INT64, { oneofIndex: 0 }),
        field(29, 'maybe', Type.INT32, { oneofIndex: 1, proto3Optional: true }),
        message(30, 'at', '.google.protobuf.Timestamp'),
        message(31, 'took', '.google.protobuf.Duration'),
        message(32, 'any', '.google.protobuf.Value'),
        message(33, 'wrapped', '.google.protobuf.Int64Value'),
      ],
      oneofDecl: [{ name: 'paid' }, { name: '_maybe' }],
      nestedType: [
        {
          name: 'ByNameEntry',
          options: { mapEntry: true },
          field: [field(1, 'key', Type.STRING), message(2, 'value', '.shop.Order')],
        },
        {
          name: 'CountsEntry',
          options: { mapEntry: true },
          field: [field(1, 'key', Type.UINT64), field(2, 'value', Type.SFIXED64)],
        },
      ],
    },
  ],
});
const OLD = create(FileDescriptorProtoSchema, {
  name: 'old.proto',
  syntax: 'proto2',
  messageType: [
    {
      name: 'Old',
      field: [
        field(1, 'must', Type.INT32, { label: Label.REQUIRED }),
        field(2, 'may', Type.INT32, { defaultValue: '7' }),
        field(3, 'thing', Type.GROUP, { typeName: '.Old.Thing' }),
      ],
      nestedType: [{ name: 'Thing', field: [field(1, 'name', Type.STRING)] }],
    },
    {
      name: 'Open',
      field: [field(1, 'tag', Type.STRING), message(2, 'levels', '.Open.LevelsEntry', repeated)],
      nestedType: [
        {
          name: 'LevelsEntry',
          options: { mapEntry: true },
          field: [field(1, 'key', Type.STRING), field(2, 'value', Type.ENUM, { typeName: '.Level' })],
        },
      ],
      extension: [message(102, 'inner', '.Open', { extendee: '.Open' })],
      extensionRange: [{ start: 100, end: 200 }],
    },
  ],
  enumType: [{ name: 'Level', value: [{ name: 'LOW', number: 5 }] }],
  extension: [
    field(100, 'tag', Type.SINT64, { extendee: '.Open' }),
    field(101, 'tags', Type.STRING, { extendee: '.Open', ...repeated }),
  ],
});
const IMPORTED = [
  file_google_protobuf_timestamp,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
].map(({ proto }) => proto);
const ALL = [...IMPORTED, ORDERS, OLD];
const REGISTRY = createFileRegistry(create(FileDescriptorSetSchema, { file: ALL }));
const ORDER = REGISTRY.getMessage('shop.Order') as DescMessage;

function schemaFor(rootMessageTypeName: string, file: FileDescriptorProto[] = [...ALL].reverse()) {
  const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
  const fileDescriptorSet = Buffer.from(set).toString('base64');
  return schemaOf('PROTOBUF_NATIVE', { fileDescriptorSet, rootMessageTypeName, rootFileDescriptorName: 'x' });
}

const decoders = new Map(['shop.Order', 'Old', 'Open'].map((name) => [name, createDecoder(schemaFor(name))]));
function text(payload: Uint8Array, name = 'shop.Order'): string {
  const decoded = decoders.get(name)?.decode(undefined, payload);
  if (decoded === undefined || decoded.kind === 'undecoded') return decoded?.error ?? '';
  return jsonText(decoded.value);
}
const encoded = (json: object) => toBinary(ORDER, fromJson(ORDER, json as never));
const written = (write: (writer: BinaryWriter) => BinaryWriter) => write(new BinaryWriter()).finish();

test('every kind of field is decoded, with 64 bits exact, by the names of the .proto file', () => {
  const json = text(
    encoded({
      ...{
        double: 'NaN',
        float: 0.1,
        int64: '-9223372036854775808',
        uint64: '18446744073709551615',
        int32: -1,
      },
      ...{
        fixed64: '1',
        fixed32: 4_000_000_000,
        bool: true,
        string: 'ü',
        bytes: '/w==',
        uint32: 4_294_967_295,
      },
      ...{ sfixed32: -2, sfixed64: '-3', sint32: -4, sint64: '9007199254740993', state: 'SHUT' },
      ...{
        numbers: ['1', '-1'],
        states: ['SHUT', 'OPEN', 9],
        order: { string: 'inner' },
        orders: [{}, { maybe: 0 }],
      },
      ...{
        by_name: { __proto__x: {}, k: { int32: 1 } },
        counts: { '18446744073709551615': '-5' },
        cash: '0',
      },
      ...{
        at: '2026-11-23T23:21:41.000000001Z',
        took: '-1.5s',
        any: { a: [1, null, { b: 'c' }] },
        wrapped: '0',
      },
    }),
  );
  for (const part of [
    '"double":"NaN","float":0.1,"int64":-9223372036854775808,"uint64":18446744073709551615,"int32":-1',
    '"fixed64":1,"fixed32":4000000000,"bool":true,"string":"ü","bytes":"/w==","uint32":4294967295',
    '"sfixed32":-2,"sfixed64":-3,"sint32":-4,"sint64":9007199254740993,"state":"SHUT"',
    '"numbers":[1,-1],"states":["SHUT","OPEN",9],"order":{',
    '"counts":{"18446744073709551615":-5},"cash":0,"at":"2026-11-23T23:21:41.000000001Z","took":"-PT1.5S"',
    '"any":{"a":[1,null,{"b":"c"}]},"wrapped":0}',
  ])
    expect(json).toContain(part);
  expect(json).not.toContain('"card"');
});

test('a field that is not there is its zero, where its file cannot tell the two apart, and else absent', () => {
  expect(JSON.parse(text(new Uint8Array()))).toEqual({
    ...{
      double: 0,
      float: 0,
      int64: 0,
      uint64: 0,
      int32: 0,
      fixed64: 0,
      fixed32: 0,
      bool: false,
      string: '',
    },
    ...{ bytes: '', uint32: 0, sfixed32: 0, sfixed64: 0, sint32: 0, sint64: 0, state: 'OPEN' },
    ...{ numbers: [], states: [], orders: [], by_name: {}, counts: {} },
  });
  expect(
    text(
      written((w) => w.tag(1, WireType.Varint).int32(3)),
      'Old',
    ),
  ).toBe('{"must":3}');
});

test('what is there twice counts as Protobuf says: messages merge, of a oneof and of a scalar the last', () => {
  const json = text(
    Buffer.concat([
      encoded({ card: 'c', order: { int32: 1, numbers: ['1'] } }),
      encoded({ cash: '2', order: { string: 's', numbers: ['2'] } }),
    ]),
  );
  expect(JSON.parse(json)).toMatchObject({ cash: 2, order: { int32: 1, string: 's', numbers: [1, 2] } });
  expect(json).not.toContain('"card"');
});

test('groups are messages', () => {
  const payload = written((w) =>
    w.tag(1, 0).int32(1).tag(3, WireType.StartGroup).tag(1, 2).string('n').tag(3, WireType.EndGroup),
  );
  expect(text(payload, 'Old')).toBe('{"must":1,"thing":{"name":"n"}}');
  expect(text(payload.subarray(0, -1), 'Old')).toContain('thing: it ends too early');
});

test('extensions are fields, by their full names', () => {
  const payload = written((w) =>
    w
      .tag(1, 2)
      .string('own')
      .tag(100, 0)
      .sint64(-1)
      .tag(101, 2)
      .string('a')
      .tag(102, 2)
      .fork()
      .tag(100, 0)
      .sint64(2)
      .join(),
  );
  expect(JSON.parse(text(payload, 'Open'))).toEqual({
    ...{ tag: 'own', levels: {}, '[tag]': -1, '[tags]': ['a'] },
    '[Open.inner]': { levels: {}, '[tag]': 2, '[tags]': [] },
  });
  // Of a message that has nothing else, too.
  expect(
    JSON.parse(
      text(
        written((w) => w.tag(100, 0).sint64(3)),
        'Open',
      ),
    ),
  ).toMatchObject({ '[tag]': 3 });
});

test('an entry of a map without a value has the first one of its enum', () => {
  const payload = written((w) => w.tag(2, 2).fork().tag(1, 2).string('k').join());
  expect(JSON.parse(text(payload, 'Open'))).toMatchObject({ levels: { k: 'LOW' } });
});

test('what does not fit is refused, with the field', () => {
  expect(text(new Uint8Array(), 'Old')).toBe('it does not fit its schema: must is missing');
  expect(text(written((w) => w.tag(9, 2).uint32(1)))).toContain('string: ');
  const inner = written((w) => w.tag(9, 0).int32(1));
  expect(text(written((w) => w.tag(23, 2).bytes(inner)))).toContain(
    'order.string: it is encoded as wire type 0, not 2',
  );
  // The inner message runs over its end, into what follows.
  expect(text(written((w) => w.tag(23, 2).uint32(2).tag(9, 2).uint32(3).raw(Buffer.from('abc'))))).toContain(
    'order',
  );
  expect(text(written((w) => w.tag(99, 0).int32(1)))).toContain('none of its fields is in the schema');
  expect(text(Buffer.concat([encoded({ string: 'x' }), written((w) => w.tag(99, 0).int32(1))]))).toContain(
    '"x"',
  );
  expect(text(written((w) => w.tag(9, 2).bytes(Uint8Array.of(0xff))))).toContain('string: ');
});

test('messages nested too deeply, and more values than memory holds, are refused', () => {
  let payload = new Uint8Array();
  for (let depth = 0; depth < 120; depth++) payload = written((w) => w.tag(23, 2).bytes(payload));
  expect(text(payload)).toContain('nested too deeply');
  const many = Buffer.alloc(600_000, Buffer.from([0xc2, 0x01, 0]));
  expect(text(many)).toContain('more values than can be kept in memory');
});

const arbitrary = fc.letrec<{ order: object }>((tie) => ({
  order: fc.record(
    {
      int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
      double: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
      string: fc.string(),
      bytes: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
      numbers: fc.array(fc.maxSafeInteger().map(String)),
      state: fc.constantFrom('OPEN', 'SHUT'),
      orders: fc.array(tie('order'), { maxLength: 2, depthIdentifier: 'o' }),
      order: fc.option(tie('order'), { nil: null, depthIdentifier: 'o', depthSize: 'small' }),
      cash: fc.maxSafeInteger().map(String),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<object>,
}));

test('what the library writes of any message is decoded as the library says it', () => {
  // 64-bit integers are texts in its JSON, numbers in ours.
  const asTexts = (value: unknown): unknown => {
    if (typeof value === 'number' || typeof value === 'bigint') return String(value);
    if (Array.isArray(value)) return value.map(asTexts);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, asTexts(one)]));
  };
  fc.assert(
    fc.property(arbitrary.order, (json) => {
      const said = toJson(ORDER, fromJson(ORDER, json as never), {
        alwaysEmitImplicit: true,
        useProtoFieldName: true,
      });
      const ours = decoders.get('shop.Order')?.decode(undefined, encoded(json));
      expect(asTexts(ours)).toEqual({ kind: 'decoded', value: asTexts(said) });
    }),
  );
});

test('any bytes are decoded or refused with a reason', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.tuple(arbitrary.order, fc.nat(200), fc.nat(255)).map(([json, at, byte]) => {
      const whole = Buffer.from(encoded(json));
      if (whole.length > 0) whole[at % whole.length] = byte;
      return whole;
    }),
  );
  fc.assert(
    fc.property(bytes, fc.constantFrom('shop.Order', 'Old'), (payload, name) => {
      expect(text(payload, name)).toMatch(/./);
    }),
  );
});

test('a schema whose descriptors are not there, or not right, says so', () => {
  const decode = (schema: ReturnType<typeof schemaOf>) =>
    createDecoder(schema).decode(undefined, new Uint8Array());
  expect(decode(schemaFor('shop.Gone'))).toEqual({
    kind: 'undecoded',
    error: 'its schema cannot be used: the message shop.Gone is not defined',
  });
  expect(decode(schemaFor('shop.Order', [ORDERS]))).toMatchObject({
    error: expect.stringContaining('timestamp.proto'),
  });
  expect(decode(schemaOf('PROTOBUF_NATIVE', '{}'))).toMatchObject({
    error: expect.stringContaining('no descriptors'),
  });
});
