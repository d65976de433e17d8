// The links of a manifest to other runs: the manifests that it lists, and how far its own run acknowledged. Validates
// everything: a manifest can be of any version, or made by hand.
import { compareEntries, parseEntry } from '../../format/entry-order.ts';
import { parseManifestStart } from '../../format/object-key.ts';
import { parseMessageId } from '../../format/record.ts';
import { COMMAND_REQUEST_IDS, RUN_MANIFEST_FORMAT } from '../../format/run-manifest.ts';
import type { EntryId } from '../../ports.ts';

/** A manifest as it was read. */
export interface ReadManifest {
  readonly key: string;
  /** Of its bytes, hex. */
  readonly sha256: string;
  readonly md5?: string;
  /** `undefined`: the bytes are no manifest. */
  readonly content: Readonly<Record<string, unknown>> | undefined;
}

/** What a run did in one partition. */
export interface RunClaim {
  readonly partition: number;
  readonly begin: EntryId;
  readonly end: EntryId;
  /** The partition's last message when the run ended. */
  readonly last: EntryId | undefined;
  /** It has objects of this partition. */
  readonly hasStored: boolean;
}

/** What the subscription was found to have passed over. */
export interface PassedOver {
  readonly partition: number;
  readonly from: EntryId;
  readonly to: EntryId;
  readonly entriesAtMost: number | undefined;
  /** The key of the manifest that says it, and when its run began. */
  readonly key: string;
  readonly startedAtMs: number;
}

/** One run in the chain. */
export interface RunLink {
  readonly key: string;
  /** The key below `_runs/`: the same in a bucket and in a copy of it. */
  readonly path: string;
  readonly rule: string;
  readonly sha256: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Absent in manifests from before they said it. */
  readonly topic: string | undefined;
  readonly subscription: string;
  readonly subscriptionType: string;
  readonly previous: { readonly path: string; readonly sha256: string | undefined } | undefined;
  /** Paths; `undefined` in manifests that do not name what other instances left. */
  readonly beside: readonly { readonly path: string; readonly md5: string | undefined }[] | undefined;
  readonly claims: readonly RunClaim[];
  readonly passedOver: readonly PassedOver[];
  /** The run that it is of by its content, `{start}-{requestId}`, where its key names another one. */
  readonly otherRun: string | undefined;
}

/** The path of a manifest's key below `_runs/`; `undefined` where it is none. */
export function manifestPath(key: unknown): string | undefined {
  if (typeof key !== 'string') return undefined;
  return /(?:^|\/)_runs\/(rule=[^/]+\/date=[^/]+\/[^/.][^/]*\.json)$/.exec(key)?.[1];
}

/** The rule of a manifest, by its path. */
export const ruleOf = (path: string): string => path.slice('rule='.length, path.indexOf('/'));

/** When a run began, by the path of its manifest; 0 where it does not say it. */
export const startOf = (path: string): number => parseManifestStart(`/${path}`) ?? 0;

/** Whether a command wrote the manifest, which is of no run. */
export const isOfCommand = (path: string): boolean =>
  Object.values(COMMAND_REQUEST_IDS).some((id) => path.endsWith(`-${id}.json`));

/** The link of a manifest; `undefined` where it is of no run. */
export function linkOf({ key, sha256, content = {} }: ReadManifest): RunLink | undefined {
  const path = manifestPath(key);
  if (path === undefined || isOfCommand(path)) return undefined;
  const startedAtMs = startOf(path);
  const durationMs = typeof content['durationMs'] === 'number' ? content['durationMs'] : 0;
  const previous = objectOf(content['previous']);
  const previousPath = manifestPath(previous['key']);
  const beside = content['beside'];
  const sums = objectOf(content['besideMd5']);
  const stored = reachedIn(objectsIn(content['storedObjects']));
  const isKnown = content['format'] === RUN_MANIFEST_FORMAT && typeof content['topic'] === 'string';
  return {
    ...{ key, path, sha256, startedAtMs },
    rule: ruleOf(path),
    endedAtMs: startedAtMs + Math.max(0, durationMs),
    topic: isKnown ? (content['topic'] as string) : undefined,
    subscription: String(content['subscription'] ?? ''),
    subscriptionType: String(content['subscriptionType'] ?? ''),
    previous:
      previousPath === undefined ? undefined : { path: previousPath, sha256: textOf(previous['sha256']) },
    beside: Array.isArray(beside)
      ? beside.flatMap((one) => {
          const own = manifestPath(one);
          return own === undefined ? [] : [{ path: own, md5: textOf(sums[one]) }];
        })
      : undefined,
    claims: isKnown ? objectsIn(content['positions']).flatMap((one) => claimOf(one, stored)) : [],
    passedOver: objectsIn(content['moved']).flatMap((one) => passedOverOf(one, key, startedAtMs)),
    otherRun: otherRunOf(path, content),
  };
}

function otherRunOf(path: string, { startedAt, requestId }: Record<string, unknown>): string | undefined {
  if (typeof startedAt !== 'string' || typeof requestId !== 'string') return undefined;
  const run = `${startedAt.replaceAll(/[-:.]/g, '')}-${requestId}`;
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name === `${run}.json` || name.startsWith(`${run}~`) ? undefined : run;
}

/** Where the run's own end is not known, its objects say how far it came, and else it is known to have been there. */
function claimOf(position: Record<string, unknown>, stored: ReadonlyMap<unknown, EntryId>): RunClaim[] {
  const { partition } = position;
  const begin = parseEntry(position['begin']) ?? parseEntry(position['end']);
  const end = parseEntry(position['end']) ?? stored.get(partition) ?? begin;
  if (typeof partition !== 'number' || begin === undefined || end === undefined) return [];
  return [{ partition, begin, end, last: parseEntry(position['last']), hasStored: stored.has(partition) }];
}

/** How far the objects of a manifest reach in each partition. */
function reachedIn(objects: readonly Record<string, unknown>[]): Map<unknown, EntryId> {
  const reached = new Map<unknown, EntryId>();
  for (const { partition, lastId } of objects) {
    const last = parseMessageId(String(lastId));
    const before = reached.get(partition);
    if (last && (before === undefined || compareEntries(last, before) > 0)) reached.set(partition, last);
  }
  return reached;
}

function passedOverOf(moved: Record<string, unknown>, key: string, startedAtMs: number): PassedOver[] {
  const { partition, direction, entriesAtMost } = moved;
  const [from, to] = [parseEntry(moved['from']), parseEntry(moved['to'])];
  if (direction !== 'forwards' || typeof partition !== 'number' || !from || !to) return [];
  const most = typeof entriesAtMost === 'number' ? entriesAtMost : undefined;
  return [{ partition, from, to, entriesAtMost: most, key, startedAtMs }];
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const objectsIn = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : [];
