// Records that are tested before they are parsed: none that fits is passed over, however its writer has escaped it.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createObjectList } from '../../../src/archive/catalog/object-list.ts';
import { isSelected } from '../../../src/archive/catalog/selection.ts';
import { contentTestOf } from '../../../src/archive/read/content-match.ts';
import { rawMatchOf } from '../../../src/archive/read/raw-match.ts';
import { formatObjectKey, parseObjectKey } from '../../../src/format/object-key.ts';
import { decodeRecord, encodeRecord } from '../../../src/format/record.ts';
import { anyCharacter } from '../../any-character.ts';
import { message, PREFIX } from '../archive-fixture.ts';

const TEXT = fc.oneof(
  fc.string({ unit: anyCharacter, minLength: 0, maxLength: 12 }),
  fc.constantFrom('customer-7', 'a/b', '"', '\\', 'é€😀', '\u0000', 'ключ', '/', '\ufffd', '7'),
);
const BYTES = fc.uint8Array({ maxLength: 12 });

/** JSON as another writer may have it: some characters escaped that need not be, and spaces. */
const escaped = (json: string, which: (i: number) => boolean) =>
  [...json.matchAll(/"(?:[^"\\]|\\.)*"|[^"]+/gsu)]
    .map(([part]) =>
      part.startsWith('"')
        ? part.replace(/\\u[0-9a-f]{4}|\\.|[^"\\]/gs, (one, i) =>
            one === '/' && which(i)
              ? '\\/'
              : one.length === 1 && which(i + 1)
                ? `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`
                : one,
          )
        : part.replace(':', ': '),
    )
    .join('');

it('says yes to every record that is selected by key or property', () => {
  fc.assert(
    fc.property(
      fc.oneof(TEXT, BYTES),
      fc.array(fc.tuple(fc.oneof(TEXT, BYTES), fc.oneof(TEXT, BYTES)), { maxLength: 2 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }),
      fc.boolean(),
      (key, properties, bits, isOurs) => {
        const names = new Map(
          properties.map(([name, value]) => [Buffer.from(name as string).toString('hex'), [name, value]]),
        );
        const record = encodeRecord(message(0, 1, { key, properties: [...names.values()] as never }));
        const line = isOurs
          ? record
          : `${escaped(record.trimEnd(), (i) => bits[i % bits.length] as boolean)}\n`;
        const decoded = decodeRecord(line);
        const asText = (one: string | Uint8Array) =>
          typeof one === 'string' ? one : Buffer.from(one).toString();
        const selections = [
          { key: asText(key) },
          ...decoded.properties.map(([name, value]) => ({
            properties: [[asText(name), asText(value)]] as [string, string][],
          })),
        ];
        for (const selection of selections) {
          if (!isSelected(decoded, selection)) continue;
          const match = rawMatchOf(selection);
          expect(match?.inLine(line.trimEnd()) ?? true).toBe(true);
          expect(match?.inBytes(Buffer.from(line)) ?? true).toBe(true);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

/** A part of a text or of bytes, as somebody looks for it. */
const partOf = (whole: string | Uint8Array, [from, length]: [number, number]) => {
  const bytes = Buffer.from(whole as string);
  const start = from % Math.max(1, bytes.length);
  return bytes.subarray(start, start + 1 + length).toString();
};

it('says yes to every record that has a text in its value, its key or a property', () => {
  fc.assert(
    fc.property(
      fc.record({ value: fc.oneof(TEXT, BYTES), key: fc.oneof(TEXT, BYTES), name: TEXT, content: BYTES }),
      fc.tuple(fc.nat(12), fc.nat(6)),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }),
      fc.boolean(),
      ({ value, key, name, content }, place, bits, isOurs) => {
        const own = { key, properties: [[name, content]] as never, payload: Buffer.from(value as string) };
        const record = encodeRecord(message(0, 1, own)).trimEnd();
        const line = isOurs ? record : escaped(record, (i) => bits[i % bits.length] as boolean);
        const decoded = decodeRecord(line);
        for (const where of [value, key, name, content]) {
          const texts = [partOf(where, place)].filter((text) => text !== '');
          if (contentTestOf({ texts })?.(decoded) !== true) continue;
          expect(rawMatchOf({ texts })?.inLine(line) ?? true, JSON.stringify(texts)).toBe(true);
          expect(rawMatchOf({ texts })?.inBytes(Buffer.from(line)) ?? true).toBe(true);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

it('says yes to every record that has a value at a path, whatever is escaped there', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(TEXT, fc.constantFrom('a', 'b', '0')), { minLength: 1, maxLength: 3 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }),
      fc.boolean(),
      (path, bits, isOurs) => {
        const which = (i: number) => bits[i % bits.length] as boolean;
        const plain = JSON.stringify(path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), 'x'));
        const other = escaped(plain, which);
        // Half of a character has no bytes.
        const payload = Buffer.from(isOurs || Buffer.from(other).toString() !== other ? plain : other);
        const record = encodeRecord(message(0, 1, { payload })).trimEnd();
        const line = isOurs ? record : escaped(record, which);
        const valuePaths = [{ path, expected: 'x' }];
        expect(contentTestOf({ valuePaths })?.(decodeRecord(line))).toBe(true);
        expect(rawMatchOf({ valuePaths })?.inLine(line) ?? true).toBe(true);
        expect(rawMatchOf({ valuePaths })?.inBytes(Buffer.from(line)) ?? true).toBe(true);
      },
    ),
    { numRuns: 1_000 },
  );
});

it('says yes to every record that has a number at a path, however it is written', () => {
  const digits = fc.stringMatching(/^(0|[1-9][0-9]{0,5})$/);
  const fraction = fc.stringMatching(/^(\.[0-9]{1,5})?$/);
  const exponent = fc.constantFrom('', 'e1', 'E+2', 'e-3', 'e0');
  const number = fc
    .tuple(fc.constantFrom('', '-'), digits, fraction, exponent)
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(number, fc.integer({ min: -6, max: 6 }), fc.boolean(), (expected, shift, isOther) => {
      // The same value in other digits: the point elsewhere, and zeros at the ends.
      const [, sign = '', whole = '', after = '', e = '0'] =
        /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(expected) ?? [];
      const all = `000000000000${whole}${after}000000000000`;
      const point = 12 + whole.length + shift;
      const front = all.slice(0, point).replace(/^0+(?=\d)/, '');
      const other = `${sign}${front}.${all.slice(point)}e${Number(e) - shift}`;
      const payload = Buffer.from(`{"a":${isOther ? other : expected}}`);
      const line = encodeRecord(message(0, 1, { payload })).trimEnd();
      const valuePaths = [{ path: ['a'], expected }];
      expect(contentTestOf({ valuePaths })?.(decodeRecord(line)), line).toBe(true);
      expect(rawMatchOf({ valuePaths })?.inLine(line) ?? true, line).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it('says no to a value in which the name is, and not what it is expected to have', () => {
  const line = encodeRecord(message(0, 1, { payload: Buffer.from('{"a":{"id":71},"say":"hi"}') }));
  for (const [expected, answer] of [
    ['71', true],
    ['72', false],
    ['hi', true],
    ['ho', false],
  ] as const)
    expect(rawMatchOf({ valuePaths: [{ path: ['a', 'id'], expected }] })?.inLine(line)).toBe(answer);
  expect(rawMatchOf({ texts: ['"id":71'] })?.inLine(line)).toBe(true);
  expect(rawMatchOf({ texts: ['"id":72'] })?.inLine(line)).toBe(false);
});

it('says no to a text that is nowhere, also between escaped backslashes and in Base64', () => {
  const match = rawMatchOf({ texts: ['customer-7'] });
  const line = (rest: Parameters<typeof message>[2]) => encodeRecord(message(0, 1, rest)).trimEnd();
  expect(match?.inLine(line({ payload: Buffer.from(String.raw`{"a":"\u00e9"}`) }))).toBe(false);
  expect(match?.inLine(line({ payload: Buffer.from([255, 254]) }))).toBe(false);
  for (const before of [1, 2, 3]) {
    const payload = Buffer.concat([Buffer.alloc(before, 255), Buffer.from('customer-7')]);
    expect(match?.inLine(line({ payload }))).toBe(true);
  }
  expect(match?.inLine(String.raw`{"value":"\\u00e9"}`)).toBe(false);
  expect(match?.inLine(String.raw`{"value":"\\\u00e9"}`)).toBe(true);
});

it('says no to records without the key, and to keys in a part of a word', () => {
  const match = rawMatchOf({ key: 'customer-7' });
  expect(match?.inLine(encodeRecord(message(0, 1, { key: 'customer-8' })))).toBe(false);
  expect(match?.inLine(encodeRecord(message(0, 1, { key: Buffer.from('customer-7') })))).toBe(true);
  expect(match?.inBytes(Buffer.from(encodeRecord(message(0, 1, { key: 'customer-8' }))))).toBe(false);
  expect(rawMatchOf({})).toBeUndefined();
});

it('makes keys again from what it keeps, in the order of messages over all dates', () => {
  const keys = [
    't/ns/orders/date=2026-11-23/partition=3/000000000012-0000000007-00004.jsonl',
    't/ns/orders/date=2026-11-24/partition=3/000000000010-0000000000-00000.jsonl.gz',
    't/ns/orders/date=2026-11-25/partition=3/000000000012-0000000007-00005.jsonl.zst',
    't/ns/orders/date=2026-11-25/partition=none/0000000000013-0000000007-00005.jsonl',
  ];
  const list = createObjectList(PREFIX);
  for (const path of keys) {
    const parts = parseObjectKey('', path);
    if (parts === undefined) throw new Error(path);
    list.add({
      ...{ key: `${PREFIX}${path}`, parts, sizeBytes: 5, lastModified: new Date(0) },
      ...{ topic: '', manifest: undefined, head: undefined, isRecovered: false },
      facts: {
        ...{ messages: 3, recordBytes: undefined, lastId: undefined, isSpanKnown: true },
        firstId: { ...parts },
        ...{ firstPublishTimeMs: undefined, lastPublishTimeMs: undefined },
        ...{ earliestPublishTimeMs: undefined, latestPublishTimeMs: undefined },
      },
    });
  }
  const partitions = list.partitions().map(({ partition, others }) => ({
    partition,
    keys: [...others()].map(({ key }) => key.slice(PREFIX.length)),
  }));
  expect(partitions).toEqual([
    { partition: -1, keys: [keys[3]] },
    { partition: 3, keys: [keys[1], keys[0], keys[2]] },
  ]);
});

it('formats what it has parsed', () => {
  const key = 'a/t/ns/orders/date=2026-11-23/partition=none/000000000012-0000000007-00004.jsonl.gz';
  const parts = parseObjectKey('a/', key);
  expect(parts && formatObjectKey('a/', parts)).toBe(key);
});
