import { afterEach, beforeEach, expect, test } from 'vitest';
import { SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { MINUS_ONE, RawClient } from './raw-client.ts';

let broker: LoopbackBroker;
beforeEach(async () => {
  broker = await startLoopbackBroker({
    tokens: { good: { role: 'admin', isAllowed: true }, weak: { role: 'nobody', isAllowed: false } },
    namespaces: ['a/b'],
    autoCreatesTopics: false,
  });
});
afterEach(() => broker.close());

async function ask(method: string, path: string, body?: string, token = 'good') {
  const response = await fetch(`${broker.httpUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' || text === 'ok' ? text : JSON.parse(text) };
}

test('topics and subscriptions are made, counted, unloaded, ended and deleted by the admin API', async () => {
  const t = '/admin/v2/persistent/a/b/t';
  expect(await ask('GET', '/admin/v2/brokers/health')).toEqual({ status: 200, body: 'ok' });
  expect(await ask('PUT', `${t}/partitions`, '2')).toMatchObject({ status: 204 });
  expect(await ask('GET', `${t}/partitions`)).toMatchObject({ body: { partitions: 2 } });
  expect(await ask('PUT', `${t}/subscription/s`, '"earliest"')).toMatchObject({ status: 204 });
  broker.publish(
    'a/b/t',
    Array.from({ length: 10 }, () => ({ payload: 'x' })),
    { batchSize: 2 },
  );
  expect(await ask('GET', `${t}/partitioned-stats`)).toMatchObject({
    body: { msgInCounter: 10, subscriptions: { s: { msgBacklog: 5 } }, metadata: { partitions: 2 } },
  });
  expect(await ask('GET', `${t}-partition-0/stats`)).toMatchObject({
    body: { subscriptions: { s: { msgBacklog: 3 } } },
  });
  expect(await ask('PUT', `${t}/unload`)).toMatchObject({ status: 204 });
  expect(await ask('DELETE', `${t}/partitions`)).toMatchObject({ status: 412 });
  expect(await ask('DELETE', `${t}/subscription/s`)).toMatchObject({ status: 204 });
  expect(await ask('DELETE', `${t}/partitions`)).toMatchObject({ status: 204 });
  expect(await ask('GET', `${t}/partitions`)).toMatchObject({ status: 404 });
});

test('a wrong token is 401, a role without permission 403, and in the protocol errors 3 and 4', async () => {
  const path = '/lookup/v2/topic/persistent/a/b/t';
  expect(await ask('GET', path, undefined, 'wrong')).toMatchObject({ status: 401 });
  expect(await ask('GET', path, undefined, 'weak')).toMatchObject({ status: 403 });
  const wrong = await RawClient.open(broker, { token: 'wrong' });
  expect(await wrong.take('error')).toMatchObject({
    requestId: MINUS_ONE,
    error: SERVER_ERROR.AuthenticationError,
  });
  await wrong.until(() => wrong.isClosed);
  const weak = await RawClient.open(broker, { token: 'weak' });
  weak.send('partitionMetadata', { topic: 'persistent://a/b/t', requestId: 1 });
  expect(await weak.take('partitionMetadataResponse')).toMatchObject({
    error: SERVER_ERROR.AuthorizationError,
  });
  weak.send('lookupTopic', { topic: 'persistent://a/b/t', requestId: 2 });
  expect(await weak.take('lookupTopicResponse')).toMatchObject({ error: SERVER_ERROR.AuthorizationError });
  weak.sendSubscribe('a/b/t', 's');
  expect(await weak.take('error')).toMatchObject({ error: SERVER_ERROR.AuthorizationError });
});

test('an AUTH_CHALLENGE is answered or ends the connection', async () => {
  const client = await RawClient.open(broker, { token: 'good' });
  for (const token of ['good', 'wrong']) {
    broker.challengeAuth();
    expect(await client.take('authChallenge')).toMatchObject({ challenge: { authMethodName: 'token' } });
    client.send('authResponse', { response: { authMethodName: 'token', authData: Buffer.from(token) } });
    if (token === 'good') await client.drain('error');
    expect(broker.connections()[0]?.authResponses).toBe(1);
  }
  await client.until(() => client.isClosed);
});

test('HTTP can be silent or fail, where a test wants it', async () => {
  broker.faults.httpStatus = 503;
  expect(await ask('GET', '/admin/v2/brokers/health')).toMatchObject({ status: 503 });
  broker.faults.isHttpSilent = true;
  const quick = fetch(broker.httpUrl, { signal: AbortSignal.timeout(50) });
  await expect(quick).rejects.toThrow('timeout');
});
