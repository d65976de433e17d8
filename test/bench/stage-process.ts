// What each stage of the function costs alone, in one process: prints CPU microseconds per message of 1 KiB as JSON.
import { createHash } from 'node:crypto';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { createCompressor } from '../../src/format/compression.ts';
import { encodeRecords } from '../../src/format/record-encoder.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import { demoMessage } from '../../src/local/demo-messages.ts';
import type { Message } from '../../src/ports.ts';
import { crc32c } from '../../src/pulsar/wire/protocol/crc32c.ts';
import { decodeEntry, readStoredEntry } from '../../src/pulsar/wire/protocol/entry-decoder.ts';
import { encodeMessages, loopbackMessage } from '../stand-ins/broker/publish.ts';

const MESSAGES = 5_000;
const PER_ENTRY = 100;
const REPEATS = 40;
const context = { topic: 'persistent://public/default/bench-partition-0', partition: 0, limitBytes: 1 << 26 };
const nothing = () => undefined;

const published = Array.from({ length: MESSAGES }, (_, index) => {
  const demo = loopbackMessage(demoMessage(index, 1_700_000_000_000 + index));
  const text = JSON.stringify({ order: index, note: `${demo.payload} `.repeat(20) }).slice(0, 1_022);
  return { ...demo, payload: `${text}"}`, properties: { source: 'bench', type: 'order.created' } };
});
const stored = encodeMessages(published, 0, { batchSize: PER_ENTRY });
const entries = stored.map((bytes, entryId) => readStoredEntry({ ledgerId: 12, entryId }, bytes));
const decoded = entries.map((entry) => decodeEntry(entry, context) as { messages: readonly Message[] });
const records = decoded.flatMap(({ messages }) =>
  Array.from(encodeRecords(messages).chunks, (chunk) => Buffer.from(chunk)),
);
const sizeBytes = records.reduce((sum, one) => sum + one.length, 0);

async function measure(repeats: number, work: () => unknown): Promise<number> {
  await work();
  const started = process.cpuUsage();
  for (let repeat = 0; repeat < repeats; repeat++) await work();
  const { user, system } = process.cpuUsage(started);
  return (user + system) / repeats / MESSAGES;
}

const hash = (name: string) => () => {
  const running = createHash(name);
  for (const one of records) running.update(one);
  return running.digest();
};

async function compress(compression: 'gzip' | 'zstd'): Promise<void> {
  const compressor = createCompressor(compression, nothing);
  for (const one of records) await compressor?.write(one);
  await compressor?.end();
}

const cos = parseConfig(process.env).cos;
const store = createCosStore(cos, {
  logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
});
const crc = crc64(records);
let objects = 0;
const upload = () =>
  store.create(`${cos.prefix}${process.pid}-${++objects}`, { chunks: records, sizeBytes }, crc, {
    metadata: {},
    contentType: 'application/x-ndjson',
  });

const costs = {
  'CRC-32C of what the broker sent': await measure(REPEATS, () =>
    entries.forEach(({ raw }) => void crc32c(raw)),
  ),
  'decode, with its CRC-32C': await measure(REPEATS, () =>
    entries.forEach((entry) => void decodeEntry(entry, context)),
  ),
  encode: await measure(REPEATS, () => decoded.forEach(({ messages }) => void encodeRecords(messages))),
  'CRC-64 of the object': await measure(REPEATS, () => crc64(records)),
  'SHA-256 of the object': await measure(REPEATS, hash('sha256')),
  upload: await measure(REPEATS, upload),
  'gzip, where it is chosen': await measure(2, () => compress('gzip')),
  'zstd, where it is chosen': await measure(4, () => compress('zstd')),
};
await store.close();
process.stdout.write(JSON.stringify(costs));
