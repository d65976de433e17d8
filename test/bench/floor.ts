// How near the function is to what its promises cost: the CPU of receiving, and of each step that none can leave out, as a
// sum, beside the function's own; and its time beside that of the Python function, and what it could be at that sum if all
// cores were busy throughout, all in the same run.
import { median, progress, spread, table } from './report.ts';
import { functionSide, pythonFunction, type Result, rawDrain, runFloor } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { mainWorkloads } from './workloads.ts';

const HEAD = [
  'CPU µs per message',
  'receive, CRC-32C',
  'record',
  'CRC-64',
  'SHA-256',
  'PUT',
  'floor',
  'function',
  'function / floor',
  'floor / receive',
  'function / receive',
  'time of Python / of the function',
  'broker and COS for the function',
  'for Python',
  'both cores full, function at its floor',
];
const ROUNDS_OF_STEPS = 3;

/** A drain, and the CPU that broker and COS took for it. */
type Drained = Result & { readonly servicesMs: number };

const servicesOf = ({ servicesMs, messages }: Drained) => (servicesMs * 1_000) / messages;
const cpuOf = ({ cpuMs, messages }: Result) => (cpuMs * 1_000) / messages;

/** The table, as Markdown. */
export async function measureFloor(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
  only: string,
): Promise<string> {
  const rows: string[][] = [];
  for (const workload of mainWorkloads(scale).filter(({ name }) => name.includes(only))) {
    progress(`filling ${workload.name}`);
    const topic = await surroundings.fill(workload);
    const sides = { raw: rawDrain, function: functionSide(), python: pythonFunction };
    const results = { raw: [] as Drained[], function: [] as Drained[], python: [] as Drained[] };
    const steps: Record<'write' | 'crc64' | 'sha256' | 'send', number>[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const name of ['raw', 'function', 'python'] as const) {
        const subscription = await surroundings.subscribe(topic);
        const beforeMs = await surroundings.servicesCpuMs();
        const result = await sides[name].run({ surroundings, workload, topic, subscription });
        results[name].push({ ...result, servicesMs: (await surroundings.servicesCpuMs()) - beforeMs });
        await surroundings.unsubscribe(topic, subscription);
      }
      if (round > ROUNDS_OF_STEPS) continue;
      const subscription = await surroundings.subscribe(topic);
      steps.push(await runFloor({ surroundings, topic, subscription }));
      await surroundings.unsubscribe(topic, subscription);
    }
    const step = (name: keyof (typeof steps)[number]) => median(steps.map((one) => one[name]));
    const receive = median(results.raw.map(cpuOf));
    const own = median(results.function.map(cpuOf));
    const floor = receive + step('write') + step('crc64') + step('sha256') + step('send');
    const services = median(results.function.map(servicesOf));
    const pythonServices = median(results.python.map(servicesOf));
    const micros = (value: number) => value.toFixed(value < 10 ? 2 : 0);
    rows.push([
      workload.name,
      micros(receive),
      ...(['write', 'crc64', 'sha256', 'send'] as const).map((name) => micros(step(name))),
      micros(floor),
      micros(own),
      (own / floor).toFixed(2),
      (floor / receive).toFixed(2),
      (own / receive).toFixed(2),
      spread(
        results.python.map(({ wallMs }, round) => wallMs / (results.function[round]?.wallMs ?? Number.NaN)),
        2,
      ),
      ...[services, pythonServices].map(micros),
      ((pythonServices + median(results.python.map(cpuOf))) / (services + floor)).toFixed(2),
    ]);
    progress(table(HEAD, rows.slice(-1)));
  }
  return table(HEAD, rows);
}
