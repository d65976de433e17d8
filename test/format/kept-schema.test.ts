import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  definitionBytes,
  encodeKeptSchema,
  keepSchema,
  parseKeptSchema,
  parseSchemaKey,
  parseVersionText,
  propertiesOf,
  schemaFolder,
  schemaKey,
  schemaName,
  versionText,
} from '../../src/format/kept-schema.ts';
import { MAX_KEY_BYTES } from '../../src/format/object-key.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { anyCharacter } from '../any-character.ts';

const topic = parseTopicName('t/n/orders') as TopicName;
const V0 = Buffer.from('AAAAAAAAAAA=', 'base64');

const AVRO = {
  type: 'AVRO',
  name: 't/n/orders',
  properties: [
    ['__jsr310ConversionEnabled', 'false'],
    ['__alwaysAllowNull', 'true'],
  ],
  definition: Buffer.from('{"type":"record","name":"O","fields":[]}'),
} as const;

/** As Java's KeyValueSchemaInfo joins two definitions. */
function joined(...definitions: (string | undefined)[]): Buffer {
  return Buffer.concat(
    definitions.flatMap((definition) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(definition === undefined ? -1 : Buffer.byteLength(definition));
      return [length, Buffer.from(definition ?? '')];
    }),
  );
}

it('writes a schema to the letter', () => {
  expect(encodeKeptSchema(keepSchema(topic, V0, AVRO)).toString()).toBe(
    '{"format":"tdmq-backup-schema/1","topic":"persistent://t/n/orders","version":"0","versionBase64":"AAAAAAAAAAA=","type":"AVRO","name":"t/n/orders","properties":{"__alwaysAllowNull":"true","__jsr310ConversionEnabled":"false"},"definition":"{\\"type\\":\\"record\\",\\"name\\":\\"O\\",\\"fields\\":[]}","sha256":"a855c9c79ac3eb827d49978349e8c4ae6e4e71bec7e10b3c45ec82e8093f760a"}\n',
  );
});

it('gives the same bytes for a partition, and for properties in another order', () => {
  const partition = parseTopicName('t/n/orders-partition-3') as TopicName;
  const other = { ...AVRO, properties: AVRO.properties.toReversed() };
  expect(encodeKeptSchema(keepSchema(partition, V0, other))).toEqual(
    encodeKeptSchema(keepSchema(topic, V0, AVRO)),
  );
});

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: anyCharacter }),
  fc.constantFrom('__proto__', '10', '9', ''),
);
const textOrBytes = fc.oneof(text, fc.constantFrom(Buffer.from([0xff]), Buffer.from([0xc3, 0x28, 0])));

it('gives back every byte of a schema: parse(encode(x)) = x', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 16 }),
      fc.constantFrom('AVRO', 'JSON', 'KEY_VALUE', 'PROTOBUF_NATIVE', 'TYPE_99'),
      fc.string(),
      fc.uniqueArray(fc.tuple(textOrBytes, textOrBytes), {
        selector: ([name]) => Buffer.from(name as string).toString('base64'),
      }),
      fc.oneof(
        fc.uint8Array(),
        fc.string({ unit: anyCharacter }).map((definition) => Buffer.from(`\ufeff${definition}`)),
      ),
      (version, type, name, properties, definition) => {
        const kept = keepSchema(topic, version, { type, name, properties, definition });
        const read = parseKeptSchema(encodeKeptSchema(kept));
        expect(read).toEqual(kept);
        expect(definitionBytes(read)).toEqual(Buffer.from(definition));
        const pairs = (all: typeof properties) =>
          all.map((pair) => pair.map((one) => Buffer.from(one as string).toString('base64')).join()).sort();
        expect(pairs([...propertiesOf(read)] as typeof properties)).toEqual(pairs(properties));
      },
    ),
  );
});

it('takes a KEY_VALUE schema apart, with the schemas of key and value', () => {
  const kept = keepSchema(topic, V0, {
    type: 'KEY_VALUE',
    name: 't/n/orders',
    properties: [
      ['key.schema.name', 'k'],
      ['key.schema.type', 'STRING'],
      ['key.schema.properties', '{}'],
      ['value.schema.name', 'v'],
      ['value.schema.type', 'AVRO'],
      ['value.schema.properties', '{"__alwaysAllowNull":"true"}'],
      ['kv.encoding.type', 'SEPARATED'],
    ],
    definition: joined('', '{"type":"int"}'),
  });
  expect(kept.keyValue).toEqual({
    encoding: 'SEPARATED',
    key: { type: 'STRING', name: 'k', properties: {}, definition: '' },
    value: {
      type: 'AVRO',
      name: 'v',
      properties: { __alwaysAllowNull: 'true' },
      definition: '{"type":"int"}',
    },
  });
});

it.each([
  ['no length', Buffer.from([0, 0])],
  ['a length beyond its end', Buffer.from([0, 0, 0, 9, 1])],
  ['a key alone', joined('k')],
])('keeps a KEY_VALUE schema whole that has %s', (_, definition) => {
  const kept = keepSchema(topic, V0, { ...AVRO, type: 'KEY_VALUE', definition });
  expect(kept.keyValue).toBeUndefined();
  expect(definitionBytes(kept)).toEqual(definition);
});

it('takes a key without definition (-1), and properties that are no JSON, as none', () => {
  const properties = [
    ['value.schema.type', 'INT32'],
    ['value.schema.properties', 'not JSON'],
  ] as const;
  const definition = joined(undefined, '');
  const kept = keepSchema(topic, V0, { ...AVRO, type: 'KEY_VALUE', properties, definition });
  const none = { name: '', properties: {}, definition: '' };
  expect(kept.keyValue).toEqual({
    encoding: 'INLINE',
    key: { ...none, type: 'BYTES' },
    value: { ...none, type: 'INT32' },
  });
});

it.each([
  ['no JSON', (text: string) => text.slice(1), 'it is not JSON'],
  ['another format', (text: string) => text.replace('schema/1', 'schema/2'), 'its format is not'],
  ['null', () => 'null', 'its format is not'],
  ['another definition', (text: string) => text.replace('record', 'recorder'), 'sha256'],
  ['another version', (text: string) => text.replace('"version":"0"', '"version":"1"'), '"version"'],
  ['no type', (text: string) => text.replace('"type":"AVRO",', ''), 'a field of the schema'],
])('refuses an object with %s', (_, change, why) => {
  const bytes = Buffer.from(change(encodeKeptSchema(keepSchema(topic, V0, AVRO)).toString()));
  expect(() => parseKeptSchema(bytes)).toThrow(why);
});

it.each([
  ['AAAAAAAAAAA=', '0'],
  ['AAAAAAAAAAE=', '1'],
  ['//////////8=', '18446744073709551615'],
  ['AQ==', 'x01'],
  ['', 'x'],
  ['AAAAAAAAAAAB', 'x000000000000000001'],
])('names the version %s %s', (base64, version) => {
  expect(versionText(Buffer.from(base64, 'base64'))).toBe(version);
  expect(parseVersionText(version)).toEqual(Buffer.from(base64, 'base64'));
});

it.each(['', '01', '-1', '18446744073709551616', 'x0', 'xAB', '1.5'])(
  'takes "%s" for no version',
  (version) => {
    expect(parseVersionText(version)).toBeUndefined();
  },
);

it('names a key after topic, version and another definition, and reads it back', () => {
  const folder = schemaFolder('a/', topic);
  const other = schemaName(V0, 'ab'.repeat(32));
  expect(schemaKey('a/', topic, schemaName(V0))).toBe('a/_schemas/t/n/orders/0.json');
  expect(schemaKey('a/', topic, other)).toBe('a/_schemas/t/n/orders/0-abababababab.json');
  expect(parseSchemaKey(folder, `${folder}0-abababababab.json`)).toEqual({ name: other, version: V0 });
  expect(parseSchemaKey(folder, `${folder}0.jsonl`)).toBeUndefined();
  expect(parseSchemaKey(folder, `${folder}sub/0.json`)).toBeUndefined();
  expect(parseSchemaKey(folder, 'a/_schemas/t/n/other/0.json')).toBeUndefined();
});

it('makes no key longer than those of records', () => {
  const key = schemaKey('', topic, schemaName(Buffer.alloc(16, 1), 'ab'.repeat(32)));
  expect(key.length).toBeLessThan(MAX_KEY_BYTES);
});
