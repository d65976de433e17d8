// Parses times that people type, for every command. A time without a zone is UTC, as in records, keys and logs.
// Refuses days that do not exist instead of rounding them.

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?$/i;

/** The formats that parseTimeText accepts, for messages. */
export const TIME_EXPECTED =
  'an ISO time (2026-11-23, 2026-11-23T23:21:41Z, 2026-11-24T07:21:41+08:00); without a zone it is UTC';

/** Milliseconds since the epoch of a day or an ISO 8601 time, rounded up; `undefined` if the text is neither. */
export function parseTimeText(text: string): number | undefined {
  const match = TIME.exec(text.trim());
  if (match === null) return undefined;
  const number = (at: number) => Number(match[at] ?? 0);
  const midnight = new Date(0);
  midnight.setUTCFullYear(number(1), number(2) - 1, number(3));
  const isDay = midnight.getUTCMonth() === number(2) - 1 && midnight.getUTCDate() === number(3);
  const [hour, minute, second, zoneHour, zoneMinute] = [4, 5, 6, 9, 10].map(number) as [
    ...[number, number, number],
    ...[number, number],
  ];
  if (!isDay || hour > 23 || minute > 59 || second > 59 || zoneHour > 23 || zoneMinute > 59) return undefined;
  const zoneMinutes = (match[8] === '-' ? -1 : 1) * (zoneHour * 60 + zoneMinute);
  const fractionMs = Math.ceil(Number(`${match[7] ?? '0'}e${3 - (match[7] ?? '0').length}`));
  return midnight.getTime() + ((hour * 60 + minute - zoneMinutes) * 60 + second) * 1_000 + fractionMs;
}
