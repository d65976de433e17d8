// When a source asks its broker for entries, seen from the broker.
import { expect, it, vi } from 'vitest';
import type { SourcePartition } from '../../../src/ports.ts';
import { messages, openSource, startBroker, TOPIC, take, texts } from './loopback-source.ts';

const permitsOf = (broker: Awaited<ReturnType<typeof startBroker>>) =>
  broker.consumers().map(({ permits }) => permits);

it('asks for nothing before somebody reads, and then for that partition alone', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 3);
  const { partitions } = await openSource(broker);
  expect(permitsOf(broker)).toEqual([0, 0, 0]);
  expect(await (partitions[1] as SourcePartition).next(20)).toEqual({ kind: 'idle' });
  await vi.waitFor(() => expect(permitsOf(broker).filter((permits) => permits > 0)).toHaveLength(1));
});

it('keeps nothing from the other consumers of a Shared subscription that it is not asked for', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  const unread = await openSource(broker, { subscriptionType: 'shared' });
  const { first } = await openSource(broker, { subscriptionType: 'shared' });
  broker.publish(TOPIC, messages(50));
  expect(texts(await take(first, 50))).toHaveLength(50);
  await unread.source.close();
});

it('reads ahead up to the end of the run and no further, and on when it is asked', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.publish(TOPIC, messages(20));
  const { first } = await openSource(broker);
  broker.publish(TOPIC, messages(500, 20));
  expect(texts(await take(first, 20))).toHaveLength(20);
  await vi.waitFor(() => expect(permitsOf(broker)).toEqual([0]), { timeout: 20_000 });
  expect(texts(await take(first, 500)).at(-1)).toBe('m519');
});

it('lets a partition that waits have its entry while another holds the whole budget unread', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 2);
  const large = Buffer.alloc(300_000, 'x');
  for (const n of [0, 1]) {
    broker.publish(
      `${TOPIC}-partition-${n}`,
      Array.from({ length: 10 }, () => ({ payload: large })),
    );
  }
  const { partitions } = await openSource(broker, { receiveBudgetBytes: 1_000_000 });
  const [unread, read] = partitions as [SourcePartition, SourcePartition];
  await take(unread, 1);
  expect(await take(read, 10)).toHaveLength(10);
  expect(await take(unread, 9)).toHaveLength(9);
});

it('delivers everything where entries are far larger than those before, whoever is read', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 2);
  const large = Buffer.alloc(1_000_000, 'x');
  for (const n of [0, 1]) {
    const topic = `${TOPIC}-partition-${n}`;
    broker.publish(topic, messages(300));
    broker.publish(
      topic,
      Array.from({ length: 20 }, () => ({ payload: large })),
    );
  }
  const { partitions } = await openSource(broker, { receiveBudgetBytes: 1_000_000 });
  const [unread, read] = partitions as [SourcePartition, SourcePartition];
  await take(unread, 200);
  expect(await take(read, 320)).toHaveLength(320);
  await read.acknowledge([read.end as { ledgerId: number; entryId: number }]);
  expect(await take(unread, 120)).toHaveLength(120);
});

it('asks again where nothing comes although the end is not reached: brokers ignore a FLOW that comes too soon', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.publish(TOPIC, messages(20));
  let flows = 0;
  broker.onCommand((name) => (name === 'flow' && ++flows === 2 ? 'drop' : undefined));
  const { first } = await openSource(broker);
  expect(texts(await take(first, 1))).toEqual(['m0']);
  await vi.waitFor(() => expect(flows).toBe(2), { timeout: 20_000 });
  expect(await first.next(50)).toEqual({ kind: 'idle' });
  expect(texts(await take(first, 1))).toEqual(['m1']);
});

it('asks again at longer and longer intervals: each time may bring one entry more in the end', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  broker.publish(TOPIC, messages(1));
  let flows = 0;
  broker.onCommand((name) => {
    if (name !== 'flow') return undefined;
    flows++;
    return 'drop';
  });
  const { first } = await openSource(broker);
  for (let i = 0; i < 16; i++) expect(await first.next(10)).toEqual({ kind: 'idle' });
  await vi.waitFor(() => expect(flows).toBe(1 + 5));
});

it('reports no silence where its connection is busy with what others asked for', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 2);
  const large = Buffer.alloc(2_000_000, 'x');
  broker.publish(`${TOPIC}-partition-0`, [{ payload: large }]);
  const { partitions } = await openSource(broker);
  const [busy, quiet] = partitions as [SourcePartition, SourcePartition];
  const answer = quiet.next(300);
  expect(await take(busy, 1)).toHaveLength(1);
  expect(await answer).toEqual({ kind: 'behind' });
  expect(await quiet.next(20)).toEqual({ kind: 'idle' });
});
