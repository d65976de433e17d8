// Finds days without objects between days with objects, in one partition: nothing was published, or everything stored
// on these days is gone. Uses the dates of keys and publish times; reads nothing.
import { formatTime } from '../../format/record.ts';
import type { ObjectRange } from '../catalog/object-ranges.ts';
import { type Finding, notice } from '../finding.ts';

const DAY_MS = 86_400_000;
/** Under these dates are the times that no date holds. */
const NO_DAYS = new Set([0, Date.UTC(9999, 11, 31) / DAY_MS]);
/** An object that seems to reach further has a publish time that is astray. */
const MAX_SPAN_DAYS = 31;

/** One notice for each row of empty days. */
export function* emptyDays(objects: Iterable<ObjectRange>): Generator<Finding> {
  const days = new Map<number, ObjectRange>();
  for (const object of objects) {
    const { day: first, lastDay } = object;
    if (NO_DAYS.has(first)) continue;
    const reach = lastDay - first <= MAX_SPAN_DAYS ? lastDay : first;
    for (let day = first; day <= reach; day++) if (!days.has(day)) days.set(day, object);
  }
  const inOrder = [...days].sort(([a], [b]) => a - b);
  for (const [i, [day, { key }]] of inOrder.entries()) {
    const before = inOrder[i - 1]?.[0];
    if (before === undefined || day - before === 1) continue;
    const [from, to] = [dayText(before + 1), dayText(day - 1)];
    const which = from === to ? `day ${from}` : `days ${from} to ${to}`;
    yield notice(key, 'empty-day', `before it the partition has no object of the ${which}`);
  }
}

const dayText = (day: number): string => formatTime(day * DAY_MS).slice(0, 10);
