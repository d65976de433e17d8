// A silence that is our own, or a slow broker's, gives no reason to end: neither while something that came waits to be
// handed out, nor while what a lost consumer had is to come again, nor by a probe that was cut short or read too late.
import { expect, it, vi } from 'vitest';
import type { SourcePartition } from '../../../src/ports.ts';
import type { LoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { messages, openSource, SUBSCRIPTION, startBroker, TOPIC, take, texts } from './loopback-source.ts';

const SHORT_MS = 1_500;
const LONG_MS = 2_500;

async function brokerWith(count: number): Promise<LoopbackBroker> {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  broker.publish(TOPIC, messages(count));
  return broker;
}

/** Resolves when an entry waits to be handed out. */
const untilQueued = (partition: SourcePartition) =>
  vi.waitFor(async () => expect((await partition.backlog())?.nextPublishTimeMs).toBeDefined());

it.each([0, SHORT_MS, LONG_MS])(
  'entries that wait to be handed out are to come, after %i ms',
  async (quietMs) => {
    const broker = await brokerWith(3);
    const { first } = await openSource(broker);
    await take(first, 1);
    await untilQueued(first);
    expect(await first.heldBack(2, quietMs)).toBeUndefined();
    expect(texts(await take(first, 2))).toEqual(['m1', 'm2']);
  },
);

it.each([0, SHORT_MS, LONG_MS])('what a lost consumer had is to come again, after %i ms', async (quietMs) => {
  const broker = await brokerWith(3);
  const { first } = await openSource(broker);
  await take(first, 3);
  broker.faults.keepsBack = (subscription) => subscription === SUBSCRIPTION;
  const subscribing = new Promise<void>((resolve) => {
    broker.onCommand((name) => void (name === 'subscribe' && resolve()));
  });
  broker.dropConnections();
  await subscribing;
  expect(await first.heldBack(3, quietMs)).toBeUndefined();
});
