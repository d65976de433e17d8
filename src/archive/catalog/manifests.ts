// The manifests of an archive, found by rule and date: those that may be of a topic, and no others. It keeps none of them.
import { dateOf, parseManifestSpan, parseManifestStart } from '../../format/object-key.ts';
import { COMMAND_REQUEST_IDS, type ManifestObject, type RecoveredRaw } from '../../format/run-manifest.ts';
import { readIfThere } from '../../format/stored-object.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import {
  CLOCK_SLACK_MS,
  type DateRange,
  daysAfter,
  isInRange,
  MAX_FOREIGN,
  type TimeRange,
} from './listing.ts';
import {
  dateOfPath,
  folderOf,
  type Manifest,
  mayBeWithin,
  mayTellOf,
  parseManifest,
  pathOf,
} from './manifest-content.ts';
import { createManifestIndex, type ManifestIndex } from './manifest-index.ts';
import { isOfCommand } from './manifest-link.ts';

/** Requests at a time. */
const PARALLEL = 16;
/** Dates that are listed at a time. */
const DATES_AT_ONCE = 16;
/** So many days are looked into for the newest manifest of a run. */
const NEWEST_DATES = 3;
/** Two versions of a rule's function may run side by side for so long. */
const MIXED_VERSIONS_MS = 86_400_000;

/** What was read of manifests, whatever topic they are of. */
export interface ManifestTally {
  manifests: number;
  /** Keys of those that cannot be read as such. */
  readonly bad: string[];
  /** Files of others between them, by key: what a desktop or a broken download leaves in a copy. */
  readonly foreign: Map<string, ListedObject>;
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
   * What manifests say about objects under other dates than these whose messages were published between these times, or may
   * have been. @throws BackupError `store`
   */
  outOf(topic: string, dates: DateRange, time: TimeRange): Promise<readonly ManifestObject[]>;
  /** Reads what is in no folder of a rule and a date, and where asked the manifests that `archive recover` left. */
  readOthers(withRecovered: boolean): Promise<void>;
  /** The full names of all topics that a manifest names, as far as it takes few manifests to know. */
  topics(): Promise<readonly string[]>;
}

/**
 * The manifests under `prefix`; reads nothing before it is asked. `isLeftOut`: what a copy is without, which they name all
 * the same; nothing is answered of it. `isAgain`: it was asked for this one before.
 */
export function createManifests(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
  isLeftOut: (object: ManifestObject, isAgain: boolean) => boolean = () => false,
): Manifests {
  const tally: ManifestTally = {
    ...{ manifests: 0, bad: [], foreign: new Map(), recovered: [] },
    partitionCounts: new Map(),
  };
  const slots = createSlots(PARALLEL);
  const seen = new Set<string>();
  let listing: Promise<readonly Rule[]> | undefined;
  let grouping: ReturnType<typeof groupRules> | undefined;
  const strays: string[] = [];

  /** Each rule's folder, and the dates in it. */
  async function listRules(): Promise<readonly Rule[]> {
    const folders: string[] = [];
    for await (const item of store.listFolder(`${prefix}_runs/`, call))
      if (item.kind === 'folder') folders.push(item.key);
      else if (isManifest(item.object)) strays.push(item.key);
    return Promise.all(folders.map((folder) => slots.run(() => listDates(folder))));
  }

  async function listDates(folder: string): Promise<Rule> {
    const dates: string[] = [];
    for await (const item of store.listFolder(folder, call)) {
      const { kind, key } = item;
      const date = /^date=(\d{4}-\d{2}-\d{2})\/$/.exec(key.slice(folder.length))?.[1];
      if (kind === 'object') {
        if (isManifest(item.object)) strays.push(key);
      } else if (date !== undefined) dates.push(date);
      else for await (const listed of store.list(key, call)) if (isManifest(listed)) strays.push(listed.key);
    }
    return { folder, dates };
  }

  const rules = () => {
    listing ??= listRules();
    return listing;
  };

  async function listDate(rule: Rule, date: string): Promise<ListedObject[]> {
    const found: ListedObject[] = [];
    for await (const listed of store.list(`${rule.folder}date=${date}/`, call))
      if (isManifest(listed)) found.push(listed);
    return found;
  }

  const keysOf = async (rule: Rule, date: string) => (await listDate(rule, date)).map(({ key }) => key);

  /** By its name, whether it is to be one: what it holds may be damaged. */
  function isManifest(listed: ListedObject): boolean {
    if (/\/[^/.][^/]*\.json$/.test(listed.key)) return true;
    // Consoles and tools make folders as objects of no bytes.
    if (!listed.key.endsWith('/') && tally.foreign.size < MAX_FOREIGN) tally.foreign.set(listed.key, listed);
    return false;
  }

  async function read(key: string): Promise<Manifest | undefined> {
    const bytes = await readIfThere(store, key, call);
    if (bytes === undefined) return undefined;
    const manifest = parseManifest(bytes);
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
   * The topics of a rule's manifests: it drains one, so the first and the last that it left show it. `undefined`: any, as
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
    return createManifestIndex([...byDate.keys()].sort(), dates, `${folderOf(topic)}/`, {
      list: async (date) =>
        (await Promise.all((byDate.get(date) ?? []).map((rule) => listDate(rule, date)))).flat(),
      read: ({ key }, isAgain) =>
        slots.run(async () => ((await read(key))?.objects ?? []).filter((one) => !isLeftOut(one, isAgain))),
    });
  }

  async function outOf(topic: string, dates: DateRange, time: TimeRange): Promise<ManifestObject[]> {
    const found = new Map<string, ManifestObject>();
    const folder = `${folderOf(topic)}/`;
    const collect = async (key: string) => {
      const bytes = await readIfThere(store, key, call);
      if (bytes === undefined || !mayTellOf(bytes, time)) return;
      for (const object of parseManifest(bytes)?.objects ?? []) {
        const path = pathOf(object.key);
        const isElsewhere = path.startsWith(folder) && !isInRange(dateOfPath(path), dates);
        if (isElsewhere && mayBeWithin(object, time) && !isLeftOut(object, false)) found.set(path, object);
      }
    };
    for (const rule of await rulesOf(topic)) {
      const sinceMs = await spansInKeysSince(rule);
      for (let at = 0; at < rule.dates.length; at += DATES_AT_ONCE) {
        const some = rule.dates.slice(at, at + DATES_AT_ONCE).map((date) => keysOf(rule, date));
        const keys = (await Promise.all(some)).flat().filter((key) => mayNameOutOfDate(key, sinceMs, time));
        await Promise.all(keys.map((key) => slots.run(() => collect(key))));
      }
    }
    return [...found.values()];
  }

  /** Since when keys of the rule's manifests name the days of messages that are out of their date, by its newest one. */
  async function spansInKeysSince(rule: Rule): Promise<number | undefined> {
    for (const date of rule.dates.slice(-NEWEST_DATES).reverse()) {
      const key = (await keysOf(rule, date)).filter((one) => !isOfCommand(one)).at(-1);
      if (key !== undefined) return (await read(key))?.spansInKeysSinceMs;
    }
    return undefined;
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

/** Whether the manifest may name objects of other dates with messages of that time, by its key. */
function mayNameOutOfDate(key: string, sinceMs: number | undefined, { fromMs, toMs }: TimeRange): boolean {
  const startedAtMs = parseManifestStart(key);
  const isBefore = sinceMs === undefined || !((startedAtMs ?? 0) >= sinceMs + MIXED_VERSIONS_MS);
  if (isBefore || isOfCommand(key)) return true;
  const span = parseManifestSpan(key);
  return (
    span !== undefined &&
    (fromMs === undefined || span.until >= dateOf(fromMs - CLOCK_SLACK_MS)) &&
    (toMs === undefined || span.from <= dateOf(toMs + CLOCK_SLACK_MS))
  );
}

interface Rule {
  readonly folder: string;
  /** Ascending. */
  readonly dates: readonly string[];
}
