import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlowControl } from '../../../src/pulsar/wire/flow.ts';
import { ReceiveBudget } from '../../../src/pulsar/wire/receive-budget.ts';
import { virtualClock } from '../virtual-clock.ts';

const budgetOf = (limitBytes: number) => new ReceiveBudget(limitBytes, virtualClock());

/** A partition with entries of these sizes: its broker sends whole entries while it has a permit. */
function partition(budget: ReceiveBudget, sizes: readonly number[], messagesPerEntry = 1) {
  const flow = new FlowControl(budget, 5_000);
  const waiting = [...sizes];
  const queue: number[] = [];
  let permits = 0;
  const one = {
    handedOut: 0,
    /** Queued, and on its way: permits that the broker has not used. */
    get heldBytes() {
      const coming = waiting.slice(0, Math.max(0, permits));
      return [...queue, ...coming].reduce((sum, size) => sum + size, 0);
    },
    /** The broker sends what it may; more is asked for, as somebody waits or not. */
    receive(isWaited: boolean) {
      while (permits > 0 && waiting.length > 0) {
        const size = waiting.shift() as number;
        permits -= messagesPerEntry;
        queue.push(size);
        flow.arrived(size, messagesPerEntry);
      }
      permits += flow.grant(isWaited && queue.length === 0);
    },
    take() {
      const size = queue.shift();
      if (size === undefined) return;
      flow.handedOut(size);
      one.handedOut++;
    },
  };
  return one;
}

describe('permits', () => {
  it('bring everything to all who wait, one entry at a time if need be, whatever the sizes are', () => {
    const anySizes = fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 60 });
    fc.assert(
      fc.property(
        fc.array(anySizes, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 300_000 }),
        (sizes, messages, limit) => {
          const budget = budgetOf(limit);
          const partitions = sizes.map((of) => partition(budget, of, messages));
          for (let step = 0; step < 400; step++) {
            for (const one of partitions) {
              one.receive(true);
              one.take();
            }
          }
          expect(partitions.map(({ handedOut }) => handedOut)).toEqual(sizes.map(({ length }) => length));
        },
      ),
    );
  });

  it.each([
    ['single messages of 1 KiB', 1_024, 1],
    ['batches of 128 KiB', 131_072, 128],
    ['messages of 5 MiB', 5_242_880, 1],
  ])(
    'keep what is queued and on its way within the budget of all, or at one entry for each, for %s',
    (_, size, messages) => {
      const limit = 4_194_304;
      const budget = budgetOf(limit);
      const partitions = Array.from({ length: 4 }, () =>
        partition(budget, Array<number>(300).fill(size), messages),
      );
      let most = 0;
      for (let step = 0; step < 300; step++) {
        for (const one of partitions) one.receive(true);
        most = Math.max(
          most,
          partitions.reduce((sum, { heldBytes }) => sum + heldBytes, 0),
        );
        for (const one of partitions) one.take();
      }
      expect(most).toBeLessThanOrEqual(Math.max(limit, size * partitions.length));
      expect(most).toBeGreaterThan(Math.min(limit, size * partitions.length) / 2);
    },
  );

  it('are not given before somebody waits, and then one, because nothing is known of the entries', () => {
    const flow = new FlowControl(budgetOf(2 ** 26), 5_000);
    expect(flow.grant(false)).toBe(0);
    expect(flow.grant(true)).toBe(1);
  });

  it('are not given for more entries than are wanted', () => {
    const flow = new FlowControl(budgetOf(2 ** 26), 5_000);
    expect(flow.grant(true, 3)).toBe(1);
    for (let seen = 0; seen < 3; seen++) flow.arrived(1_000, 1);
    expect(flow.grant(false, 3)).toBe(5);
    expect(flow.grant(false, 0)).toBe(0);
  });

  it('stop while nobody takes what came, and leave room for the other partitions', () => {
    const limit = 1_000_000;
    const budget = budgetOf(limit);
    const unread = partition(budget, Array<number>(5_000).fill(1_000));
    unread.receive(true);
    for (let step = 0; step < 100; step++) unread.receive(false);
    expect(unread.heldBytes).toBeLessThan(0.7 * limit);
    const read = partition(budget, Array<number>(5_000).fill(1_000));
    let most = 0;
    for (let step = 0; step < 100; step++) {
      read.receive(true);
      most = Math.max(most, read.heldBytes);
      read.take();
    }
    expect(most).toBeGreaterThan(0.12 * limit);
    expect(unread.heldBytes + most).toBeLessThanOrEqual(limit);
  });

  it('leave room for other partitions where nothing more is to come by them', () => {
    const budget = budgetOf(1_000_000);
    const flow = new FlowControl(budget, 5_000);
    flow.grant(true);
    for (let seen = 0; seen < 5; seen++) flow.arrived(100_000, 1);
    for (let seen = 0; seen < 5; seen++) flow.handedOut(100_000);
    expect(flow.grant(false, 20)).toBeGreaterThan(1);
    expect(budget.shareOf(0)).toBeLessThan(400_000);
    expect(flow.grant(false, 0)).toBe(0);
    expect(budget.shareOf(0)).toBeCloseTo(666_667, -1);
  });

  it('are counted anew for a new consumer, and what was on its way to the old one is free again', () => {
    const budget = budgetOf(1_000_000);
    const flow = new FlowControl(budget, 5_000);
    flow.grant(true);
    for (let seen = 0; seen < 50; seen++) flow.arrived(10_000, 1);
    flow.grant(false);
    expect(budget.shareOf(0)).toBeLessThan(400_000);
    flow.reset();
    expect(budget.shareOf(0)).toBeCloseTo(666_667, -1);
    expect(flow.grant(false)).toBeGreaterThan(50);
  });
});

describe('connections that bring more than was to be expected', () => {
  function overfull(isWaited = true) {
    const clock = virtualClock();
    const budget = new ReceiveBudget(1_000_000, clock);
    budget.add(() => isWaited);
    const calls: string[] = [];
    const flow = new FlowControl(budget, 5_000);
    const connection = { pause: () => calls.push('pause'), resume: () => calls.push('resume') };
    const arrive = () => {
      flow.arrived(1_000_000, 1);
      flow.holdBack(connection);
    };
    arrive();
    expect(calls).toEqual([]);
    arrive();
    arrive();
    return { clock, budget, flow, connection, arrive, calls };
  }

  it('are stopped until the queues are within the budget again', () => {
    const { flow, calls } = overfull();
    expect(calls).toEqual(['pause']);
    flow.handedOut(1_000_000);
    flow.handedOut(1_000_000);
    expect(calls).toEqual(['pause']);
    flow.handedOut(1_000_000);
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('are stopped for longer where nobody waits, so that no more comes than is taken; but receipts have to come', async () => {
    const { clock, arrive, calls } = overfull(false);
    await clock.sleep(1_500);
    expect(calls).toEqual(['pause']);
    await clock.sleep(1_000);
    expect(calls).toEqual(['pause', 'resume']);
    arrive();
    await clock.sleep(1_500);
    expect(calls).toEqual(['pause', 'resume', 'pause']);
  });

  it('are stopped for a moment only, because somebody may wait for what comes after', async () => {
    const { clock, arrive, calls } = overfull();
    await clock.sleep(100);
    expect(calls).toEqual(['pause', 'resume']);
    arrive();
    expect(calls).toEqual(['pause', 'resume', 'pause']);
  });

  it('are not stopped for what is taken at once', async () => {
    const { clock, budget, connection, calls } = overfull();
    await clock.sleep(100);
    const waited = new FlowControl(budget, 5_000);
    waited.arrived(1_000_000, 1);
    waited.handedOut(1_000_000);
    waited.holdBack(connection);
    expect(calls).toEqual(['pause', 'resume']);
  });
});
