// Dates and times as ISO 8601, exact to the nanosecond: three, six or nine digits of the second, as many as it needs. A
// time that no year from 0000 to 9999 has, or that no day has, stays the number that it is.
import type { TimeUnit } from './value-type.ts';

const DIGITS: Readonly<Record<TimeUnit, number>> = { millis: 3, micros: 6, nanos: 9 };
const MS_PER_DAY = 86_400_000;
const SECONDS_PER_DAY = 86_400;
const FIRST_SECOND = Date.parse('0000-01-01T00:00:00Z') / 1_000;
const LAST_SECOND = Date.parse('9999-12-31T23:59:59Z') / 1_000;

/** The day that is so many days after 1970-01-01. */
export function dateText(days: number | bigint): string | number | bigint {
  const second = Number(days) * SECONDS_PER_DAY;
  if (second < FIRST_SECOND || second > LAST_SECOND) return days;
  return new Date(Number(days) * MS_PER_DAY).toISOString().slice(0, 10);
}

/** A time of the day, since midnight. */
export function timeText(value: number | bigint, unit: TimeUnit): string | number | bigint {
  const { second, fraction } = split(value, unit);
  if (second < 0 || second >= SECONDS_PER_DAY) return value;
  return `${new Date(second * 1_000).toISOString().slice(11, 19)}${fraction}`;
}

/** A time since 1970-01-01T00:00; with `Z` where it is one of UTC, not of some place. */
export function timestampText(
  value: number | bigint,
  unit: TimeUnit,
  isUtc: boolean,
): string | number | bigint {
  const { second, fraction } = split(value, unit);
  if (second < FIRST_SECOND || second > LAST_SECOND) return value;
  return `${new Date(second * 1_000).toISOString().slice(0, 19)}${fraction}${isUtc ? 'Z' : ''}`;
}

/** An ISO 8601 duration of what does not convert into one another. */
export function durationText(months: number, days: number, milliseconds: number): string {
  const seconds = milliseconds / 1_000;
  return `P${months === 0 ? '' : `${months}M`}${days === 0 ? '' : `${days}D`}${
    milliseconds === 0 && (months > 0 || days > 0) ? '' : `T${seconds}S`
  }`;
}

/** Whole seconds, and the digits behind them. */
function split(value: number | bigint, unit: TimeUnit): { second: number; fraction: string } {
  const digits = DIGITS[unit];
  if (typeof value === 'number') {
    const second = Math.floor(value / 10 ** digits);
    return { second, fraction: fractionText(value - second * 10 ** digits, digits) };
  }
  const perSecond = 10n ** BigInt(digits);
  const rest = ((value % perSecond) + perSecond) % perSecond;
  return { second: Number((value - rest) / perSecond), fraction: fractionText(Number(rest), digits) };
}

function fractionText(rest: number, digits: number): string {
  const text = String(rest).padStart(digits, '0');
  const needed = text.slice(6) !== '000' && digits > 6 ? 9 : text.slice(3, 6) !== '000' && digits > 3 ? 6 : 3;
  return `.${text.slice(0, needed)}`;
}
