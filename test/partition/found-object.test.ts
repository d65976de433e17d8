// The append-only rule at the core: an object is there already where a file is to be created. What is stored wins.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { parseObjectKey } from '../../src/format/object-key.ts';
import { formatMessageId } from '../../src/format/record.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Message, ObjectStore } from '../../src/ports.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { createFakeBroker, type FakeBroker, type FakePartition, publish } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import {
  expectAllStoredOnce,
  fill,
  publishedMessages,
  runDrain,
  storedMessages,
} from '../stage/memory-stage.ts';

describe('an object that is there already', () => {
  const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });

  /** A run that dies after its objects are durable and before it acknowledges anything. */
  async function crashBeforeAcknowledging(
    broker: FakeBroker,
    store: MemoryStore,
    options = {},
  ): Promise<void> {
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    const result = await runDrain(broker, store, options);
    expect(result.failure).toBeInstanceOf(BackupError);
    broker.hook = undefined;
  }

  for (const [title, before, after] of [
    ['the same', 10, 10],
    ['less than our file', 4, 10],
    ['more than our file', 10, 4],
    ['more than several of our files', 50, 3],
  ] as const) {
    it(`and holds ${title}: what is stored wins, nothing is replaced, every message is in one object`, async () => {
      const broker = createFakeBroker(2);
      fill(broker, 60);
      const store = createMemoryStore();
      await crashBeforeAcknowledging(broker, store, limits(before));
      const keys = new Map([...store.objects].map(([key, { crc64 }]) => [key, crc64]));
      expect(broker.backlog()).toBe(120);
      const result = await runDrain(broker, store, limits(after));
      expect(result.failure).toBeUndefined();
      expect(result.tally.alreadyStored).toBeGreaterThan(0);
      expectAllStoredOnce(broker, store);
      expect(broker.backlog()).toBe(0);
      for (const [key, crc] of keys) expect(store.objects.get(key)?.crc64).toBe(crc);
    });
  }

  it('is acknowledged as a whole: a run that ends in the midst of it leaves its first message', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 1_500);
    const store = createMemoryStore();
    await crashBeforeAcknowledging(broker, store, limits(1_400));
    for (const end of [3, 1_200]) {
      const stop = new AbortController();
      let receives = Number.NaN;
      broker.hook = (call) => {
        if (call === 'restart') receives = 0;
        if (call === 'next' && ++receives > end) stop.abort();
      };
      const cut = await runDrain(broker, store, { ...limits(1), stop: stop.signal });
      expect(cut).toMatchObject({ stopReason: 'deadline', failure: undefined });
      expect(broker.acknowledgements).toEqual([]);
    }
    broker.hook = undefined;
    await runDrain(broker, store, limits(5));
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('and was a multipart upload: its end is read from the object', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 20, 1, 1_000_000);
    const store = createMemoryStore();
    await crashBeforeAcknowledging(broker, store, limits(12));
    expect([...store.objects.values()].some(({ metadata }) => metadata['last-id'] === undefined)).toBe(true);
    const result = await runDrain(broker, store, limits(15));
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(store.uploads.size).toBe(0);
  });

  it('and begins with another message: the run fails, names the key, and acknowledges nothing', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const other = createFakeBroker(1);
    fill(other, 10, 2);
    const store = createMemoryStore();
    await runDrain(other, store);
    const result = await runDrain(broker, store);
    expect(result.failure).toMatchObject({
      code: 'config',
      message: expect.stringContaining([...store.objects.keys()][0] as string),
    });
    expect(broker.backlog()).toBe(10);
  });

  it.each([
    ['ends as our file does', 'exclusive', 10],
    ['ends before our file', 'exclusive', 15],
    ['ends after our file', 'exclusive', 4],
    ['is met on a Shared subscription', 'shared', 10],
  ] as const)(
    'and is damaged is never taken for stored, where it %s; once it is removed, its messages are stored',
    async (_where, subscriptionType, maxMessages) => {
      const broker = createFakeBroker(1, { isInOrder: subscriptionType === 'exclusive' });
      fill(broker, 20);
      const store = createMemoryStore();
      await crashBeforeAcknowledging(broker, store, limits(10));
      const first = [...store.objects.values()][0] as NonNullable<ReturnType<typeof store.objects.get>>;
      const bytes = Buffer.from(first.bytes);
      // A letter of a payload: it is still a record.
      bytes[bytes.lastIndexOf('.')] = 0x2c;
      store.objects.set(first.key, { ...first, bytes, crc64: crc64([bytes]) });
      for (let run = 0; run < 2; run++) {
        const result = await runDrain(broker, store, limits(maxMessages));
        expect(result.failure).toMatchObject({
          code: 'corrupt',
          message: expect.stringContaining(first.key),
          hint: expect.stringContaining('remove the object'),
        });
        expect(broker.backlog()).toBe(20);
      }
      store.objects.delete(first.key);
      const result = await runDrain(broker, store, limits(maxMessages));
      expect(result.failure).toBeUndefined();
      expectAllStoredOnce(broker, store);
      expect(broker.backlog()).toBe(0);
    },
  );

  it('on a Shared subscription: messages of it are dropped one by one, the others are stored', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    fill(broker, 30);
    const store = createMemoryStore();
    await crashBeforeAcknowledging(broker, store, limits(7));
    const result = await runDrain(broker, store, limits(10));
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });
});

describe('without order, objects of one message each that an earlier run stored', () => {
  const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });

  /** Their subscription was moved backwards since; `behind` further messages were published. */
  async function storedBefore(count: number, behind: number) {
    const broker = createFakeBroker(1, { isInOrder: false });
    const [partition] = broker.partitions as [FakePartition];
    for (let i = 0; i < count; i++) publish(partition, ['one']);
    const store = createMemoryStore();
    await runDrain(broker, store, limits(1));
    expect(store.objects.size).toBe(count);
    for (let i = 0; i < behind; i++) publish(partition, ['another']);
    partition.acknowledged.clear();
    let restarts = 0;
    broker.hook = (call) => {
      if (call === 'restart') restarts++;
    };
    return { broker, partition, store, restarts: () => restarts };
  }

  it.each([1, 1_000])(
    'are found with few restarts, each reported once, whatever the limits (%i messages)',
    async (maxMessages) => {
      const { broker, store, restarts } = await storedBefore(120, 50);
      const found: unknown[] = [];
      const logger = { ...silentLogger, warn: ({ key }: { key?: string }) => found.push(key) } as never;
      const result = await runDrain(broker, store, { ...limits(maxMessages), logger });
      expect(result.failure).toBeUndefined();
      expect(restarts()).toBeLessThan(8);
      expect(result.tally.alreadyStored).toBe(120);
      expect(new Set(found).size).toBe(120);
      expect(found).toHaveLength(120);
      expectAllStoredOnce(broker, store);
      expect(broker.backlog()).toBe(0);
    },
  );

  it('are read ahead up to so many messages as a file has', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    const [partition] = broker.partitions as [FakePartition];
    for (let i = 0; i < 200; i++)
      publish(
        partition,
        Array.from({ length: 100 }, () => 'x'),
      );
    const store = createMemoryStore();
    await runDrain(broker, store, limits(100));
    expect(store.objects.size).toBe(200);
    partition.acknowledged.clear();
    store.calls.length = 0;
    let readAtOnce = 0;
    broker.hook = (call) => {
      if (call !== 'restart') return;
      readAtOnce = Math.max(readAtOnce, store.calls.filter((one) => one.startsWith('head')).length);
      store.calls.length = 0;
    };
    await runDrain(broker, store, limits(1_000));
    expect(readAtOnce).toBeLessThan(64);
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('are not read ahead where they are damaged: that fails the run when one is met', async () => {
    const { broker, store } = await storedBefore(10, 5);
    const damaged = [...store.objects.values()][3] as NonNullable<ReturnType<typeof store.objects.get>>;
    const bytes = Buffer.from(damaged.bytes);
    bytes[bytes.lastIndexOf('one')] = 0x41;
    store.objects.set(damaged.key, { ...damaged, bytes, crc64: crc64([bytes]) });
    const result = await runDrain(broker, store, limits(1_000));
    expect(result.failure).toMatchObject({ code: 'corrupt', message: expect.stringContaining(damaged.key) });
    expect(broker.backlog()).toBeGreaterThan(0);
    store.objects.delete(damaged.key);
    expect((await runDrain(broker, store, limits(1))).failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('hide no message with the id of one of theirs that was published at another time', async () => {
    const { broker, store, partition } = await storedBefore(10, 0);
    const at = 3;
    const entry = partition.entries[at];
    if (entry?.kind !== 'entry') throw new Error('it is no entry');
    const [own] = entry.messages as [Message];
    const other = { ...own, publishTimeMs: Number(own.publishTimeMs) + 1, payload: Buffer.from('other') };
    partition.entries[at] = { ...entry, messages: [other] };
    const result = await runDrain(broker, store, limits(1));
    expect(result.failure).toMatchObject({ code: 'config' });
    expect(partition.acknowledged.has(`${entry.id.ledgerId}:${entry.id.entryId}`)).toBe(false);
  });
});

describe('an object that leaves out what a transaction held back when it was stored', () => {
  const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });
  /** A run that dies before its first acknowledgement. */
  async function killed(broker: FakeBroker, store: MemoryStore, maxMessages: number): Promise<void> {
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, limits(maxMessages));
    broker.hook = undefined;
  }
  const hold = (broker: FakeBroker, entries: readonly number[]) => {
    for (const entry of entries) broker.partitions[0]?.held.add(`7:${entry}`);
  };
  const firstEntries = (store: MemoryStore) =>
    [...store.objects.keys()].map((key) => parseObjectKey('p/', key)?.entryId).sort((a = 0, b = 0) => a - b);

  it('says nothing of what is between its messages: that becomes an object of its own', async () => {
    const broker = createFakeBroker(1);
    const store = createMemoryStore();
    fill(broker, 20);
    hold(broker, [5, 6, 7, 8, 9]);
    await killed(broker, store, 5000);
    broker.partitions[0]?.held.clear();
    fill(broker, 1);
    // It is killed behind what was left out.
    await killed(broker, store, 5000);
    await killed(broker, store, 5000);
    const { failure } = await runDrain(broker, store, limits(5000));
    expect(failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(firstEntries(store)).toEqual([0, 5, 20]);
    expect(broker.backlog()).toBe(0);
  });

  it('also where it ends as our file does, and where the object behind it begins beyond the gap', async () => {
    for (const [held, before, after] of [
      [[5, 6], 100, 100],
      [[5, 6], 5, 100],
      [[4, 5, 6], 2, 3],
    ] as const) {
      const broker = createFakeBroker(1);
      const store = createMemoryStore();
      fill(broker, 20);
      hold(broker, held);
      await killed(broker, store, before);
      broker.partitions[0]?.held.clear();
      const { failure } = await runDrain(broker, store, limits(after));
      expect(failure).toBeUndefined();
      expectAllStoredOnce(broker, store);
      expect(broker.backlog()).toBe(0);
    }
  });

  it('is found from before its beginning too: what comes first now becomes an object of its own', async () => {
    const broker = createFakeBroker(1);
    broker.hasTransactions = true;
    const store = createMemoryStore();
    fill(broker, 20);
    hold(broker, [0, 1, 2]);
    await killed(broker, store, 10);
    broker.partitions[0]?.held.clear();
    store.calls.length = 0;
    const { failure } = await runDrain(broker, store, limits(10));
    expect(failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(firstEntries(store)).toEqual([0, 3, 13]);
    expect(broker.backlog()).toBe(0);
    // A day's folder is listed once in a run, however many files there are.
    const lists = store.calls.filter((call) => call.startsWith('list'));
    expect(new Set(lists).size).toBe(lists.length);
  });

  it('is not looked for before the first file where the broker has no transactions', async () => {
    const broker = createFakeBroker(1);
    const store = createMemoryStore();
    fill(broker, 20);
    await runDrain(broker, store, limits(5));
    expect(store.calls.filter((call) => call.startsWith('list'))).toEqual([]);
  });

  it('keeps no run from storing whose role may not list', async () => {
    const broker = createFakeBroker(1);
    broker.hasTransactions = true;
    const store = createMemoryStore();
    fill(broker, 20);
    const denied = new BackupError('store', 'access denied');
    const list: ObjectStore['list'] = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(denied) }),
    });
    const { failure } = await runDrain(broker, { ...store, list }, limits(5));
    expect(failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('is not read where it is what our file is', async () => {
    const broker = createFakeBroker(1);
    const store = createMemoryStore();
    fill(broker, 20);
    await killed(broker, store, 5000);
    store.calls.length = 0;
    await runDrain(broker, store, limits(5000));
    expect(new Set(store.calls.map((call) => call.split(' ')[0]))).toEqual(
      new Set(['create', 'head', 'list']),
    );
    expect(broker.backlog()).toBe(0);
  });

  it('whatever is held back, ended or cut: each message that nobody else took is in exactly one object', async () => {
    const step = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 10 }),
      held: fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
      maxMessages: fc.integer({ min: 1, max: 12 }),
      ending: fc.constantFrom('abort', 'commit', 'none'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 5 }), async (steps) => {
        const broker = createFakeBroker(1);
        broker.hasTransactions = true;
        const store = createMemoryStore();
        const [partition] = broker.partitions as [FakePartition];
        const taken = new Set<string>();
        for (const { sizes, held, maxMessages, ending } of steps) {
          for (const [at, size] of sizes.entries()) {
            const { id } = publish(
              partition,
              Array.from({ length: size }, () => 'one'),
            );
            if (held[at]) hold(broker, [id.entryId]);
          }
          await killed(broker, store, maxMessages);
          if (ending === 'none') continue;
          for (const id of ending === 'commit' ? partition.held : []) {
            taken.add(id);
            partition.acknowledged.add(id);
          }
          partition.held.clear();
        }
        partition.held.clear();
        const { failure } = await runDrain(broker, store, limits(7));
        expect(failure).toBeUndefined();
        const wanted = [...publishedMessages(broker).values()].filter(
          ({ id }) => !taken.has(`${id.ledgerId}:${id.entryId}`),
        );
        const ids = wanted.map(({ id }) => formatMessageId(id)).sort();
        expect([...storedMessages(store).keys()].sort()).toEqual(ids);
        expect(broker.backlog()).toBe(0);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
