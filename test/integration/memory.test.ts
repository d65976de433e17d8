// The packaged function stays within the memory SCF gives it: coarsely, for loads small enough for a test. What larger
// ones take is measured by `npm run bench:memory`. Linux only. Run `npm run build` first.
import { expect, it } from 'vitest';
import { peakMemory } from '../bench/memory-cases.ts';

it.each([
  ['a file of 200 MB', { partitions: 1, messages: 2_000, messageBytes: 100_000, batchSize: 10 }],
  [
    '16 partitions with open batches',
    { partitions: 16, messages: 48_000, messageBytes: 1_500, batchSize: 50 },
  ],
  ['messages of 5 MB', { partitions: 1, messages: 30, messageBytes: 5_000_000, batchSize: 0 }],
])('%s need less than a function of 256 MB has', async (name, load) => {
  const { peakMb, messages, stopReason } = await peakMemory({ name, ...load }, 256);
  expect({ messages, stopReason }).toEqual({ messages: load.messages, stopReason: 'caught_up' });
  expect(peakMb).toBeLessThan(256);
});
