import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { BackupError } from '../../../src/errors.ts';
import type { SourcePartition } from '../../../src/ports.ts';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import { startStopwatch } from '../scaled-clock.ts';
import { hurriedClock } from '../virtual-clock.ts';
import {
  createSource,
  failureOf,
  ids,
  messages,
  openSource,
  SUBSCRIPTION,
  startBroker,
  TOPIC,
  take,
  texts,
} from './loopback-source.ts';

async function brokerWith(count: number) {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  broker.publish(TOPIC, messages(count));
  return broker;
}

describe('a consumer that has lost its broker', () => {
  const ways = {
    'the connection breaks': (broker) => broker.dropConnections(),
    'the broker closes the consumer': (broker) => broker.kickConsumers(TOPIC, SUBSCRIPTION),
    'the topic is unloaded': (broker) => broker.unload(TOPIC),
    'garbage arrives': (broker) => broker.sendRaw(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    'a frame announces 4 GiB': (broker) => broker.sendRaw(Buffer.alloc(4, 0xff)),
    'a command is malformed': (broker) => broker.sendRaw(Buffer.from('0000000600000002080d', 'hex')),
    'the broker restarts': async (broker) => {
      await broker.stop();
      await broker.start();
    },
  } satisfies Record<string, (broker: Awaited<ReturnType<typeof startBroker>>) => unknown>;

  it.each(Object.entries(ways))(
    'comes back by itself and gets everything unacknowledged again: %s',
    async (_, act) => {
      const broker = await brokerWith(6);
      const { first } = await openSource(broker);
      const taken = await take(first, 4);
      await first.acknowledge(ids(taken.slice(0, 2)));
      await act(broker);
      // What was queued here before may come first; then everything unacknowledged comes, in order.
      const again: unknown[] = [];
      while (again.slice(-4).join() !== 'm2,m3,m4,m5') again.push(...texts(await take(first, 1)));
      await first.acknowledge([taken[3]?.id as never]);
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(2);
    },
  );

  it('waits for it with next, without saying idle, until it is back', async () => {
    const broker = await brokerWith(0);
    const { first } = await openSource(broker);
    await broker.stop();
    const next = first.next(50);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await broker.start();
    expect(await next).toEqual({ kind: 'idle' });
  });

  it('ends waiting with the run, and reports what kept the broker away', async () => {
    const broker = await brokerWith(0);
    const run = new AbortController();
    const { first } = await openSource(broker, { signal: run.signal });
    broker.faults.acks = { fault: 'ignore', times: 1 };
    const lost = failureOf(first.acknowledge([{ ledgerId: 1, entryId: 1 }]));
    await broker.stop();
    await lost;
    const next = failureOf(first.next(60_000));
    const ack = failureOf(first.acknowledge([{ ledgerId: 1, entryId: 1 }]));
    run.abort();
    for (const failure of [await next, await ack]) {
      expect(failure).toMatchObject({
        code: 'source',
        retryable: true,
        message: expect.stringMatching(/waited for Pulsar: .*(closed|reached)/),
      });
    }
  });

  it('gives up in time where the run has no end, with the reason', async () => {
    const broker = await brokerWith(0);
    const { first } = await openSource(broker, { timings: { reconnectTimeoutMs: 400 } });
    await broker.stop();
    const failure = await failureOf(first.next(60_000));
    expect(failure).toMatchObject({ code: 'source', message: expect.stringContaining('cannot be reached') });
  });

  it('is not tried for ever where nothing further comes, but longer than anything else takes', async () => {
    const broker = await brokerWith(4);
    const options = {
      serviceUrl: broker.serviceUrl,
      subscription: SUBSCRIPTION,
      topic: parseTopicName(TOPIC) as TopicName,
    };
    const source = createWireSource({ ...contractOptions(options), clock: hurriedClock });
    const [first] = (await source.open()) as SourcePartition[];
    await first?.next(60_000);
    let flows = 0;
    broker.onCommand((name) => (name === 'flow' && ++flows > 0 ? 'close' : undefined));
    broker.dropConnections();
    const failure = await failureOf((first as SourcePartition).next(60_000));
    expect(failure).toMatchObject({
      code: 'source',
      retryable: true,
      message: expect.stringContaining('gets no further'),
    });
    expect(flows).toBe(30);
    await source.close();
  });

  it('fails at once where the topic is gone for good', async () => {
    const broker = await brokerWith(2);
    const { first } = await openSource(broker);
    await take(first, 2);
    broker.deleteTopic(TOPIC);
    const failure = await failureOf(first.next(60_000));
    expect(failure).toBeInstanceOf(BackupError);
    expect(failure).toMatchObject({ retryable: false, hint: expect.stringContaining('PULSAR_TOPIC') });
  });

  it('leaves the consumers of other brokers and partitions what they have', async () => {
    const broker = await startBroker();
    broker.createTopic(TOPIC, 2);
    for (const n of [0, 1]) broker.publish(`${TOPIC}-partition-${n}`, messages(4, 10 * n));
    const { partitions } = await openSource(broker);
    const [one, other] = partitions as [(typeof partitions)[0], (typeof partitions)[0]];
    await take(other, 2);
    broker.kickConsumers(`${TOPIC}-partition-0`, SUBSCRIPTION);
    const again: unknown[] = [];
    while (again.slice(-4).join() !== 'm0,m1,m2,m3') again.push(...texts(await take(one, 1)));
    expect(texts(await take(other, 2))).toEqual(['m12', 'm13']);
    expect(broker.connections()).toHaveLength(1);
  });
});

describe('an acknowledgement', () => {
  it('whose receipt is lost fails as worth a retry, and the retry succeeds', async () => {
    const broker = await brokerWith(2);
    const { first } = await openSource(broker, { timings: { operationTimeoutMs: 1_000 } });
    const taken = ids(await take(first, 2));
    broker.faults.acks = { fault: 'lose-receipt', times: 1 };
    expect(await failureOf(first.acknowledge(taken))).toMatchObject({
      retryable: true,
      outcomeUnknown: true,
    });
    await first.acknowledge(taken);
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(0);
  });

  it.each(['close-before', 'close-after'] as const)(
    'on a dying connection (%s) fails as worth a retry, and the retry waits for the new one',
    async (fault) => {
      const broker = await brokerWith(3);
      const { first } = await openSource(broker);
      const taken = ids(await take(first, 2));
      broker.faults.acks = { fault, times: 1 };
      expect(await failureOf(first.acknowledge(taken))).toMatchObject({
        retryable: true,
        outcomeUnknown: true,
      });
      await first.acknowledge(taken);
      expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(1);
    },
  );

  it('of a consumer that the broker closes fails at once, not when the time is over', async () => {
    const broker = await brokerWith(1);
    const { first } = await openSource(broker, { timings: { operationTimeoutMs: 60_000 } });
    const taken = ids(await take(first, 1));
    broker.onCommand((name) => (name === 'ack' ? 'drop' : undefined));
    const failure = failureOf(first.acknowledge(taken));
    await first.next(10);
    broker.kickConsumers(TOPIC, SUBSCRIPTION);
    expect(await failure).toMatchObject({ retryable: true, outcomeUnknown: true });
  });

  it('while the broker is away fails in time as worth a retry', async () => {
    const broker = await brokerWith(1);
    const { first } = await openSource(broker);
    const taken = ids(await take(first, 1));
    await broker.stop();
    const failure = await failureOf(first.acknowledge(taken));
    expect(failure).toMatchObject({ code: 'source', retryable: true });
  });

  it('is proved by a later answer where the broker is too old for receipts', async () => {
    const broker = await brokerWith(4);
    broker.faults.protocolVersion = 16;
    const { first } = await openSource(broker);
    const taken = ids(await take(first, 4));
    const seen: string[] = [];
    broker.onCommand((name) => {
      if (name !== 'flow') seen.push(name);
      return undefined;
    });
    await first.acknowledge(taken.slice(0, 3));
    expect(broker.subscriptionBacklog(TOPIC, SUBSCRIPTION)).toBe(1);
    expect(seen).toEqual(['ack', 'consumerStats']);
  });
});

describe('the connection', () => {
  it('is given up when the broker stops answering PING', async () => {
    const broker = await brokerWith(1);
    const { first } = await openSource(broker, {
      timings: { pingIntervalMs: 60, operationTimeoutMs: 1_000 },
    });
    await take(first, 1);
    const before = broker.connections()[0]?.id;
    broker.faults.isSilent = true;
    const next = first.next(60_000);
    await vi.waitUntil(() => broker.connections().every(({ id }) => id !== before), { timeout: 20_000 });
    broker.faults.isSilent = false;
    expect((await next).kind).toBe('entry');
    expect(broker.connections().map(({ id }) => id)).not.toContain(before);
  });

  it('answers PING and a challenge to authenticate again', async () => {
    const broker = await startBroker({ keepAliveMs: 500 });
    broker.createTopic(TOPIC);
    let pongs = 0;
    broker.onCommand((name) => {
      if (name === 'pong') pongs++;
      return undefined;
    });
    const { first } = await openSource(broker);
    broker.challengeAuth();
    await vi.waitUntil(() => pongs > 1 && broker.connections()[0]?.authResponses === 1, { timeout: 20_000 });
    broker.publish(TOPIC, messages(1));
    expect(texts(await take(first, 1))).toEqual(['m0']);
    expect(broker.connections()).toMatchObject([{ authResponses: 1 }]);
  });

  it('takes frames in any pieces', async () => {
    const broker = await brokerWith(5);
    broker.faults.slow = { bytes: 7, everyMs: 0 };
    const { first } = await openSource(broker);
    expect(texts(await take(first, 5))).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
  });

  it.each([
    ['says nothing', ''],
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['sends half a frame', '\0\0\0\x40half'],
    ['sends garbage', '\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff'],
  ])('to a server that %s fails with a hint, in time', async (_, answer) => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.write(Buffer.from(answer, 'latin1'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const source = createSource(
      { serviceUrl: `pulsar://127.0.0.1:${port}` },
      { timings: { connectTimeoutMs: 200 } },
    );
    const stop = startStopwatch();
    expect(await failureOf(source.open())).toMatchObject({
      code: 'source',
      hint: expect.stringContaining('PULSAR_SERVICE_URL'),
    });
    expect(stop()).toBeLessThan(5_000);
    await source.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('that ends for good leaves close no work', async () => {
    const broker = await brokerWith(1);
    const { source } = await openSource(broker, { timings: { closeTimeoutMs: 300 } });
    broker.faults.isSilent = true;
    const stop = startStopwatch();
    await source.close();
    expect(stop()).toBeLessThan(2_000);
  });

  it('that answers nothing is left without a word when the time of the run is over', async () => {
    const broker = await brokerWith(1);
    const run = new AbortController();
    const { source } = await openSource(broker, {
      signal: run.signal,
      timings: { closeTimeoutMs: 3_600_000 },
    });
    broker.faults.isSilent = true;
    const closed = source.close();
    run.abort();
    await closed;
    await vi.waitUntil(() => broker.consumers().length === 0, { timeout: 20_000 });
  });
});
