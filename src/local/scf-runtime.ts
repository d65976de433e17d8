// The runtime API of an SCF custom runtime on this machine, and a function instance started against it: for the demo
// and for tests. It knows no freezing, no billing, no memory limit, and it ends no instance that takes too long.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Invocation {
  readonly event: unknown;
  readonly requestId?: string;
  readonly timeLimitMs?: number;
  readonly memoryMb?: number;
}

/** What the function pushed. `lost`: its instance ended, or the runtime was closed, before it pushed anything. */
export interface Outcome {
  readonly kind: 'response' | 'error' | 'lost';
  readonly requestId: string;
  readonly body: string;
}

export interface ScfRuntime {
  /** What a function finds in its environment to reach this API. */
  readonly env: Readonly<Record<string, string>>;
  /** Resolves when a function has said that it is ready. */
  readonly ready: Promise<void>;
  /** How often each path was called. */
  readonly calls: Readonly<Record<string, number>>;
  /** Hands an event to the function, after those that wait already. */
  invoke(invocation: Invocation): Promise<Outcome>;
  /** Resolves when the function waits for an event, and none is there. */
  idle(): Promise<void>;
  /** Reports that the instance has ended: its invocation is lost. */
  loseInstance(): void;
  /** Drops the connection of so many of the next calls, before anything is done about them. */
  dropCalls(count: number): void;
  close(): Promise<void>;
}

interface Waiting extends Required<Invocation> {
  readonly resolve: (outcome: Outcome) => void;
}

/** A timer's event, as SCF sends it. */
export function timerEvent(triggerName = 'timer', time = new Date()): object {
  return { Type: 'Timer', TriggerName: triggerName, Time: time.toISOString(), Message: '' };
}

/** Starts the API on a free port of 127.0.0.1. */
export async function startScfRuntime(): Promise<ScfRuntime> {
  const queue: Waiting[] = [];
  const calls: Record<string, number> = {};
  let poll: ServerResponse | undefined;
  let running: Waiting | undefined;
  let drops = 0;
  let announceReady: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    announceReady = resolve;
  });
  let announceIdle: () => void = () => undefined;

  const handOut = () => {
    if (poll === undefined) return;
    const next = queue.shift();
    if (next === undefined) return announceIdle();
    running = next;
    poll.writeHead(200, {
      'Content-Type': 'application/json',
      Request_Id: next.requestId,
      Memory_Limit_In_Mb: String(next.memoryMb),
      Time_Limit_In_Ms: String(next.timeLimitMs),
    });
    poll.end(JSON.stringify(next.event));
    poll = undefined;
  };

  const push = (kind: Outcome['kind'], body: string, answer: ServerResponse) => {
    // The first push wins; one more has no invocation to belong to.
    answer.writeHead(running === undefined ? 400 : 200).end();
    running?.resolve({ kind, requestId: running.requestId, body });
    running = undefined;
  };

  const loseInstance = () => {
    running?.resolve({ kind: 'lost', requestId: running.requestId, body: '' });
    running = undefined;
  };

  const server = createServer((incoming, answer) => {
    if (drops > 0) {
      drops--;
      incoming.socket.destroy();
      return;
    }
    const path = `${incoming.method} ${incoming.url}`;
    calls[path] = (calls[path] ?? 0) + 1;
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      if (path === 'POST /runtime/init/ready') {
        answer.writeHead(200).end();
        announceReady();
      } else if (path === 'GET /runtime/invocation/next') {
        poll = answer;
        answer.on('close', () => {
          if (poll === answer) poll = undefined;
        });
        handOut();
      } else if (path === 'POST /runtime/invocation/response') push('response', body, answer);
      else if (path === 'POST /runtime/invocation/error') push('error', body, answer);
      else answer.writeHead(404).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    env: { SCF_RUNTIME_API: '127.0.0.1', SCF_RUNTIME_API_PORT: String(port) },
    ready,
    calls,
    invoke: ({ event, requestId = randomUUID(), timeLimitMs = 60_000, memoryMb = 256 }) =>
      new Promise((resolve) => {
        queue.push({ event, requestId, timeLimitMs, memoryMb, resolve });
        handOut();
      }),
    idle: () =>
      new Promise((resolve) => {
        announceIdle = resolve;
        handOut();
      }),
    dropCalls: (count) => {
      drops = count;
    },
    loseInstance,
    async close() {
      loseInstance();
      for (const { requestId, resolve } of queue.splice(0)) resolve({ kind: 'lost', requestId, body: '' });
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface Instance {
  readonly child: ChildProcess;
  /** What it has written so far, line by line, stdout and stderr. */
  readonly lines: readonly string[];
  /** Resolves with the exit code, or with the signal's name. */
  readonly ended: Promise<number | string>;
}

export interface InstanceOptions {
  /** The unpacked function package. */
  readonly folder: string;
  /** The whole environment of the function. */
  readonly env: Readonly<Record<string, string>>;
  readonly script?: 'bootstrap' | 'scf_bootstrap';
  readonly args?: readonly string[];
  /** The Node to run it on; this process's own by default. */
  readonly nodePath?: string;
  readonly onLine?: (line: string) => void;
}

/** Starts the package's start script as SCF does: with the function's environment, and no other. */
export function startInstance(options: InstanceOptions): Instance {
  const { folder, env, script = 'bootstrap', args = [], nodePath = process.execPath, onLine } = options;
  const child = spawn(join(folder, script), args, {
    cwd: folder,
    env: { PATH: `${dirname(nodePath)}:/usr/bin:/bin`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      onLine?.(line);
    });
  }
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  // Who does not ask how it ended is not to be surprised by a script that could not be started.
  ended.catch(() => undefined);
  return { child, lines, ended };
}
