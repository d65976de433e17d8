// Chunks of messages that their producer did not finish: where they are reported, and what happens when they are given up.
import { describe, expect, it } from 'vitest';
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

const NOW = Date.now();
const HOUR = 3_600_000;

async function brokerWithTopic() {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.createSubscription(TOPIC, SUBSCRIPTION);
  const chunk = (uuid: string, chunkId: number, publishTime = NOW, of = 3) =>
    broker.appendEntry(
      TOPIC,
      { uuid, chunkId, numChunksFromMsg: of, totalChunkMsgSize: of * 3, publishTime },
      Buffer.from(`${uuid}${chunkId} `),
    );
  return { broker, chunk };
}

for (const subscriptionType of ['exclusive', 'failover', 'shared', 'key_shared'] as const) {
  describe(`on a subscription of type ${subscriptionType}, chunks of unfinished messages`, () => {
    it('are given back as they are stored, and acknowledged with nothing else', async () => {
      const { broker, chunk } = await brokerWithTopic();
      const old = [chunk('old', 0, NOW - 2 * HOUR), chunk('old', 1, NOW - 2 * HOUR)];
      broker.publish(TOPIC, messages(2));
      const young = chunk('young', 0);
      broker.publish(TOPIC, messages(2, 2));
      const { first } = await openSource(broker, { subscriptionType });
      await first.acknowledge(ids(await take(first, 4)));
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(3);
      const given = await first.giveUpChunks(NOW - HOUR);
      expect(given).toMatchObject([
        {
          kind: 'unreadable',
          id: old[1],
          topic: TOPIC,
          reason: expect.stringContaining('only 2 came'),
          raw: old.map((id) => ({ id })),
        },
      ]);
      for (const { id } of given) await first.acknowledge([id]);
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(1);
      expect(broker.ackedPositions(TOPIC, SUBSCRIPTION).individual).not.toContainEqual(young);
      expect(await first.heldBack?.(1, 0)).toEqual(['incomplete chunks']);
      expect(await first.giveUpChunks(NOW - HOUR)).toEqual([]);
    });

    it('that are young, or of a clock that is ahead, wait for the rest, which comes in a later run', async () => {
      const { broker, chunk } = await brokerWithTopic();
      chunk('young', 0, NOW, 2);
      chunk('ahead', 0, NOW + 1_000 * HOUR, 2);
      chunk('mixed', 0, NOW - 2 * HOUR, 3);
      chunk('mixed', 1, NOW, 3);
      broker.publish(TOPIC, messages(1));
      const { first, source } = await openSource(broker, { subscriptionType });
      await first.acknowledge(ids(await take(first, 1)));
      expect(await first.giveUpChunks(NOW - HOUR)).toEqual([]);
      await source.close();
      for (const uuid of ['young', 'ahead']) chunk(uuid, 1, NOW, 2);
      chunk('mixed', 2, NOW, 3);
      const { first: later } = await openSource(broker, { subscriptionType });
      const whole = await take(later, 3);
      expect(texts(whole)).toEqual(['young0 young1 ', 'ahead0 ahead1 ', 'mixed0 mixed1 mixed2 ']);
      await later.acknowledge(ids(whole));
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
    });
  });
}

describe('on a Shared subscription', () => {
  it('chunks that come in another order are joined', async () => {
    const { broker, chunk } = await brokerWithTopic();
    for (const chunkId of [2, 0, 1]) chunk('a', chunkId);
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    const whole = await take(first, 1);
    expect(texts(whole)).toEqual(['a0 a1 a2 ']);
    await first.acknowledge(ids(whole));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it('the last chunks of messages whose first another consumer has are reported, and given up in time', async () => {
    const { broker, chunk } = await brokerWithTopic();
    const last = chunk('a', 2, NOW - 2 * HOUR);
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    expect((await first.next(500)).kind).toBe('pending');
    expect(await first.giveUpChunks(NOW - 3 * HOUR)).toEqual([]);
    expect(await first.heldBack?.(1, 0)).toEqual(['incomplete chunks']);
    const [given] = await first.giveUpChunks(NOW - HOUR);
    expect(given).toMatchObject({ id: last });
    await first.acknowledge([last]);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it('chunks that the broker keeps for a consumer that is gone are named, and given up in time', async () => {
    const { broker, chunk } = await brokerWithTopic();
    const kept = [0, 1].map((chunkId) => chunk('kept', chunkId, NOW - 2 * HOUR));
    broker.publish(TOPIC, messages(2));
    const next = chunk('next', 0, NOW - 2 * HOUR);
    broker.faults.keepsBack = (subscription, { place }) =>
      subscription === SUBSCRIPTION && (place < 2 || place === 4);
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    await first.acknowledge(ids(await take(first, 2)));
    expect(await first.heldBack?.(3, 1_000)).toEqual(['incomplete chunks']);
    expect(await first.giveUpChunks(NOW - 3 * HOUR)).toEqual([]);
    // Asked as at the end of a run, which does not ask once more.
    expect(await first.heldBack?.(0, 0)).toEqual(['incomplete chunks']);
    for (const id of [kept[1], next]) {
      const given = await first.giveUpChunks(NOW - HOUR);
      expect(given).toMatchObject([{ kind: 'unreadable', id }]);
      await first.acknowledge(given.map((one) => one.id));
    }
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
    expect(await first.giveUpChunks(NOW - HOUR)).toEqual([]);
  });

  it('they are given up also where more comes after them than is read through', async () => {
    const { broker, chunk } = await brokerWithTopic();
    const kept = chunk('kept', 0, NOW - 2 * HOUR);
    broker.publish(TOPIC, messages(10_500));
    broker.faults.keepsBack = (subscription, { place }) => subscription === SUBSCRIPTION && place === 0;
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    for (let taken = 0; taken < 10_500; taken += 500) await first.acknowledge(ids(await take(first, 500)));
    const given = await first.giveUpChunks(NOW - HOUR);
    expect(given).toMatchObject([{ kind: 'unreadable', id: kept }]);
    await first.acknowledge(given.map((one) => one.id));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it('chunks of a whole message that another consumer has are left to it', async () => {
    const { broker, chunk } = await brokerWithTopic();
    for (const chunkId of [0, 1, 2]) chunk('whole', chunkId, NOW - 2 * HOUR);
    broker.faults.keepsBack = (subscription) => subscription === SUBSCRIPTION;
    const { first } = await openSource(broker, { subscriptionType: 'shared' });
    expect(await first.giveUpChunks(NOW - HOUR)).toEqual([]);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(3);
  });
});
