// The wire producer against the loopback broker: what it publishes is read back by the wire source.
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import type {
  Clock,
  Message,
  OutgoingMessage,
  Publisher,
  PublishOptions,
  TopicSchema,
} from '../../../src/ports.ts';
import { createWirePublisher } from '../../../src/pulsar/wire/producer-publisher.ts';
import { SCHEMA_TYPE, SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { readStoredMessages } from '../../contract/stored-messages.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { hurriedClock } from '../virtual-clock.ts';
import { openSource, takeAll } from './loopback-source.ts';

const TOPIC = parseTopicName('public/default/restored') as TopicName;
const LIMIT_BYTES = 100_000;
const OPTIONS: PublishOptions = {
  compression: 'zlib',
  batching: true,
  windowBytes: 1_000_000,
  mayRepeat: false,
};

let broker: LoopbackBroker;
let publisher: Publisher;
let stop: AbortController;
beforeEach(async () => {
  broker = await startLoopbackBroker({ maxMessageSizeBytes: LIMIT_BYTES });
  broker.createTopic('public/default/restored');
  broker.createSubscription('public/default/restored', 'reader');
  stop = new AbortController();
  publisher = createWirePublisher({ config: config(), clock: systemClock, signal: stop.signal });
});
afterEach(async () => {
  await publisher.close();
  await broker.close();
});

const config = () => ({
  serviceUrl: broker.serviceUrl,
  token: undefined,
  tlsCaFile: undefined,
  listenerName: undefined,
});

const outgoing = (sequenceId: number, rest: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  sequenceId,
  key: undefined,
  orderingKey: undefined,
  properties: [],
  eventTimeMs: undefined,
  payload: Buffer.from(`message ${sequenceId}`),
  ...rest,
});

/** Everything in the topic, by the driver's consumer side. */
async function readAll(): Promise<Message[]> {
  const { source, first } = await openSource(broker, { topic: TOPIC, subscription: 'reader' });
  const entries = await takeAll(first);
  await source.close();
  return entries.flatMap(({ messages }) => messages);
}

const textOf = ({ payload }: Message) => (payload === null ? null : Buffer.from(payload).toString());

it.each([
  ['in compressed batches', OPTIONS],
  ['one by one, uncompressed', { ...OPTIONS, batching: false, compression: 'none' as const }],
])('publishes every field of a message %s', async (_, options) => {
  const producer = await publisher.open(TOPIC.full, 'p', options);
  const messages = [
    outgoing(0, { key: 'k', orderingKey: Buffer.from([0xff, 1]), eventTimeMs: 1_700_000_000_000 }),
    outgoing(1, {
      key: Buffer.from([0xff, 0]),
      properties: [
        ['a', 'b'],
        ['ü', '世界'],
      ],
    }),
    outgoing(2, { payload: null }),
    outgoing(3, { payload: Buffer.alloc(0) }),
    outgoing(4, { payload: Buffer.from([0xff, 0xfe, 0]) }),
  ];
  for (const message of messages) await producer.send(message);
  await producer.flush();
  expect(producer.acknowledgedSequenceId).toBe(4);
  const bytes = (value: Uint8Array | string | null | undefined) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
  const facts = ({
    key,
    orderingKey,
    properties,
    eventTimeMs,
    payload,
    sequenceId,
  }: OutgoingMessage | Message) => ({
    ...{ key: bytes(key), orderingKey: bytes(orderingKey), properties, eventTimeMs },
    ...{ payload: bytes(payload), sequenceId },
  });
  expect((await readAll()).map(facts)).toEqual(messages.map(facts));
});

it('cuts a message over the limit of the broker into chunks, between others in order', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', { ...OPTIONS, compression: 'none' });
  const large = Buffer.alloc(LIMIT_BYTES * 3, 'x');
  await producer.send(outgoing(0));
  await producer.send(outgoing(1, { payload: large, properties: [['a', 'b']] }));
  await producer.send(outgoing(2));
  await producer.flush();
  expect(producer.acknowledgedSequenceId).toBe(2);
  const messages = await readAll();
  expect(messages.map((message) => textOf(message)?.length)).toEqual([9, large.length, 9]);
});

it('makes no batch that is larger than the broker takes, however little that is', async () => {
  let connections = 0;
  broker.onCommand((name) => void (name === 'connect' && connections++));
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  const payload = () => randomBytes(LIMIT_BYTES * 0.3);
  for (let i = 0; i < 10; i++) await producer.send(outgoing(i, { payload: payload() }));
  await producer.flush();
  expect(connections).toBe(1);
  expect(await readAll()).toHaveLength(10);
});

it('does not connect again for ever where that gets nothing further', async () => {
  const hurried = createWirePublisher({ config: config(), clock: hurriedClock, signal: stop.signal });
  let sends = 0;
  broker.onCommand((name) => (name === 'send' && ++sends > 0 ? 'close' : undefined));
  try {
    const producer = await hurried.open(TOPIC.full, 'p', OPTIONS);
    await producer.send(outgoing(0));
    await expect(producer.flush()).rejects.toMatchObject({
      message: expect.stringContaining('gets no further'),
      hint: expect.stringContaining('brokers'),
    });
    expect(sends).toBe(31);
  } finally {
    await hurried.close();
  }
});

it('puts many messages into few entries, and never more than the window without a receipt', async () => {
  let open = 0;
  let most = 0;
  let entries = 0;
  broker.onCommand((name, fields) => {
    if (name !== 'send') return undefined;
    entries++;
    most = Math.max(most, ++open);
    expect((fields as { numMessages?: number }).numMessages).toBeLessThanOrEqual(1_000);
    return undefined;
  });
  broker.onAnswer((name) => {
    if (name === 'sendReceipt') open--;
    return undefined;
  });
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  for (let i = 0; i < 5_000; i++) await producer.send(outgoing(i));
  await producer.flush();
  expect(entries).toBeLessThan(20);
  expect(most).toBeLessThanOrEqual(500);
  expect((await readAll()).map(textOf)).toEqual(Array.from({ length: 5_000 }, (_, i) => `message ${i}`));
});

it('waits for receipts when the window is full', async () => {
  let isHeld = true;
  broker.onAnswer((name) => (name === 'sendReceipt' && isHeld ? 'drop' : undefined));
  const producer = await publisher.open(TOPIC.full, 'p', {
    ...OPTIONS,
    compression: 'none',
    windowBytes: 50_000,
  });
  await producer.send(outgoing(0, { payload: Buffer.alloc(90_000) }));
  producer.push();
  let isThrough = false;
  const second = producer.send(outgoing(1)).then(() => {
    isThrough = true;
  });
  for (let i = 0; i < 20; i++) await setImmediate();
  expect(isThrough).toBe(false);
  isHeld = false;
  broker.dropConnections();
  await second;
  await producer.flush();
});

it('sends again in order what had no receipt when the connection was lost', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', { ...OPTIONS, batching: false });
  let sends = 0;
  const stopHook = broker.onCommand((name) => (name === 'send' && ++sends === 3 ? 'close' : undefined));
  for (let i = 0; i < 10; i++) await producer.send(outgoing(i));
  await producer.flush();
  stopHook();
  const texts = (await readAll()).map(textOf);
  expect([...new Set(texts)]).toEqual(Array.from({ length: 10 }, (_, i) => `message ${i}`));
});

it('goes on after the broker has closed the producer', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  await producer.send(outgoing(0));
  await producer.flush();
  broker.unload('public/default/restored');
  await producer.send(outgoing(1));
  await producer.flush();
  expect((await readAll()).map(textOf)).toEqual(['message 0', 'message 1']);
});

it('fails with what the broker says when it does not take messages any more', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  broker.terminate('public/default/restored');
  await producer.send(outgoing(0));
  await expect(producer.flush()).rejects.toThrow(/TopicTerminated/);
});

it('ends every wait when it is stopped', async () => {
  broker.onAnswer((name) => (name === 'sendReceipt' ? 'drop' : undefined));
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  await producer.send(outgoing(0));
  const flushing = producer.flush();
  stop.abort();
  await expect(flushing).rejects.toThrow('publishing was stopped');
});

it('names itself, and the last message of a batch besides the first', async () => {
  const seen: unknown[] = [];
  broker.onCommand((name, fields) => {
    if (name === 'send') seen.push(fields);
    return undefined;
  });
  const producer = await publisher.open(TOPIC.full, 'tdmq-restore-x-0', OPTIONS);
  for (let i = 5; i < 8; i++) await producer.send(outgoing(i));
  await producer.flush();
  expect(seen).toMatchObject([{ sequenceId: 5, highestSequenceId: 7, numMessages: 3 }]);
  expect((await readAll()).map(({ producer: name, sequenceId }) => `${name} ${sequenceId}`)).toEqual([
    'tdmq-restore-x-0 5',
    'tdmq-restore-x-0 6',
    'tdmq-restore-x-0 7',
  ]);
});

it.each([
  ['a message whose number came before, sent once', () => [outgoing(5), outgoing(3)], {}, 'Begin again'],
  [
    'chunks, as brokers up to Pulsar 3.0.0 do',
    () => [outgoing(1, { payload: Buffer.alloc(LIMIT_BYTES * 3) })],
    { dropsChunks: true },
    'switch the deduplication of the namespace off',
  ],
])('does not believe a broker that drops %s', async (_, messages, how, hint) => {
  broker.deduplicate('public/default/restored', how);
  const producer = await publisher.open(TOPIC.full, 'p', {
    ...OPTIONS,
    batching: false,
    compression: 'none',
  });
  const sending = (async () => {
    for (const message of messages()) await producer.send(message);
    await producer.flush();
  })();
  await expect(sending).rejects.toMatchObject({
    code: 'source',
    message: expect.stringContaining('dropped message'),
    hint: expect.stringContaining(hint),
  });
});

/** Time passes only when the test says so, for the producer's check of its receipts; else as always. */
function clockWithHeldChecks() {
  let checks: (() => void)[] = [];
  const sleep: Clock['sleep'] = (ms, signal) =>
    ms === 20_000
      ? new Promise((resolve, reject) => {
          checks.push(resolve);
          signal?.addEventListener('abort', () => {
            checks = checks.filter((one) => one !== resolve);
            reject(signal.reason);
          });
        })
      : systemClock.sleep(ms, signal);
  return {
    clock: { now: systemClock.now, sleep },
    isHeld: () => checks.length > 0,
    async check() {
      const due = checks;
      checks = [];
      for (const one of due) one();
      for (let i = 0; i < 20; i++) await setImmediate();
    },
  };
}

it('connects again where a broker gives no receipts, and fails where that does not help', async () => {
  const { clock, check } = clockWithHeldChecks();
  const other = createWirePublisher({ config: config(), clock, signal: stop.signal });
  let producers = 0;
  let isSilent = true;
  broker.onAnswer((name) => {
    if (name === 'producerSuccess') producers++;
    return name === 'sendReceipt' && isSilent ? 'drop' : undefined;
  });
  try {
    const producer = await other.open(TOPIC.full, 'p', OPTIONS);
    await check();
    await check();
    expect(producers).toBe(1); // nothing waits
    await producer.send(outgoing(0));
    producer.push();
    await check();
    expect(producers).toBe(1);
    await check();
    await vi.waitUntil(() => producers === 2, { timeout: 20_000 });
    isSilent = false;
    broker.dropConnections();
    await producer.flush();
    isSilent = true;
    await producer.send(outgoing(1));
    const flushing = producer.flush();
    const failure = expect(flushing).rejects.toThrow('stores nothing');
    for (let i = 0; i < 4; i++) {
      await check();
      await vi.waitUntil(() => producers >= (i < 1 ? 3 : 4), { timeout: 20_000 });
    }
    await failure;
  } finally {
    await other.close();
  }
});

it('leaves no timer when it is closed', async () => {
  const { clock, isHeld } = clockWithHeldChecks();
  const other = createWirePublisher({ config: config(), clock, signal: stop.signal });
  await other.open(TOPIC.full, 'p', OPTIONS);
  expect(isHeld()).toBe(true);
  await other.close();
  expect(isHeld()).toBe(false);
});

it('reports a message in chunks as acknowledged when the broker has its last', async () => {
  let receipts = 0;
  const unhook = broker.onAnswer((name) => (name === 'sendReceipt' && ++receipts > 2 ? 'drop' : undefined));
  const producer = await publisher.open(TOPIC.full, 'p', { ...OPTIONS, compression: 'none' });
  await producer.send(outgoing(0, { payload: Buffer.alloc(LIMIT_BYTES * 3, 'x') }));
  await vi.waitUntil(() => receipts === 4, { timeout: 20_000 });
  expect(producer.acknowledgedSequenceId).toBe(-1);
  unhook();
  broker.dropConnections();
  await producer.flush();
  expect(producer.acknowledgedSequenceId).toBe(0);
});

it('goes on after a broker that closes its producer in the moment it opens', async () => {
  let opened = 0;
  const unhook = broker.onAnswer((name, fields) => {
    if (name === 'producerSuccess' && ++opened === 1)
      broker.sendCommand('closeProducer', { producerId: fields['producerId'] ?? 1, requestId: 9 });
    return undefined;
  });
  const producer = await publisher.open(TOPIC.full, 'p', OPTIONS);
  await producer.send(outgoing(0));
  await producer.flush();
  unhook();
  expect(opened).toBe(2);
});

it('gives the chunks of a message that is sent again an id of their own', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', { ...OPTIONS, compression: 'none' });
  let sends = 0;
  const unhook = broker.onCommand((name) => (name === 'send' && ++sends === 2 ? 'close' : undefined));
  await producer.send(outgoing(0, { payload: Buffer.alloc(LIMIT_BYTES * 3, 'x') }));
  await producer.flush();
  unhook();
  // It takes a second chunk of the same number for disorder, as libpulsar does.
  expect(await readStoredMessages(broker, TOPIC.full)).toHaveLength(1);
  expect(sends).toBeGreaterThan(5);
});

const STRING_SCHEMA = {
  type: 'STRING',
  name: 's',
  properties: [['a', 'b']],
  definition: Buffer.alloc(0),
} as const;

it('registers a schema, which then has the version that messages name', async () => {
  const other = { ...STRING_SCHEMA, type: 'AVRO', definition: Buffer.from('"int"') };
  const register = (schema: TopicSchema) => publisher.registerSchema(TOPIC.full, schema);
  const [first, second, again] = [
    await register(STRING_SCHEMA),
    await register(other),
    await register(STRING_SCHEMA),
  ];
  expect([first, second, again].map((version) => Buffer.from(version).readBigUInt64BE())).toEqual([
    0n,
    1n,
    0n,
  ]);
});

it('puts messages of different schema versions into different entries, whose metadata names them', async () => {
  const producer = await publisher.open(TOPIC.full, 'p', { ...OPTIONS, schema: STRING_SCHEMA });
  const versions = [0, 0, 1, 1, undefined, undefined, 0];
  for (const [n, version] of versions.entries())
    await producer.send(outgoing(n, version === undefined ? {} : { schemaVersion: Buffer.from([version]) }));
  await producer.send(
    outgoing(7, { schemaVersion: Buffer.from([2]), payload: randomBytes(3 * LIMIT_BYTES) }),
  );
  await producer.flush();
  const read = await readAll();
  expect(read.map(({ schemaVersion }) => schemaVersion?.[0])).toEqual([...versions, 2]);
  const entries = new Set(read.slice(0, 7).map(({ id }) => `${id.ledgerId}:${id.entryId}`));
  expect(entries.size).toBe(4);
});

it('says to the broker of which schema its producers are', async () => {
  const asked: unknown[] = [];
  broker.onCommand((name, fields) => {
    if (name === 'producer') asked.push(fields['schema']?.type);
    return undefined;
  });
  await publisher.open(TOPIC.full, 'p', { ...OPTIONS, schema: STRING_SCHEMA });
  await publisher.open(TOPIC.full, 'q', OPTIONS);
  expect(asked).toEqual([SCHEMA_TYPE.STRING, undefined]);
});

it.each([
  [SERVER_ERROR.IncompatibleSchema, 'IncompatibleSchema'],
  [SERVER_ERROR.AuthorizationError, 'AuthorizationError'],
])('says why the broker takes no schema: %s', async (error, name) => {
  broker.onCommand((command) => (command === 'getOrCreateSchema' ? { error, message: 'no' } : undefined));
  await expect(publisher.registerSchema(TOPIC.full, STRING_SCHEMA)).rejects.toMatchObject({
    message: expect.stringContaining(name),
    retryable: false,
  });
});

it('registers a schema although the broker cannot at first, and where nobody has used the topic', async () => {
  let refusals = 2;
  broker.onCommand((command) =>
    command === 'getOrCreateSchema' && refusals-- > 0
      ? {
          error: refusals > 0 ? SERVER_ERROR.ServiceNotReady : SERVER_ERROR.TopicNotFound,
          message: 'not yet',
        }
      : undefined,
  );
  expect(await publisher.registerSchema(TOPIC.full, STRING_SCHEMA)).toEqual(Buffer.alloc(8));
});

it('looks at a topic that takes schemas only as a producer of its own schema, where there are schemas to restore', async () => {
  broker.registerSchema(TOPIC.full, { type: SCHEMA_TYPE.STRING });
  const registered: unknown[] = [];
  broker.onCommand((command, fields) => {
    if (command === 'getOrCreateSchema') registered.push(fields);
    if (command !== 'producer' || fields['schema'] !== undefined) return undefined;
    return { error: SERVER_ERROR.IncompatibleSchema, message: 'without a schema' };
  });
  expect(await publisher.look(TOPIC, { hasSchemas: true })).toMatchObject({ partitions: 0 });
  await expect(publisher.look(TOPIC, { hasSchemas: false })).rejects.toMatchObject({
    hint: expect.stringContaining('archive schemas fetch'),
  });
  expect(registered).toEqual([]);
});
