// A silence that is our own, or a slow broker's, gives no reason to end: neither while something that came waits to be
// handed out, nor while what a lost consumer had is to come again, nor by a probe that was cut short or read too late.
import { expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import type { SourcePartition } from '../../../src/ports.ts';
import type { BrokerConsumer } from '../../../src/pulsar/wire/broker-consumer.ts';
import type { ConsumerEvents } from '../../../src/pulsar/wire/receivers.ts';
import { readTopic } from '../../../src/pulsar/wire/topic-reader.ts';
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
  vi.waitFor(async () => expect((await partition.backlog())?.nextPublishTimeMs).toBeDefined(), {
    timeout: 20_000,
  });

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

/** As of a process that was busy for so long: the time-outs of a probe fire before it reads what has come. */
const lateClock = {
  ...systemClock,
  sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms === 1_000 ? 0 : ms, signal),
};

/** Does not deliver to the subscription from `place` on, nor to readers while that is so. */
function holdBackFrom(broker: LoopbackBroker, from: number): { isSlow: boolean } {
  const state = { isSlow: false };
  broker.faults.keepsBack = (subscription, { place }) =>
    place >= from && (subscription === SUBSCRIPTION || state.isSlow);
  return state;
}

it('a probe reads what the broker has sent before its time was over', async () => {
  const broker = await brokerWith(5);
  holdBackFrom(broker, 3);
  let isLate = false;
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => (isLate ? lateClock : systemClock).sleep(ms, signal),
  };
  const timings = { connectTimeoutMs: 5_000, operationTimeoutMs: 5_000 };
  const { first } = await openSource(broker, { clock, timings });
  await take(first, 3);
  broker.faults.slow = { bytes: 20, everyMs: 5 };
  broker.onAnswer((name) => {
    if (name === 'message') isLate = true;
    return undefined;
  });
  expect(await first.heldBack(2, LONG_MS)).toBeUndefined();
});

it('a probe that is cut short proves nothing, and another one is made', async () => {
  const broker = await brokerWith(5);
  holdBackFrom(broker, 3).isSlow = true;
  const { first } = await openSource(broker);
  await take(first, 3);
  expect(await first.heldBack(2, LONG_MS)).toEqual(['unknown']);
  broker.faults.closeAfterEntries = 3;
  expect(await first.heldBack(2, LONG_MS)).toBeUndefined();
  await take(first, 3);
  expect(await first.heldBack(2, LONG_MS)).toEqual(['unknown']);
});

it.each([
  ['before entries of its ledger', 0],
  ['behind the first entries', 3],
])('a second probe that gets what the first did not proves that the broker was slow: %s', async (_, from) => {
  const broker = await brokerWith(5);
  const state = holdBackFrom(broker, from);
  state.isSlow = true;
  const { first } = await openSource(broker);
  await take(first, from);
  broker.onCommand((name) => {
    if (name === 'closeConsumer') state.isSlow = false;
    return undefined;
  });
  expect(await first.heldBack(5 - from, LONG_MS)).toBeUndefined();
});

/** A reader whose connection brings entries to others with each time-out, and its own one with the `nth`. */
async function readBesides(
  nth: number,
): Promise<{ isReadThrough: boolean; timeouts: number; entries: number }> {
  let events: ConsumerEvents | undefined;
  let [timeouts, entries] = [0, 0];
  const reader = {
    get entriesOnConnection() {
      return timeouts;
    },
    subscribe: async (_: unknown, to: ConsumerEvents) => {
      events = to;
    },
    grantPermits: () => undefined,
    lastPositions: async () => {
      if (++timeouts === nth) events?.onEntry({ ledgerId: 1, entryId: 0 }, Buffer.alloc(0), undefined);
    },
    close: async () => undefined,
  };
  const consumer = { beside: () => reader } as unknown as BrokerConsumer;
  const isReadThrough = await readTopic(
    { topic: TOPIC, clock: lateClock, nextConsumerId: () => 1, consumer: () => consumer },
    { from: { ledgerId: 1, entryId: 0 }, permits: 1 },
    () => ++entries > 0,
  );
  return { isReadThrough, timeouts, entries };
}

it('a probe waits longer, not for ever, where its connection brings entries to others', async () => {
  expect(await readBesides(3)).toEqual({ isReadThrough: true, timeouts: 3, entries: 1 });
  expect(await readBesides(Number.POSITIVE_INFINITY)).toEqual({
    isReadThrough: true,
    timeouts: 4,
    entries: 0,
  });
});
