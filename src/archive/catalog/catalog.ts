// The content of an archive without downloading objects: the listing, the manifests of the runs, and the metadata of
// objects that no manifest lists. The listing is the source of truth; the rest adds facts.
import type { ObjectKeyParts } from '../../format/object-key.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import type { EntryId, ListedObject, MessageId, ObjectHead, TimeMs } from '../../ports.ts';

/** What is known about an object; `undefined` where nothing is known. */
export interface ObjectFacts {
  readonly messages: number | undefined;
  /** Uncompressed. */
  readonly recordBytes: number | undefined;
  readonly firstId: MessageId;
  readonly lastId: MessageId | undefined;
  readonly firstPublishTimeMs: TimeMs | undefined;
  readonly lastPublishTimeMs: TimeMs | undefined;
  /** Of messages between the first and the last, where they are outside of these. */
  readonly earliestPublishTimeMs: TimeMs | undefined;
  readonly latestPublishTimeMs: TimeMs | undefined;
  /** Whether no message was published before or after the times that are known. */
  readonly isSpanKnown: boolean;
}

/** One object of records. */
export interface ArchiveObject extends ListedObject {
  readonly parts: ObjectKeyParts;
  /** `persistent://tenant/namespace/topic`, without the partition. */
  readonly topic: string;
  /** What a run's manifest says about it. */
  readonly manifest: ManifestObject | undefined;
  /** Of the schemas that its messages mean, where the manifest that says so is not kept. */
  readonly schemas?: readonly string[] | undefined;
  /** Where it was asked for. */
  readonly head: ObjectHead | undefined;
  readonly facts: ObjectFacts;
  /** It begins with an entry that was kept raw: it is between the messages of other objects. */
  readonly isRecovered: boolean;
}

/** An entry, or the chunks of a message, kept raw because it could not be decoded. */
export interface RawObject extends ListedObject {
  readonly topic: string;
  readonly partition: number;
  /** Of several entries the last one's. */
  readonly id: EntryId;
  /** The evidence that its messages are recovered: a manifest, or only an object that begins with this entry. */
  readonly recoveredBy: 'manifest' | 'object' | undefined;
}

/** What an archive holds besides its objects, known when these were listed. */
export interface Surroundings {
  /** In a manifest, and not in the bucket. */
  readonly missing: readonly ManifestObject[];
  /** What was kept raw, in the order of messages. */
  readonly raw: readonly RawObject[];
  /** Keys of what was kept raw, is in no object, and is gone: only the reason beside it is there. */
  readonly rawWithoutBytes: readonly string[];
  /** Neither objects of records nor ours in another way; no more than MAX_FOREIGN of them. */
  readonly foreign: readonly ListedObject[];
  /** How many partitions a topic has, as far as manifests and keys show; 0 for a plain topic. By its name. */
  readonly partitionCounts: ReadonlyMap<string, number>;
  readonly manifests: number;
  /** Manifests that cannot be read as such. */
  readonly badManifests: readonly string[];
}

/** Whether the messages of what was kept raw are in objects now. */
export const isRecovered = ({ recoveredBy }: RawObject): boolean => recoveredBy !== undefined;

/** The name of a partition among those of all topics. */
export const partitionName = (topic: string, partition: number): string => `${topic} ${partition}`;

/** The objects of each partition, in the order of messages; the name is `topic partition`. */
export function byPartition<
  T extends { readonly topic: string; readonly parts: { readonly partition: number } },
>(objects: readonly T[]): Map<string, T[]> {
  const partitions = new Map<string, T[]>();
  for (const object of objects) {
    const name = partitionName(object.topic, object.parts.partition);
    const list = partitions.get(name);
    if (list === undefined) partitions.set(name, [object]);
    else list.push(object);
  }
  return partitions;
}
