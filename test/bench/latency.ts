// What a distance costs: the same drains with COS and the broker here, and as far away as a cloud's, through the same hops.

import { progress, spread, table } from './report.ts';
import { type Result, runFunction } from './sides.ts';
import { FAR, NEAR, type Surroundings } from './surroundings.ts';
import { startDelayProxy } from './tcp-proxy.ts';
import { mainWorkloads } from './workloads.ts';

const COS_MS = 30;
const HEAD = [
  '',
  'k msg/s',
  'k msg/s far away',
  'time, far away / here',
  'CPU µs/msg',
  'CPU µs/msg far away',
];

/** The table, as Markdown; of workloads whose names contain `only`. */
export async function measureLatency(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const cosPort = () => Number(new URL(surroundings.cosUrl).port);
  const proxies = await Promise.all([startDelayProxy(cosPort, 0), startDelayProxy(cosPort, COS_MS)]);
  try {
    const at = (place: { readonly name: string }, cos: number): Record<string, string> => ({
      PULSAR_LISTENER_NAME: place.name,
      COS_ENDPOINT: `http://127.0.0.1:${cos}`,
    });
    const [near, far] = [at(NEAR, proxies[0].port), at(FAR, proxies[1].port)];
    const rows: string[][] = [];
    for (const workload of mainWorkloads(scale).filter(({ name }) => name.includes(only))) {
      progress(`filling ${workload.name}`);
      const topic = await surroundings.fill(workload);
      const results: [Result, Result][] = [];
      const run = async (env: Record<string, string>) => {
        const subscription = await surroundings.subscribe(topic);
        const result = await runFunction({ surroundings, workload, topic, subscription }, { env });
        await surroundings.unsubscribe(topic, subscription);
        return result;
      };
      while (results.length < rounds) results.push([await run(near), await run(far)]);
      const cells = (at: 0 | 1, pick: (result: Result) => number) =>
        spread(
          results.map((pair) => pick(pair[at])),
          1,
        );
      const rate = ({ messages, wallMs }: Result) => messages / wallMs;
      const cpu = ({ messages, cpuMs }: Result) => (cpuMs * 1_000) / messages;
      rows.push([
        workload.name,
        cells(0, rate),
        cells(1, rate),
        spread(
          results.map(([here, away]) => away.wallMs / here.wallMs),
          2,
        ),
        cells(0, cpu),
        cells(1, cpu),
      ]);
      progress(rows.at(-1)?.join(' | ') ?? '');
    }
    return table(HEAD, rows);
  } finally {
    await Promise.all(proxies.map((one) => one.stop()));
  }
}
