// The sides that are compared: each drains one topic once, in a process of its own, and reports what that cost it.
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { runPython } from '../integration/python.ts';
import type { Measurement } from './measurement.ts';
import { BUCKET, REGION, SECRETS, type Surroundings } from './surroundings.ts';
import type { Workload } from './workloads.ts';

/** SCF gives CPU by memory; this is a middling function. */
export const MEMORY_MB = 512;

/** One drain; what it stored where it is the function's. */
export type Result = Measurement & { readonly storedBytes?: number; readonly storedObjects?: number };

export interface Drain {
  readonly surroundings: Surroundings;
  readonly workload: Workload;
  /** Full name. */
  readonly topic: string;
  readonly subscription: string;
}

export interface Side {
  readonly name: string;
  run(drain: Drain): Promise<Result>;
}

interface FunctionOptions {
  /** Further settings of the rule. */
  readonly env?: Readonly<Record<string, string>>;
  /** For Node, such as --cpu-prof. */
  readonly execArgv?: readonly string[];
  readonly memoryMb?: number;
  /** The Node that runs it; this one by default. */
  readonly node?: string;
}

/** The packaged function as SCF runs it. */
export async function runFunction(drain: Drain, options: FunctionOptions = {}): Promise<Result> {
  const { programs } = drain.surroundings;
  const args = [programs['function-process'], programs.function, String(options.memoryMb ?? MEMORY_MB)];
  const env = { ...ruleEnv(drain), ...options.env };
  const { report, output } = await runNode([...(options.execArgv ?? []), ...args], env, options.node);
  const stored = output.split('\n').filter((line) => line.includes('"object stored"'));
  const storedBytes = stored.reduce((sum, line) => sum + (JSON.parse(line) as { bytes: number }).bytes, 0);
  return { ...(JSON.parse(report) as Measurement), storedBytes, storedObjects: stored.length };
}

/** The same as a side; with a CPU profile of each drain in the folder `profile` if it is given. */
export function functionSide(profile?: string): Side {
  const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`];
  return { name: 'packaged function', run: (drain) => runFunction(drain, { execArgv }) };
}

/** The same over pulsar-client, where that loads. */
export const nativeFunctionSide: Side = {
  name: 'packaged function, native',
  run: (drain) => runFunction(drain, { env: { PULSAR_DRIVER: 'native' } }),
};

/** What the driver alone can do. */
export const rawDrain: Side = {
  name: 'raw drain, wire driver',
  run: async (drain) => {
    const { report } = await runNode([drain.surroundings.programs['wire-process']], ruleEnv(drain));
    return JSON.parse(report) as Measurement;
  },
};

export const pythonRaw: Side = {
  name: 'raw drain, Python client',
  run: (drain) => runPythonSide('raw', drain),
};

export const pythonFunction: Side = {
  name: 'straightforward Python function',
  run: (drain) => runPythonSide('function', drain),
};

/** What each stage costs, in CPU microseconds per message. */
export async function runStages(surroundings: Surroundings, topic: string): Promise<Record<string, number>> {
  const env = ruleEnv({ surroundings, topic, subscription: 'stages' });
  const { output } = await runNode([surroundings.programs['stage-process']], env);
  return JSON.parse(output) as Record<string, number>;
}

/** What each step that none can leave out costs over the topic, in CPU microseconds per message. */
export async function runFloor(
  drain: Omit<Drain, 'workload'>,
): Promise<Record<'write' | 'crc64' | 'sha256' | 'send', number>> {
  const { output } = await runNode([drain.surroundings.programs['floor-process']], ruleEnv(drain));
  return JSON.parse(output) as Record<'write' | 'crc64' | 'sha256' | 'send', number>;
}

async function runPythonSide(mode: 'raw' | 'function', drain: Drain): Promise<Measurement> {
  const { surroundings, topic, subscription, workload } = drain;
  const cos = {
    ...SECRETS,
    region: REGION,
    bucket: BUCKET,
    port: Number(new URL(surroundings.cosUrl).port),
    prefix: `python/${subscription}/`,
  };
  const input = JSON.stringify({ topic, subscription, count: workload.count, cos });
  const script = join(import.meta.dirname, 'python_sides.py');
  const output = await runPython(script, [mode, surroundings.broker.serviceUrl], {
    input,
    timeoutMs: 300_000,
  });
  return JSON.parse(output) as Measurement;
}

/** The settings of a rule that drains the topic. */
export function ruleEnv({
  surroundings,
  topic,
  subscription,
}: Omit<Drain, 'workload'>): Record<string, string> {
  return {
    RULE_NAME: 'bench',
    PULSAR_SERVICE_URL: surroundings.broker.serviceUrl,
    PULSAR_TOPIC: topic,
    PULSAR_SUBSCRIPTION: subscription,
    COS_BUCKET: BUCKET,
    COS_REGION: REGION,
    COS_PREFIX: `backup/${subscription}/`,
    COS_ENDPOINT: surroundings.cosUrl,
    TENCENTCLOUD_SECRETID: SECRETS.secretId,
    TENCENTCLOUD_SECRETKEY: SECRETS.secretKey,
  };
}

/** Runs a process that reports on file descriptor 3 (measurement.ts); its environment is the rule alone. */
async function runNode(
  args: readonly string[],
  env: Record<string, string>,
  node = process.execPath,
): Promise<{ report: string; output: string }> {
  const child = spawn(node, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const [output, errors, report] = await Promise.all(
    [child.stdout, child.stderr, child.stdio[3]].map((stream) => textOf(stream as Readable)),
  );
  const code = await closed;
  if (code !== 0) throw new Error(`a drain ended with ${code}:\n${errors}\n${output}`);
  return { report: report as string, output: output as string };
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const piece of stream.setEncoding('utf8')) text += piece;
  return text;
}
