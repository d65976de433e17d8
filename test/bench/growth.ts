// How the function scales: with partitions, with the size of a message; and that its memory does not, with the backlog.
import type { Measurement } from './measurement.ts';
import { DRAIN_HEAD, drainRow, progress, spread, table } from './report.ts';
import { runFunction } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { growthWorkloads, longWorkloads, type Workload } from './workloads.ts';

/** Little enough that whatever grows would show. */
const LENGTH_MEMORY_MB = 256;

/** The table, as Markdown; of workloads whose names contain `only`. */
export async function measureGrowth(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const rows: string[][] = [];
  for (const workload of growthWorkloads(scale).filter(({ name }) => name.includes(only))) {
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
  return [table(DRAIN_HEAD, rows), await measureLength(surroundings, scale, rounds, only)].join('\n');
}

/** Each backlog beside one of ten times its length, in turn, so that both meet the same machine. */
async function measureLength(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const rows: string[][] = [];
  for (const pair of longWorkloads(scale).filter((of) => of.some(({ name }) => name.includes(only)))) {
    const sides: { workload: Workload; topic: string; peaksMb: number[] }[] = [];
    for (const workload of pair) {
      progress(`filling ${workload.name}`);
      sides.push({ workload, topic: await surroundings.fill(workload), peaksMb: [] });
    }
    for (let round = 1; round <= rounds; round++) {
      for (const { workload, topic, peaksMb } of sides) {
        const subscription = await surroundings.subscribe(topic);
        const drain = { surroundings, workload, topic, subscription };
        const { messages, maxRssBytes } = await runFunction(drain, { memoryMb: LENGTH_MEMORY_MB });
        await surroundings.unsubscribe(topic, subscription);
        if (messages !== workload.count) throw new Error(`${messages} of ${workload.count} were drained`);
        peaksMb.push(maxRssBytes / 1_048_576);
        progress(`${workload.name}, round ${round}: ${peaksMb.at(-1)?.toFixed(0)} MiB at the peak`);
      }
    }
    for (const { workload, peaksMb } of sides) rows.push([workload.name, spread(peaksMb)]);
  }
  return table([`a function of ${LENGTH_MEMORY_MB} MB drains`, 'MiB at the peak'], rows);
}
