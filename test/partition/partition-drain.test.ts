// One partition of a run: what it makes of each thing that a source can answer, where it ends, and what it
// acknowledges. Over fakes; the ordering as a whole is in drain.test.ts.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Delivery, SourcePartition } from '../../src/ports.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import {
  connectionLost,
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
} from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryObject } from '../fakes/memory-store.ts';
import { publishedMessages, runDrain, storedMessages } from '../stage/memory-stage.ts';

const MIB = 1_048_576;
const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** A broker with one partition, and so many entries in it. */
function brokerWith(
  entries: number,
  options: { batch?: number; isInOrder?: boolean; bytes?: number } = {},
): { broker: FakeBroker; partition: FakePartition } {
  const broker = createFakeBroker(1, options);
  const partition = broker.partitions[0] as FakePartition;
  for (let i = 0; i < entries; i++) {
    publish(
      partition,
      Array.from({ length: options.batch ?? 1 }, (_, j) => `${i} ${j} `.padEnd(options.bytes ?? 10, '.')),
    );
  }
  return { broker, partition };
}

/** What the nth receive answers instead of the next entry, and the ones after it. */
function answerAt(broker: FakeBroker, nth: number, deliveries: readonly Delivery[]): void {
  let count = 0;
  broker.hook = (call) => {
    if (call === 'next' && ++count === nth) broker.interruptions.set(0, [...deliveries]);
  };
}

const idle: Delivery = { kind: 'idle' };
const rollReasons = (logger: ReturnType<typeof keepingLogger>) =>
  logger.lines
    .filter(({ message }) => message === 'object stored')
    .map(({ fields }) => (fields as { rollReason: string }).rollReason);

describe('the end of a partition', () => {
  it('is not asked for where there was nothing to drain at the start', async () => {
    const { broker, partition } = brokerWith(3);
    for (const { id } of partition.entries) partition.acknowledged.add(`${id.ledgerId}:${id.entryId}`);
    await runDrain(broker, createMemoryStore());
    expect(broker.waitsMs).toEqual([]);
  });

  it('is the last message of the start, also in a later ledger with smaller entry ids', async () => {
    const { broker, partition } = brokerWith(5);
    partition.nextId = { ledgerId: 9, entryId: 0 };
    publish(partition, ['in the next ledger']);
    publish(partition, ['and the last one']);
    broker.hook = (call) => {
      if (call === 'next' && partition.entries.length < 50) publish(partition, ['later']);
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.messages).toBe(7);
  });

  it('has passed where a later ledger begins although the last message of the start is gone', async () => {
    const { broker, partition } = brokerWith(8);
    const source = createFakeSource(broker);
    partition.nextId = { ledgerId: 9, entryId: 0 };
    for (let i = 0; i < 10; i++) publish(partition, ['later']);
    const open = async () =>
      ((await source.open()) as SourcePartition[]).map((one) => ({
        ...one,
        end: { ledgerId: 7, entryId: 12 },
      }));
    const result = await runDrain(broker, createMemoryStore(), { source: { ...source, open } });
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 9 } });
  });

  it('is the end of a topic that was terminated', async () => {
    const { broker, partition } = brokerWith(5);
    broker.isEndKnown = false;
    broker.hook = (call) => {
      if (call === 'next' && broker.waitsMs.length > 5) broker.interruptions.set(0, [{ kind: 'end' }]);
      if (broker.waitsMs.length > 10) publish(partition, ['never']);
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 5 } });
    expect(broker.waitsMs).toHaveLength(6);
  });

  it('is not an idle receive while the broker has more', async () => {
    const { broker } = brokerWith(10);
    answerAt(broker, 4, [idle, idle, idle]);
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.messages).toBe(10);
    expect(broker.backlog()).toBe(0);
  });

  it('is not looked for while the connection brings what others asked for, however long', async () => {
    const { broker } = brokerWith(10);
    const behind = Array.from({ length: 100 }, () => ({ kind: 'behind' }) as const);
    let questions = 0;
    broker.hook = (call) => {
      if (call === 'backlog') questions++;
      if (call === 'next' && broker.waitsMs.length === 3) broker.interruptions.set(0, [...behind]);
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result).toMatchObject({ stopReason: 'caught_up', tally: { messages: 10 } });
    expect(broker.waitsMs.length).toBeGreaterThan(100);
    expect(questions).toBe(1);
  });

  it('lets what is open be acknowledged meanwhile on a Shared subscription, for which the broker may wait', async () => {
    const { broker } = brokerWith(10);
    let isBehind = true;
    let acknowledged = 0;
    broker.hook = (call) => {
      if (call === 'acknowledge') {
        acknowledged++;
        isBehind = false;
      }
      if (call === 'next' && broker.waitsMs.length > 4 && isBehind)
        broker.interruptions.set(0, [{ kind: 'behind' }]);
      if (broker.waitsMs.length > 50) throw new Error('nothing was acknowledged');
    };
    const result = await runDrain(broker, createMemoryStore(), { subscriptionType: 'shared' });
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 10 } });
    expect(acknowledged).toBeGreaterThan(1);
  });

  it('is a backlog that is reported where the broker delivers nothing for 20 s and nobody knows why', async () => {
    const { broker, partition } = brokerWith(10);
    answerAt(
      broker,
      4,
      Array.from({ length: 50 }, () => idle),
    );
    const logger = keepingLogger();
    const result = await runDrain(broker, createMemoryStore(), { logger });
    expect(result).toMatchObject({ failure: undefined, backlog: { entries: 7 }, heldBack: 'unknown' });
    expect(result.tally.messages).toBe(3);
    const waitedMs = broker.waitsMs.slice(3).reduce((sum, ms) => sum + ms, 0);
    expect(waitedMs).toBeGreaterThanOrEqual(20_000);
    expect(waitedMs).toBeLessThan(30_000);
    expect(logger.lines).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        message: 'backlog held back',
        fields: expect.objectContaining({ topic: partition.topic, entries: 7, reason: 'unknown' }),
      }),
    );
  });

  it('is no failure where something comes after each few receives that bring nothing', async () => {
    const { broker } = brokerWith(10);
    let receives = 0;
    // The first receive without anything seals and acknowledges, the next three are looked into.
    broker.hook = (call) => {
      if (call === 'next' && receives++ % 4 === 1) broker.interruptions.set(0, [idle, idle, idle]);
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result.failure).toBeUndefined();
    expect(result.tally.messages).toBe(10);
  });

  it('is no such failure while a file is on its way', async () => {
    const { broker } = brokerWith(10);
    broker.unacknowledgedCap = 4;
    const store = createMemoryStore();
    // A broker that holds back answers idle at once here; the file takes many such receives.
    store.hook = async () => {
      for (let turn = 0; turn < 50; turn++) await nextTurn();
    };
    const result = await runDrain(broker, store, limits(4));
    expect(result.failure).toBeUndefined();
    expect(result.tally.messages).toBe(10);
  });

  it('is waited for no longer than until reading has to stop', async () => {
    const { broker } = brokerWith(10);
    let now = 0;
    const clock = { now: () => now, sleep: () => new Promise<void>(() => undefined) };
    broker.hook = () => {
      now += 950;
    };
    await runDrain(broker, createMemoryStore(), { clock, startedAtMs: 0, stopReadingAtMs: 8_000 });
    expect(broker.waitsMs).toEqual([500, 500, 500, 500, 500, 500, 500, 500, 400, 1]);
  });
});

describe('where the last message of the start is not known', () => {
  const startedAtMs = Date.UTC(2026, 10, 24);
  const clock = { now: () => startedAtMs + 5_000, sleep: () => new Promise<void>(() => undefined) };
  const options = { clock, startedAtMs, stopReadingAtMs: startedAtMs + 60_000 };

  it('a message that was published later ends the partition, and is left to the next run', async () => {
    const { broker, partition } = brokerWith(5);
    broker.isEndKnown = false;
    publish(partition, ['later'], { publishTimeMs: startedAtMs + 1 });
    publish(partition, ['later still'], { publishTimeMs: startedAtMs + 2 });
    const result = await runDrain(broker, createMemoryStore(), options);
    expect(result.tally.messages).toBe(5);
    expect(broker.backlog()).toBe(2);
  });

  it('a producer whose clock is ahead ends nothing', async () => {
    const { broker, partition } = brokerWith(5);
    broker.isEndKnown = false;
    publish(partition, ['from the future'], { publishTimeMs: startedAtMs + 3_600_000 });
    publish(partition, ['after it']);
    const result = await runDrain(broker, createMemoryStore(), options);
    expect(result.tally.messages).toBe(7);
  });
});

describe('the end of the time to read', () => {
  it('has come before the first receive: nothing is taken', async () => {
    const { broker } = brokerWith(5);
    const result = await runDrain(broker, createMemoryStore(), { stop: AbortSignal.abort() });
    expect(result).toMatchObject({ stopReason: 'deadline', tally: { messages: 0 }, failure: undefined });
    expect(broker.waitsMs).toEqual([]);
  });

  it.each(['an entry', 'an idle receive'])(
    'comes with %s: what is open is sealed for that reason',
    async (what) => {
      const { broker } = brokerWith(10);
      const stop = new AbortController();
      answerAt(broker, 6, what === 'an entry' ? [] : [idle]);
      const interrupt = broker.hook;
      broker.hook = async (call, partition) => {
        await interrupt?.(call, partition);
        if (call === 'next' && broker.waitsMs.length === 6) stop.abort();
      };
      const logger = keepingLogger();
      const result = await runDrain(broker, createMemoryStore(), { stop: stop.signal, logger });
      expect(result).toMatchObject({ stopReason: 'deadline', tally: { messages: 5 } });
      expect(rollReasons(logger)).toEqual(['deadline']);
      expect(broker.backlog()).toBe(5);
    },
  );

  it('comes while a broker that delivers nothing does not even report its backlog', async () => {
    const { broker } = brokerWith(10);
    const stop = new AbortController();
    answerAt(broker, 1, [idle]);
    const interrupt = broker.hook;
    broker.hook = async (call, partition) => {
      await interrupt?.(call, partition);
      if (call !== 'backlog' || stop.signal.aborted) return;
      setImmediate(() => stop.abort());
      await new Promise<never>(() => undefined);
    };
    const result = await runDrain(broker, createMemoryStore(), { stop: stop.signal });
    expect(result).toMatchObject({ stopReason: 'deadline', tally: { messages: 0 }, failure: undefined });
    expect(broker.backlog()).toBe(10);
  });

  it('comes when an object was found that holds less: the partition is not resumed any more', async () => {
    const { broker } = brokerWith(10);
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, limits(3));
    const stop = new AbortController();
    let restarts = 0;
    broker.hook = (call) => {
      if (call === 'restart') restarts++;
    };
    store.hook = (when, call) => {
      if (when === 'after' && call === 'head') stop.abort();
    };
    const result = await runDrain(broker, store, { ...limits(5), stop: stop.signal });
    expect(result).toMatchObject({ stopReason: 'deadline', failure: undefined });
    expect(restarts).toBe(0);
  });
});

describe('what comes again', () => {
  it('as a whole batch that is in the open file is dropped', async () => {
    const { broker, partition } = brokerWith(10, { batch: 3 });
    answerAt(broker, 6, partition.entries.slice(0, 5));
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result.tally.messages).toBe(30);
    expect(storedMessages(store).size).toBe(30);
    expect(broker.backlog()).toBe(0);
  });

  it('without order, while it is in the open file, is dropped', async () => {
    const { broker, partition } = brokerWith(10, { isInOrder: false });
    answerAt(broker, 6, partition.entries.slice(0, 5));
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.messages).toBe(10);
    expect(broker.backlog()).toBe(0);
  });

  it('and is durable is acknowledged, though nothing new comes', async () => {
    const { broker, partition } = brokerWith(6);
    let refusals = 1;
    broker.hook = (call) => {
      // What was asked for is lost with the connection, and the broker begins again at the first entry.
      if (call === 'acknowledge' && refusals-- > 0) broker.interruptions.set(0, [...partition.entries]);
    };
    const result = await runDrain(broker, createMemoryStore(), limits(3));
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 6, objects: 2 } });
    expect(broker.backlog()).toBe(0);
  });

  it('does not take back how far its file acknowledges', async () => {
    const { broker, partition } = brokerWith(20);
    const stop = new AbortController();
    // The first three are in a file, the next two in the open one, when the first three come again, and then the end.
    answerAt(broker, 6, partition.entries.slice(0, 3));
    const again = broker.hook;
    broker.hook = async (call, of) => {
      await again?.(call, of);
      if (call === 'next' && broker.waitsMs.length === 9) stop.abort();
    };
    const result = await runDrain(broker, createMemoryStore(), { ...limits(3), stop: stop.signal });
    expect(result.tally.messages).toBe(5);
    expect(broker.backlog()).toBe(15);
  });

  it('is acknowledged once, where entries are acknowledged one by one', async () => {
    const { broker, partition } = brokerWith(0, { isInOrder: false });
    for (let i = 0; i < 20; i++) publish(partition, i % 4 === 0 ? [] : ['some payload']);
    const result = await runDrain(broker, createMemoryStore(), limits(3));
    expect(result.failure).toBeUndefined();
    const ids = broker.acknowledgements.flat().map(({ entryId }) => entryId);
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

describe('entries without a record', () => {
  it('are acknowledged while a broker holds back more until then', async () => {
    const { broker, partition } = brokerWith(0);
    for (let i = 0; i < 35; i++) publish(partition, []);
    broker.unacknowledgedCap = 10;
    const result = await runDrain(broker, createMemoryStore());
    expect(result.failure).toBeUndefined();
    expect(broker.backlog()).toBe(0);
  });

  it('are acknowledged now and then, however many there are', async () => {
    const { broker, partition } = brokerWith(0);
    for (let i = 0; i < 2_500; i++) publish(partition, []);
    await runDrain(broker, createMemoryStore());
    expect(broker.acknowledgements.map((ids) => ids.length)).toEqual([1_000, 1_000, 500]);
  });

  it('are not acknowledged behind a file that could not be stored', async () => {
    const { broker, partition } = brokerWith(3);
    for (let i = 0; i < 3; i++) publish(partition, []);
    const store = createMemoryStore();
    store.hook = async (when, call) => {
      if (when !== 'before' || call !== 'create') return;
      await nextTurn();
      throw new BackupError('store', 'access denied');
    };
    const result = await runDrain(broker, store, limits(3));
    expect(result.failure).toMatchObject({ message: 'access denied' });
    expect(broker.backlog()).toBe(6);
  });
});

describe('an entry that cannot be decoded', () => {
  it('is acknowledged only when its bytes and its reason are stored', async () => {
    for (const refused of ['.bin', '.json']) {
      const { broker, partition } = brokerWith(2);
      publishUnreadable(partition);
      const store = createMemoryStore();
      store.hook = async (when, call, key) => {
        if (when !== 'before' || call !== 'create' || !key.endsWith(refused)) return;
        await nextTurn();
        throw new BackupError('store', 'access denied');
      };
      const result = await runDrain(broker, store);
      expect(result.failure).toMatchObject({ message: 'access denied' });
      expect(broker.backlog()).toBeGreaterThan(0);
      store.hook = undefined;
      await runDrain(broker, store);
      expect(broker.backlog()).toBe(0);
    }
  });

  it('is not acknowledged while other bytes are at its key: damaged, or of another cluster', async () => {
    const { broker, partition } = brokerWith(1);
    publishUnreadable(partition);
    const store = createMemoryStore();
    store.hook = (when, call, key) => {
      // The first run stores the bytes, and no more.
      if (when === 'before' && call === 'create' && key.endsWith('.json'))
        throw new BackupError('store', 'killed');
    };
    await runDrain(broker, store);
    store.hook = undefined;
    const key = [...store.objects.keys()].find((one) => one.endsWith('.bin')) as string;
    const kept = store.objects.get(key) as MemoryObject;
    for (const bytes of [kept.bytes.subarray(1), Buffer.alloc(0), Buffer.from(kept.bytes).fill(0)]) {
      store.objects.set(key, { ...kept, bytes, crc64: crc64([bytes]) });
      const result = await runDrain(broker, store);
      expect(result.failure).toMatchObject({ code: 'config', details: { key } });
      expect(broker.backlog()).toBe(1);
    }
    store.objects.set(key, kept);
    expect((await runDrain(broker, store)).failure).toBeUndefined();
    expect(broker.backlog()).toBe(0);
  });

  it('as the last one is acknowledged', async () => {
    const { broker, partition } = brokerWith(1);
    publishUnreadable(partition);
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.unreadable).toBe(1);
    expect(broker.backlog()).toBe(0);
  });

  it('and comes again is stored, reported and counted once', async () => {
    const { broker, partition } = brokerWith(1);
    publishUnreadable(partition);
    publish(partition, ['after it']);
    answerAt(broker, 3, partition.entries.slice(0, 2));
    const logger = keepingLogger();
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { logger });
    expect(result.tally).toMatchObject({ unreadable: 1, messages: 2 });
    expect(logger.lines.filter(({ message }) => message === 'entry unreadable')).toHaveLength(1);
    expect(store.calls.filter((call) => call.endsWith('.bin'))).toHaveLength(1);
    expect(broker.backlog()).toBe(0);
  });

  it('is logged with the hint, where one is known', async () => {
    const { broker, partition } = brokerWith(1);
    const entry = publishUnreadable(partition);
    partition.entries.splice(partition.entries.indexOf(entry), 1, { ...entry, hint: 'Give it more memory.' });
    const logger = keepingLogger();
    await runDrain(broker, createMemoryStore(), { logger });
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ fields: expect.objectContaining({ hint: 'Give it more memory.' }) }),
    );
  });

  it('and comes again after its acknowledgement, which the broker has forgotten, is acknowledged again', async () => {
    const { broker, partition } = brokerWith(1);
    publishUnreadable(partition);
    publish(partition, ['after it']);
    // So long a silence seals and acknowledges what is open.
    answerAt(broker, 3, [...Array<typeof idle>(6).fill(idle), ...partition.entries.slice(0, 2), idle]);
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally).toMatchObject({ unreadable: 1, messages: 2 });
    expect(broker.acknowledgements.map((ids) => ids.at(-1)?.entryId)).toEqual([1, 1, 2]);
  });
});

describe('a partition that moves away and comes back', () => {
  it('goes on behind what is durable, and takes none of its own objects for those of an earlier run', async () => {
    const { broker, partition } = brokerWith(20);
    // The broker does not have the acknowledgements of the first two files yet when it begins again.
    answerAt(broker, 12, [{ kind: 'lost' }, ...partition.entries.slice(0, 8)]);
    const lose = broker.hook;
    broker.hook = async (call, of) => {
      await lose?.(call, of);
      if (call === 'next' && broker.waitsMs.length === 12) broker.rewind(0);
    };
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { ...limits(4), subscriptionType: 'failover' });
    expect(result).toMatchObject({ failure: undefined, tally: { messages: 20, alreadyStored: 0 } });
    expect(result.tally.stored).toHaveLength(5);
    expect(storedMessages(store).size).toBe(20);
    expect(broker.backlog()).toBe(0);
  });

  it('behind an object that was found goes on behind that one', async () => {
    const { broker } = brokerWith(20);
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, limits(10));
    // The first file of four finds the object of ten; then, with nothing acknowledged yet, all moves away.
    let count = 0;
    let restarts = 0;
    broker.hook = (call) => {
      if (call === 'restart') restarts++;
      if (call !== 'next' || restarts === 0 || ++count !== 12) return;
      broker.interruptions.set(0, [{ kind: 'lost' }]);
      broker.rewind(0);
    };
    const result = await runDrain(broker, store, { ...limits(4), subscriptionType: 'failover' });
    expect(count).toBeGreaterThan(12);
    expect(result).toMatchObject({ failure: undefined, tally: { alreadyStored: 1, messages: 10 } });
    expect(restarts).toBe(1);
    expect(storedMessages(store).size).toBe(20);
    expect(broker.backlog()).toBe(0);
  });

  it('in the moment in which an object was found goes on behind that one too', async () => {
    const { broker } = brokerWith(20);
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, limits(10));
    let restarts = 0;
    let hasMoved = false;
    broker.hook = async (call) => {
      if (call === 'restart') restarts++;
      if (call !== 'next' || hasMoved || !store.calls.some((one) => one.startsWith('head'))) return;
      // This receive began before the object had been looked at.
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      hasMoved = true;
      broker.interruptions.set(0, [{ kind: 'lost' }]);
      broker.rewind(0);
    };
    const result = await runDrain(broker, store, { ...limits(4), subscriptionType: 'failover' });
    expect(result).toMatchObject({ failure: undefined, tally: { alreadyStored: 1, messages: 10 } });
    expect(restarts).toBe(0);
    expect(storedMessages(store).size).toBe(20);
    expect(broker.backlog()).toBe(0);
  });

  it('acknowledges nothing of what it had only read', async () => {
    const { broker, partition } = brokerWith(2);
    for (let i = 0; i < 3; i++) publish(partition, []);
    publish(partition, ['the last one']);
    const store = createMemoryStore();
    // The first two fill a file, the markers behind it wait to be acknowledged, when all moves away.
    answerAt(broker, 6, [{ kind: 'lost' }, { kind: 'end' }]);
    store.hook = async (when, call) => {
      if (when === 'before' && call === 'create') throw new BackupError('store', 'the time is over');
    };
    await runDrain(broker, store, { ...limits(2), subscriptionType: 'failover' });
    expect(broker.backlog()).toBe(6);
  });

  it('forgets what was to be acknowledged behind the files that it drops', async () => {
    const { broker, partition } = brokerWith(4);
    publish(partition, []);
    publish(partition, ['the last one']);
    const store = createMemoryStore();
    let isBack = false;
    // Two files are in line and a marker waits behind them, when all moves away, and comes back.
    answerAt(broker, 6, [{ kind: 'lost' }]);
    const lose = broker.hook;
    broker.hook = async (call, of) => {
      await lose?.(call, of);
      if (call !== 'next' || isBack || broker.waitsMs.length !== 7) return;
      isBack = true;
      broker.rewind(0);
    };
    store.hook = async (when, call) => {
      if (when !== 'before' || call !== 'create') return;
      while (broker.waitsMs.length < 6) await nextTurn();
      throw new BackupError('store', 'access denied');
    };
    const failed = await runDrain(broker, store, { ...limits(2), subscriptionType: 'failover' });
    expect(failed.failure).toBeDefined();
    broker.hook = undefined;
    store.hook = undefined;
    await runDrain(broker, store, { ...limits(2), subscriptionType: 'failover' });
    expect(storedMessages(store).size).toBe(5);
    expect(broker.backlog()).toBe(0);
  });

  it('drops what is open when another consumer turns out to be the active one', async () => {
    const { broker } = brokerWith(10);
    answerAt(broker, 5, [{ kind: 'standby' }]);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { subscriptionType: 'failover' });
    expect(result).toMatchObject({ stopReason: 'busy', failure: undefined });
    expect(store.calls).toEqual([]);
    expect(broker.backlog()).toBe(10);
  });
});

describe('a failure', () => {
  it('of the source stores what is open, and leaves no upload behind', async () => {
    const { broker } = brokerWith(20, { bytes: MIB });
    let count = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++count === 12) throw connectionLost();
    };
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result.failure).toMatchObject({ message: 'connection lost' });
    expect(store.calls.some((call) => call.startsWith('part'))).toBe(true);
    expect(store.uploads.size).toBe(0);
    expect(storedMessages(store).size).toBe(11);
    expect(broker.backlog()).toBe(9);
  });

  it('of the source waits for the file that is being created and stores what is open, and acknowledges both', async () => {
    const { broker } = brokerWith(20);
    let count = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++count === 7) throw connectionLost();
    };
    const store = createMemoryStore();
    store.hook = async (when, call) => {
      if (when === 'after' && call === 'create') for (let turn = 0; turn < 20; turn++) await nextTurn();
    };
    const result = await runDrain(broker, store, limits(5));
    expect(result).toMatchObject({ tally: { messages: 6 }, failure: { message: 'connection lost' } });
    expect(broker.backlog()).toBe(14);
  });

  it('of an acknowledgement stops reading', async () => {
    const { broker } = brokerWith(1_000);
    let receives = 0;
    broker.hook = (call) => {
      if (call === 'next') receives = broker.waitsMs.length;
      else throw new BackupError('source', 'the role may not consume any more');
    };
    const result = await runDrain(broker, createMemoryStore(), limits(5));
    expect(result.failure).toMatchObject({ message: 'the role may not consume any more' });
    expect(receives).toBeLessThan(50);
  });

  it('of resuming the partition is tried again', async () => {
    const { broker } = brokerWith(10);
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store, limits(3));
    let failures = 2;
    broker.hook = (call) => {
      if (call === 'restart' && failures-- > 0) throw connectionLost();
    };
    // Pauses take no time; the end of the run does not come.
    const sleep = (ms: number) =>
      ms > 10_000 ? new Promise<void>(() => undefined) : Promise.resolve(undefined);
    const result = await runDrain(broker, store, { ...limits(5), clock: { now: Date.now, sleep } });
    expect(result.failure).toBeUndefined();
    expect([...storedMessages(store).keys()].sort()).toEqual([...publishedMessages(broker).keys()].sort());
    expect(broker.backlog()).toBe(0);
  });
});

describe('a file', () => {
  it('that has reached a limit is stored for that reason, before anything else comes', async () => {
    const { broker } = brokerWith(6);
    const logger = keepingLogger();
    await runDrain(broker, createMemoryStore(), { ...limits(3), logger });
    expect(rollReasons(logger)).toEqual(['messages', 'messages']);
  });

  it('whose key is taken already is read no further than its first parts', async () => {
    const { broker } = brokerWith(40, { bytes: MIB });
    const store = createMemoryStore();
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await runDrain(broker, store);
    broker.hook = undefined;
    broker.waitsMs.length = 0;
    let readBefore = 0;
    store.hook = (when, call) => {
      if (when === 'before' && call === 'head') readBefore ||= broker.waitsMs.length;
    };
    const result = await runDrain(broker, store);
    expect(result.failure).toBeUndefined();
    expect(readBefore).toBeLessThan(20);
    expect(broker.backlog()).toBe(0);
  });
});
