// What the manifests of the runs say about the objects of one topic, read date by date beside a listing: those of the days
// on which its objects were stored, and never all of them at once. A hint for what is listed; the listing is the truth.
import { dateOf } from '../format/object-key.ts';
import { isDate, parseTime } from '../format/record.ts';
import {
  COMMAND_REQUEST_IDS,
  type ManifestObject,
  type RecoveredRaw,
  RUN_MANIFEST_FORMAT,
} from '../format/run-manifest.ts';
import { readWhole } from '../format/stored-object.ts';
import { createSlots } from '../lib/semaphore.ts';
import type { CallOptions, ObjectStore, TimeMs } from '../ports.ts';
import { isOfCommand } from './chain/manifest-link.ts';
import { CLOCK_SLACK_MS, type DateRange, daysAfter, isInRange, type TimeRange } from './listing.ts';

/** Requests at a time. */
const PARALLEL = 16;
/** Objects of manifests that are read ahead: an archive with fewer is joined whatever the dates of its manifests. */
const AHEAD = 10_000;
/** So many are held before those of earlier dates go. */
const MAX_HELD = 40_000;
/** Dates that are read at a time while there is room for more. */
const DATES_AT_ONCE = 4;
const OBJECT_PATH_DEPTH = 6;

/** The key below the archive's prefix: the same in the bucket and in a copy of it. */
export function pathOf(key: string): string {
  let at = key.length;
  for (let level = 0; level < OBJECT_PATH_DEPTH && at > 0; level++) at = key.lastIndexOf('/', at - 1);
  return key.slice(at + 1);
}

/** What was read of manifests, whatever topic they are of. */
export interface ManifestTally {
  manifests: number;
  /** Keys of those that cannot be read as such. */
  readonly bad: string[];
  readonly recovered: RecoveredRaw[];
  /** The most partitions that a manifest names, by the topic's full name; 0 for a plain topic. */
  readonly partitionCounts: Map<string, number>;
}

/** The manifests of an archive; see `ofTopic`. */
export interface Manifests {
  readonly tally: ManifestTally;
  /** An index for the objects of a topic (full name), as they are listed: dates ascending. */
  ofTopic(topic: string, dates: DateRange | undefined): Promise<ManifestIndex>;
  /**
   * What manifests say of objects under other dates than these whose messages were published between these times, or may
   * have been. @throws BackupError `store`
   */
  outOf(topic: string, dates: DateRange, time: TimeRange): Promise<readonly ManifestObject[]>;
  /** Reads what is in no folder of a rule and a date, and where asked the manifests that `archive recover` left. */
  readOthers(withRecovered: boolean): Promise<void>;
  /** The full names of all topics that a manifest names, as far as it takes few manifests to know. */
  topics(): Promise<readonly string[]>;
}

export interface ManifestIndex {
  /** Reads what runs of about this date left, and more where there is room. */
  around(date: string): Promise<void>;
  /** Reads what runs of exactly these dates left. */
  on(dates: Iterable<string>): Promise<void>;
  /** Reads on where the last `around` stopped; false: there is nothing more, or no room for it. */
  further(): Promise<boolean>;
  /** What a manifest says of the object at this path (`pathOf`). Once for each. */
  take(path: string): ManifestObject | undefined;
  /** Reads all that was not read, as far as these dates go, and gives what was not taken. Call it last. */
  end(): Promise<readonly ManifestObject[]>;
}

/** The manifests under `prefix`; reads nothing before it is asked. */
export function createManifests(store: ObjectStore, prefix: string, call: CallOptions): Manifests {
  const tally: ManifestTally = { manifests: 0, bad: [], recovered: [], partitionCounts: new Map() };
  const slots = createSlots(PARALLEL);
  const seen = new Set<string>();
  let listing: Promise<readonly Rule[]> | undefined;
  let grouping: ReturnType<typeof groupRules> | undefined;
  const strays: string[] = [];

  /** Each rule's folder, and the dates in it. */
  async function listRules(): Promise<readonly Rule[]> {
    const folders: string[] = [];
    for await (const { kind, key } of store.listFolder(`${prefix}_runs/`, call))
      if (kind === 'folder') folders.push(key);
      else strays.push(key);
    return Promise.all(folders.map((folder) => slots.run(() => listDates(folder))));
  }

  async function listDates(folder: string): Promise<Rule> {
    const dates: string[] = [];
    for await (const { kind, key } of store.listFolder(folder, call)) {
      const date = /^date=(\d{4}-\d{2}-\d{2})\/$/.exec(key.slice(folder.length))?.[1];
      if (kind === 'folder' && date !== undefined) dates.push(date);
      else if (kind === 'object') strays.push(key);
      else for await (const listed of store.list(key, call)) strays.push(listed.key);
    }
    return { folder, dates };
  }

  const rules = () => {
    listing ??= listRules();
    return listing;
  };

  async function keysOf(rule: Rule, date: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of store.list(`${rule.folder}date=${date}/`, call)) keys.push(key);
    return keys;
  }

  async function read(key: string): Promise<Manifest | undefined> {
    const manifest = await readManifest(store, key, call);
    if (seen.has(key)) return manifest;
    seen.add(key);
    if (manifest === undefined) tally.bad.push(key);
    else {
      tally.manifests++;
      tally.recovered.push(...manifest.recovered);
      const { partitionCounts } = tally;
      for (const [topic, isPartitioned] of manifest.topics) {
        const count = isPartitioned ? manifest.partitions : 0;
        partitionCounts.set(topic, Math.max(count, partitionCounts.get(topic) ?? 0));
      }
    }
    return manifest;
  }

  /**
   * The topics of a rule's manifests: it drains one, so the first and the last that it left tell it. `undefined`: any, as
   * those of commands may be.
   */
  async function topicsOf(rule: Rule): Promise<ReadonlySet<string> | undefined> {
    const topics = new Set<string>();
    for (const [date, at] of [[rule.dates[0], 0] as const, [rule.dates.at(-1), -1] as const]) {
      const key = date === undefined ? undefined : (await keysOf(rule, date)).at(at);
      if (key === undefined) continue;
      const manifest = isOfCommand(key) ? undefined : await read(key);
      if (manifest === undefined || manifest.topics.size === 0) return undefined;
      for (const one of manifest.topics.keys()) topics.add(one);
    }
    return topics;
  }

  /** The rules of each topic, and those of any. */
  async function groupRules() {
    const byTopic = new Map<string, Rule[]>();
    const ofAny: Rule[] = [];
    const all = await rules();
    const topics = await Promise.all(all.map((rule) => slots.run(() => topicsOf(rule))));
    for (const [i, rule] of all.entries()) {
      const own = topics[i];
      if (own === undefined) ofAny.push(rule);
      for (const topic of own ?? []) byTopic.set(topic, [...(byTopic.get(topic) ?? []), rule]);
    }
    return { byTopic, ofAny };
  }

  async function rulesOf(topic: string): Promise<readonly Rule[]> {
    const all = await rules();
    if (all.length < 2) return all;
    grouping ??= groupRules();
    const { byTopic, ofAny } = await grouping;
    return [...(byTopic.get(topic) ?? []), ...ofAny];
  }

  async function ofTopic(topic: string, dates: DateRange | undefined): Promise<ManifestIndex> {
    const own = await rulesOf(topic);
    const from = dates?.from === undefined ? undefined : daysAfter(dates.from, -1);
    const byDate = new Map<string, Rule[]>();
    for (const rule of own)
      for (const date of rule.dates) {
        if (from !== undefined && date < from) continue;
        const list = byDate.get(date);
        if (list === undefined) byDate.set(date, [rule]);
        else list.push(rule);
      }
    const folder = `${folderOf(topic)}/`;
    return createIndex([...byDate.keys()].sort(), dates, async (date) => {
      const keys = (await Promise.all((byDate.get(date) ?? []).map((rule) => keysOf(rule, date)))).flat();
      const found = keys.map((key) => slots.run(async () => (await read(key))?.objects ?? []));
      const objects = (await Promise.all(found)).flat();
      return objects.filter(({ key }) => pathOf(key).startsWith(folder));
    });
  }

  async function outOf(topic: string, dates: DateRange, time: TimeRange): Promise<ManifestObject[]> {
    const found = new Map<string, ManifestObject>();
    const folder = `${folderOf(topic)}/`;
    const collect = async (key: string) => {
      const bytes = await readWhole(store, key, call);
      if (!mayTellOf(bytes, time)) return;
      for (const object of parseManifest(bytes)?.objects ?? []) {
        const path = pathOf(object.key);
        const isElsewhere = path.startsWith(folder) && !isInRange(dateOfPath(path), dates);
        if (isElsewhere && mayBeWithin(object, time)) found.set(path, object);
      }
    };
    for (const rule of await rulesOf(topic))
      for (let at = 0; at < rule.dates.length; at += DATES_AT_ONCE) {
        const some = rule.dates.slice(at, at + DATES_AT_ONCE).map((date) => keysOf(rule, date));
        const keys = (await Promise.all(some)).flat();
        await Promise.all(keys.map((key) => slots.run(() => collect(key))));
      }
    return [...found.values()];
  }

  return {
    tally,
    ofTopic,
    outOf,
    async topics() {
      grouping ??= groupRules();
      await grouping;
      return [...tally.partitionCounts.keys()];
    },
    async readOthers(withRecovered) {
      const all = await rules();
      const others = [...strays];
      for (const rule of withRecovered ? all : [])
        for await (const { key } of store.list(rule.folder, call))
          if (key.endsWith(`-${COMMAND_REQUEST_IDS.recover}.json`)) others.push(key);
      await Promise.all(others.filter((key) => !seen.has(key)).map((key) => slots.run(() => read(key))));
    },
  };
}

interface Rule {
  readonly folder: string;
  /** Ascending. */
  readonly dates: readonly string[];
}

/** Over `dates` that have manifests, ascending; `load` reads those of a date. */
function createIndex(
  dates: readonly string[],
  asked: DateRange | undefined,
  load: (date: string) => Promise<ManifestObject[]>,
): ManifestIndex {
  /** What was not taken, by the date of the manifest and the path. */
  const held = new Map<string, Map<string, ManifestObject>>();
  const left: ManifestObject[] = [];
  const loaded = new Set<string>();
  let count = 0;
  let next = 0;

  async function read(wanted: readonly string[]): Promise<void> {
    const fresh = wanted.filter((date) => !loaded.has(date));
    for (const date of fresh) loaded.add(date);
    const found = await Promise.all(fresh.map(load));
    for (const [i, objects] of found.entries()) {
      const own = new Map<string, ManifestObject>();
      for (const object of objects) {
        const path = pathOf(object.key);
        if (isBetter(object, own.get(path))) own.set(path, object);
      }
      count += own.size;
      if (own.size > 0) held.set(fresh[i] as string, own);
    }
  }

  /** Lets go of what earlier dates have left, where there is no room for all. */
  function forget(before: string): void {
    for (const [date, own] of held) {
      if (count <= MAX_HELD) return;
      if (date >= before) continue;
      held.delete(date);
      count -= own.size;
      for (const object of own.values()) left.push(object);
    }
  }

  function take(path: string): ManifestObject | undefined {
    let best: ManifestObject | undefined;
    for (const [date, own] of held) {
      const object = own.get(path);
      if (object === undefined) continue;
      if (isBetter(object, best)) best = object;
      own.delete(path);
      count--;
      if (own.size === 0) held.delete(date);
    }
    return best;
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
      while (asked === undefined && next < dates.length && count < AHEAD)
        await readNext(Math.min(dates.length, next + 1));
    },
    on: (wanted) => read([...wanted].filter((date) => dates.includes(date))),
    async further() {
      if (next >= dates.length || count >= MAX_HELD) return false;
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
      return [...left, ...[...held.values()].flatMap((own) => [...own.values()])];
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

interface Manifest {
  readonly objects: readonly ManifestObject[];
  readonly partitions: number;
  readonly recovered: readonly RecoveredRaw[];
  /** By full name: whether it names partitions of it. */
  readonly topics: ReadonlyMap<string, boolean>;
}

/** `persistent://` is not part of keys. */
const folderOf = (topic: string): string => topic.slice(topic.indexOf('://') + 3);

/** The `date=` of an object's path. */
export const dateOfPath = (path: string): string => path.split('/date=').at(-1)?.slice(0, 10) ?? '';

const PUBLISH_TIME = /"(?:first|last|earliest|latest)PublishTime"\s*:\s*"([^"]*)"/g;

/** Whether a manifest may name an object with messages of that time: without parsing it, which takes twenty times as long. */
function mayTellOf(bytes: Buffer, { fromMs, toMs }: TimeRange): boolean {
  let least = '9999-99';
  let greatest = '';
  for (const [, text = ''] of bytes.toString('latin1').matchAll(PUBLISH_TIME)) {
    if (!/^\d{4}-\d{2}-\d{2}T/.test(text)) return true;
    const date = text.slice(0, 10);
    if (date < least) least = date;
    if (date > greatest) greatest = date;
  }
  if (greatest === '') return true;
  return (
    (fromMs === undefined || greatest >= dateOf(fromMs - CLOCK_SLACK_MS)) &&
    (toMs === undefined || least <= dateOf(toMs + CLOCK_SLACK_MS))
  );
}

/** Whether messages of the object were published then, by its manifest; an end that is no date says nothing of the others. */
function mayBeWithin(object: ManifestObject, { fromMs, toMs }: TimeRange): boolean {
  const { firstPublishTime, lastPublishTime, earliestPublishTime, latestPublishTime } = object;
  const ends = [firstPublishTime, lastPublishTime].map((text) => parseTime(text));
  if (!ends.every((timeMs) => timeMs !== undefined && isDate(timeMs))) return true;
  const between = [earliestPublishTime, latestPublishTime].flatMap((text) => parseTime(text ?? '') ?? []);
  const times = [...(ends as TimeMs[]), ...between];
  return (
    (fromMs === undefined || times.some((timeMs) => timeMs >= fromMs - CLOCK_SLACK_MS)) &&
    (toMs === undefined || times.some((timeMs) => timeMs < toMs + CLOCK_SLACK_MS))
  );
}

async function readManifest(
  store: ObjectStore,
  key: string,
  call: CallOptions,
): Promise<Manifest | undefined> {
  return parseManifest(await readWhole(store, key, call));
}

function parseManifest(bytes: Buffer): Manifest | undefined {
  try {
    const { format, storedObjects, partitions, recovered, topic } = JSON.parse(bytes.toString('utf8'));
    if (format !== RUN_MANIFEST_FORMAT || !Array.isArray(storedObjects)) return undefined;
    const objects: ManifestObject[] = storedObjects.filter(({ key: one }) => typeof one === 'string');
    const topics = new Map<string, boolean>(typeof topic === 'string' ? [[topic, false]] : []);
    let folder: string | undefined;
    for (const object of objects) {
      // Nearly all are of one topic.
      if (folder !== undefined && object.partition >= 0 && object.key.includes(folder)) continue;
      const name = topicOf(object.key);
      if (topics.get(name) !== true) topics.set(name, object.partition >= 0);
      if (object.partition >= 0) folder = `${folderOf(name)}/date=`;
    }
    return {
      objects,
      topics,
      partitions: Number.isInteger(partitions) ? partitions : 0,
      recovered: Array.isArray(recovered) ? recovered : [],
    };
  } catch {
    return undefined;
  }
}

/** The full name of the topic that a key is of. */
export function topicOf(key: string): string {
  const [tenant, namespace, topic] = key.split('/').slice(-OBJECT_PATH_DEPTH);
  return `persistent://${tenant}/${namespace}/${topic}`;
}
