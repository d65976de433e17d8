import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  type Fields,
  type MessageName,
  ProtocolError,
  Reader,
} from '../../../../src/pulsar/wire/protocol/codec.ts';
import { type FieldTable, MESSAGES } from '../../../../src/pulsar/wire/protocol/tables.ts';
import { anyCharacter } from '../../../any-character.ts';

const NAMES = (Object.keys(MESSAGES) as MessageName[]).filter((name) => name !== 'BaseCommand');

const exact = (value: bigint) =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;

const SCALARS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  uint64: fc.oneof(fc.nat(), fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(exact)),
  int64: fc.oneof(fc.integer(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(exact)),
  uint32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  int32: fc.integer(),
  bool: fc.boolean(),
  string: fc.string({ unit: anyCharacter, maxLength: 20 }),
  bytes: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  double: fc.double({ noNaN: true }),
};

/** Any value of a message, two levels deep. */
function fieldsOf(name: MessageName, depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries<FieldTable>(MESSAGES[name]).filter(
    ([, [, type]]) => depth < 2 || type in SCALARS,
  );
  const arbitraries = entries.map(([field, [, type, label]]) => {
    const one = SCALARS[type] ?? fieldsOf(type as MessageName, depth + 1);
    return [field, label === 'repeated' ? fc.array(one, { minLength: 1, maxLength: 3 }) : one] as const;
  });
  return fc.record(Object.fromEntries(arbitraries), { requiredKeys: [] });
}

const anyMessage = fc.constantFrom(...NAMES).chain((name) => fc.tuple(fc.constant(name), fieldsOf(name)));

describe('the codec', () => {
  it('decodes what it encoded, for every message of the tables', () => {
    fc.assert(
      fc.property(anyMessage, ([name, fields]) => {
        expect(decodeMessage(name, encodeMessage(name, fields as Fields<MessageName>))).toEqual(fields);
      }),
      { numRuns: 500 },
    );
  });

  it('writes varints as the specification of Protocol Buffers has them', () => {
    expect(encodeMessage('CommandFlow', { consumerId: 300, messagePermits: 1 })).toEqual(
      Buffer.from('08ac021001', 'hex'),
    );
    expect(encodeMessage('MessageIdData', { partition: -1 })).toEqual(
      Buffer.from('18ffffffffffffffffff01', 'hex'),
    );
    expect(decodeMessage('MessageIdData', Buffer.from('18ffffffffffffffffff01', 'hex'))).toEqual({
      partition: -1,
    });
  });

  it('reads 64-bit integers as numbers while they are exact, and as bigints beyond', () => {
    for (const value of [2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      const decoded = decodeMessage('CommandError', encodeMessage('CommandError', { requestId: value }));
      expect(decoded.requestId).toBe(value);
    }
  });

  it('reads repeated integers packed and one by one, and skips fields it does not know', () => {
    const packed = Buffer.from('fa0103010203', 'hex');
    const single = Buffer.from('f80101f80102f80103', 'hex');
    const unknown = Buffer.from('c0a00105c9a0010000000000000000caa00102aabbcda00100000000', 'hex');
    for (const bytes of [packed, single, Buffer.concat([single, unknown])]) {
      expect(decodeMessage('MessageMetadata', bytes)).toEqual({ compactedBatchIndexes: [1, 2, 3] });
    }
  });

  it.each([
    ['a length beyond the end', '0a05aabb'],
    ['a varint without an end', '10ffffff'],
    ['a varint of eleven bytes', '10ffffffffffffffffffff01'],
    ['a group', '0b0c'],
    ['a wire type that the field does not have', '0801'],
    ['a message that contains itself without end', `${'3a7e'.repeat(40)}`],
  ])('refuses %s', (_, hex) => {
    const name = hex.startsWith('3a') ? 'MessageIdData' : 'CommandError';
    const bytes = Buffer.from(hex === '0801' ? '1801' : hex, 'hex');
    expect(() => decodeMessage(name, bytes)).toThrow(ProtocolError);
  });

  it('never reads beyond the end it was given', () => {
    const reader = new Reader(Buffer.from('ff01', 'hex'), 0, 1);
    expect(() => reader.uint32()).toThrow(ProtocolError);
    expect(() => new Reader(Buffer.from('8001', 'hex'), 0, 1).uint64()).toThrow(ProtocolError);
  });
});
