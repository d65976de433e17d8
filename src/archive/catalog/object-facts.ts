// Facts about listed objects, from the manifests of the days around them, and from their metadata if no manifest
// lists them. Downloads nothing.
import { dateOf, type ObjectKeyParts } from '../../format/object-key.ts';
import { isDate, parseMessageId, parseTime } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { CallOptions, ListedObject, ObjectHead, ObjectStore, TimeMs } from '../../ports.ts';
import type { ArchiveObject, ObjectFacts } from './catalog.ts';
import { daysAfter } from './listing.ts';
import { pathOf } from './manifest-content.ts';
import type { ManifestIndex } from './manifest-index.ts';
import { entryName } from './raw-objects.ts';

/** Requests for metadata at a time. */
const PARALLEL = 16;

/** An object of records in a listing. */
export interface ListedRecord {
  readonly listed: ListedObject;
  readonly parts: ObjectKeyParts;
}

export interface DescribeOptions extends CallOptions {
  /** Whose metadata is asked for: of objects that no manifest knows, of all, of none. A local copy has none. */
  readonly heads?: 'unknown' | 'all' | 'none' | undefined;
  readonly isLocal?: boolean | undefined;
  /** The store has other times of the objects than that at which they were stored first. */
  readonly isMoved?: boolean | undefined;
}

/** Adds what is said to listed objects of one topic; those of about the same date are best asked for together. */
export type Describe = (found: readonly ListedRecord[], index: ManifestIndex) => Promise<ArchiveObject[]>;

/** `raw`: names of the entries that were kept raw. */
export function createDescribe(
  store: ObjectStore,
  raw: ReadonlySet<string>,
  { signal, isLocal = false, isMoved = isLocal, heads = isLocal ? 'none' : 'unknown' }: DescribeOptions,
): Describe {
  const call: CallOptions = signal === undefined ? {} : { signal };
  const slots = createSlots(PARALLEL);

  async function manifestsOf(
    found: readonly ListedRecord[],
    index: ManifestIndex,
  ): Promise<(ManifestObject | undefined)[]> {
    for (const date of new Set(found.map(({ parts }) => parts.date))) await index.around(date);
    const said = found.map(({ listed }) => index.take(pathOf(listed.key)));
    const retry = (): boolean => {
      for (const [i, { listed }] of found.entries()) said[i] ??= index.take(pathOf(listed.key));
      return !said.includes(undefined);
    };
    if (!said.includes(undefined)) return said;
    // The run began on the day on which its object was stored, or on the day before.
    const days = new Set<string>();
    for (const [i, { listed }] of found.entries()) {
      if (said[i] !== undefined) continue;
      const day = dateOf(listed.lastModified.getTime());
      days.add(day).add(daysAfter(day, -1));
    }
    await index.on(days);
    // A copy may have lost that time, and a local one has no metadata to ask instead.
    while (!retry() && isMoved && (await index.further()));
    return said;
  }

  return async (found, index) => {
    const said = await manifestsOf(found, index);
    const [first] = found;
    const topic = first === undefined ? '' : fullTopic(first.parts);
    const describeOne = ({ listed, parts }: ListedRecord, i: number, head: ObjectHead | undefined) => {
      const { key, sizeBytes, lastModified, storageClass } = listed;
      const object: ArchiveObject = {
        key,
        sizeBytes,
        lastModified,
        parts,
        topic,
        manifest: said[i],
        head,
        facts: factsOf(parts, said[i], head),
        isRecovered: raw.size > 0 && raw.has(entryName(topic, parts.partition, parts)),
      };
      return storageClass === undefined ? object : { ...object, storageClass };
    };
    if (heads === 'none') return found.map((one, i) => describeOne(one, i, undefined));
    return Promise.all(
      found.map(async (one, i) => {
        const isAsked = heads === 'all' || said[i] === undefined;
        const head = isAsked ? await slots.run(() => store.head(one.listed.key, call)) : undefined;
        return describeOne(one, i, head);
      }),
    );
  };
}

/** The full name of the topic of an object. */
export const fullTopic = ({ tenant, namespace, topic }: ObjectKeyParts): string =>
  `persistent://${tenant}/${namespace}/${topic}`;

/** What manifest and metadata say about an object. */
export function factsOf(
  parts: ObjectKeyParts,
  manifest: ManifestObject | undefined,
  head: ObjectHead | undefined,
): ObjectFacts {
  const metadata = head?.metadata ?? {};
  const time = (text: string | undefined) => (text === undefined ? undefined : parseTime(text));
  const earliest = manifest === undefined ? metadata['earliest-publish-time'] : manifest.earliestPublishTime;
  const latest = manifest === undefined ? metadata['latest-publish-time'] : manifest.latestPublishTime;
  const { ledgerId, entryId, partition, batchIndex } = parts;
  // The key has 0 where the message has no place in a batch.
  const isAlone = batchIndex === 0 && ID_WITHOUT_PLACE.test(manifest?.firstId ?? metadata['first-id'] ?? '');
  return {
    messages: manifest?.messages ?? numberOf(metadata['messages']),
    recordBytes: manifest?.recordBytes ?? numberOf(metadata['record-bytes']),
    firstId: { ledgerId, entryId, partition, batchIndex: isAlone ? -1 : batchIndex },
    lastId: parseMessageId(manifest?.lastId ?? metadata['last-id'] ?? ''),
    firstPublishTimeMs: time(manifest?.firstPublishTime ?? metadata['first-publish-time']),
    earliestPublishTimeMs: time(earliest),
    latestPublishTimeMs: time(latest),
    // A manifest names times only where they are outside of the ends; metadata from before names none, and neither do
    // manifests from before they had the SHA-256 of objects.
    isSpanKnown: manifest?.sha256 !== undefined || (earliest !== undefined && latest !== undefined),
    lastPublishTimeMs: time(manifest?.lastPublishTime ?? metadata['last-publish-time']),
  };
}

const ID_WITHOUT_PLACE = /^\d+:\d+:(?:-1|\d+):-1$/;

const numberOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

/** What is known of when the first and the last message were published, as far as dates hold it. */
export const datesOf = (known: Pick<ObjectFacts, 'firstPublishTimeMs' | 'lastPublishTimeMs'>): number[] =>
  [datedMs(known.firstPublishTimeMs), datedMs(known.lastPublishTimeMs)].filter((one) => one !== undefined);

/** The time, if it is known and a date holds it. */
export const datedMs = (timeMs: TimeMs | undefined): number | undefined =>
  timeMs !== undefined && isDate(timeMs) ? timeMs : undefined;
