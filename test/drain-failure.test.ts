// What a failure leaves: everything that was taken before it is stored and acknowledged as far as that is
// possible, nothing is stored twice, and the next run meets the failure at once. Over fakes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import type { Clock, Message } from '../src/ports.ts';
import { keepingLogger } from './fakes/loggers.ts';
import {
  connectionLost,
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
} from './fakes/memory-source.ts';
import { createMemoryStore } from './fakes/memory-store.ts';
import { expectAllStoredOnce, fill, runDrain, storedMessages } from './stage/memory-stage.ts';

const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
const fail = { onUnreadable: 'fail' } as const;
const creates = (store: { calls: string[] }) => store.calls.filter((call) => call.startsWith('create'));
/** Pauses between tries only move the time on, so that an outage passes at once; the end of the run does not come. */
function skippingClock(): Clock {
  let nowMs = Date.now();
  return {
    now: () => nowMs,
    sleep: (ms) => {
      if (ms > 10_000) return new Promise(() => undefined);
      nowMs += ms;
      return Promise.resolve();
    },
  };
}

/** Good entries, one that cannot be decoded, and some behind it. */
function brokerWithBadEntry(good: number, options: { isInOrder?: boolean } = {}): FakeBroker {
  const broker = createFakeBroker(1, options);
  const partition = broker.partitions[0] as FakePartition;
  fill(broker, good);
  publishUnreadable(partition);
  for (let i = 0; i < 3; i++) publish(partition, [`behind it ${i}`]);
  return broker;
}

/** The nth receive fails, and each one after it. */
function failAtReceive(broker: FakeBroker, nth: number, alsoAcknowledging = false): void {
  let receives = 0;
  broker.hook = (call) => {
    if (call === 'next' ? ++receives >= nth : alsoAcknowledging && receives >= nth) throw connectionLost();
  };
}

describe('RUN_ON_UNREADABLE=fail', () => {
  it.each(['exclusive', 'failover', 'shared', 'key_shared'] as const)(
    'stores and acknowledges everything before the bad entry, then fails; the next run fails at once (%s)',
    async (subscriptionType) => {
      const isInOrder = subscriptionType === 'exclusive' || subscriptionType === 'failover';
      const broker = brokerWithBadEntry(3_000, { isInOrder });
      const store = createMemoryStore();
      const options = { ...limits(1_000), ...fail, subscriptionType };
      const first = await runDrain(broker, store, options);
      expect(first.failure).toMatchObject({ code: 'corrupt', message: expect.stringContaining('7:3000') });
      expect(first.tally).toMatchObject({ messages: 3_000, objects: 3, unreadable: 0 });
      expect(broker.backlog()).toBe(4);
      store.calls.length = 0;
      const second = await runDrain(broker, store, options);
      expect(second.failure).toMatchObject({ code: 'corrupt' });
      expect(store.calls).toEqual([]);
      expect(broker.backlog()).toBe(4);
      const third = await runDrain(broker, store, { subscriptionType });
      expect(third).toMatchObject({ failure: undefined, tally: { messages: 3, unreadable: 1 } });
      expectAllStoredOnce(broker, store);
      expect(broker.backlog()).toBe(0);
    },
  );

  it.each([
    ['less', 40],
    ['the same', 100],
    ['more, the bad entry aside', 250],
  ])('also where a run that died left objects of %s', async (_what, before) => {
    const broker = brokerWithBadEntry(250);
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, { ...limits(before), ...fail });
    expect(broker.backlog()).toBe(254);
    broker.hook = undefined;
    const next = await runDrain(broker, store, { ...limits(100), ...fail });
    expect(next.failure).toMatchObject({ code: 'corrupt' });
    expect(broker.backlog()).toBe(4);
    expect(storedMessages(store).size).toBe(250);
  });

  it('acknowledges entries that hold nothing to store, too', async () => {
    const broker = createFakeBroker(1);
    const partition = broker.partitions[0] as FakePartition;
    for (let i = 0; i < 5; i++) publish(partition, []);
    publishUnreadable(partition);
    await runDrain(broker, createMemoryStore(), fail);
    expect(broker.backlog()).toBe(1);
  });

  it('stops the partition only; the others are drained', async () => {
    const broker = createFakeBroker(3);
    publishUnreadable(broker.partitions[1] as FakePartition);
    fill(broker, 20);
    const result = await runDrain(broker, createMemoryStore(), { ...limits(8), ...fail });
    expect(result.failure).toMatchObject({ code: 'corrupt' });
    expect(result.tally.messages).toBe(40);
    expect(broker.backlog()).toBe(21);
  });

  it('creates no further file once an acknowledgement has failed for good', async () => {
    const broker = brokerWithBadEntry(50);
    const store = createMemoryStore();
    store.hook = nextTurn;
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'the role may not consume any more');
    };
    const result = await runDrain(broker, store, { ...limits(5), ...fail });
    expect(result.failure).toBeDefined();
    expect(creates(store).length).toBeLessThan(4);
    broker.hook = undefined;
    await runDrain(broker, store, { ...limits(5), ...fail });
    expect(storedMessages(store).size).toBe(50);
    expect(broker.backlog()).toBe(4);
  });
});

describe('a source that fails', () => {
  it('but still acknowledges: all that was taken is stored and acknowledged', async () => {
    for (const subscriptionType of ['exclusive', 'failover', 'shared'] as const) {
      const broker = createFakeBroker(1, { isInOrder: subscriptionType !== 'shared' });
      fill(broker, 30);
      failAtReceive(broker, 13);
      const store = createMemoryStore();
      const result = await runDrain(broker, store, { ...limits(5), subscriptionType });
      expect(result).toMatchObject({ failure: { message: 'connection lost' }, tally: { messages: 12 } });
      expect(broker.backlog()).toBe(18);
    }
  });

  it('and acknowledges nothing more: the next run finds what was stored, and stores nothing twice', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 30);
    failAtReceive(broker, 13, true);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { ...limits(50), clock: skippingClock() });
    expect(result.failure).toMatchObject({ message: 'connection lost' });
    expect(storedMessages(store).size).toBe(12);
    broker.hook = undefined;
    const next = await runDrain(broker, store);
    expect(next).toMatchObject({ failure: undefined, tally: { alreadyStored: 1, messages: 18 } });
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('and is lost on a subscription without order: what nobody can find is not stored', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    fill(broker, 30);
    failAtReceive(broker, 13, true);
    const store = createMemoryStore();
    const source = createFakeSource(broker);
    const open = async () => {
      const partitions = await source.open();
      if (partitions === 'busy') throw new Error('not here');
      return partitions.map((one) => ({ ...one, backlog: async () => undefined }));
    };
    const result = await runDrain(broker, store, {
      ...limits(5),
      clock: skippingClock(),
      source: { ...source, open },
    });
    expect(result.failure).toMatchObject({ message: 'connection lost' });
    expect(broker.backlog()).toBe(20);
    broker.hook = undefined;
    await runDrain(broker, store);
    expectAllStoredOnce(broker, store);
  });
});

describe('what cannot become a record', () => {
  /** What no decoder should hand out. */
  const broken = { properties: undefined as unknown as Message['properties'] };

  it('fails the run behind everything that came before it', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 12);
    publish(broker.partitions[0] as FakePartition, ['x'], broken);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, limits(5));
    expect(result.failure).toBeInstanceOf(TypeError);
    expect(result.tally.messages).toBe(12);
    expect(broker.backlog()).toBe(1);
    await runDrain(broker, store, limits(5));
    expect(creates(store)).toHaveLength(3);
  });

  it('in the middle of an entry that is split leaves whole files, and no message in two', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 3);
    const { messages } = publish(
      broker.partitions[0] as FakePartition,
      Array.from({ length: 12 }, (_, i) => `${i}`),
    );
    const eighth = messages[7] as { properties: Message['properties'] };
    const { properties } = eighth;
    eighth.properties = broken.properties;
    const store = createMemoryStore();
    const result = await runDrain(broker, store, limits(5));
    expect(result.failure).toBeInstanceOf(TypeError);
    expect(broker.backlog()).toBe(1);
    eighth.properties = properties;
    const next = await runDrain(broker, store, limits(4));
    expect(next.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });
});

it('a store that refuses raw entries only: what came before is stored, and all partitions stop', async () => {
  const broker = createFakeBroker(2);
  fill(broker, 6);
  publishUnreadable(broker.partitions[0] as FakePartition);
  fill(broker, 500);
  const store = createMemoryStore();
  store.hook = async (when, call, key) => {
    if (when === 'before' && call === 'create' && key.includes('_unreadable/'))
      throw new BackupError('store', 'access denied');
  };
  broker.hook = nextTurn;
  const result = await runDrain(broker, store, limits(1_000));
  expect(result.failure).toMatchObject({ message: 'access denied' });
  const [first, second] = broker.partitions.map(({ acknowledged }) => acknowledged.size);
  expect(first).toBe(6);
  expect(second).toBeGreaterThan(0);
  expect(second).toBeLessThan(100);
});

describe('of several failures', () => {
  const temporary = () => new BackupError('source', 'connection lost', { retryable: true });
  const failures = [
    temporary,
    () => new BackupError('store', 'COS is busy', { retryable: true }),
    () => new BackupError('source', 'the role may not consume'),
    () => new BackupError('config', 'another archive lives at this prefix'),
    () => new BackupError('corrupt', 'damaged'),
  ] as const;
  const failingWith = (made: readonly (() => BackupError)[]) => {
    const broker = createFakeBroker(made.length);
    fill(broker, 1);
    broker.hook = (call, { partition }) => {
      if (call === 'next') throw made[partition]?.();
    };
    return broker;
  };

  it('the run reports one that stays rather than one that may pass, whatever their order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...failures), { minLength: 1, maxLength: 8 }),
        async (made) => {
          const { failure } = await runDrain(failingWith(made), createMemoryStore(), {
            clock: skippingClock(),
          });
          const all = made.map((make) => make());
          const isOfSettings = ({ code }: BackupError) => code === 'config' || code === 'corrupt';
          const expected =
            all.find(isOfSettings) ?? all.find(({ retryable }) => !retryable) ?? (all[0] as BackupError);
          expect(failure).toMatchObject({ message: expected.message });
        },
      ),
    );
  });

  it('each is logged with its partition, and of very many the rest is counted', async () => {
    const logger = keepingLogger();
    await runDrain(failingWith([temporary, failures[3]]), createMemoryStore(), { logger });
    const failed = logger.lines.filter(({ level }) => level === 'error');
    expect(failed.map(({ message }) => message)).toEqual(['partition failed', 'partition failed']);
    expect(failed.map(({ fields }) => fields)).toMatchObject([
      { topic: 'persistent://t/n/orders-partition-1', error: { code: 'config' } },
      { topic: 'persistent://t/n/orders-partition-0', error: { message: 'connection lost' } },
    ]);

    const many = keepingLogger();
    await runDrain(
      failingWith(Array.from({ length: 64 }, (_, i) => (i === 50 ? failures[4] : temporary))),
      createMemoryStore(),
      { logger: many },
    );
    expect(many.lines).toHaveLength(11);
    expect(many.lines[0]).toMatchObject({ fields: { topic: expect.stringMatching(/-50$/) } });
    expect(many.lines[10]).toMatchObject({
      level: 'error',
      message: 'more partitions failed',
      fields: { partitions: 54 },
    });
  });

  it.each(['corrupt', 'config'] as const)(
    'one of code %s that comes after the end of the time is reported, and is not excused by the clock',
    async (code) => {
      const broker = createFakeBroker(1);
      fill(broker, 15);
      const storingEnd = new AbortController();
      const inner = createMemoryStore();
      let count = 0;
      const store = {
        ...inner,
        async create(...args: Parameters<typeof inner.create>) {
          if (++count < 2) return inner.create(...args);
          storingEnd.abort();
          throw new BackupError(code, 'this stays');
        },
      };
      const result = await runDrain(broker, store, { ...limits(5), storingEnd: storingEnd.signal });
      expect(result.failure).toMatchObject({ code, message: 'this stays' });
      expect(broker.backlog()).toBe(10);
    },
  );
});

it('whatever fails, however often, every message is stored once and the good ones are acknowledged', async () => {
  const failure = fc.record({
    maxMessages: fc.integer({ min: 1, max: 40 }),
    at: fc.integer({ min: 1, max: 80 }),
    call: fc.constantFrom('next' as const, 'acknowledge' as const, 'restart' as const),
    isForGood: fc.boolean(),
    compression: fc.constantFrom('none' as const, 'gzip' as const),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 30 }),
      fc.array(failure, { maxLength: 4 }),
      fc.constantFrom('none' as const, 'gzip' as const),
      async (batches, steps, compression) => {
        const broker = createFakeBroker(2);
        const store = createMemoryStore();
        const bad = new Set<FakePartition>();
        for (const partition of broker.partitions) {
          for (const size of batches)
            publish(
              partition,
              Array.from({ length: size }, () => 'a payload'),
            );
          publishUnreadable(partition);
          bad.add(partition);
        }
        for (const { at, call: failing, isForGood, maxMessages } of steps) {
          let count = 0;
          broker.hook = (call) => {
            if (call === failing && (isForGood ? ++count >= at : ++count === at)) throw connectionLost();
          };
          await runDrain(broker, store, {
            ...limits(maxMessages),
            ...fail,
            compression,
            clock: skippingClock(),
          });
        }
        broker.hook = undefined;
        const result = await runDrain(broker, store, {
          ...limits(7),
          ...fail,
          compression,
          clock: skippingClock(),
        });
        expect(result.failure).toMatchObject({ code: 'corrupt' });
        expect(broker.backlog()).toBe(bad.size);
        expect(storedMessages(store).size).toBe(2 * batches.reduce((sum, size) => sum + size, 0));
      },
    ),
    { numRuns: 150 },
  );
}, 180_000);
