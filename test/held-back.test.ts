// What the broker holds back, in the core over fakes: how long a run waits for it, what ends a run, and what it reports.
import { describe, expect, it } from 'vitest';
import type { Backlog, HeldBackReason, Source, SourcePartition } from '../src/ports.ts';
import { keepingLogger } from './fakes/loggers.ts';
import { createFakeBroker, createFakeSource, type FakeBroker, publish } from './fakes/memory-source.ts';
import { createMemoryStore } from './fakes/memory-store.ts';
import { fill, runDrain } from './stage/memory-stage.ts';

type Changes = (partition: SourcePartition) => Partial<SourcePartition>;

/** The fake source, its partitions changed. One that is given `heldBack` can explain silence. */
function changedSource(broker: FakeBroker, changes: Changes): Source {
  const source = createFakeSource(broker);
  return {
    ...source,
    open: async () =>
      ((await source.open()) as SourcePartition[]).map((one) => {
        const changed = changes(one);
        return { ...one, canExplainSilence: changed.heldBack !== undefined, ...changed };
      }),
  };
}

function brokerWith(entries: number): FakeBroker {
  const broker = createFakeBroker(1);
  fill(broker, entries);
  return broker;
}

const entryOf = (broker: FakeBroker, index: number) => {
  const id = broker.partitions[0]?.entries[index]?.id;
  if (id === undefined) throw new Error(`there is no entry ${index}`);
  return id;
};

/** Nobody hands out entries from `from` on. */
function holdBack(broker: FakeBroker, from: number): void {
  const [partition] = broker.partitions;
  if (partition === undefined) throw new Error('no partition');
  broker.deliveryOrder = (entries) => entries.slice(0, from);
}

const waitedMs = (broker: FakeBroker) => {
  const taken = broker.waitsMs.filter((_, index) => index >= broker.acknowledgements.length);
  return taken.reduce((sum, ms) => sum + ms, 0);
};

it('a Shared subscription goes on with what looking into its silence has found', async () => {
  const broker = brokerWith(10);
  holdBack(broker, 7);
  let asked = 0;
  let hasCome = false;
  const source = changedSource(broker, (partition) => ({
    heldBack: async () => (asked++ === 0 ? undefined : ['unknown']),
    next: async (idleMs) => {
      const delivery = await partition.next(idleMs);
      if (delivery.kind !== 'idle' || asked !== 1 || hasCome) return delivery;
      hasCome = true;
      return { kind: 'entry', id: entryOf(broker, 7), messages: [] };
    },
  }));
  const result = await runDrain(broker, createMemoryStore(), { source, subscriptionType: 'shared' });
  expect(result).toMatchObject({ failure: undefined, backlog: { entries: 2 }, heldBack: 'unknown' });
});

it('a Shared subscription waits longer for what nobody can explain', async () => {
  const broker = brokerWith(10);
  holdBack(broker, 7);
  let idles = 0;
  const source = changedSource(broker, (partition) => ({
    heldBack: async () => ['unknown'],
    next: async (idleMs) => {
      const delivery = await partition.next(idleMs);
      if (delivery.kind !== 'idle' || ++idles !== 3) return delivery;
      return { kind: 'entry', id: entryOf(broker, 7), messages: [] };
    },
  }));
  const result = await runDrain(broker, createMemoryStore(), { source, subscriptionType: 'shared' });
  expect(result).toMatchObject({ failure: undefined, backlog: { entries: 2 }, heldBack: 'unknown' });
});

describe('a backlog that is held back for a known reason', () => {
  it('ends the run within seconds, as a success that names it', async () => {
    const broker = brokerWith(10);
    holdBack(broker, 7);
    const logger = keepingLogger();
    const asked: [entries: number, quietMs: number][] = [];
    const source = changedSource(broker, () => ({
      heldBack: async (entries, quietMs) => {
        asked.push([entries, quietMs]);
        return quietMs < 1_000 ? undefined : ['open transaction', 'incomplete chunks'];
      },
    }));
    const result = await runDrain(broker, createMemoryStore(), { source, logger });
    expect(result).toMatchObject({
      ...{ failure: undefined, stopReason: 'caught_up', backlog: { entries: 3 } },
      heldBack: 'incomplete chunks, open transaction',
      tally: { messages: 7 },
    });
    expect(asked[0]).toEqual([3, 500]);
    expect(broker.waitsMs.slice(7).reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(3_000);
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        level: 'info',
        message: 'backlog held back',
        fields: expect.objectContaining({ entries: 3, reason: 'incomplete chunks, open transaction' }),
      }),
    );
  });

  it('is not named where something has come since and nothing is left', async () => {
    const broker = brokerWith(10);
    holdBack(broker, 7);
    const source = changedSource(broker, (partition) => ({
      heldBack: async (): Promise<readonly HeldBackReason[]> => {
        await partition.acknowledge([entryOf(broker, 9)]);
        return ['open transaction'];
      },
    }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ failure: undefined, backlog: { entries: 0 }, heldBack: undefined });
  });

  it('is named too where the run came to its end without a silence', async () => {
    const broker = brokerWith(10);
    const source = changedSource(broker, () => ({
      backlog: async (): Promise<Backlog> => ({ entries: 2 }),
      heldBack: async (): Promise<readonly HeldBackReason[]> => ['incomplete chunks'],
    }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ stopReason: 'caught_up', heldBack: 'incomplete chunks' });
    expect(broker.waitsMs).toHaveLength(10);
  });

  it('is named on a subscription without order, where a silence is the end', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    fill(broker, 10);
    holdBack(broker, 7);
    const logger = keepingLogger();
    const result = await runDrain(broker, createMemoryStore(), { logger });
    expect(result).toMatchObject({ failure: undefined, backlog: { entries: 3 }, heldBack: 'unknown' });
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'backlog held back' }),
    );
    expect(waitedMs(broker)).toBeLessThanOrEqual(12_000);
  });
});

describe('the last entries, acknowledged by somebody else', () => {
  it.each([
    ['before', false],
    ['during', true],
  ])('%s the run end it with the first look, with what is open stored', async (_, isDuring) => {
    const broker = brokerWith(10);
    holdBack(broker, 7);
    const [partition] = broker.partitions;
    const acknowledgeTail = () => {
      for (const index of [7, 8, 9]) {
        const { ledgerId, entryId } = entryOf(broker, index);
        partition?.acknowledged.add(`${ledgerId}:${entryId}`);
      }
    };
    const end = entryOf(broker, 9);
    if (isDuring) broker.hook = (call) => (call === 'backlog' ? acknowledgeTail() : undefined);
    else acknowledgeTail();
    const source = changedSource(broker, () => ({ end }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 7 }, heldBack: undefined });
    expect(broker.waitsMs.slice(7)).toEqual([500]);
    expect(broker.backlog()).toBe(0);
  });

  it('are no end while the broker has more that may come', async () => {
    const broker = brokerWith(10);
    const idle = { kind: 'idle' } as const;
    let receives = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++receives === 5) broker.interruptions.set(0, [idle, idle, idle, idle]);
    };
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 10, objects: 1 } });
  });

  it('are waited for, and reported, where the broker reports no backlog', async () => {
    const broker = brokerWith(10);
    holdBack(broker, 7);
    const logger = keepingLogger();
    const source = changedSource(broker, () => ({ backlog: async () => undefined }));
    const result = await runDrain(broker, createMemoryStore(), { source, logger });
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 7 }, backlog: undefined });
    expect(result.heldBack).toBe('unknown');
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'backlog held back' }),
    );
    const silenceMs = broker.waitsMs.slice(7).reduce((sum, ms) => sum + ms, 0);
    expect(silenceMs).toBeGreaterThanOrEqual(10_000);
    expect(silenceMs).toBeLessThanOrEqual(13_000);
  });
});

describe('a broker that is slow', () => {
  const idle = { kind: 'idle' } as const;

  /** Before the fifth entry nothing comes for a while. */
  function pause(broker: FakeBroker, idles: number): void {
    let receives = 0;
    broker.hook = (call) => {
      if (call !== 'next' || ++receives !== 5) return;
      broker.interruptions.set(
        0,
        Array.from({ length: idles }, () => idle),
      );
    };
  }

  it('ends no run by its silence where no end is known, but a backlog is', async () => {
    const broker = brokerWith(10);
    pause(broker, 8);
    const source = changedSource(broker, () => ({ end: 'unknown', heldBack: async () => undefined }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 10 }, heldBack: undefined });
  });

  it('ends a run by its silence with a warning, where neither an end nor a backlog is known', async () => {
    const broker = brokerWith(10);
    pause(broker, 40);
    const logger = keepingLogger();
    const source = changedSource(broker, () => ({
      ...{ end: 'unknown', heldBack: async () => undefined },
      backlog: async () => undefined,
    }));
    const result = await runDrain(broker, createMemoryStore(), { source, logger });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 4 }, heldBack: 'unknown' });
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'backlog held back' }),
    );
  });

  it('that does not answer how much is left hides no tail behind an end that was reported too low', async () => {
    const broker = brokerWith(10);
    const end = entryOf(broker, 4);
    let asked = 0;
    const source = changedSource(broker, (partition) => ({
      ...{ end, entriesAtOpen: async () => 10 },
      backlog: async () => (asked++ === 0 ? undefined : partition.backlog()),
    }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 10 } });
  });
});

describe('what comes while the broker is asked about a silence', () => {
  const idle = { kind: 'idle' } as const;
  const unknown: readonly HeldBackReason[] = ['unknown'];

  it.each<[string, Changes]>([
    ['a reason that is given', () => ({ heldBack: async () => unknown })],
    ['a long silence without a reason', () => ({ heldBack: async () => undefined })],
    [
      'a long silence without a backlog',
      (partition) => ({ backlog: () => partition.backlog().then(() => undefined) }),
    ],
  ])('goes before %s', async (_, changes) => {
    const broker = brokerWith(10);
    let [receives, hasArrivals] = [0, false];
    broker.hook = (call) => {
      if (call === 'backlog') hasArrivals = receives < 45;
      if (call !== 'next') return;
      hasArrivals = false;
      if (++receives === 5) broker.interruptions.set(0, Array<typeof idle>(40).fill(idle));
    };
    const source = changedSource(broker, (partition) => ({
      ...changes(partition),
      hasArrivals: () => hasArrivals,
    }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 10 } });
  });
});

describe('an end that was reported too low', () => {
  it.each([
    ['is before the last entries', 4],
    ['is none at all', null],
  ])('%s: the run goes on to what there was at its start', async (_, reported) => {
    const broker = brokerWith(10);
    const end = reported === null ? null : entryOf(broker, reported);
    const source = changedSource(broker, () => ({ end, entriesAtOpen: async () => 10 }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 10 } });
    expect(broker.backlog()).toBe(0);
  });

  it('does not let a steady producer keep the run alive', async () => {
    const broker = brokerWith(10);
    const end = entryOf(broker, 4);
    const source = changedSource(broker, () => ({ end, entriesAtOpen: async () => 10 }));
    const [partition] = broker.partitions;
    broker.hook = (call) => {
      if (call === 'next' && partition !== undefined) publish(partition, ['later']);
    };
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result.tally.messages).toBe(10);
  });

  it('costs a run nothing where the rest was no entry for consumers', async () => {
    const broker = brokerWith(10);
    const source = changedSource(broker, () => ({ entriesAtOpen: async () => 12 }));
    const result = await runDrain(broker, createMemoryStore(), { source });
    expect(result.tally.messages).toBe(10);
    expect(broker.waitsMs).toHaveLength(10);
  });
});
