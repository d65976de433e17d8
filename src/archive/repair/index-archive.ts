// Writes the manifest that a killed run could not: for the objects that no manifest knows, what is in them, read once.
// Damaged objects are left out and reported; nothing that exists is changed.
import { BackupError } from '../../errors.ts';
import { formatMessageId } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { COMMAND_REQUEST_IDS, type Summary, storeRunManifest } from '../../format/run-manifest.ts';
import { createSlots } from '../../lib/semaphore.ts';
import { describeSpan } from '../../partition/message-range.ts';
import type { CallOptions, Clock, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { expectReadable } from '../catalog/archived.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import { nothingFound } from '../catalog/nothing-found.ts';
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
  /** Keys of the manifests that were written, one for each rule. */
  readonly manifests: readonly string[];
  /** Why objects were left out. */
  readonly findings: readonly Finding[];
}

/** Indexes what no manifest knows. May be repeated. @throws BackupError `store`; `config` where there is no archive */
export async function indexArchive(
  store: ObjectStore,
  prefix: string,
  options: IndexOptions,
): Promise<IndexResult> {
  const { topic, clock, rule } = options;
  const startedAtMs = clock.now();
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const isLocal = !options.knowsMetadata;
  const catalog = streamCatalog(store, prefix, { ...call, topic, isLocal });
  const unknown: ArchiveObject[] = [];
  let known = 0;
  for await (const object of catalog.objects())
    if (object.manifest === undefined) unknown.push(object);
    else known++;
  const { raw, missing } = await catalog.surroundings();
  if (known + unknown.length + raw.length + missing.length === 0)
    throw await nothingFound(store, prefix, { ...call, topic, isLocal });
  await expectReadable(store, unknown, call);
  const findings: Finding[] = [];
  const byRule = new Map<string, ManifestObject[]>();
  const slots = createSlots(options.parallel);
  let done = 0;
  await Promise.all(
    unknown.map((object) =>
      slots.run(async () => {
        const entry = await describeObject(store, object, call);
        options.onProgress?.(++done, unknown.length);
        if (entry.kind === 'damaged') {
          findings.push(...entry.findings);
          return;
        }
        const own = object.head?.metadata['rule'] ?? rule;
        byRule.set(own, [...(byRule.get(own) ?? []), entry.object]);
      }),
    ),
  );
  const manifests: string[] = [];
  let objects = 0;
  let messages = 0;
  for (const [own, entries] of [...byRule].sort(([a], [b]) => (a < b ? -1 : 1))) {
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    objects += entries.length;
    messages += entries.reduce((sum, one) => sum + one.messages, 0);
    const summary = commandSummary(own, 'index', startedAtMs, clock.now(), entries);
    manifests.push(await storeRunManifest(store, prefix, summary, entries, call));
  }
  return { objects, messages, manifests, findings };
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
