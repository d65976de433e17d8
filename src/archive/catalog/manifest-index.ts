// What the manifests of the runs say about the objects of one topic, read date by date beside a listing: those of the days
// on which its objects were stored, and never all of them at once. A hint for what is listed; the listing is the truth.
import type { ManifestObject } from '../../format/run-manifest.ts';
import { type DateRange, daysAfter } from './listing.ts';
import { pathOf } from './manifest-content.ts';

/** Objects of manifests that are read ahead: an archive with fewer is joined whatever the dates of its manifests. */
const AHEAD = 10_000;
/** So many are held before those of earlier dates go. */
const MAX_HELD = 40_000;
/** Dates that are read at a time while there is room for more. */
const DATES_AT_ONCE = 4;

/** See Manifests.ofTopic. */
export interface ManifestIndex {
  /** Reads what runs of about this date left, and more where there is room. */
  around(date: string): Promise<void>;
  /** Reads what runs of exactly these dates left. */
  on(dates: Iterable<string>): Promise<void>;
  /** Reads on where the last `around` stopped; false: there is nothing more, or no room for it. */
  further(): Promise<boolean>;
  /** What a manifest says about the object at this path (`pathOf`). Once for each. */
  take(path: string): ManifestObject | undefined;
  /** Reads all that was not read, as far as these dates go, and gives what was not taken. Call it last. */
  end(): Promise<readonly ManifestObject[]>;
}

/** Over `dates` that have manifests, ascending; `load` reads those of a date. Of their objects those whose paths begin with `folder`. */
export function createManifestIndex(
  dates: readonly string[],
  asked: DateRange | undefined,
  folder: string,
  load: (date: string) => Promise<ManifestObject[]>,
): ManifestIndex {
  /** What was not taken, by its path. */
  const held = new Map<string, ManifestObject>();
  /** The paths that manifests of a date name. */
  const pathsOf = new Map<string, readonly string[]>();
  const left: ManifestObject[] = [];
  const loaded = new Set<string>();
  let next = 0;

  async function read(wanted: readonly string[]): Promise<void> {
    const fresh = wanted.filter((date) => !loaded.has(date));
    for (const date of fresh) loaded.add(date);
    const found = await Promise.all(fresh.map(load));
    for (const [i, objects] of found.entries()) {
      const paths: string[] = [];
      for (const object of objects) {
        const path = pathOf(object.key);
        if (!path.startsWith(folder)) continue;
        paths.push(path);
        if (isBetter(object, held.get(path))) held.set(path, object);
      }
      if (paths.length > 0) pathsOf.set(fresh[i] as string, paths);
    }
  }

  /** Lets go of what earlier dates have left, where there is no room for all. */
  function forget(before: string): void {
    for (const [date, paths] of pathsOf) {
      if (date >= before) continue;
      const rest = paths.filter((path) => held.has(path));
      if (held.size <= MAX_HELD && rest.length > 0) {
        if (rest.length < paths.length) pathsOf.set(date, rest);
        continue;
      }
      pathsOf.delete(date);
      for (const path of rest) left.push(take(path) as ManifestObject);
    }
  }

  function take(path: string): ManifestObject | undefined {
    const object = held.get(path);
    if (object !== undefined) held.delete(path);
    return object;
  }

  async function readNext(upTo: number): Promise<void> {
    const wanted = dates.slice(next, upTo);
    next = Math.max(next, upTo);
    await read(wanted);
  }

  return {
    async around(date) {
      forget(daysAfter(date, -1));
      const end = daysAfter(date, 1);
      let upTo = next;
      while (upTo < dates.length && (dates[upTo] as string) <= end) upTo++;
      for (let to = next; to < upTo; ) {
        to = Math.min(upTo, to + DATES_AT_ONCE);
        // A date that comes late has a long way to go: what is far before it is no longer of use.
        await readNext(to);
        forget(dates[to - 1] ?? '');
      }
      while (asked === undefined && next < dates.length && held.size < AHEAD)
        await readNext(Math.min(dates.length, next + 1));
    },
    on: (wanted) => read([...wanted].filter((date) => dates.includes(date))),
    async further() {
      if (next >= dates.length || held.size >= MAX_HELD) return false;
      await readNext(Math.min(dates.length, next + 1));
      return true;
    },
    take,
    async end() {
      const until = asked?.until === undefined ? undefined : daysAfter(asked.until, 1);
      while (next < dates.length && (until === undefined || (dates[next] as string) <= until)) {
        await readNext(Math.min(dates.length, next + DATES_AT_ONCE));
        forget(dates[next - 1] ?? '');
      }
      return [...left, ...held.values()];
    },
  };
}

/** What the run itself stored is better known to it than to one that found it there. */
const isBetter = (object: ManifestObject, other: ManifestObject | undefined): boolean =>
  other?.alreadyStored !== false || !object.alreadyStored;

/** An index of what is known already. */
export function indexOf(objects: readonly ManifestObject[]): ManifestIndex {
  const byPath = new Map(objects.map((object) => [pathOf(object.key), object]));
  const nothing = async () => undefined;
  return {
    around: nothing,
    on: nothing,
    further: async () => false,
    take: (path) => byPath.get(path),
    end: async () => [],
  };
}
