// What a restore publishes is what its consumers read: times that no date holds and texts that are no UTF-8 included.
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeEntry, readStoredEntry } from '../../../../src/pulsar/wire/protocol/entry-decoder.ts';
import { encodeBatch, encodeSingle } from '../../../../src/pulsar/wire/protocol/producer-entry.ts';
import { anyCharacter } from '../../../any-character.ts';

const CONTEXT = { topic: 'persistent://t/n/orders', partition: -1, limitBytes: 1 << 20 };
const OPTIONS = {
  producerName: 'restore',
  publishTimeMs: 1,
  compression: 'none',
  maxEntryBytes: 100_000,
} as const;

const text = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 8 }),
  fc
    .uint8Array({ minLength: 1, maxLength: 8 })
    .map((bytes) => Buffer.from(bytes))
    .filter((bytes) => !isUtf8(bytes)),
);
const eventTimeMs = fc.oneof(
  fc.maxSafeInteger().filter((one) => one !== 0),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).chain((one) => fc.constantFrom(one, -one)),
);
const message = fc.record({
  key: fc.option(fc.string({ unit: anyCharacter, maxLength: 8 }), { nil: undefined }),
  orderingKey: fc.constant(undefined),
  properties: fc.uniqueArray(fc.tuple(text, text), {
    selector: ([name]) => Buffer.from(name as string).toString('hex'),
    maxLength: 4,
  }),
  eventTimeMs: fc.option(eventTimeMs, { nil: undefined }),
  payload: fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))),
});

it('is read as it was, alone and in a batch', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), (all) => {
      const numbered = all.map((one, sequenceId) => ({ ...one, sequenceId }));
      const entries = [
        encodeBatch(numbered, OPTIONS),
        ...numbered.flatMap((one) => encodeSingle(one, OPTIONS)),
      ];
      const read = entries.flatMap(({ bytes }) => {
        const decoded = decodeEntry(readStoredEntry({ ledgerId: 1, entryId: 1 }, bytes), CONTEXT);
        if (decoded.kind !== 'entry') throw new Error(decoded.reason);
        return decoded.messages;
      });
      const fieldsOf = ({ key, orderingKey, properties, eventTimeMs, payload }: (typeof all)[number]) =>
        JSON.stringify({ key, orderingKey, properties, eventTimeMs: String(eventTimeMs), payload });
      expect(read.map((one) => fieldsOf(one as never))).toEqual([...all, ...all].map(fieldsOf));
    }),
  );
});
