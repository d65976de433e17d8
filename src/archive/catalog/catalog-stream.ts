// Streams the catalog of an archive: objects in listing order, with the facts from the manifests of the days around
// them. Facts that need the whole listing follow at the end.
import { type ObjectKeyParts, parseObjectKey } from '../../format/object-key.ts';
import type { ManifestObject, RecoveredRaw } from '../../format/run-manifest.ts';
import { eachOf } from '../../lib/each-of.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import type { ArchiveObject, RawObject, Surroundings } from './catalog.ts';
import { type CopyScope, readCopyScope } from './copy-scope.ts';
import {
  type DateRange,
  datesToList,
  isInRange,
  type ListedRecords,
  type ListOptions,
  listRecords,
  MAX_FOREIGN,
  type TimeRange,
} from './listing.ts';
import { dateOfPath, pathOf } from './manifest-content.ts';
import { indexOf, type ManifestIndex } from './manifest-index.ts';
import { createManifests } from './manifests.ts';
import { createDescribe, type DescribeOptions, fullTopic, type ListedRecord } from './object-facts.ts';
import { entryName, type ListedRaw, listRaw } from './raw-objects.ts';

/** Requests at a time. */
const PARALLEL = 16;
/** Objects that are worked on together. */
const CHUNK = 500;
/** How many paths are kept, to know without a request whether an object exists. */
const MAX_PATHS = 20_000;

export interface CatalogOptions extends ListOptions, DescribeOptions {
  /** Only objects that may hold messages of this time; with a topic. */
  readonly time?: TimeRange | undefined;
  readonly onProgress?: ((objects: number) => void) | undefined;
  /** What is known of the archive as a copy (copy-scope.ts); it is asked for where this is not given. */
  readonly scope?: CopyScope | 'none' | undefined;
  /** Called with objects that manifests list and the copy left out. */
  readonly onLeftOut?: ((object: ManifestObject) => void) | undefined;
}

/** An archive that is listed once, from end to end. */
export interface CatalogStream {
  /** By topic, date, partition as a text and place, as the keys are; with `time`, some of other dates at the end. */
  objects(): AsyncGenerator<ArchiveObject, void, undefined>;
  /** The same, several at a time. Instead of `objects`. */
  batches(): AsyncGenerator<readonly ArchiveObject[], void, undefined>;
  /** To be asked for when all objects have come. @throws BackupError `store` */
  surroundings(): Promise<Surroundings>;
}

/** Reads the catalog of the archive at `prefix` as a stream. @throws BackupError `store`, as it goes on */
export function streamCatalog(
  store: ObjectStore,
  prefix: string,
  options: CatalogOptions = {},
): CatalogStream {
  const { topic, time } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const slots = createSlots(PARALLEL);
  let scope = options.scope === 'none' ? undefined : options.scope;
  const manifests = createManifests(store, prefix, call, (object, isAgain) => {
    if (scope?.isLeftOut(object) !== true) return false;
    if (!isAgain) options.onLeftOut?.(object);
    return true;
  });
  const foreign: ListedObject[] = [];
  const missing: ManifestObject[] = [];
  const partitionCounts = new Map<string, number>();
  const streamed = new Set<string>();
  const paths = new Set<string>();
  const begun = new Set<string>();
  let dates: DateRange | undefined = options.dates;
  let raw: readonly ListedRaw[] = [];
  let withoutBytes: readonly string[] = [];
  let done = 0;

  async function* batches(): AsyncGenerator<readonly ArchiveObject[], void, undefined> {
    if (time !== undefined && topic !== undefined)
      dates = await datesToList(store, prefix, topic, time, call);
    ({ entries: raw, withoutBytes } = await listRaw(store, prefix, topic, call));
    if (options.scope === undefined) scope = await readCopyScope(store, prefix, call);
    const describe = createDescribe(store, rawNames(), describing());
    let index: ManifestIndex | undefined;
    let found: ListedRecord[] = [];

    async function describeFound(): Promise<ArchiveObject[]> {
      const [first] = found;
      if (first === undefined) return [];
      const name = fullTopic(first.parts);
      if (!streamed.has(name) || index === undefined) {
        if (index !== undefined) await endTopic(index);
        streamed.add(name);
        index = await manifests.ofTopic(name, dates);
      }
      const described = await describe(found, index);
      found = [];
      for (const { key, isRecovered, parts } of described) {
        if (parts.partition >= (partitionCounts.get(name) ?? 0))
          partitionCounts.set(name, parts.partition + 1);
        if (isRecovered) begun.add(entryName(name, parts.partition, parts));
        if (raw.length > 0 && paths.size < MAX_PATHS) paths.add(pathOf(key));
      }
      done += described.length;
      options.onProgress?.(done);
      return described;
    }

    for await (const batch of listRecords(store, prefix, { ...options, dates }))
      for (const one of batch) {
        if (!isRecord(one)) {
          if (foreign.length < MAX_FOREIGN) foreign.push(one.listed);
          continue;
        }
        const [first] = found;
        if (found.length >= CHUNK || (first !== undefined && !isSameTopic(first.parts, one.parts)))
          yield await describeFound();
        found.push(one);
      }
    if (found.length > 0) yield await describeFound();
    if (index !== undefined) await endTopic(index);
    if (time !== undefined && topic !== undefined && dates !== undefined)
      yield* outOfDates(topic.full, dates, time);
  }

  /** A copy in a bucket has lost the times by which manifests are found, as a local one has. */
  const describing = (): DescribeOptions => ({
    ...options,
    isMoved: options.isLocal === true || scope !== undefined,
  });

  const rawNames = () => new Set(raw.map((one) => entryName(one.topic, one.partition, one.id)));

  /** Objects under other dates that have messages of that time, by what manifests say. */
  async function* outOfDates(
    name: string,
    range: DateRange,
    wanted: TimeRange,
  ): AsyncGenerator<readonly ArchiveObject[], void, undefined> {
    const said = await manifests.outOf(name, range, wanted);
    const index = indexOf(said);
    const describe = createDescribe(store, rawNames(), describing());
    for (let at = 0; at < said.length; at += CHUNK) {
      const heads = said.slice(at, at + CHUNK).map((object) =>
        slots.run(async (): Promise<ListedRecord[]> => {
          const listed = await store.head(`${prefix}${pathOf(object.key)}`, call);
          if (listed === undefined) missing.push(object);
          const parts = parseObjectKey(prefix, listed?.key ?? '');
          return listed === undefined || parts === undefined ? [] : [{ listed, parts }];
        }),
      );
      yield await describe((await Promise.all(heads)).flat(), index);
    }
  }

  /** An unlisted object in a manifest may be new, or be listed twice. */
  async function endTopic(index: ManifestIndex): Promise<void> {
    const left = (await index.end()).filter(({ key }) => isInRange(dateOfPath(key), dates));
    const unlisted = new Map(left.map((object) => [pathOf(object.key), object]));
    await Promise.all(
      [...unlisted].map(([path, object]) =>
        slots.run(async () => {
          if ((await store.head(`${prefix}${path}`, call)) === undefined) missing.push(object);
        }),
      ),
    );
  }

  async function surroundings(): Promise<Surroundings> {
    // Topics of which nothing is left but manifests.
    const named = topic !== undefined ? [topic.full] : dates === undefined ? await manifests.topics() : [];
    for (const name of named)
      if (!streamed.has(name)) {
        streamed.add(name);
        await endTopic(await manifests.ofTopic(name, dates));
      }
    await manifests.readOthers(raw.length + withoutBytes.length > 0);
    const { tally } = manifests;
    for (const [name, count] of tally.partitionCounts)
      partitionCounts.set(name, Math.max(count, partitionCounts.get(name) ?? 0));
    const keysOfRaw = await recoveredByManifest(tally.recovered);
    return {
      missing: missing.sort((a, b) => (a.key < b.key ? -1 : 1)),
      raw: raw.map((one): RawObject => {
        const isBegun = begun.has(entryName(one.topic, one.partition, one.id));
        const recoveredBy = keysOfRaw.has(pathOf(one.key)) ? 'manifest' : isBegun ? 'object' : undefined;
        return { ...one, recoveredBy };
      }),
      rawWithoutBytes: withoutBytes.filter((key) => !keysOfRaw.has(pathOf(key))),
      foreign: [...foreign, ...tally.foreign.values()].slice(0, MAX_FOREIGN),
      partitionCounts,
      manifests: tally.manifests,
      badManifests: [...tally.bad].sort(),
    };
  }

  /** Paths of what was kept raw, and whose messages a manifest finds in objects that are there. */
  async function recoveredByManifest(recovered: readonly RecoveredRaw[]): Promise<ReadonlySet<string>> {
    const keysOfRaw = new Set<string>();
    const own = new Set([...raw.map(({ key }) => pathOf(key)), ...withoutBytes.map(pathOf)]);
    const isThere = (path: string) =>
      paths.has(path) || slots.run(async () => (await store.head(`${prefix}${path}`, call)) !== undefined);
    await Promise.all(
      recovered.map(async (one) => {
        if (!own.has(pathOf(one.raw))) return;
        const there = await Promise.all(one.objects.map((key) => isThere(pathOf(key))));
        if (there.every(Boolean)) keysOfRaw.add(pathOf(one.raw));
      }),
    );
    return keysOfRaw;
  }

  return { objects: () => eachOf(batches()), batches, surroundings };
}

const isRecord = (one: ListedRecords): one is ListedRecord => one.parts !== undefined;

const isSameTopic = (a: ObjectKeyParts, b: ObjectKeyParts): boolean =>
  a.topic === b.topic && a.namespace === b.namespace && a.tenant === b.tenant;
