// The loopback COS in a process of its own: its one line, its control port, and what a kill leaves in the folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { BUCKET, type Client, CREDENTIALS, clientOf, REGION } from './test-client.ts';

const MAIN = new URL('../../stand-ins/cos/main.ts', import.meta.url).pathname;

interface OwnProcess {
  readonly child: ChildProcess;
  readonly call: Client;
  readonly control: (
    method: string,
    path: string,
    body?: unknown,
  ) => Promise<{ status: number; json: unknown }>;
}

async function startProcess(dir: string): Promise<OwnProcess> {
  const { secretId, secretKey } = CREDENTIALS;
  const options = [
    '--dir',
    dir,
    '--bucket',
    BUCKET,
    '--region',
    REGION,
    '--secret-id',
    secretId,
    '--secret-key',
    secretKey,
  ];
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...options, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { port, controlUrl } = JSON.parse(line) as { port: number; controlUrl: string };
  return {
    child,
    call: clientOf(port),
    async control(method, path, body) {
      const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
      const response = await fetch(`${controlUrl}${path}`, init);
      return { status: response.status, json: await response.json() };
    },
  };
}

function emptyFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'loopback-cos-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('faults are ordered and the inside is looked at over the control port; it ends when its parent is gone', async () => {
  const { child, call, control } = await startProcess(emptyFolder());
  const fault = { kind: 'put', action: { type: 'status', status: 503 } };
  expect((await control('POST', '/faults', [fault, fault])).status).toBe(200);
  expect((await control('GET', '/faults')).json).toHaveLength(2);
  expect((await call('PUT', 'k', { body: 'x' })).status).toBe(503);
  await control('DELETE', '/faults');
  expect((await call('PUT', 'k', { body: 'x' })).status).toBe(200);
  await control('POST', '/settings', { versioning: 'Enabled' });
  await call('PUT', 'k', { body: 'y', headers: { 'x-cos-forbid-overwrite': 'true' } });
  await call('POST', 'u', { query: { uploads: '' } });
  expect((await control('GET', '/objects')).json).toMatchObject([{ key: 'k', sizeBytes: 1 }]);
  expect((await control('GET', '/uploads')).json).toMatchObject([{ key: 'u', parts: [] }]);
  expect((await control('GET', '/requests')).json).toMatchObject([{ status: 503 }, { kind: 'put' }, {}, {}]);
  expect((await control('GET', '/counts')).json).toEqual({ requests: 4, replacedCount: 1, maxConcurrent: 1 });
  await control('POST', '/settings', { tokenExpired: true });
  expect((await call('GET', '')).code).toBe('ExpiredToken');

  const exit = once(child, 'exit');
  child.stdin?.end();
  expect(await exit).toEqual([0, null]);
});

test('a fault that could never strike is refused', async () => {
  const { control } = await startProcess(emptyFolder());
  expect((await control('POST', '/faults', { action: { type: 'statsu' } })).status).toBe(400);
  expect((await control('POST', '/faults', { action: { type: 'error', code: 'Nope' } })).status).toBe(400);
  expect((await control('POST', '/faults', { key: '(', action: { type: 'no-crc' } })).status).toBe(400);
  expect((await control('GET', '/nothing')).status).toBe(404);
});

test('a server that is killed in the middle of a put leaves no half object', async () => {
  const dir = emptyFolder();
  const first = await startProcess(dir);
  await first.call('PUT', 'whole', { body: 'kept' });
  const put = first.call('PUT', 'half', { body: Buffer.alloc(1000), headers: { 'content-length': '2000' } });
  await expect.poll(() => readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary')).length).toBe(1);
  const ended = expect(put).rejects.toThrow();
  first.child.kill('SIGKILL');
  await ended;
  const second = await startProcess(dir);
  expect(((await second.control('GET', '/objects')).json as { key: string }[]).map(({ key }) => key)).toEqual(
    ['whole'],
  );
  expect((await second.call('GET', 'whole')).text).toBe('kept');
  expect(readdirSync(join(dir, '.loopback-cos', BUCKET, 'temporary'))).toEqual([]);
});
