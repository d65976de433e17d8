// A set of ids behaves as a set of their texts, in whatever order they come.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IdSet } from '../../../src/archive/read/id-set.ts';
import { formatMessageId } from '../../../src/format/record.ts';
import type { MessageId } from '../../../src/ports.ts';

const id = (ledgerId: number, entryId: number, batchIndex: number): MessageId => ({
  ...{ ledgerId, entryId, batchIndex },
  partition: 0,
});
const anyId = fc.tuple(
  fc.integer({ min: 1, max: 2 }),
  fc.integer({ min: 0, max: 6 }),
  fc.integer({ min: -1, max: 4 }),
);

it('holds what was added and nothing else', () => {
  fc.assert(
    fc.property(fc.array(anyId, { maxLength: 60 }), fc.boolean(), (all, isSorted) => {
      const ids = all.map((one) => id(...one));
      if (isSorted)
        ids.sort((a, b) => a.ledgerId - b.ledgerId || a.entryId - b.entryId || a.batchIndex - b.batchIndex);
      const set = new IdSet();
      const texts = new Set<string>();
      for (const one of ids) {
        expect(set.has(one)).toBe(texts.has(formatMessageId(one)));
        set.add(one);
        texts.add(formatMessageId(one));
      }
      const wrong: string[] = [];
      for (const ledgerId of [1, 2, 3])
        for (let entryId = 0; entryId < 8; entryId++)
          for (let batchIndex = -1; batchIndex < 6; batchIndex++) {
            const one = id(ledgerId, entryId, batchIndex);
            if (set.has(one) !== texts.has(formatMessageId(one))) wrong.push(formatMessageId(one));
          }
      expect(wrong).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

it('takes no batch for whole: what may be missing at its end is not in it', () => {
  const set = new IdSet();
  for (const one of [id(1, 5, 0), id(1, 5, 1), id(1, 6, 0)]) set.add(one);
  expect(set.has(id(1, 5, 2))).toBe(false);
  expect(set.greatest).toEqual(id(1, 6, 0));
});
