// The append-only rule at the core: an object is there already where a file is to be created. What is stored wins.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { crc64 } from '../src/lib/crc64.ts';
import { createFakeBroker, type FakeBroker } from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { expectAllStoredOnce, fill, runDrain } from './fakes/run-drain.ts';

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
