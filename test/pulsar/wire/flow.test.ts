import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlowControl } from '../../../src/pulsar/wire/flow.ts';

/** A broker with entries of these sizes: sends whole entries while it has a permit, as many as there are. */
function drain(sizes: readonly number[], messagesPerEntry: number, shareBytes: number, readEvery: number) {
  const flow = new FlowControl(shareBytes, 5_000);
  const queue: number[] = [];
  let permits = flow.grant();
  let queued = 0;
  let most = 0;
  let handedOut = 0;
  let steps = 0;
  const waiting = [...sizes];
  while (handedOut < sizes.length && ++steps < sizes.length * 20) {
    while (permits > 0 && waiting.length > 0) {
      const size = waiting.shift() as number;
      permits -= messagesPerEntry;
      queue.push(size);
      queued += size;
      most = Math.max(most, queued);
      flow.arrived(size, messagesPerEntry);
      permits += flow.grant();
    }
    for (let n = 0; n < readEvery && queue.length > 0; n++) {
      const size = queue.shift() as number;
      queued -= size;
      flow.taken(size);
      handedOut++;
      permits += flow.grant();
    }
  }
  return { handedOut, most };
}

describe('permits', () => {
  it('bring everything, one entry at a time if need be, whatever the sizes are', () => {
    const anySizes = fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 100 });
    fc.assert(
      fc.property(
        anySizes,
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 300_000 }),
        fc.integer({ min: 1, max: 5 }),
        (sizes, messages, share, readEvery) => {
          expect(drain(sizes, messages, share, readEvery).handedOut).toBe(sizes.length);
        },
      ),
    );
  });

  it.each([
    ['single messages of 1 KiB', 1_024, 1],
    ['batches of 128 KiB', 131_072, 128],
    ['messages of 5 MiB', 5_242_880, 1],
  ])('keep the queue within its share for %s, or at one entry', (_, size, messages) => {
    const share = 2_097_152;
    const { most } = drain(Array<number>(300).fill(size), messages, share, 1);
    expect(most).toBeLessThanOrEqual(Math.max(share, size));
  });

  it('begin with one, because nothing is known of the size of the entries', () => {
    expect(new FlowControl(2 ** 26, 5_000).grant()).toBe(1);
  });

  it('stop while nobody takes what came, and the queue stays within its share', () => {
    const share = 1_000_000;
    const { handedOut, most } = drain(Array<number>(5_000).fill(1_000), 1, share, 0);
    expect(handedOut).toBe(0);
    expect(most).toBeLessThanOrEqual(share);
  });
});
