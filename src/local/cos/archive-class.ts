// Objects in archive classes, as COS has them: a GET is refused until a restore has made a copy that can be read, which
// takes hours of the server's clock and is there for some days. Holds its state with the bucket.
import type { Answer, Bucket } from './bucket.ts';
import type { Call } from './call.ts';
import { CosError } from './cos-error.ts';
import type { StoredObject } from './object-folder.ts';
import { readText } from './xml.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** How long a restore takes at most, by class and tier; DEEP_ARCHIVE has no Expedited. */
const HOURS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ARCHIVE: { Expedited: 5 / 60, Standard: 5, Bulk: 12 },
  DEEP_ARCHIVE: { Standard: 24, Bulk: 48 },
};

/** The archive class or tier of the object; `undefined`: it can be read at any time. */
function archiveClassOf({ headers }: StoredObject): string | undefined {
  const tier = headers['x-cos-storage-tier'];
  const name = (tier ?? headers['x-cos-storage-class'] ?? '').replace(/^MAZ_/, '');
  return name in HOURS ? name : undefined;
}

/** Refuses to read what is archived and not restored. */
export function refuseArchived(bucket: Bucket, object: StoredObject, nowMs: number): void {
  if (archiveClassOf(object) === undefined) return;
  const copy = bucket.restored.get(object.key);
  if (copy !== undefined && copy.readyAtMs <= nowMs && nowMs < copy.untilMs) return;
  throw new CosError('InvalidObjectState', "The operation is not valid for the object's storage class");
}

/** What a HEAD says about a restore. */
export function restoreHeader(bucket: Bucket, key: string, nowMs: number): Record<string, string> {
  const copy = bucket.restored.get(key);
  if (copy === undefined || nowMs >= copy.untilMs) return {};
  const until = new Date(copy.untilMs).toUTCString();
  const text =
    nowMs < copy.readyAtMs ? 'ongoing-request="true"' : `ongoing-request="false", expiry-date="${until}"`;
  return { 'x-cos-restore': text };
}

/** POST Object restore. */
export function restoreObject(call: Call, bucket: Bucket, xml: string, nowMs: number): Answer {
  const object = bucket.objects.get(call.key);
  if (object === undefined) throw new CosError('NoSuchKey', 'The specified key does not exist.');
  const name = archiveClassOf(object);
  if (name === undefined)
    throw new CosError('InvalidObjectState', 'Restore is not allowed, as the object is not archived');
  const isTier = object.headers['x-cos-storage-tier'] !== undefined;
  const days = isTier ? 1 : Number(readText(xml, 'Days'));
  const tier = readText(xml, 'Tier') ?? 'Standard';
  const hours = HOURS[name]?.[tier];
  if (!Number.isInteger(days) || days < 1 || days > 365 || hours === undefined)
    throw new CosError('MalformedXML', `Days ${days} and Tier ${tier} are not for ${name}`);
  const before = bucket.restored.get(call.key);
  if (before !== undefined && nowMs < before.readyAtMs)
    throw new CosError('RestoreAlreadyInProgress', 'Object restore is already in progress');
  const isThere = before !== undefined && nowMs < before.untilMs;
  const readyAtMs = isThere ? before.readyAtMs : nowMs + hours * HOUR_MS;
  const untilMs = Math.max(isThere ? nowMs : readyAtMs, 0) + days * DAY_MS;
  bucket.restored.set(call.key, { readyAtMs, untilMs });
  return { status: isThere ? 200 : 202, headers: {} };
}
