// What every side is measured against: a real broker and a loopback COS, each in a process of its own, and filled topics.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { messageOf } from '../../src/errors.ts';
import { bundleFunction } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { loadPulsarClient } from '../../src/pulsar/native/addon.ts';
import { importPulsarClient } from '../../src/pulsar/native/source.ts';
import { type Broker, startBroker } from '../integration/broker/broker.ts';
import { createSubscription, createTopic } from '../integration/broker/topics.ts';
import { runPython } from '../integration/python.ts';
import { startDelayProxy } from './tcp-proxy.ts';
import type { Workload } from './workloads.ts';

export const BUCKET = 'bench-1250000000';
export const REGION = 'ap-guangzhou';
export const SECRETS = { secretId: 'AKIDloopback', secretKey: 'loopback' };

/** Listeners of the broker, by whose names it is that far away: the first is for comparing, with as many hops. */
export const NEAR = { name: 'near', roundTripMs: 0 };
export const FAR = { name: 'far', roundTripMs: 2 };
export const CLOSE = { name: 'close', roundTripMs: 1 };
const PLACES = [NEAR, FAR, CLOSE];

export interface Surroundings {
  readonly broker: Broker;
  readonly cosUrl: string;
  /** See startControl. */
  readonly cosControlUrl: string;
  /** Bundles of this folder's processes, by name, and the packaged function. */
  readonly programs: Readonly<
    Record<
      'function' | 'function-process' | 'wire-process' | 'stage-process' | 'floor-process' | 'idle-process',
      string
    >
  >;
  /** Makes the workload's topic and fills it, once; answers its full name. */
  fill(workload: Workload): Promise<string>;
  /** Why the function cannot run with PULSAR_DRIVER=native here; `undefined` where it can. */
  readonly whyNotNative: string | undefined;
  /** A new subscription at the topic's beginning, for one round. */
  subscribe(topic: string): Promise<string>;
  /** CPU that broker and COS have taken since their start; Linux only. */
  servicesCpuMs(): Promise<number>;
  /** Frees a round's subscription and, after the last, everything else. */
  unsubscribe(topic: string, subscription: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts everything. The COS sums and counts what it is sent, and keeps none of it. */
export async function startSurroundings(): Promise<Surroundings> {
  const root = packageRoot(import.meta.url);
  const folder = await mkdtemp(join(tmpdir(), 'tdmq-backup-bench-'));
  await bundleFunction(root, join(folder, 'function'));
  await build({
    absWorkingDir: root,
    entryPoints: {
      'floor-process': 'test/bench/floor-process.ts',
      'function-process': 'test/bench/function-process.ts',
      'idle-process': 'test/bench/idle-process.ts',
      'stage-process': 'test/bench/stage-process.ts',
      'wire-process': 'test/bench/wire-process.ts',
      cos: 'test/stand-ins/cos/main.ts',
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['pulsar-client'],
    logLevel: 'warning',
    banner: {
      js: `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);`,
    },
  });
  return await startServers(folder, await installNative(join(folder, 'function')));
}

/** Puts pulsar-client beside the function, as `package --native` does, if it loads; else answers why not. */
async function installNative(functionFolder: string): Promise<string | undefined> {
  try {
    await loadPulsarClient(importPulsarClient);
  } catch (error) {
    return messageOf(error);
  }
  const client = dirname(createRequire(import.meta.url).resolve('pulsar-client/package.json'));
  await mkdir(join(functionFolder, 'node_modules'));
  await symlink(client, join(functionFolder, 'node_modules', 'pulsar-client'));
  return undefined;
}

async function startServers(folder: string, whyNotNative: string | undefined): Promise<Surroundings> {
  let brokerPort = 0;
  const proxies = await Promise.all(
    PLACES.map(({ roundTripMs }) => startDelayProxy(() => brokerPort, roundTripMs)),
  );
  const listeners = Object.fromEntries(
    PLACES.map(({ name }, at) => [name, `pulsar://127.0.0.1:${proxies[at]?.port}`]),
  );
  const [cos, broker] = await Promise.all([
    startCos(folder),
    startBroker({ fast: false, listeners, extraConf: BROKER_CONF }),
  ]);
  brokerPort = Number(new URL(broker.serviceUrl).port);
  let round = 0;
  return {
    broker,
    cosUrl: cos.url,
    cosControlUrl: cos.controlUrl,
    whyNotNative,
    programs: {
      function: join(folder, 'function', 'index.js'),
      'floor-process': join(folder, 'floor-process.mjs'),
      'function-process': join(folder, 'function-process.mjs'),
      'idle-process': join(folder, 'idle-process.mjs'),
      'stage-process': join(folder, 'stage-process.mjs'),
      'wire-process': join(folder, 'wire-process.mjs'),
    },
    async fill(workload) {
      const topic = await createTopic(broker, workload.topic, workload.partitions);
      // Keeps the messages when a round has acknowledged them.
      await createSubscription(broker, topic, 'keep');
      const { count, size, batching, random } = workload;
      await runPython(join(import.meta.dirname, 'fill.py'), [broker.serviceUrl], {
        input: JSON.stringify({ topic, count, size, batching, random }),
        timeoutMs: 300_000,
      });
      return topic;
    },
    async subscribe(topic) {
      const subscription = `round-${++round}`;
      await createSubscription(broker, topic, subscription);
      return subscription;
    },
    async servicesCpuMs() {
      const each = await Promise.all([await broker.pid(), cos.pid].map(cpuMsOf));
      return each.reduce((sum, one) => sum + one, 0);
    },
    async unsubscribe(topic, subscription) {
      await broker.admin('DELETE', `${topic.replace('://', '/')}/subscription/${subscription}?force=true`);
    },
    async stop() {
      await Promise.all([broker.stop(), cos.stop()]);
      await Promise.all(proxies.map((one) => one.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Large enough that no side waits for the broker's disk. */
const BROKER_CONF = {
  managedLedgerCacheSizeMB: '256',
  backlogQuotaDefaultLimitGB: '-1',
  maxUnackedMessagesPerConsumer: '0',
  maxUnackedMessagesPerSubscription: '0',
};

const MS_PER_TICK = 10;

/** User and system time of a process (proc_pid_stat(5), fields 14 and 15, in ticks). */
async function cpuMsOf(pid: number): Promise<number> {
  const [, afterName = ''] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ');
  const fields = afterName.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

interface RunningCos {
  readonly url: string;
  readonly controlUrl: string;
  readonly pid: number;
  stop(): Promise<void>;
}

async function startCos(folder: string): Promise<RunningCos> {
  const args = ['--dir', join(folder, 'objects'), '--bucket', BUCKET, '--region', REGION];
  args.push('--no-md5', '--discard-bodies', '--until-stdin-ends');
  const child = spawn(process.execPath, [join(folder, 'cos.mjs'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface(child.stdout)) {
    const { url, controlUrl } = JSON.parse(line) as { url: string; controlUrl: string };
    return { url, controlUrl, pid: child.pid as number, stop: () => endOf(child) };
  }
  throw new Error('the loopback COS did not start');
}

async function endOf(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.stdin?.end();
  await ended;
}
