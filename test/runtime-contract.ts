// The contract of bootstrap.js with SCF, on every version of Node. The handler under it is written for the test; the bootstrap is
// the packaged one, started by the packaged script.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  type Instance,
  type InstanceOptions,
  type ScfRuntime,
  startInstance,
  startScfRuntime,
  timerEvent,
} from '../src/local/scf-runtime.ts';
import { bundleFunction } from '../src/packaging/bundle.ts';
import { collectFunction, writePackage } from '../src/packaging/function-package.ts';
import { packageRoot } from '../src/packaging/package-root.ts';

/** Does what the event's Message says, and reports what it was given. */
const HANDLER = `
exports.main_handler = async (event, context) => {
  const { Message } = event;
  if (Message === 'fail') throw new Error('the handler failed');
  if (Message === 'refuse') {
    throw Object.assign(new Error('no such bucket'), { name: 'BackupError', code: 'store', hint: 'Create it.' });
  }
  if (Message === 'crash') { setTimeout(() => { throw new Error('thrown by nobody'); }, 1); await new Promise(() => {}); }
  if (Message === 'reject') { Promise.reject(new Error('rejected by nobody')); await new Promise(() => {}); }
  if (Message === 'slow') { console.log('slow begins'); await new Promise((r) => setTimeout(r, 300)); console.log('slow ends'); }
  const remainingMs = context.getRemainingTimeInMillis && context.getRemainingTimeInMillis();
  return { event, context: { ...context }, remainingMs, node: process.versions.node };
};
`;

const message = (text: string) => ({ ...timerEvent(), Message: text });

/** The tests; `nodePath` is asked for once they run. */
export function runtimeContract(getNodePath: () => string): void {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  let runtime: ScfRuntime;
  const instances: Instance[] = [];

  beforeAll(async () => {
    const root = packageRoot(import.meta.url);
    await bundleFunction(root, folder);
    writePackage(folder, collectFunction(root, folder));
    writeFileSync(join(folder, 'index.js'), HANDLER);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    runtime = await startScfRuntime();
  });
  afterEach(async () => {
    for (const { child } of instances) child.kill('SIGKILL');
    await Promise.all(instances.splice(0).map(({ ended }) => ended.catch(() => undefined)));
    await runtime.close();
  });

  const start = (options: Partial<InstanceOptions> = {}) => {
    const instance = startInstance({ folder, env: runtime.env, nodePath: getNodePath(), ...options });
    instances.push(instance);
    return instance;
  };
  const line = async (instance: Instance, text: string) => {
    await expect.poll(() => instance.lines.some((one) => one.includes(text)), { timeout: 10_000 }).toBe(true);
    return instance.lines.find((one) => one.includes(text)) as string;
  };

  test('says that it is ready, then answers each event with what the handler returns', async () => {
    start();
    await runtime.ready;
    for (const requestId of ['first', 'second']) {
      const outcome = await runtime.invoke({
        event: message('x'),
        requestId,
        timeLimitMs: 5_000,
        memoryMb: 512,
      });
      expect(outcome).toMatchObject({ kind: 'response', requestId });
      const { event, context, remainingMs } = JSON.parse(outcome.body);
      expect(event).toMatchObject({ Type: 'Timer', Message: 'x' });
      expect(context).toMatchObject({
        request_id: requestId,
        time_limit_in_ms: 5_000,
        memory_limit_in_mb: 512,
      });
      expect(remainingMs).toBeGreaterThan(3_000);
      expect(remainingMs).toBeLessThanOrEqual(5_000);
    }
    expect(runtime.calls['POST /runtime/init/ready']).toBe(1);
  });

  test('is the Node it was asked for', async () => {
    start({ script: 'scf_bootstrap' });
    const { body } = await runtime.invoke({ event: {} });
    expect(`v${JSON.parse(body).node}`).toBe(
      execFileSync(getNodePath(), ['--version'], { encoding: 'utf8' }).trim(),
    );
  });

  test('reports a failure with its reason and survives it', async () => {
    start();
    const failed = await runtime.invoke({ event: message('fail') });
    expect(failed.kind).toBe('error');
    expect(JSON.parse(failed.body)).toEqual({ errorType: 'Error', errorMessage: 'the handler failed' });
    expect(await runtime.invoke({ event: message('x') })).toMatchObject({ kind: 'response' });
  });

  test('hands on the kind and the hint of a failure that has them', async () => {
    start();
    const { body } = await runtime.invoke({ event: message('refuse') });
    expect(JSON.parse(body)).toEqual({
      errorType: 'BackupError.store',
      errorMessage: 'no such bucket',
      hint: 'Create it.',
    });
  });

  test.each([
    ['crash', 'thrown by nobody'],
    ['reject', 'rejected by nobody'],
  ])('a %s outside the handler is reported to SCF and ends the instance', async (what, reason) => {
    const instance = start();
    const outcome = await runtime.invoke({ event: message(what) });
    expect(outcome.kind).toBe('error');
    expect(JSON.parse(outcome.body)).toMatchObject({ errorMessage: reason });
    expect(await instance.ended).toBe(1);
  });

  test('outlives a runtime API that drops calls', async () => {
    start();
    await runtime.idle();
    runtime.dropCalls(2);
    expect(await runtime.invoke({ event: message('x') })).toMatchObject({ kind: 'response' });
    expect(await runtime.invoke({ event: message('x') })).toMatchObject({ kind: 'response' });
  });

  test('ends with code 1 and a reason when the runtime API is gone', async () => {
    const instance = start();
    await runtime.idle();
    await runtime.close();
    expect(await instance.ended).toBe(1);
    expect(JSON.parse(await line(instance, 'runtime failed'))).toMatchObject({ level: 'error' });
  });

  test('SIGTERM ends an idle instance at once', async () => {
    const instance = start();
    await runtime.idle();
    instance.child.kill('SIGTERM');
    expect(await instance.ended).toBe(0);
  });

  test('SIGTERM lets a running invocation finish and push its result', async () => {
    const instance = start();
    const outcome = runtime.invoke({ event: message('slow') });
    await line(instance, 'slow begins');
    instance.child.kill('SIGTERM');
    expect(await outcome).toMatchObject({ kind: 'response' });
    expect(await instance.ended).toBe(0);
    expect(instance.lines).toContain('slow ends');
  });

  async function startWeb(): Promise<{ instance: Instance; port: number }> {
    const instance = start({
      script: 'scf_bootstrap',
      args: ['0'],
      env: { SCF_FUNCTIONNAME: 'orders-backup' },
    });
    return { instance, port: JSON.parse(await line(instance, 'event server listening')).port };
  }

  async function post(port: number, path: string, body: string, headers: Record<string, string> = {}) {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers });
    sent.end(body);
    const [response] = await once(sent, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    return { status: response.statusCode, body: JSON.parse(text) };
  }

  test('without a runtime API it serves /event-invoke, with the context from the headers in any case', async () => {
    const { port } = await startWeb();
    const { status, body } = await post(port, '/event-invoke', JSON.stringify(message('x')), {
      'X-SCF-REQUEST-ID': 'web-1',
      'x-scf-memory': '512',
      'X-Scf-Timeout': '300000',
    });
    expect(status).toBe(200);
    expect(body.event).toMatchObject({ Type: 'Timer', Message: 'x' });
    expect(body.context).toMatchObject({
      request_id: 'web-1',
      memory_limit_in_mb: 512,
      time_limit_in_ms: 300_000,
      function_name: 'orders-backup',
    });
  });

  test('/event-invoke answers 500 with the reason of a failure, and goes on serving', async () => {
    const { port } = await startWeb();
    const failed = await post(port, '/event-invoke', JSON.stringify(message('fail')));
    expect(failed).toEqual({
      status: 500,
      body: { errorType: 'Error', errorMessage: 'the handler failed' },
    });
    expect((await post(port, '/event-invoke', '{}')).status).toBe(200);
    expect((await post(port, '/', '{}')).status).toBe(404);
  });

  test('SIGTERM lets a running /event-invoke answer', async () => {
    const { instance, port } = await startWeb();
    const answer = post(port, '/event-invoke', JSON.stringify(message('slow')));
    await line(instance, 'slow begins');
    instance.child.kill('SIGTERM');
    expect((await answer).status).toBe(200);
    expect(await instance.ended).toBe(0);
  });
}
