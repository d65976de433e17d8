// What the bucket contains of the messages that `smoke` looks for: the objects, read back to their end, and the manifests.
// Reads only.
import { type ArchiveObject, byPartition } from '../../archive/catalog/catalog.ts';
import { readCatalog } from '../../archive/catalog/read-catalog.ts';
import type { Finding } from '../../archive/finding.ts';
import { readPartition } from '../../archive/read/read-messages.ts';
import { inspectObject } from '../../archive/verify/inspect.ts';
import { verifyFacts, verifyInspection } from '../../archive/verify/verify-object.ts';
import { runManifestKey } from '../../format/object-key.ts';
import { formatMessageId, parseMessageId } from '../../format/record.ts';
import type { ManifestObject, RunManifest, Summary } from '../../format/run-manifest.ts';
import { readWhole } from '../../format/stored-object.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { markedText, NUMBER_PROPERTY } from './marked-messages.ts';
import { MARK_PROPERTY } from './traces.ts';

/** Where the archive is, and of which topic. */
export interface Archive {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly topic: TopicName;
}

/** A message, and every object that has it. */
export interface StoredCopies {
  readonly number: number;
  readonly isAsPublished: boolean;
  readonly keys: readonly string[];
}

/** The marked messages that are stored, by id, and the objects that contain them. @throws BackupError `store`, `corrupt` */
export async function findMarked(
  { store, prefix, topic }: Archive,
  mark: string,
  fromMs: number,
  call: CallOptions,
): Promise<{ messages: StoredCopies[]; objects: ArchiveObject[] }> {
  const catalog = await readCatalog(store, prefix, { topic, time: { fromMs }, ...call });
  const selection = { fromMs, properties: [[MARK_PROPERTY, mark]] as const };
  const found = new Map<string, StoredCopies>();
  const holders = new Map<string, ArchiveObject>();
  for (const objects of byPartition(catalog.objects).values()) {
    const read = readPartition(store, objects, selection, { ...call, withDuplicates: true });
    for await (const { message, object } of read) {
      const id = formatMessageId(message.id);
      const number = Number(message.properties.find(([name]) => name === NUMBER_PROPERTY)?.[1]);
      const text = Buffer.from(message.payload ?? []).toString();
      const before = found.get(id);
      found.set(id, {
        number,
        isAsPublished: (before?.isAsPublished ?? true) && text === markedText(mark, number),
        keys: [...(before?.keys ?? []), object.key],
      });
      holders.set(object.key, object);
    }
  }
  return { messages: [...found.values()], objects: [...holders.values()] };
}

/** The manifests that these runs have written, by key. @throws BackupError `store` */
export async function readManifestsOf(
  { store, prefix }: Archive,
  runs: readonly Summary[],
  call: CallOptions,
): Promise<Map<string, readonly ManifestObject[]>> {
  const manifests = new Map<string, readonly ManifestObject[]>();
  for (const { rule, startedAt, requestId } of runs) {
    // The key may go on with the days of what else the run has stored.
    const begin = runManifestKey(prefix, rule, Date.parse(startedAt), requestId).slice(0, -'.json'.length);
    for await (const { key } of store.list(begin, call)) {
      const { storedObjects } = JSON.parse((await readWhole(store, key, call)).toString()) as RunManifest;
      manifests.set(key, storedObjects);
    }
  }
  return manifests;
}

/** What is wrong with the objects, read to their end: with their bytes, their records, their metadata, their manifests. */
export async function damageOf(
  store: ObjectStore,
  objects: readonly ArchiveObject[],
  call: CallOptions,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const listed of objects) {
    const object = { ...listed, head: await store.head(listed.key, call) };
    const inspection = await inspectObject(store, object, true, call);
    findings.push(...verifyFacts(object, true), ...verifyInspection(object, inspection));
  }
  return findings.filter(({ severity }) => severity === 'damage');
}

/**
 * The objects that manifests name, as they are listed, and how many of their messages are in another object as well.
 * @throws BackupError `store`, `corrupt`
 */
export async function findStored(
  { store, prefix, topic }: Archive,
  said: readonly ManifestObject[],
  call: CallOptions,
): Promise<{ objects: ArchiveObject[]; copies: number }> {
  const times = said.flatMap((one) =>
    [
      one.firstPublishTime,
      one.lastPublishTime,
      one.earliestPublishTime ?? one.firstPublishTime,
      one.latestPublishTime ?? one.lastPublishTime,
    ].map((text) => Date.parse(text)),
  );
  const time = { fromMs: Math.min(...times), toMs: Math.max(...times) + 1 };
  const catalog = await readCatalog(store, prefix, { topic, time, ...call });
  const keys = new Set(said.map(({ key }) => key));
  let copies = 0;
  for (const objects of byPartition(catalog.objects).values()) {
    const own = said.filter(({ partition }) => partition === objects[0]?.parts.partition);
    for (const { firstId, lastId } of own) {
      const selection = { fromId: parseMessageId(firstId), toId: parseMessageId(lastId) };
      const onDuplicate = () => void copies++;
      for await (const _ of readPartition(store, objects, selection, { ...call, onDuplicate }));
    }
  }
  return { objects: catalog.objects.filter(({ key }) => keys.has(key)), copies };
}
