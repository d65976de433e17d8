// What the function's work is made of: the cost of each stage, of each compression, and the size of the package.
import { dirname } from 'node:path';
import { collectFunction, zipFunction } from '../../src/packaging/function-package.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { fetchNode, NODE_VERSIONS } from '../integration/node-versions.ts';
import { progress, spread, table } from './report.ts';
import { type Drain, MEMORY_MB, type Result, runFunction, runStages } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { compressionWorkloads } from './workloads.ts';

const COMPRESSIONS = ['none', 'gzip', 'zstd'];

/** The tables, as Markdown. */
export async function measureCosts(
  surroundings: Surroundings,
  scale: number,
  rounds: number,
): Promise<string> {
  const compressions: string[][] = [];
  const topics: string[] = [];
  for (const workload of compressionWorkloads(scale)) {
    progress(`filling ${workload.name}`);
    const topic = await surroundings.fill(workload);
    topics.push(topic);
    compressions.push(...(await measureCompressions({ surroundings, workload, topic }, rounds)));
  }
  const stages = await runStages(surroundings, topics[0] as string);
  return [
    table(
      [
        'FILE_COMPRESSION',
        'bytes stored per message',
        'k msg/s',
        'CPU µs/msg',
        'times none',
        'GB-s per million messages',
      ],
      compressions,
    ),
    table(
      ['stage, 1 KiB messages in batches of 100', 'CPU µs/msg'],
      Object.entries(stages).map(([name, cost]) => [name, cost.toFixed(2)]),
    ),
    packageSize(surroundings.programs.function),
  ].join('\n');
}

/** A row for each Node and each compression. */
async function measureCompressions(of: Omit<Drain, 'subscription'>, rounds: number): Promise<string[][]> {
  const { surroundings, workload, topic } = of;
  const rows: string[][] = [];
  for (const version of NODE_VERSIONS) {
    const node = await fetchNode(version);
    const results = new Map<string, Result[]>(COMPRESSIONS.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const [compression, those] of results) {
        const subscription = await surroundings.subscribe(topic);
        const env = { FILE_COMPRESSION: compression };
        those.push(await runFunction({ ...of, subscription }, { env, node }));
        await surroundings.unsubscribe(topic, subscription);
      }
    }
    const plain = results.get('none') as Result[];
    for (const [compression, those] of results)
      rows.push(compressionRow(`${workload.name}, ${compression}, Node ${version}`, those, plain));
    progress(rows.slice(-COMPRESSIONS.length).join('\n'));
  }
  return rows;
}

function compressionRow(name: string, results: readonly Result[], plain: readonly Result[]): string[] {
  const cpu = ({ cpuMs, messages }: Result) => (cpuMs * 1_000) / messages;
  const ratios = results.map((one, round) => cpu(one) / cpu(plain[round] as Result));
  const cell = (digits: number, pick: (result: Result) => number) => spread(results.map(pick), digits);
  return [
    name,
    cell(0, ({ storedBytes = 0, messages }) => storedBytes / messages),
    cell(1, ({ messages, wallMs }) => messages / wallMs),
    cell(1, cpu),
    spread(ratios, 2),
    cell(1, ({ messages, wallMs }) => ((wallMs / 1_000) * (MEMORY_MB / 1_024) * 1e6) / messages),
  ];
}

function packageSize(functionFile: string): string {
  const files = collectFunction(packageRoot(import.meta.url), dirname(functionFile));
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const all = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return `The function is ${megabytes(all)} MB, ${megabytes(zipFunction(files).length)} MB zipped; its cold start: npm run bench:start\n`;
}
