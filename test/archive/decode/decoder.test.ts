// What is common to all decoders: pairs, sizes, types that mean bytes or nothing, what typed values are, and that nothing
// ever throws.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDecoder, type Decoder } from '../../../src/archive/decode/decoder.ts';
import { jsonText } from '../../../src/archive/decode/json-value.ts';
import { RECORDED, type RecordedValue } from './recordings.ts';
import { schemaOf } from './schemas.ts';

const text = (decoder: Decoder, payload: Uint8Array | null, key?: Uint8Array): string => {
  const decoded = decoder.decode(key, payload);
  if (decoded.kind === 'undecoded') return decoded.error;
  return `${decoded.key === undefined ? '' : `${jsonText(decoded.key)}=`}${jsonText(decoded.value)}`;
};
const primitive = (type: string, payload: readonly number[], properties = {}) =>
  text(createDecoder(schemaOf(type, '', properties)), Uint8Array.from(payload));

test.each([
  ['BOOLEAN', 1],
  ['INT8', 1],
  ['INT16', 2],
  ['INT32', 4],
  ['INT64', 8],
  ['FLOAT', 4],
  ['DOUBLE', 8],
  ['DATE', 8],
  ['TIME', 8],
  ['TIMESTAMP', 8],
  ['INSTANT', 12],
  ['LOCAL_DATE', 8],
  ['LOCAL_TIME', 8],
  ['LOCAL_DATE_TIME', 16],
])('%s has %i bytes, not one more or less', (type, size) => {
  expect(primitive(type, Array(size).fill(0))).not.toContain('fit');
  for (const other of [size - 1, size + 1])
    expect(primitive(type, Array(other).fill(0))).toBe(
      `it does not fit its schema: it has ${other} bytes, not ${size}`,
    );
});

test('NONE and BYTES are Base64; of types that only clients have, and of unknown ones, the reason says so', () => {
  expect(primitive('NONE', [0xff])).toBe('"/w=="');
  expect(primitive('BYTES', [])).toBe('""');
  for (const type of ['AUTO_CONSUME', 'AUTO_PUBLISH', 'AUTO', 'TYPE_99', 'toString', '__proto__'])
    expect(primitive(type, [1])).toBe(
      `its schema cannot be used: schemas of type ${type} are not known here`,
    );
});

test('times beyond what dates can say are the numbers that were stored; days have no more nanoseconds than they have', () => {
  expect(primitive('TIMESTAMP', [0x7f, ...Array(7).fill(0xff)])).toBe('9223372036854775807');
  expect(primitive('LOCAL_DATE', [0x80, ...Array(7).fill(0)])).toBe('-9223372036854775808');
  expect(primitive('INSTANT', [0x7f, ...Array(11).fill(0xff)])).toBe('9223372036854775806999999999');
  expect(primitive('TIME', [0xff, ...Array(6).fill(0xff), 0xff])).toBe('"1969-12-31T23:59:59.999Z"');
  expect(primitive('LOCAL_TIME', Array(8).fill(0xff))).toContain('no day has -1 nanoseconds');
  expect(primitive('LOCAL_DATE_TIME', Array(16).fill(0xff))).toContain('no day has -1 nanoseconds');
});

test('texts are of the character set that their schema names', () => {
  expect(primitive('STRING', [0xff])).toContain('no valid UTF-8');
  expect(primitive('STRING', [0xef, 0xbb, 0xbf, 0x61])).toBe('"\ufeffa"');
  expect(primitive('STRING', [0x80, 0xff], { __charset: 'ISO-8859-1' })).toBe('"\u0080ÿ"');
  expect(primitive('STRING', [0xc4, 0xe3], { __charset: 'GBK' })).toBe('"你"');
  expect(primitive('STRING', [0xc4], { __charset: 'GBK' })).toContain('no valid GBK');
  expect(primitive('STRING', [0xff, 0xfe, 0x61, 0], { __charset: 'UTF-16' })).toBe('"a"');
  expect(primitive('STRING', [0, 0x61], { __charset: 'UTF-16' })).toBe('"a"');
  expect(primitive('STRING', [0x61], { __charset: 'x-none' })).toContain('character set x-none is not known');
});

const pairOf = (encoding: string) =>
  createDecoder(
    schemaOf('KEY_VALUE', Buffer.alloc(8), {
      ...{ 'key.schema.type': 'STRING', 'value.schema.type': 'INT8' },
      'kv.encoding.type': encoding,
    }),
  );

test('a pair in one payload is two values behind their lengths, and nothing else', () => {
  const inline = pairOf('INLINE');
  const pair = (...bytes: number[]) => text(inline, Uint8Array.from(bytes), Buffer.from('ignored'));
  expect(pair(0, 0, 0, 1, 0x6b, 0, 0, 0, 1, 7)).toBe('"k"=7');
  expect(pair(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)).toBe('null=null');
  expect(pair(0, 0, 0, 0, 0, 0, 0, 1, 7, 8)).toContain('1 bytes follow the value');
  expect(pair(0, 0, 0, 9, 0x6b)).toContain('9 bytes should follow, 1 are left');
  expect(pair(0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0)).toContain('-2 bytes should follow');
  expect(pair(0x7f, 0xff, 0xff, 0xff)).toContain('2147483647 bytes should follow');
  expect(pair(0, 0, 0)).toContain('too short for a key and a value');
  expect(pair(0, 0, 0, 1, 0x6b)).toContain('too short for a key and a value');
  expect(pair(0, 0, 0, 1, 0xff, 0, 0, 0, 1, 7)).toContain('the key: it is no valid UTF-8');
  expect(pair(0, 0, 0, 1, 0x6b, 0, 0, 0, 2, 7, 7)).toContain('the value: it has 2 bytes, not 1');
  expect(text(inline, null)).toBe('null');
});

test('a separated pair has its key in the key of the message', () => {
  const separated = pairOf('SEPARATED');
  expect(text(separated, Uint8Array.of(7), Buffer.from('k'))).toBe('"k"=7');
  expect(text(separated, null, Buffer.from('k'))).toBe('"k"=null');
  expect(text(separated, Uint8Array.of(7))).toBe('null=7');
  expect(text(separated, Uint8Array.of(7), Uint8Array.of(0xff))).toContain('the key: it is no valid UTF-8');
});

test('a pair whose definition is not two says so', () => {
  const decoder = createDecoder(schemaOf('KEY_VALUE', Buffer.from([0, 0, 0, 9])));
  expect(text(decoder, Uint8Array.of(1))).toBe(
    'its schema cannot be used: its definition cannot be taken apart',
  );
  expect(decoder.value).toBeUndefined();
});

test('a decoder describes what the schema says of its values', () => {
  const field = (name: string, type: unknown) => ({ name, type });
  const of = (type: string, logicalType: string) => ({ type, logicalType });
  const definition = {
    ...{ type: 'record', name: 'n.R' },
    fields: [
      field('long', 'long'),
      field('bytes', ['null', 'bytes']),
      field('decimal', { ...of('bytes', 'decimal'), precision: 4, scale: 2 }),
      field('date', of('int', 'date')),
      field('at', of('long', 'timestamp-micros')),
      field('time', of('int', 'time-millis')),
      field('union', ['null', 'string', 'int']),
      field('next', ['null', 'R']),
    ],
  };
  const decoder = createDecoder(schemaOf('AVRO', definition));
  const type = decoder.value?.type;
  expect(type).toMatchObject({
    ...{ kind: 'record', name: 'n.R' },
    fields: [
      { name: 'long', isNullable: false, type: { kind: 'integer', bits: 64, isSigned: true } },
      { name: 'bytes', isNullable: true, type: { kind: 'bytes' } },
      { name: 'decimal', isNullable: false, type: { kind: 'decimal', precision: 4, scale: 2 } },
      { name: 'date', isNullable: false, type: { kind: 'date' } },
      { name: 'at', isNullable: false, type: { kind: 'timestamp', unit: 'micros', isUtc: true } },
      { name: 'time', isNullable: false, type: { kind: 'time', unit: 'millis' } },
      { name: 'union', isNullable: true, type: { kind: 'union', branches: [{ kind: 'string' }, {}] } },
      { name: 'next', isNullable: true, type: { kind: 'record' } },
    ],
  });
  expect(type?.kind === 'record' && type.fields[7]?.type).toBe(type);
});

test('recorded values that were cut, grew or had a byte changed are decoded or refused, and never throw', () => {
  const change = fc.record({ of: fc.nat(), at: fc.nat(), byte: fc.nat(255), how: fc.nat(2) });
  fc.assert(
    fc.property(change, ({ of, at, byte, how }) => {
      const { decoder, key, ...recorded } = RECORDED[of % RECORDED.length] as RecordedValue;
      const payload = recorded.payload ?? Buffer.alloc(0);
      const changed = how === 0 ? payload.subarray(0, at % (payload.length + 1)) : Buffer.from(payload);
      if (how === 1 && payload.length > 0) changed[at % payload.length] = byte;
      const grown = how === 2 ? Buffer.concat([payload, Uint8Array.of(byte)]) : changed;
      expect(text(decoder, grown, key)).toMatch(/./);
      expect(text(decoder, payload, grown)).toMatch(/./);
    }),
    { numRuns: 3_000 },
  );
});

test('recorded Avro values with a byte behind them, or one less, are refused', () => {
  const avro = RECORDED.filter(({ type, payload }) => type === 'AVRO' && payload !== null);
  expect(avro.length).toBeGreaterThan(10);
  for (const { decoder, payload } of avro as readonly (RecordedValue & { payload: Buffer })[]) {
    expect(text(decoder, Buffer.concat([payload, Uint8Array.of(0)]))).toContain('1 bytes follow the value');
    expect(text(decoder, payload.subarray(0, -1))).toContain('it does not fit its schema');
  }
});
