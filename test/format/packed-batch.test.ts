// Records straight from a packed batch are those of its messages, and what is not plain is left to others: never other
// bytes, and never a batch that does not decode.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { encodePacked, PACKED_BATCH_WASM } from '../../src/format/packed-batch.ts';
import { encodeRecord } from '../../src/format/record.ts';
import { rangeOf, rangeOfPacked } from '../../src/partition/message-range.ts';
import type { Message, ReadableEntry } from '../../src/ports.ts';
import { encodeMessage, type Fields } from '../../src/pulsar/wire/protocol/codec.ts';
import { decodePayload } from '../../src/pulsar/wire/protocol/entry-decoder.ts';
import { readEntryMetadata } from '../../src/pulsar/wire/protocol/entry-metadata.ts';

type Single = Fields<'SingleMessageMetadata'>;
type Whole = Fields<'MessageMetadata'>;
interface Packed {
  readonly fields: Single;
  readonly payload: Uint8Array;
}

const ID = { ledgerId: 4_000_000_007, entryId: 12 };
const CONTEXT = { topic: 'persistent://t/n/ördrs-partition-3', partition: 3, limitBytes: 1 << 26 };
const WHOLE: Whole = { producerName: 'p-1', sequenceId: 7, publishTime: 1_790_000_000_123 };

function pack(messages: readonly Packed[]): Buffer {
  return Buffer.concat(
    messages.flatMap(({ fields, payload }) => {
      const metadata = encodeMessage('SingleMessageMetadata', { ...fields, payloadSize: payload.length });
      const size = Buffer.alloc(4);
      size.writeUInt32BE(metadata.length);
      return [size, metadata, payload];
    }),
  );
}

/** @throws Error where the batch cannot be decoded */
function decode(bytes: Buffer, count: number, whole: Whole = WHOLE): ReadableEntry {
  const metadata = encodeMessage('MessageMetadata', { ...whole, numMessagesInBatch: count });
  return decodePayload(ID, readEntryMetadata(metadata, 0, metadata.length), bytes, CONTEXT);
}

const encodedPacked = ({ packed }: ReadableEntry): string | undefined => {
  const records = packed && encodePacked(packed);
  if (records === undefined) return undefined;
  const bytes = Buffer.concat(Array.from(records.chunks, (chunk) => Buffer.from(chunk)));
  expect(records.sizeBytes).toBe(bytes.length);
  return bytes.toString();
};
const encodedOneByOne = (messages: readonly Message[]) => messages.map(encodeRecord).join('');

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const plain = (fields: Single, payload: string | Uint8Array = '{"a":"ü\n"}'): Packed => ({
  fields,
  payload: typeof payload === 'string' ? bytesOf(payload) : payload,
});

describe.each<[string, Single, (string | Uint8Array)?]>([
  ['nothing but a payload', {}],
  ['an empty payload', {}, ''],
  ['a key and a sequence id', { partitionKey: 'k"\u0001', sequenceId: 9_007_199_254_740_993n }],
  ['an empty key', { partitionKey: '' }],
  [
    'what Java writes out',
    { partitionKey: 'k', partitionKeyB64Encoded: false, compactedOut: false, nullPartitionKey: false },
  ],
  [
    'properties in no order',
    { properties: [...'zbaéc'].filter((name) => name < '\x7f').map((key) => ({ key, value: `v${key}\\` })) },
  ],
  ['names that begin with others', { properties: ['ab', 'a', 'abc', ''].map((key) => ({ key, value: '' })) }],
  [
    '32 properties',
    { properties: Array.from({ length: 32 }, (_, at) => ({ key: `p${31 - at}`, value: `${at}` })) },
  ],
  ['a tombstone', { partitionKey: 'k', nullValue: true }, ''],
  ['an event time', { eventTime: 1_790_000_000_009 }],
  ['the last millisecond of 9999', { eventTime: Date.UTC(9999, 11, 31, 23, 59, 59, 999) }],
  ['text of every width', {}, 'aé世😀'.repeat(100)],
  ['nothing but escapes', {}, '\u0000"'.repeat(200)],
])('a batch of messages with %s', (_, fields, payload) => {
  it.each([1, 3, 120])('becomes records without decoding (%i)', (count) => {
    const entry = decode(pack(Array.from({ length: count }, () => plain(fields, payload))), count);
    const records = encodedPacked(entry);
    expect(records).toBe(encodedOneByOne(entry.messages));
    const { packed } = entry as Required<ReadableEntry>;
    for (const withIds of [true, false])
      expect(rangeOfPacked(packed, withIds)).toEqual(rangeOf(entry.messages, withIds));
  });
});

it.each<[string, Single, Uint8Array?]>([
  ['a payload that is no UTF-8', {}, Uint8Array.of(0xff, 0xfe)],
  ['half a character', {}, Uint8Array.of(0x61, 0xe4, 0xb8)],
  ['a binary key', { partitionKey: 'AAEC', partitionKeyB64Encoded: true }],
  ['a key beyond ASCII', { partitionKey: 'schlüssel' }],
  ['an ordering key', { orderingKey: Uint8Array.of(1, 2) }],
  ['a null key', { nullPartitionKey: true }],
  ['a property twice', { properties: ['a', 'b', 'a'].map((key) => ({ key, value: key })) }],
  ['33 properties', { properties: Array.from({ length: 33 }, (_, at) => ({ key: `p${at}`, value: '' })) }],
  ['an event time beyond 9999', { eventTime: Date.UTC(9999, 11, 31, 23, 59, 59, 999) + 1 }],
  ['an event time before 1970', { eventTime: 2n ** 64n - 5n }],
  ['a large sequence id', { sequenceId: 2n ** 63n }],
  ['a message that compaction removed', { compactedOut: true }],
])('%s is left to others, with the same messages', (_, fields, payload = bytesOf('x')) => {
  const entry = decode(pack([plain({}), plain(fields, payload), plain({})]), 3);
  expect(encodedPacked(entry)).toBeUndefined();
  expect(entry.messages.length).toBe(fields.compactedOut === true ? 2 : 3);
});

it('whatever a batch is, its records are those of its messages, or others have to make them', () => {
  const ascii = fc.string({ unit: 'binary-ascii', maxLength: 20 });
  const text = fc.oneof({ weight: 40, arbitrary: ascii }, fc.string({ unit: 'grapheme', maxLength: 8 }));
  const anyInteger = fc.bigInt(0n, 2n ** 64n - 1n);
  const rarely = fc.nat(40).map((one) => one === 0);
  const fields = fc.record(
    {
      partitionKey: text,
      properties: fc.array(fc.record({ key: text, value: text }), { maxLength: 6 }),
      eventTime: fc.oneof({ weight: 20, arbitrary: fc.maxSafeNat().map((ms) => ms % 4e12) }, anyInteger),
      sequenceId: fc.oneof({ weight: 20, arbitrary: fc.nat() }, anyInteger),
      nullValue: fc.boolean(),
      partitionKeyB64Encoded: rarely,
      compactedOut: rarely,
    },
    { requiredKeys: [] },
  );
  const payload = fc.oneof(
    { weight: 10, arbitrary: fc.string({ unit: 'grapheme', maxLength: 200 }).map(bytesOf) },
    { weight: 10, arbitrary: fc.string({ maxLength: 2_000 }).map(bytesOf) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
  );
  const message = fc.record({ fields, payload });
  const whole = fc.record(
    {
      publishTime: fc.oneof(fc.nat(), anyInteger),
      producerName: text,
      sequenceId: fc.nat(),
      schemaVersion: fc.uint8Array({ maxLength: 9 }),
      replicatedFrom: text,
    },
    { requiredKeys: ['publishTime', 'producerName', 'sequenceId'] },
  );
  let packed = 0;
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), whole, (messages, about) => {
      const entry = decode(pack(messages as Packed[]), messages.length, about as Whole);
      const records = encodedPacked(entry);
      if (records === undefined) return;
      packed++;
      expect(records).toBe(encodedOneByOne(entry.messages));
    }),
    { numRuns: 500 },
  );
  expect(packed).toBeGreaterThan(50);
});

it('a damaged batch is never plain where it cannot be decoded', () => {
  const properties = [
    { key: 'source', value: 'bench' },
    { key: 'type', value: 'order' },
  ];
  const good = pack(
    Array.from({ length: 4 }, (_, at) =>
      plain({ partitionKey: `k${at}`, properties, sequenceId: at }, 'payload'),
    ),
  );
  const change = fc.record({ at: fc.nat(good.length - 1), to: fc.integer({ min: 0, max: 255 }) });
  const cut = fc.oneof(fc.constant(good.length), fc.nat(good.length));
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 3 }),
      cut,
      fc.integer({ min: 1, max: 6 }),
      (changes, end, count) => {
        const bytes = Buffer.from(good.subarray(0, end));
        for (const { at, to } of changes) if (at < end) bytes[at] = to;
        let entry: ReadableEntry;
        try {
          entry = decode(bytes, count);
        } catch {
          return;
        }
        const records = encodedPacked(entry);
        // A batch that was taken for plain decodes now, if ever.
        const expected = encodedOneByOne(entry.messages);
        if (records !== undefined) expect(records).toBe(expected);
      },
    ),
    { numRuns: 3_000 },
  );
});

it('runs the code that is in packed-batch.wat', async () => {
  const { parseWat } = await wabt();
  const source = readFileSync(new URL('../../src/format/packed-batch.wat', import.meta.url), 'utf8');
  const { buffer } = parseWat('packed-batch.wat', source).toBinary({});
  expect(Buffer.from(buffer).toString('base64')).toBe(PACKED_BATCH_WASM);
});
