// The Publisher over a stand-in for pulsar-client: what it hands over, and what it refuses.
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { createNativePublisher } from '../../../src/pulsar/native/producer.ts';
import type { OutgoingMessage, PublishOptions } from '../../../src/pulsar/publisher.ts';

const TOPIC = 'persistent://t/ns/replay';
const OPTIONS: PublishOptions = {
  compression: 'zlib',
  batching: true,
  windowBytes: 1_000_000,
  mayRepeat: false,
};

const outgoing = (sequenceId: number, rest: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  sequenceId,
  key: 'k',
  orderingKey: Buffer.from('o'),
  properties: [['a', 'b']],
  eventTimeMs: 5,
  payload: Buffer.from('text'),
  ...rest,
});

function fakeModule(send: (message: object) => Promise<unknown> = async () => undefined) {
  const sent: { by: Record<string, unknown>; message: Record<string, unknown> }[] = [];
  class Client {
    static setLogHandler() {}
    getPartitionsForTopic = async (topic: string) => [topic];
    createProducer = async (by: Record<string, unknown>) => ({
      async send(message: Record<string, unknown>) {
        sent.push({ by, message });
        return await send(message);
      },
      flush: async () => undefined,
      close: async () => undefined,
    });
    close = async () => undefined;
  }
  return { sent, load: async () => ({ Client, AuthenticationToken: class {} }) };
}

const open = (load: () => Promise<unknown>) =>
  createNativePublisher(
    {
      config: { serviceUrl: 'pulsar://x:1', token: undefined, tlsCaFile: undefined, listenerName: undefined },
      clock: systemClock,
      signal: new AbortController().signal,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
    },
    load,
  );

it('hands over every field, one message to an entry, and lets large ones be cut', async () => {
  const { sent, load } = fakeModule();
  const publisher = await open(load);
  const producer = await publisher.open(TOPIC, 'p', OPTIONS);
  await producer.send(outgoing(0));
  await producer.flush();
  expect(producer.acknowledgedSequenceId).toBe(0);
  expect(sent[0]?.by).toMatchObject({
    topic: TOPIC,
    producerName: 'p',
    compressionType: 'Zlib',
    chunkingEnabled: true,
    batchingEnabled: false,
  });
  expect(sent[0]?.message).toEqual({
    data: Buffer.from('text'),
    properties: { a: 'b' },
    sequenceId: 0,
    eventTimestamp: 5,
    partitionKey: 'k',
    orderingKey: 'o',
  });
  await publisher.close();
});

it('tells as acknowledged only what everything before has its receipt, in whatever order they come', async () => {
  const receipts: (() => void)[] = [];
  const { load } = fakeModule(() => new Promise<void>((resolve) => receipts.push(resolve)));
  const producer = await (await open(load)).open(TOPIC, 'p', OPTIONS);
  for (const id of [3, 5, 9]) await producer.send(outgoing(id));
  const told: number[] = [];
  for (const index of [2, 0, 1]) {
    receipts[index]?.();
    await new Promise((resolve) => setImmediate(resolve));
    told.push(producer.acknowledgedSequenceId);
  }
  expect(told).toEqual([-1, 3, 9]);
});

it('refuses what pulsar-client cannot publish, and says what can', async () => {
  const { load } = fakeModule();
  const producer = await (await open(load)).open(TOPIC, 'p', OPTIONS);
  const refused: Partial<OutgoingMessage>[] = [
    { payload: null },
    { key: Buffer.from('k') },
    { properties: [['a', Buffer.of(0xff)]] },
    { eventTimeMs: -1 },
    { eventTimeMs: 2n ** 60n },
  ];
  for (const rest of refused)
    await expect(producer.send(outgoing(0, rest))).rejects.toThrow(/cannot publish/);
});

it('fails with what pulsar-client says', async () => {
  const { load } = fakeModule(async () => {
    throw new Error('Failed to send message: TimeOut');
  });
  const producer = await (await open(load)).open(TOPIC, 'p', OPTIONS);
  await producer.send(outgoing(0));
  await expect(producer.flush()).rejects.toThrow(/publishing to persistent:\/\/t\/ns\/replay/);
  expect(producer.acknowledgedSequenceId).toBe(-1);
});

it('tells a plain topic from one with partitions, and a package that is not there', async () => {
  const { load } = fakeModule();
  expect(await (await open(load)).partitions({ full: TOPIC } as never)).toBe(0);
  const missing = async () => {
    throw Object.assign(new Error("Cannot find package 'pulsar-client'"), { code: 'ERR_MODULE_NOT_FOUND' });
  };
  await expect(open(missing)).rejects.toThrow('not installed');
});
