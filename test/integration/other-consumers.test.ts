// Runs over a real broker with transactions and batch index acknowledgements, on whose subscription the official Java
// client is a consumer too.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SubscriptionType } from '../../src/config.ts';
import { BackupError } from '../../src/errors.ts';
import { createFakeBroker } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { runDrain, storedMessages } from '../stage/memory-stage.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type JavaClient, startJavaClient } from './java-client.ts';
import { useBroker } from './use-broker.ts';
import { wireSource } from './wire-drain.ts';

const broker = useBroker({
  extraConf: {
    transactionCoordinatorEnabled: 'true',
    acknowledgmentAtBatchIndexLevelEnabled: 'true',
    allowAutoTopicCreation: 'true',
  },
});
let java: JavaClient;
beforeAll(async () => {
  java = await startJavaClient(broker().serviceUrl);
});
afterAll(() => java.close());

let topics = 0;
let topic: string;
let store: MemoryStore;
let published = 0;
let firstOfTopic = 0;
beforeEach(async () => {
  topic = await createTopic(broker(), `others-${topics++}`);
  await createSubscription(broker(), topic, 'backup');
  store = createMemoryStore();
  firstOfTopic = published;
});

const publish = async (count: number, batch = 1, how = 'plain') => {
  await java.run('publish', topic, count, batch, how);
  if (how !== 'abort') published += count;
};
const acknowledge = (how: 'plain' | 'transaction', receive: number, indexes: readonly number[]) =>
  java.run('acknowledge', topic, 'backup', how, receive, ...indexes);
const run = async (subscriptionType: SubscriptionType = 'exclusive') => {
  const source = wireSource({ serviceUrl: broker().serviceUrl, topic, subscriptionType });
  const { failure, tally } = await runDrain(createFakeBroker(1), store, { source, subscriptionType });
  await source.close();
  if (failure !== undefined) throw failure;
  return tally.messages;
};
/** A run that is killed when its objects are stored, before the broker has an acknowledgement. */
const killedRun = async (subscriptionType: SubscriptionType, maxMessages: number) => {
  const source = wireSource({ serviceUrl: broker().serviceUrl, topic, subscriptionType });
  const open = async () => {
    const partitions = await source.open();
    for (const partition of partitions === 'busy' ? [] : partitions)
      partition.acknowledge = () => Promise.reject(new BackupError('source', 'killed'));
    return partitions;
  };
  const limits = { maxMessages, maxBytes: 1e9 };
  const { failure } = await runDrain(createFakeBroker(1), store, {
    source: { driver: source.driver, open, close: () => source.close() },
    subscriptionType,
    limits,
  });
  await source.close();
  expect(failure).toMatchObject({ message: 'killed' });
};
/** Fails where a message is in two objects. */
const stored = () =>
  [...storedMessages(store).values()]
    .map(({ payload }) => Buffer.from(payload as Uint8Array).toString())
    .map((text) => Number(text.slice(1)) - firstOfTopic)
    .sort((a, b) => a - b);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe('entries that another consumer acknowledges in a transaction', () => {
  it.each(['exclusive', 'failover'] as const)(
    'are stored by the next run, and nothing twice, where it is aborted (%s)',
    async (type) => {
      await publish(20);
      await acknowledge('transaction', 20, range(5, 9));
      expect(await run(type)).toBe(15);
      expect(await backlogOf(broker(), topic, 'backup')).toBe(5);
      await java.run('abort');
      await publish(1);
      expect(await run(type)).toBe(6);
      expect(stored()).toEqual(range(0, 20));
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    },
  );

  it.each([
    ['exclusive', 5_000, 5],
    ['failover', 5_000, 5],
    ['exclusive', 5, 5],
    // No object begins where the next run does.
    ['exclusive', 5_000, 0],
    ['failover', 5, 0],
  ] as const)(
    'are stored by the run behind one that was killed before it acknowledged, and nothing twice (%s, %i a file, from %i on)',
    async (type, maxMessages, from) => {
      await publish(20);
      await acknowledge('transaction', 20, range(from, from + 4));
      await killedRun(type, maxMessages);
      expect(stored().length).toBeGreaterThan(0);
      await java.run('abort');
      await publish(1);
      await run(type);
      expect(stored()).toEqual(range(0, 20));
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    },
  );

  it('are stored by the run behind one that was killed, where they are some of a batch', async () => {
    await publish(30, 10);
    await acknowledge('transaction', 30, [12, 13, 19]);
    await killedRun('exclusive', 5_000);
    expect(stored()).toHaveLength(27);
    await java.run('abort');
    await publish(1);
    expect(await run()).toBe(4);
    expect(stored()).toEqual(range(0, 30));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('are stored by the next run where it is aborted while the run goes on', async () => {
    await publish(20);
    await acknowledge('transaction', 20, range(5, 9));
    const { create } = store;
    store.create = async (...call) => {
      // The schema of the messages is stored before them.
      if (call[0].includes('/date=')) await java.run('abort');
      return create.apply(store, call);
    };
    expect(await run()).toBe(15);
    store.create = create;
    await publish(1);
    expect(await run()).toBe(6);
    expect(stored()).toEqual(range(0, 20));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('are left out where it is committed', async () => {
    await publish(20);
    await acknowledge('transaction', 20, range(5, 9));
    expect(await run()).toBe(15);
    await java.run('commit');
    await publish(1);
    expect(await run()).toBe(1);
    expect(stored()).toEqual([...range(0, 4), ...range(10, 20)]);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});

it('closes the holes that markers and aborted messages leave', async () => {
  await publish(5);
  await publish(5, 1, 'commit');
  await publish(5, 1, 'abort');
  await publish(5);
  expect(await run()).toBe(15);
  expect(stored()).toEqual(range(0, 14));
  expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
});

describe('a batch of which another consumer has acknowledged messages', () => {
  it.each([[[0, 1, 2]], [[2, 5, 9]]])('is stored without them: %j', async (indexes) => {
    await publish(30, 10);
    await acknowledge('plain', 30, indexes);
    expect(await run()).toBe(27);
    expect(stored()).toEqual(range(0, 29).filter((n) => !indexes.includes(n)));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('is stored without them, and they later, where their transaction is aborted', async () => {
    await publish(30, 10);
    await acknowledge('transaction', 30, [10, 11, 12]);
    expect(await run()).toBe(27);
    await java.run('abort');
    await publish(1);
    expect(await run()).toBe(4);
    expect(stored()).toEqual(range(0, 30));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});
