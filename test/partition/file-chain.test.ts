// The line of files of one partition: created one after the other, found, or dropped; acknowledged in order; and what
// the manifest says about them. Through a run over fakes.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import type { ObjectStore } from '../../src/ports.ts';
import { connectionLost, createFakeBroker, type FakePartition, publish } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { runDrain, storedMessages } from '../stage/memory-stage.ts';

const MIB = 1_048_576;
const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 } });
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
const denied = () => new BackupError('store', 'access denied');

function brokerWith(entries: number, { partitions = 1, bytes = 10 } = {}) {
  const broker = createFakeBroker(partitions);
  for (const partition of broker.partitions) {
    for (let i = 0; i < entries; i++) publish(partition, [`${i} `.padEnd(bytes, '.')]);
  }
  return { broker, partition: broker.partitions[0] as FakePartition };
}

/** Leaves the objects of a run that died before its first acknowledgement. */
async function storedBefore(
  broker: ReturnType<typeof createFakeBroker>,
  store: MemoryStore,
  messages: number,
) {
  broker.hook = (call) => {
    if (call === 'acknowledge') throw new BackupError('source', 'killed');
  };
  await runDrain(broker, store, limits(messages));
  broker.hook = undefined;
  store.calls.length = 0;
}

describe('acknowledgements', () => {
  it('are asked for one after the other, and the run waits for all of them', async () => {
    const { broker } = brokerWith(9);
    let underWay = 0;
    let answered = 0;
    broker.hook = async (call) => {
      if (call !== 'acknowledge') return;
      expect(++underWay).toBe(1);
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      underWay--;
      answered++;
    };
    await runDrain(broker, createMemoryStore(), limits(3));
    expect(answered).toBe(3);
    expect(broker.acknowledgements.map((ids) => ids.at(-1)?.entryId)).toEqual([2, 5, 8]);
  });

  it('that fail until the time is over fail the run with what the broker said, and are not tried on', async () => {
    const { broker } = brokerWith(3);
    const storingEnd = new AbortController();
    let tries = 0;
    broker.hook = (call) => {
      if (call !== 'acknowledge') return;
      if (++tries === 3) storingEnd.abort();
      throw connectionLost();
    };
    const sleep = (ms: number, signal?: AbortSignal) =>
      ms > 10_000
        ? new Promise<void>(() => undefined)
        : signal?.aborted
          ? Promise.reject(signal.reason)
          : Promise.resolve();
    const result = await runDrain(broker, createMemoryStore(), {
      clock: { now: Date.now, sleep },
      storingEnd: storingEnd.signal,
    });
    expect(result.failure).toBeInstanceOf(BackupError);
    expect(String((result.failure as Error).message) + String((result.failure as Error).cause)).toContain(
      'connection lost',
    );
    expect(tries).toBe(3);
  });

  it('that are never answered fail the run at its end with what came before', async () => {
    const { broker } = brokerWith(3);
    const storingEnd = new AbortController();
    let tries = 0;
    broker.hook = (call) => {
      if (call !== 'acknowledge') return undefined;
      if (++tries === 1) throw connectionLost();
      storingEnd.abort();
      return new Promise(() => undefined);
    };
    const result = await runDrain(broker, createMemoryStore(), { storingEnd: storingEnd.signal });
    expect(result.failure).toMatchObject({
      message: expect.stringContaining('did not confirm'),
      cause: { message: 'connection lost' },
    });
  });
});

describe('an object at the key', () => {
  it('that is ours and whole is in the manifest, as one that was there', async () => {
    const { broker } = brokerWith(6);
    const store = createMemoryStore();
    await storedBefore(broker, store, 3);
    const result = await runDrain(broker, store, limits(3));
    expect(result.tally.stored.map(({ alreadyStored, messages }) => ({ alreadyStored, messages }))).toEqual([
      { alreadyStored: true, messages: 3 },
      { alreadyStored: false, messages: 3 },
    ]);
    const hashes = [...store.objects.values()].map(({ metadata }) => metadata['sha256']);
    expect(result.tally.stored.map(({ sha256 }) => sha256)).toEqual(hashes);
    // Its metadata and checksum say all: it is not read.
    expect(store.calls.filter((call) => call.startsWith('read'))).toEqual([]);
  });

  it.each([
    ['the same', 12],
    ['another number of messages', 10],
  ])(
    'that comes while our upload is open, and holds %s, leaves no upload behind',
    async (_what, messages) => {
      const { broker } = brokerWith(24, { bytes: MIB });
      const other = createMemoryStore();
      await storedBefore(broker, other, messages);
      const store = createMemoryStore();
      store.hook = (when, call) => {
        // Another instance was faster.
        if (when === 'before' && call === 'complete' && store.objects.size === 0) {
          for (const [key, object] of other.objects) store.objects.set(key, object);
        }
      };
      const result = await runDrain(broker, store, limits(12));
      expect(result).toMatchObject({ failure: undefined, tally: { alreadyStored: 1 } });
      expect(storedMessages(store).size).toBe(24);
      expect(store.uploads.size).toBe(0);
      expect(broker.backlog()).toBe(0);
    },
  );

  it('that is gone when it is looked at fails the run, and nothing is acknowledged', async () => {
    const { broker } = brokerWith(3);
    const store = createMemoryStore();
    await storedBefore(broker, store, 3);
    store.hook = (when, call) => {
      if (when === 'before' && call === 'head') store.objects.clear();
    };
    const result = await runDrain(broker, store, limits(3));
    expect(result.failure).toMatchObject({
      code: 'store',
      retryable: true,
      message: expect.stringContaining('cannot be found'),
    });
    expect(broker.backlog()).toBe(3);
  });
});

describe('a file that could not be stored', () => {
  it('stops all that is in line behind it, and leaves no upload', async () => {
    const { broker } = brokerWith(30, { bytes: MIB });
    const store = createMemoryStore();
    store.hook = (when, call) => {
      if (when === 'before' && call === 'complete') throw denied();
    };
    const result = await runDrain(broker, store, limits(10));
    expect(result.failure).toMatchObject({ message: 'access denied' });
    expect(store.calls.filter((call) => call.startsWith('complete'))).toHaveLength(1);
    expect(store.uploads.size).toBe(0);
    expect(broker.backlog()).toBe(30);
  });

  it('for lack of time stops what is in line behind it, whatever the store would still take', async () => {
    const { broker } = brokerWith(9);
    const storingEnd = new AbortController();
    const inner = createMemoryStore();
    let creates = 0;
    const store: ObjectStore = {
      ...inner,
      async create(key, body, crc, attributes) {
        for (let turn = 0; turn < 10; turn++) await nextTurn();
        if (++creates === 1) {
          storingEnd.abort();
          throw denied();
        }
        return inner.create(key, body, crc, attributes);
      },
    };
    const result = await runDrain(broker, store, { ...limits(3), storingEnd: storingEnd.signal });
    expect(result.stopReason).toBe('deadline');
    expect(inner.objects.size).toBe(0);
    expect(broker.backlog()).toBe(9);
  });

  it('because of the store stops the other partitions too', async () => {
    const { broker } = brokerWith(500, { partitions: 2 });
    const store = createMemoryStore();
    store.hook = async (when, call, key) => {
      if (when === 'before' && call === 'create' && key.includes('partition=0')) throw denied();
    };
    broker.hook = async () => nextTurn().then(() => undefined);
    const result = await runDrain(broker, store, limits(5));
    expect(result.failure).toMatchObject({ message: 'access denied' });
    expect(storedMessages(store).size).toBeLessThan(200);
  });

  it('is reported by its first failure', async () => {
    const { broker } = brokerWith(6);
    const store = createMemoryStore();
    let refusals = 0;
    broker.hook = async (call) => {
      if (call !== 'acknowledge') return;
      for (let turn = 0; turn < 10; turn++) await nextTurn();
      throw new BackupError('source', 'the second failure');
    };
    store.hook = (when, call) => {
      if (when === 'before' && call === 'create' && ++refusals === 2) throw denied();
    };
    const result = await runDrain(broker, store, limits(3));
    expect(result.failure).toMatchObject({ message: 'access denied' });
  });
});

it('a partition whose source fails does not stop the others', async () => {
  const { broker } = brokerWith(30, { partitions: 2 });
  broker.hook = async (call, partition) => {
    if (call !== 'acknowledge' || partition.partition !== 0) return nextTurn().then(() => undefined);
    throw new BackupError('source', 'the role may not consume any more');
  };
  const result = await runDrain(broker, createMemoryStore(), limits(5));
  expect(result.failure).toMatchObject({ message: 'the role may not consume any more' });
  expect(broker.partitions[1]?.acknowledged.size).toBe(30);
});
