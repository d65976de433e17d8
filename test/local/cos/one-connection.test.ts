// Calls one after the other on one connection of the loopback COS. A client knows that an answer is whole by its
// length, and sends the next call at once: sooner than the server has ended its side of the answer.
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { LoopbackCos } from '../../../src/local/cos/server.ts';
import { authorize, BUCKET, REGION, startTestCos } from './test-client.ts';

const host = `${BUCKET}.cos.${REGION}.myqcloud.com`;

/** The bytes of a request without a body. */
function requestOf(method: string, key: string, more = ''): string {
  const authorization = authorize(method, key, {}, { host });
  return `${method} /${key} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${authorization}\r\n${more}\r\n`;
}

/** Sends the requests in one write. Answers the status lines that come until the server ends the connection. */
async function statusesOf(cos: LoopbackCos, requests: readonly string[]): Promise<string[]> {
  const socket: Socket = connect(cos.port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let received = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text;
  });
  socket.on('error', () => {});
  socket.write(requests.join(''));
  await new Promise((resolve) => socket.once('close', resolve));
  return received.match(/(?<=HTTP\/1\.1 )\d+/g) ?? [];
}

test.each([
  ['GET', 'none', '404'],
  ['HEAD', 'none', '404'],
  ['HEAD', 'k', '200'],
  ['GET', 'k', '200'],
])(
  'after an object was read, %s of %s is answered although the answer before it has not ended',
  async (method, key, status) => {
    const { cos, call } = await startTestCos();
    await call('PUT', 'k', { body: Buffer.alloc(300_000) });
    const last = requestOf(method, key, 'Connection: close\r\n');
    await expect(statusesOf(cos, [requestOf('GET', 'k'), last])).resolves.toEqual(['200', status]);
  },
);

test('and a reset by order resets the connection', async () => {
  const { cos, call } = await startTestCos();
  await call('PUT', 'k', { body: Buffer.alloc(300_000) });
  cos.addFault({ kind: 'head', action: { type: 'reset', when: 'before-commit' } });
  await statusesOf(cos, [requestOf('GET', 'k'), requestOf('HEAD', 'k')]);
  expect(cos.requests().at(-1)).toMatchObject({ kind: 'head', status: 'reset' });
});
