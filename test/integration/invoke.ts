// Invokes the packaged function as SCF's timer does, in a process of its own whose environment is the rule alone.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const bundle = join(here, '..', '..', 'dist', 'function', 'index.js');
/** How long a process may take to end after its handler has returned: nothing may keep it alive. */
const ENDS_WITHIN_MS = 5_000;

export interface InvokeOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly requestId?: string;
  readonly timeLimitMs?: number;
  readonly memoryMb?: number;
}

export interface Summary {
  readonly rule: string;
  readonly requestId: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly stopReason: string;
  readonly messages: number;
  readonly recordBytes: number;
  readonly objects: number;
  readonly alreadyStored: number;
  readonly unreadable: number;
  readonly partitions: number;
  readonly backlog?: { readonly messages?: number; readonly entries?: number };
  readonly lingering?: { readonly messages: number; readonly oldestPublishTime: string };
  readonly heldBack?: string;
}

interface LogLine {
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface Invocation {
  /** What the handler returned; `undefined` where it threw or the process was killed. */
  readonly summary: Summary | undefined;
  readonly thrown: { name: string; message: string; hint?: string; code?: string } | undefined;
  /** Everything that was printed. */
  readonly output: string;
  readonly logs: readonly LogLine[];
  readonly durationMs: number;
}

export interface RunningInvocation {
  readonly outcome: Promise<Invocation>;
  kill9(): void;
}

/** Invokes it once and waits for its end. */
export async function invoke(options: InvokeOptions): Promise<Invocation> {
  return await startInvocation(options).outcome;
}

/** Begins an invocation, so that something can happen to it meanwhile. */
export function startInvocation(options: InvokeOptions): RunningInvocation {
  if (!existsSync(bundle)) throw new Error(`${bundle} is not there: run npm run package first`);
  const startedAt = performance.now();
  const child = fork(join(here, 'invoke-function.cjs'), {
    env: { ...options.env },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  child.send({
    request_id: options.requestId ?? 'request-1',
    function_name: 'backup',
    memory_limit_in_mb: options.memoryMb ?? 512,
    time_limit_in_ms: options.timeLimitMs ?? 120_000,
  });
  return { outcome: outcomeOf(child, startedAt), kill9: () => child.kill('SIGKILL') };
}

async function outcomeOf(child: ChildProcess, startedAt: number): Promise<Invocation> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let answer: { returned?: Summary; thrown?: NonNullable<Invocation['thrown']> } = {};
  let answeredAt: number | undefined;
  let lingers: NodeJS.Timeout | undefined;
  let hasLingered = false;
  child.once('message', (message) => {
    answer = message as typeof answer;
    answeredAt = performance.now();
    lingers = setTimeout(() => {
      hasLingered = true;
      child.kill('SIGKILL');
    }, ENDS_WITHIN_MS);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(lingers);
  if (hasLingered)
    throw new Error(`something kept the process alive after its handler had ended:\n${output}`);
  if (answeredAt === undefined && code !== null)
    throw new Error(`the process ended with ${code}:\n${output}`);
  return {
    summary: answer.returned,
    thrown: answer.thrown,
    output,
    logs: output.split('\n').flatMap(parseLog),
    durationMs: (answeredAt ?? performance.now()) - startedAt,
  };
}

function parseLog(line: string): LogLine[] {
  try {
    return [JSON.parse(line) as LogLine];
  } catch {
    return [];
  }
}
