// Numbers for a person: as `toLocaleString` has them, without the rules of all languages.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatCount } from '../../src/lib/format-count.ts';

it('groups digits as toLocaleString does, whatever the number', () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()), (count) => {
      expect(formatCount(count)).toBe(Object.is(count, -0) ? '0' : count.toLocaleString('en-US'));
    }),
  );
});
