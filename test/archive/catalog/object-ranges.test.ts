// What a verification keeps of millions of objects gives back exactly what it was given.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ArchiveObject } from '../../../src/archive/catalog/catalog.ts';
import { ObjectRanges } from '../../../src/archive/catalog/object-ranges.ts';
import { objectKey } from '../../../src/format/object-key.ts';

const PREFIX = 'tdmq/';
const TOPIC = { tenant: 't', namespace: 'ns', topic: 'orders' };
const DAY_MS = 86_400_000;

const place = fc.record({
  // Beyond 32 bits as well: brokers count ledgers and entries in 64.
  ledgerId: fc.oneof(fc.nat(20), fc.integer({ min: 2 ** 31, max: 2 ** 40 })),
  entryId: fc.oneof(fc.nat(50), fc.integer({ min: 2 ** 31 - 2, max: 2 ** 33 })),
  batchIndex: fc.integer({ min: -1, max: 100_000 }),
});
const kept = fc.record({
  first: place,
  last: fc.option(place, { nil: undefined }),
  day: fc.integer({ min: 0, max: 40_000 }),
  compression: fc.constantFrom('none', 'gzip', 'zstd'),
  isRecovered: fc.boolean(),
  // A key that does not follow from the first id, as of messages in no order.
  isOdd: fc.boolean(),
});

test('ids, days and keys come back, in the order of messages', () => {
  fc.assert(
    fc.property(fc.array(kept, { maxLength: 1_200, size: 'max' }), (objects) => {
      const ranges = new ObjectRanges(PREFIX, 'persistent://t/ns/orders', 3);
      const given = objects.map(({ first, last, day, compression, isRecovered, isOdd }, i) => {
        const id = { ...first, partition: 3 };
        const regular = objectKey(PREFIX, TOPIC, { id, publishTimeMs: day * DAY_MS }, compression as 'none');
        const key = isOdd ? `${regular}-${i}` : regular;
        const object = {
          key,
          parts: { date: new Date(day * DAY_MS).toISOString().slice(0, 10), partition: 3, compression },
          facts: { firstId: id, lastId: last && { ...last, partition: 3 } },
          isRecovered,
        };
        ranges.add(object as unknown as ArchiveObject);
        return object;
      });
      const order = [...given].sort(
        ({ facts: { firstId: a } }, { facts: { firstId: b } }) =>
          a.ledgerId - b.ledgerId ||
          a.entryId - b.entryId ||
          Math.max(0, a.batchIndex) - Math.max(0, b.batchIndex),
      );
      expect(
        [...ranges.inOrder()].map(({ key, first, last, isRecovered }) => ({ key, first, last, isRecovered })),
      ).toEqual(
        order.map(({ key, facts, isRecovered }) => ({
          ...{ key, first: facts.firstId, last: facts.lastId, isRecovered },
        })),
      );
    }),
    { numRuns: 20 },
  );
});
