// The packaged function stays within the memory SCF gives it: for loads small enough for a test. What larger ones take
// is measured by `npm run bench:memory`. Linux only. Run `npm run build` first.
import { expect, it } from 'vitest';
import { type MemoryCase, peakMemory } from '../bench/memory-cases.ts';
import { fetchNode, NODE_VERSIONS } from './node-versions.ts';

const LARGEST = {
  partitions: 1,
  messages: 1,
  messageBytes: 'largest',
  batchSize: 0,
  chunkBytes: 5_000_000,
} as const;
const LARGE = { partitions: 8, messages: 48, messageBytes: 5_000_000, batchSize: 0 };

it.each<[string, number, Omit<MemoryCase, 'name'>]>([
  ['a file of 200 MB', 128, { partitions: 1, messages: 2_000, messageBytes: 100_000, batchSize: 10 }],
  [
    '16 partitions with open batches',
    256,
    { partitions: 16, messages: 48_000, messageBytes: 1_500, batchSize: 50 },
  ],
  ['messages of 5 MB in one partition', 128, { ...LARGE, partitions: 1 }],
  ['messages of 5 MB in eight partitions', 128, LARGE],
  ['messages of 5 MB in eight partitions', 256, LARGE],
  ['messages of 5 MB that are no text, in eight partitions', 128, { ...LARGE, payload: 'binary' }],
  [
    'messages of 5 MB in 64 partitions, which come slowly',
    256,
    { ...LARGE, partitions: 64, messages: 192, bytesPerSecond: 40_000_000 },
  ],
  ['messages of 5 MB in eight partitions, compressed with gzip', 128, { ...LARGE, compression: 'gzip' }],
  ['messages of 5 MB in eight partitions, compressed with zstd', 128, { ...LARGE, compression: 'zstd' }],
  [
    'messages that a producer compressed from 5 MB to 20 kB',
    256,
    { ...LARGE, payload: 'repeated', codec: 'lz4' },
  ],
  ['the largest message, in chunks', 128, { ...LARGEST, payload: 'binary' }],
  ['the largest message, in chunks', 512, { ...LARGEST, payload: 'binary' }],
  ['the largest message, compressed and in chunks', 512, { ...LARGEST, payload: 'binary', codec: 'zstd' }],
  ['the largest message, six bytes of record for each of its own', 256, { ...LARGEST, payload: 'zeros' }],
])('draining %s takes less than a function of %i MB has', async (name, memoryMb, load) => {
  const { peakMb, messages, stopReason } = await peakMemory({ name, ...load }, memoryMb);
  expect({ messages, stopReason }).toEqual({ messages: load.messages, stopReason: 'caught_up' });
  expect(peakMb).toBeLessThan(memoryMb);
});

it.each(NODE_VERSIONS)(
  'on Node %s, a file of 400 MB in zstd takes less than a function of 128 MB has',
  async (version) => {
    const load = {
      partitions: 1,
      messages: 4_000,
      messageBytes: 100_000,
      batchSize: 10,
      compression: 'zstd',
    };
    const node = await fetchNode(version);
    const { peakMb, messages } = await peakMemory({ name: 'a file of 400 MB, zstd', ...load }, 128, node);
    expect(messages).toBe(load.messages);
    expect(peakMb).toBeLessThan(128);
  },
);
