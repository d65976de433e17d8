// A real Pulsar broker in one Java process, on free ports of the loopback interface, for one test file.
// It ends with the process that started it, also if that one is killed. It is no model of a production set-up.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { brokerConf } from './conf.ts';
import { resolveJars } from './jars.ts';
import { CONF_FILE, javaArgs, starterArgs } from './java-args.ts';
import { freePorts } from './ports.ts';
import { signToken } from './token.ts';
import { NEWEST, type PulsarVersion } from './version.ts';

const here = import.meta.dirname;
const READY_WITHIN_MS = 120_000;

export interface BrokerOptions {
  /** Which Pulsar; the newest by default. */
  readonly version?: PulsarVersion;
  /** Token authentication and authorization; the superuser is `admin`, other roles need a grant. */
  readonly auth?: boolean;
  /** `memory` (default): a restart is an empty broker. `rocksdb`: a restart has everything that was there. */
  readonly metadata?: 'memory' | 'rocksdb';
  /** `false`: full JIT and parallel GC; starts in twice the time, but is faster under load. */
  readonly fast?: boolean;
  /** Addresses that the broker tells to clients that ask by these listener names; the others get its own. */
  readonly listeners?: Readonly<Record<string, string>>;
  /** Further lines of broker.conf; they replace those of standalone.conf. */
  readonly extraConf?: Readonly<Record<string, string>>;
}

export interface Broker {
  /** `pulsar://127.0.0.1:port` */
  readonly serviceUrl: string;
  /** `http://127.0.0.1:port`: the admin API, and a service URL for HTTP lookup. */
  readonly httpUrl: string;
  /** Of the Java process; a restart changes it. */
  pid(): Promise<number>;
  /** The superuser's token; `undefined` without `auth`. */
  readonly adminToken: string | undefined;
  /** A token of this broker for any role; it expires at that second since 1970, or never. */
  token(role: string, expiresAtS?: number): string;
  /** The admin REST API: `admin('GET', 'persistent/public/default/t/stats')`. Throws unless the answer is 2xx. */
  admin<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
  logTail(lines?: number): Promise<string>;
  /** Ends it in order and removes its data. May be repeated. */
  stop(): Promise<void>;
  /** Ends it as a power cut would; `restart` brings it back. */
  kill9(): Promise<void>;
  /** Ends it if it runs and starts it again, on the same ports. */
  restart(): Promise<void>;
  /** Halts the process without closing its connections (a broker that hangs), until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** Starts a broker and waits until it produces and reads messages and has the namespace `public/default`. */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const { version = NEWEST, auth = false, metadata = 'memory', fast = true } = options;
  const { listeners = {}, extraConf = {} } = options;
  const jars = await resolveJars(version, metadata);
  const folder = await mkdtemp(join(tmpdir(), 'tdmq-backup-broker-'));
  const [port, httpPort, zooKeeperPort, bookiePort] = await freePorts(4);
  const ports = { port, httpPort, zooKeeperPort, bookiePort };
  const httpUrl = `http://127.0.0.1:${ports.httpPort}`;
  const secretKey = randomBytes(32);
  const token = (role: string, expiresAtS?: number) => signToken(role, secretKey, expiresAtS);
  const adminToken = auth ? token('admin') : undefined;
  const logFile = join(folder, 'log');
  let child: ChildProcess | undefined;

  const keyFile = auth ? join(folder, 'secret.key') : undefined;
  if (keyFile !== undefined) await writeFile(keyFile, secretKey, { mode: 0o600 });
  const conf = await brokerConf({ version, ports, metadata, keyFile, adminToken, listeners, extraConf });
  await writeFile(join(folder, CONF_FILE), conf, { mode: 0o600 });

  async function start(): Promise<void> {
    if (metadata === 'memory') await rm(join(folder, 'data'), { recursive: true, force: true });
    await mkdir(join(folder, 'data'), { recursive: true });
    await rm(join(folder, 'pid'), { force: true });
    const log = await open(logFile, 'a');
    child = spawn(
      join(here, 'run-tied.sh'),
      [
        folder,
        'java',
        ...javaArgs(version, jars, fast, folder),
        ...starterArgs(version, metadata, folder, ports),
      ],
      { cwd: folder, stdio: ['pipe', log.fd, log.fd] },
    );
    child.on('error', () => {}); // seen as an exit below
    await log.close();
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await isReady())) {
      if (hasEnded(child)) throw new Error(`the broker ended at its start:\n${await logTail()}`);
      if (Date.now() > deadline) {
        await kill9();
        throw new Error(`the broker was not ready after ${READY_WITHIN_MS} ms:\n${await logTail()}`);
      }
      await sleep(100);
    }
  }

  /** The broker's own health check produces and reads a message; the default namespace is made a little later. */
  async function isReady(): Promise<boolean> {
    try {
      await call('GET', 'brokers/health');
      await call('GET', 'namespaces/public/default');
      return true;
    } catch {
      return false;
    }
  }

  async function call(method: string, path: string, body?: unknown): Promise<string> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (adminToken !== undefined) headers['authorization'] = `Bearer ${adminToken}`;
    const response = await fetch(`${httpUrl}/admin/v2/${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
    return text;
  }

  const pid = async () => Number(await readFile(join(folder, 'pid'), 'utf8'));

  async function signal(name: NodeJS.Signals): Promise<void> {
    if (child === undefined || hasEnded(child)) return;
    process.kill(await pid(), name);
  }

  async function end(name: NodeJS.Signals): Promise<void> {
    if (child === undefined || hasEnded(child)) return;
    const ended = once(child, 'exit');
    await signal(name);
    if (name === 'SIGKILL') {
      await ended;
    } else {
      const timer = setTimeout(() => void signal('SIGKILL'), 15_000);
      await ended;
      clearTimeout(timer);
    }
  }

  const kill9 = () => end('SIGKILL');

  async function logTail(lines = 60): Promise<string> {
    const text = await readFile(logFile, 'utf8').catch(() => '(no log)');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async function stop(): Promise<void> {
    // Nothing in a memory broker is worth an orderly end, which takes seconds.
    await end(metadata === 'memory' ? 'SIGKILL' : 'SIGTERM');
    await rm(folder, { recursive: true, force: true });
  }

  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    serviceUrl: `pulsar://127.0.0.1:${ports.port}`,
    httpUrl,
    pid,
    adminToken,
    token,
    async admin<T>(method: string, path: string, body?: unknown): Promise<T> {
      const text = await call(method, path, body);
      return (text === '' ? undefined : JSON.parse(text)) as T;
    },
    logTail,
    stop,
    kill9,
    async restart() {
      await end(metadata === 'memory' ? 'SIGKILL' : 'SIGTERM');
      await start();
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
  };
}

const hasEnded = (child: ChildProcess) =>
  child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
