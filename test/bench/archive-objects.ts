// `npm run bench:archive -- --objects 10000,100000`: an archive of many small objects, as a local copy and in the stand-in
// of COS, read by our commands and, over the same files, by find, cat and grep: what is asked decides what it costs. Linux
// only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { type BenchCos, BUCKET, cosEnvironment, startBenchCos } from './archive-cos.ts';
import { daysOf, fillObjects, MESSAGES, PARTITIONS } from './archive-objects-fill.ts';
import { progress, table } from './report.ts';

const MB = 1_000_000;

/** What a command took. */
export interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number | undefined;
}

/** Of more objects, what asks for each of them would take an hour. */
const MAX_IN_BUCKET = 100_000;

/** Measures archives of these sizes below `folder`, and prints a table of each: of what `only` fits, such as `copy: ls`. */
export async function measureObjects(
  sizes: readonly number[],
  folder: string,
  { keeps, only }: { readonly keeps: boolean; readonly only: RegExp },
): Promise<void> {
  for (const objects of sizes) {
    const home = join(folder, `bucket-${objects}`);
    progress(`making ${objects} objects`);
    if (!existsSync(home)) fillObjects(home, objects);
    const rows = await measureCopy(join(home, 'objects', BUCKET), (name) => only.test(`copy: ${name}`));
    const title = `${objects.toLocaleString('en-US')} objects of ${MESSAGES} messages, ${PARTITIONS} partitions, ${daysOf(objects)} days`;
    process.stdout.write(
      `\n${title}, a local copy\n\n${table(['', 'seconds', 'CPU seconds', 'peak MB', 'CPU, times'], rows)}`,
    );
    const cos = await startBenchCos(home);
    try {
      const isAsked = (name: string) => only.test(`bucket: ${name}`);
      const ofBucket = await measureBucket(cos, objects, isAsked);
      process.stdout.write(
        `\n${title}, in the stand-in of COS\n\n${table(['', 'seconds', 'CPU seconds', 'peak MB', 'requests'], ofBucket)}`,
      );
    } finally {
      await cos.stop();
    }
    if (!keeps) await rm(home, { recursive: true, force: true });
  }
}

/** What is asked of both. */
const DAY = ['--from', '2026-11-05', '--until', '2026-11-06'];
const KEY = ['--key', 'customer-7'];

async function measureBucket(
  cos: BenchCos,
  objects: number,
  isAsked: (name: string) => boolean,
): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [name, args] of [
    ['ls', ['ls']],
    ['ls of one day', ['ls', ...DAY]],
    ['cat of one day', ['cat', ...DAY]],
    ['cat --key of one day', ['cat', ...DAY, ...KEY]],
    ['cat --key', ['cat', ...KEY]],
    ['verify --level list', ['verify', '--level', 'list']],
  ] as const) {
    const isOfAll = name === 'cat --key' || name === 'verify --level list';
    if (!isAsked(name) || (isOfAll && objects > MAX_IN_BUCKET)) continue;
    const before = await cos.requests();
    const { seconds, cpuSeconds, peakBytes = 0 } = await measureOwn(args, cosEnvironment(cos.url));
    const requests = (await cos.requests()) - before;
    rows.push([
      name,
      seconds.toFixed(2),
      cpuSeconds.toFixed(2),
      (peakBytes / MB).toFixed(0),
      requests.toLocaleString('en-US'),
    ]);
    progress(rows.at(-1)?.join('  ') ?? '');
  }
  return rows;
}

async function measureCopy(copy: string, isAsked: (name: string) => boolean): Promise<string[][]> {
  const topic = join(copy, 'bench');
  const ofDay = join(topic, 'archive/orders/date=2026-11-05');
  const rows: string[][] = [];
  const add = async (
    name: string,
    measure: () => Promise<Cost>,
    by?: readonly [string, Cost | undefined],
  ): Promise<Cost | undefined> => {
    if (!isAsked(name)) return undefined;
    const cost = await measure();
    const { seconds, cpuSeconds, peakBytes } = cost;
    const ratio = by?.[1] === undefined ? '' : `${(cpuSeconds / by[1].cpuSeconds).toFixed(1)} × ${by[0]}`;
    rows.push([
      name,
      seconds.toFixed(2),
      cpuSeconds.toFixed(2),
      peakBytes === undefined ? '' : (peakBytes / MB).toFixed(0),
      ratio,
    ]);
    progress(rows.at(-1)?.join('  ') ?? '');
    return cost;
  };
  const shell = (line: string) => () => measure(['bash', '-c', line]);
  const own =
    (...args: string[]) =>
    () =>
      measureOwn([...args, '--folder', copy]);

  await add('node -e 0, the start of Node itself', shell(`'${process.execPath}' -e 0`));
  const find = await add('find -printf %s', shell(`find '${copy}' -type f -printf '%s\\n' > /dev/null`));
  const grep = await add(
    'cat | grep',
    shell(`find '${topic}' -type f -print0 | xargs -0 cat | grep -c '"key":"customer-7"' > /dev/null`),
  );
  const findDay = await add('find, one day', shell(`find '${ofDay}' -type f -printf '%s\\n' > /dev/null`));
  const catDay = await add(
    'cat, one day',
    shell(`find '${ofDay}' -type f -print0 | xargs -0 cat > /dev/null`),
  );
  await add('ls', own('ls'), ['find', find]);
  await add('ls of one day', own('ls', ...DAY), ['find', findDay]);
  await add('cat of one day', own('cat', ...DAY), ['cat', catDay]);
  await add('cat --key', own('cat', ...KEY), ['cat | grep', grep]);
  const text = '"order":40007,';
  const inValue = text.replaceAll('"', '\\\\"');
  const grepValue = await add(
    'cat | grep, in values',
    shell(`find '${topic}' -type f -print0 | xargs -0 cat | grep -cF '${inValue}' > /dev/null || true`),
  );
  await add('cat --grep', own('cat', '--grep', text), ['cat | grep', grepValue]);
  await add('cat --grep --count', own('cat', '--count', '--grep', '"quantity":7'), ['cat | grep', grepValue]);
  await add('cat --count', own('cat', '--count'), ['cat | grep', grepValue]);
  await add('cat --count-by key', own('cat', '--count-by', 'key'), ['cat | grep', grepValue]);
  await add('cat --latest-per-key', own('cat', '--latest-per-key'), ['cat | grep', grepValue]);
  await add('verify --level list', own('verify', '--level', 'list'), ['find', find]);
  await add('restore --dry-run', own('restore', '--to', 'bench/archive/new', '--dry-run', '--offline'));
  const to = `${copy}-copied`;
  await add('copy to a folder', own('copy', '--to-folder', to));
  await add('copy, again', own('copy', '--to-folder', to));
  await rm(to, { recursive: true, force: true });
  return rows;
}

/** Our command, in a process of its own as a person runs it. */
export async function measureOwn(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Cost> {
  const root = packageRoot(import.meta.url);
  const program = join(root, 'dist/cli/tdmq-backup.js');
  const peak = join(import.meta.dirname, 'report-peak.cjs');
  const command = [process.execPath, '--require', peak, program, 'archive', ...args];
  const line = `${command.map((part) => `'${part}'`).join(' ')} > /dev/null`;
  return measure(['bash', '-c', line], env);
}

/** Runs a command, and asks bash how long it took, with all that it started. */
export async function measure(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Cost> {
  const line = command.map((part) => `'${part.replaceAll("'", "'\\''")}'`).join(' ');
  const script = `TIMEFORMAT='%R %U %S'; { time ${line} 2>&4 ; } 4>&2 2>&5`;
  const child = spawn('bash', ['-c', script], {
    env: { ...env, PATH: process.env['PATH'] ?? '' },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'ignore', 'pipe'],
  });
  const texts = Promise.all([2, 3, 5].map((fd) => textOf(child.stdio[fd] as Readable)));
  const [code] = await once(child, 'close');
  const [errors = '', peak = '', times = ''] = await texts;
  const [seconds, user, system] = times.trim().split(/\s+/).map(Number) as [number, number, number];
  if (code !== 0) throw new Error(`${line} ended with ${code}: ${errors}`);
  return { seconds, cpuSeconds: user + system, peakBytes: peak === '' ? undefined : Number(peak) };
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const piece of stream.setEncoding('utf8')) text += piece;
  return text;
}
