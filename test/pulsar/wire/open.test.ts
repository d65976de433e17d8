// Opening many partitions: the first is the lock, the others come side by side. And closing: nothing is asked after it.
import { describe, expect, it, vi } from 'vitest';
import { SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import { scaledClock } from '../scaled-clock.ts';
import {
  createSource,
  failureOf,
  messages,
  openSource,
  SUBSCRIPTION,
  startBroker,
  TOPIC,
  take,
} from './loopback-source.ts';

const PARTITIONS = 120;

async function brokerWith(partitions: number) {
  const broker = await startBroker();
  broker.createTopic(TOPIC, partitions);
  return broker;
}
const numberOf = (topic: unknown) => Number(/-partition-(\d+)$/.exec(String(topic))?.[1]);

describe('opening partitions', () => {
  it('has the first, and then the others side by side, bounded, over one connection', async () => {
    const broker = await brokerWith(PARTITIONS);
    const opening = new Set<number>();
    const seen: string[] = [];
    let most = 0;
    broker.onCommand((name, { topic, consumerId }) => {
      if (name === 'lookupTopic') opening.add(numberOf(topic));
      most = Math.max(most, opening.size);
      seen.push(name === 'lookupTopic' ? `look up ${numberOf(topic)}` : `${name} ${consumerId}`);
      // The consumers get their ids in the order in which they are looked up.
      if (name === 'getLastMessageId') opening.delete(consumerId - 1);
      return undefined;
    });
    const { partitions } = await openSource(broker);
    expect(partitions.map(({ partition }) => partition)).toEqual([...Array(PARTITIONS).keys()]);
    expect(broker.consumers()).toHaveLength(PARTITIONS);
    expect(broker.connections()).toHaveLength(1);
    const beforeOthers = seen.slice(0, seen.indexOf('look up 1'));
    expect(beforeOthers.filter((one) => /^(look up|subscribe|getLastMessageId)/.test(one))).toEqual([
      'look up 0',
      'subscribe 1',
      'getLastMessageId 1',
    ]);
    expect(most).toBeGreaterThan(20);
    expect(most).toBeLessThanOrEqual(50);
  });

  it('goes on as long as one gets further, whatever the sum', async () => {
    const broker = await brokerWith(30);
    const clock = scaledClock(10);
    // Each SUBSCRIBE takes a second, one after the other: 30 s in all, where nothing may last 19.
    broker.onCommand((name) => (name === 'subscribe' ? clock.sleep(1_000).then(() => undefined) : undefined));
    const topic = parseTopicName(TOPIC) as TopicName;
    const options = contractOptions({ serviceUrl: broker.serviceUrl, subscription: SUBSCRIPTION, topic });
    const source = createWireSource({ ...options, clock }, { operationTimeoutMs: 60_000 });
    const startedMs = clock.now();
    expect(await source.open()).toHaveLength(30);
    expect(clock.now() - startedMs).toBeGreaterThan(25_000);
    await source.close();
  });

  it('ends where none gets further, and says so', async () => {
    const broker = await brokerWith(10);
    broker.onCommand((name, { topic }) => (name === 'subscribe' && numberOf(topic) > 4 ? 'drop' : undefined));
    const source = createSource(broker, { timings: { openTimeoutMs: 300, operationTimeoutMs: 60_000 } });
    expect(await failureOf(source.open())).toMatchObject({
      code: 'source',
      message: expect.stringContaining('no partition got further for 300 ms'),
    });
    expect(broker.consumers()).toEqual([]);
  });

  it('is for one of two instances that start together; the other is busy and leaves nothing open', async () => {
    const broker = await brokerWith(PARTITIONS);
    const sources = [createSource(broker), createSource(broker)];
    const opened = await Promise.all(sources.map((source) => source.open()));
    expect(opened.filter((one) => one === 'busy')).toHaveLength(1);
    expect(broker.consumers()).toHaveLength(PARTITIONS);
    expect(new Set(broker.consumers().map(({ connectionId }) => connectionId)).size).toBe(1);
    await vi.waitUntil(() => broker.connections().length === 1, { timeout: 20_000 });
  });

  it('is for one of two instances that start together, where the first partition is deleted, too', async () => {
    const broker = await brokerWith(4);
    const refusal = { error: SERVER_ERROR.TopicNotFound, message: 'gone' };
    // Side by side, one would get partition 1 and the other the rest.
    const seen: string[] = [];
    const until = (what: string) =>
      vi.waitUntil(() => seen.includes(what), { interval: 2 }).then(() => undefined);
    let first: unknown;
    broker.onCommand(async (name, { topic, consumerName }) => {
      if (name !== 'subscribe') return undefined;
      const partition = numberOf(topic);
      if (partition === 0) return refusal;
      first ??= consumerName;
      const isFirst = consumerName === first;
      if (isFirst && partition !== 1) await until('other, 1');
      if (!isFirst && partition === 1) await until('first, 1');
      seen.push(`${isFirst ? 'first' : 'other'}, ${partition}`);
      return undefined;
    });
    const opened = await Promise.all([createSource(broker).open(), createSource(broker).open()]);
    expect(opened.filter((one) => one === 'busy')).toHaveLength(1);
    expect(broker.consumers()).toHaveLength(3);
  });

  it('leaves nothing open where another consumer has one of the others', async () => {
    const broker = await brokerWith(PARTITIONS);
    const other = createSource(broker, { topic: parseTopicName(`${TOPIC}-partition-77`) as TopicName });
    await other.open();
    expect(await createSource(broker).open()).toBe('busy');
    await vi.waitUntil(() => broker.connections().length === 1, { timeout: 20_000 });
    expect(broker.consumers()).toHaveLength(1);
  });

  it('is tried again as a whole where one fails for a moment', async () => {
    const broker = await brokerWith(PARTITIONS);
    let refusals = 3;
    broker.onCommand((name, { topic }) =>
      name === 'subscribe' && numberOf(topic) % 40 === 7 && refusals-- > 0 ? { error: 6 } : undefined,
    );
    const { partitions } = await openSource(broker);
    expect(partitions).toHaveLength(PARTITIONS);
    expect(broker.consumers()).toHaveLength(PARTITIONS);
  });
});

describe('a partition that cannot be opened', () => {
  const partitions = 5;
  /** What is drained, partition by partition; text for one that fails. */
  async function drainWithout(refused: readonly number[], error: number, name = 'subscribe') {
    const broker = await brokerWith(partitions);
    for (let one = 0; one < partitions; one++) broker.publish(`${TOPIC}-partition-${one}`, messages(2));
    broker.onCommand((command, { topic }) =>
      command === name && refused.includes(numberOf(topic)) ? { error, message: 'no ledger' } : undefined,
    );
    const opened = await openSource(broker);
    return await Promise.all(
      opened.partitions.map(async (one) => {
        const failure = await one.next(1).then(
          () => undefined,
          (thrown: Error) => thrown.message,
        );
        return failure ?? 'drained';
      }),
    );
  }

  it.each([
    ['one of the others', [3]],
    ['the first', [0]],
    ['most', [0, 1, 2, 4]],
  ])('fails by itself, and the rest is read: %s', async (_, refused) => {
    for (const error of [SERVER_ERROR.PersistenceError, SERVER_ERROR.NotAllowedError]) {
      const drained = await drainWithout(refused, error);
      for (const [partition, what] of drained.entries()) {
        if (!refused.includes(partition)) expect(what).toBe('drained');
        else expect(what).toMatch(new RegExp(`partition-${partition} was refused: .*no ledger`));
      }
    }
  });

  it('fails by itself where its broker is not found', async () => {
    const drained = await drainWithout([2], SERVER_ERROR.ServiceNotReady, 'lookupTopic');
    expect(drained.filter((what) => what === 'drained')).toHaveLength(partitions - 1);
  });

  it('fails the opening where none opens, or the role may not', async () => {
    const all = [...Array(partitions).keys()];
    await expect(drainWithout(all, SERVER_ERROR.PersistenceError)).rejects.toThrow(
      /partition-0 was refused: PersistenceError/,
    );
    await expect(drainWithout([1], SERVER_ERROR.AuthorizationError)).rejects.toThrow('AuthorizationError');
  });

  it('leaves the next run as busy as ever', async () => {
    const broker = await brokerWith(partitions);
    let isRefused = true;
    broker.onCommand((command, { topic }) =>
      command === 'subscribe' && isRefused && numberOf(topic) === 0
        ? { error: SERVER_ERROR.NotAllowedError, message: 'no' }
        : undefined,
    );
    await openSource(broker);
    expect(await createSource(broker).open()).toBe('busy');
    isRefused = false;
    expect(await createSource(broker).open()).toBe('busy');
    expect(broker.consumers()).toHaveLength(partitions - 1);
  });
});

describe('closing asks the broker for nothing more', () => {
  // Besides the positions of those partitions that it closes.
  const asked = ['partitionMetadata', 'lookupTopic', 'subscribe', 'flow', 'ack'];

  /** Closes the source when the broker gets the `nth` command of this name; what is asked of the broker after that. */
  async function closeAt(at: string, doing: 'open' | 'restart' | 'recover', nth = 1) {
    // No partition more than needed: what others have sent already would seem to be asked afterwards.
    const broker = await brokerWith(doing === 'recover' ? 1 : 2);
    const source = createSource(broker);
    const afterwards: string[] = [];
    let closing: Promise<void> | undefined;
    let count = 0;
    const watch = () =>
      broker.onCommand((name) => {
        if (closing !== undefined && asked.includes(name)) afterwards.push(name);
        if (name === at && ++count === nth) closing ??= source.close();
        return undefined;
      });
    if (doing === 'open') {
      watch();
      await failureOf(source.open());
    } else {
      const partitions = await source.open();
      if (partitions === 'busy') throw new Error('it is busy');
      watch();
      if (doing === 'restart') await failureOf(partitions.at(-1)?.restart() as Promise<void>);
      else {
        broker.dropConnections();
        await failureOf(partitions.at(-1)?.next(60_000) as Promise<unknown>);
      }
    }
    await closing;
    await vi.waitUntil(() => broker.connections().length === 0, { timeout: 20_000 });
    return { isClosed: closing !== undefined, afterwards, consumers: broker.consumers() };
  }

  it.each([
    ['open', 'partitionMetadata', 1],
    ['open', 'lookupTopic', 1],
    ['open', 'lookupTopic', 2],
    ['open', 'getLastMessageId', 1],
    ['restart', 'closeConsumer', 1],
    ['restart', 'lookupTopic', 1],
    ['restart', 'subscribe', 1],
    ['recover', 'connect', 1],
    ['recover', 'lookupTopic', 1],
    ['recover', 'subscribe', 1],
  ] as const)('during %s, at %s (%i)', async (doing, at, nth) => {
    expect(await closeAt(at, doing, nth)).toEqual({ isClosed: true, afterwards: [], consumers: [] });
  });

  it('and leaves no timer, while it waited to try again', async () => {
    const broker = await brokerWith(3);
    const clock = scaledClock(1);
    const topic = parseTopicName(TOPIC) as TopicName;
    const options = contractOptions({ serviceUrl: broker.serviceUrl, subscription: SUBSCRIPTION, topic });
    const source = createWireSource({ ...options, clock });
    const partitions = await source.open();
    if (partitions === 'busy') throw new Error('it is busy');
    broker.publish(`${TOPIC}-partition-0`, messages(1));
    await take(partitions[0] as (typeof partitions)[0], 1);
    await broker.stop();
    await vi.waitUntil(() => clock.sleepers() > 0, { timeout: 20_000 });
    await source.close();
    await vi.waitUntil(() => clock.sleepers() === 0, { timeout: 200 });
  });
});
