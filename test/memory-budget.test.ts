import { describe, expect, it } from 'vitest';
import { MemoryBudget, type Reservation } from '../src/memory-budget.ts';
import type { Clock } from '../src/ports.ts';
import { virtualClock } from './pulsar/virtual-clock.ts';

const MIB = 1_048_576;
const never = new AbortController().signal;
/** No reservation expires by it. */
const stoppedClock: Clock = { now: () => 0, sleep: () => new Promise(() => undefined) };

function buffer(budget: MemoryBudget, bytes: number) {
  const one = {
    bytes,
    spillableBytes: () => one.bytes,
    spill: () => {
      budget.upload(one.bytes);
      one.bytes = 0;
    },
  };
  budget.register(one);
  budget.hold(bytes);
  return one;
}

/** A reservation under way: `made` once there was room. */
function reserve(budget: MemoryBudget, bytes: number, signal = never) {
  const one: { made: Reservation | undefined; done: Promise<void> } = {
    made: undefined,
    done: Promise.resolve(),
  };
  one.done = Promise.resolve(budget.reserve(bytes, signal)).then((reservation) => {
    one.made = reservation;
  });
  return one;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('reserving room for an entry', () => {
  it('is answered at once where there is room, and not only at the next turn', () => {
    const budget = new MemoryBudget(10 * MIB, stoppedClock);
    expect(budget.reserve(6 * MIB, never)).not.toBeInstanceOf(Promise);
    expect(budget.reserve(6 * MIB, never)).toBeInstanceOf(Promise);
  });

  it('uploads the largest open buffer when there is none, and goes on when that is gone', async () => {
    const budget = new MemoryBudget(10 * MIB, stoppedClock);
    const small = buffer(budget, 4 * MIB);
    const large = buffer(budget, 7 * MIB);
    const smallest = buffer(budget, MIB);
    const entry = reserve(budget, MIB);
    expect([small.bytes, large.bytes, smallest.bytes]).toEqual([4 * MIB, 0, MIB]);
    await settled();
    expect(entry.made).toBeUndefined();
    budget.free(7 * MIB);
    await entry.done;
    expect(budget.usedBytes).toBe(5 * MIB);
    expect(budget.peakBytes).toBe(12 * MIB);
  });

  it('does not wait for ever when nothing that is held can be uploaded: a buffer under 1 MiB is no part', async () => {
    const budget = new MemoryBudget(MIB, stoppedClock);
    buffer(budget, MIB - 1);
    buffer(budget, MIB - 1);
    await reserve(budget, 100).done;
    expect(budget.usedBytes).toBeGreaterThan(budget.limitBytes);
  });

  it('lets one entry through that is larger than the budget, and the next when the first is stored', async () => {
    const budget = new MemoryBudget(4 * MIB, stoppedClock);
    const entries = [5, 5, 5].map((size) => reserve(budget, size * MIB));
    await settled();
    expect(entries.map(({ made }) => made !== undefined)).toEqual([true, false, false]);
    budget.hold(5 * MIB);
    budget.upload(5 * MIB);
    budget.endReservation(entries[0]?.made as Reservation, 5 * MIB);
    await settled();
    expect(entries.map(({ made }) => made !== undefined)).toEqual([true, false, false]);
    budget.free(5 * MIB);
    await settled();
    expect(entries.map(({ made }) => made !== undefined)).toEqual([true, true, false]);
  });

  it('is answered in turn, so that a large entry is not passed by small ones', async () => {
    const budget = new MemoryBudget(10 * MIB, stoppedClock);
    const first = reserve(budget, 8 * MIB);
    await first.done;
    const large = reserve(budget, 8 * MIB);
    const small = reserve(budget, MIB);
    await settled();
    expect([large.made, small.made]).toEqual([undefined, undefined]);
    budget.endReservation(first.made as Reservation);
    await Promise.all([large.done, small.done]);
  });

  it('does not wait long for one whose entry does not come, and counts that one no more', async () => {
    const clock = virtualClock();
    const budget = new MemoryBudget(10 * MIB, clock);
    const idle = reserve(budget, 8 * MIB);
    await idle.done;
    const startedMs = clock.now();
    const waiting = reserve(budget, 8 * MIB);
    await waiting.done;
    expect(clock.now() - startedMs).toBeGreaterThan(0);
    expect(clock.now() - startedMs).toBeLessThanOrEqual(1_000);
    // The one that has expired ends without giving back what it has no more.
    budget.endReservation(idle.made as Reservation);
    budget.endReservation(waiting.made as Reservation);
    expect(budget.reserve(10 * MIB, never)).not.toBeInstanceOf(Promise);
    expect(budget.reserve(1, never)).toBeInstanceOf(Promise);
  });

  it('goes on at once where a reservation has been there for longer, and lets the newer ones stay', async () => {
    const clock = virtualClock();
    const budget = new MemoryBudget(10 * MIB, clock);
    await reserve(budget, 6 * MIB).done;
    await clock.sleep(900);
    await reserve(budget, 4 * MIB).done;
    await clock.sleep(200);
    const startedMs = clock.now();
    await reserve(budget, 6 * MIB).done;
    expect(clock.now()).toBe(startedMs);
    expect(budget.reserve(1, never)).toBeInstanceOf(Promise);
  });

  it('gives up no more reservations than it has to, and the next a second later: their entries may all come yet', async () => {
    const clock = virtualClock();
    const budget = new MemoryBudget(10 * MIB, clock);
    for (let i = 0; i < 5; i++) await reserve(budget, 2 * MIB).done;
    const startedMs = clock.now();
    const madeAfterMs: number[] = [];
    const waiting = [0, 1, 2].map(() =>
      reserve(budget, 2 * MIB).done.then(() => madeAfterMs.push(clock.now() - startedMs)),
    );
    await Promise.all(waiting);
    expect(madeAfterMs).toEqual([1_000, 2_000, 3_000]);
  });

  it('does not give up one whose entry is on its way', async () => {
    const clock = virtualClock();
    const budget = new MemoryBudget(10 * MIB, clock);
    const slow = reserve(budget, 8 * MIB);
    await slow.done;
    const waiting = reserve(budget, 8 * MIB);
    let renewed = slow.made as Reservation;
    for (let i = 0; i < 10; i++) {
      await clock.sleep(500);
      renewed = budget.renew(renewed);
    }
    expect(waiting.made).toBeUndefined();
    budget.endReservation(renewed);
    await waiting.done;
  });

  it('does not bring back one that it has given up', async () => {
    const clock = virtualClock();
    const budget = new MemoryBudget(10 * MIB, clock);
    const given = reserve(budget, 8 * MIB);
    await given.done;
    await reserve(budget, 8 * MIB).done;
    budget.endReservation(budget.renew(given.made as Reservation));
    expect(budget.reserve(4 * MIB, never)).toBeInstanceOf(Promise);
  });

  it('keeps no timer when nobody waits any more', async () => {
    const signals: (AbortSignal | undefined)[] = [];
    const clock: Clock = {
      now: () => 0,
      sleep: (_, signal) => {
        signals.push(signal);
        return new Promise(() => undefined);
      },
    };
    const budget = new MemoryBudget(MIB, clock);
    const first = reserve(budget, MIB);
    await first.done;
    const second = reserve(budget, MIB);
    budget.endReservation(first.made as Reservation);
    await second.done;
    expect(signals.map((signal) => signal?.aborted)).toEqual([true]);
  });

  it('stops waiting when the run is over', async () => {
    const budget = new MemoryBudget(MIB, stoppedClock);
    budget.hold(2 * MIB);
    budget.upload(2 * MIB);
    const over = new AbortController();
    const entry = reserve(budget, 1, over.signal);
    await settled();
    expect(entry.made).toBeUndefined();
    over.abort();
    await entry.done;
  });

  it('waits, however large the budget is, while more is on its way than uploads side by side need', async () => {
    const budget = new MemoryBudget(1_000 * MIB, stoppedClock);
    budget.hold(65 * MIB);
    budget.upload(65 * MIB);
    const entry = reserve(budget, 1);
    await settled();
    expect(entry.made).toBeUndefined();
    budget.free(2 * MIB);
    await entry.done;
  });
});

it('expects of a partition that nothing is known of what was largest elsewhere, and at first what a broker may send', () => {
  const budget = new MemoryBudget(10 * MIB, stoppedClock);
  expect(budget.likelyEntryBytes).toBe(5 * MIB);
  budget.endReservation(budget.reserve(MIB, never) as Reservation, 2_000);
  expect(budget.likelyEntryBytes).toBe(2_000);
  budget.endReservation(budget.reserve(MIB, never) as Reservation, 1_000);
  expect(budget.likelyEntryBytes).toBe(2_000);
});

it('reports what came in when it is asked to, and once', () => {
  const reported: number[] = [];
  const budget = new MemoryBudget(10 * MIB, stoppedClock, (bytes) => reported.push(bytes));
  budget.hold(MIB);
  budget.hold(MIB);
  expect(reported).toEqual([]);
  budget.reportPassed();
  budget.reportPassed();
  expect(reported).toEqual([2 * MIB, 0]);
});
