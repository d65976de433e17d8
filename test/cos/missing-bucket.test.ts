// A HEAD that is answered 404 says nothing of why: a bucket that is not there is reported as that, and never taken for one
// in which a key is free.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCosStore } from '../../src/cos/store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { type AnsweringServer, cosConfig, refused, startAnsweringServer } from './answering-server.ts';
import { type Loopback, startLoopback } from './loopback.ts';

let loopback: Loopback;
beforeEach(async () => {
  loopback = await startLoopback();
});
afterEach(() => loopback.end());

const storeOf = (endpoint: string, bucket?: string) =>
  createCosStore(cosConfig(endpoint, bucket === undefined ? {} : { bucket }), { logger: keepingLogger() });

test('a missing bucket is no missing object', async () => {
  const store = storeOf(loopback.cos.url, 'elsewhere-1250000000');
  await expect(store.head('k')).rejects.toMatchObject({
    code: 'store',
    retryable: false,
    details: { status: 404, code: 'NoSuchBucket' },
    hint: expect.stringContaining('There is no bucket elsewhere-1250000000'),
  });
  await store.close();
});

test('a missing object costs one request more, and only until the bucket was seen', async () => {
  const store = storeOf(loopback.cos.url);
  for (const key of ['a', 'b', 'c']) expect(await store.head(key)).toBeUndefined();
  expect(loopback.cos.requests().map(({ kind }) => kind)).toEqual(['head', 'get', 'head', 'head']);
  await store.close();
});

test('nothing is asked for where an answer has shown the bucket before', async () => {
  const store = storeOf(loopback.cos.url);
  for await (const _one of store.list('')) expect.unreachable();
  expect(await store.head('k')).toBeUndefined();
  expect(loopback.cos.requests().map(({ kind }) => kind)).toEqual(['list', 'head']);
  await store.close();
});

async function withServer(act: (server: AnsweringServer) => Promise<void>): Promise<void> {
  const server = await startAnsweringServer();
  await act(server).finally(() => server.close());
}

test('who may not read is not told, and what is done next fails', () =>
  withServer(async (server) => {
    const store = storeOf(server.endpoint);
    server.answer = (request, response, raw) =>
      (request.method === 'HEAD' ? refused(404, 'NoSuchKey') : refused(403, 'AccessDenied'))(
        request,
        response,
        raw,
      );
    expect(await store.head('k')).toBeUndefined();
    await store.close();
  }));

test('an object that comes to be between the two is there', () =>
  withServer(async (server) => {
    const store = storeOf(server.endpoint);
    server.answer = (request, response, raw) => {
      if (server.arrived.length === 1) return refused(404, 'NoSuchKey')(request, response, raw);
      response.writeHead(200, { 'content-length': 1, 'last-modified': new Date(0).toUTCString() });
      response.end(request.method === 'HEAD' ? undefined : 'x');
    };
    expect(await store.head('k')).toMatchObject({ key: 'k', sizeBytes: 1 });
    expect(server.arrived.map(({ method }) => method)).toEqual(['HEAD', 'GET', 'HEAD']);
    await store.close();
  }));

test('a 404 of something else than COS is not taken for a missing object', () =>
  withServer(async (server) => {
    const store = storeOf(server.endpoint);
    server.answer = (request, response) => {
      response.writeHead(404, { 'content-type': 'text/html' });
      response.end(request.method === 'HEAD' ? undefined : '<html>Not Found</html>');
    };
    await expect(store.head('k')).rejects.toMatchObject({
      details: { status: 404 },
      hint: expect.stringContaining('between here and COS'),
    });
    await store.close();
  }));
