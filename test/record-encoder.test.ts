import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRecord } from '../src/record.ts';
import { createRecordEncoder } from '../src/record-encoder.ts';
import { createFakeBroker, type FakePartition, publish } from './fakes/memory-source.ts';

it('gives the bytes of encodeRecord, whatever the sizes before were', () => {
  const payload = fc.oneof(
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 3_000 }),
    fc.constantFrom('é'.repeat(40_000), '"'.repeat(50_000), ''),
  );
  fc.assert(
    fc.property(fc.array(fc.array(payload, { maxLength: 8 }), { maxLength: 8 }), (batches) => {
      const encode = createRecordEncoder();
      const [partition] = createFakeBroker(1).partitions as [FakePartition];
      for (const batch of batches) {
        const { messages } = publish(partition, batch);
        expect(encode(messages).toString()).toBe(messages.map(encodeRecord).join(''));
      }
    }),
  );
});
