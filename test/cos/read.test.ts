// Reading: whole or an error, never in between; as fast as the consumer; ended when the consumer ends.
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { type AnsweringServer, cosConfig, refused, startAnsweringServer } from './answering-server.ts';

/** So long that a busy machine is not taken for a silent one. */
const IDLE_TIMEOUT_MS = 1_000;

let server: AnsweringServer;
let store: CosStore;
beforeEach(async () => {
  server = await startAnsweringServer();
  store = createCosStore(cosConfig(server.endpoint), { logger: keepingLogger() });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

/** What was read before it ended, and the error it ended with. */
async function readAll(
  options?: Parameters<CosStore['read']>[1],
  from = store,
): Promise<{ text: string; error: unknown }> {
  let text = '';
  try {
    for await (const chunk of from.read('k', options)) text += Buffer.from(chunk).toString('latin1');
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

test('an answer that breaks off is an error after the bytes that came', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('12345', () => response.socket?.destroySoon());
  };
  const { text, error } = await readAll();
  expect(text).toBe('12345');
  expect(error).toMatchObject({ code: 'store', retryable: true });
});

test('a reset in the middle is a retryable error', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('12345', () => response.socket?.resetAndDestroy());
  };
  expect((await readAll()).error).toMatchObject({ code: 'store', retryable: true });
});

test.each([404, 403, 503])('the XML of a refusal (%i) is never read as data', async (status) => {
  server.answer = refused(status, 'SomeCode');
  const { text, error } = await readAll();
  expect(text).toBe('');
  expect(error).toMatchObject({
    code: 'store',
    retryable: status === 503,
    details: { status, code: 'SomeCode' },
  });
  expect(server.arrived).toHaveLength(1);
});

test('silence in the middle is ended, a slow consumer is not', async () => {
  const impatient = createCosStore(cosConfig(server.endpoint), {
    logger: keepingLogger(),
    idleTimeoutMs: IDLE_TIMEOUT_MS,
  });
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('12345');
  };
  const { text, error } = await readAll({}, impatient);
  expect(text).toBe('12345');
  expect(error).toMatchObject({ retryable: true, details: { code: 'time-out' } });
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });

  const large = Buffer.alloc(3_000_000, 'x');
  server.answer = (_request, response) => {
    response.end(large);
  };
  let received = 0;
  for await (const chunk of impatient.read('k')) {
    if (received === 0) await new Promise((resolve) => setTimeout(resolve, 1.5 * IDLE_TIMEOUT_MS));
    received += chunk.byteLength;
  }
  expect(received).toBe(large.length);
  await impatient.close();
});

test('no more is taken from the network than the consumer reads', async () => {
  let sentBytes = 0;
  function* endless() {
    for (;;) {
      sentBytes += 100_000;
      yield Buffer.alloc(100_000);
    }
  }
  server.answer = (_request, response) => {
    Readable.from(endless()).pipe(response);
  };
  const iterator = store.read('k')[Symbol.asyncIterator]();
  await iterator.next();
  // The sender stops by itself once the buffers between are full.
  let before = -1;
  const isStill = () => {
    const sentBefore = before;
    before = sentBytes;
    return sentBytes === sentBefore;
  };
  await vi.waitUntil(isStill, { interval: 100, timeout: 20_000 });
  expect(sentBytes).toBeLessThan(30_000_000);
  await iterator.return?.();
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
});

test('a consumer that leaves the loop ends the connection', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 1_000_000 });
    response.write('12345');
  };
  for await (const _chunk of store.read('k')) break;
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
});

test('an abort in the middle is thrown by the iterator and ends the connection', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('12345');
  };
  const controller = new AbortController();
  const iterator = store.read('k', { signal: controller.signal })[Symbol.asyncIterator]();
  await iterator.next();
  const next = iterator.next();
  controller.abort();
  await expect(next).rejects.toMatchObject({ retryable: true, details: { code: 'abort' } });
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
});

test.each([
  [{}, undefined],
  [{ start: 5 }, 'bytes=5-'],
  [{ start: 5, end: 9 }, 'bytes=5-9'],
  [{ end: 9 }, 'bytes=0-9'],
  [{ start: -100 }, 'bytes=-100'],
])('the range %o is asked for as %s', async (options, expected) => {
  await readAll(options);
  expect(server.arrived[0]?.headers.range).toBe(expected);
});

test('an answer read to its end leaves the connection to the next call', async () => {
  server.answer = (_request, response) => {
    response.end('12345');
  };
  await readAll();
  await readAll();
  expect(new Set(server.arrived.map(({ port }) => port)).size).toBe(1);
});

const part = (status: number, range: string | undefined, body: string) => {
  server.answer = (_request, response) => {
    response.writeHead(status, range === undefined ? {} : { 'content-range': range });
    response.end(body);
  };
};

test.each([
  [{ start: 2, end: 4 }, 200, undefined, '0123456789', 'the whole object came for a part of it'],
  [{ start: 2 }, 200, undefined, '0123456789', 'the whole object came'],
  [{ start: -3 }, 200, undefined, '0123456789', 'the whole object came'],
  [{ start: 2, end: 4 }, 206, 'bytes 0-2/10', '012', 'bytes 0 to 2 came for 2 to 4'],
  [{ start: 2, end: 4 }, 206, 'bytes 2-3/10', '23', 'bytes 2 to 3 came for 2 to 4'],
  [{ start: -3 }, 206, 'bytes 0-2/10', '012', 'bytes 0 to 2 came for 7 to 9'],
  [{ start: 2, end: 4 }, 206, 'bytes 2-4/10', '23', '2 of 3 bytes came'],
])(
  '%o answered with %i %s is an error, and nothing wrong is handed out',
  async (options, status, range, body, what) => {
    part(status, range, body);
    const { text, error } = await readAll(options);
    expect('23').toContain(text);
    expect(error).toMatchObject({ code: 'store', retryable: true, message: expect.stringContaining(what) });
    expect((error as Error).message).toContain('object k');
  },
);

test.each([
  [{ start: 2, end: 4 }, 206, 'bytes 2-4/10', '234'],
  [{ start: 8, end: 40 }, 206, 'bytes 8-9/10', '89'],
  [{ start: 8 }, 206, 'bytes 8-9/10', '89'],
  [{ start: -3 }, 206, 'bytes 7-9/10', '789'],
  [{ start: -30 }, 206, 'bytes 0-9/10', '0123456789'],
  [{ start: -30 }, 200, undefined, '0123456789'],
  [{ start: 0, end: 40 }, 200, undefined, '0123456789'],
])('%o answered with %i %s is what was asked for', async (options, status, range, body) => {
  server.answer = (_request, response) => {
    const headers = range === undefined ? {} : { 'content-range': range };
    response.writeHead(status, { 'content-length': body.length, ...headers });
    response.end(body);
  };
  expect(await readAll(options)).toEqual({ text: body, error: undefined });
});
