import { expect, it } from 'vitest';
import { createMemoryPressure } from '../../src/lib/memory-pressure.ts';

const MIB = 1_048_576;

it('collects garbage when more is in use than the bound, looked at each 4 MiB that pass', () => {
  let inUse = 0;
  let collections = 0;
  let looks = 0;
  const pass = createMemoryPressure(
    50 * MIB,
    () => {
      collections++;
      inUse = 0;
    },
    () => {
      looks++;
      return inUse;
    },
  );
  for (let i = 0; i < 200; i++) {
    inUse += MIB;
    pass(MIB);
  }
  expect(looks).toBe(50);
  expect(collections).toBe(3);
});

it('frees the buffers that nobody holds any more, with the collector of this Node', () => {
  const { arrayBuffers: before } = process.memoryUsage();
  const pass = createMemoryPressure(before + 20 * MIB, undefined, () => process.memoryUsage().arrayBuffers);
  let peak = 0;
  for (let i = 0; i < 40; i++) {
    Buffer.alloc(4 * MIB);
    pass(4 * MIB);
    peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
  }
  expect(peak).toBeLessThan(40 * MIB);
});
