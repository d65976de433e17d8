// How `archive cat` prints records.
import type { Recorded } from '../../archive/message-groups.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';

const WIDTHS = [24, 22, 20] as const;

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

function tableLine({ message }: Recorded): string {
  const { key, payload } = message;
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8', 0, 200);
  return tableRow(
    formatTime(message.publishTimeMs),
    formatMessageId(message.id),
    key === undefined ? '' : typeof key === 'string' ? key : text(key),
    payload === null ? '(null)' : text(payload),
  );
}

function tableRow(...cells: [string, string, string, string]): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would move a terminal's cursor
  const [time, id, key, value] = cells.map((cell) => cell.replace(/[\u0000-\u001f\u007f-\u009f]/g, '·'));
  const inWidth = (cell = '', width = 0) =>
    cell.length > width ? `${cell.slice(0, width - 1)}…` : cell.padEnd(width);
  const [timeWidth, idWidth, keyWidth] = WIDTHS;
  return `${inWidth(time, timeWidth)}  ${inWidth(id, idWidth)}  ${inWidth(key, keyWidth)}  ${(value ?? '').slice(0, 80)}\n`;
}
