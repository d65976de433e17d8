// Consumers that are not ours acknowledge on the subscription too: single entries in transactions that end later, and
// single messages of batches.
import { describe, expect, it } from 'vitest';
import { formatMessageId } from '../../../src/format/record.ts';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import { createFakeBroker } from '../../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { runDrain, storedMessages } from '../../stage/memory-stage.ts';
import type { LoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { scaledClock } from '../scaled-clock.ts';
import {
  ids,
  messages,
  openSource,
  SUBSCRIPTION,
  startBroker,
  TOPIC,
  take,
  texts,
} from './loopback-source.ts';

async function brokerWith(count: number, batchSize = 0) {
  const broker = await startBroker({ acknowledgesBatchIndexes: true });
  broker.createTopic(TOPIC);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  return { broker, positions: broker.publish(TOPIC, messages(count), { batchSize }) };
}

const acked = (broker: LoopbackBroker) => {
  const { markDelete, individual } = broker.ackedPositions(TOPIC, SUBSCRIPTION);
  return { upTo: markDelete.entryId, each: individual.map(({ entryId }) => entryId) };
};
/** One run of the core over the broker. It waits a while for what a transaction holds back. */
const run = async (broker: LoopbackBroker, store: MemoryStore) => {
  const clock = scaledClock(20);
  const topic = parseTopicName(TOPIC) as TopicName;
  const options = contractOptions({ serviceUrl: broker.serviceUrl, subscription: SUBSCRIPTION, topic });
  const source = createWireSource({ ...options, clock });
  const { failure, tally } = await runDrain(createFakeBroker(1), store, {
    source,
    clock,
    startedAtMs: clock.now(),
    stopReadingAtMs: clock.now() + 800_000,
  });
  await source.close();
  return failure ?? tally.messages;
};
const storedTexts = (store: MemoryStore) =>
  [...storedMessages(store).values()]
    .map(({ payload }) => Buffer.from(payload as Uint8Array).toString())
    .sort();
const expected = (count: number) =>
  messages(count)
    .map(({ payload }) => payload)
    .sort();

describe('entries in a transaction of another consumer', () => {
  it('are not acknowledged with those around them, and come when it is aborted', async () => {
    const { broker, positions } = await brokerWith(20);
    const abort = broker.ackInTransaction(TOPIC, SUBSCRIPTION, positions.slice(5, 10));
    const { first, source } = await openSource(broker);
    const taken = ids(await take(first, 15));
    await first.acknowledge(taken.slice(0, 8));
    expect(acked(broker)).toEqual({ upTo: 4, each: [10, 11, 12] });
    await first.acknowledge(taken.slice(8));
    expect(acked(broker)).toEqual({ upTo: 4, each: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19] });
    await source.close();
    abort('abort');
    const next = await openSource(broker);
    const again = await take(next.first, 5);
    expect(texts(again)).toEqual(['m5', 'm6', 'm7', 'm8', 'm9']);
    await next.first.acknowledge(ids(again));
    expect(acked(broker)).toEqual({ upTo: 19, each: [] });
  });

  it('cost a list of acknowledgements only until the transaction is committed', async () => {
    const { broker, positions } = await brokerWith(20);
    const end = broker.ackInTransaction(TOPIC, SUBSCRIPTION, positions.slice(2, 4));
    const kinds: unknown[] = [];
    broker.onCommand((name, fields) => {
      if (name === 'ack') kinds.push(fields['ackType']);
      return undefined;
    });
    const { first } = await openSource(broker);
    const taken = ids(await take(first, 18));
    await first.acknowledge(taken.slice(0, 6));
    end('commit');
    await first.acknowledge(taken.slice(6, 7));
    // Its answer comes behind that to the question how far all is acknowledged.
    await first.backlog();
    await first.acknowledge(taken.slice(7));
    // Singly first: what begins an object is acknowledged last.
    expect(kinds).toEqual([0, 1, 0, 1]);
    expect(acked(broker)).toEqual({ upTo: 19, each: [] });
  });

  it.each(['before the run ends', 'after the run', 'after the next run'])(
    'are stored once, and nothing else twice, where it is aborted %s',
    async (when) => {
      const { broker, positions } = await brokerWith(20);
      const end = broker.ackInTransaction(TOPIC, SUBSCRIPTION, positions.slice(5, 10));
      const store = createMemoryStore();
      if (when === 'before the run ends') {
        const { create } = store;
        store.create = async (...call) => {
          end('abort');
          return create.apply(store, call);
        };
      }
      expect(await run(broker, store)).toBe(15);
      if (when === 'after the run') end('abort');
      broker.publish(TOPIC, messages(10, 20));
      expect(await run(broker, store)).toBe(when === 'after the next run' ? 10 : 15);
      if (when === 'after the next run') end('abort');
      broker.publish(TOPIC, messages(1, 30));
      await run(broker, store);
      expect(storedTexts(store)).toEqual(expected(31));
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
    },
  );
});

it('are stored also where the objects around them are found by a later run', async () => {
  const { broker, positions } = await brokerWith(20);
  const end = broker.ackInTransaction(TOPIC, SUBSCRIPTION, positions.slice(5, 10));
  const store = createMemoryStore();
  expect(await run(broker, store)).toBe(15);
  broker.publish(TOPIC, messages(10, 20));
  expect(await run(broker, store)).toBe(10);
  // As if both had been killed before their acknowledgements.
  broker.forgetAcks(TOPIC, SUBSCRIPTION);
  end('abort');
  broker.publish(TOPIC, messages(1, 30));
  expect(await run(broker, store)).toBe(6);
  expect(storedTexts(store)).toEqual(expected(31));
  expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
});

describe('a batch of which another consumer has acknowledged messages', () => {
  it('gives the others, under the name of the first of them', async () => {
    const { broker, positions } = await brokerWith(30, 10);
    const [, second] = positions as [unknown, (typeof positions)[0]];
    broker.ackInBatch(TOPIC, SUBSCRIPTION, second, [0, 1, 5]);
    const { first } = await openSource(broker);
    const taken = await take(first, 3);
    expect(taken[1]?.messages.map(({ id }) => id.batchIndex)).toEqual([2, 3, 4, 6, 7, 8, 9]);
    await first.acknowledge(ids(taken));
    expect(acked(broker)).toEqual({ upTo: 2, each: [] });
  });

  it.each([
    ['the first 3', [0, 1, 2], 27],
    ['the last 3', [7, 8, 9], 27],
    ['all but one', [0, 1, 2, 3, 4, 6, 7, 8, 9], 21],
  ])(
    'is stored without them, and found again where the acknowledgement is lost: %s',
    async (_, indexes, count) => {
      const { broker, positions } = await brokerWith(30, 10);
      broker.ackInBatch(TOPIC, SUBSCRIPTION, positions[1] as (typeof positions)[0], indexes);
      const store = createMemoryStore();
      expect(await run(broker, store)).toBe(count);
      broker.forgetAcks(TOPIC, SUBSCRIPTION);
      broker.ackInBatch(TOPIC, SUBSCRIPTION, positions[1] as (typeof positions)[0], indexes);
      expect(await run(broker, store)).toBe(0);
      expect([...storedMessages(store).values()].map(({ id }) => formatMessageId(id))).toHaveLength(count);
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
    },
  );

  it('keeps to itself what came of it only after a reconnect: the next run has it', async () => {
    const { broker, positions } = await brokerWith(20, 10);
    const [batch] = positions as [(typeof positions)[0]];
    broker.ackInBatch(TOPIC, SUBSCRIPTION, batch, [0, 1, 2]);
    const { first } = await openSource(broker);
    await take(first, 2);
    broker.forgetAcks(TOPIC, SUBSCRIPTION);
    const again = await take(first, 2);
    expect(again[0]?.messages).toHaveLength(7);
    await first.acknowledge(ids(again));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(1);
  });

  it('has nothing left, or is no batch: neither is lost or stored as a message', async () => {
    const { broker } = await brokerWith(10, 10);
    broker.publish(TOPIC, messages(1, 10));
    broker.onAnswer((name, fields) => {
      if (name === 'message') (fields as { ackSet?: unknown }).ackSet = [0];
      return undefined;
    });
    const { first } = await openSource(broker);
    const taken = await take(first, 2);
    expect(texts(taken)).toEqual(['m10']);
    await first.acknowledge(ids(taken));
  });
});
