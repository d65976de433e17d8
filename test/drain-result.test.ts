// What a run comes to as a whole: success or failure, busy or not, what is left waiting; and that nothing of it stays
// behind. Over fakes.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import type { Backlog, SourcePartition } from '../src/ports.ts';
import { createTally } from '../src/run/run-context.ts';
import {
  connectionLost,
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  publish,
} from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { runDrain, storedMessages } from './stage/memory-stage.ts';

function fill(broker: FakeBroker, entries: number): void {
  for (const partition of broker.partitions) for (let i = 0; i < entries; i++) publish(partition, [`${i}`]);
}

describe('the result of a run', () => {
  const cut = (store: MemoryStore, storingEnd: AbortController, nth: number) => {
    let creates = 0;
    store.hook = (when, call) => {
      if (when !== 'before' || call !== 'create' || ++creates < nth) return undefined;
      setImmediate(() => storingEnd.abort());
      return new Promise(() => undefined);
    };
  };
  const limits = { maxMessages: 5, maxBytes: 1e9 };

  it('is a success where the clock cut a file, and others were stored or found', async () => {
    for (const isFound of [false, true]) {
      const broker = createFakeBroker(1);
      fill(broker, 10);
      const store = createMemoryStore();
      if (isFound) {
        broker.hook = (call) => {
          if (call === 'acknowledge') throw new BackupError('source', 'killed');
        };
        await runDrain(broker, store, { limits });
        broker.hook = undefined;
        for (const key of [...store.objects.keys()].slice(1)) store.objects.delete(key);
      }
      const storingEnd = new AbortController();
      cut(store, storingEnd, 2);
      const result = await runDrain(broker, store, { limits, storingEnd: storingEnd.signal });
      expect(result).toMatchObject({ stopReason: 'deadline', failure: undefined });
      expect(result.tally).toMatchObject(isFound ? { objects: 0, alreadyStored: 1 } : { objects: 1 });
      expect(broker.backlog()).toBe(5);
    }
  });

  it('is the failure that was met until the time was over, where nothing could be stored', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const store = createMemoryStore();
    const storingEnd = new AbortController();
    cut(store, storingEnd, 1);
    const tally = createTally();
    tally.lastRetried = new BackupError('store', 'COS is busy');
    const result = await runDrain(broker, store, { tally, storingEnd: storingEnd.signal });
    expect(result.failure).toBe(tally.lastRetried);
  });

  it('is busy only where every partition belongs to another instance', async () => {
    const broker = createFakeBroker(2);
    fill(broker, 5);
    broker.interruptions.set(0, [{ kind: 'standby' }]);
    const result = await runDrain(broker, createMemoryStore(), { subscriptionType: 'failover' });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 5 } });
  });

  it('has no backlog where one partition does not know its own, and is a success all the same', async () => {
    for (const backlog of [
      async () => undefined,
      async () => {
        throw connectionLost();
      },
    ]) {
      const broker = createFakeBroker(2);
      fill(broker, 5);
      const source = createFakeSource(broker);
      const result = await runDrain(broker, createMemoryStore(), {
        source: {
          ...source,
          open: async () => {
            const [first, ...rest] = (await source.open()) as SourcePartition[];
            return [{ ...(first as SourcePartition), backlog }, ...rest];
          },
        },
      });
      expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined, backlog: undefined });
    }
  });

  it('reports when the oldest message that is left was published, if every partition that has some left can', async () => {
    const backlogs = [
      { entries: 3, nextPublishTimeMs: Date.UTC(2026, 0, 2) },
      { entries: 4, nextPublishTimeMs: Date.UTC(2026, 0, 1) },
      { entries: 0 },
    ];
    const resultOf = async (backlogs: readonly Backlog[], store = createMemoryStore()) => {
      const broker = createFakeBroker(backlogs.length);
      fill(broker, 5);
      const source = createFakeSource(broker);
      const open = async () =>
        ((await source.open()) as SourcePartition[]).map((partition, i) => ({
          ...partition,
          backlog: async () => backlogs[i],
        }));
      return await runDrain(broker, store, { source: { ...source, open } });
    };
    expect((await resultOf(backlogs)).backlog).toEqual({
      entries: 7,
      oldestPublishTime: '2026-01-01T00:00:00.000Z',
    });
    const astray = [-1, 2n ** 60n, -(2n ** 60n)].map((nextPublishTimeMs) => ({
      entries: 1,
      nextPublishTimeMs,
    }));
    expect((await resultOf([...backlogs, ...astray])).backlog).toEqual({
      entries: 10,
      oldestPublishTime: '-1152921504606846976',
    });
    expect((await resultOf([...backlogs, { entries: 1 }])).backlog).toEqual({ entries: 8 });
    // What a failed run has dropped is older than what the driver has next.
    const refusing = createMemoryStore();
    refusing.hook = () => {
      throw new BackupError('store', 'access denied');
    };
    expect((await resultOf(backlogs, refusing)).backlog).toEqual({ entries: 7 });
  });

  it('leaves no timer and no listener', async () => {
    let timers = 0;
    const clock = {
      now: Date.now,
      sleep: (_ms: number, signal?: AbortSignal) =>
        new Promise<void>((_, reject) => {
          timers++;
          signal?.addEventListener('abort', () => {
            timers--;
            reject(signal.reason);
          });
        }),
    };
    const stop = new AbortController();
    const storingEnd = new AbortController();
    const broker = createFakeBroker(2);
    fill(broker, 5);
    await runDrain(broker, createMemoryStore(), { clock, stop: stop.signal, storingEnd: storingEnd.signal });
    expect(timers).toBe(0);
    for (const { signal } of [stop, storingEnd]) expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

it.each([true, false])(
  'stores messages whose clock was astray, wherever they are (end known: %s)',
  async (isEndKnown) => {
    const broker = createFakeBroker(1);
    broker.isEndKnown = isEndKnown;
    const times = [Date.now(), -1, -(2n ** 63n), 2n ** 63n - 1n, Date.now(), 2 ** 53 - 1, Date.now()];
    const [partition] = broker.partitions as [FakeBroker['partitions'][number]];
    for (const publishTimeMs of times) publish(partition, [String(publishTimeMs)], { publishTimeMs });
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { limits: { maxMessages: 2, maxBytes: 1e9 } });
    expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined });
    expect([...storedMessages(store).values()].map((one) => one.publishTimeMs)).toEqual(times);
    expect(broker.backlog()).toBe(0);
  },
);

it('no more partitions are read at a time than there is memory for', async () => {
  const broker = createFakeBroker(20);
  fill(broker, 3);
  const reading = new Set<number>();
  let most = 0;
  broker.hook = async (call, { partition }) => {
    if (call === 'next') reading.add(partition);
    most = Math.max(most, reading.size);
    await new Promise((resolve) => setImmediate(resolve));
    if (call === 'acknowledge') reading.delete(partition);
  };
  const result = await runDrain(broker, createMemoryStore(), { bufferBytes: 8 * 1_048_576 });
  expect(result.tally.messages).toBe(60);
  expect(most).toBe(4);
});
