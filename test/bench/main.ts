// `npm run bench`: every side over every workload, side by side in the same run, as Markdown tables on stdout.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureCosts } from './costs.ts';
import { measureFloor } from './floor.ts';
import { measureGrowth } from './growth.ts';
import { measureIdle } from './idle.ts';
import { measureInstances } from './instances.ts';
import { measureLatency } from './latency.ts';
import { measureLinger } from './linger.ts';
import { measurePrices } from './prices.ts';
import { DRAIN_HEAD, drainRow, progress, table } from './report.ts';
import {
  functionSide,
  nativeFunctionSide,
  pythonFunction,
  pythonRaw,
  type Result,
  rawDrain,
  type Side,
} from './sides.ts';
import { type Surroundings, startSurroundings } from './surroundings.ts';
import { mainWorkloads, type Workload } from './workloads.ts';

const { values } = parseArgs({
  options: {
    /** How the function scales, instead of how it compares. */
    growth: { type: 'boolean', default: false },
    /** How several instances share, instead of how it compares. */
    instances: { type: 'boolean', default: false },
    /** What it costs to read again what lingers, instead of how it compares. */
    linger: { type: 'boolean', default: false },
    /** What a run with nothing to do costs, instead of how it compares. */
    idle: { type: 'boolean', default: false },
    /** What a distance to COS and the broker costs, instead of how it compares. */
    latency: { type: 'boolean', default: false },
    /** How near the function is to what its promises cost, and to Python's time, instead of every side. */
    floor: { type: 'boolean', default: false },
    /** What the function's work is made of, instead of how it compares. */
    costs: { type: 'boolean', default: false },
    /** What a million messages cost by public prices, instead of how it compares. */
    prices: { type: 'boolean', default: false },
    /** With `--prices`: a JSON file with other prices. */
    'price-list': { type: 'string' },
    /** Small counts and one round: shows that everything runs, and measures nothing. */
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    /** Only workloads whose names contain this. */
    only: { type: 'string', default: '' },
    /** A folder for a CPU profile of each drain of the packaged function. */
    profile: { type: 'string' },
    /** Only sides whose names contain this. */
    side: { type: 'string', default: '' },
  },
});
const scale = values.quick ? 0.005 : 1;
const rounds = values.quick ? 1 : Number(values.rounds);

async function compare(
  surroundings: Surroundings,
  workload: Workload,
  sides: readonly Side[],
): Promise<string[][]> {
  progress(`filling ${workload.name}`);
  const topic = await surroundings.fill(workload);
  const results = new Map<Side, Result[]>(sides.map((side) => [side, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const [side, of] of results) {
      const subscription = await surroundings.subscribe(topic);
      const result = await side.run({ surroundings, workload, topic, subscription });
      await surroundings.unsubscribe(topic, subscription);
      if (result.messages !== workload.count)
        throw new Error(`${side.name} drained ${result.messages} of ${workload.count}`);
      of.push(result);
      progress(`${workload.name}, round ${round}, ${drainRow(side.name, workload, [result]).join(' | ')}`);
    }
  }
  return [...results].map(([side, of]) => drainRow(`${workload.name}: ${side.name}`, workload, of));
}

async function compareAll(surroundings: Surroundings): Promise<string> {
  const native = surroundings.whyNotNative === undefined ? [nativeFunctionSide] : [];
  if (native.length === 0) progress(`${nativeFunctionSide.name} is left out: ${surroundings.whyNotNative}`);
  const sides = [functionSide(values.profile), ...native, rawDrain, pythonRaw, pythonFunction].filter(
    ({ name }) => name.includes(values.side),
  );
  const rows: string[][] = [];
  for (const workload of mainWorkloads(scale).filter(({ name }) => name.includes(values.only)))
    rows.push(...(await compare(surroundings, workload, sides)));
  return table(DRAIN_HEAD, rows);
}

const surroundings = await startSurroundings();
try {
  const kinds = [
    [values.growth, measureGrowth],
    [values.instances, measureInstances],
    [values.idle, measureIdle],
    [values.latency, measureLatency],
    [values.linger, measureLinger],
    [values.costs, measureCosts],
    [values.prices, () => measurePrices(surroundings, scale, values['price-list'])],
    [values.floor, measureFloor],
  ] as const;
  const [, measure = compareAll] = kinds.find(([isAsked]) => isAsked) ?? [];
  const tables = await measure(surroundings, scale, rounds, values.only);
  const machine = `Node ${process.version}, ${cpus().length} CPUs`;
  process.stdout.write(`${machine}, ${rounds} rounds: median (least–greatest)\n\n${tables}`);
} finally {
  await surroundings.stop();
}
