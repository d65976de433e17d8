// `tdmq-backup demo`: a topic, a bucket and the packaged function on this machine, from publishing to the files.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { Secret } from '../lib/secret.ts';
import { LocalBroker } from '../local/broker/broker.ts';
import { type LoopbackCos, startLoopbackCos } from '../local/cos/server.ts';
import { demoMessage } from '../local/demo-messages.ts';
import { startInstance, startScfRuntime, timerEvent } from '../local/scf-runtime.ts';
import { collectFunction, writePackage } from '../packaging/function-package.ts';
import { packageRoot } from '../packaging/package-root.ts';
import { createWirePublisher } from '../pulsar/wire/producer-publisher.ts';
import { parseTopicName, type TopicName } from '../topic-name.ts';
import type { Command, Terminal } from './command.ts';
import { parseArgs } from './parse-args.ts';
import { formatLogLine } from './terminal/log-line.ts';
import { paint } from './terminal/paint.ts';
import { bar, startProgress } from './terminal/progress.ts';
import { formatTable } from './terminal/table.ts';
import { UsageError } from './usage-error.ts';

const BUCKET = 'demo-1250000000';
const REGION = 'ap-guangzhou';
const CREDENTIALS = { secretId: 'demo-id', secretKey: 'demo-key' };
const PARTITIONS = 4;
const TIME_LIMIT_MS = 45_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** What may be on its way to the broker without a receipt. */
const WINDOW_BYTES = 1_048_576;

export const command: Command = {
  summary: 'show it all on this machine: topic, function, bucket',
  help: `
Usage: tdmq-backup demo [--messages N] [--pulsar URL [--topic NAME]] [--keep]

Starts a stand-in for COS and one for Pulsar on 127.0.0.1, publishes messages, invokes the packaged function as its
timer would, twice, and shows what is in the bucket. Needs no account and no network. Ends by itself.

  --messages N   how many; 6000 by default
  --pulsar URL   publishes to a real broker instead, pulsar://host:6650 or http://host:8080, in a topic of its own
                 in public/default; only http:// makes one with partitions. PULSAR_TOKEN is used if it is set.
  --topic NAME   publishes to that topic of the broker, tenant/namespace/topic
  --keep         leaves both running until Ctrl-C, and reports how to connect

Examples:
  tdmq-backup demo
  tdmq-backup demo --pulsar http://localhost:8080
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        messages: { type: 'string', default: '6000' },
        pulsar: { type: 'string' },
        topic: { type: 'string' },
        keep: { type: 'boolean', default: false },
      },
    });
    if (!/^[1-9]\d{0,6}$/.test(values.messages)) throw new UsageError('--messages must be a whole number');
    if (values.pulsar !== undefined && !/^(pulsar|http):\/\/[^/]+\/?$/.test(values.pulsar))
      throw new UsageError('--pulsar must be pulsar://host:port or http://host:port');
    const topic = values.topic === undefined ? undefined : parseTopicName(values.topic);
    if (values.topic !== undefined && (topic === undefined || values.pulsar === undefined))
      throw new UsageError('--topic goes with --pulsar and must be tenant/namespace/topic');
    return await demo(
      {
        count: Number(values.messages),
        pulsarUrl: values.pulsar?.replace(/\/$/, ''),
        givenTopic: topic?.full,
        keep: values.keep,
      },
      terminal,
    );
  },
};

interface DemoOptions {
  readonly count: number;
  readonly pulsarUrl: string | undefined;
  readonly givenTopic: string | undefined;
  readonly keep: boolean;
}

async function demo(
  { count, pulsarUrl, givenTopic, keep }: DemoOptions,
  terminal: Terminal,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-demo-'));
  const { bold } = paint(terminal.stdout, terminal.env);
  const say = (text = '') => terminal.stdout.write(`${text}\n`);
  const step = (text: string) => say(`\n${bold(text)}`);
  let broker: LocalBroker | undefined;
  let cos: LoopbackCos | undefined;
  try {
    step('1  Starting');
    cos = await startLoopbackCos({
      dir: join(folder, 'cos'),
      buckets: [{ name: BUCKET, region: REGION }],
      credentials: CREDENTIALS,
    });
    say(`   COS stand-in     ${cos.url}, bucket ${BUCKET}`);
    if (pulsarUrl === undefined) {
      broker = new LocalBroker();
      await broker.start();
    }
    const serviceUrl = pulsarUrl ?? (broker as LocalBroker).serviceUrl;
    say(`   Pulsar ${broker === undefined ? '         ' : 'stand-in '} ${serviceUrl}`);
    const topic =
      givenTopic ??
      `persistent://public/default/${broker === undefined ? `tdmq-backup-demo-${Date.now()}` : 'orders'}`;

    step(`2  Publishing ${count.toLocaleString('en-US')} messages to ${topic}`);
    const httpUrl = broker?.httpUrl ?? serviceUrl;
    const makesTopic = givenTopic === undefined && httpUrl.startsWith('http');
    if (makesTopic)
      await createPartitionedTopic(httpUrl, topic, terminal.env['PULSAR_TOKEN'], terminal.signal);
    await publish({ serviceUrl, topic, count }, terminal);

    step('3  Invoking the function, as its timer does');
    const env = settings(serviceUrl, topic, cos.url, count, terminal);
    const first = await invokeFunction(join(folder, 'function'), env, terminal);

    step('4  In the bucket');
    showObjects(cos, say);
    step('5  Some of the records');
    showRecords(cos, terminal, say);
    step("6  The run's summary, as the function returned it");
    say(
      JSON.stringify(first.summary, null, 2)
        .split('\n')
        .map((line) => `   ${line}`)
        .join('\n'),
    );
    step(`The files are in ${join(folder, 'cos', BUCKET)}`);
    writeFileSync(join(folder, 'demo.env'), envFile(env));
    if (keep) {
      say(`Both keep running until Ctrl-C. In another terminal:`);
      say(`   tdmq-backup archive list --env-file ${join(folder, 'demo.env')}`);
      say(`   tdmq-backup check --env-file ${join(folder, 'demo.env')}`);
      await untilInterrupted(terminal.signal);
    }
    // A topic that was there before may have held more.
    return first.stored >= count ? 0 : 1;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (error instanceof BackupError) throw error;
    throw new BackupError('source', `the demo came to an end: ${messageOf(error)}`, {
      hint:
        pulsarUrl === undefined
          ? 'Try again; if it stays, please report it with the output above.'
          : `Check that ${pulsarUrl} can be reached and lets you publish to public/default.`,
      cause: error,
    });
  } finally {
    await broker?.close();
    await cos?.close();
  }
}

interface Target {
  readonly serviceUrl: string;
  readonly topic: string;
  readonly count: number;
}

/** Fills the partitions in turn; each in its own way: alone, in batches, compressed. */
async function publish({ serviceUrl, topic, count }: Target, terminal: Terminal): Promise<void> {
  const token = terminal.env['PULSAR_TOKEN'];
  const config = {
    serviceUrl,
    token: token ? new Secret(token) : undefined,
    tlsCaFile: undefined,
    clientCertificate: undefined,
    listenerName: undefined,
    runsFrom: 'shell',
  } as const;
  const publisher = createWirePublisher({ config, clock: systemClock, signal: terminal.signal });
  try {
    const partitions = await publisher.partitions(parseTopicName(topic) as TopicName);
    const topics = Array.from({ length: partitions }, (_, i) => `${topic}-partition-${i}`);
    if (partitions === 0) topics.push(topic);
    const ways = [
      { batching: false, compression: 'none' },
      { batching: true, compression: 'none' },
      { batching: true, compression: 'zlib' },
      { batching: false, compression: 'zlib' },
    ] as const;
    const startMs = Date.now();
    const progress = startProgress(terminal.stdout);
    let published = 0;
    for (const [partition, name] of topics.entries()) {
      const way = ways[partition % ways.length] as (typeof ways)[0];
      const options = { ...way, windowBytes: WINDOW_BYTES, mayRepeat: false };
      const producer = await publisher.open(name, `demo-${randomUUID().slice(0, 8)}`, options);
      for (let index = partition; index < count; index += topics.length) {
        terminal.signal.throwIfAborted();
        await producer.send(demoMessage(index, startMs));
        if (++published % 500 === 0)
          progress.update(`   ${bar(published / count)} ${published.toLocaleString('en-US')}`);
      }
      await producer.flush();
      await producer.close();
    }
    const seconds = ((Date.now() - startMs) / 1_000).toFixed(1);
    progress.finish(`   ${published.toLocaleString('en-US')} in ${topics.length} partition(s), ${seconds} s`);
  } catch (error) {
    // Its hint would name settings, which the demo does not have.
    throw new Error(messageOf(error), { cause: error });
  } finally {
    await publisher.close();
  }
}

/** Makes a partitioned topic through the broker's admin API; one that exists already stays as it is. */
async function createPartitionedTopic(
  httpUrl: string,
  topic: string,
  token: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(`${httpUrl}/admin/v2/${topic.replace('://', '/')}/partitions`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    body: String(PARTITIONS),
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
  });
  if (!response.ok && response.status !== 409)
    throw new Error(`the broker does not make ${topic}: ${response.status} ${await response.text()}`);
}

/** The rule's settings, as .env.<stage> would hold them. */
function settings(
  serviceUrl: string,
  topic: string,
  cosUrl: string,
  count: number,
  terminal: Terminal,
): Record<string, string> {
  return {
    RULE_NAME: 'demo',
    PULSAR_SERVICE_URL: serviceUrl,
    PULSAR_TOPIC: topic,
    PULSAR_SUBSCRIPTION: 'tdmq-backup-demo',
    ...(terminal.env['PULSAR_TOKEN'] && { PULSAR_TOKEN: terminal.env['PULSAR_TOKEN'] }),
    COS_BUCKET: BUCKET,
    COS_REGION: REGION,
    COS_PREFIX: 'tdmq/',
    COS_ENDPOINT: cosUrl,
    // So that a demo has more than one file per partition; a rule's own limit is 5000.
    FILE_MAX_MESSAGES: String(Math.min(5_000, Math.max(1, Math.ceil(count / 6)))),
    TENCENTCLOUD_SECRETID: CREDENTIALS.secretId,
    TENCENTCLOUD_SECRETKEY: CREDENTIALS.secretKey,
  };
}

const envFile = (env: Record<string, string>): string =>
  Object.entries(env)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

/** Unpacks the package and lets the timer tick twice: the second run finds nothing new. */
async function invokeFunction(
  folder: string,
  env: Record<string, string>,
  terminal: Terminal,
): Promise<{ summary: unknown; stored: number }> {
  const { dim } = paint(terminal.stdout, terminal.env);
  writePackage(folder, collectFunction(packageRoot(import.meta.url)));
  const runtime = await startScfRuntime();
  const instance = startInstance({
    folder,
    env: { ...env, ...runtime.env, SCF_FUNCTIONNAME: 'demo', TRIGGER_SRC: 'timer' },
    onLine: (line) => terminal.stdout.write(`${dim(`   ${shorten(formatLogLine(line), terminal)}`)}\n`),
  });
  const stop = () => void instance.child.kill('SIGKILL');
  terminal.signal.addEventListener('abort', stop);
  // An instance that ends before it has answered leaves nobody waiting.
  instance.ended.then(runtime.loseInstance, runtime.loseInstance);
  try {
    const results: { messages: number; objects: number }[] = [];
    for (const tick of ['first', 'second']) {
      const outcome = await runtime.invoke({ event: timerEvent(), timeLimitMs: TIME_LIMIT_MS });
      terminal.signal.throwIfAborted();
      if (outcome.kind !== 'response')
        throw new Error(`the ${tick} run failed: ${outcome.body || 'the function ended'}`);
      results.push(JSON.parse(outcome.body));
    }
    const [first, second] = results;
    terminal.stdout.write(
      `   first tick: ${first?.messages.toLocaleString('en-US')} messages in ${first?.objects} objects; second tick: ${second?.messages}\n`,
    );
    return { summary: first, stored: first?.messages ?? 0 };
  } finally {
    terminal.signal.removeEventListener('abort', stop);
    instance.child.kill('SIGTERM');
    await instance.ended.catch(() => undefined);
    await runtime.close();
  }
}

function showObjects(cos: LoopbackCos, say: (text?: string) => void): void {
  const rows = cos.objects(BUCKET).map(({ key, sizeBytes }) => {
    const messages = cos.object(key, BUCKET)?.metadata['messages'];
    return [key, messages === undefined ? '' : Number(messages), sizeBytes];
  });
  for (const line of formatTable(['key', 'messages', 'bytes'], rows)) say(`   ${line}`);
}

/** One record of each kind that the demo publishes. */
function showRecords(cos: LoopbackCos, terminal: Terminal, say: (text?: string) => void): void {
  const wanted = [/"value":"\{/, /"valueBase64"/, /"value":null/, /"value":"two lines/];
  for (const { key } of cos.objects(BUCKET)) {
    if (!key.endsWith('.jsonl')) continue;
    for (const line of cos.object(key, BUCKET)?.bytes.toString().split('\n') ?? []) {
      const at = wanted.findIndex((pattern) => pattern.test(line));
      if (at < 0) continue;
      wanted.splice(at, 1);
      say(`   ${shorten(line, terminal)}`);
    }
    if (wanted.length === 0) return;
  }
}

/** As much of a line as fits a terminal's two lines; a pipe gets somewhat more. */
function shorten(line: string, terminal: Terminal): string {
  const width = terminal.stdout.columns === undefined ? 300 : 2 * terminal.stdout.columns - 10;
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}

const untilInterrupted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    // The stand-ins' sockets may all be idle; a timer keeps the process here.
    const alive = setInterval(() => undefined, 60_000);
    const end = () => {
      clearInterval(alive);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
