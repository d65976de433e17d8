import { afterEach, beforeEach, expect, test } from 'vitest';
import { PROXIED_BROKER } from '../../../src/local/broker/broker-context.ts';
import { isChecksumRight } from '../../../src/local/broker/frames.ts';
import { LOOKUP_TYPE, SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { RawClient } from './raw-client.ts';

const T = 'public/default/t';
const TOPIC = `persistent://${T}`;
let broker: LoopbackBroker;

beforeEach(async () => {
  broker = await startLoopbackBroker({ failoverDelayMs: 0 });
});
afterEach(() => broker.close());

const messages = (count: number) => Array.from({ length: count }, (_, index) => ({ payload: `m${index}` }));

/** A client that has subscribed and has room for a thousand messages. */
async function consume(
  type: 'Exclusive' | 'Failover' | 'Shared' = 'Exclusive',
  name = 'c',
): Promise<RawClient> {
  const client = await RawClient.open(broker);
  await client.subscribe(T, 's', { type, name });
  client.flow(1000);
  return client;
}

async function payloads(client: RawClient, count: number): Promise<string[]> {
  const found: string[] = [];
  while (found.length < count) found.push((await client.take('message')).rest.toString('latin1').slice(-2));
  return found;
}

test('lookups are redirected as often as asked, then answered', async () => {
  broker.faults.redirectLookups = 2;
  const client = await RawClient.open(broker);
  const answers = [];
  for (let requestId = 1; requestId <= 3; requestId++) {
    client.send('lookupTopic', { topic: TOPIC, requestId });
    answers.push((await client.take('lookupTopicResponse')).response);
  }
  expect(answers).toEqual([LOOKUP_TYPE.Redirect, LOOKUP_TYPE.Redirect, LOOKUP_TYPE.Connect]);
  broker.faults.redirectLookups = Number.POSITIVE_INFINITY;
  const response = await fetch(`${broker.httpUrl}/lookup/v2/topic/persistent/${T}`, { redirect: 'manual' });
  expect([response.status, response.headers.get('location')]).toEqual([
    307,
    `${broker.httpUrl}/lookup/v2/topic/persistent/${T}?authoritative=true`,
  ]);
  await expect(fetch(response.url)).rejects.toThrow();
});

test('behind a proxy, a consumer is served only on a connection that names the broker', async () => {
  broker.faults.proxiesThroughServiceUrl = true;
  const direct = await RawClient.open(broker);
  direct.send('lookupTopic', { topic: TOPIC, requestId: 1 });
  expect(await direct.take('lookupTopicResponse')).toMatchObject({
    brokerServiceUrl: `pulsar://${PROXIED_BROKER}`,
    proxyThroughServiceUrl: true,
  });
  direct.sendSubscribe(T, 's');
  expect(await direct.take('error')).toMatchObject({ error: SERVER_ERROR.ServiceNotReady });
  const proxied = await RawClient.open(broker, { proxyTo: PROXIED_BROKER });
  await proxied.subscribe(T, 's');
});

test.for([
  ['ignore', 3, false],
  ['lose-receipt', 0, false],
  ['close-before', 3, true],
  ['close-after', 0, true],
] as const)('acknowledgements can fail by "%s"', async ([fault, backlog, isClosed]) => {
  broker.publish(T, messages(3));
  const client = await consume();
  await payloads(client, 3);
  broker.faults.acks = { fault, times: 1 };
  client.ack([{ ledgerId: 1, entryId: 2 }], 'Cumulative', 9);
  if (isClosed) await client.until(() => client.isClosed);
  else expect(await client.drain('ackResponse')).toEqual([]);
  expect(broker.subscriptionBacklog(T, 's')).toBe(backlog);
  const next = isClosed ? await consume() : client;
  next.ack([{ ledgerId: 1, entryId: 2 }], 'Cumulative', 10);
  expect(await next.take('ackResponse')).toMatchObject({ requestId: 10 });
  expect(broker.subscriptionBacklog(T, 's')).toBe(0);
});

test('a silent broker accepts and answers nothing, a broker may ignore PING alone, or refuse connections', async () => {
  broker.faults.ignoresPing = true;
  const client = await RawClient.open(broker);
  client.send('ping', {});
  client.send('lookupTopic', { topic: TOPIC, requestId: 1 });
  await client.take('lookupTopicResponse');
  expect(client.received.some(({ name }) => name === 'pong')).toBe(false);
  broker.faults.isSilent = true;
  const unheard = await RawClient.open(broker, 'no greeting');
  unheard.send('connect', { clientVersion: 'x' });
  await expect.poll(() => broker.connections()).toHaveLength(2);
  broker.faults.isSilent = false;
  client.send('lookupTopic', { topic: TOPIC, requestId: 2 });
  await client.take('lookupTopicResponse');
  expect(unheard.received).toEqual([]);
  broker.faults.refusesConnections = true;
  const refused = await RawClient.open(broker);
  expect([refused.isClosed, refused.received]).toEqual([true, []]);
});

test('a slow broker dribbles the same bytes', async () => {
  broker.publish(T, messages(5));
  broker.faults.slow = { bytes: 7, everyMs: 0 };
  const client = await consume();
  expect(await payloads(client, 5)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
});

test('a hook can drop, delay, refuse, cut in half or end the connection at any command', async () => {
  const client = await RawClient.open(broker);
  const lookUp = (requestId: number) => client.send('lookupTopic', { topic: TOPIC, requestId });
  const seen: string[] = [];
  let release = () => {};
  const unhook = broker.onCommand((name, { requestId }) => {
    seen.push(name);
    if (requestId === 1) return 'drop';
    if (requestId === 2) return { error: SERVER_ERROR.ServiceNotReady, message: 'not now' };
    if (requestId === 3) return new Promise((resolve) => (release = () => resolve(undefined)));
    return undefined;
  });
  for (const requestId of [1, 2, 3, 4]) lookUp(requestId);
  expect(await client.take('lookupTopicResponse')).toMatchObject({
    requestId: 2,
    error: 6,
    message: 'not now',
  });
  await expect.poll(() => seen).toEqual(['lookupTopic', 'lookupTopic', 'lookupTopic']);
  expect(client.received.map(({ name }) => name)).toEqual(['connected']);
  release();
  expect(await client.take('lookupTopicResponse')).toMatchObject({ requestId: 3 });
  expect(await client.take('lookupTopicResponse')).toMatchObject({ requestId: 4 });
  unhook();
  broker.onAnswer((name) => (name === 'lookupTopicResponse' ? 'half' : undefined));
  lookUp(5);
  await client.until(() => client.isClosed);
  expect(client.received.map(({ name }) => name)).toEqual(['connected']);
  const second = await RawClient.open(broker);
  broker.onCommand((name) => (name === 'ping' ? 'close' : undefined));
  second.send('ping', {});
  await second.until(() => second.isClosed);
});

test('an entry can arrive spoilt or twice, and stays whole in the store', async () => {
  const [first, second, third] = broker.publish(T, messages(3));
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('nothing published');
  broker.corruptEntry(T, first, 'checksum');
  broker.corruptEntry(T, second, 'payload');
  broker.deliverTwice(T, third);
  const client = await consume();
  const entries = [];
  while (entries.length < 4) entries.push((await client.take('message')).rest);
  expect(entries.map(isChecksumRight)).toEqual([false, false, true, true]);
  expect(entries[3]).toEqual(entries[2]);
  broker.corruptEntry(T, first, (bytes) => bytes);
  broker.corruptEntry(T, second, (bytes) => bytes);
  broker.redeliver(T, 's');
  expect(await payloads(client, 4)).toEqual(['m0', 'm1', 'm2', 'm2']);
});

test('the connection can end after so many entries, and the rest comes on the next', async () => {
  broker.publish(T, messages(5));
  broker.faults.closeAfterEntries = 2;
  const first = await consume();
  await first.until(() => first.isClosed);
  expect(await payloads(first, 2)).toEqual(['m0', 'm1']);
  expect(first.received.some(({ name }) => name === 'message')).toBe(false);
  const second = await consume();
  expect(await payloads(second, 5)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
});

test('a kick and an unload close the consumer, which may subscribe again at once; an unload begins a ledger', async () => {
  broker.publish(T, messages(1));
  const client = await consume();
  for (const act of ['kick', 'unload'] as const) {
    if (act === 'kick') broker.kickConsumers(T, 's');
    else broker.unload(T);
    expect(await client.take('closeConsumer')).toMatchObject({ consumerId: 0 });
    expect(broker.consumers()).toEqual([]);
    await client.subscribe(T, 's');
  }
  expect(broker.publish(T, messages(1))).toEqual([{ topic: TOPIC, ledgerId: 2, entryId: 0 }]);
});

test('stopped and started again, it has the same ports and the same data', async () => {
  broker.publish(T, messages(3));
  const client = await consume();
  client.ack([{ ledgerId: 1, entryId: 0 }], 'Cumulative', 1);
  await client.take('ackResponse');
  const { serviceUrl, httpUrl } = broker;
  await broker.stop();
  await client.until(() => client.isClosed);
  await expect(RawClient.open(broker)).rejects.toThrow('ECONNREFUSED');
  await broker.start();
  expect([broker.serviceUrl, broker.httpUrl]).toEqual([serviceUrl, httpUrl]);
  expect(await payloads(await consume(), 2)).toEqual(['m1', 'm2']);
});

test('forgotten acknowledgements are delivered again', async () => {
  broker.publish(T, messages(3));
  const client = await consume();
  await payloads(client, 3);
  client.ack([{ ledgerId: 1, entryId: 2 }], 'Cumulative', 1);
  await client.take('ackResponse');
  broker.forgetAcks(T, 's', { ledgerId: 1, entryId: 1 });
  await client.take('closeConsumer');
  expect(await payloads(await consumeAgain(client), 2)).toEqual(['m1', 'm2']);
});

async function consumeAgain(client: RawClient): Promise<RawClient> {
  await client.subscribe(T, 's');
  client.flow(1000);
  return client;
}

test('the active consumer of a Failover subscription changes on demand', async () => {
  broker.publish(T, messages(2));
  const first = await consume('Failover', 'a');
  expect(await first.take('activeConsumerChange')).toMatchObject({ isActive: true });
  await payloads(first, 2);
  const second = await consume('Failover', 'b');
  expect(await second.take('activeConsumerChange')).toMatchObject({ isActive: false });
  broker.setActiveConsumer(T, 's', 'b');
  expect(await first.take('activeConsumerChange')).toMatchObject({ isActive: false });
  expect(await second.take('activeConsumerChange')).toMatchObject({ isActive: true });
  expect(await payloads(second, 2)).toEqual(['m0', 'm1']);
});

test('a deleted topic closes its consumers and is not found by who may not create it', async () => {
  broker.publish(T, messages(1));
  const client = await consume();
  broker.deleteSubscription(T, 's');
  await client.take('closeConsumer');
  await consumeAgain(client);
  broker.deleteTopic(T);
  await client.take('closeConsumer');
  client.sendSubscribe(T, 's', { forceTopicCreation: false });
  expect(await client.take('error')).toMatchObject({ error: SERVER_ERROR.TopicNotFound });
});

test('a terminated topic takes nothing more, and its consumers hear of it when they have acknowledged all', async () => {
  broker.publish(T, messages(1));
  const client = await consume();
  await payloads(client, 1);
  broker.terminate(T);
  expect(await client.drain('reachedEndOfTopic')).toEqual([]);
  client.ack([{ ledgerId: 1, entryId: 0 }], 'Individual');
  await client.take('reachedEndOfTopic');
  client.send('producer', { topic: TOPIC, producerId: 0, requestId: 1 });
  expect(await client.take('error')).toMatchObject({ error: SERVER_ERROR.TopicTerminatedError });
});

test('garbage, a frame without end and a command before CONNECT end the connection', async () => {
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('0000000400000099', 'hex')]) {
    const client = await RawClient.open(broker, 'no greeting');
    client.sendRaw(bytes);
    await client.until(() => client.isClosed);
  }
  const rude = await RawClient.open(broker, 'no greeting');
  rude.send('ping', {});
  await rude.until(() => rude.isClosed);
  expect(rude.received).toEqual([]);
});
