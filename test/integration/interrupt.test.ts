// Ctrl-C ends each command on an archive within a second, as a real process, whatever it does or waits for just then.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../src/packaging/package-root.ts';

const root = packageRoot(import.meta.url);
const BIN = join(root, 'src/cli/tdmq-backup.ts');
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-interrupt-'));
const TOPIC = 'public/default/orders';
const DAY = `${TOPIC}/date=2026-11-23/partition=0`;
/** A second from the signal on, and half of one for a slow machine to end a process. */
const WITHIN_MS = 1_500;

let server: Server;
/** Resolves with the path of each request that hangs. */
let onHang: (url: string) => void = () => undefined;

beforeAll(async () => {
  mkdirSync(join(folder, 'large', DAY), { recursive: true });
  const record = (entry: number) =>
    `{"id":"12:${entry}:0:-1","topic":"persistent://${TOPIC}-partition-0","publishTime":"2026-11-23T10:00:00.000Z","value":"${'x'.repeat(900)}"}\n`;
  writeFileSync(
    join(folder, 'large', DAY, '000000000012-0000000000-00000.jsonl'),
    Array.from({ length: 10_000 }, (_, i) => record(i)).join(''),
  );
  mkdirSync(join(folder, 'sparse', DAY), { recursive: true });
  const sparse = join(folder, 'sparse', DAY, '000000000012-0000000000-00000.jsonl');
  writeFileSync(sparse, record(0));
  truncateSync(sparse, 200_000_000_000);
  for (let i = 0; i < 20_000; i++) {
    const path = join(folder, 'many', DAY, `000000000012-${String(i).padStart(10, '0')}-00000.jsonl`);
    if (i === 0) mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
  }
  server = createServer((request, response) => {
    const url = new URL(request.url as string, 'http://127.0.0.1');
    const answer = answerOf(url, request.method ?? '');
    if (answer === undefined) onHang(`${request.method} ${url.pathname}${url.search}`);
    else response.end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const OBJECT = `lists/${DAY}/000000000012-0000000000-00000.jsonl`;
const MANIFEST = 'lists/_runs/rule=r/date=2026-11-23/20261123T100000000Z-r.json';
const KEYS = [
  MANIFEST,
  OBJECT,
  `lists/_unreadable/${DAY.replace('date=2026-11-23/', '')}/000000000012-0000000007.bin`,
];

/** Lists what is under `lists/`; everything else hangs. */
function answerOf({ pathname, searchParams }: URL, method: string): string | undefined {
  const prefix = searchParams.get('prefix') ?? '';
  if (method !== 'GET' || pathname !== '/' || !prefix.startsWith('lists/')) return undefined;
  const keys = KEYS.filter((key) => key.startsWith(prefix) && key > (searchParams.get('marker') ?? ''));
  const items = keys.map((key) => {
    const end = key.indexOf('/', prefix.length);
    return searchParams.has('delimiter') && end >= 0
      ? `<CommonPrefixes><Prefix>${key.slice(0, end + 1)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${key}</Key><Size>200</Size><LastModified>2026-11-23T10:00:01.000Z</LastModified></Contents>`;
  });
  return `<ListBucketResult><IsTruncated>false</IsTruncated>${[...new Set(items)].join('')}</ListBucketResult>`;
}

const bucketEnv = (prefix: string) => ({
  COS_BUCKET: 'test-1250000000',
  COS_REGION: 'ap-guangzhou',
  COS_PREFIX: prefix,
  COS_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  TENCENTCLOUD_SECRET_ID: 'test-id',
  TENCENTCLOUD_SECRET_KEY: 'test-key',
  PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1',
  PULSAR_TOPIC: TOPIC,
});

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', BIN, 'archive', ...args], {
    env: { PATH: process.env['PATH'], ...env },
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Interrupts it, and expects the end. */
async function expectEnd(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  const startedMs = Date.now();
  child.kill('SIGINT');
  const [code] = await ended;
  expect(code).toBe(130);
  expect(Date.now() - startedMs).toBeLessThan(WITHIN_MS);
}

/** Bytes that the process has read or written so far; Linux counts them. */
const bytesOf = (child: ChildProcess, what: 'rchar' | 'wchar') =>
  Number(new RegExp(`${what}: (\\d+)`).exec(readFileSync(`/proc/${child.pid}/io`, 'utf8'))?.[1]);

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 20));
}

const COMMANDS = [
  ['ls'],
  ['cat'],
  ['verify'],
  ['index'],
  ['recover'],
  ['restore', '--to', 'public/default/other'],
  ['copy', '--to-prefix', 'elsewhere/'],
];

test.each(COMMANDS)('%s that waits for a list of COS', { timeout: 60_000 }, async (...args) => {
  const hangs = new Promise<string>((resolve) => {
    onHang = resolve;
  });
  const child = start(args, bucketEnv('silent/'));
  expect(await hangs).toContain('GET /?');
  await expectEnd(child);
});

test.each(COMMANDS)('%s that waits for a manifest', { timeout: 60_000 }, async (...args) => {
  const hangs = new Promise<string>((resolve) => {
    onHang = resolve;
  });
  const child = start(args, bucketEnv('lists/'));
  expect(await hangs).toContain('lists');
  await expectEnd(child);
});

test.each([['object'], ['record']])(
  'verify --level %s in the middle of a file without end',
  { timeout: 60_000 },
  async (level) => {
    const child = start(['verify', '--level', level, '--folder', join(folder, 'sparse')]);
    await until(() => bytesOf(child, 'rchar') > 200_000_000);
    await expectEnd(child);
  },
);

test('cat into a pipe that nobody reads', { timeout: 60_000 }, async () => {
  const child = start(['cat', '--folder', join(folder, 'large')]);
  await until(() => bytesOf(child, 'wchar') > 60_000);
  await expectEnd(child);
});

test.each([[['ls', '--objects', '--json']], [['ls', '--objects']]])(
  '%j while it lists',
  { timeout: 60_000 },
  async (args) => {
    const child = start([...args, '--folder', join(folder, 'many')]);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    child.stdout?.resume();
    await expectEnd(child);
  },
);
