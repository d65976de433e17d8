// The facts about a topic's objects from the runs' manifests, read date by date beside a listing: those of the days
// on which the objects were stored, never all at once. The listing remains the source of truth.
import type { ManifestObject } from '../../format/run-manifest.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { ListedObject } from '../../ports.ts';
import { type DateRange, daysAfter, isInRange } from './listing.ts';
import { pathOf } from './manifest-content.ts';

/** Objects of manifests that are read ahead: an archive with fewer is joined whatever the dates of its manifests. */
const AHEAD = 10_000;
/** So many are held before those of earlier dates go, and those of later ones, which are read again then. */
const MAX_HELD = 40_000;
/** Dates that are read at a time while there is room for more. */
const DATES_AT_ONCE = 4;
/** Manifests that are read at a time, and about so many bytes of them: one of a command names thousands of objects. */
const PARALLEL = 16;
const BYTES_AT_ONCE = 2_000_000;

/** Where the manifests are. */
export interface ManifestSource {
  /** Those of runs of this date. */
  list(date: string): Promise<readonly ListedObject[]>;
  /** The objects that one names. `isAgain`: it was read before. */
  read(manifest: ListedObject, isAgain: boolean): Promise<readonly ManifestObject[]>;
}

/** A manifest, and the first and the last date of the objects that it names. */
interface ReadFile {
  readonly listed: ListedObject;
  /** Of the run. */
  readonly date: string;
  readonly from: string;
  readonly until: string;
}

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

/** Over `dates` that have manifests, ascending. Of their objects those of dates that are asked for, below `folder`. */
export function createManifestIndex(
  dates: readonly string[],
  asked: DateRange | undefined,
  folder: string,
  source: ManifestSource,
): ManifestIndex {
  /** What was not taken, by its path. */
  const held = new Map<string, ManifestObject>();
  /** The paths that manifests of a date name. */
  const pathsOf = new Map<string, string[]>();
  const left: ManifestObject[] = [];
  const loaded = new Set<string>();
  /** Manifests that name objects of dates behind `near`. */
  const far = new Map<string, ReadFile>();
  /** The date that is listed. */
  let near = '';
  /** Objects of later dates are not held, since there was no room. */
  let horizon: string | undefined;
  let next = 0;

  async function read(wanted: readonly string[]): Promise<void> {
    const fresh = wanted.filter((date) => !loaded.has(date));
    for (const date of fresh) loaded.add(date);
    const lists = await Promise.all(fresh.map((date) => source.list(date)));
    const files = lists.flatMap((list, i) =>
      list.map((listed) => ({ listed, date: fresh[i] as string, from: '', until: '' })),
    );
    await readFiles(files, '');
  }

  /** Adds the objects of these manifests whose dates are behind `above`; up to there they were read before. */
  async function readFiles(files: readonly ReadFile[], above: string): Promise<void> {
    const largest = files.reduce((most, { listed }) => Math.max(most, listed.sizeBytes), 1);
    const width = Math.max(1, Math.min(PARALLEL, Math.floor(BYTES_AT_ONCE / largest)));
    function* needed() {
      for (const file of files) if (horizon === undefined || file.from <= horizon) yield file;
    }
    const reading = async (file: ReadFile) => ({
      file,
      objects: await source.read(file.listed, above !== ''),
    });
    for await (const { file, objects } of mapInOrder(needed(), width, reading)) add(file, objects, above);
  }

  function add({ listed, date: runDate }: ReadFile, objects: readonly ManifestObject[], above: string): void {
    let paths = pathsOf.get(runDate);
    let [from, until] = ['9999-99', ''];
    let [date, dateFolder] = ['', '\0'];
    for (const object of objects) {
      const path = pathOf(object.key);
      if (!path.startsWith(dateFolder)) {
        if (!path.startsWith(folder)) continue;
        date = dateIn(path);
        dateFolder = `${folder}date=${date}/`;
        if (date < from) from = date;
        if (date > until) until = date;
      }
      if (date <= above || (horizon !== undefined && date > horizon) || !isInRange(date, asked)) continue;
      if (paths === undefined) {
        paths = [];
        pathsOf.set(runDate, paths);
      }
      paths.push(path);
      if (isBetter(object, held.get(path))) held.set(path, object);
    }
    if (until > near) far.set(listed.key, { listed, date: runDate, from, until });
    if (held.size > MAX_HELD && (horizon === undefined || horizon > nearEnd())) makeRoom();
  }

  const dateIn = (path: string): string => path.slice(folder.length + 5, folder.length + 15);
  const nearEnd = (): string => (near === '' ? '' : daysAfter(near, 1));

  /** Lets go of what is far behind the date that is listed. */
  function makeRoom(): void {
    const counts = new Map<string, number>();
    for (const path of held.keys()) counts.set(dateIn(path), (counts.get(dateIn(path)) ?? 0) + 1);
    const ascending = [...counts.keys()].sort();
    let least = nearEnd();
    if (least < (ascending[0] ?? '')) least = ascending[0] as string;
    horizon = least;
    let kept = 0;
    for (const date of ascending) {
      kept += counts.get(date) ?? 0;
      if (kept > (MAX_HELD * 3) / 4) break;
      if (date > horizon) horizon = date;
    }
    for (const path of [...held.keys()]) if (dateIn(path) > horizon) held.delete(path);
    for (const [date, paths] of pathsOf)
      pathsOf.set(
        date,
        paths.filter((path) => held.has(path)),
      );
  }

  /** Reads again what was let go, as far as there is room now. */
  async function readOn(): Promise<void> {
    const above = horizon ?? '';
    horizon = undefined;
    const files = [...far.values()].filter(({ until }) => until > above);
    await readFiles(
      files.sort((a, b) => (a.from < b.from ? -1 : 1)),
      above,
    );
  }

  /** The listing has come to this date. */
  async function moveTo(date: string): Promise<void> {
    if (date <= near) return;
    near = date;
    if (horizon !== undefined && nearEnd() > horizon) await readOn();
    for (const [key, { until }] of far) if (until <= near) far.delete(key);
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
      await moveTo(date);
      forget(daysAfter(date, -1));
      const end = daysAfter(date, 1);
      let upTo = next;
      while (upTo < dates.length && (dates[upTo] as string) <= end) upTo++;
      for (let to = next; to < upTo; ) {
        to = Math.min(upTo, to + DATES_AT_ONCE);
        // For a late date, entries far before it are no longer needed.
        await readNext(to);
        forget(dates[to - 1] ?? '');
      }
      while (asked === undefined && next < dates.length && held.size < AHEAD && horizon === undefined)
        await readNext(Math.min(dates.length, next + 1));
    },
    on: (wanted) => read([...wanted].filter((date) => dates.includes(date))),
    async further() {
      if (next >= dates.length || held.size >= MAX_HELD || horizon !== undefined) return false;
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
      while (horizon !== undefined) {
        for (const path of [...held.keys()]) left.push(take(path) as ManifestObject);
        near = horizon;
        await readOn();
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
