import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { parseObjectKey } from '../src/format/object-key.ts';
import { decodeRecord, formatTime } from '../src/format/record.ts';
import { MemoryBudget } from '../src/memory-budget.ts';
import type { Delivery, Message, ReadableEntry } from '../src/ports.ts';
import {
  connectionLost,
  createFakeBroker,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
} from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { expectAllStoredOnce, fill, runDrain, storedMessages } from './stage/memory-stage.ts';

const recordsOf = (store: MemoryStore) =>
  [...store.objects.values()].filter(({ key }) => key.includes('.jsonl'));
const linesOf = (bytes: Buffer) => bytes.toString().split('\n').slice(0, -1);

describe('a run', () => {
  it('puts every message into exactly one object, in order, and acknowledges all', async () => {
    const broker = createFakeBroker(4);
    fill(broker, 50, 7);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { limits: { maxMessages: 40, maxBytes: 1e9 } });
    expect(result).toMatchObject({ stopReason: 'caught_up', partitions: 4, failure: undefined });
    expect(result.tally).toMatchObject({ messages: 1400, objects: 40, alreadyStored: 0 });
    expectAllStoredOnce(broker, store);
    for (const { key, bytes } of recordsOf(store)) {
      const ids = linesOf(bytes).map((line) => decodeRecord(line).id);
      expect(parseObjectKey('p/', key)).toMatchObject({
        ledgerId: ids[0]?.ledgerId,
        entryId: ids[0]?.entryId,
      });
      expect(ids.length % 7, 'files end on entry borders').toBe(0);
      expect(ids.length).toBeLessThanOrEqual(40);
    }
    expect(broker.backlog()).toBe(0);
  });

  it('makes of entries that have arrived together the same objects as of entries that come one by one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 120 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 400, max: 8_000 }),
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1 }),
        fc.constantFrom('none' as const, 'gzip' as const),
        async (sizes, maxMessages, maxBytes, arrivals, compression) => {
          const broker = createFakeBroker(1);
          const [partition] = broker.partitions as [FakePartition];
          for (const [at, size] of sizes.entries()) {
            if (size === 0) publishUnreadable(partition);
            else publish(partition, new Array(size % 7 === 0 ? size : 1).fill(`${at}`.padEnd(size, 'é"')));
          }
          const store = async (together: readonly number[]) => {
            const made = createMemoryStore();
            let turn = 0;
            broker.arrivals = () => together[turn++ % together.length] as number;
            for (const one of broker.partitions) one.acknowledged.clear();
            const result = await runDrain(broker, made, { limits: { maxMessages, maxBytes }, compression });
            expect(result.failure).toBeUndefined();
            expect(broker.backlog()).toBe(0);
            expectAllStoredOnce(broker, made);
            return recordsOf(made).map(({ key, crc64 }) => ({ key, crc64 }));
          };
          expect(await store(arrivals)).toEqual(await store([0]));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('stores nothing and calls no store when there is nothing to drain', async () => {
    const store = createMemoryStore();
    const result = await runDrain(createFakeBroker(3), store);
    expect(result).toMatchObject({ stopReason: 'caught_up', partitions: 3, tally: { objects: 0 } });
    expect(store.calls).toEqual([]);
  });

  it('stops at the last message of its start, though the producer goes on', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const [partition] = broker.partitions;
    broker.hook = (call) => {
      if (call === 'next' && partition !== undefined && partition.entries.length < 1000)
        publish(partition, ['later']);
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.messages).toBe(10);
    expect(result.backlog?.entries).toBeGreaterThan(0);
  });

  it('acknowledges only after the object is durable: stored, visible, acknowledged', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 20);
    const store = createMemoryStore();
    const steps: string[] = [];
    store.hook = async (when, call) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (when === 'after' && call === 'create') steps.push(`stored ${storedMessages(store).size}`);
    };
    broker.hook = (call) => {
      if (call === 'acknowledge') steps.push('acknowledged');
    };
    await runDrain(broker, store, { limits: { maxMessages: 10, maxBytes: 1e9 } });
    expect(steps.indexOf('stored 10')).toBeLessThan(steps.indexOf('acknowledged'));
    expect(steps.filter((step) => step === 'acknowledged')).toHaveLength(2);
  });

  it('creates the files of a partition one after the other, so that a crash leaves no hole', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 40);
    const store = createMemoryStore();
    let open = 0;
    store.hook = async (when, call) => {
      if (call !== 'create') return;
      open += when === 'before' ? 1 : -1;
      expect(open).toBeLessThanOrEqual(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
    };
    const result = await runDrain(broker, store, { limits: { maxMessages: 5, maxBytes: 1e9 } });
    expect(result.tally.objects).toBe(8);
  });

  it('splits an entry that is larger than a file, and acknowledges it after the last piece', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 2, 25);
    const store = createMemoryStore();
    let acknowledgedAt = 0;
    broker.hook = (call) => {
      if (call === 'acknowledge') acknowledgedAt ||= recordsOf(store).length;
    };
    const result = await runDrain(broker, store, { limits: { maxMessages: 10, maxBytes: 1e9 } });
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(recordsOf(store).map(({ bytes }) => linesOf(bytes).length)).toEqual([10, 10, 5, 10, 10, 5]);
    expect(acknowledgedAt).toBeGreaterThanOrEqual(3);
    expect(broker.backlog()).toBe(0);
  });

  it('rolls before the byte limit, and lets a single larger message have a file of its own', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 6, 1, 300);
    publish(broker.partitions[0] as (typeof broker.partitions)[0], ['x'.repeat(3_000)]);
    fill(broker, 1);
    const store = createMemoryStore();
    await runDrain(broker, store, { limits: { maxMessages: 5000, maxBytes: 1_500 } });
    expectAllStoredOnce(broker, store);
    for (const { bytes } of recordsOf(store))
      expect(bytes.length <= 1_500 || linesOf(bytes).length === 1).toBe(true);
  });

  it('sends large files in parts while they are open, and holds no more than its budget and what it was just given', async () => {
    const broker = createFakeBroker(2);
    fill(broker, 24, 1, 1_000_000);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { bufferBytes: 12 * 1_048_576 });
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(store.calls.filter((call) => call.startsWith('complete'))).toHaveLength(2);
    expect(store.calls.filter((call) => call.startsWith('part')).length).toBeGreaterThan(4);
    expect(result.peakBufferBytes).toBeLessThan(15 * 1_048_576);
    expect(store.uploads.size).toBe(0);
  });

  it('keeps the room that a partition has waited for, until the next entry of it is in a file', async () => {
    const reserve = vi.spyOn(MemoryBudget.prototype, 'reserve');
    const broker = createFakeBroker(4);
    broker.arrivals = () => 3;
    fill(broker, 12, 1, 1_500_000);
    const store = createMemoryStore();
    store.hook = () => new Promise((resolve) => setImmediate(resolve));
    const result = await runDrain(broker, store, { bufferBytes: 6 * 1_048_576 });
    const made = reserve.mock.results.map(({ value }) => value as unknown);
    reserve.mockRestore();
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(made.filter((one) => one instanceof Promise).length).toBeGreaterThan(4);
    // One for each entry, and one for none at each end.
    expect(made.length).toBeLessThanOrEqual(4 * 12 + 4);
  });

  it('takes large entries of many partitions only as far as there is room, and one more where there is none', async () => {
    const broker = createFakeBroker(8);
    fill(broker, 2, 1, 2_500_000);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { bufferBytes: 10 * 1_048_576 });
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    expect(result.peakBufferBytes).toBeLessThan(10 * 1_048_576 + 2_600_000);
  });

  it('acknowledges entries that hold nothing for a consumer without storing anything', async () => {
    const broker = createFakeBroker(1);
    const [partition] = broker.partitions;
    for (let i = 0; i < 5; i++) if (partition) publish(partition, []);
    const result = await runDrain(broker, createMemoryStore());
    expect(result.tally.objects).toBe(0);
    expect(broker.backlog()).toBe(0);
  });

  it('seals and acknowledges on an idle receive with messages open, and then receives again', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    broker.unacknowledgedCap = 10;
    fill(broker, 35);
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result.tally).toMatchObject({ messages: 35, objects: 4 });
    expect(broker.backlog()).toBe(0);
  });

  it('drops what is delivered again while it is open', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const [partition] = broker.partitions;
    const again = partition?.entries.slice(0, 4) ?? [];
    let count = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++count === 6) broker.interruptions.set(0, [...again]);
    };
    const store = createMemoryStore();
    await runDrain(broker, store);
    expectAllStoredOnce(broker, store);
  });

  it.each([1, 500])(
    'holds few files where each is of one message and the store is slow (batches of %i)',
    async (batch) => {
      const broker = createFakeBroker(1);
      fill(broker, 500 / batch, batch, 1_000);
      const store = createMemoryStore();
      // In the time of one call, all could be read.
      store.hook = async (when) => {
        for (let turn = 0; when === 'before' && turn < 20; turn++)
          await new Promise((resolve) => setImmediate(resolve));
      };
      const result = await runDrain(broker, store, { limits: { maxMessages: 1, maxBytes: 1e9 } });
      expect(result).toMatchObject({ failure: undefined, tally: { objects: 500 } });
      expect(result.peakBufferBytes).toBeLessThan(150_000);
      expectAllStoredOnce(broker, store);
    },
  );

  it('compresses as a stream and acknowledges just the same', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 30, 100, 200);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, {
      compression: 'gzip',
      limits: { maxMessages: 1000, maxBytes: 1e9 },
    });
    expect(result.failure).toBeUndefined();
    expectAllStoredOnce(broker, store);
    for (const { key } of recordsOf(store)) expect(key).toMatch(/\.jsonl\.gz$/);
    expect(broker.backlog()).toBe(0);
  });
});

describe('a partition that moves to another consumer (Failover)', () => {
  function interrupt(broker: FakeBroker, at: number, deliveries: Delivery[]): void {
    let count = 0;
    broker.hook = (call) => {
      if (call === 'next' && ++count === at) broker.interruptions.set(0, [...deliveries]);
    };
  }

  it('drops what is open, stores nothing of it, and leaves the partition to the other one', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    interrupt(broker, 5, [{ kind: 'lost' }, { kind: 'standby' }]);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, { subscriptionType: 'failover' });
    expect(result).toMatchObject({ stopReason: 'busy', failure: undefined, tally: { objects: 0 } });
    expect(broker.backlog()).toBe(10);
  });

  it('drops the sealed files that wait behind the one being created', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 30);
    interrupt(broker, 21, [{ kind: 'lost' }, { kind: 'standby' }]);
    const store = createMemoryStore();
    store.hook = () => new Promise((resolve) => setTimeout(resolve, 10));
    const limits = { maxMessages: 2, maxBytes: 1e9 };
    const result = await runDrain(broker, store, { subscriptionType: 'failover', limits });
    expect(result.failure).toBeUndefined();
    expect(store.objects.size).toBeLessThan(4);
    expect(broker.backlog()).toBe(30 - 2 * store.objects.size);
  });

  it('and comes back: resumes behind what is durable', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 30);
    interrupt(broker, 18, [{ kind: 'lost' }]);
    const rewind = broker.hook;
    let isBack = false;
    broker.hook = async (call, partition) => {
      await rewind?.(call, partition);
      // The broker begins at the first unacknowledged entry.
      if (call === 'next' && !isBack && broker.interruptions.get(0)?.length === 0) {
        isBack = true;
        broker.rewind(0);
      }
    };
    const store = createMemoryStore();
    const result = await runDrain(broker, store, {
      subscriptionType: 'failover',
      limits: { maxMessages: 8, maxBytes: 1e9 },
    });
    expect(isBack).toBe(true);
    expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined });
    expectAllStoredOnce(broker, store);
    expect(broker.backlog()).toBe(0);
  });
});

describe('when something fails', () => {
  it('keeps what was stored before a store failure, acknowledged, and redelivers the rest', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 30);
    const store = createMemoryStore();
    let creates = 0;
    store.hook = (when, call) => {
      if (when === 'before' && call === 'create' && ++creates === 3)
        throw new BackupError('store', 'access denied');
    };
    const failed = await runDrain(broker, store, { limits: { maxMessages: 5, maxBytes: 1e9 } });
    expect(failed.failure).toMatchObject({ message: 'access denied' });
    expect(broker.backlog()).toBe(20);
    store.hook = undefined;
    await runDrain(broker, store, { limits: { maxMessages: 5, maxBytes: 1e9 } });
    expectAllStoredOnce(broker, store);
  });

  it('stops every partition when the store refuses, and only the partition itself when its source fails', async () => {
    const broker = createFakeBroker(2);
    fill(broker, 30);
    broker.hook = (call, partition) => {
      if (call === 'next' && partition.partition === 0) throw connectionLost();
    };
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result.failure).toMatchObject({ message: 'connection lost' });
    expect(broker.backlog()).toBe(30);
    expect(storedMessages(store).size).toBe(30);
  });

  it('asks again for an acknowledgement that a lost connection may have swallowed', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 5);
    let calls = 0;
    broker.hook = (call) => {
      if (call === 'acknowledge' && ++calls === 1) throw connectionLost();
    };
    const result = await runDrain(broker, createMemoryStore());
    expect(result.failure).toBeUndefined();
    expect(broker.backlog()).toBe(0);
  });

  it('creates no further file after an acknowledgement has failed for good', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 50);
    const store = createMemoryStore();
    store.hook = () => new Promise((resolve) => setImmediate(resolve));
    broker.hook = (call) => {
      if (call === 'acknowledge') throw new BackupError('source', 'the role may not consume any more');
    };
    const result = await runDrain(broker, store, { limits: { maxMessages: 5, maxBytes: 1e9 } });
    expect(result.failure).toMatchObject({ message: 'the role may not consume any more' });
    expect(store.objects.size).toBeLessThan(4);
  });

  it('keeps unreadable entries raw, with a reason, and goes on; or fails, where the rule says so', async () => {
    const make = () => {
      const broker = createFakeBroker(1);
      fill(broker, 3);
      publishUnreadable(broker.partitions[0] as FakePartition);
      const [partition] = broker.partitions;
      if (partition) publish(partition, ['after it']);
      return broker;
    };
    const broker = make();
    const store = createMemoryStore();
    const result = await runDrain(broker, store);
    expect(result).toMatchObject({ failure: undefined, tally: { unreadable: 1, messages: 4 } });
    const key = 'p/_unreadable/t/n/orders/partition=0/000000000007-0000000003.bin';
    expect(store.objects.get(key)?.bytes.toString()).toBe('raw bytes');
    expect(JSON.parse(store.objects.get(key.replace('.bin', '.json'))?.bytes.toString() ?? '')).toMatchObject(
      {
        reason: 'the checksum does not match',
      },
    );
    expect(broker.backlog()).toBe(0);

    const strict = make();
    const failed = await runDrain(strict, createMemoryStore(), { onUnreadable: 'fail' });
    expect(failed.failure).toMatchObject({ code: 'corrupt' });
    expect(strict.backlog()).toBeGreaterThanOrEqual(2);
  });
});

describe('when time runs out', () => {
  it('stops reading, stores what is open, and says deadline', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10_000);
    const store = createMemoryStore();
    let calls = 0;
    let now = 0;
    const waits: (() => void)[] = [];
    const clock = {
      now: () => now,
      sleep: (ms: number) =>
        new Promise<void>((resolve) => (ms === 0 ? resolve() : void waits.push(resolve))),
    };
    broker.hook = async (call) => {
      if (call === 'next' && ++calls === 100) {
        now = 60_000;
        for (const wake of waits) wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const result = await runDrain(broker, store, { clock, startedAtMs: 0, stopReadingAtMs: 50_000 });
    expect(result).toMatchObject({ stopReason: 'deadline', failure: undefined });
    expect(result.tally.messages).toBeGreaterThan(90);
    expect(result.tally.messages).toBeLessThan(110);
    expect(broker.backlog()).toBe(10_000 - result.tally.messages);
    const next = broker.partitions[0]?.entries[result.tally.messages] as ReadableEntry;
    expect(result.backlog).toEqual({
      entries: broker.backlog(),
      oldestPublishTime: formatTime((next.messages[0] as Message).publishTimeMs),
    });
  });

  it('drops what cannot be stored in time and acknowledges nothing of it; a run that could store nothing fails', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const store = createMemoryStore();
    const storingEnd = new AbortController();
    store.hook = (when, call) => {
      if (when === 'before' && call === 'create') {
        setImmediate(() => storingEnd.abort());
        return new Promise(() => undefined);
      }
      return undefined;
    };
    const result = await runDrain(broker, store, { storingEnd: storingEnd.signal });
    expect(result.stopReason).toBe('deadline');
    expect(result.failure).toMatchObject({ code: 'store', hint: expect.stringContaining('time-out') });
    expect(broker.backlog()).toBe(10);
  });
});

describe('when the broker confirms no acknowledgement', () => {
  it('fails with that at the end of its time, whatever else the broker does not answer', async () => {
    const broker = createFakeBroker(2);
    fill(broker, 10);
    const store = createMemoryStore();
    const storingEnd = new AbortController();
    broker.hook = (call) => {
      if (call !== 'acknowledge' && call !== 'backlog') return undefined;
      setImmediate(() => storingEnd.abort());
      return new Promise<never>(() => undefined);
    };
    const result = await runDrain(broker, store, { storingEnd: storingEnd.signal });
    expect(result.failure).toMatchObject({
      code: 'source',
      message: expect.stringContaining('did not confirm an acknowledgement'),
      hint: expect.stringContaining('stored is safe'),
    });
    expect(result.tally).toMatchObject({ objects: 2, messages: 20 });
    expect(result.backlog).toBeUndefined();
    expect(broker.backlog()).toBe(20);
  });

  it('does not wait for a backlog beyond its time', async () => {
    const broker = createFakeBroker(1);
    fill(broker, 10);
    const storingEnd = new AbortController();
    broker.hook = (call) => {
      if (call !== 'backlog') return undefined;
      setImmediate(() => storingEnd.abort());
      return new Promise<never>(() => undefined);
    };
    const result = await runDrain(broker, createMemoryStore(), { storingEnd: storingEnd.signal });
    expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined, backlog: undefined });
    expect(broker.backlog()).toBe(0);
  });
});
