// How the function scales: with partitions, with the size of a message, with instances on one Failover subscription;
// and that its memory does not scale, with the backlog.
import type { Measurement } from './measurement.ts';
import { DRAIN_HEAD, drainRow, progress, table } from './report.ts';
import { type Drain, runFunction } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { growthWorkloads, longWorkloads, sharedWorkload } from './workloads.ts';

const INSTANCES = [1, 2, 3];

/** The table, as Markdown; of workloads whose names contain `only`. */
export async function measureGrowth(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const rows: string[][] = [];
  const workloads = [...growthWorkloads(scale), ...longWorkloads(scale)];
  for (const workload of workloads.filter(({ name }) => name.includes(only))) {
    progress(`filling ${workload.name}`);
    const topic = await surroundings.fill(workload);
    const results: Measurement[] = [];
    for (let round = 0; round < rounds; round++) {
      const subscription = await surroundings.subscribe(topic);
      results.push(await runFunction({ surroundings, workload, topic, subscription }));
      await surroundings.unsubscribe(topic, subscription);
    }
    rows.push(drainRow(workload.name, workload, results));
    progress(rows.at(-1)?.join(' | ') ?? '');
  }
  return table(DRAIN_HEAD, [...rows, ...(await measureInstances(surroundings, scale, rounds, only))]);
}

async function measureInstances(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string[][]> {
  const workload = sharedWorkload(scale);
  if (!workload.name.includes(only)) return [];
  progress(`filling ${workload.name}`);
  const topic = await surroundings.fill(workload);
  const rows: string[][] = [];
  for (const instances of INSTANCES) {
    const results: Measurement[] = [];
    for (let round = 0; round < rounds; round++) {
      const subscription = await surroundings.subscribe(topic);
      results.push(await runTogether({ surroundings, workload, topic, subscription }, instances));
      await surroundings.unsubscribe(topic, subscription);
    }
    rows.push(drainRow(`${workload.name}, ${instances} instances`, workload, results));
    progress(rows.at(-1)?.join(' | ') ?? '');
  }
  return rows;
}

/** Several instances at once: messages and CPU are those of all, memory is that of the largest, time that of the last. */
async function runTogether(drain: Drain, instances: number): Promise<Measurement> {
  const env = { PULSAR_SUBSCRIPTION_TYPE: 'failover' };
  const all = await Promise.all(Array.from({ length: instances }, () => runFunction(drain, { env })));
  const sum = (pick: (one: Measurement) => number) => all.reduce((total, one) => total + pick(one), 0);
  const largest = all.reduce((a, b) => (b.maxRssBytes > a.maxRssBytes ? b : a));
  return {
    messages: sum(({ messages }) => messages),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    wallMs: Math.max(...all.map(({ wallMs }) => wallMs)),
    idleRssBytes: largest.idleRssBytes,
    maxRssBytes: largest.maxRssBytes,
  };
}
