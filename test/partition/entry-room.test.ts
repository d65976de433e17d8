// Room for the next entry of a partition: how much is reserved, and when it is given back.
import { expect, it } from 'vitest';
import { MemoryBudget } from '../../src/memory-budget.ts';
import { EntryRoom } from '../../src/partition/entry-room.ts';
import { virtualClock } from '../pulsar/virtual-clock.ts';

const MIB = 1_048_576;
const never = new AbortController().signal;

/** Whether an entry of so many bytes fits beside what is reserved. */
async function fits(budget: MemoryBudget, bytes: number): Promise<boolean> {
  const reserving = budget.reserve(bytes, AbortSignal.abort());
  budget.endReservation(await reserving);
  return !(reserving instanceof Promise);
}

it('is as large as the largest of the last entries, which counts less with each smaller one', async () => {
  const budget = new MemoryBudget(100 * MIB, virtualClock());
  const room = new EntryRoom(budget);
  room.measure(80 * MIB);
  room.measure(MIB);
  expect(room.reserve(never)).toBeUndefined();
  expect([await fits(budget, 24 * MIB), await fits(budget, 25 * MIB)]).toEqual([true, false]);
  room.free();
  for (let i = 0; i < 200; i++) room.measure(MIB);
  await room.reserve(never);
  expect(await fits(budget, 98 * MIB)).toBe(true);
});

it('is what other partitions got, where none of its own has come', async () => {
  const budget = new MemoryBudget(100 * MIB, virtualClock());
  const [one, other] = [new EntryRoom(budget), new EntryRoom(budget)];
  await one.reserve(never);
  one.free(40 * MIB);
  await other.reserve(never);
  expect([await fits(budget, 60 * MIB), await fits(budget, 61 * MIB)]).toEqual([true, false]);
});

it('is given back once, however often that is asked for', async () => {
  const budget = new MemoryBudget(100 * MIB, virtualClock());
  const [one, other] = [new EntryRoom(budget), new EntryRoom(budget)];
  for (const room of [one, other]) {
    room.measure(50 * MIB);
    await room.reserve(never);
  }
  one.free();
  one.free(MIB);
  expect([await fits(budget, 50 * MIB), await fits(budget, 51 * MIB)]).toEqual([true, false]);
});

it('is waited for where there is none, until the run stops reading', async () => {
  const budget = new MemoryBudget(MIB, virtualClock());
  budget.hold(2 * MIB);
  budget.upload(2 * MIB);
  const stop = new AbortController();
  const waiting = new EntryRoom(budget).reserve(stop.signal);
  expect(waiting).toBeInstanceOf(Promise);
  stop.abort();
  await waiting;
});
