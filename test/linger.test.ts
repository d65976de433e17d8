// A rest that is young waits in the subscription: which rest is, what becomes of everything else, and that nothing is lost,
// stored twice or stored late by it. Over fakes, with a clock that a test sets.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DrainOptions } from '../src/drain.ts';
import { BackupError } from '../src/errors.ts';
import type { Clock, Delivery, Message, SourcePartition, TimeMs, UnreadableEntry } from '../src/ports.ts';
import {
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
} from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { expectAllStoredOnce, publishedMessages, runDrain, storedMessages } from './stage/memory-stage.ts';

const MINUTE_MS = 60_000;
const BEGIN_MS = Date.UTC(2026, 10, 28, 12);
const LINGER_MS = 60 * MINUTE_MS;

/** A clock that a test puts forward; what waits for a long time waits for ever. */
function handClock(): Clock & { nowMs: number } {
  return {
    nowMs: BEGIN_MS,
    now() {
      return this.nowMs;
    },
    sleep: (ms) => (ms > 10_000 ? new Promise<void>(() => undefined) : Promise.resolve()),
  };
}

/** One topic, its archive and its time. */
function setUp(partitions = 1) {
  const broker = createFakeBroker(partitions);
  const store = createMemoryStore();
  const clock = handClock();
  const [first] = broker.partitions as [FakeBroker['partitions'][number]];
  const run = (options: Partial<DrainOptions> = {}) =>
    runDrain(broker, store, {
      clock,
      lingerMs: LINGER_MS,
      startedAtMs: clock.nowMs,
      stopReadingAtMs: clock.nowMs + MINUTE_MS,
      ...options,
    });
  /** Publishes a message to the first partition that is so many minutes old; ahead of the clock where that is below 0. */
  const add = (minutesOld = 0, batch = 1) =>
    publish(
      first,
      Array.from({ length: batch }, () => 'a payload'),
      { publishTimeMs: clock.nowMs - minutesOld * MINUTE_MS },
    );
  return { broker, store, clock, first, run, add };
}

const objectsOf = (store: MemoryStore) =>
  [...store.objects.values()].filter(({ key }) => key.includes('.jsonl'));
const full = { maxMessages: 5, maxBytes: 1e9 };

describe('the rest of a partition', () => {
  it('waits in the subscription while its oldest message is young, and comes again', async () => {
    const { broker, store, clock, run, add } = setUp();
    for (let tick = 0; tick < 12; tick++) {
      add();
      const result = await run();
      expect(result).toMatchObject({
        stopReason: 'caught_up',
        failure: undefined,
        backlog: { entries: 0 },
        lingering: { messages: tick + 1, oldestPublishTime: '2026-11-28T12:00:00.000Z' },
      });
      expect(result.tally).toMatchObject({ messages: 0, objects: 0 });
      clock.nowMs += 5 * MINUTE_MS;
    }
    expect(broker.acknowledgements).toEqual([]);
    const result = await run();
    expect(result).toMatchObject({ lingering: undefined, tally: { messages: 12, objects: 1 } });
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('is stored at once without a linger, also what earlier runs left', async () => {
    const { broker, store, run, add } = setUp();
    add();
    await run();
    expect(store.objects.size).toBe(0);
    expect(await run({ lingerMs: 0 })).toMatchObject({ lingering: undefined, tally: { messages: 1 } });
    expectAllStoredOnce(broker, store);
  });

  it('is as old as the oldest of its messages, wherever that is', async () => {
    for (const place of [0, 1, 2]) {
      const { store, run, add } = setUp();
      for (let i = 0; i < 3; i++) add(i === place ? 60 : 1);
      await run();
      expect(objectsOf(store)).toHaveLength(1);
    }
    const { store, run, add } = setUp();
    for (let i = 0; i < 3; i++) add(59);
    await run();
    expect(objectsOf(store)).toHaveLength(0);
  });

  it('is old where a clock was astray: in the future, before 1970, or beyond all numbers', async () => {
    for (const publishTimeMs of [BEGIN_MS + 1, 0, -1, 2n ** 63n - 1n, -(2n ** 63n)] as TimeMs[]) {
      for (const isFirst of [true, false]) {
        const { broker, store, first, run, add } = setUp();
        if (!isFirst) add();
        publish(first, ['astray'], { publishTimeMs });
        if (isFirst) add();
        await run();
        expectAllStoredOnce(broker, store);
        expect(broker.backlog()).toBe(0);
      }
    }
  });

  it('begins behind the full files, which are stored and acknowledged', async () => {
    const { broker, store, run, add } = setUp();
    for (let i = 0; i < 13; i++) add();
    const result = await run({ limits: full });
    expect(result).toMatchObject({ lingering: { messages: 3 }, backlog: { entries: 0 } });
    expect(objectsOf(store)).toHaveLength(2);
    expect(broker.backlog()).toBe(3);
    add();
    add();
    expect(await run({ limits: full })).toMatchObject({ lingering: undefined, tally: { messages: 5 } });
    expectAllStoredOnce(broker, store);
  });

  it('is stored where some of it has left as parts of an upload', async () => {
    const { broker, store, clock, first, run } = setUp();
    for (let i = 0; i < 9; i++)
      publish(first, [Buffer.alloc(1_048_576, 'x')], { publishTimeMs: clock.nowMs });
    await run();
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('frees its memory for other partitions, and leaves no upload', async () => {
    const { broker, store, clock, run } = setUp(8);
    for (const partition of broker.partitions)
      for (let i = 0; i < 3; i++)
        publish(partition, [Buffer.alloc(300_000, 'x')], { publishTimeMs: clock.nowMs });
    const result = await run({ bufferBytes: 2 * 1_048_576 });
    expect(result).toMatchObject({ stopReason: 'caught_up', lingering: { messages: 24 } });
    expect(result.peakBufferBytes).toBeLessThan(2 * 1_048_576);
    expect(store.uploads.size).toBe(0);
  });

  it('waits, or is stored, at the deadline as at any other end', async () => {
    for (const isOld of [false, true]) {
      const { broker, store, run, add } = setUp();
      for (let i = 0; i < 8; i++) add(isOld ? 60 : 1);
      const stop = new AbortController();
      let receives = 0;
      broker.hook = (call) => {
        if (call === 'next' && ++receives > 7) stop.abort();
      };
      const result = await run({ limits: full, stop: stop.signal });
      expect(result).toMatchObject({ stopReason: 'deadline', failure: undefined });
      expect(result.lingering?.messages).toBe(isOld ? undefined : 2);
      expect(result.backlog).toMatchObject({ entries: 1 });
      expect(storedMessages(store).size).toBe(isOld ? 7 : 5);
      broker.hook = undefined;
      await run({ lingerMs: 0 });
      expectAllStoredOnce(broker, store);
    }
  });

  it('waits where the end is a silence: of a driver that knows no end, and behind an open transaction', async () => {
    const { broker, run, add } = setUp();
    for (let i = 0; i < 3; i++) add();
    broker.isEndKnown = false;
    expect(await run()).toMatchObject({ stopReason: 'caught_up', lingering: { messages: 3 } });
    const source = createFakeSource(broker);
    const open = async () =>
      ((await source.open()) as SourcePartition[]).map((one) => ({
        ...one,
        canExplainSilence: true,
        backlog: async () => ({ entries: 4 }),
        heldBack: async () => ['open transaction'] as const,
      }));
    const { lingering, heldBack, backlog } = await run({ source: { ...source, open } });
    expect({ lingering, heldBack, backlog }).toMatchObject({
      ...{ lingering: { messages: 3 }, heldBack: 'open transaction', backlog: { entries: 1 } },
    });
    expect(broker.acknowledgements).toEqual([]);
  });

  it('counts as the broker does: a message in chunks is as many entries, and no backlog of the others', async () => {
    const { broker, clock, first, run, add } = setUp();
    add();
    for (let chunk = 0; chunk < 3; chunk++) add();
    const source = createFakeSource(broker);
    const open = async () =>
      ((await source.open()) as SourcePartition[]).map((one) => ({
        ...one,
        // The second entry to the last are one message.
        async next(idleMs: number): Promise<Delivery> {
          const delivery = await one.next(idleMs);
          const isChunk = delivery.kind === 'entry' && [1, 2].includes(delivery.id.entryId);
          return isChunk ? { kind: 'pending', id: delivery.id } : delivery;
        },
      }));
    const result = await run({ source: { ...source, open } });
    expect(result).toMatchObject({ lingering: { messages: 2 }, backlog: { entries: 0 } });
    expect(broker.backlog()).toBe(4);
    clock.nowMs += LINGER_MS;
    publish(first, ['one more'], { publishTimeMs: clock.nowMs });
    await run();
    expect(broker.backlog()).toBe(0);
  });

  it('is left where the run fails, and neither lost nor stored twice', async () => {
    const { broker, store, run, add } = setUp();
    for (let i = 0; i < 8; i++) add();
    let receives = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++receives > 7) throw new BackupError('source', 'refused');
    };
    const failed = await run({ limits: full });
    expect(failed.failure).toMatchObject({ message: 'refused' });
    broker.hook = undefined;
    await run({ lingerMs: 0 });
    expectAllStoredOnce(broker, store);
  });
});

describe('what is stored of a rest already', () => {
  it('has the rest stored with it: an entry that is split over files', async () => {
    const { broker, store, run, add } = setUp();
    add(0, 13);
    add();
    const result = await run({ limits: full });
    expect(result).toMatchObject({ lingering: undefined, tally: { alreadyStored: 0 } });
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('has the rest stored with it: an entry that cannot be decoded', async () => {
    const { broker, store, first, run, add } = setUp();
    add();
    publishUnreadable(first);
    add();
    const result = await run();
    expect(result).toMatchObject({ lingering: undefined, tally: { messages: 2, unreadable: 1 } });
    expect(broker.backlog()).toBe(0);
    expectAllStoredOnce(broker, store);
  });

  it('is acknowledged where it comes before the rest, and reported once', async () => {
    const { broker, first, run, add } = setUp();
    publishUnreadable(first);
    first.entries.push({ kind: 'entry', id: { ...first.nextId }, messages: [] });
    first.nextId = { ...first.nextId, entryId: first.nextId.entryId + 1 };
    add();
    add();
    expect(await run()).toMatchObject({ lingering: { messages: 2 }, tally: { unreadable: 1 } });
    expect(broker.backlog()).toBe(2);
    expect(await run()).toMatchObject({ lingering: { messages: 2 }, tally: { unreadable: 0 } });
  });

  it('is acknowledged where a killed run left it: what is behind waits', async () => {
    const { broker, store, run, add } = setUp();
    for (let i = 0; i < 4; i++) add(60);
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await run();
    broker.hook = undefined;
    expect(storedMessages(store).size).toBe(4);
    for (let i = 0; i < 3; i++) add();
    expect(await run()).toMatchObject({
      lingering: { messages: 3 },
      tally: { alreadyStored: 1, objects: 0 },
    });
    expect(broker.backlog()).toBe(3);
    expect(await run()).toMatchObject({ lingering: { messages: 3 }, tally: { alreadyStored: 0 } });
    await run({ lingerMs: 0 });
    expectAllStoredOnce(broker, store);
  });

  it('has the rest stored with it where an object goes on behind: what a transaction gave back', async () => {
    const { broker, store, first, run, add } = setUp();
    for (let i = 0; i < 6; i++) add(i === 0 ? 60 : 1);
    first.held.add('7:1');
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'killed');
    };
    await run();
    broker.hook = undefined;
    first.held.clear();
    expect(storedMessages(store).size).toBe(5);
    expect(await run()).toMatchObject({ lingering: undefined });
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });

  it('has the rest stored with it: chunks of a producer that is gone, which are acknowledged with all before them', async () => {
    const { broker, store, first, run, add } = setUp();
    add();
    const chunk = publishUnreadable(first);
    first.entries.pop();
    add();
    const given: UnreadableEntry[] = [chunk];
    const source = createFakeSource(broker);
    const open = async () =>
      ((await source.open()) as SourcePartition[]).map((one) => ({
        ...one,
        giveUpChunks: async () => given.splice(0),
      }));
    const result = await run({ source: { ...source, open } });
    expect(result).toMatchObject({ lingering: undefined, tally: { messages: 2, unreadable: 1 } });
    expectAllStoredOnce(broker, store);
  });
});

describe('on Failover, what another instance has', () => {
  /** Of two partitions, the second is another instance's, which never drains it. */
  async function runBeside(lingerMs: number) {
    const { broker, clock, add, run } = setUp(2);
    for (let i = 0; i < 3; i++) add();
    publish(broker.partitions[1] as FakeBroker['partitions'][number], ['elsewhere']);
    broker.interruptions.set(1, [{ kind: 'standby' }]);
    const source = createFakeSource(broker);
    const waitsMs: number[] = [];
    const result = await run({
      lingerMs,
      subscriptionType: 'failover',
      clock: {
        now: () => clock.nowMs,
        async sleep(ms) {
          if (ms > 10_000) return new Promise<void>(() => undefined);
          waitsMs.push(ms);
          clock.nowMs += ms;
        },
      },
      source: {
        ...source,
        open: async () =>
          ((await source.open()) as SourcePartition[]).map((one) => ({
            ...one,
            isDrained: async () => false,
            untilActive: (signal: AbortSignal) =>
              new Promise<boolean>((resolve) => signal.addEventListener('abort', () => resolve(false))),
          })),
      },
    });
    return { result, waitedMs: waitsMs.reduce((sum, ms) => sum + ms, 0) };
  }

  it('is no backlog of this one, and nothing to stay for: from here, what lingers looks like what is not drained', async () => {
    const { result, waitedMs } = await runBeside(LINGER_MS);
    expect(result).toMatchObject({ backlog: { entries: 0 }, lingering: { messages: 3 } });
    expect(waitedMs).toBe(0);
  });

  it('is both without a linger', async () => {
    const { result, waitedMs } = await runBeside(0);
    expect(result).toMatchObject({ backlog: { entries: 1 }, lingering: undefined });
    expect(waitedMs).toBe(3_000);
  });
});

describe('a rule of 64 partitions with a run every five minutes', () => {
  it('leaves 64 objects an hour instead of 768', async () => {
    const objects: number[] = [];
    for (const lingerMs of [0, LINGER_MS - 5 * MINUTE_MS]) {
      const { broker, store, clock, run } = setUp(64);
      for (let tick = 0; tick < 12; tick++) {
        for (const partition of broker.partitions)
          publish(partition, [`tick ${tick}`], { publishTimeMs: clock.nowMs });
        await run({ lingerMs });
        clock.nowMs += 5 * MINUTE_MS;
      }
      expectAllStoredOnce(broker, store);
      objects.push(objectsOf(store).length);
    }
    expect(objects).toEqual([768, 64]);
  });
});

describe('whatever happens', () => {
  const tick = fc.record({
    /** To each partition: batches, as how long before the tick they were published, in minutes. */
    published: fc.array(
      fc.record({
        messages: fc.integer({ min: 1, max: 12 }),
        isHeld: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
        minutesOld: fc.oneof(
          { weight: 8, arbitrary: fc.integer({ min: 0, max: 9 }) },
          fc.integer({ min: -5, max: 200 }),
        ),
      }),
      { maxLength: 6 },
    ),
    lingerMinutes: fc.constantFrom(0, 7, 30, 30, 30, 60),
    maxMessages: fc.integer({ min: 1, max: 30 }),
    /** The process dies at the n-th step; 0: it does not. */
    crashAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })),
    /** Reading has to stop at the n-th receive; 0: it need not. */
    stopAt: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 20 })),
    isUnreadable: fc.boolean(),
    /** How the transactions end after the run in which another consumer acknowledged what is held back. */
    ending: fc.constantFrom('abort', 'commit', 'none'),
  });

  it('nothing is lost, nothing stored twice, and nothing later than linger and interval', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tick, { minLength: 2, maxLength: 10 }), async (ticks) => {
        const { broker, store, clock, run } = setUp(2);
        broker.hasTransactions = true;
        /** Of partition and entry: acknowledged by another consumer. */
        const taken = new Set<string>();
        const placeOf = ({ id }: Message) => `${id.partition} 7:${id.entryId}`;
        const isHeld = ({ id }: Message) => broker.partitions[id.partition]?.held.has(`7:${id.entryId}`);
        const seen = new Map<string, string>();
        let hasCrashed = false;
        const runAt = async (one: Omit<(typeof ticks)[number], 'published' | 'isUnreadable' | 'ending'>) => {
          const { lingerMinutes, maxMessages, crashAt, stopAt } = one;
          const stop = new AbortController();
          let [steps, receives] = [0, 0];
          const isDead = () => crashAt > 0 && steps >= crashAt;
          broker.hook = (call) => {
            if (call === 'next' && ++receives === stopAt) stop.abort();
            steps++;
            if (isDead()) throw new BackupError('source', 'killed');
          };
          store.hook = (when) => {
            if (when === 'before') steps++;
            if (isDead()) throw new BackupError('store', 'killed');
          };
          const result = await run({
            lingerMs: lingerMinutes * MINUTE_MS,
            limits: { maxMessages, maxBytes: 1e9 },
            stop: stop.signal,
          });
          hasCrashed ||= isDead();
          const isUndisturbed = !isDead() && !stop.signal.aborted;
          const stored = storedMessages(store);
          const missing = [...publishedMessages(broker)].filter(([id]) => !stored.has(id));
          const lost = missing.filter(([, message]) => {
            const { acknowledged } = broker.partitions[message.id.partition] as FakePartition;
            return acknowledged.has(`7:${message.id.entryId}`) && !taken.has(placeOf(message));
          });
          expect(lost, 'acknowledged and not stored').toEqual([]);
          const replaced = objectsOf(store).filter(({ key, crc64 }) => (seen.get(key) ?? crc64) !== crc64);
          expect(replaced, 'no object is ever replaced').toEqual([]);
          for (const { key, crc64 } of objectsOf(store)) seen.set(key, crc64);
          if (!isUndisturbed) return;
          expect(result.failure).toBeUndefined();
          const waiting = missing.filter(([, one]) => !taken.has(placeOf(one)) && !isHeld(one));
          const late = waiting.filter(
            ([, { publishTimeMs }]) =>
              publishTimeMs <= clock.nowMs - lingerMinutes * MINUTE_MS || publishTimeMs > clock.nowMs,
          );
          expect(late).toEqual([]);
          // What a killed run stored and could not acknowledge is found once the rest that it is in is stored.
          const left = result.lingering?.messages ?? 0;
          if (hasCrashed) expect(left).toBeGreaterThanOrEqual(waiting.length);
          else expect(left).toBe(waiting.length);
          expect(result.backlog).toMatchObject({ entries: 0 });
        };
        for (const one of ticks) {
          for (const partition of broker.partitions) {
            for (const { messages, minutesOld, isHeld } of one.published) {
              const payloads = Array.from({ length: messages }, () => 'a payload');
              const publishTimeMs = clock.nowMs - minutesOld * MINUTE_MS;
              const { id } = publish(partition, payloads, { publishTimeMs });
              if (isHeld) partition.held.add(`7:${id.entryId}`);
            }
            if (one.isUnreadable) publishUnreadable(partition);
          }
          await runAt(one);
          for (const { partition, held, acknowledged } of broker.partitions) {
            if (one.ending === 'commit') {
              for (const id of held) {
                taken.add(`${partition} ${id}`);
                acknowledged.add(id);
              }
            }
            if (one.ending !== 'none') held.clear();
          }
          clock.nowMs += 5 * MINUTE_MS;
        }
        for (const { held } of broker.partitions) held.clear();
        await runAt({ lingerMinutes: 0, maxMessages: 15, crashAt: 0, stopAt: 0 });
        const wanted = [...publishedMessages(broker)].filter(([, one]) => !taken.has(placeOf(one)));
        expect([...storedMessages(store).keys()].sort()).toEqual(wanted.map(([id]) => id).sort());
        expect(broker.backlog()).toBe(0);
      }),
      { numRuns: 150 },
    );
  }, 180_000);
});
