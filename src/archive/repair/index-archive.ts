// Writes the manifest that a killed run could not: for the objects that no manifest knows, what is in them, read once.
// Damaged objects are left out and reported; nothing that exists is changed.
import { BackupError } from '../../errors.ts';
import { formatMessageId } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { COMMAND_REQUEST_IDS, type Summary, storeRunManifest } from '../../format/run-manifest.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import { describeSpan } from '../../partition/message-range.ts';
import type { CallOptions, Clock, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { untilArchived } from '../catalog/archived.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import { nothingFound } from '../catalog/nothing-found.ts';
import { createObjectList, type ObjectList } from '../catalog/object-list.ts';
import { damage, type Finding } from '../finding.ts';
import { inspectObject } from '../verify/inspect.ts';

export interface IndexOptions extends CallOptions {
  readonly topic?: TopicName | undefined;
  /** For objects whose metadata names no rule, as in a local copy. */
  readonly rule: string;
  readonly knowsMetadata: boolean;
  readonly parallel: number;
  readonly clock: Clock;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface IndexResult {
  /** Objects that are in a manifest now. */
  readonly objects: number;
  readonly messages: number;
  /** Keys of the manifests that were written. */
  readonly manifests: readonly string[];
  /** Why objects were left out. */
  readonly findings: readonly Finding[];
}

/** Objects of one manifest at most, and of one rule: so many are held while they are read, however many are unknown. */
const MANIFEST_OBJECTS = 2_000;

/**
 * Indexes what no manifest knows. May be repeated: it goes on where it was stopped. @throws BackupError `store`; `config`
 * where there is no archive
 */
export async function indexArchive(
  store: ObjectStore,
  prefix: string,
  options: IndexOptions,
): Promise<IndexResult> {
  const { topic, clock, knowsMetadata } = options;
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const isLocal = !knowsMetadata;
  const writer = createManifestWriter(store, prefix, clock, call);
  const catalog = streamCatalog(store, prefix, { ...call, topic, isLocal });
  const lists = new Map<string, ObjectList>();
  let [known, unknown, done] = [0, 0, 0];
  async function* unknownObjects() {
    for await (const object of catalog.objects())
      if (object.manifest === undefined) yield object;
      else known++;
  }
  for await (const object of untilArchived(unknownObjects())) {
    // Each manifest names objects of few dates then, in the order in which they are listed.
    const name = `${object.topic} ${object.parts.date}`;
    const list = lists.get(name) ?? createObjectList(prefix);
    lists.set(name, list);
    list.add(object);
    unknown++;
  }
  const { raw, missing } = await catalog.surroundings();
  if (known + unknown + raw.length + missing.length === 0)
    throw await nothingFound(store, prefix, { ...call, topic, isLocal });

  const describe = async (object: ArchiveObject) => {
    // What was listed is no longer held with all that is known of it.
    const head = knowsMetadata ? await store.head(object.key, call) : undefined;
    const described = await describeObject(store, { ...object, head }, call);
    options.onProgress?.(++done, unknown);
    return { described, rule: head?.metadata['rule'] ?? options.rule };
  };
  const findings: Finding[] = [];
  for (const list of lists.values())
    for (const { recovered, others } of list.partitions())
      for (const objects of [others(), recovered])
        for await (const { described, rule } of mapInOrder(objects, options.parallel, describe))
          if (described.kind === 'damaged') findings.push(...described.findings);
          else await writer.add(rule, described.object);
  return { ...(await writer.end()), findings };
}

/** Writes manifests of what is added, each with no more than so many objects of a rule. */
function createManifestWriter(store: ObjectStore, prefix: string, clock: Clock, call: CallOptions) {
  const byRule = new Map<string, ManifestObject[]>();
  const written = { objects: 0, messages: 0, manifests: [] as string[] };
  let startedAtMs = clock.now();

  async function write(rule: string): Promise<void> {
    const entries = (byRule.get(rule) ?? []).sort((a, b) => (a.key < b.key ? -1 : 1));
    byRule.delete(rule);
    written.objects += entries.length;
    written.messages += entries.reduce((sum, one) => sum + one.messages, 0);
    const endedAtMs = Math.max(startedAtMs, clock.now());
    const summary = commandSummary(rule, 'index', startedAtMs, endedAtMs, entries);
    written.manifests.push(await storeRunManifest(store, prefix, summary, entries, call));
    // The time is part of the key.
    startedAtMs = Math.max(startedAtMs + 1, endedAtMs);
  }

  return {
    async add(rule: string, object: ManifestObject): Promise<void> {
      const entries = byRule.get(rule);
      if (entries === undefined) byRule.set(rule, [object]);
      else if (entries.push(object) >= MANIFEST_OBJECTS) await write(rule);
    },
    async end() {
      for (const rule of [...byRule.keys()].sort()) await write(rule);
      return written;
    },
  };
}

type Described =
  | { readonly kind: 'described'; readonly object: ManifestObject }
  | { readonly kind: 'damaged'; readonly findings: readonly Finding[] };

/** What a manifest says about an object, from the object itself; or why it cannot say it. @throws BackupError `store` */
export async function describeObject(
  store: ObjectStore,
  object: ArchiveObject,
  call: CallOptions,
): Promise<Described> {
  const { key, parts, head } = object;
  const inspection = await inspectObject(store, object, true, call);
  const wrong = inspection.findings.filter(({ severity }) => severity === 'damage');
  if (head?.crc64 !== undefined && head.crc64 !== inspection.crc64)
    wrong.push(damage(key, 'checksum', `its CRC-64 is ${inspection.crc64}, COS says ${head.crc64}`));
  const { first, last, earliestMs, latestMs, messages, recordBytes } = inspection;
  if (wrong.length > 0) return { kind: 'damaged', findings: wrong };
  if (first === undefined || last === undefined || messages === undefined || recordBytes === undefined)
    throw new BackupError('corrupt', `${key} holds no record`);
  const described: ManifestObject = {
    key,
    partition: parts.partition,
    messages,
    recordBytes,
    size: inspection.sizeBytes,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    ...describeSpan({
      first,
      last,
      earliestMs: earliestMs ?? first.publishTimeMs,
      latestMs: latestMs ?? last.publishTimeMs,
    }),
    crc64: inspection.crc64,
    sha256: inspection.sha256,
    alreadyStored: true,
  };
  return { kind: 'described', object: described };
}

/** The summary of a command that stored some of these, and found the others. */
export function commandSummary(
  rule: string,
  command: keyof typeof COMMAND_REQUEST_IDS,
  startedAtMs: number,
  endedAtMs: number,
  entries: readonly ManifestObject[],
): Summary {
  const stored = entries.filter(({ alreadyStored }) => !alreadyStored);
  return {
    rule,
    requestId: COMMAND_REQUEST_IDS[command],
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs: endedAtMs - startedAtMs,
    stopReason: 'caught_up',
    messages: stored.reduce((sum, { messages }) => sum + messages, 0),
    recordBytes: stored.reduce((sum, { recordBytes }) => sum + recordBytes, 0),
    objects: stored.length,
    alreadyStored: entries.length - stored.length,
    unreadable: 0,
    partitions: new Set(entries.map(({ partition }) => partition)).size,
  };
}
