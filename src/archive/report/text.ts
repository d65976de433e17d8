// Numbers, times and names as an HTML page shows them. Whatever comes from outside goes through `asText`.

import { formatTime } from '../../format/record.ts';
import { visibleLines } from '../../lib/visible-text.ts';
import type { TimeMs } from '../../ports.ts';

/** Text for HTML and its attributes, with nothing hidden: topic names may hold anything. */
export const asText = (text: string): string =>
  visibleLines(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

/** Grouped by thousands; `?` where nobody reports it. */
export const numberText = (value: number | undefined): string => value?.toLocaleString('en-US') ?? '?';

/** `1 file`, `3 files`. */
export const filesText = (count: number): string => `${numberText(count)} ${count === 1 ? 'file' : 'files'}`;

/** Short enough for a small cell: `787`, `1.2k`, `35M`. */
export function shortNumber(value: number): string {
  if (value < 1_000) return String(Math.round(value));
  const unit = value < 999_500 ? 1_000 : value < 999_500_000 ? 1_000_000 : 1_000_000_000;
  const text = (value / unit).toFixed(value / unit < 9.95 ? 1 : 0).replace(/\.0$/, '');
  return text + { 1000: 'k', 1000000: 'M', 1000000000: 'G' }[unit as 1000];
}

export const partitionText = (partition: number): string => (partition < 0 ? 'none' : String(partition));

/** To the second, as people read it; `?` where nobody reports it. */
export const timeText = (timeMs: TimeMs | undefined): string =>
  timeMs === undefined
    ? '?'
    : formatTime(typeof timeMs === 'number' ? Math.floor(timeMs) : timeMs)
        .replace('T', ' ')
        .replace(/\.\d{3}Z$/, ' UTC');

/** Decimal, as COS counts. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1_000 ** unit;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
