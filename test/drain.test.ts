import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc64 } from '../src/crc64.ts';
import { BackupError } from '../src/errors.ts';
import { parseObjectKey } from '../src/object-key.ts';
import type { Delivery, Message, ReadableEntry } from '../src/ports.ts';
import { decodeRecord, encodeRecord, formatMessageId, formatTime } from '../src/record.ts';
import {
  connectionLost,
  createFakeBroker,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
} from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { publishedMessages, runDrain, storedMessages } from './fakes/run-drain.ts';

function fill(broker: FakeBroker, entries: number, batch = 1, size = 10): void {
  for (let i = 0; i < entries; i++) {
    for (const partition of broker.partitions) {
      publish(
        partition,
        Array.from({ length: batch }, (_, j) => `${partition.partition}-${i}-${j}`.padEnd(size, '.')),
      );
    }
  }
}

function expectAllStoredOnce(broker: FakeBroker, store: MemoryStore): void {
  const lines = (messages: Map<string, Message>) => [...messages.values()].map(encodeRecord).sort();
  expect(lines(storedMessages(store))).toEqual(lines(publishedMessages(broker)));
}

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

  it('compresses as a stream and acknowledges just the same', async () => {
    const { gunzipSync } = await import('node:zlib');
    const broker = createFakeBroker(1);
    fill(broker, 30, 100, 200);
    const store = createMemoryStore();
    const result = await runDrain(broker, store, {
      compression: 'gzip',
      limits: { maxMessages: 1000, maxBytes: 1e9 },
    });
    expect(result.failure).toBeUndefined();
    expect(storedMessages(store, (bytes) => gunzipSync(bytes)).size).toBe(3000);
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

  it('and comes back: begins afresh behind what is durable', async () => {
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
    const hardEnd = new AbortController();
    store.hook = (when, call) => {
      if (when === 'before' && call === 'create') {
        setImmediate(() => hardEnd.abort());
        return new Promise(() => undefined);
      }
      return undefined;
    };
    const result = await runDrain(broker, store, { hardEnd: hardEnd.signal });
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
    const hardEnd = new AbortController();
    broker.hook = (call) => {
      if (call !== 'acknowledge' && call !== 'backlog') return undefined;
      setImmediate(() => hardEnd.abort());
      return new Promise<never>(() => undefined);
    };
    const result = await runDrain(broker, store, { hardEnd: hardEnd.signal });
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
    const hardEnd = new AbortController();
    broker.hook = (call) => {
      if (call !== 'backlog') return undefined;
      setImmediate(() => hardEnd.abort());
      return new Promise<never>(() => undefined);
    };
    const result = await runDrain(broker, createMemoryStore(), { hardEnd: hardEnd.signal });
    expect(result).toMatchObject({ stopReason: 'caught_up', failure: undefined, backlog: undefined });
    expect(broker.backlog()).toBe(0);
  });
});

describe('whatever happens', () => {
  it('after any crashes with any limits, one undisturbed run leaves every message in exactly one object', async () => {
    const step = fc.record({
      maxMessages: fc.integer({ min: 1, max: 40 }),
      maxBytes: fc.integer({ min: 500, max: 20_000 }),
      crashAt: fc.integer({ min: 1, max: 60 }),
      more: fc.integer({ min: 0, max: 15 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 30 }),
        fc.array(step, { maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        async (batches, steps, lastMaxMessages) => {
          const broker = createFakeBroker(2);
          const store = createMemoryStore();
          const seen = new Map<string, string>();
          const add = (sizes: number[]) => {
            for (const partition of broker.partitions) {
              for (const size of sizes)
                publish(
                  partition,
                  Array.from({ length: size }, () => 'some payload'),
                );
            }
          };
          add(batches);
          for (const { maxMessages, maxBytes, crashAt, more } of steps) {
            // The process dies at the n-th step: nothing after it takes effect.
            let count = 0;
            const dies = () => {
              if (++count >= crashAt) throw new BackupError('source', 'killed');
            };
            broker.hook = dies;
            store.hook = (when) => {
              if (when === 'before') dies();
              else if (count >= crashAt) throw new BackupError('store', 'killed');
            };
            await runDrain(broker, store, { limits: { maxMessages, maxBytes } });
            add(Array.from({ length: more }, (_, i) => i % 5));
            for (const [key, { crc64 }] of store.objects) {
              expect(seen.get(key) ?? crc64, 'no object is ever replaced').toBe(crc64);
              seen.set(key, crc64);
            }
          }
          broker.hook = undefined;
          store.hook = undefined;
          const result = await runDrain(broker, store, {
            limits: { maxMessages: lastMaxMessages, maxBytes: 1e6 },
          });
          expect(result.failure).toBeUndefined();
          expectAllStoredOnce(broker, store);
          expect(broker.backlog()).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  }, 60_000);

  it('after any reconnects, moves and crashes, one undisturbed run leaves every message in exactly one object', async () => {
    const step = fc.record({
      maxMessages: fc.integer({ min: 1, max: 20 }),
      crashAt: fc.integer({ min: 1, max: 200 }),
      /** Every so many receives the broker begins again at the first entry that it knows to be unacknowledged. */
      beginsAgainEvery: fc.integer({ min: 3, max: 30 }),
      isMove: fc.boolean(),
      /** Every so many acknowledgements the connection breaks instead. */
      breaksEvery: fc.integer({ min: 2, max: 6 }),
      receiptTurns: fc.integer({ min: 0, max: 6 }),
    });
    const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
    // Pauses between tries take no time; the end of the run does not come.
    const sleep = (ms: number) => (ms > 10_000 ? new Promise<void>(() => undefined) : Promise.resolve());
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 5, maxLength: 40 }),
        fc.array(step, { minLength: 1, maxLength: 4 }),
        async (batches, steps) => {
          const broker = createFakeBroker(2);
          const store = createMemoryStore();
          for (const partition of broker.partitions) {
            for (const size of batches)
              publish(
                partition,
                Array.from({ length: size }, () => 'a payload'),
              );
          }
          for (const { maxMessages, crashAt, beginsAgainEvery, isMove, breaksEvery, receiptTurns } of steps) {
            let count = 0;
            let receives = 0;
            let acknowledgements = 0;
            const killed = () => new BackupError('source', 'killed');
            broker.hook = async (call, { partition }) => {
              if (++count >= crashAt) throw killed();
              if (call === 'next' && ++receives % beginsAgainEvery === 0) {
                if (isMove) broker.interruptions.set(partition, [{ kind: 'lost' }]);
                broker.rewind(partition);
              }
              if (call !== 'acknowledge') return;
              if (++acknowledgements % breaksEvery === 0) throw connectionLost();
              for (let turn = 0; turn < receiptTurns; turn++) await nextTurn();
              if (count >= crashAt) throw killed();
            };
            store.hook = (when) => {
              if (when === 'before') count++;
              if (count >= crashAt) throw new BackupError('store', 'killed');
            };
            await runDrain(broker, store, {
              limits: { maxMessages, maxBytes: 1e9 },
              subscriptionType: isMove ? 'failover' : 'exclusive',
              clock: { now: Date.now, sleep },
            });
            const stored = storedMessages(store);
            for (const { entries, acknowledged } of broker.partitions) {
              for (const entry of entries) {
                if (entry.kind !== 'entry' || !acknowledged.has(`7:${entry.id.entryId}`)) continue;
                for (const { id } of entry.messages) expect(stored.has(formatMessageId(id))).toBe(true);
              }
            }
          }
          broker.hook = undefined;
          store.hook = undefined;
          const result = await runDrain(broker, store, { limits: { maxMessages: 15, maxBytes: 1e9 } });
          expect(result.failure).toBeUndefined();
          expectAllStoredOnce(broker, store);
          expect(broker.backlog()).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  }, 60_000);
});
