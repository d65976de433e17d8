// What a million messages cost on SCF and COS, for one setting after the other: measured work times public prices. The
// prices are inputs: `--price-list FILE` has others, as JSON. How much CPU SCF gives is not published; it is an input too.
import { readFileSync } from 'node:fs';
import { progress, table } from './report.ts';
import { type Result, runFunction } from './sides.ts';
import type { Surroundings } from './surroundings.ts';
import { pricedWorkloads, type Workload } from './workloads.ts';

interface PriceList {
  readonly currency: string;
  readonly scfGbSecond: number;
  readonly scfTenThousandInvocations: number;
  readonly cosTenThousandRequests: number;
  /** A GB that is stored for a month. */
  readonly cosGbMonth: number;
  /** Cores of this machine that a function has for each GB of its memory. */
  readonly coresForGb: number;
  /** How long SCF runs a function that finds nothing. */
  readonly emptyRunSeconds: number;
}

/**
 * Of Tencent Cloud's site for China, as quoted on 28 November 2026 without free tiers and packages: SCF, Product Pricing
 * (583/12281); COS, Product Pricing (436/6239), STANDARD. The last two are what docs/operations.md reckons with.
 */
const PRICES: PriceList = {
  currency: 'CNY',
  scfGbSecond: 0.00011108,
  scfTenThousandInvocations: 0.0133,
  cosTenThousandRequests: 0.01,
  cosGbMonth: 0.118,
  coresForGb: 1 / 6,
  emptyRunSeconds: 2,
};

interface Setting {
  readonly messagesPerSecond: number;
  readonly partitions: number;
  readonly memoryMb: number;
  readonly intervalMinutes: number;
  readonly lingerMinutes: number;
  readonly fileMaxMessages: number;
  readonly compression: string;
}

/** What was measured of a setting. */
interface Work {
  readonly cpuUsPerMessage: number;
  readonly storedBytesPerMessage: number;
  readonly objectsPerMessage: number;
  readonly requestsPerRun: number;
}

const BASE: Setting = {
  messagesPerSecond: 1_000,
  partitions: 4,
  memoryMb: 512,
  intervalMinutes: 5,
  lingerMinutes: 0,
  fileMaxMessages: 5_000,
  compression: 'none',
};
const VARIED: readonly (readonly [name: string, Partial<Setting>])[] = [
  ['1,000 messages a second, 4 partitions, 512 MB, every 5 minutes, files of 5,000, `none`', {}],
  ['memory 1024 MB', { memoryMb: 1_024 }],
  ['every 15 minutes', { intervalMinutes: 15 }],
  ['`gzip`', { compression: 'gzip' }],
  ['`zstd`', { compression: 'zstd' }],
  ['files of 500', { fileMaxMessages: 500 }],
  ['64 partitions', { partitions: 64 }],
  ['10 messages a second, 64 partitions', { messagesPerSecond: 10, partitions: 64 }],
  ['the same, linger of 60 minutes', { messagesPerSecond: 10, partitions: 64, lingerMinutes: 60 }],
];
/** Of an object that is created, and of a message that lingers and is read again: benchmarks.md, "What a linger costs". */
const OBJECT_CPU_SECONDS = 0.005;
const READ_AGAIN_CPU_US = 8;
const PART_BYTES = 8 * 1_048_576;

/** What a million messages cost. */
function costOfMillion(setting: Setting, work: Work, prices: PriceList) {
  const { messagesPerSecond, partitions, memoryMb, intervalMinutes, lingerMinutes, fileMaxMessages } =
    setting;
  const millionSeconds = 1e6 / messagesPerSecond;
  const runs = millionSeconds / (intervalMinutes * 60);
  // What fills no file is stored by the first run that finds it old enough.
  const runsUntilStored = lingerMinutes === 0 ? 1 : Math.floor(lingerMinutes / intervalMinutes) + 1;
  const gathered = (messagesPerSecond * runsUntilStored * intervalMinutes * 60) / partitions;
  const objects = (Math.ceil(gathered / fileMaxMessages) * 1e6) / gathered;
  const readAgain = (Math.min(1, fileMaxMessages / gathered) * (runsUntilStored - 1)) / 2;
  const moreObjects = objects - work.objectsPerMessage * 1e6;
  const cpuSeconds = work.cpuUsPerMessage + moreObjects * OBJECT_CPU_SECONDS + readAgain * READ_AGAIN_CPU_US;
  const gbSeconds = cpuSeconds / prices.coresForGb + (runs * prices.emptyRunSeconds * memoryMb) / 1_024;
  const objectBytes = (work.storedBytesPerMessage * 1e6) / objects;
  const requestsPerObject = objectBytes < PART_BYTES ? 1 : 2 + Math.ceil(objectBytes / PART_BYTES);
  const requests = objects * requestsPerObject + runs * work.requestsPerRun;
  const storedGb = (work.storedBytesPerMessage * 1e6) / 2 ** 30;
  return {
    gbSeconds,
    objects,
    requests,
    scf: gbSeconds * prices.scfGbSecond + (runs / 1e4) * prices.scfTenThousandInvocations,
    cosRequests: (requests / 1e4) * prices.cosTenThousandRequests,
    cosMonth: storedGb * prices.cosGbMonth,
  };
}

/** The table, as Markdown. `priceList`: a file with some or all of PriceList. */
export async function measurePrices(
  surroundings: Surroundings,
  scale: number,
  priceList?: string,
): Promise<string> {
  const given = priceList === undefined ? {} : JSON.parse(readFileSync(priceList, 'utf8'));
  const prices: PriceList = { ...PRICES, ...(given as Partial<PriceList>) };
  const topics = new Map<number, { workload: Workload; topic: string }>();
  for (const workload of pricedWorkloads(scale)) {
    progress(`filling ${workload.name}`);
    topics.set(workload.partitions, { workload, topic: await surroundings.fill(workload) });
  }
  const known = new Map<string, Work>();
  const rows: string[][] = [];
  for (const [name, varied] of VARIED) {
    const setting = { ...BASE, ...varied };
    const { partitions, compression, fileMaxMessages } = setting;
    const measured = `${partitions} ${compression} ${fileMaxMessages}`;
    const of = topics.get(partitions) as { workload: Workload; topic: string };
    const env = { FILE_COMPRESSION: compression, FILE_MAX_MESSAGES: String(fileMaxMessages) };
    const work = known.get(measured) ?? (await measureWork(surroundings, of, env));
    known.set(measured, work);
    const cost = costOfMillion(setting, work, prices);
    rows.push([
      name,
      work.cpuUsPerMessage.toFixed(1),
      cost.gbSeconds.toFixed(0),
      cost.scf.toFixed(4),
      cost.objects.toFixed(0),
      cost.requests.toFixed(0),
      cost.cosRequests.toFixed(4),
      cost.cosMonth.toFixed(3),
    ]);
    progress(rows.at(-1)?.join(' | ') ?? '');
  }
  const { currency } = prices;
  const head = ['', 'CPU µs per message', 'GB-s', `SCF, ${currency}`, 'objects', 'requests'];
  head.push(`COS requests, ${currency}`, `COS, ${currency} a month`);
  return `${table(head, rows)}\nPrices: ${JSON.stringify(prices)}\n`;
}

async function measureWork(
  surroundings: Surroundings,
  { workload, topic }: { readonly workload: Workload; readonly topic: string },
  env: Readonly<Record<string, string>>,
): Promise<Work> {
  const subscription = await surroundings.subscribe(topic);
  const drain = { surroundings, workload, topic, subscription };
  const before = await requestsOf(surroundings);
  const { cpuMs, messages, storedBytes = 0, storedObjects = 0 }: Result = await runFunction(drain, { env });
  const requests = (await requestsOf(surroundings)) - before;
  await surroundings.unsubscribe(topic, subscription);
  return {
    cpuUsPerMessage: (cpuMs * 1_000) / messages,
    storedBytesPerMessage: storedBytes / messages,
    objectsPerMessage: storedObjects / messages,
    requestsPerRun: requests - storedObjects,
  };
}

async function requestsOf({ cosControlUrl }: Surroundings): Promise<number> {
  const answer = await fetch(`${cosControlUrl}/counts`);
  return ((await answer.json()) as { requests: number }).requests;
}
