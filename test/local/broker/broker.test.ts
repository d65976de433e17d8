import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import { SERVER_ERROR, SUBSCRIPTION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { MINUS_ONE, RawClient } from './raw-client.ts';

const T = 'public/default/t';
let broker: LoopbackBroker;

beforeEach(async () => {
  broker = await startLoopbackBroker({ failoverDelayMs: 0 });
});
afterEach(() => broker.close());

const messages = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => ({ payload: `m${first + index}` }));
const entryIds = (commands: Record<string, unknown>[]) =>
  commands.map(({ messageId }) => (messageId as { entryId: number }).entryId);

test('a permit of one delivers a whole batch of 128, and the next permits pay for it', async () => {
  broker.publish(T, messages(300), { batchSize: 128 });
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's');
  client.flow(1);
  expect(entryIds(await client.drain('message'))).toEqual([0]);
  expect(broker.consumers()[0]?.permits).toBe(-127);
  client.flow(127);
  expect(await client.drain('message')).toEqual([]);
  client.flow(1);
  expect(entryIds(await client.drain('message'))).toEqual([1]);
});

test('an acknowledgement with a request id gets a receipt, one without gets none', async () => {
  broker.publish(T, messages(3));
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's');
  client.flow(10);
  client.ack([{ ledgerId: 1, entryId: 0 }], 'Cumulative');
  client.ack([{ ledgerId: 1, entryId: 1 }], 'Cumulative', 77);
  expect(await client.drain('ackResponse')).toEqual([{ consumerId: 0, requestId: 77 }]);
  expect(broker.subscriptionBacklog(T, 's')).toBe(1);
});

test('below protocol 17 there are no receipts and no mark-delete place', async () => {
  broker.faults.protocolVersion = 16;
  broker.publish(T, messages(1));
  const client = await RawClient.open(broker);
  expect(await client.take('connected')).toMatchObject({ protocolVersion: 16 });
  await client.subscribe(T, 's');
  client.ack([{ ledgerId: 1, entryId: 0 }], 'Cumulative', 77);
  client.send('getLastMessageId', { consumerId: 0, requestId: 2 });
  const { consumerMarkDeletePosition } = await client.take('getLastMessageIdResponse');
  expect(consumerMarkDeletePosition).toBe(undefined);
  expect(await client.drain('ackResponse')).toEqual([]);
  expect(broker.subscriptionBacklog(T, 's')).toBe(0);
});

test('a cumulative acknowledgement on Shared is answered with OK and does nothing', async () => {
  broker.publish(T, messages(3));
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's', { type: 'Shared' });
  client.flow(10);
  client.ack([{ ledgerId: 1, entryId: 2 }], 'Cumulative', 5);
  expect(await client.take('ackResponse')).toMatchObject({ requestId: 5 });
  expect(broker.subscriptionBacklog(T, 's')).toBe(3);
  client.ack(
    [
      { ledgerId: 1, entryId: 0 },
      { ledgerId: 1, entryId: 2 },
    ],
    'Individual',
    6,
  );
  await client.take('ackResponse');
  expect(broker.ackedPositions(T, 's')).toEqual({
    markDelete: { ledgerId: 1, entryId: 0 },
    individual: [{ ledgerId: 1, entryId: 2 }],
  });
});

test('the last message id has the batch index, the mark-delete place, and -1:-1 for an empty topic', async () => {
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's');
  client.send('getLastMessageId', { consumerId: 0, requestId: 1 });
  expect(await client.take('getLastMessageIdResponse')).toMatchObject({
    lastMessageId: { ledgerId: MINUS_ONE, entryId: MINUS_ONE, partition: -1, batchIndex: -1 },
    consumerMarkDeletePosition: { ledgerId: 1, entryId: MINUS_ONE },
  });
  broker.publish(T, messages(10), { batchSize: 4 });
  client.ack([{ ledgerId: 1, entryId: 1 }], 'Cumulative');
  client.send('getLastMessageId', { consumerId: 0, requestId: 1 });
  expect(await client.take('getLastMessageIdResponse')).toMatchObject({
    lastMessageId: { ledgerId: 1, entryId: 2, batchIndex: 1 },
    consumerMarkDeletePosition: { ledgerId: 1, entryId: 1 },
  });
});

test('a reader that asks for -1:-1, the earliest, begins with the first message', async () => {
  broker.publish(T, messages(2));
  const client = await RawClient.open(broker);
  client.send('subscribe', {
    topic: `persistent://${T}`,
    subscription: 'reader',
    subType: SUBSCRIPTION_TYPE.Exclusive,
    consumerId: 0,
    requestId: 1,
    durable: false,
    startMessageId: { ledgerId: MINUS_ONE, entryId: MINUS_ONE },
  });
  await client.take('success');
  client.flow(10);
  expect((await client.take('message')).messageId).toMatchObject({ ledgerId: 1, entryId: 0 });
});

test('a second Exclusive consumer and one of another type hear that the subscription is busy', async () => {
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's');
  for (const [consumerId, type] of [
    [1, 'Exclusive'],
    [2, 'Shared'],
  ] as const) {
    client.sendSubscribe(T, 's', { consumerId, type });
    expect(await client.take('error')).toMatchObject({ error: SERVER_ERROR.ConsumerBusy });
  }
});

test('what a consumer had not acknowledged is delivered again when its connection ends', async () => {
  broker.publish(T, messages(4));
  const first = await RawClient.open(broker);
  await first.subscribe(T, 's', { type: 'Shared' });
  first.flow(10);
  first.ack([{ ledgerId: 1, entryId: 1 }], 'Individual', 1);
  await first.take('ackResponse');
  const second = await RawClient.open(broker);
  await second.subscribe(T, 's', { type: 'Shared' });
  second.flow(10);
  expect(await second.drain('message')).toEqual([]);
  first.close();
  await second.until(() => second.received.filter(({ name }) => name === 'message').length === 3);
  const again = await second.drain('message');
  expect(entryIds(again)).toEqual([0, 2, 3]);
  expect(again.every(({ redeliveryCount }) => redeliveryCount === undefined)).toBe(true);
});

test('what an official client sent is stored and delivered byte for byte', async () => {
  const client = await RawClient.open(broker);
  client.send('producer', { topic: `persistent://${T}`, producerId: 3, requestId: 1, producerName: 'p' });
  expect(await client.take('producerSuccess')).toMatchObject({ producerName: 'p', lastSequenceId: -1 });
  await client.subscribe(T, 's');
  client.flow(1);
  const entry = encodeEntry({ producerName: 'p', sequenceId: 9, publishTime: 1 }, Buffer.from('payload'));
  client.send('send', { producerId: 3, sequenceId: 9, numMessages: 1 }, entry);
  expect(await client.take('sendReceipt')).toMatchObject({
    sequenceId: 9,
    messageId: { ledgerId: 1, entryId: 0 },
  });
  expect((await client.take('message')).rest).toEqual(entry);
  entry[3] = (entry[3] as number) ^ 1;
  client.send('send', { producerId: 3, sequenceId: 10 }, entry);
  expect(await client.take('sendError')).toMatchObject({ sequenceId: 10, error: SERVER_ERROR.ChecksumError });
});

test('thirty thousand messages over several ledgers are delivered in order and acknowledged', async () => {
  const many = await startLoopbackBroker({ maxEntriesPerLedger: 12_000 });
  many.publish(T, messages(30_000));
  const client = await RawClient.open(many);
  await client.subscribe(T, 's');
  client.flow(30_000);
  await client.until(() => client.received.length > 30_000);
  const found = client.received.filter(({ name }) => name === 'message');
  const isInPlace = ({ fields }: (typeof found)[0], place: number) => {
    const { ledgerId, entryId } = fields['messageId'] as { ledgerId: number; entryId: number };
    return ledgerId === 1 + Math.floor(place / 12_000) && entryId === place % 12_000;
  };
  expect([found.length, found.every(isInPlace)]).toEqual([30_000, true]);
  client.ack([{ ledgerId: 3, entryId: 5999 }], 'Cumulative', 1);
  await client.take('ackResponse');
  expect(many.subscriptionBacklog(T, 's')).toBe(0);
  await many.close();
});

test('HTTP answers partitions and where the broker is', async () => {
  broker.createTopic('public/default/p', 4);
  const get = async (path: string) => (await fetch(`${broker.httpUrl}${path}`)).json();
  expect(await get('/admin/v2/persistent/public/default/p/partitions')).toMatchObject({ partitions: 4 });
  expect(await get('/lookup/v2/topic/persistent/public/default/p-partition-0')).toMatchObject({
    brokerUrl: broker.serviceUrl,
    nativeUrl: broker.serviceUrl,
  });
});

test('an Exclusive consumer whose client does not answer a PING loses its place to the next', async () => {
  const impatient = await startLoopbackBroker({ livenessCheckMs: 30 });
  const silent = await RawClient.open(impatient);
  await silent.subscribe(T, 's');
  const next = await RawClient.open(impatient);
  next.sendSubscribe(T, 's');
  expect(await next.take('error')).toMatchObject({ error: SERVER_ERROR.ConsumerBusy });
  silent.answersPing = false;
  await next.subscribe(T, 's');
  await silent.until(() => silent.isClosed);
  await expect.poll(() => impatient.consumers()).toHaveLength(1);
  await impatient.close();
});
