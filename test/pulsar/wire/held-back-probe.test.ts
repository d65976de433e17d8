// Why the broker hands out nothing, as the wire driver finds it out from the loopback broker.
import { describe, expect, it } from 'vitest';
import type { SourcePartition } from '../../../src/ports.ts';
import { SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import type { LoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { messages, openSource, SUBSCRIPTION, startBroker, TOPIC, take, texts } from './loopback-source.ts';

/** Others may be asked after the first, and reasons be concluded from the silence itself after the second. */
const SHORT_MS = 1_500;
const LONG_MS = 2_500;

async function brokerWith(count: number): Promise<LoopbackBroker> {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  broker.publish(TOPIC, messages(count));
  return broker;
}

const heldBack = (partition: SourcePartition, entries: number, quietMs = SHORT_MS) =>
  partition.heldBack?.(entries, quietMs) ?? Promise.reject(new Error('the driver cannot explain'));

/** Nothing may stay of the reader that probes. */
const subscriptionsOf = (broker: LoopbackBroker) =>
  broker.consumers().map(({ subscription }) => subscription);

describe('messages of an open transaction', () => {
  it('that nobody gets are reported as such, where the one before them comes', async () => {
    const broker = await brokerWith(5);
    broker.faults.keepsBack = (_, { place }) => place >= 3;
    broker.faults.hasTransactions = true;
    const { first } = await openSource(broker);
    await take(first, 3);
    // It may have been slow once.
    expect(await heldBack(first, 2)).toBeUndefined();
    expect(await heldBack(first, 2, LONG_MS)).toEqual(['open transaction']);
    expect(subscriptionsOf(broker)).toEqual([SUBSCRIPTION]);
  });

  it('are reported also where everything before them is acknowledged, also behind large batches', async () => {
    const broker = await startBroker();
    broker.createTopic(TOPIC, 0);
    broker.createSubscription(TOPIC, SUBSCRIPTION);
    broker.publish(TOPIC, messages(100), { batchSize: 50 });
    broker.publish(TOPIC, messages(2));
    broker.faults.keepsBack = (_, { place }) => place >= 2;
    broker.faults.hasTransactions = true;
    const before = await openSource(broker);
    await before.first.acknowledge((await take(before.first, 2)).map(({ id }) => id));
    await before.source.close();
    const { first } = await openSource(broker);
    expect(await heldBack(first, 2, LONG_MS)).toEqual(['open transaction']);
  });

  it('acknowledged in one are reported after a longer silence, where the broker has transactions', async () => {
    const broker = await brokerWith(5);
    broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place >= 3;
    broker.faults.hasTransactions = true;
    const { first } = await openSource(broker);
    await take(first, 3);
    expect(await heldBack(first, 2)).toBeUndefined();
    expect(await heldBack(first, 2, LONG_MS)).toEqual(['open transaction']);
  });

  it('that begin their ledger are reported the same way', async () => {
    const broker = await brokerWith(2);
    broker.faults.keepsBack = () => true;
    broker.faults.hasTransactions = true;
    const { first } = await openSource(broker);
    expect(await heldBack(first, 2)).toBeUndefined();
    expect(await heldBack(first, 2, LONG_MS)).toEqual(['open transaction']);
  });
});

/** As 2.7 answers where the ledger of the last message is deleted. */
const noLedger = { error: SERVER_ERROR.MetadataError, message: 'No such ledger' };

describe('entries that a broker counts, and has no more', () => {
  it.each(['exclusive', 'shared'] as const)(
    'are reported as such with the first probe, behind the last message (%s)',
    async (subscriptionType) => {
      const broker = await brokerWith(3);
      const { first } = await openSource(broker, { subscriptionType });
      await first.acknowledge((await take(first, 3)).map(({ id }) => id));
      expect(await heldBack(first, 10, 500)).toEqual(['none to deliver']);
    },
  );

  it.each(['exclusive', 'shared'] as const)(
    'are reported as such where there is no last message (%s)',
    async (subscriptionType) => {
      const broker = await brokerWith(0);
      broker.onCommand((name) => (name === 'getLastMessageId' ? noLedger : undefined));
      const { first } = await openSource(broker, { subscriptionType });
      expect(await heldBack(first, 10, 500)).toEqual(['none to deliver']);
    },
  );

  it('may be messages where the broker reports neither the last one nor the position of the subscription', async () => {
    const broker = await brokerWith(3);
    broker.faults.keepsBack = (subscription) => subscription === SUBSCRIPTION;
    broker.onCommand((name) => (name === 'getLastMessageId' ? noLedger : undefined));
    const { first } = await openSource(broker);
    expect(await heldBack(first, 3, 10 * LONG_MS)).toBeUndefined();
  });

  it('may be messages where a last id that is too low hides them', async () => {
    const broker = await brokerWith(5);
    broker.faults.lastEntry = (entries) => entries[2];
    broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place >= 3;
    const { first } = await openSource(broker);
    await take(first, 3);
    expect(await heldBack(first, 2, 10 * LONG_MS)).toBeUndefined();
  });
});

it.each([
  ['behind the last one that comes', 3],
  ['from the begin of the topic on', 0],
])(
  'what nobody gets is soon reported as unknown, where the broker has no transactions: %s',
  async (_, from) => {
    const broker = await brokerWith(5);
    broker.faults.keepsBack = (_subscription, { place }) => place >= from;
    const { first } = await openSource(broker);
    await take(first, from);
    expect(await heldBack(first, 5 - from)).toBeUndefined();
    expect(await heldBack(first, 5 - from, LONG_MS)).toEqual(['unknown']);
  },
);

it('what nobody gets before others that are acknowledged is reported the same way', async () => {
  const broker = await brokerWith(5);
  broker.faults.keepsBack = (_subscription, { place }) => place < 2;
  const before = await openSource(broker);
  await before.first.acknowledge((await take(before.first, 3)).map(({ id }) => id));
  await before.source.close();
  const { first } = await openSource(broker);
  expect(await heldBack(first, 3, LONG_MS)).toBeUndefined();
  expect(await heldBack(first, 2, LONG_MS)).toEqual(['unknown']);
});

describe('no reason is given', () => {
  it.each([true, false])('where something comes while it is looked for (transactions: %s)', async (has) => {
    const broker = await brokerWith(3);
    broker.faults.hasTransactions = has;
    // So far the run has to go.
    broker.faults.lastEntry = ([first]) => first && { ...first, entryId: 4 };
    const { first } = await openSource(broker);
    await take(first, 3);
    broker.faults.lastEntry = undefined;
    let hasCome = false;
    broker.onCommand((name) => {
      if (name !== 'closeConsumer' || hasCome) return undefined;
      hasCome = true;
      broker.publish(TOPIC, messages(1, 3));
      return undefined;
    });
    expect(await heldBack(first, 1, LONG_MS)).toBeUndefined();
    expect(texts(await take(first, 1))).toEqual(['m3']);
  });

  it('where others get what we do not, and the broker has no transactions', async () => {
    const broker = await brokerWith(5);
    broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place >= 3;
    const { first } = await openSource(broker);
    await take(first, 3);
    expect(await heldBack(first, 2, 10 * LONG_MS)).toBeUndefined();
  });

  it('where the broker delivers nothing to anybody', async () => {
    const broker = await brokerWith(5);
    const { first } = await openSource(broker);
    await take(first, 3);
    broker.faults.hasTransactions = true;
    broker.onAnswer((name) => (name === 'message' ? 'drop' : undefined));
    expect(await heldBack(first, 2, 10 * LONG_MS)).toBeUndefined();
  });

  it('where the broker refuses to be looked at, which it is not asked again', async () => {
    const broker = await brokerWith(5);
    const { first } = await openSource(broker, { timings: { operationTimeoutMs: 1_000 } });
    await take(first, 3);
    let subscribes = 0;
    broker.onCommand((name) => {
      if (name !== 'subscribe') return undefined;
      subscribes++;
      return 'drop';
    });
    expect(await heldBack(first, 2, LONG_MS)).toBeUndefined();
    expect(await heldBack(first, 2, LONG_MS)).toBeUndefined();
    expect(subscribes).toBe(1);
  });
});

it('hands out a batch of no messages that the broker passes over, and gives no permit for it away', async () => {
  const broker = await brokerWith(3);
  const empty = broker.appendEntry(TOPIC, { numMessagesInBatch: 0 }, new Uint8Array());
  broker.faults.keepsBack = (subscription, { messages }) => subscription === SUBSCRIPTION && messages === 0;
  const { first } = await openSource(broker);
  await take(first, 3);
  const permits = broker.consumers()[0]?.permits;
  expect(await heldBack(first, 1)).toBeUndefined();
  expect(await first.next(1_000)).toEqual({ kind: 'entry', id: empty, messages: [] });
  await first.acknowledge([empty]);
  expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  broker.faults.keepsBack = undefined;
  broker.publish(TOPIC, messages(300, 3));
  expect(texts(await take(first, 300)).at(-1)).toBe('m302');
  expect(permits).toBeGreaterThanOrEqual(0);
});

it('runs out of no permits where batches of no messages come between others', async () => {
  const broker = await brokerWith(3);
  for (let i = 0; i < 200; i++) broker.appendEntry(TOPIC, { numMessagesInBatch: 0 }, new Uint8Array());
  broker.publish(TOPIC, messages(3, 3));
  const { first } = await openSource(broker);
  expect(texts(await take(first, 206))).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5']);
});

describe('on a Shared subscription', () => {
  it('names messages that are not due, and nothing else', async () => {
    const broker = await brokerWith(3);
    const later = Date.now() + 60_000;
    for (let i = 0; i < 2; i++) broker.appendEntry(TOPIC, { deliverAtTime: later }, Buffer.from('later'));
    broker.publish(TOPIC, messages(2, 3));
    broker.faults.keepsBack = (name, { place }) => name === SUBSCRIPTION && (place === 3 || place === 4);
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    await first.acknowledge((await take(first, 5)).map(({ id }) => id));
    expect(await heldBack(first, 2, LONG_MS)).toEqual(['delayed messages']);
  });

  it('hands out all batches of no messages that the broker passes over, each once', async () => {
    const broker = await brokerWith(3);
    const empty = [0, 1, 2].map(() => broker.appendEntry(TOPIC, { numMessagesInBatch: 0 }, new Uint8Array()));
    broker.faults.keepsBack = (name, { messages }) => name === SUBSCRIPTION && messages === 0;
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    await first.acknowledge((await take(first, 3)).map(({ id }) => id));
    expect(await heldBack(first, 3)).toBeUndefined();
    expect((await take(first, 3)).map(({ id }) => id)).toEqual(empty);
    expect(await heldBack(first, 3)).toEqual(['unknown']);
    await first.acknowledge(empty);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it('does not know it where others have what is left', async () => {
    const broker = await brokerWith(3);
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    await take(first, 3);
    broker.faults.hasTransactions = true;
    expect(await heldBack(first, 3, LONG_MS)).toEqual(['unknown']);
  });
});

it.each(['exclusive', 'shared'] as const)(
  'counts the chunks of messages that are not complete (%s), without asking the broker',
  async (subscriptionType) => {
    const broker = await brokerWith(1);
    const chunk = { uuid: 'u', numChunksFromMsg: 3, totalChunkMsgSize: 9 };
    for (const chunkId of [0, 1]) broker.appendEntry(TOPIC, { ...chunk, chunkId }, Buffer.from('abc'));
    broker.publish(TOPIC, messages(1));
    const { first } = await openSource(broker, { subscriptionType });
    await first.acknowledge((await take(first, 2)).map(({ id }) => id));
    expect(await first.backlog()).toEqual({ entries: 2 });
    const commands: string[] = [];
    broker.onCommand((name) => void commands.push(name));
    expect(await heldBack(first, 2)).toEqual(['incomplete chunks']);
    // Permits are given at their own time, and are no question.
    expect(commands.filter((name) => name !== 'flow')).toEqual([]);
  },
);

it('reports how much there was at its start, or that the broker does not know', async () => {
  const broker = await brokerWith(7);
  const { first, source } = await openSource(broker);
  broker.publish(TOPIC, messages(5));
  expect(await first.entriesAtOpen()).toBe(7);
  await source.close();
  broker.onCommand((name) => (name === 'consumerStats' ? 'drop' : undefined));
  const { first: again } = await openSource(broker);
  expect(await again.entriesAtOpen()).toBeUndefined();
});

it.each([true, false])('says whether the broker has transactions: %s', async (has) => {
  const broker = await brokerWith(1);
  broker.faults.hasTransactions = has;
  const { first } = await openSource(broker);
  expect(await first.hasTransactions()).toBe(has);
});

it('says that there may be transactions where the broker does not answer, and where the consumer is gone', async () => {
  const broker = await brokerWith(1);
  const { first, source } = await openSource(broker);
  broker.onCommand((name) => (name === 'addSubscriptionToTxn' ? 'drop' : undefined));
  expect(await first.hasTransactions()).toBe(true);
  await source.close();
  expect(await first.hasTransactions()).toBe(true);
});

it('knows from the positions alone that nothing is left', async () => {
  const broker = await brokerWith(2);
  const { first } = await openSource(broker);
  const entries = await take(first, 2);
  const refusal = { error: 10, message: 'not supported' };
  broker.onCommand((name) => (name === 'consumerStats' ? refusal : undefined));
  expect(await first.backlog()).toBeUndefined();
  await first.acknowledge(entries.map(({ id }) => id));
  expect(await first.backlog()).toEqual({ entries: 0 });
});
