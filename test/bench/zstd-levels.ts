// What a level of zstd costs and leaves, alone: `npm run bench:zstd` prints a Markdown table per record of
// 1 KiB, in WebAssembly and, where Node has it, in Node's own; of each the least of some rounds.
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';
import { encodeRecord } from '../../src/format/record.ts';
import { FRAME_INPUT_BYTES } from '../../src/lib/zstd.ts';
import { loadWasmZstd } from '../../src/lib/zstd-wasm.ts';
import type { Message } from '../../src/ports.ts';
import { table } from './report.ts';

const RECORDS = 20_000;
const ROUNDS = 8;
const LEVELS = [-5, -1, 1, 2, 3];

/** Newer than the types of the oldest Node that this runs on. */
const { createZstdCompress } = zlib as unknown as { createZstdCompress?: (options: object) => Duplex };

const repeating = (index: number) =>
  Array.from(
    { length: 40 },
    (_, at) => `word${(index * 31 + at * at * 7) % 18}-${(index * 31 + at * 37) % 1_000}`,
  )
    .join(' ')
    .repeat(4);
const random = () => randomBytes(1_024).toString('base64');

/** The records of an object, cut to frames. */
function framesOf(note: (index: number) => string): { frames: Buffer[]; records: number } {
  const lines = Array.from({ length: RECORDS }, (_, index) => {
    const head = `{"order":${index},"customer":"c-${(index * 7_919) % 10_007}","note":"`;
    const message: Message = {
      id: { ledgerId: 12, entryId: Math.floor(index / 127), partition: 0, batchIndex: index % 127 },
      topic: 'persistent://public/default/orders-partition-0',
      publishTimeMs: 1_700_000_000_000 + index,
      eventTimeMs: undefined,
      key: `key-${index % 1_000}`,
      orderingKey: undefined,
      properties: [
        ['source', 'bench'],
        ['type', 'order.created'],
      ],
      producer: 'p-1',
      sequenceId: index,
      schemaVersion: undefined,
      replicatedFrom: undefined,
      payload: Buffer.from(`${(head + note(index)).slice(0, 1_022)}"}`),
    };
    return encodeRecord(message);
  });
  const bytes = Buffer.from(lines.join(''));
  const frames = Array.from({ length: Math.floor(bytes.length / FRAME_INPUT_BYTES) }, (_, at) =>
    bytes.subarray(at * FRAME_INPUT_BYTES, (at + 1) * FRAME_INPUT_BYTES),
  );
  return { frames, records: (RECORDS * frames.length * FRAME_INPUT_BYTES) / bytes.length };
}

type Compress = (frame: Buffer) => number | Promise<number>;

async function inWasm(level: number): Promise<Compress> {
  const zstd = await loadWasmZstd();
  return (frame) => zstd.compress([frame], frame.length, level).length;
}

/** As src/lib/zstd.ts does it. */
function inNode(create: (options: object) => Duplex, level: number): Compress {
  const roomBytes = 2 * FRAME_INPUT_BYTES;
  const sizes = { chunkSize: roomBytes, readableHighWaterMark: roomBytes };
  const stream = create({ ...sizes, flush: 2, params: { 100: level, 201: 1 } });
  return (frame) =>
    new Promise((resolve, reject) => {
      stream.write(frame, (error) => (error ? reject(error) : resolve((stream.read() as Buffer).length)));
    });
}

/** µs of CPU and bytes per record. */
async function measure(note: (index: number) => string, compress: Compress): Promise<string[]> {
  const { frames, records } = framesOf(note);
  let least = Number.POSITIVE_INFINITY;
  let storedBytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage();
    storedBytes = 0;
    for (const frame of frames) storedBytes += await compress(frame);
    const { user, system } = process.cpuUsage(started);
    least = Math.min(least, user + system);
  }
  return [(least / records).toFixed(2), (storedBytes / records).toFixed(0)];
}

const rows: string[][] = [];
for (const level of LEVELS) {
  const kinds: [string, () => Compress | Promise<Compress>][] = [['WebAssembly', () => inWasm(level)]];
  if (createZstdCompress !== undefined) kinds.push(["Node's own", () => inNode(createZstdCompress, level)]);
  for (const [kind, start] of kinds) {
    const cells: string[] = [];
    for (const note of [repeating, random]) cells.push(...(await measure(note, await start())));
    rows.push([`${kind}, level ${level}`, ...cells]);
  }
}
process.stdout.write(
  `Node ${process.version}\n\n${table(['', 'JSON: CPU µs', 'bytes', 'text: CPU µs', 'bytes'], rows)}`,
);
