// Converts the records of an object to rows without parsing them, since DuckDB does that. Checks only the head of
// each record, and the whole object for damage. If anything is not as this version writes it, it gives up, and
// read-messages.ts reads the day, which reports damage.
import { BackupError } from '../../errors.ts';
import { decompress } from '../../format/compression.ts';
import { createEndCheck } from '../../format/end-mark.ts';
import { dateOf } from '../../format/object-key.ts';
import { decodeRecord, formatTime } from '../../format/record.ts';
import { isGone } from '../../format/stored-object.ts';
import { freeMemory } from '../../lib/free-memory.ts';
import type { CallOptions, Message, ObjectStore } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { rowLine } from './row-line.ts';

/** What a head mostly fits into, and what some do. */
const HEAD_BYTES = [480, 65_536, 2_000_000];
const LINE_FEED = 0x0a;
const SLICE_BYTES = 65_536;
const TEXT = '"(?:[^"\\\\]|\\\\.)*"';
/** A record up to its value, with what every column takes: nothing of it is rounded, and none is left out. */
const HEAD = new RegExp(
  [
    '^\\{"id":"(\\d{1,15}):(\\d{1,15}):(-1|\\d{1,9}):(-1|\\d{1,9})","topic":"[^"\\\\]*"',
    ',"publishTime":"((\\d{4}-\\d\\d-\\d\\d)T[0-9:.]{12}Z)"',
    '(?:,"eventTime":"[0-9T:.-]{23}Z")?',
    `(?:,"key(?:Base64)?":${TEXT})?(?:,"orderingKey":"[^"]*")?`,
    `(?:,"properties":(\\{(?:${TEXT}:${TEXT},?)+\\}))?`,
    `(?:,"producer":${TEXT})?(?:,"sequenceId":\\d{1,19})?(?:,"schemaVersion":"[^"]*")?`,
    `(?:,"replicatedFrom":${TEXT})?,"value(?:Base64)?":(?:"|null)`,
  ].join(''),
);

/** Thrown where a day has to be read with care. */
export class CareNeeded extends Error {}

/** What is known of a row: where it belongs, and its line. */
export interface QuickRow {
  readonly id: Message['id'];
  /** UTC date of the publish time; both as texts. */
  readonly date: string;
  readonly publishTime: string;
  readonly line: Uint8Array<ArrayBuffer> | string;
  /** The memory of the line is nobody else's. */
  readonly isOwn: boolean;
}

/** Calls `onRow` with each record of the object, and waits for `untilTaken` now and then. @throws CareNeeded; BackupError `store` */
export async function readQuickly(
  store: ObjectStore,
  { key, parts, sizeBytes, facts }: ArchiveObject,
  call: CallOptions,
  onRow: (row: QuickRow) => void,
  untilTaken: () => Promise<void> | undefined,
): Promise<void> {
  let bytes = 0;
  let rows = 0;
  /** The last bytes of the last line. */
  let tail: string | undefined;
  const rest = createRest();
  const ending = createEndCheck();
  const read = async function* () {
    for await (const chunk of store.read(key, call)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
  };
  try {
    for await (const one of inSlices(decompress(parts.compression, read()))) {
      const chunk = Buffer.from(one.buffer as ArrayBuffer, one.byteOffset, one.byteLength);
      let start = 0;
      let last: Buffer<ArrayBuffer> | undefined;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
        last = chunk.subarray(start, end);
        const { line, isOwn } = rest.sizeBytes > 0 ? rest.endWith(last) : { line: last, isOwn: false };
        // The memory of a line may be gone behind onRow.
        if (rows++ === 0) ending.see(tailOf(line));
        tail = isOwn ? tailOf(line) : undefined;
        onRow(rowOf(line, isOwn));
        if (!isOwn) last = line;
        start = end + 1;
      }
      if (last !== undefined) tail ??= tailOf(last);
      if (start < chunk.length) rest.add(chunk.subarray(start));
      await untilTaken();
    }
    if (tail !== undefined) ending.see(tail);
  } catch (error) {
    if (isGone(error) || (error instanceof BackupError && error.code === 'corrupt')) throw new CareNeeded();
    throw error;
  }
  const isWhole = rows > 0 && rest.sizeBytes === 0 && bytes === sizeBytes && !ending.isCut();
  if (!isWhole || (facts.messages !== undefined && facts.messages !== rows)) throw new CareNeeded();
}

/** Small objects come as one: whoever takes rows has to be able to stop within. */
async function* inSlices(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.byteLength; at += SLICE_BYTES) yield chunk.subarray(at, at + SLICE_BYTES);
}

/** A line of more is in memory of its own. */
const OWN_BYTES = 1_000_000;

/** A line that is in several chunks, as they come: whoever reads may use the memory of a chunk again. */
function createRest() {
  let memory = Buffer.allocUnsafeSlow(65_536);
  let sizeBytes = 0;

  function add(bytes: Uint8Array): void {
    if (sizeBytes + bytes.byteLength > memory.byteLength) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * memory.byteLength, sizeBytes + bytes.byteLength));
      memory.copy(larger, 0, 0, sizeBytes);
      freeMemory(memory);
      memory = larger;
    }
    memory.set(bytes, sizeBytes);
    sizeBytes += bytes.byteLength;
  }

  return {
    get sizeBytes() {
      return sizeBytes;
    },
    add,
    /** The line, until more is added. `isOwn`: for as long as it is needed. */
    endWith(bytes: Uint8Array): { line: Buffer<ArrayBuffer>; isOwn: boolean } {
      add(bytes);
      const line = memory.subarray(0, sizeBytes);
      const isOwn = sizeBytes > OWN_BYTES;
      if (isOwn) memory = Buffer.allocUnsafeSlow(65_536);
      sizeBytes = 0;
      return { line, isOwn };
    },
  };
}

/** What the marks of an end are in. */
const MARKED_BYTES = 8;
const tailOf = (line: Buffer) => line.toString('latin1', Math.max(0, line.length - MARKED_BYTES));

function headOf(line: Buffer): RegExpExecArray | null {
  for (const bytes of HEAD_BYTES) {
    const head = HEAD.exec(line.toString('latin1', 0, bytes));
    if (head !== null || line.length <= bytes) return head;
  }
  return null;
}

function rowOf(line: Buffer<ArrayBuffer>, isOwn: boolean): QuickRow {
  const head = headOf(line);
  if (head === null || (head[7] !== undefined && hasNameTwice(head[7]))) return carefulRow(line.toString());
  const [, ledgerId, entryId, partition, batchIndex, publishTime = '', date = ''] = head;
  return {
    id: {
      ledgerId: Number(ledgerId),
      entryId: Number(entryId),
      partition: Number(partition),
      batchIndex: Number(batchIndex),
    },
    date,
    publishTime,
    line,
    isOwn,
  };
}

function carefulRow(line: string): QuickRow {
  const message = decodeRecord(line);
  const { id, publishTimeMs } = message;
  return {
    id,
    date: dateOf(publishTimeMs),
    publishTime: formatTime(publishTimeMs),
    line: rowLine({ message, line }),
    isOwn: true,
  };
}

/** A map of DuckDB's has each name once; of JSON the last one counts. */
function hasNameTwice(properties: string): boolean {
  let pairs = 0;
  // A quote inside of a text is escaped: this is between a name and its value, and nowhere else.
  for (let at = properties.indexOf('":"'); at >= 0; at = properties.indexOf('":"', at + 3)) pairs++;
  return pairs > 1 && Object.keys(JSON.parse(properties) as object).length !== pairs;
}
