// Finds the manifests of earlier runs: with one request to the store if the rule runs every few minutes, and with a
// few more after a pause. Ignores manifests of other topics and subscriptions.
import { createHash } from 'node:crypto';
import { BackupError } from '../errors.ts';
import { parseEntry } from '../format/entry-order.ts';
import { manifestFolder, parseManifestStart, runManifestKey } from '../format/object-key.ts';
import {
  COMMAND_REQUEST_IDS,
  type ManifestLink,
  type ManifestPosition,
  RUN_MANIFEST_FORMAT,
} from '../format/run-manifest.ts';
import type { CallOptions, ListedObject, ObjectStore, SubscriptionPosition } from '../ports.ts';

const HOUR_MS = 3_600_000;
/** Ten instances leave 720 manifests in that time: a page of the list holds 1000. */
const USUAL_HOURS = 6;
/** How far back it searches if the usual time has no manifest. */
const FURTHER_HOURS = [8 * 24, 64 * 24, Number.POSITIVE_INFINITY];
/** More than 10,000 objects: only runs on the command line store so many, and a small function could not hold it. */
const MAX_BYTES = 4 * 1_048_576;

/** A function's longest time-out. */
const LONGEST_RUN_MS = 900_000;
/** More than instances leave between two runs. */
const MAX_BESIDE = 32;

/** A manifest in the list. */
export interface ListedManifest extends ListedObject {
  /** When its run began, by the clock of its machine. */
  readonly startedAtMs: number;
}

/** What a manifest says about the subscription. */
export interface EarlierRun {
  readonly listed: ListedManifest;
  /** Of the manifest's bytes, hex. */
  readonly sha256: string;
  /** Whether the store's ETag of it is its MD5: then that of others beside it is, too. */
  readonly isEtagMd5: boolean;
  /** The manifests that it names: the one before it, and those beside that one. */
  readonly named: readonly string[];
  /** Whether it is of this topic and subscription. */
  readonly isOfSubscription: boolean;
  /** The subscription's position at its end, by partition. */
  readonly ends: ReadonlyMap<number, SubscriptionPosition>;
  /** The keys of its objects. */
  readonly keys: ReadonlySet<string>;
  /** The publish time of the last message that it stored, by partition; ISO 8601. */
  readonly lastPublishTimes: ReadonlyMap<number, string>;
  /** See `ManifestLink`. */
  readonly spansInKeysSince: string | undefined;
}

/** The latest manifests of the rule, the newest by the store's clock first. Empty where it has none. @throws BackupError `store` */
export async function listManifests(
  store: ObjectStore,
  prefix: string,
  rule: string,
  nowMs: number,
  options: CallOptions,
): Promise<ListedManifest[]> {
  const folder = manifestFolder(prefix, rule);
  const since = async (hours: number) => {
    const startAfter = Number.isFinite(hours)
      ? runManifestKey(prefix, rule, Math.max(0, nowMs - hours * HOUR_MS), '')
      : undefined;
    const found: ListedManifest[] = [];
    for await (const listed of store.list(folder, { ...options, ...(startAfter && { startAfter }) })) {
      const startedAtMs = parseManifestStart(listed.key);
      if (startedAtMs === undefined || isOfCommand(listed.key)) continue;
      found.push({ ...listed, startedAtMs });
    }
    return found.sort(
      (a, b) => b.lastModified.getTime() - a.lastModified.getTime() || (a.key < b.key ? 1 : -1),
    );
  };
  const recent = await since(USUAL_HOURS);
  if (recent.length > 0 || !(await hasAny(store, folder, options))) return recent;
  for (const hours of FURTHER_HOURS) {
    const found = await since(hours);
    if (found.length > 0) return found;
  }
  return [];
}

async function hasAny(store: ObjectStore, folder: string, options: CallOptions): Promise<boolean> {
  for await (const _ of store.list(folder, options)) return true;
  return false;
}

/** Reads a manifest. @throws BackupError where it cannot be read, or is none */
export async function readEarlierRun(
  store: ObjectStore,
  listed: ListedManifest,
  of: { readonly topic: string; readonly subscription: string },
  options: CallOptions,
): Promise<EarlierRun> {
  const { key, sizeBytes } = listed;
  if (sizeBytes > MAX_BYTES) throw noManifest(key, `it has ${sizeBytes} bytes`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(key, options)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  let manifest: Record<string, unknown>;
  try {
    manifest = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw noManifest(key, 'it is no JSON', error);
  }
  if (manifest?.['format'] !== RUN_MANIFEST_FORMAT) throw noManifest(key, 'it has another format');
  const isOfSubscription = manifest['topic'] === of.topic && manifest['subscription'] === of.subscription;
  const ends = new Map<number, SubscriptionPosition>();
  for (const one of isOfSubscription ? objectsIn(manifest['positions']) : []) {
    const { partition, end, last } = one as Partial<ManifestPosition>;
    const acknowledged = parseEntry(end);
    if (typeof partition !== 'number' || acknowledged === undefined) continue;
    ends.set(partition, { acknowledged, last: parseEntry(last) });
  }
  const keys = new Set<string>();
  const lastPublishTimes = new Map<number, string>();
  for (const { key: object, partition, lastPublishTime } of objectsIn(manifest['storedObjects'])) {
    if (typeof object === 'string') keys.add(object);
    if (typeof partition === 'number' && typeof lastPublishTime === 'string')
      lastPublishTimes.set(partition, lastPublishTime);
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const isEtagMd5 = listed.etag === createHash('md5').update(bytes).digest('hex');
  const { previous, beside, spansInKeysSince } = manifest as Partial<ManifestLink>;
  const named = [previous?.key, ...(Array.isArray(beside) ? beside : [])].filter((one) => one !== undefined);
  return {
    ...{ listed, sha256, isEtagMd5, named, isOfSubscription, ends },
    ...{ keys, lastPublishTimes, spansInKeysSince },
  };
}

/**
 * The manifests, except the newest, that no later one lists: those that other instances wrote since the one that the
 * newest lists. An extra one does no harm.
 */
export function manifestsBeside(manifests: readonly ListedManifest[], newest: EarlierRun): ListedManifest[] {
  const [previous] = newest.named;
  const before = manifests.find(({ key }) => key === previous);
  const sinceMs = before?.lastModified.getTime() ?? newest.listed.startedAtMs - LONGEST_RUN_MS;
  return manifests
    .filter(({ key, lastModified }) => key !== newest.listed.key && lastModified.getTime() >= sinceMs)
    .filter(({ key }) => !newest.named.includes(key))
    .slice(0, MAX_BESIDE);
}

const objectsIn = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : [];

const noManifest = (key: string, why: string, cause?: unknown): BackupError =>
  new BackupError('corrupt', `${key} is no manifest of a run: ${why}`, {
    hint: 'archive verify reports what else is damaged. Nothing else depends on it.',
    details: { key },
    ...(cause === undefined ? {} : { cause }),
  });

const isOfCommand = (key: string): boolean =>
  Object.values(COMMAND_REQUEST_IDS).some((id) => key.endsWith(`-${id}.json`));
