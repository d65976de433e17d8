// The native driver as the function has it: bundled, with pulsar-client beside the bundle or not there at all.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'native-bundle-'));
  await build({
    entryPoints: [resolve('src/pulsar/native/source.ts')],
    outfile: join(folder, 'native.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node18',
    external: ['pulsar-client'],
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Opens a source over the bundle in a process of its own; answers what came of it. */
async function openBundled(): Promise<unknown> {
  const script = `
    const { createNativeSource } = require('./native.cjs');
    const topic = { full: 'persistent://t/ns/orders' };
    const log = () => undefined;
    const source = createNativeSource({
      config: { serviceUrl: 'pulsar://127.0.0.1:1', topic, subscription: 's', subscriptionType: 'exclusive' },
      receiveBudgetBytes: 1e6,
      clock: { now: Date.now, sleep: (ms, signal) => new Promise((done) => {
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', () => clearTimeout(timer));
      }) },
      logger: { debug: log, info: log, warn: log, error: log },
    });
    source.open()
      .then((partitions) => ({ topics: partitions.map((one) => one.topic) }), ({ code, message }) => ({ code, message }))
      .then(async (answer) => { await source.close(); console.log(JSON.stringify(answer)); });`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: folder, timeout: 20_000 });
  return JSON.parse(stdout);
}

it('the bundle without pulsar-client beside it says that it is not installed', async () => {
  expect(await openBundled()).toEqual({
    code: 'config',
    message: 'PULSAR_DRIVER=native: the package pulsar-client is not installed',
  });
});

it('the bundle takes pulsar-client, a CommonJS module, from the node_modules beside it', async () => {
  const home = join(folder, 'node_modules', 'pulsar-client');
  await mkdir(home, { recursive: true });
  await writeFile(
    join(home, 'index.js'),
    `class Client {
      static setLogHandler() {}
      async getPartitionsForTopic(topic) { return [topic + '-partition-0']; }
      async subscribe() { return { close: async () => null, isConnected: () => true }; }
      async close() { return null; }
    }
    const Pulsar = { Client, AuthenticationToken: class {} };
    module.exports = Pulsar;`,
  );
  expect(await openBundled()).toEqual({ topics: ['persistent://t/ns/orders-partition-0'] });
});
