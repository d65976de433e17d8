import { describe, expect, it } from 'vitest';
import {
  assertFitsRecord,
  hintOf,
  largestMessageBytes,
  memoryMbFor,
  TooLarge,
} from '../src/largest-message.ts';

const MIB = 1_048_576;

describe('the largest message', () => {
  it('grows with the memory, between what the smallest function has room for and what can be read back', () => {
    const sizes = [128, 256, 512, 1_024, 2_048, 3_072].map((memoryMb) => largestMessageBytes(memoryMb) / MIB);
    expect(sizes).toEqual([6, 34, 98, 226, 256, 256]);
  });

  it('names the least memory that has room for it', () => {
    for (const size of [1, 6 * MIB, 7 * MIB, 100 * MIB, 256 * MIB]) {
      const memoryMb = memoryMbFor(size) as number;
      expect(largestMessageBytes(memoryMb)).toBeGreaterThanOrEqual(size);
      if (memoryMb > 128) expect(largestMessageBytes(memoryMb - 128)).toBeLessThan(size);
    }
    expect(memoryMbFor(257 * MIB)).toBeUndefined();
  });

  it('that is passed is reported with the memory that is missing', () => {
    const error = new TooLarge('it has 100 MiB', 100 * MIB, 98 * MIB);
    expect(error.message).toBe(`it has 100 MiB, more than the limit of ${98 * MIB}`);
    expect(hintOf(error)).toContain('Give the function 640 MB of memory');
    expect(hintOf(new TooLarge('it has 1 GiB', 1_024 * MIB, 98 * MIB))).toContain('archive recover');
    expect(hintOf(new Error('another'))).toBeUndefined();
  });

  it('has a record that can be read back as one line', () => {
    expect(() => assertFitsRecord(Buffer.alloc(100 * MIB))).toThrow('more than one line may have');
    expect(() => assertFitsRecord(Buffer.alloc(100 * MIB, 'text'))).not.toThrow();
    expect(() => assertFitsRecord(Buffer.alloc(100 * MIB, 0xff))).not.toThrow();
  });
});
