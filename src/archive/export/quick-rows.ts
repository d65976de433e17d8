// The records of an object as rows, without parsing them: DuckDB does that anyway. Of a record it looks at the head alone,
// and it looks at an object as a whole for what shows damage. Where anything is not as this version writes it, it gives
// up, and the day is read with care (read-messages.ts), which knows what is damaged, and says so.
import { BackupError } from '../../errors.ts';
import { decompress } from '../../format/compression.ts';
import { createEndCheck } from '../../format/end-mark.ts';
import { dateOf } from '../../format/object-key.ts';
import { decodeRecord, formatTime } from '../../format/record.ts';
import type { CallOptions, Message, ObjectStore } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { rowLine } from './row-line.ts';

/** What a head mostly fits into. */
const HEAD_BYTES = 480;
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
  readonly line: Uint8Array | string;
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
  let rest: Buffer[] = [];
  const ending = createEndCheck();
  const read = async function* () {
    for await (const chunk of store.read(key, call)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
  };
  try {
    let last: Buffer | undefined;
    for await (const one of inSlices(decompress(parts.compression, read()))) {
      const chunk = Buffer.from(one.buffer, one.byteOffset, one.byteLength);
      let start = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
        rest.push(chunk.subarray(start, end));
        last = rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest);
        if (rows++ === 0) ending.see(tailOf(last));
        onRow(rowOf(last));
        rest = [];
        start = end + 1;
      }
      // Whoever reads may use the memory of a chunk again.
      if (start < chunk.length) rest.push(Buffer.from(chunk.subarray(start)));
      if (last !== undefined) last = Buffer.from(last.subarray(-MARKED_BYTES));
      await untilTaken();
    }
    if (last !== undefined) ending.see(tailOf(last));
  } catch (error) {
    if (error instanceof BackupError && error.code === 'corrupt') throw new CareNeeded();
    if (error instanceof BackupError && error.details['code'] === 'NoSuchKey') throw new CareNeeded();
    throw error;
  }
  const isWhole = rows > 0 && rest.length === 0 && bytes === sizeBytes && !ending.isCut();
  if (!isWhole || (facts.messages !== undefined && facts.messages !== rows)) throw new CareNeeded();
}

/** Small objects come as one: whoever takes rows has to be able to stop within. */
async function* inSlices(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.byteLength; at += SLICE_BYTES) yield chunk.subarray(at, at + SLICE_BYTES);
}

/** What the marks of an end are in. */
const MARKED_BYTES = 8;
const tailOf = (line: Buffer) => line.toString('latin1', Math.max(0, line.length - MARKED_BYTES));

function rowOf(line: Buffer): QuickRow {
  const head =
    HEAD.exec(line.toString('latin1', 0, HEAD_BYTES)) ??
    (line.length > HEAD_BYTES ? HEAD.exec(line.toString('latin1')) : null);
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
  };
}

/** A map of DuckDB's has each name once; of JSON the last one counts. */
function hasNameTwice(properties: string): boolean {
  let pairs = 0;
  // A quote inside of a text is escaped: this is between a name and its value, and nowhere else.
  for (let at = properties.indexOf('":"'); at >= 0; at = properties.indexOf('":"', at + 3)) pairs++;
  return pairs > 1 && Object.keys(JSON.parse(properties) as object).length !== pairs;
}
