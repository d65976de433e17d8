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

const CHUNK = {
  producerName: 'p',
  sequenceId: 1,
  publishTime: 1,
  uuid: 'u',
  numChunksFromMsg: 3,
  totalChunkMsgSize: 9,
};

async function brokerWithTopic() {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  const chunk = (chunkId: number, uuid = 'u') =>
    broker.appendEntry(TOPIC, { ...CHUNK, chunkId, uuid }, Buffer.from(`c${chunkId} `));
  return { broker, chunk };
}

describe('a chunked message', () => {
  it.each(['exclusive', 'failover', 'shared'] as const)(
    'is one entry, and acknowledging it acknowledges its chunks (%s)',
    async (subscriptionType) => {
      const { broker } = await brokerWithTopic();
      const payload = Buffer.alloc(100_000, 'some text ');
      const stored = broker.publish(TOPIC, [{ payload }], { chunkSizeBytes: 100, compression: 'lz4' });
      broker.publish(TOPIC, messages(1));
      const { first } = await openSource(broker, { subscriptionType });
      const [chunked, single] = await take(first, 2);
      expect(stored.length).toBeGreaterThan(1);
      expect(chunked?.id).toMatchObject({ entryId: stored.at(-1)?.entryId });
      expect(chunked?.messages[0]?.id).toMatchObject({ ...chunked?.id, batchIndex: -1 });
      expect(payload.equals(Buffer.from(chunked?.messages[0]?.payload as Uint8Array))).toBe(true);
      await first.acknowledge([chunked?.id as never]);
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(1);
      expect(texts([single as never])).toEqual(['m0']);
    },
  );

  it('that is not complete stays unacknowledged, while everything around it is acknowledged', async () => {
    const { broker, chunk } = await brokerWithTopic();
    broker.publish(TOPIC, messages(1));
    const c0 = chunk(0);
    broker.publish(TOPIC, messages(2, 1));
    const c1 = chunk(1);
    broker.publish(TOPIC, messages(1, 3));
    const { source, first } = await openSource(broker);
    const seen: string[] = [];
    for (let n = 0; n < 6; n++) {
      const delivery = await first.next(500);
      seen.push(delivery.kind);
      if (delivery.kind === 'entry') await first.acknowledge([delivery.id]);
    }
    expect(seen).toEqual(['entry', 'pending', 'entry', 'entry', 'pending', 'entry']);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(2);
    await source.close();
    chunk(2);
    const { first: later } = await openSource(broker);
    const whole = await take(later, 1);
    expect(texts(whole)).toEqual(['c0 c1 c2 ']);
    await later.acknowledge(ids(whole));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
    expect(c0.entryId).toBeLessThan(c1.entryId);
  });

  it('is not lost when the connection breaks between its chunks and an acknowledgement comes before them again', async () => {
    const { broker, chunk } = await brokerWithTopic();
    chunk(0);
    broker.publish(TOPIC, messages(1));
    const { first } = await openSource(broker);
    expect((await first.next(500)).kind).toBe('pending');
    const [single] = await take(first, 1);
    broker.dropConnections();
    await first.acknowledge([single?.id as never]).catch(() => first.acknowledge([single?.id as never]));
    chunk(1);
    chunk(2);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(3);
    let whole = await take(first, 1);
    // What was acknowledged may have been on its way again already.
    while (texts(whole).join() === 'm0') whole = await take(first, 1);
    expect(texts(whole)).toEqual(['c0 c1 c2 ']);
    await first.acknowledge(ids(whole));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it('with a missing chunk is given out raw, as unreadable', async () => {
    const { broker, chunk } = await brokerWithTopic();
    chunk(0);
    chunk(2);
    const { first } = await openSource(broker);
    expect((await first.next(500)).kind).toBe('pending');
    const delivery = await first.next(500);
    expect(delivery).toMatchObject({
      kind: 'unreadable',
      reason: expect.stringContaining('chunk 1 of 3 is missing'),
    });
    if (delivery.kind === 'unreadable') await first.acknowledge([delivery.id]);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });
});

describe('the receive budget', () => {
  it('bounds what waits for a partition that nobody reads, and starves no other', async () => {
    const broker = await startBroker();
    broker.createTopic(TOPIC, 2);
    const payload = Buffer.alloc(10_000, 'x');
    for (const n of [0, 1]) {
      broker.publish(
        `${TOPIC}-partition-${n}`,
        Array.from({ length: 400 }, () => ({ payload })),
      );
    }
    const { partitions } = await openSource(broker, { receiveBudgetBytes: 400_000 });
    await take(partitions[1] as never, 400);
    const unread = broker.consumers().find(({ topic }) => topic.endsWith('-0'));
    expect(unread?.unackedMessages).toBeLessThanOrEqual(20);
    await take(partitions[0] as never, 400);
  });

  it('lets a single message through that is larger than it', async () => {
    const { broker } = await brokerWithTopic();
    broker.publish(TOPIC, [{ payload: Buffer.alloc(3_000_000, 'x') }, { payload: 'after' }]);
    const { first } = await openSource(broker, { receiveBudgetBytes: 100_000 });
    expect((await take(first, 2)).at(1)?.messages[0]?.payload?.length).toBe(5);
  });
});
