// How `archive cat` prints records: a table is for a person, the others are for programs too.
import { isUtf8 } from 'node:buffer';
import { withDecodedValue } from '../../archive/decode/decoded-value.ts';
import type { Recorded } from '../../archive/read/message-groups.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import { fitColumns, padColumns } from '../terminal/table.ts';

const WIDTHS = [24, 22, 20] as const;
const VALUE_WIDTH = 80;
/** Of a value that is text, and of one that is none: more than fits into its column. */
const [TEXT_BYTES, BINARY_BYTES] = [1_000, 40];

/** What is printed first, and of each record. */
export interface Format {
  readonly head?: string;
  readonly line: (one: Recorded) => string | Buffer;
}

/** By the value of `--format`. */
export const FORMATS: Readonly<Record<string, Format>> = {
  jsonl: { line: ({ line }) => `${line}\n` },
  value: { line: ({ message }) => Buffer.concat([message.payload ?? Buffer.alloc(0), Buffer.from('\n')]) },
  table: { head: tableRow('published', 'id', 'key', 'value'), line: tableLine },
};

/** The same of decoded records: the JSON of their values is in the place of the payloads. */
export const DECODED_FORMATS: Readonly<Record<string, Format>> = {
  ...FORMATS,
  value: decodedFormat('value'),
  table: decodedFormat('table'),
};

function decodedFormat(name: 'value' | 'table'): Format {
  const format = FORMATS[name] as Format;
  return { ...format, line: (one) => format.line(withDecodedValue(one)) };
}

function tableLine({ message }: Recorded): string {
  const { key, payload } = message;
  return tableRow(
    formatTime(message.publishTimeMs),
    formatMessageId(message.id),
    key === undefined ? '' : typeof key === 'string' ? key : binaryText(key),
    payload === null ? '(null)' : isUtf8(payload) ? textOf(payload, TEXT_BYTES) : binaryText(payload),
  );
}

const textOf = (bytes: Uint8Array, length: number) => Buffer.from(bytes.subarray(0, length)).toString();

/** How much it is, and how it begins. */
const binaryText = (bytes: Uint8Array): string =>
  `(${bytes.length} bytes) ${Buffer.from(bytes.subarray(0, BINARY_BYTES)).toString('hex')}`;

function tableRow(...cells: [string, string, string, string]): string {
  const [time, id, key, value] = cells;
  const columns = [time, id, key].map((cell, i) => {
    const width = WIDTHS[i] as number;
    return padColumns(fitColumns(cell, width), width);
  });
  return `${[...columns, fitColumns(value, VALUE_WIDTH)].join('  ')}\n`;
}
