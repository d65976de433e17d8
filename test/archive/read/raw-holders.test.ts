// Which objects may hold a raw entry: the same as if each was looked at, and unknown ends are read once.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ArchiveObject } from '../../../src/archive/catalog/catalog.ts';
import { PartitionRanges } from '../../../src/archive/catalog/object-ranges.ts';
import { createRawHolders } from '../../../src/archive/read/raw-holders.ts';
import { compareEntries } from '../../../src/format/entry-order.ts';
import { objectKey } from '../../../src/format/object-key.ts';
import { compareMessageIds } from '../../../src/format/record.ts';

const TOPIC = { tenant: 't', namespace: 'ns', topic: 'orders' };
const FULL = 'persistent://t/ns/orders';
const id = fc.record({
  ledgerId: fc.integer({ min: 3, max: 5 }),
  entryId: fc.nat(30),
  partition: fc.constant(0),
  batchIndex: fc.integer({ min: -1, max: 2 }),
});
const kept = fc.record({ first: id, last: fc.option(id, { nil: undefined }) });

test('finds the objects that begin with an entry or reach over it, and asks those without an end once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(kept, { maxLength: 40 }),
      fc.array(id, { maxLength: 10 }),
      async (some, asked) => {
        const ranges = new PartitionRanges('p/');
        const objects = some.map(({ first, last }, i) => {
          const key = `${objectKey('p/', TOPIC, { id: first, publishTimeMs: 0 }, 'none')}-${i}`;
          const parts = { date: '1970-01-01', partition: 0, compression: 'none' };
          const facts = { firstId: first, lastId: last };
          ranges.addObject({ key, topic: FULL, parts, facts } as unknown as ArchiveObject);
          return { key, first, last };
        });
        const reads: string[] = [];
        const find = createRawHolders(ranges, async ({ key }) => {
          reads.push(key);
          // Every second of them holds all that is asked for.
          return reads.length % 2 === 0 ? [] : asked;
        });
        const held = new Set<string>();
        for (const one of asked) {
          const found = (await find(FULL, 0, one)).map(({ key }) => key);
          for (const [i, key] of reads.entries()) if (i % 2 === 0) held.add(key);
          const expected = objects.filter(
            ({ key, first, last }) =>
              compareEntries(first, one) === 0 ||
              (last === undefined
                ? held.has(key)
                : compareMessageIds(first, one) <= 0 && compareMessageIds(last, one) >= 0),
          );
          expect(found.toSorted()).toEqual(expected.map(({ key }) => key).sort());
        }
        expect(new Set(reads).size).toBe(reads.length);
      },
    ),
    { numRuns: 200 },
  );
});
