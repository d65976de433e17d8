// Which objects have rows of which day. A row belongs to the UTC day on which its message was published; an object
// can have rows of several days. Facts about objects predict the days; days found while reading are added, so that no
// row is missing.
import { dateOf } from '../../format/object-key.ts';
import type { TimeMs } from '../../ports.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { daysAfter } from '../catalog/listing.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import { datesOf } from '../catalog/object-facts.ts';
import { createObjectList, type ObjectList, type PartitionObjects } from '../catalog/object-list.ts';
import type { Selection } from '../catalog/selection.ts';
import type { SourceObject } from './day-note.ts';

/** An object of more days was published by a clock that went astray: then only its ends are foretold. */
const MAX_DAYS = 40;
const DAY_MS = 86_400_000;

export interface Days {
  /** `learned`: days that an earlier export found. */
  add(object: ArchiveObject, learned: Iterable<string>): void;
  /** Whether the object is on that day's list; else it is put there. */
  learn(object: ArchiveObject, date: string): boolean;
  dates(): string[];
  partitionsOf(date: string): PartitionObjects[];
  sourcesOf(date: string): SourceObject[];
}

/** The days of one topic under `prefix`, as far as they are selected. */
export function createDays(prefix: string, selection: Selection): Days {
  const lists = new Map<string, ObjectList>();
  /** Objects that have more days than the one of their keys, or others. */
  const others = new Map<string, Set<string>>();

  function put(object: ArchiveObject, date: string): void {
    const list = lists.get(date) ?? createObjectList(prefix);
    lists.set(date, list);
    list.add(object);
  }

  function learn(object: ArchiveObject, date: string): boolean {
    const path = pathOf(object.key);
    const known = others.get(path) ?? new Set([object.parts.date]);
    if (known.has(date)) return true;
    others.set(path, known.add(date));
    put(object, date);
    return false;
  }

  return {
    add(object, alsoOn) {
      const dates = foretoldDates(object);
      for (const date of dates) if (isSelectedDay(date, selection)) put(object, date);
      if (dates.size > 1) others.set(pathOf(object.key), dates);
      for (const date of alsoOn) if (isSelectedDay(date, selection)) learn(object, date);
    },
    learn,
    dates: () => [...lists.keys()].sort(),
    partitionsOf: (date) => lists.get(date)?.partitions() ?? [],
    sourcesOf: (date) =>
      (lists.get(date)?.partitions() ?? []).flatMap(({ recovered, others: inOrder }) =>
        [...recovered, ...inOrder()].map(({ key, sizeBytes, parts }) => ({
          path: pathOf(key),
          sizeBytes,
          ...(parts.date !== date && { isOfOtherDay: true }),
        })),
      ),
  };
}

/** Days on which its messages were published, by its key and by what is said about it. */
function foretoldDates({ parts, facts }: Pick<ArchiveObject, 'parts' | 'facts'>): Set<string> {
  const dates = new Set([parts.date]);
  const { firstPublishTimeMs, lastPublishTimeMs, earliestPublishTimeMs, latestPublishTimeMs } = facts;
  const times = [firstPublishTimeMs, lastPublishTimeMs, earliestPublishTimeMs, latestPublishTimeMs];
  for (const timeMs of times) if (timeMs !== undefined) dates.add(dateOf(timeMs as TimeMs));
  const known = datesOf(facts);
  const [from, to] = [Math.min(...known), Math.max(...known)];
  if (known.length > 0 && to - from < MAX_DAYS * DAY_MS)
    for (let date = dateOf(from); date < dateOf(to); date = daysAfter(date, 1)) dates.add(date);
  return dates;
}

/** Whether the day has a time that is selected. Times that no date holds are on its first or last day. */
export function isSelectedDay(date: string, { fromMs, toMs }: Selection): boolean {
  return (fromMs === undefined || date >= dateOf(fromMs)) && (toMs === undefined || date <= dateOf(toMs - 1));
}

/** Where the selection begins or ends within the day; nothing where it has all of it. */
export function cutOf(date: string, { fromMs, toMs }: Selection): { fromMs?: number; toMs?: number } {
  const startMs = Date.parse(date);
  return {
    ...(fromMs !== undefined && dateOf(fromMs) === date && fromMs > startMs && { fromMs }),
    ...(toMs !== undefined && dateOf(toMs - 1) === date && toMs < startMs + DAY_MS && { toMs }),
  };
}
