// Avro: what an independent encoder (avsc) writes is read back, and no bytes make the reader fail otherwise than with a
// reason, or take memory or time that they do not have.
import avro from 'avsc';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDecoder } from '../../../src/archive/decode/decoder.ts';
import { jsonText } from '../../../src/archive/decode/json-value.ts';
import { anyCharacter } from '../../any-character.ts';
import { schemaOf } from './schemas.ts';

const decode = (definition: object | string, payload: Uint8Array | readonly number[]) => {
  const decoded = createDecoder(schemaOf('AVRO', definition)).decode(undefined, Uint8Array.from(payload));
  return decoded.kind === 'undecoded' ? decoded : JSON.parse(jsonText(decoded.value));
};
const text = (definition: object | string, payload: Uint8Array | readonly number[]) => {
  const decoded = createDecoder(schemaOf('AVRO', definition)).decode(undefined, Uint8Array.from(payload));
  return decoded.kind === 'undecoded' ? decoded.error : jsonText(decoded.value);
};
const field = (name: string, type: unknown) => ({ name, type });
const record = (...fields: object[]) => ({ type: 'record', name: 'R', namespace: 'n', fields });

/** A type with values of it as avsc takes them, and as JSON has them. */
interface Sample {
  readonly schema: unknown;
  readonly pairs: readonly (readonly [encoded: unknown, json: unknown])[];
}

let names = 0;
const leaf = (schema: unknown, values: fc.Arbitrary<readonly [unknown, unknown]>) =>
  fc.array(values, { minLength: 3, maxLength: 3 }).map((pairs): Sample => ({ schema, pairs }));
const same = (value: unknown) => [value, value] as const;
const asText = (value: unknown) => [value, String(value)] as const;
const asBase64 = (bytes: Uint8Array) => [Buffer.from(bytes), Buffer.from(bytes).toString('base64')] as const;

const { sample } = fc.letrec<{ sample: Sample }>((tie) => ({
  sample: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf('null', fc.constant(same(null))),
    leaf('boolean', fc.boolean().map(same)),
    leaf('int', fc.integer().map(same)),
    // avsc encodes others beyond 2^52.
    leaf('long', fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 }).map(same)),
    leaf(
      'double',
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => same(value + 0)),
    ),
    leaf('string', fc.string({ unit: anyCharacter }).map(same)),
    leaf('bytes', fc.uint8Array({ maxLength: 20 }).map(asBase64)),
    leaf({ type: 'enum', name: 'E', symbols: ['A', 'B'] }, fc.constantFrom('A', 'B').map(asText)),
    tie('sample').map(
      ({ schema, pairs }): Sample => ({
        schema: { type: 'array', items: schema },
        pairs: pairs.map((_, i) => [pairs.slice(0, i).map(([v]) => v), pairs.slice(0, i).map(([, j]) => j)]),
      }),
    ),
    tie('sample').map(
      ({ schema, pairs }): Sample => ({
        schema: { type: 'map', values: schema },
        pairs: pairs.map(([v, j]) => [
          { 'a b': v, ü: v },
          { 'a b': j, ü: j },
        ]),
      }),
    ),
    fc.tuple(tie('sample'), tie('sample')).map(
      ([a, b]): Sample => ({
        schema: {
          type: 'record',
          name: 'R',
          fields: [
            { name: 'a', type: a.schema },
            { name: 'b', type: b.schema },
          ],
        },
        pairs: a.pairs.map(([v, j], i) => [
          { a: v, b: b.pairs[i]?.[0] },
          { a: j, b: b.pairs[i]?.[1] },
        ]),
      }),
    ),
  ),
}));

/** Each named type gets a name of its own: avsc refuses to define one twice. */
const renamed = (schema: unknown): unknown =>
  JSON.parse(JSON.stringify(schema), (key, value) =>
    key === 'name' && /^[RE]$/.test(value) ? `N${names++}` : value,
  );

test('what avsc encodes, of any schema, is decoded to the same JSON', () => {
  fc.assert(
    fc.property(sample, ({ schema, pairs }) => {
      const definition = renamed(schema) as avro.Schema;
      const type = avro.Type.forSchema(definition);
      for (const [value, json] of pairs)
        expect(decode(JSON.stringify(definition), type.toBuffer(value))).toEqual(
          JSON.parse(JSON.stringify(json)),
        );
    }),
  );
});

test('any bytes are decoded or refused with a reason, whatever the schema', () => {
  fc.assert(
    fc.property(sample, fc.uint8Array({ maxLength: 64 }), ({ schema }, payload) => {
      const decoded = createDecoder(schemaOf('AVRO', renamed(schema) as object)).decode(undefined, payload);
      expect(decoded.kind === 'undecoded' ? decoded.error : jsonText(decoded.value)).toBeTypeOf('string');
    }),
  );
});

test('any definition makes a decoder', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.jsonValue(), mangled(), fc.uint8Array()), (definition) => {
      const bytes = definition instanceof Uint8Array ? definition : JSON.stringify(definition);
      for (const type of [
        'AVRO',
        'JSON',
        'PROTOBUF',
        'PROTOBUF_NATIVE',
        'KEY_VALUE',
        'AUTO_CONSUME',
        'TYPE_99',
      ]) {
        const decoder = createDecoder(schemaOf(type, bytes));
        const decoded = decoder.decode(undefined, Buffer.from('"text"'));
        expect(decoded.kind === 'undecoded' ? decoded.error : jsonText(decoded.value)).toBeTypeOf('string');
      }
    }),
  );
});

/** Definitions in which one value is another. */
const mangled = () =>
  fc.tuple(fc.nat(12), fc.jsonValue()).map(([at, other]) => {
    let count = 0;
    const whole = record({ name: 'a', type: ['null', { type: 'enum', name: 'E', symbols: ['A'] }] });
    return JSON.parse(JSON.stringify(whole), (_, value) => (count++ === at ? other : value)) as unknown;
  });

test('64-bit integers keep all their digits', () => {
  const bytes = (...tail: number[]) => [...Array<number>(9).fill(0xff), ...tail];
  expect(text('"long"', bytes(0x01))).toBe('-9223372036854775808');
  expect(text('"long"', [0xfe, ...bytes().slice(1), 0x01])).toBe('9223372036854775807');
  expect(text('"long"', bytes(0x03))).toContain('more than 64 bits');
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      let zigZag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
      const encoded: number[] = [];
      for (; zigZag >= 128n; zigZag >>= 7n) encoded.push(Number(zigZag & 127n) | 128);
      expect(text('"long"', [...encoded, Number(zigZag)])).toBe(String(value));
    }),
  );
});

test('logical types are ISO 8601, decimals text with all digits, and unfit ones are ignored', () => {
  const of = (type: string, logicalType: string, more: object = {}) => ({ type, logicalType, ...more });
  const long = (value: number) => avro.Type.forSchema('long').toBuffer(value);
  const fixed = (size: number, logicalType: string, more: object = {}) =>
    of('fixed', logicalType, { name: 'F', size, ...more });
  expect(decode(of('int', 'date'), long(-1))).toBe('1969-12-31');
  expect(decode(of('int', 'time-millis'), long(1))).toBe('00:00:00.001');
  expect(decode(of('long', 'time-micros'), long(86_399_999_999))).toBe('23:59:59.999999');
  expect(decode(of('long', 'time-micros'), long(86_400_000_000))).toBe(86_400_000_000);
  expect(decode(of('long', 'timestamp-millis'), long(-1))).toBe('1969-12-31T23:59:59.999Z');
  expect(decode(of('long', 'timestamp-micros'), long(-1))).toBe('1969-12-31T23:59:59.999999Z');
  expect(decode(of('long', 'local-timestamp-micros'), long(1_000))).toBe('1970-01-01T00:00:00.001');
  expect(decode(of('long', 'timestamp-millis'), long(253_402_300_800_000))).toBe(253_402_300_800_000);
  expect(decode(of('int', 'timestamp-millis'), long(5))).toBe(5);
  expect(decode(of('string', 'uuid'), [2, 0x78])).toBe('x');
  expect(decode(fixed(16, 'uuid'), [...Array(16).keys()])).toBe('00010203-0405-0607-0809-0a0b0c0d0e0f');
  expect(decode(fixed(12, 'duration'), [1, 0, 0, 0, 2, 0, 0, 0, 0xbc, 0xb, 0, 0])).toBe('P1M2DT3.004S');
  expect(decode(fixed(12, 'duration'), Array(12).fill(0))).toBe('PT0S');
  const decimal = (precision: number, scale: number) => of('bytes', 'decimal', { precision, scale });
  expect(decode(decimal(4, 2), [2, 0xff])).toBe('-0.01');
  expect(decode(decimal(4, 0), [4, 0, 0xff])).toBe('255');
  expect(decode(decimal(30, 10), [24, 0x7f, ...Array(11).fill(0xff)])).toBe(
    '3961408125713216879.6772802559'.replace(/.*/, (2n ** 95n - 1n).toString().replace(/(.{10})$/, '.$1')),
  );
  expect(decode(fixed(2, 'decimal', { precision: 4, scale: 1 }), [0xff, 0x85])).toBe('-12.3');
  expect(decode(decimal(2, 3), [2, 0xff])).toBe('/w==');
  expect(decode(fixed(1, 'decimal', { precision: 9 }), [0xff])).toBe('/w==');
});

test('floats are the shortest numbers that mean them; JSON has texts for three of them', () => {
  expect(text('"float"', [0xcd, 0xcc, 0xcc, 0x3d])).toBe('0.1');
  expect(text('"float"', [0, 0, 0, 0x80])).toBe('-0');
  expect(text('"float"', [0, 0, 0xc0, 0x7f])).toBe('"NaN"');
  expect(text('"double"', [0, 0, 0, 0, 0, 0, 0xf0, 0xff])).toBe('"-Infinity"');
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const short = text('"float"', avro.Type.forSchema('float').toBuffer(value));
      expect(Math.fround(Number(short))).toBe(value);
      expect(short.length).toBeLessThanOrEqual(jsonText(value).length);
    }),
  );
});

test('records may contain themselves, types be used before and after namespaces, and names have a $', () => {
  const list = record(
    { name: 'value', type: { type: 'enum', name: 'o.Outer$Kind', symbols: ['A', 'B'] } },
    { name: 'same', type: ['null', 'o.Outer$Kind'], default: 'not null' },
    { name: 'next', type: ['null', 'R'] },
    { name: '__proto__', type: 'string' },
  );
  expect(text(list, [0, 2, 2, 2, 2, 0, 0, 2, 0x78, 0])).toBe(
    '{"value":"A","same":"B","next":{"value":"B","same":null,"next":null,"__proto__":"x"},"__proto__":""}',
  );
});

test('a union is the value alone, and typed with its branch', () => {
  const union = ['string', 'null', record({ name: 'a', type: 'int' })];
  expect(text(union, [0, 2, 0x78])).toBe('"x"');
  expect(text(union, [2])).toBe('null');
  expect(text(union, [4, 2])).toBe('{"a":1}');
  expect(text(union, [6])).toContain('3 is no branch of a union of 3');
  const { value } = createDecoder(schemaOf('AVRO', union));
  expect(value).toMatchObject({
    isNullable: true,
    type: { kind: 'union', branches: [{ kind: 'string' }, {}] },
  });
});

test('what does not fit is refused, with the field', () => {
  const one = record({ name: 'a', type: record({ name: 'b', type: 'int' }) });
  expect(text(one, [2, 0])).toBe('it does not fit its schema: 1 bytes follow the value');
  expect(text(one, [])).toBe('it does not fit its schema: a.b: it ends too early');
  expect(text('"string"', [4, 0xc3, 0x28])).toContain('no valid UTF-8');
  expect(text('"boolean"', [2])).toContain('2 is no boolean');
  expect(text('"int"', [0xfe, 0xff, 0xff, 0xff, 0x7f])).toContain('more than 32 bits');
  expect(text('"bytes"', [1])).toContain('-1 bytes should follow');
  expect(text(record({ name: 'a', type: 'Gone' }), [0])).toBe(
    'its schema cannot be used: the type Gone is not defined',
  );
});

test('lengths and counts that the bytes cannot have cost nothing', () => {
  const huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
  expect(text('"string"', huge)).toContain('bytes should follow');
  expect(text({ type: 'array', items: 'long' }, huge)).toContain('it ends too early');
  expect(text({ type: 'array', items: 'null' }, huge)).toContain('more values than its bytes can hold');
  const many = Buffer.concat([Buffer.from(huge), Buffer.alloc(5_000_000)]);
  const nothing = { type: 'record', name: 'Nothing', fields: [{ name: 'a', type: 'null' }] };
  expect(text({ type: 'array', items: nothing }, many)).toContain('more values than its bytes can hold');
  // A value of one byte inside of three records.
  const wrapped = {
    type: 'array',
    items: record({ name: 'a', type: { ...record(field('b', 'int')), name: 'S' } }),
  };
  expect(decode(wrapped, [0x80, 0xb5, 0x18, ...Array(200_000).fill(2), 0]).length).toBe(200_000);
  const bush = (depth: number): object =>
    depth === 0
      ? { type: 'record', name: 'R0', fields: [] }
      : {
          type: 'record',
          name: `R${depth}`,
          fields: [
            { name: 'a', type: bush(depth - 1) },
            { name: 'b', type: `R${depth - 1}` },
          ],
        };
  expect(text(bush(40), [])).toContain('more values than its bytes can hold');
  expect(text(record({ name: 'a', type: 'R' }), [])).toContain('nested too deeply');
  const nested = {
    type: 'array',
    items: record({ name: 'a', type: ['null', { type: 'array', items: 'R' }] }),
  };
  expect(text(nested, Array(10_000).fill(2))).toContain('nested too deeply');
});
