// The times of a selection as options.
import { parseTimeText, TIME_EXPECTED } from '../lib/time-text.ts';
import { UsageError } from './usage-error.ts';

/** The time of an option, in milliseconds; `undefined` if it was not given. @throws UsageError */
export function timeOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeMs = parseTimeText(text);
  if (timeMs === undefined)
    throw new UsageError(`${name} ${JSON.stringify(text)} is no time: give ${TIME_EXPECTED}`);
  return timeMs;
}
