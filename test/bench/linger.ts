// What a linger costs: a run that reads again what waits in the subscription and stores nothing of it, beside a run that
// stores the same.
import { progress, spread, table } from './report.ts';
import { type Drain, MEMORY_MB, type Result, runFunction } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { LINGERING_PARTITIONS, lingeringWorkload } from './workloads.ts';

/** Messages that wait in each partition. */
const WAITING = [0, 10, 100, 1_000];
const SIDES = [
  ['read again', '720'],
  ['stored', '0'],
] as const;
const HEAD = ['', 'run, s', 'CPU, s', 'CPU µs/msg', 'GB-s', 'objects'];

/** The table, as Markdown. */
export async function measureLinger(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
): Promise<string> {
  const rows: string[][] = [];
  for (const waiting of WAITING) {
    const each = Math.ceil(waiting * scale);
    const workload = lingeringWorkload(each);
    const topic = await surroundings.fill(workload);
    for (const [side, minutes] of SIDES) {
      const results: Result[] = [];
      while (results.length < rounds) {
        const subscription = await surroundings.subscribe(topic);
        const drain: Drain = { surroundings, workload, topic, subscription };
        const result = await runFunction(drain, { env: { FILE_LINGER_MINUTES: minutes } });
        await surroundings.unsubscribe(topic, subscription);
        const expected = minutes === '0' ? workload.count : 0;
        if (result.messages !== expected)
          throw new Error(`${side}: ${result.messages} were stored of ${workload.count}`);
        results.push(result);
      }
      const cell = (digits: number, pick: (result: Result) => number) => spread(results.map(pick), digits);
      rows.push([
        `${LINGERING_PARTITIONS} × ${each} messages of 1 KiB, ${side}`,
        cell(2, ({ wallMs }) => wallMs / 1_000),
        cell(2, ({ cpuMs }) => cpuMs / 1_000),
        workload.count === 0 ? '–' : cell(1, ({ cpuMs }) => (cpuMs * 1_000) / workload.count),
        cell(2, ({ wallMs }) => (wallMs / 1_000) * (MEMORY_MB / 1_024)),
        cell(0, ({ storedObjects = 0 }) => storedObjects),
      ]);
      progress(rows.at(-1)?.join(' | ') ?? '');
    }
  }
  return table(HEAD, rows);
}
