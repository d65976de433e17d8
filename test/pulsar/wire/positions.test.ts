// The positions that the broker reports of the subscription, around a run of the wire driver.
import { describe, expect, it } from 'vitest';
import type { SubscriptionType } from '../../../src/config.ts';
import type { LoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { ids, messages, openSource, SUBSCRIPTION, startBroker, TOPIC, take } from './loopback-source.ts';

async function brokerWith(count: number): Promise<LoopbackBroker> {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  broker.publish(TOPIC, messages(count));
  return broker;
}

it.each(['exclusive', 'failover', 'shared', 'key_shared'] as const)(
  'are known when the consumer came and when it left, on %s',
  async (subscriptionType) => {
    const broker = await brokerWith(5);
    const before = await openSource(broker, { subscriptionType });
    const [first, second] = ids(await take(before.first, 2)) as [never, never];
    await before.first.acknowledge([first, second]);
    expect(before.first.positions()?.end).toBeUndefined();
    await before.source.close();
    const { ledgerId } = second as { ledgerId: number };
    expect(before.first.positions()).toMatchObject({
      begin: { acknowledged: { ledgerId, entryId: -1 }, last: { ledgerId, entryId: 4 } },
      isBeginKnown: true,
      end: { acknowledged: second, last: { ledgerId, entryId: 4 } },
    });
    broker.skip(TOPIC, SUBSCRIPTION, 0);
    const after = await openSource(broker, { subscriptionType });
    expect(after.first.positions()?.begin).toMatchObject({ acknowledged: second });
  },
);

it('are those of the first entry and of the last acknowledgement where the broker is too old to report any', async () => {
  const broker = await startBroker();
  broker.faults.protocolVersion = 15;
  broker.createTopic(TOPIC, 0);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  broker.publish(TOPIC, messages(5));
  broker.skip(TOPIC, SUBSCRIPTION, 2);
  const { first, source } = await openSource(broker);
  expect(first.positions()).toMatchObject({ begin: undefined, isBeginKnown: false, end: undefined });
  await take(first, 1);
  const { ledgerId } = first.end as { ledgerId: number };
  await first.acknowledge([{ ledgerId, entryId: 2 }]);
  await source.close();
  expect(first.positions()).toMatchObject({
    begin: { acknowledged: { ledgerId, entryId: 1 } },
    isBeginKnown: false,
    end: { acknowledged: { ledgerId, entryId: 2 } },
  });
});

it('are not known of a consumer whose connection is lost', async () => {
  const broker = await brokerWith(5);
  const { first, source } = await openSource(broker);
  await first.acknowledge(ids(await take(first, 5)));
  await broker.close();
  await source.close();
  expect(first.positions()).toMatchObject({ isBeginKnown: true, end: undefined });
});

it('say what somebody passed over while the consumer was there, as far as a reader still gets it', async () => {
  const broker = await brokerWith(10);
  broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place >= 5;
  const { first, source } = await openSource(broker);
  await first.acknowledge(ids(await take(first, 5)));
  broker.skip(TOPIC, SUBSCRIPTION, 5);
  await source.close();
  const { ledgerId } = first.end as { ledgerId: number };
  expect(first.positions()?.passedOver).toEqual({
    from: { ledgerId, entryId: 4 },
    to: { ledgerId, entryId: 9 },
  });
  expect(broker.consumers()).toEqual([]);
});

it('say nothing of what nobody gets: the broker acknowledges markers and aborted transactions by itself', async () => {
  const broker = await brokerWith(10);
  broker.faults.keepsBack = (_, { place }) => place >= 5;
  const { first, source } = await openSource(broker);
  await first.acknowledge(ids(await take(first, 5)));
  broker.skip(TOPIC, SUBSCRIPTION, 5);
  await source.close();
  expect(first.positions()).toMatchObject({ end: { acknowledged: { entryId: 9 } }, passedOver: undefined });
});

describe('of what was skipped while the consumer was away', () => {
  /** Takes five of ten, and skips `count` of the rest while the consumer comes again. */
  async function skippedAfterFive(
    count: number,
    {
      acknowledged = 5,
      subscriptionType = 'exclusive',
    }: { acknowledged?: number; subscriptionType?: SubscriptionType } = {},
  ) {
    const broker = await brokerWith(10);
    broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place >= 5;
    const { first, source } = await openSource(broker, { subscriptionType });
    await first.acknowledge(ids(await take(first, 5)).slice(0, acknowledged));
    const restarting = first.restart();
    if (count > 0) broker.skip(TOPIC, SUBSCRIPTION, count);
    await restarting;
    // Answered behind the question for the position.
    await first.backlog();
    await source.close();
    const { ledgerId } = first.end as { ledgerId: number };
    return { passedOver: first.positions()?.passedOver, ledgerId };
  }

  it('say that another run may have had it', async () => {
    const { passedOver, ledgerId } = await skippedAfterFive(5);
    expect(passedOver).toEqual({
      from: { ledgerId, entryId: 4 },
      to: { ledgerId, entryId: 9 },
      wasAway: true,
    });
  });

  it('say nothing on Failover, where another instance may have read it', async () => {
    expect((await skippedAfterFive(5, { subscriptionType: 'failover' })).passedOver).toBeUndefined();
  });

  it('say nothing where only what was handed out is acknowledged', async () => {
    expect((await skippedAfterFive(0)).passedOver).toBeUndefined();
    expect((await skippedAfterFive(2, { acknowledged: 3 })).passedOver).toBeUndefined();
  });
});

it('say nothing of what an earlier run acknowledged singly, behind a hole that closes in this one', async () => {
  const broker = await brokerWith(10);
  broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place === 3;
  const earlier = await openSource(broker);
  await earlier.first.acknowledge(ids(await take(earlier.first, 9)));
  await earlier.source.close();
  expect(earlier.first.positions()?.end).toMatchObject({ acknowledged: { entryId: 2 } });
  broker.faults.keepsBack = undefined;
  const { first, source } = await openSource(broker);
  await first.acknowledge(ids(await take(first, 1)));
  await source.close();
  expect(first.positions()).toMatchObject({ end: { acknowledged: { entryId: 9 } }, passedOver: undefined });
});
