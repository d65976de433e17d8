// `npm run bench:archive -- --objects 10000,100000`: an archive of many small objects, as a local copy, read by our
// commands and, over the same files, by find, cat and grep: what is asked decides what it costs. Linux only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { objectKey, runManifestKey } from '../../src/format/object-key.ts';
import { encodeRecord, formatMessageId, formatTime } from '../../src/format/record.ts';
import { type ManifestObject, RUN_MANIFEST_FORMAT } from '../../src/format/run-manifest.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import type { Message } from '../../src/ports.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import { progress, table } from './report.ts';

const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
const PARTITIONS = 64;
/** As a rule of 64 partitions leaves them every five minutes; at least so many days. */
const OBJECTS_A_DAY = 18_432;
const LEAST_DAYS = 10;
const MESSAGES = 5;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 1);
const KEYS = 1_000;
const MB = 1_000_000;

interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number | undefined;
}

/** Measures archives of these sizes below `folder`, and prints a table of each. */
export async function measureObjects(
  sizes: readonly number[],
  folder: string,
  keeps: boolean,
): Promise<void> {
  for (const objects of sizes) {
    const copy = join(folder, `objects-${objects}`);
    progress(`making ${objects} objects`);
    if (!existsSync(copy)) fillCopy(copy, objects);
    const rows = await measureOne(copy);
    process.stdout.write(
      `\n${objects.toLocaleString('en-US')} objects of ${MESSAGES} messages, ${PARTITIONS} partitions, ${daysOf(objects)} days\n\n${table(['', 'seconds', 'CPU seconds', 'peak MB', 'CPU, times'], rows)}`,
    );
    if (!keeps) await rm(copy, { recursive: true, force: true });
  }
}

async function measureOne(copy: string): Promise<string[][]> {
  const day = ['--from', '2026-11-05', '--until', '2026-11-06'];
  const key = ['--key', 'customer-7'];
  const topic = join(copy, 'bench');
  const ofDay = join(topic, 'archive/orders/date=2026-11-05');
  const rows: string[][] = [];
  const add = async (name: string, measured: Promise<Cost>, by?: readonly [string, Cost]): Promise<Cost> => {
    const cost = await measured;
    const { seconds, cpuSeconds, peakBytes } = cost;
    const ratio = by === undefined ? '' : `${(cpuSeconds / by[1].cpuSeconds).toFixed(1)} × ${by[0]}`;
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
  const shell = (line: string) => measure(['bash', '-c', line]);
  const own = (...args: string[]) => measureOwn([...args, '--folder', copy]);

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
  await add('ls of one day', own('ls', ...day), ['find', findDay]);
  await add('cat of one day', own('cat', ...day), ['cat', catDay]);
  await add('cat --key', own('cat', ...key), ['cat | grep', grep]);
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
  return rows;
}

/** Our command, in a process of its own as a person runs it. */
async function measureOwn(args: readonly string[]): Promise<Cost> {
  const root = packageRoot(import.meta.url);
  const program = join(root, 'dist/cli/tdmq-backup.js');
  const peak = join(import.meta.dirname, 'report-peak.cjs');
  const command = [process.execPath, '--require', peak, program, 'archive', ...args];
  const line = `${command.map((part) => `'${part}'`).join(' ')} > /dev/null`;
  return measure(['bash', '-c', line]);
}

/** Runs a command, and asks bash how long it took, with all that it started. */
async function measure(command: readonly string[]): Promise<Cost> {
  const line = command.map((part) => `'${part.replaceAll("'", "'\\''")}'`).join(' ');
  const script = `TIMEFORMAT='%R %U %S'; { time ${line} 2>&4 ; } 4>&2 2>&5`;
  const child = spawn('bash', ['-c', script], {
    env: { PATH: process.env['PATH'] ?? '' },
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

const daysOf = (objects: number): number => Math.max(LEAST_DAYS, Math.ceil(objects / OBJECTS_A_DAY));

/** As the function leaves it: in each run one object of each partition, and a manifest. */
function fillCopy(copy: string, objects: number): void {
  const runs = Math.ceil(objects / PARTITIONS);
  const days = daysOf(objects);
  const folders = new Set<string>();
  const write = (key: string, text: string) => {
    const path = join(copy, key);
    const folder = dirname(path);
    if (!folders.has(folder)) mkdirSync(folder, { recursive: true });
    folders.add(folder);
    writeFileSync(path, text);
  };
  let left = objects;
  for (let run = 0; run < runs; run++) {
    const startedAtMs = START_MS + Math.floor((run * days * DAY_MS) / runs);
    const stored: ManifestObject[] = [];
    for (let partition = 0; partition < PARTITIONS && left > 0; partition++, left--)
      stored.push(writeObject(write, partition, run, startedAtMs));
    const summary = {
      format: RUN_MANIFEST_FORMAT,
      rule: 'bench',
      requestId: `run-${run}`,
      startedAt: formatTime(startedAtMs),
      durationMs: 1_000,
      stopReason: 'caught_up',
      messages: stored.length * MESSAGES,
      recordBytes: stored.reduce((sum, one) => sum + one.recordBytes, 0),
      objects: stored.length,
      alreadyStored: 0,
      unreadable: 0,
      partitions: PARTITIONS,
      topic: TOPIC.full,
      subscription: 'bench',
      subscriptionType: 'failover',
      positions: stored.map(({ partition, lastId }) => ({
        partition,
        begin: `${12 + run - 1}:4`,
        end: lastId.split(':').slice(0, 2).join(':'),
      })),
    };
    write(
      runManifestKey('', 'bench', startedAtMs + 2_000, `run-${run}`),
      `${JSON.stringify({ ...summary, storedObjects: stored })}\n`,
    );
  }
}

function writeObject(
  write: (key: string, text: string) => void,
  partition: number,
  run: number,
  startedAtMs: number,
): ManifestObject {
  const messages = Array.from({ length: MESSAGES }, (_, i): Message => {
    const number = (run * PARTITIONS + partition) * MESSAGES + i;
    return {
      id: { ledgerId: 12 + run, entryId: i, partition, batchIndex: -1 },
      topic: partitionTopic(TOPIC, partition),
      publishTimeMs: startedAtMs + i,
      eventTimeMs: undefined,
      key: `customer-${number % KEYS}`,
      orderingKey: undefined,
      properties: [['type', 'order.created']],
      producer: 'bench',
      sequenceId: number,
      schemaVersion: undefined,
      replicatedFrom: undefined,
      payload: Buffer.from(`{"order":${number},"quantity":${number % 13}}`),
    };
  });
  const [first, last] = [messages[0] as Message, messages.at(-1) as Message];
  const text = messages.map(encodeRecord).join('');
  const key = objectKey('', TOPIC, first, 'none');
  write(key, text);
  const size = Buffer.byteLength(text);
  return {
    key,
    partition,
    messages: MESSAGES,
    recordBytes: size,
    size,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    alreadyStored: false,
  };
}
