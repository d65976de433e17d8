// Several instances on one Failover subscription: how much faster they are, how evenly they share, what they read for
// nothing. Beside each other on this machine, where its CPU binds, and with services that are as far away as a cloud's.
import { messageOf } from '../../src/errors.ts';
import type { Measurement } from './measurement.ts';
import { progress, spread, table } from './report.ts';
import { type Drain, type Result, runFunction } from './sides.ts';
import { FAR, type Surroundings } from './surroundings.ts';
import { startDelayProxy } from './tcp-proxy.ts';
import { distantWorkload, sharedWorkload, type Workload } from './workloads.ts';

const INSTANCES = [1, 2, 4];
const COS_MS = 50;
/** A function waits so long for others before it takes anything (`settleMs` of the wire driver). */
const SETTLE_MS = 2_000;
/** Small files, so that waiting for COS is most of the work. */
const SMALL_FILE = '100';
const HEAD = [
  '',
  'k msg/s behind the first 2 s',
  'times one instance',
  'CPU µs/msg',
  'largest share / even share',
  'read / stored',
  'objects stored',
];

interface Together extends Measurement {
  readonly shares: readonly number[];
  readonly read: number;
  readonly objects: number;
}

/** The tables, as Markdown; of workloads whose names contain `only`. */
export async function measureInstances(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const cos = await startDelayProxy(() => Number(new URL(surroundings.cosUrl).port), COS_MS);
  try {
    const distant = {
      PULSAR_LISTENER_NAME: FAR.name,
      COS_ENDPOINT: `http://127.0.0.1:${cos.port}`,
      FILE_MAX_MESSAGES: SMALL_FILE,
    };
    const rows: string[][] = [];
    for (const [workload, env] of [
      [distantWorkload(scale), distant],
      [sharedWorkload(scale), {}],
    ] as const) {
      if (workload.name.includes(only)) rows.push(...(await measure(surroundings, workload, rounds, env)));
    }
    return table(HEAD, rows);
  } finally {
    await cos.stop();
  }
}

async function measure(
  surroundings: Surroundings,
  workload: Workload,
  rounds: number,
  env: Readonly<Record<string, string>>,
): Promise<string[][]> {
  progress(`filling ${workload.name}`);
  const topic = await surroundings.fill(workload);
  const rows: string[][] = [];
  let rateOfOne = Number.NaN;
  for (const instances of INSTANCES) {
    const results: Together[] = [];
    while (results.length < rounds) {
      const subscription = await surroundings.subscribe(topic);
      try {
        const drain = { surroundings, workload, topic, subscription };
        results.push(await runTogether(drain, instances, env));
      } catch (error) {
        // A partition that moved in mid-file may need an object read, which this COS cannot do.
        if (!messageOf(error).includes('discard bodies')) throw error;
        progress(`${instances} instances: a round left out, COS keeps no bodies here`);
      }
      await surroundings.unsubscribe(topic, subscription);
    }
    const rates = results.map(({ messages, wallMs }) => messages / (wallMs - SETTLE_MS));
    if (instances === 1) rateOfOne = [...rates].sort((a, b) => a - b)[Math.floor((rounds - 1) / 2)] ?? 0;
    rows.push([
      `${workload.name}, ${instances} instances`,
      spread(rates, 1),
      spread(
        rates.map((rate) => rate / rateOfOne),
        2,
      ),
      spread(
        results.map(({ cpuMs, messages }) => (cpuMs * 1_000) / messages),
        1,
      ),
      spread(
        results.map(({ shares, messages }) => (Math.max(...shares) * instances) / messages),
        2,
      ),
      spread(
        results.map(({ read, messages }) => read / messages),
        2,
      ),
      spread(results.map(({ objects }) => objects)),
    ]);
    progress(rows.at(-1)?.join(' | ') ?? '');
  }
  return rows;
}

/** Several instances at once: messages and CPU are those of all, memory is that of the largest, time that of the last. */
async function runTogether(
  drain: Drain,
  instances: number,
  more: Readonly<Record<string, string>>,
): Promise<Together> {
  const env = { ...more, PULSAR_SUBSCRIPTION_TYPE: 'failover' };
  const all = await Promise.all(Array.from({ length: instances }, () => runFunction(drain, { env })));
  const sum = (pick: (one: Result) => number) => all.reduce((total, one) => total + pick(one), 0);
  const largest = all.reduce((a, b) => (b.maxRssBytes > a.maxRssBytes ? b : a));
  return {
    messages: sum(({ messages }) => messages),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    wallMs: Math.max(...all.map(({ wallMs }) => wallMs)),
    idleRssBytes: largest.idleRssBytes,
    maxRssBytes: largest.maxRssBytes,
    shares: all.map(({ messages }) => messages),
    read: await messagesRead(drain),
    objects: sum(({ storedObjects = 0 }) => storedObjects),
  };
}

interface Stats {
  readonly partitions: Record<string, { subscriptions: Record<string, { msgOutCounter: number }> }>;
}

/** How many messages the broker has handed out on the subscription, by its own count. */
async function messagesRead({ surroundings, topic, subscription }: Drain): Promise<number> {
  const path = `${topic.replace('://', '/')}/partitioned-stats?perPartition=true`;
  const { partitions } = await surroundings.broker.admin<Stats>('GET', path);
  return Object.values(partitions).reduce(
    (sum, { subscriptions }) => sum + (subscriptions[subscription]?.msgOutCounter ?? 0),
    0,
  );
}
