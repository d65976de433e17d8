// Failover: partitions that come and go between the instances of a rule.
import { expect, it } from 'vitest';
import type { PartitionOutcome } from '../../src/partition/partition-drain.ts';
import { Standby } from '../../src/partition/standby.ts';
import type { Source } from '../../src/ports.ts';
import { hastyClock } from '../fakes/hasty-clock.ts';
import { createFakeBroker, createFakeSource, type FakeBroker } from '../fakes/memory-source.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { expectAllStoredOnce, fill, runDrain } from '../stage/memory-stage.ts';

const READING = new AbortController().signal;

/** What a partition's drains end with, one after the other; it is here again when `comeBack` is called. */
function partitionThat(...outcomes: PartitionOutcome[]) {
  let drains = 0;
  let comeBack: () => void = () => undefined;
  return {
    drains: () => drains,
    comeBack: () => comeBack(),
    drainOnce: async () => outcomes[drains++] as PartitionOutcome,
    isDrained: async () => true,
    untilActive: (signal: AbortSignal) =>
      new Promise<boolean>((resolve) => {
        if (signal.aborted) return resolve(false);
        comeBack = () => resolve(true);
        signal.addEventListener('abort', () => resolve(false));
      }),
  };
}

it('drains a partition again that comes back while another one is being drained', async () => {
  const standby = new Standby(
    2,
    hastyClock(() => 0),
    READING,
  );
  const moving = partitionThat('standby', 'standby', 'caught_up');
  const outcome = standby.drain(moving, moving.drainOnce);
  let end: (outcome: PartitionOutcome) => void = () => undefined;
  const slow = partitionThat();
  const other = standby.drain(slow, () => new Promise((resolve) => (end = resolve)));
  for (let drains = 1; drains <= 2; drains++) {
    await new Promise(setImmediate);
    expect(moving.drains()).toBe(drains);
    moving.comeBack();
  }
  expect(await outcome).toBe('caught_up');
  end('caught_up');
  expect(await other).toBe('caught_up');
});

it('waits for no partition when no other is being drained any more, also after a failure', async () => {
  for (const last of [
    async (): Promise<PartitionOutcome> => 'deadline',
    () => Promise.reject(new Error('denied')),
  ]) {
    const standby = new Standby(
      3,
      hastyClock(() => 0),
      READING,
    );
    const waiting = [partitionThat('standby'), partitionThat('standby')];
    const outcomes = waiting.map((one) => standby.drain(one, one.drainOnce));
    await new Promise(setImmediate);
    await standby.drain(partitionThat(), last).catch(() => undefined);
    expect(await Promise.all(outcomes)).toEqual(['standby', 'standby']);
  }
});

/** An instance with one partition of its own, drained already, and one that another instance has. */
function lastOneThere(isDrained: () => boolean, signal = READING) {
  const clock = hastyClock(() => 0);
  const standby = new Standby(2, clock, signal);
  const theirs = { ...partitionThat('standby', 'caught_up'), isDrained: async () => isDrained() };
  const outcome = standby.drain(theirs, theirs.drainOnce);
  const startedMs = clock.now();
  const own = standby.drain(partitionThat(), async () => 'caught_up');
  const stayed = async () => {
    await own;
    return [await outcome, clock.now() - startedMs] as const;
  };
  return { clock, theirs, stayed };
}

it('stays for what another instance has not drained, and drains it when that one is gone', async () => {
  const { clock, theirs, stayed } = lastOneThere(() => false);
  let looks = 0;
  clock.onSleep = () => {
    if (++looks === 2) theirs.comeBack();
  };
  const [outcome, stayedMs] = await stayed();
  expect(outcome).toBe('caught_up');
  expect(stayedMs).toBeLessThan(2_500);
});

it('leaves as soon as the others have drained theirs, and after 3 s even if they have not', async () => {
  let looks = 0;
  const [outcome, stayedMs] = await lastOneThere(() => ++looks > 2).stayed();
  expect(outcome).toBe('standby');
  expect(stayedMs).toBeGreaterThanOrEqual(1_000);
  expect(stayedMs).toBeLessThan(1_500);
  const [given, patienceMs] = await lastOneThere(() => false).stayed();
  expect(given).toBe('standby');
  expect(patienceMs).toBeGreaterThanOrEqual(3_000);
  expect(patienceMs).toBeLessThan(3_500);
});

it('stays for nothing when reading has to stop', async () => {
  const [outcome, stayedMs] = await lastOneThere(() => false, AbortSignal.abort()).stayed();
  expect(outcome).toBe('standby');
  expect(stayedMs).toBeLessThan(500);
});

it('stays no longer than the time to read for an answer that does not come', async () => {
  const reading = new AbortController();
  const standby = new Standby(
    2,
    hastyClock(() => 0),
    reading.signal,
  );
  let ask: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const isDrained = () => {
    ask();
    return new Promise<boolean>(() => undefined);
  };
  const theirs = { ...partitionThat('standby'), isDrained };
  const outcome = standby.drain(theirs, theirs.drainOnce);
  await standby.drain(partitionThat(), async () => 'caught_up');
  await asked;
  reading.abort();
  expect(await outcome).toBe('standby');
});

/** Partition 0 belongs to another instance until the first entries of partition 1 are taken. */
function sourceWithMove(broker: FakeBroker): Source {
  const source = createFakeSource(broker);
  broker.interruptions.set(0, [{ kind: 'standby' }]);
  let comeBack: () => void = () => undefined;
  let asked = 0;
  broker.hook = (call, { partition }) => {
    if (call === 'next' && partition === 1 && ++asked > 2) comeBack();
  };
  return {
    ...source,
    open: async () => {
      const partitions = await source.open();
      if (partitions === 'busy') return partitions;
      return partitions.map((one) => ({
        ...one,
        untilActive: (signal) =>
          new Promise((resolve) => {
            comeBack = () => resolve(true);
            signal.addEventListener('abort', () => resolve(false));
          }),
      }));
    },
  };
}

it('a run drains what comes to it while it drains other partitions', async () => {
  const broker = createFakeBroker(2);
  fill(broker, 20);
  const store = createMemoryStore();
  const result = await runDrain(broker, store, {
    subscriptionType: 'failover',
    source: sourceWithMove(broker),
  });
  expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined, tally: { messages: 40 } });
  expectAllStoredOnce(broker, store);
  expect(broker.backlog()).toBe(0);
});
