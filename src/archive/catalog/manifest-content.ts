// The parts of a manifest that listings need: its objects, and their topics and times.
import { dateOf } from '../../format/object-key.ts';
import { isDate, parseTime } from '../../format/record.ts';
import {
  COMMAND_REQUEST_IDS,
  type ManifestObject,
  type RecoveredRaw,
  RUN_MANIFEST_FORMAT,
} from '../../format/run-manifest.ts';
import type { TimeMs } from '../../ports.ts';
import { CLOCK_SLACK_MS, type TimeRange } from './listing.ts';
import type { ObjectOfRun, RunTimes } from './stored-time.ts';

const OBJECT_PATH_DEPTH = 6;

/** The key below the archive's prefix: the same in the bucket and in a copy of it. */
export function pathOf(key: string): string {
  let at = key.length;
  for (let level = 0; level < OBJECT_PATH_DEPTH && at > 0; level++) at = key.lastIndexOf('/', at - 1);
  return key.slice(at + 1);
}

/** A manifest's content. */
export interface Manifest {
  readonly objects: readonly ManifestObject[];
  readonly partitions: number;
  readonly recovered: readonly RecoveredRaw[];
  /** See ManifestLink. */
  readonly spansInKeysSinceMs: number | undefined;
  /** By full name: whether it names partitions of it. */
  readonly topics: ReadonlyMap<string, boolean>;
}

/** `persistent://` is not part of keys. */
export const folderOf = (topic: string): string => topic.slice(topic.indexOf('://') + 3);

/** The `date=` of an object's path. */
export const dateOfPath = (path: string): string => path.split('/date=').at(-1)?.slice(0, 10) ?? '';

/** The times of objects in a manifest's text, and the names of checksums: of objects, and one of `previous`. */
const TIME_OR_SHA256 =
  /"(?:(first|last|earliest|latest)PublishTime"\s*:\s*"([^"]*)"|(previous|sha256)"\s*:)/g;

/** Whether a manifest may name an object with messages of that time: without parsing it, which takes twenty times as long. */
export function mayTellOf(bytes: Buffer, { fromMs, toMs }: TimeRange): boolean {
  let least = '9999-99';
  let greatest = '';
  let withoutSha256 = 0;
  for (const [, end, text = '', name] of bytes.toString('latin1').matchAll(TIME_OR_SHA256)) {
    if (end === 'first' || name === 'previous') withoutSha256++;
    if (name === 'sha256') withoutSha256--;
    if (name !== undefined) continue;
    if (!/^\d{4}-\d{2}-\d{2}T/.test(text)) return true;
    const date = text.slice(0, 10);
    if (date < least) least = date;
    if (date > greatest) greatest = date;
  }
  if (greatest === '' || withoutSha256 > 0) return true;
  return (
    (fromMs === undefined || greatest >= dateOf(fromMs - CLOCK_SLACK_MS)) &&
    (toMs === undefined || least <= dateOf(toMs + CLOCK_SLACK_MS))
  );
}

/**
 * Whether messages of the object were published then, by its manifest; an end that is no date says nothing of the others.
 * Manifests from before they had the SHA-256 of objects say nothing of the messages between the ends.
 */
export function mayBeWithin(object: ManifestObject, { fromMs, toMs }: TimeRange): boolean {
  if (object.sha256 === undefined) return true;
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

/** The content of these bytes; `undefined` where they are no manifest. */
export function parseManifest(bytes: Buffer): Manifest | undefined {
  try {
    const content = JSON.parse(bytes.toString('utf8'));
    const { format, storedObjects, partitions, recovered, topic, spansInKeysSince } = content;
    if (format !== RUN_MANIFEST_FORMAT || !Array.isArray(storedObjects)) return undefined;
    const objects: { -readonly [Name in keyof ObjectOfRun]: ObjectOfRun[Name] }[] = storedObjects.filter(
      ({ key: one }) => typeof one === 'string',
    );
    const run = runOf(content);
    if (run !== undefined) for (const object of objects) object.run = run;
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
      spansInKeysSinceMs: typeof spansInKeysSince === 'string' ? Date.parse(spansInKeysSince) : undefined,
    };
  } catch {
    return undefined;
  }
}

/** When the objects were stored that a manifest names; commands that store nothing only found them. */
function runOf({ requestId, startedAt, durationMs }: Record<string, unknown>): RunTimes | undefined {
  const isFound = requestId !== COMMAND_REQUEST_IDS.recover && COMMANDS.includes(requestId);
  const startedMs = Date.parse(String(startedAt));
  const endedMs = startedMs + Number(durationMs);
  return isFound || !Number.isFinite(endedMs) ? undefined : { startedMs, endedMs };
}

const COMMANDS: readonly unknown[] = Object.values(COMMAND_REQUEST_IDS);

/** The full name of the topic that a key is of. */
function topicOf(key: string): string {
  const [tenant, namespace, topic] = key.split('/').slice(-OBJECT_PATH_DEPTH);
  return `persistent://${tenant}/${namespace}/${topic}`;
}
