// The program behind `bootstrap` and `scf_bootstrap`: calls main_handler as SCF's own Node runtime would. With a
// runtime API it runs the custom-runtime loop; without one it serves /event-invoke, as a Web function does. One
// invocation at a time; after SIGTERM it finishes the current one. Knows nothing of backups.
import { Agent, createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { main_handler } from './index.ts';
import type { ScfContext } from './run/run-plan.ts';

const WEB_FUNCTION_PORT = 9_000;
/** SCF's own limit for an event. */
const MAX_EVENT_BYTES = 6 * 1_048_576;
/** The runtime API is on this machine: after so many failed tries the process exits. */
const RUNTIME_API_TRIES = 5;

/** Requests to the runtime API: one connection, and no time-out, for the next event may be hours away. */
interface RuntimeApi {
  readonly host: string;
  readonly port: number;
  readonly agent: Agent;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function call(
  api: RuntimeApi,
  method: 'GET' | 'POST',
  path: string,
  body = '',
  signal?: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const sent = request({ ...api, method, path, headers, ...(signal && { signal }) }, (response) => {
      readBody(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        reject,
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function readBody(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_EVENT_BYTES) throw new RangeError('the event is larger than 6 MB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Retries requests that get no response; a response of the API is final. */
async function callPatiently(...args: Parameters<typeof call>): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await call(...args);
      if (answer.status < 500 || attempt >= RUNTIME_API_TRIES) return answer;
    } catch (error) {
      if (attempt >= RUNTIME_API_TRIES || args[4]?.aborted) throw error;
    }
    await sleep(50 * 2 ** attempt);
  }
}

/** The loop of a custom runtime: ready, then next → response or error, until SIGTERM. */
async function serveRuntimeApi(api: RuntimeApi, stop: AbortSignal): Promise<void> {
  await callPatiently(api, 'POST', '/runtime/init/ready', ' ');
  while (!stop.aborted) {
    let next: Answer;
    try {
      next = await callPatiently(api, 'GET', '/runtime/invocation/next', '', stop);
    } catch (error) {
      if (stop.aborted) break;
      throw error;
    }
    if (next.status !== 200) throw new Error(`the runtime API answered ${next.status} to next`);
    const outcome = await invoke(next.body, next.headers);
    await callPatiently(
      api,
      'POST',
      outcome.failed ? '/runtime/invocation/error' : '/runtime/invocation/response',
      outcome.body,
    );
  }
  api.agent.destroy();
}

/** What SCF sends to a Web function that is not called by HTTP: POST /event-invoke. */
async function serveEventInvoke(port: number, stop: AbortSignal): Promise<void> {
  const server = createServer((incoming, answer) => {
    const reply = (status: number, body: string) => {
      answer.writeHead(status, {
        'Content-Type': 'application/json',
        ...(stop.aborted && { Connection: 'close' }),
      });
      answer.end(body);
    };
    if (incoming.method !== 'POST' || incoming.url?.split('?')[0] !== '/event-invoke') {
      incoming.resume();
      return reply(404, errorBody(new Error('events go to POST /event-invoke')));
    }
    readBody(incoming)
      .then((event) => invoke(event, incoming.headers))
      .then((outcome) => reply(outcome.failed ? 500 : 200, outcome.body))
      .catch((error) => reply(400, errorBody(error)));
  });
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '0.0.0.0', resolve);
  });
  const address = server.address();
  log('info', 'event server listening', { port: typeof address === 'object' ? address?.port : undefined });
  await new Promise<void>((resolve) => {
    const close = () => {
      server.close(() => resolve());
      server.closeIdleConnections();
    };
    if (stop.aborted) close();
    else stop.addEventListener('abort', close);
  });
}

/** Runs the handler once. Never throws: a failure is an outcome, and the next invocation runs anyway. */
async function invoke(
  event: string,
  headers: IncomingHttpHeaders,
): Promise<{ failed: boolean; body: string }> {
  try {
    const result = await main_handler(parseEvent(event), contextOf(headers));
    return { failed: false, body: JSON.stringify(result) ?? 'null' };
  } catch (error) {
    return { failed: true, body: errorBody(error) };
  }
}

function parseEvent(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The context from the headers of the runtime API (`request_id`, `time_limit_in_ms`, `memory_limit_in_mb`) or of a
 * Web function (`X-Scf-Request-Id`, `X-Scf-Timeout` in ms, `X-Scf-Memory` in MB), however they are written.
 */
function contextOf(headers: IncomingHttpHeaders): ScfContext {
  const startedAtMs = performance.now();
  const plain = new Map(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase().replaceAll('-', '_'), String(value)]),
  );
  const text = (...names: string[]) => names.map((name) => plain.get(name)).find(Boolean);
  const number = (...names: string[]) => {
    const value = Number(text(...names));
    return Number.isFinite(value) && value > 0 ? value : undefined;
  };
  const requestId = text('request_id', 'x_scf_request_id');
  const timeLimitMs = number('time_limit_in_ms', 'x_scf_timeout');
  const memoryMb = number('memory_limit_in_mb', 'x_scf_memory');
  const functionName = text('x_scf_name') ?? process.env['SCF_FUNCTIONNAME'];
  return {
    ...(requestId && { request_id: requestId }),
    ...(functionName && { function_name: functionName }),
    ...(memoryMb && { memory_limit_in_mb: memoryMb }),
    ...(timeLimitMs && {
      time_limit_in_ms: timeLimitMs,
      getRemainingTimeInMillis: () => Math.max(0, timeLimitMs - (performance.now() - startedAtMs)),
    }),
  };
}

/** What SCF shows as the reason. index.js has a BackupError class of its own, so it is known by its name. */
function errorBody(thrown: unknown): string {
  const { name, message, code, hint } = (
    thrown instanceof Error ? thrown : { name: 'Error', message: String(thrown) }
  ) as { name: string; message: string; code?: unknown; hint?: unknown };
  const isBackupError = name === 'BackupError';
  return JSON.stringify({
    errorType: isBackupError ? `${name}.${code}` : name,
    errorMessage: message,
    ...(isBackupError && hint !== undefined && { hint }),
  });
}

function log(level: string, message: string, fields: object): void {
  process.stdout.write(`${JSON.stringify({ level, time: new Date().toISOString(), ...fields, message })}\n`);
}

async function start(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const { SCF_RUNTIME_API: host, SCF_RUNTIME_API_PORT: port } = process.env;
  if (host) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const api = { host, port: Number(port ?? 80), agent };
    // The state of the process is unknown: give the reason to SCF, then let it start a new one.
    process.on('uncaughtException', (error) => {
      log('error', 'process failed', { errorMessage: error.message, errorStack: error.stack });
      const fallback = setTimeout(() => process.exit(1), 2_000);
      call({ ...api, agent: new Agent() }, 'POST', '/runtime/invocation/error', errorBody(error))
        .catch(() => undefined)
        .finally(() => {
          clearTimeout(fallback);
          process.exit(1);
        });
    });
    await serveRuntimeApi(api, stop.signal);
  } else {
    await serveEventInvoke(Number(process.argv[2] ?? WEB_FUNCTION_PORT), stop.signal);
  }
}

start().then(
  () => process.exit(0),
  (error) => {
    log('error', 'runtime failed', { errorMessage: String(error?.message ?? error) });
    process.exit(1);
  },
);
