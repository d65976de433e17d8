import fc from 'fast-check';
import { expect, it } from 'vitest';
import { limitPassedBy, limitReachedBy, needsSplit } from '../src/batch.ts';

const limits = { maxMessages: 5000, maxBytes: 500_000_000 };
const size = (messages: number, bytes: number) => ({ messages, bytes });

it('lets the first entry in, whatever its size, and the next only if both limits hold after it', () => {
  expect(limitPassedBy(size(0, 0), size(1, 600_000_000), limits)).toBeUndefined();
  expect(limitPassedBy(size(4999, 1), size(1, 1), limits)).toBeUndefined();
  expect(limitPassedBy(size(4999, 1), size(2, 1), limits)).toBe('messages');
  expect(limitPassedBy(size(1, 499_999_999), size(1, 1), limits)).toBeUndefined();
  expect(limitPassedBy(size(1, 499_999_999), size(1, 2), limits)).toBe('bytes');
});

it('is full exactly at a limit', () => {
  expect(limitReachedBy(size(4999, 499_999_999), limits)).toBeUndefined();
  expect(limitReachedBy(size(5000, 1), limits)).toBe('messages');
  expect(limitReachedBy(size(1, 500_000_000), limits)).toBe('bytes');
});

it('splits an entry only where it alone is over a limit and can be split', () => {
  expect(needsSplit(size(5000, 500_000_000), limits)).toBe(false);
  expect(needsSplit(size(5001, 1), limits)).toBe(true);
  expect(needsSplit(size(2, 500_000_001), limits)).toBe(true);
  expect(needsSplit(size(1, 500_000_001), limits)).toBe(false);
});

it('never lets a file pass a limit, unless it holds one thing alone', () => {
  const entry = fc.record({
    messages: fc.integer({ min: 1, max: 20 }),
    bytes: fc.integer({ min: 1, max: 300 }),
  });
  const some = { maxMessages: 20, maxBytes: 250 };
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      let open = size(0, 0);
      let count = 0;
      for (const one of entries) {
        if (limitPassedBy(open, one, some) !== undefined) {
          open = size(0, 0);
          count = 0;
        }
        open = size(open.messages + one.messages, open.bytes + one.bytes);
        count++;
        expect(count === 1 || (open.messages <= some.maxMessages && open.bytes <= some.maxBytes)).toBe(true);
        if (limitReachedBy(open, some) !== undefined) {
          open = size(0, 0);
          count = 0;
        }
      }
    }),
  );
});
