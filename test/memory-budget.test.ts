import { expect, it } from 'vitest';
import { MemoryBudget } from '../src/memory-budget.ts';

const MIB = 1_048_576;

function buffer(budget: MemoryBudget, bytes: number) {
  const one = {
    bytes,
    spillableBytes: () => one.bytes,
    spill: () => {
      budget.leave(one.bytes);
      one.bytes = 0;
    },
  };
  budget.register(one);
  budget.hold(bytes);
  return one;
}

it('sends the largest open buffer off when it is spent, and lets reading go on when that is gone', async () => {
  const budget = new MemoryBudget(10 * MIB);
  const small = buffer(budget, 4 * MIB);
  const large = buffer(budget, 7 * MIB);
  let isRoom = false;
  const room = budget.room(new AbortController().signal).then(() => {
    isRoom = true;
  });
  expect([small.bytes, large.bytes]).toEqual([4 * MIB, 0]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(isRoom).toBe(false);
  budget.free(7 * MIB);
  await room;
  expect(budget.usedBytes).toBe(4 * MIB);
  expect(budget.peakBytes).toBe(11 * MIB);
});

it('does not wait for ever when nothing that is held can leave: a buffer under 1 MiB is no part', async () => {
  const budget = new MemoryBudget(MIB);
  buffer(budget, MIB - 1);
  buffer(budget, MIB - 1);
  await budget.room(new AbortController().signal);
  expect(budget.isSpent).toBe(true);
});

it('stops waiting when the run is over', async () => {
  const budget = new MemoryBudget(MIB);
  buffer(budget, 2 * MIB);
  const over = new AbortController();
  const room = budget.room(over.signal);
  over.abort();
  await room;
});

it('is spent, however large it is, while more is on its way than uploads side by side need', async () => {
  const budget = new MemoryBudget(1_000 * MIB);
  budget.hold(65 * MIB);
  expect(budget.isSpent).toBe(false);
  budget.leave(65 * MIB);
  expect(budget.isSpent).toBe(true);
  const room = budget.room(new AbortController().signal);
  budget.free(2 * MIB);
  await room;
  expect(budget.isSpent).toBe(false);
});
