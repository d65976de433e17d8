// Every call ends: by time-out, by abort, by close, by a lost connection; and its socket ends with it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import type { CallOptions, Upload } from '../../src/ports.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import {
  type Answering,
  type AnsweringServer,
  cosConfig,
  refused,
  startAnsweringServer,
  stored,
} from './answering-server.ts';

let server: AnsweringServer;
let store: CosStore;
const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
const body = { chunks: [Buffer.from('x')], sizeBytes: 1 };
const logger = keepingLogger();

beforeEach(async () => {
  server = await startAnsweringServer();
  store = createCosStore(cosConfig(server.endpoint), { logger });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

/** From here on the store waits for nothing. */
async function hurry(times: { idleTimeoutMs: number; timeoutMs: number }): Promise<void> {
  await store.close();
  store = createCosStore(cosConfig(server.endpoint), { logger, ...times });
}
const HURRIED = { idleTimeoutMs: 200, timeoutMs: 800 };
/** On a busy machine an answer may be too late for a store that waits for nothing. */
const startHurriedUpload = () => vi.waitFor(startUpload, { timeout: 20_000 });

async function startUpload(): Promise<Upload> {
  server.answer = (_request, response) => {
    response.end('<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>');
  };
  const upload = await store.startUpload('k', attributes);
  if (upload.kind === 'exists') throw new Error('should not exist');
  server.answer = stored('1');
  await upload.part(1, body, '1');
  return upload;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Every kind of call, and whether its outcome is unknown when no answer comes. */
const CALLS: [name: string, commits: boolean, call: (upload: Upload, o: CallOptions) => Promise<unknown>][] =
  [
    ['create', true, (_, o) => store.create('k', body, '1', attributes, o)],
    ['startUpload', false, (_, o) => store.startUpload('k', attributes, o)],
    ['part', false, (upload, o) => upload.part(1, body, '1', o)],
    ['complete', true, (upload, o) => upload.complete({ crc64: '1', sizeBytes: 1 }, o)],
    ['abort', false, (upload, o) => upload.abort(o)],
    ['head', false, (_, o) => store.head('k', o)],
    ['read', false, (_, o) => collect(store.read('k', o))],
    ['list', false, (_, o) => collect(store.list('', o))],
    ['listUploads', false, (_, o) => collect(store.listUploads('', o))],
    ['getVersioning', false, (_, o) => store.admin.getVersioning(o)],
  ];

const silent: Answering = () => {};
/** An answer that begins and never ends. */
const halting: Answering = (_request, response) => {
  response.writeHead(200, { 'content-length': 1000, ETag: '"e"' });
  response.write('<');
};
const failing: Answering = (_request, response) => {
  response.writeHead(500).end();
};
const resetting: Answering = (_request, response) => {
  response.socket?.resetAndDestroy();
};

describe.each(CALLS)('%s', (name, commits, call) => {
  const problem = { code: 'store', retryable: true, outcomeUnknown: commits };
  // A HEAD has no body that could halt.
  const silences =
    name === 'head'
      ? ([['before', silent]] as const)
      : ([
          ['before', silent],
          ['after', halting],
        ] as const);

  test.each(silences)(
    'ends when silence comes %s the answer began, and its socket with it',
    async (_when, answer) => {
      await hurry(HURRIED);
      const upload = await startHurriedUpload();
      server.answer = server.answerVersioning = answer;
      if (name !== 'getVersioning') server.answerVersioning = neverVersioned;
      await expect(call(upload, {})).rejects.toMatchObject({ ...problem, details: { code: 'time-out' } });
      await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
    },
  );

  test('ends at once when its signal is raised, and its socket with it', async () => {
    const upload = await startUpload();
    const controller = new AbortController();
    if (!['part', 'complete', 'abort'].includes(name)) await store.create('warm', body, '1', attributes);
    const reached = new Promise<void>((resolve) => {
      server.answer = () => resolve();
      if (name === 'getVersioning') server.answerVersioning = server.answer;
    });
    const outcome = call(upload, { signal: controller.signal }).catch((error) => error);
    await reached;
    controller.abort();
    await expect(outcome).resolves.toMatchObject({ ...problem, details: { code: 'abort' } });
    await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
  });

  test.each<[string, Answering]>([
    ['503', refused(503, 'SlowDown')],
    ['500 without a body', failing],
    ['a reset', resetting],
  ])('makes one request when %s is the answer', async (_name, answer) => {
    const upload = await startUpload();
    const before = server.arrived.length;
    server.answer = answer;
    if (name === 'getVersioning') server.answerVersioning = answer;
    await expect(call(upload, {})).rejects.toMatchObject(problem);
    expect(server.arrived.length).toBe(before + 1);
  });

  test('fails at once when the store is closed', async () => {
    const upload = await startUpload();
    await store.close();
    await expect(call(upload, {})).rejects.toMatchObject({ code: 'store', retryable: false });
  });
});

const neverVersioned: Answering = (_request, response) => {
  response.end('<VersioningConfiguration/>');
};

test('an answer that trickles without end is ended by the time for the whole call', async () => {
  await hurry({ ...HURRIED, idleTimeoutMs: 20_000 });
  const upload = await startHurriedUpload();
  server.answer = (_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(' '), 20);
    response.on('close', () => clearInterval(timer));
  };
  await expect(upload.complete({ crc64: '1', sizeBytes: 1 })).rejects.toMatchObject({
    message: expect.stringContaining('no result within 800 ms'),
    outcomeUnknown: true,
  });
});

test('spaces before the result of a Complete keep the call alive', async () => {
  await hurry({ idleTimeoutMs: 1_000, timeoutMs: 20_000 });
  const upload = await startHurriedUpload();
  server.answer = (_request, response) => {
    response.writeHead(200, { 'x-cos-hash-crc64ecma': '1' });
    let spaces = 0;
    const timer = setInterval(() => {
      response.write(' ');
      // Longer than silence may last.
      if (++spaces < 12) return;
      clearInterval(timer);
      response.end('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>');
    }, 100);
  };
  await expect(upload.complete({ crc64: '1', sizeBytes: 1 })).resolves.toMatchObject({ kind: 'created' });
});

test('a body that the server stops reading is ended by silence', async () => {
  const chunks = [Buffer.alloc(8_000_000)];
  const large = { chunks, sizeBytes: 8_000_000 };
  await hurry(HURRIED);
  server.paused = true;
  await store.create('k', large, '1', attributes).then(
    () => expect.unreachable(),
    (error) => expect(error).toMatchObject({ outcomeUnknown: true, details: { code: 'time-out' } }),
  );
});

test('close ends the calls under way and every connection, idle ones too', async () => {
  server.answer = stored('1');
  await store.create('k', body, '1', attributes);
  expect(await server.connections()).toBe(1);
  server.answer = silent;
  const calls = Promise.allSettled([
    store.head('a'),
    collect(store.read('b')),
    store.create('c', body, '1', attributes),
  ]);
  await vi.waitUntil(() => server.arrived.length >= 5, { timeout: 20_000 });
  await store.close();
  for (const outcome of await calls) {
    expect(outcome).toMatchObject({ reason: { message: expect.stringContaining('the store was closed') } });
  }
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
});

test('nobody at the other end is an error whose outcome is known', async () => {
  await server.close();
  await expect(store.create('k', body, '1', attributes)).rejects.toMatchObject({
    retryable: true,
    outcomeUnknown: false,
    details: { code: 'ECONNREFUSED' },
    hint: expect.stringContaining('COS_ENDPOINT'),
  });
});

test('a connection that cannot be made is ended in time, and its outcome is known', async () => {
  // A listener with one place in its queue, which nobody takes from it.
  const listener = spawn(process.execPath, [
    '-e',
    `const server = require('node:net').createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       require('node:fs').writeSync(1, String(server.address().port));
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
     });`,
  ]);
  const fillers: Socket[] = [];
  try {
    const [port] = await once(listener.stdout, 'data');
    for (let i = 0; i < 8; i++) fillers.push(connect(Number(port), '127.0.0.1').on('error', () => {}));
    await vi.waitUntil(() => fillers.some(({ connecting }) => !connecting), { timeout: 20_000 });
    const far = createCosStore(cosConfig(`http://127.0.0.1:${port}`), { logger, connectTimeoutMs: 100 });
    await expect(far.head('k')).rejects.toMatchObject({
      retryable: true,
      message: expect.stringContaining('no connection within 100 ms'),
    });
    await far.close();
  } finally {
    for (const filler of fillers) filler.destroy();
    listener.kill('SIGKILL');
  }
});

test('after close nothing keeps the process alive, whatever the calls were doing', async () => {
  const loopback = await startAnsweringServer((request, response, raw) =>
    request.url.startsWith('/hang') ? undefined : stored('1')(request, response, raw),
  );
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', `${import.meta.dirname}/leaving-process.ts`, loopback.endpoint],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  try {
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(JSON.parse(output)).toEqual({ left: [] });
  } finally {
    child.kill('SIGKILL');
    await loopback.close();
  }
});
