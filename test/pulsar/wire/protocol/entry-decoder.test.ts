import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../../../src/local/broker/frames.ts';
import type { Message } from '../../../../src/ports.ts';
import { encodeMessage } from '../../../../src/pulsar/wire/protocol/codec.ts';
import { decodeEntry, readStoredEntry } from '../../../../src/pulsar/wire/protocol/entry-decoder.ts';
import { COMPRESSION_TYPE } from '../../../../src/pulsar/wire/protocol/tables.ts';
import { anyCharacter } from '../../../any-character.ts';
import { encodeMessages, type LoopbackMessage } from '../../../stand-ins/broker/publish.ts';

const ID = { ledgerId: 12, entryId: 7 };
const CONTEXT = { topic: 'persistent://t/n/orders-partition-2', partition: 2, limitBytes: 1 << 20 };
const decode = (bytes: Uint8Array) => decodeEntry(readStoredEntry(ID, Buffer.from(bytes)), CONTEXT);
const METADATA = { producerName: 'p', sequenceId: 1, publishTime: 1_764_000_000_000 };

function messagesOf(bytes: Uint8Array): readonly Message[] {
  const decoded = decode(bytes);
  if (decoded.kind !== 'entry') throw new Error(decoded.reason);
  return decoded.messages;
}

const expectUnreadable = (bytes: Uint8Array, reason: RegExp) => {
  const decoded = decode(bytes);
  expect(decoded).toMatchObject({ kind: 'unreadable', id: ID, topic: CONTEXT.topic });
  if (decoded.kind === 'unreadable') {
    expect(decoded.reason).toMatch(reason);
    expect(decoded.raw).toEqual([{ id: ID, bytes: Buffer.from(bytes) }]);
  }
};

/** One message of a batch, written by hand. */
function inBatch(
  metadata: Parameters<typeof encodeMessage<'SingleMessageMetadata'>>[1],
  payload = '',
): Buffer {
  const head = encodeMessage('SingleMessageMetadata', { payloadSize: payload.length, ...metadata });
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length);
  return Buffer.concat([size, head, Buffer.from(payload)]);
}

describe('an entry', () => {
  it('becomes its messages with every field, alone and in a batch, whatever they hold', () => {
    const anyText = fc.string({ unit: anyCharacter, maxLength: 12 });
    const anyMessage = fc.record<LoopbackMessage>(
      {
        payload: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.constant(null)),
        key: fc.oneof(anyText, fc.uint8Array({ maxLength: 8 })),
        orderingKey: fc.uint8Array({ maxLength: 8 }),
        properties: fc.dictionary(anyText, anyText, { maxKeys: 12 }),
        eventTimeMs: fc.oneof(
          fc.integer({ min: 1, max: 2 ** 45 }),
          fc.maxSafeInteger().filter((one) => one !== 0),
          fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).chain((one) => fc.constantFrom(one, -one)),
        ),
        sequenceId: fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n })),
      },
      { requiredKeys: ['payload', 'sequenceId'] },
    );
    const anyCompression = fc.constantFrom('none', 'lz4', 'zlib', 'snappy');
    const hex = (value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
    fc.assert(
      fc.property(
        fc.array(anyMessage, { minLength: 1, maxLength: 5 }),
        anyCompression,
        fc.boolean(),
        fc.oneof(
          fc.constantFrom(0, -1, 1_764_000_000_000, 2 ** 53 - 1),
          fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).chain((one) => fc.constantFrom(one, -one)),
        ),
        (sent, compression, isBatch, publishTimeMs) => {
          const shared = {
            publishTimeMs,
            schemaVersion: Buffer.from([0, 9]),
            replicatedFrom: 'far',
          };
          const all = isBatch ? sent : sent.slice(0, 1);
          const [bytes] = encodeMessages(
            all.map((message) => ({ ...message, ...shared })),
            0,
            { compression, batchSize: isBatch ? all.length : 0, producerName: 'p' },
          );
          const got = messagesOf(bytes as Buffer);
          expect(got.map(({ id }) => id.batchIndex)).toEqual(isBatch ? all.map((_, n) => n) : [-1]);
          for (const [index, message] of got.entries()) {
            const wanted = all[index] as LoopbackMessage;
            expect(message.id).toMatchObject({ ...ID, partition: 2 });
            expect(message.topic).toBe(CONTEXT.topic);
            expect(hex(message.payload)).toBe(hex(wanted.payload));
            expect(hex(message.key)).toBe(hex(wanted.key));
            expect(hex(message.orderingKey)).toBe(hex(wanted.orderingKey));
            expect(Object.fromEntries(message.properties)).toEqual({ ...wanted.properties });
            expect(message.eventTimeMs).toBe(wanted.eventTimeMs);
            expect(message.sequenceId).toBe(wanted.sequenceId);
            expect(message.publishTimeMs).toBe(shared.publishTimeMs);
            expect(hex(message.schemaVersion)).toBe('0009');
            expect(message.replicatedFrom).toBe('far');
            expect(message.producer).toBe('p');
          }
        },
      ),
    );
  });

  it('keeps no copy of a payload that is not compressed', () => {
    const bytes = Buffer.from(encodeEntry(METADATA, Buffer.from('a payload')));
    const decoded = decodeEntry(readStoredEntry(ID, bytes), CONTEXT);
    bytes.write('A', bytes.length - 9);
    expect(decoded.kind === 'entry' && decoded.messages[0]?.payload?.toString()).toBe('A payload');
  });

  it('without a checksum, or behind the metadata of the broker, is read all the same', () => {
    const bytes = encodeEntry(METADATA, Buffer.from('x'));
    expect(messagesOf(bytes.subarray(6))).toHaveLength(1);
    const broker = encodeMessage('BrokerEntryMetadata', { brokerTimestamp: 5, index: 9 });
    const head = Buffer.alloc(6);
    head.writeUInt16BE(0x0e02);
    head.writeUInt32BE(broker.length, 2);
    const [message] = messagesOf(Buffer.concat([head, broker, bytes]));
    expect(message?.payload?.toString()).toBe('x');
  });

  it('is empty where it is a marker', () => {
    expect(messagesOf(encodeEntry({ ...METADATA, markerType: 10 }, Buffer.from('x')))).toEqual([]);
  });

  it('leaves out messages that compaction removed, and keeps the places of the others', () => {
    const batch = Buffer.concat([inBatch({}, 'a'), inBatch({ compactedOut: true }), inBatch({}, 'c')]);
    const left = messagesOf(encodeEntry({ ...METADATA, numMessagesInBatch: 3 }, batch));
    expect(left.map(({ id, payload }) => [id.batchIndex, payload?.toString()])).toEqual([
      [0, 'a'],
      [2, 'c'],
    ]);
    const rewritten = encodeEntry(
      { ...METADATA, numMessagesInBatch: 5, compactedBatchIndexes: [1, 4] },
      Buffer.concat([inBatch({}, 'b'), inBatch({}, 'e')]),
    );
    expect(messagesOf(rewritten).map(({ id }) => id.batchIndex)).toEqual([1, 4]);
  });

  it.each([2, 8, 9, 40])(
    'has of %i properties the last of each name, also where a name is no text',
    (count) => {
      const noText = (byte: number) => Buffer.of(0xff, byte) as unknown as string;
      const names = Array.from({ length: count }, (_, n) => (n % 3 === 2 ? noText(n) : `n${n}`));
      const repeated = [names[0] as string, names[count - 1] as string];
      const properties = [...names, ...repeated].map((key, n) => ({ key, value: `${n}` }));
      const [message] = messagesOf(encodeEntry({ ...METADATA, properties }, Buffer.from('x')));
      const values = Object.fromEntries(message?.properties.map(([, value], n) => [n, value]) ?? []);
      expect(Object.values(values)).toEqual(
        names.map((_, n) => `${n === 0 ? count : n === count - 1 ? count + 1 : n}`),
      );
    },
  );

  it('has no key where it is marked as null, no event time for 0, and the last of two properties of one name', () => {
    const properties = [
      { key: 'a', value: '1' },
      { key: 'a', value: '2' },
    ];
    const bytes = encodeEntry(
      { ...METADATA, partitionKey: 'k', nullPartitionKey: true, eventTime: 0, properties },
      Buffer.from('x'),
    );
    expect(messagesOf(bytes)[0]).toMatchObject({
      key: undefined,
      eventTimeMs: undefined,
      properties: [['a', '2']],
    });
  });

  it('keeps a binary key that is no Base64, and a key that is no text, as they are', () => {
    const noBase64 = { ...METADATA, partitionKey: 'not base64!', partitionKeyB64Encoded: true };
    expect(messagesOf(encodeEntry(noBase64, Buffer.from('x')))[0]?.key).toBe('not base64!');
    const entry = encodeEntry({ ...METADATA, partitionKey: 'KEY' }, Buffer.from('x')).subarray(6);
    const at = entry.indexOf('KEY');
    entry[at] = 0xff;
    expect(messagesOf(entry)[0]?.key).toEqual(Buffer.from([0xff, 0x45, 0x59]));
  });

  it('is unreadable, with all its bytes, where its checksum does not match', () => {
    const bytes = encodeEntry(METADATA, Buffer.from('x'));
    bytes[bytes.length - 1] = 0x79;
    expectUnreadable(bytes, /entry 12:7 cannot be decoded: its checksum/);
  });

  it('says its schema version where it is encrypted, and not where its checksum is wrong', () => {
    const encryptionKeys = [{ key: 'k', value: Buffer.from('v') }];
    const bytes = encodeEntry(
      { ...METADATA, encryptionKeys, schemaVersion: Buffer.of(0, 3) },
      Buffer.from('x'),
    );
    expect(decode(bytes)).toMatchObject({ kind: 'unreadable', schemaVersion: Uint8Array.of(0, 3) });
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    expect(decode(bytes)).not.toHaveProperty('schemaVersion');
  });

  it('is unreadable where it is encrypted, of an unknown codec, or larger than the limit', () => {
    const encryptionKeys = [{ key: 'k', value: Buffer.from('v') }];
    expectUnreadable(encodeEntry({ ...METADATA, encryptionKeys }, Buffer.from('x')), /encrypted/);
    expectUnreadable(encodeEntry({ ...METADATA, compression: 77 }, Buffer.from('x')), /compression type 77/);
    const huge = { ...METADATA, compression: COMPRESSION_TYPE.LZ4, uncompressedSize: 2 ** 31 };
    expectUnreadable(encodeEntry(huge, Buffer.from('x')), /more than the limit/);
  });

  const NO_TEXT = Buffer.from([0xc0, 0x45, 0x58, 0x54]);
  it.each([
    [
      'the value of a property',
      { properties: [{ key: 'n', value: 'TEXT' }] },
      { properties: [['n', NO_TEXT]] },
    ],
    [
      'the name of a property',
      { properties: [{ key: 'TEXT', value: 'v' }] },
      { properties: [[NO_TEXT, 'v']] },
    ],
    ['the producer', { producerName: 'TEXT' }, { producer: NO_TEXT }],
    ['the origin', { replicatedFrom: 'TEXT' }, { replicatedFrom: NO_TEXT }],
    ['the key', { partitionKey: 'TEXT' }, { key: NO_TEXT }],
  ])('keeps the bytes where %s is no valid UTF-8, so that nothing is replaced', (_, metadata, expected) => {
    const entry = encodeEntry({ ...METADATA, ...metadata }, Buffer.from('x')).subarray(6);
    entry[entry.indexOf('TEXT')] = 0xc0;
    expect(messagesOf(entry)[0]).toMatchObject(expected);
    const batch = inBatch({ properties: [{ key: 'k', value: 'TEXT' }] }, 'a');
    batch[batch.indexOf('TEXT')] = 0xc0;
    const inABatch = encodeEntry(
      { ...METADATA, numMessagesInBatch: 2 },
      Buffer.concat([batch, inBatch({}, 'b')]),
    );
    expect(messagesOf(inABatch).map(({ properties }) => properties)).toEqual([[['k', NO_TEXT]], []]);
  });

  it.each([
    ['more messages than it has', { numMessagesInBatch: 3 }, inBatch({}, 'a')],
    [
      'fewer messages than it has',
      { numMessagesInBatch: 1 },
      Buffer.concat([inBatch({}, 'a'), inBatch({}, 'b')]),
    ],
    ['a payload that is too long', { numMessagesInBatch: 1 }, inBatch({ payloadSize: 50 }, 'a')],
    ['metadata that is too long', { numMessagesInBatch: 1 }, Buffer.from('00001000', 'hex')],
  ])('is unreadable where its batch announces %s', (_, metadata, batch) => {
    expectUnreadable(encodeEntry({ ...METADATA, ...metadata }, batch), /batch/);
  });

  /** `sent` with bytes behind its metadata, as fields that it does not know. */
  const withFields = (sent: Uint8Array, fields: string) => {
    const bytes = Buffer.from(sent).subarray(6);
    const end = 4 + bytes.readUInt32BE(0);
    const added = Buffer.from(fields, 'hex');
    const all = Buffer.concat([bytes.subarray(0, end), added, bytes.subarray(end)]);
    all.writeUInt32BE(end - 4 + added.length, 0);
    return all;
  };

  it.each([
    ['a number', 'f80f96feffff0f'],
    ['eight bytes', 'f90f0102030405060708'],
    ['bytes', 'fa0f03616263'],
    ['four bytes', 'fd0f01020304'],
    ['a known field of another type', '1a03616263'],
    ['an enum value', 'd00163'],
  ])('is read where its metadata has %s that is not known', (_, fields) => {
    const [message] = messagesOf(withFields(encodeEntry(METADATA, Buffer.from('x')), fields));
    expect(message).toMatchObject({ publishTimeMs: METADATA.publishTime, producer: 'p' });
    expect(message?.payload?.toString()).toBe('x');
  });

  it('is read without producer and sequence id, and with any sequence id', () => {
    const [bare] = messagesOf(encodeEntry({ publishTime: 5 } as never, Buffer.from('x')));
    expect(bare).toMatchObject({ producer: undefined, sequenceId: undefined, publishTimeMs: 5 });
    const [odd] = messagesOf(encodeEntry({ ...METADATA, sequenceId: 2n ** 64n - 1n }, Buffer.from('x')));
    expect(odd?.sequenceId).toBe(2n ** 64n - 1n);
  });

  it('is unreadable without a publish time, which no client takes either', () => {
    expectUnreadable(
      encodeEntry({ producerName: 'p', sequenceId: 1 } as never, Buffer.from('x')),
      /no publish time/,
    );
  });

  it.each(Object.entries(COMPRESSION_TYPE))(
    'is empty where it is a batch of nothing, compressed or not (%s)',
    (_, compression) => {
      const bytes = encodeEntry({ ...METADATA, compression, numMessagesInBatch: 0 }, Buffer.alloc(0));
      expect(messagesOf(bytes)).toEqual([]);
      expectUnreadable(encodeEntry({ ...METADATA, numMessagesInBatch: 0 }, Buffer.from('x')), /too many/);
    },
  );

  it.each(Object.entries(COMPRESSION_TYPE))(
    'has an empty message where its payload has no bytes (%s)',
    (_, compression) => {
      const [message] = messagesOf(encodeEntry({ ...METADATA, compression }, Buffer.alloc(0)));
      expect(message?.payload).toHaveLength(0);
    },
  );

  it('counts against the permits what the broker counted, readable or not', () => {
    const batch = Buffer.concat([inBatch({}, 'a'), inBatch({}, 'b')]);
    const bytes = encodeEntry({ ...METADATA, numMessagesInBatch: 2, uuid: 'LAST' }, batch).subarray(6);
    expect(readStoredEntry(ID, bytes).permits).toBe(2);
    // Its length leaves the metadata.
    bytes[bytes.indexOf('LAST') - 1] = 0x7f;
    expect(readStoredEntry(ID, bytes)).toMatchObject({ permits: 2, metadata: undefined });
    expect(readStoredEntry(ID, Buffer.alloc(2)).permits).toBe(1);
  });
});
