// Columns for a person to read: columns with numbers to the right, others to the left; as wide as a terminal shows them.
import widthOf from 'fast-string-truncated-width';
import { formatCount } from '../../lib/format-count.ts';
import { isPlainText, visibleText } from '../../lib/visible-text.ts';

/** How many columns of a terminal a text takes: some letters take two, some none. */
const columnsOf = (text: string): number => (isPlainText(text) ? text.length : widthOf(text).width);

/** The text with spaces behind it, up to so many columns. */
export const padColumns = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - columnsOf(text)));

/** The text as one visible line of at most so many columns; one that is cut ends with `…`. */
export function fitColumns(text: string, columns: number): string {
  const line = visibleText(text);
  const { index, ellipsed } = widthOf(line, { limit: columns, ellipsis: '…', ellipsisWidth: 1 });
  return ellipsed ? `${line.slice(0, index)}…` : line;
}

/** Lines of a table with a head, two spaces between columns. Numbers are grouped by thousands. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string[] {
  const texts = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? formatCount(cell) : visibleText(cell))),
  );
  const widths = head.map((title, i) =>
    Math.max(title.length, ...texts.map((row) => columnsOf(row[i] ?? ''))),
  );
  const isNumber = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) =>
        isNumber[i] ? cell.padStart(widths[i] as number) : padColumns(cell, widths[i] as number),
      )
      .join('  ')
      .trimEnd();
  return [line(head), ...texts.map(line)];
}

/** A length of time as a person says it: `4 h 30 min`. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d${hours % 24 === 0 ? '' : ` ${hours % 24} h`}`;
}

/** How many there are of something: `1 day`, `1,500 rows`. */
export const counted = (count: number, what: string): string =>
  `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`;

/** Bytes as a person says them: `1.2 MB`; decimal, as SCF and COS count. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
