import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  compareMessageIds,
  decodeRecord,
  encodeRecord,
  formatMessageId,
  formatTime,
  parseMessageId,
  parseTime,
} from '../../src/format/record.ts';
import type { Message, Text, TimeMs } from '../../src/ports.ts';
import { anyCharacter } from '../any-character.ts';

const bytes = fc.uint8Array({ maxLength: 64 }).map((one) => Buffer.from(one));
const text = fc.string({ unit: anyCharacter, maxLength: 12 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const textOrBytes = fc.oneof(
  { weight: 3, arbitrary: text },
  bytes.filter((one) => !isUtf8(one)),
);
/** Texts first, by name; then what is in part bytes, by the Base64 of its name. */
const orderOf = (pair: readonly [Text, Text]) =>
  pair.every((one) => typeof one === 'string')
    ? `0${pair[0]}`
    : `1${Buffer.from(pair[0] as string).toString('base64')}`;

const EDGES = [0, -1, Date.UTC(2026, 10, 23), 253402300799999, 253402300800000, 2 ** 53 - 1, -(2 ** 53) + 1];
/** All that 64 bits hold; a bigint beyond 2^53. */
const time = fc
  .oneof(
    fc.nat(),
    fc.constantFrom(...EDGES),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  )
  .map((one) => (Number.isSafeInteger(Number(one)) ? Number(one) : one));

const message: fc.Arbitrary<Message> = fc.record({
  id: fc.record({
    ledgerId: fc.nat(),
    entryId: fc.nat(),
    partition: fc.integer({ min: -1, max: 200 }),
    batchIndex: fc.integer({ min: -1, max: 5000 }),
  }),
  topic: text,
  publishTimeMs: time,
  eventTimeMs: maybe(time),
  key: maybe(fc.oneof(text, bytes)),
  orderingKey: maybe(bytes),
  properties: fc
    .uniqueArray(
      fc.tuple(fc.oneof(textOrBytes, fc.constantFrom('10', '2', '__proto__', 'toString')), textOrBytes),
      {
        selector: ([name]) => Buffer.from(name as string).toString('hex'),
        maxLength: 5,
      },
    )
    .map((pairs) => pairs.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))),
  producer: maybe(textOrBytes),
  sequenceId: maybe(fc.oneof(fc.nat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }))),
  schemaVersion: maybe(bytes),
  replicatedFrom: maybe(textOrBytes),
  payload: fc.oneof(
    fc.constant(null),
    bytes,
    text.map((one) => Buffer.from(one)),
  ),
});

it('gives back every byte of every message: decode(encode(m)) = m', () => {
  fc.assert(
    fc.property(message, (one) => {
      const decoded = decodeRecord(encodeRecord(one));
      expect(normal(decoded)).toEqual(normal(one));
    }),
    { numRuns: 2_000 },
  );
});

/** Buffers as text, so that equal bytes are equal. */
function normal(one: Message): unknown {
  const hex = (value: unknown): unknown =>
    value instanceof Uint8Array
      ? `hex:${Buffer.from(value).toString('hex')}`
      : Array.isArray(value)
        ? value.map(hex)
        : value;
  return Object.fromEntries(Object.entries(one).map(([name, value]) => [name, hex(value)]));
}

it('writes one line, whatever is in the message', () => {
  fc.assert(
    fc.property(message, (one) => {
      const line = encodeRecord(one);
      expect(line.indexOf('\n')).toBe(line.length - 1);
    }),
  );
});

const sample: Message = {
  id: { ledgerId: 12, entryId: 7, partition: 0, batchIndex: 3 },
  topic: 'persistent://t/ns/orders-partition-0',
  publishTimeMs: Date.UTC(2026, 10, 23, 23, 21, 41, 123),
  eventTimeMs: Date.UTC(2026, 10, 23, 23, 21, 40, 0),
  key: 'k1',
  orderingKey: Buffer.from('o'),
  properties: [
    ['b', '2'],
    ['a', 'ä'],
  ],
  producer: 'p-1',
  sequenceId: 17,
  schemaVersion: Buffer.from([0, 1]),
  replicatedFrom: 'gz',
  payload: Buffer.from('text'),
};

it('writes record format v1 to the letter', () => {
  expect(encodeRecord(sample)).toBe(
    '{"id":"12:7:0:3","topic":"persistent://t/ns/orders-partition-0","publishTime":"2026-11-23T23:21:41.123Z",' +
      '"eventTime":"2026-11-23T23:21:40.000Z","key":"k1","orderingKey":"bw==","properties":{"a":"ä","b":"2"},' +
      '"producer":"p-1","sequenceId":17,"schemaVersion":"AAE=","replicatedFrom":"gz","value":"text"}\n',
  );
});

it('distinguishes a tombstone, an empty payload and binary bytes', () => {
  const endOf = (payload: Uint8Array | null) =>
    encodeRecord({ ...sample, payload }).split('"replicatedFrom":"gz",')[1];
  expect(endOf(null)).toBe('"value":null}\n');
  expect(endOf(Buffer.alloc(0))).toBe('"value":""}\n');
  expect(endOf(Buffer.from([0xff, 0x00]))).toBe('"valueBase64":"/wA="}\n');
});

it('gives the same line for the same message, in whatever order its properties came', () => {
  const turned = { ...sample, properties: [...sample.properties].reverse() };
  expect(encodeRecord(turned)).toBe(encodeRecord(sample));
});

it('keeps texts that are no valid UTF-8 as Base64, in fields of their own', () => {
  const gbk = Buffer.of(0xd6, 0xd0);
  const line = encodeRecord({
    ...sample,
    key: gbk,
    producer: gbk,
    replicatedFrom: gbk,
    properties: [
      ['text', 'text'],
      ['name', gbk],
      [gbk, 'value'],
    ],
  });
  expect(line).toContain('"keyBase64":"1tA=",');
  expect(line).toContain(
    '"properties":{"text":"text"},"propertiesBase64":{"1tA=":"dmFsdWU=","bmFtZQ==":"1tA="},"producerBase64":"1tA=",',
  );
  expect(line).toContain('"replicatedFromBase64":"1tA=",');
});

it('says what is wrong with a line that is no record', () => {
  const good = encodeRecord(sample);
  const broken: [string, RegExp][] = [
    [good.slice(0, 40), /not JSON/],
    ['[]', /no JSON object/],
    [good.replace('12:7:0:3', '12:7'), /no message id/],
    [good.replace('"value":"text"', '"valueBase64":"!"'), /not base64/],
    [good.replace(',"value":"text"', ''), /"valueBase64" is no text/],
    [good.replace('2026-11-23T23:21:41.123Z', 'yesterday'), /no time/],
    [good.replace('"2026-11-23T23:21:41.123Z"', '1.5'), /no integer/],
    [good.replace('"b":"2"', '"b":2'), /property/],
    [good.replace('"sequenceId":17', '"sequenceId":1.5'), /sequenceId/],
  ];
  for (const [line, reason] of broken) expect(() => decodeRecord(line), line).toThrow(reason);
});

it('reads back the message ids that it writes, and nothing else', () => {
  expect(parseMessageId(formatMessageId(sample.id))).toEqual(sample.id);
  for (const other of ['', '1:2:3', '1:2:3:4:5', '-1:2:3:4', '1:2:-2:0', 'a:b:c:d']) {
    expect(parseMessageId(other), other).toBeUndefined();
  }
});

it('orders message ids as the broker does: ledger, entry, place in the batch', () => {
  const at = (ledgerId: number, entryId: number, batchIndex: number) => ({ ledgerId, entryId, batchIndex });
  const sorted = [at(1, 9, 3), at(2, 0, -1), at(2, 1, 0), at(2, 1, 1), at(10, 0, 0)];
  expect([...sorted].reverse().sort(compareMessageIds)).toEqual(sorted);
});

it('writes a time that no date holds as the number itself, and reads back each', () => {
  const lineOf = (publishTimeMs: TimeMs, eventTimeMs: TimeMs) =>
    encodeRecord({ ...sample, publishTimeMs, eventTimeMs });
  expect(lineOf(-1, 253402300800000)).toContain('"publishTime":-1,"eventTime":253402300800000,');
  expect(lineOf(2n ** 63n - 1n, -(2n ** 63n))).toContain(
    '"publishTime":9223372036854775807,"eventTime":-9223372036854775808,',
  );
  fc.assert(
    fc.property(time, (one) => {
      expect(parseTime(formatTime(one))).toBe(one);
    }),
  );
});

it('takes the digits of a number from its own field, whatever else is in the line', () => {
  const tricky = '"publishTime":7,"eventTime":8,"sequenceId":9,';
  const one = {
    ...sample,
    publishTimeMs: 2n ** 60n,
    eventTimeMs: -(2n ** 60n),
    sequenceId: 2n ** 62n,
    key: tricky,
    producer: tricky,
    properties: [[tricky, tricky]] as const,
    payload: Buffer.from(tricky),
  };
  expect(normal(decodeRecord(encodeRecord(one)))).toEqual(normal(one));
});

it('writes times as Date does, whatever the time before was', () => {
  fc.assert(
    fc.property(
      fc.array(fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })),
      (dates) => {
        for (const date of dates) {
          const line = encodeRecord({
            ...sample,
            publishTimeMs: date.getTime(),
            eventTimeMs: date.getTime() + 1,
          });
          expect(JSON.parse(line).publishTime).toBe(date.toISOString());
        }
      },
    ),
  );
});
