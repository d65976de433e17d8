import { expect, test } from 'vitest';
import type { Consumer, SubscriptionType } from '../../../src/local/broker/subscription.ts';
import { Topic } from '../../../src/local/broker/topic.ts';

const OPTIONS = { failoverDelayMs: 0, maxUnackedMessagesPerConsumer: 5000 };

function makeTopic(
  entries: number,
  options: { messages?: number; keys?: number; name?: string } = {},
): Topic {
  let ledgers = 0;
  const topic = new Topic(options.name ?? 'persistent://a/b/c', () => ++ledgers, 1000);
  for (let place = 0; place < entries; place++) append(topic, place, options);
  return topic;
}

function append(
  topic: Topic,
  place: number,
  { messages = 1, keys = 1 }: { messages?: number; keys?: number } = {},
) {
  const stickyKey = `k${place % keys}`;
  topic.append({ bytes: Buffer.alloc(0), messages, isBatch: messages > 1, stickyKey, publishTimeMs: place });
}

/** A consumer that writes down what happens to it. */
function join(topic: Topic, type: SubscriptionType, name = 'c', settings = OPTIONS) {
  const got: number[] = [];
  const redeliveries: number[] = [];
  const seen: (boolean | 'end' | 'closed')[] = [];
  const state = { isWritable: true };
  const subscription = topic.subscribe('s', 'earliest', settings);
  const added = subscription.add(
    {
      name,
      priority: 0,
      isWritable: () => state.isWritable,
      checkAlive: async () => true,
      deliver: (entry, redeliveryCount) => {
        got.push(entry.place);
        redeliveries.push(redeliveryCount);
      },
      activeChanged: (isActive) => void seen.push(isActive),
      reachedEnd: () => void seen.push('end'),
      closed: () => void seen.push('closed'),
    },
    type,
  );
  if (typeof added === 'string') throw new Error(added);
  const consumer: Consumer = added;
  /** What came since the last call. */
  const take = () => got.splice(0);
  return {
    topic,
    subscription,
    consumer,
    take,
    seen,
    redeliveries,
    state,
    flow: (n: number) => subscription.flow(consumer, n),
  };
}

test('permits are counted in messages and spent by whole entries, so they go negative', () => {
  const { consumer, flow, take } = join(makeTopic(5, { messages: 128 }), 'Exclusive');
  flow(1);
  expect([take(), consumer.permits]).toEqual([[0], -127]);
  flow(127);
  expect([take(), consumer.permits]).toEqual([[], 0]);
  flow(129);
  expect([take(), consumer.permits]).toEqual([[1, 2], -127]);
});

test('Exclusive goes back to the first unacknowledged entry, and skips those acknowledged one by one', () => {
  const topic = makeTopic(5);
  const { subscription, consumer, flow, take } = join(topic, 'Exclusive');
  flow(100);
  expect(take()).toEqual([0, 1, 2, 3, 4]);
  subscription.ackCumulative(0);
  subscription.ackEach([2]);
  subscription.redeliver(consumer, [4]);
  expect(take()).toEqual([1, 3, 4]);
  subscription.remove(consumer);
  const second = join(topic, 'Exclusive');
  second.flow(100);
  expect(second.take()).toEqual([1, 3, 4]);
});

test('Shared takes turns, and a consumer without permits or with a full socket is passed over', () => {
  const topic = makeTopic(4);
  const a = join(topic, 'Shared', 'a');
  const b = join(topic, 'Shared', 'b');
  a.flow(2);
  b.state.isWritable = false;
  b.flow(10);
  expect([a.take(), b.take()]).toEqual([[0, 1], []]);
  b.state.isWritable = true;
  b.subscription.dispatch();
  expect(b.take()).toEqual([2, 3]);
  a.flow(10);
  for (let place = 4; place < 8; place++) append(topic, place);
  expect(a.take().length).toBe(2);
  expect(b.take().length).toBe(2);
});

test('Shared delivers again only what is asked for, lowest first, and counts', () => {
  const { subscription, consumer, flow, take, redeliveries } = join(makeTopic(6), 'Shared');
  flow(100);
  take();
  subscription.ackEach([3]);
  subscription.redeliver(consumer, [4, 1, 3]);
  expect([take(), redeliveries.splice(0)]).toEqual([
    [1, 4],
    [0, 0, 0, 0, 0, 0, 1, 1],
  ]);
  subscription.redeliver(consumer, []);
  expect([take(), redeliveries]).toEqual([
    [0, 1, 2, 4, 5],
    [1, 2, 1, 2, 1],
  ]);
});

test('a Shared consumer is blocked at the cap of unacknowledged messages and goes on at half of it', () => {
  const settings = { ...OPTIONS, maxUnackedMessagesPerConsumer: 10 };
  const { subscription, consumer, flow, take } = join(
    makeTopic(30, { messages: 2 }),
    'Shared',
    'c',
    settings,
  );
  flow(1000);
  expect([take(), consumer.isBlocked]).toEqual([[0, 1, 2, 3, 4], true]);
  subscription.ackEach([0, 1]);
  expect(take()).toEqual([]);
  subscription.ackEach([2]);
  expect(take()).toEqual([5, 6, 7]);
  expect(consumer.unackedMessages).toBe(10);
});

test('Key_Shared keeps a key with one consumer, in order, also while that one has no permits', () => {
  const topic = makeTopic(200, { keys: 20 });
  const a = join(topic, 'Key_Shared', 'a');
  const b = join(topic, 'Key_Shared', 'b');
  b.flow(1000);
  const ofB = b.take();
  a.flow(1000);
  const ofA = a.take();
  expect(ofA.length).toBeGreaterThan(0);
  expect(ofB.length).toBeGreaterThan(0);
  expect([...ofA, ...ofB].sort((x, y) => x - y)).toEqual(Array.from({ length: 200 }, (_, place) => place));
  const keysOfB = new Set(ofB.map((place) => place % 20));
  expect(ofA.filter((place) => keysOfB.has(place % 20))).toEqual([]);
  expect(ofA).toEqual(ofA.toSorted((x, y) => x - y));
  a.subscription.remove(a.consumer);
  expect(b.take()).toEqual(ofA);
});

test('Key_Shared gives a key to another consumer only when the first has nothing of it any more', () => {
  const topic = makeTopic(20, { keys: 20 });
  const a = join(topic, 'Key_Shared', 'a');
  a.flow(20);
  a.take();
  const b = join(topic, 'Key_Shared', 'b');
  b.flow(1000);
  a.flow(1000);
  for (let place = 20; place < 40; place++) append(topic, place, { keys: 20 });
  expect(b.take()).toEqual([]);
  const ofA = a.take();
  a.subscription.ackEach(Array.from({ length: 20 }, (_, place) => place));
  const ofB = b.take();
  expect(ofB.length).toBeGreaterThan(0);
  expect([...ofA, ...ofB].sort((x, y) => x - y)).toEqual(
    Array.from({ length: 20 }, (_, place) => 20 + place),
  );
});

test('Failover has one active consumer, informs all of it, and starts the next at the first unacknowledged entry', () => {
  const topic = makeTopic(4);
  const b = join(topic, 'Failover', 'b');
  const c = join(topic, 'Failover', 'c');
  c.flow(10);
  b.flow(10);
  expect([b.seen, b.take(), c.seen, c.take()]).toEqual([[true], [0, 1, 2, 3], [false], []]);
  b.subscription.ackCumulative(1);
  const a = join(topic, 'Failover', 'a');
  a.flow(10);
  expect([a.seen, b.seen, c.seen]).toEqual([[true], [true, false], [false, false]]);
  expect(a.take()).toEqual([2, 3]);
  a.subscription.remove(a.consumer);
  expect([b.seen, b.take()]).toEqual([
    [true, false, true],
    [2, 3],
  ]);
  b.subscription.activate(undefined);
  append(topic, 4);
  expect([b.seen.at(-1), c.seen.at(-1), b.take(), c.take()]).toEqual([false, false, [], []]);
});

test('the partitions of a Failover topic begin with different consumers', () => {
  const active = [0, 1, 2].map((partition) => {
    const topic = makeTopic(1, { name: `persistent://a/b/c-partition-${partition}` });
    const consumers = ['x', 'y', 'z'].map((name) => join(topic, 'Failover', name));
    return consumers[0]?.subscription.active?.port.name;
  });
  expect(active).toEqual(['x', 'y', 'z']);
});

test('a Failover consumer gets nothing before the delay has passed', async () => {
  const settings = { ...OPTIONS, failoverDelayMs: 20 };
  const { take, seen, flow, topic } = join(makeTopic(2), 'Failover', 'c', settings);
  flow(10);
  append(topic, 2);
  expect([take(), seen]).toEqual([[], []]);
  await expect.poll(() => seen).toEqual([true]);
  expect(take()).toEqual([0, 1, 2]);
});

test('consumers of a terminated topic hear of its end once, when all of it is acknowledged', () => {
  const { topic, subscription, seen, flow, take } = join(makeTopic(2), 'Exclusive');
  flow(10);
  topic.terminate();
  expect([take(), seen]).toEqual([[0, 1], []]);
  subscription.ackCumulative(1);
  subscription.dispatch();
  expect(seen).toEqual(['end']);
});

test('a reset closes the consumers and begins where it says, whatever was acknowledged', () => {
  const { topic, subscription, consumer, seen, flow } = join(makeTopic(5), 'Shared');
  flow(10);
  subscription.ackEach([0, 1, 3]);
  subscription.reset(0);
  expect([seen, subscription.consumers, consumer.pending.size]).toEqual([['closed'], [], 0]);
  const next = join(topic, 'Exclusive');
  next.flow(10);
  expect(next.take()).toEqual([1, 2, 3, 4]);
});

test('positions and places answer each other over ledgers, empty ones and bounds', () => {
  const topic = makeTopic(2);
  topic.rollLedger();
  topic.rollLedger();
  append(topic, 2);
  const at = (ledgerId: number, entryId: number) => topic.placeOf({ ledgerId, entryId });
  expect([at(-1, -1), at(1, -1), at(1, 0), at(1, 7), at(2, 0), at(3, -1), at(3, 0), at(9, 0)]).toEqual([
    -1, -1, 0, 1, 1, 1, 2, 2,
  ]);
  expect([-1, 0, 1, 2].map((place) => topic.positionOf(place))).toEqual([
    { ledgerId: 1, entryId: -1 },
    { ledgerId: 1, entryId: 0 },
    { ledgerId: 1, entryId: 1 },
    { ledgerId: 3, entryId: 0 },
  ]);
  expect(topic.entryAt({ ledgerId: 1, entryId: 7 })).toBe(undefined);
  expect(topic.entryAt({ ledgerId: 3, entryId: 0 })?.place).toBe(2);
});
