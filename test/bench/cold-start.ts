// How long the packaged function takes from the start of Node to its first byte to the broker. `npm run bench:start`
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleFunction } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { median } from './report.ts';

const ROUNDS = 9;
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-bench-'));
await bundleFunction(packageRoot(import.meta.url), folder);

const CALL = `
const started = process.hrtime.bigint();
const { main_handler } = require('./index.js');
process.stderr.write('loaded ' + Number(process.hrtime.bigint() - started) / 1e6 + ' ' + process.memoryUsage().rss + '\\n');
main_handler({}, { request_id: 'bench', time_limit_in_ms: 30000, memory_limit_in_mb: 512 }).catch(() => {});
`;

/** Milliseconds: from spawning Node to the first byte, of that loading the function; bytes of memory once loaded. */
async function round(): Promise<{ firstByteMs: number; loadMs: number; rssBytes: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const startedMs = performance.now();
  const child = spawn(process.execPath, ['-e', CALL], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      RULE_NAME: 'bench',
      PULSAR_SERVICE_URL: `pulsar://127.0.0.1:${port}`,
      PULSAR_TOPIC: 'public/default/orders',
      PULSAR_SUBSCRIPTION: 'backup',
      COS_BUCKET: 'bench-1250000000',
      COS_REGION: 'ap-guangzhou',
      TENCENTCLOUD_SECRETID: 'bench',
      TENCENTCLOUD_SECRETKEY: 'bench',
    },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  try {
    const firstByteMs = await new Promise<number>((resolve, reject) => {
      server.on('connection', (socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => resolve(performance.now() - startedMs));
      });
      child.on('close', () =>
        reject(new Error(`the function ended without a byte to the broker: ${errors}`)),
      );
    });
    const [, loadMs = 'NaN', rss = 'NaN'] = /loaded (\S+) (\d+)/.exec(errors) ?? [];
    return { firstByteMs, loadMs: Number(loadMs), rssBytes: Number(rss) };
  } finally {
    child.kill('SIGKILL');
    server.close();
  }
}

const rounds: Awaited<ReturnType<typeof round>>[] = [];
for (let i = 0; i < ROUNDS; i++) rounds.push(await round());
const emptyMs: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  const startedMs = performance.now();
  execFileSync(process.execPath, ['-e', '0']);
  emptyMs.push(performance.now() - startedMs);
}
rmSync(folder, { recursive: true, force: true });
const show = (name: string, value: string) => process.stdout.write(`${name.padEnd(44)}${value}\n`);
show(`Node ${process.version}, median of ${ROUNDS}`, '');
show('an empty Node process', `${median(emptyMs).toFixed(0)} ms`);
show('loading the function', `${median(rounds.map(({ loadMs }) => loadMs)).toFixed(0)} ms`);
show(
  'start of Node to first byte to the broker',
  `${median(rounds.map(({ firstByteMs }) => firstByteMs)).toFixed(0)} ms`,
);
show('memory once loaded', `${(median(rounds.map(({ rssBytes }) => rssBytes)) / 1e6).toFixed(0)} MB`);
