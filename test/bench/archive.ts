// `npm run bench:archive`: a small and a 5 GB archive listed, verified, printed and restored into a real broker; time and
// peak memory of each, as a Markdown table. Peak memory must not grow with the archive. Linux only.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { type Broker, startBroker } from '../integration/broker/broker.ts';
import { createTopic } from '../integration/broker/topics.ts';
import { type ArchiveCommand, COMMANDS, type CommandCost, runArchive } from './archive-commands.ts';
import { BUCKET, cosEnvironment, startBenchCos } from './archive-cos.ts';
import { type Filled, fillArchive } from './archive-fill.ts';
import { measureObjects } from './archive-objects.ts';
import { measureTables } from './archive-tables.ts';
import { progress, table } from './report.ts';

const { values } = parseArgs({
  options: {
    /** Megabytes of the two archives. */
    small: { type: 'string', default: '500' },
    large: { type: 'string', default: '5000' },
    /** Small sizes: shows that everything runs, and measures nothing. */
    quick: { type: 'boolean', default: false },
    /** Only commands whose names contain this; with `--objects` a regular expression: ^bucket: ls. */
    only: { type: 'string', default: '' },
    /** Instead of these: archives of so many small objects, a list with commas. */
    objects: { type: 'string' },
    /** Instead of these: archives of so many messages as tables, a list with commas. */
    tables: { type: 'string' },
    /** Bytes of their values, 1 KiB by default. */
    value: { type: 'string' },
    /** A folder where `npm install hyparquet-writer parquet-wasm apache-arrow` was called: these are measured too. */
    writers: { type: 'string' },
    /** A folder that keeps the archives for the next time. */
    keep: { type: 'string' },
  },
});
const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
const PARTITIONS = 4;
const MB = 1_000_000;
const sizes = values.quick
  ? { small: 20, large: 60 }
  : { small: Number(values.small), large: Number(values.large) };

interface Archive extends Filled {
  readonly name: 'small' | 'large';
}

const folder =
  values.keep === undefined ? await mkdtemp(join(tmpdir(), 'tdmq-backup-bench-')) : resolve(values.keep);
await mkdir(folder, { recursive: true });
if (values.objects !== undefined) {
  const options = { keeps: values.keep !== undefined, only: new RegExp(values.only) };
  await measureObjects(values.objects.split(',').map(Number), folder, options);
  if (values.keep === undefined) await rm(folder, { recursive: true, force: true });
  process.exit(0);
}
if (values.tables !== undefined) {
  for (const messages of values.tables.split(',').map(Number))
    await measureTables(messages, folder, {
      valueBytes: values.value === undefined ? undefined : Number(values.value),
      writers: values.writers === undefined ? undefined : resolve(values.writers),
      keeps: values.keep !== undefined,
    });
  if (values.keep === undefined) await rm(folder, { recursive: true, force: true });
  process.exit(0);
}
const cos = await startBenchCos(folder);
let broker: Broker | undefined;
try {
  const archives = [await archiveOf('small'), await archiveOf('large')];
  const rows: string[][] = [];
  for (const command of COMMANDS.filter(({ name }) => name.includes(values.only))) {
    const costs: CommandCost[] = [];
    for (const archive of archives) {
      costs.push(await measure(command, archive));
      progress(`${command.name}, ${archive.name}: ${costText(costs.at(-1) as CommandCost).join(' s, ')} MB`);
    }
    rows.push([command.name, ...costs.flatMap(costText)]);
  }
  const heads = archives.flatMap(({ bytes }) => [
    `${(bytes / 1_000 / MB).toFixed(1)} GB: seconds`,
    'peak MB',
  ]);
  process.stdout.write(`Node ${process.version}\n\n${table(['', ...heads], rows)}`);
} finally {
  await Promise.all([cos.stop(), broker?.stop()]);
  if (values.keep === undefined) await rm(folder, { recursive: true, force: true });
}

function costText({ wallMs, peakRssBytes }: CommandCost): string[] {
  return [(wallMs / 1_000).toFixed(1), (peakRssBytes / MB).toFixed(0)];
}

function env(name: string): Record<string, string> {
  return {
    RULE_NAME: 'bench',
    PULSAR_SERVICE_URL: broker?.serviceUrl ?? 'pulsar://127.0.0.1:1',
    PULSAR_TOPIC: TOPIC.full,
    PULSAR_SUBSCRIPTION: 'bench',
    ...cosEnvironment(cos.url),
    COS_PREFIX: `${name}/`,
  };
}

/** Fills it, or finds it where it was kept. */
async function archiveOf(name: Archive['name']): Promise<Archive> {
  const note = join(folder, `${name}-${sizes[name]}.json`);
  if (existsSync(note)) return JSON.parse(readFileSync(note, 'utf8')) as Archive;
  progress(`filling the ${name} archive with ${sizes[name]} MB`);
  const silent = () => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };
  const store = createCosStore(parseConfig(env(name)).cos, { logger });
  const options = { bytes: sizes[name] * MB, partitions: PARTITIONS };
  const archive = { name, ...(await fillArchive(store, `${name}/`, TOPIC, options)) };
  await store.close();
  writeFileSync(note, JSON.stringify(archive));
  return archive;
}

async function measure(command: ArchiveCommand, archive: Archive): Promise<CommandCost> {
  const target = command.restores ? await topicToRestoreInto(archive.name) : undefined;
  const args = [
    ...command.args,
    ...(target === undefined ? [] : ['--to', target, '--again']),
    ...(command.local ? ['--folder', join(folder, 'objects', BUCKET, archive.name)] : []),
  ];
  const cost = await runArchive(args, env(archive.name), command.into);
  const reported = messagesReported(command, cost.output);
  if (reported !== archive.messages)
    throw new Error(`${command.name} reported ${reported} messages instead of ${archive.messages}`);
  if (target === undefined) return cost;
  const path = `${target.replace('://', '/')}/partitioned-stats`;
  const { msgInCounter } = (await broker?.admin<{ msgInCounter: number }>('GET', path)) ?? {
    msgInCounter: 0,
  };
  if (msgInCounter !== archive.messages) throw new Error(`the broker has ${msgInCounter} messages`);
  await broker?.admin('DELETE', `${target.replace('://', '/')}/partitions?force=true`);
  return cost;
}

function messagesReported({ args, into }: ArchiveCommand, output: string): number {
  if (into !== undefined) return Number(output.trim().split(/\s+/)[0]);
  const report = JSON.parse(output);
  return args[0] === 'ls' ? report.totals.messages : report.messages;
}

/** On a real broker that keeps nothing: nobody has subscribed, and there is no retention. */
async function topicToRestoreInto(name: string): Promise<string> {
  broker ??= await startBroker({
    fast: false,
    extraConf: {
      backlogQuotaDefaultLimitGB: '-1',
      managedLedgerMinLedgerRolloverTimeMinutes: '0',
      managedLedgerMaxSizePerLedgerMbytes: '256',
      gcWaitTime: '10000',
    },
  });
  return createTopic(broker, `restored-${name}`, PARTITIONS);
}
