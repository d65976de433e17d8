// What any program has to do with the messages of a topic to keep the promises, besides receiving them, each step alone and
// warm in one process: prints the CPU microseconds per message of each as JSON. It acknowledges nothing.
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import COS from 'cos-nodejs-sdk-v5';
import { parseConfig } from '../../src/config.ts';
import { isUpTo } from '../../src/format/entry-order.ts';
import { encodePacked } from '../../src/format/packed-batch.ts';
import { encodeRecords } from '../../src/format/record-encoder.ts';
import { ChunkList } from '../../src/lib/chunk-list.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import { PART_BYTES } from '../../src/partition/object-file.ts';
import type { ReadableEntry } from '../../src/ports.ts';
import { createSource } from '../../src/pulsar/create-source.ts';

const SAMPLE_BYTES = 24 * 1_048_576;
/** Each step is repeated until it took so long: what V8 compiles for it does not count then. */
const MIN_MS = 600;
const MAX_MESSAGES = 5_000;
const nothing = () => undefined;

const config = parseConfig(process.env);
const entries = await readSample();
const messages = entries.reduce((sum, { packed, messages }) => sum + (packed?.count ?? messages.length), 0);
const records = new ChunkList();
writeRecords(records);
const body = records.takeAll();
const chunks = [...body.views()];

async function readSample(): Promise<ReadableEntry[]> {
  const source = await createSource({
    config: config.pulsar,
    receiveBudgetBytes: 32 * 1_048_576,
    clock: systemClock,
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  });
  const opened = await source.open();
  const partition = opened === 'busy' ? undefined : opened[0];
  const { end = null } = partition ?? {};
  if (partition === undefined || end === null || end === 'unknown')
    throw new Error('there is nothing to read');
  const sample: ReadableEntry[] = [];
  for (let bytes = 0; bytes < SAMPLE_BYTES; ) {
    const delivery = await partition.next(5_000);
    if (delivery.kind !== 'entry') throw new Error(`the broker sent ${delivery.kind} instead of an entry`);
    sample.push(delivery);
    bytes += encode(delivery).sizeBytes;
    if (isUpTo(end, delivery.id)) break;
  }
  await source.close();
  return sample;
}

function encode(entry: ReadableEntry) {
  return (entry.packed && encodePacked(entry.packed)) ?? encodeRecords(entry.messages);
}

function writeRecords(into: ChunkList): void {
  for (const entry of entries) for (const chunk of encode(entry).chunks) into.append(chunk);
}

/** CPU microseconds per message of the sample. */
async function measure(work: () => unknown): Promise<number> {
  await work();
  const started = process.cpuUsage();
  for (let repeats = 1; ; repeats++) {
    await work();
    const { user, system } = process.cpuUsage(started);
    if (user + system > MIN_MS * 1_000) return (user + system) / repeats / messages;
  }
}

/** One PUT with nothing but what Node has, a write for each block. */
async function put(key: string, blocks: readonly Uint8Array[], agent: Agent): Promise<void> {
  const { bucket, region, endpoint, credentials } = config.cos;
  const host = `${bucket}.cos.${region}.myqcloud.com`;
  const authorization = COS.getAuthorization({
    SecretId: credentials.secretId,
    SecretKey: credentials.secretKey.reveal(),
    Method: 'PUT',
    Pathname: `/${key}`,
    Headers: { Host: host },
  });
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  await new Promise<void>((resolve, reject) => {
    const { hostname, port } = new URL(endpoint as string);
    const headers = { host, authorization, 'content-length': length };
    const sent = request({ hostname, port, method: 'PUT', path: `/${key}`, headers, agent }, (answer) => {
      answer.resume().once('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the stand-in answered ${answer.statusCode}`));
      });
    });
    sent.once('error', reject);
    for (const block of blocks) sent.write(block);
    sent.end();
  });
}

/** As many bytes at once as the function sends: a file, or a part of it. */
function bodies(): Uint8Array[][] {
  const bodyBytes = Math.min(PART_BYTES, (MAX_MESSAGES * body.sizeBytes) / messages);
  const all: Uint8Array[][] = [[]];
  let bytes = 0;
  for (const chunk of chunks) {
    if (bytes >= bodyBytes) {
      all.push([]);
      bytes = 0;
    }
    all.at(-1)?.push(chunk);
    bytes += chunk.length;
  }
  return all;
}

const agent = new Agent({ keepAlive: true });
const { prefix } = config.cos;
let objects = 0;
const costs = {
  write: await measure(() => {
    const list = new ChunkList();
    writeRecords(list);
    list.takeAll().recycle();
  }),
  crc64: await measure(() => crc64(chunks)),
  sha256: await measure(() => {
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    hash.digest();
  }),
  send: await measure(async () => {
    for (const one of bodies()) await put(`${prefix}${++objects}`, one, agent);
  }),
};
agent.destroy();
process.stdout.write(JSON.stringify(costs));
