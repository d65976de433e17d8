// Decodes what was kept raw with the decoder of today, and stores the messages as ordinary objects: one for each raw entry,
// under the key of its first message. It never replaces: what is in an object already is left there, and named.
import { BackupError, messageOf } from '../../errors.ts';
import { compareEntries } from '../../format/entry-order.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { type RecoveredRaw, storeRunManifest } from '../../format/run-manifest.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { CallOptions, EntryId, ObjectStore, RawEntry, ReadableEntry } from '../../ports.ts';
import { loadCodec } from '../../pulsar/wire/protocol/decompress.ts';
import type { Decrypt } from '../../pulsar/wire/protocol/decrypt.ts';
import {
  checksumFault,
  decodePayload,
  readStoredEntry,
  type StoredEntry,
} from '../../pulsar/wire/protocol/entry-decoder.ts';
import { type EntryMetadata, isChunk } from '../../pulsar/wire/protocol/entry-metadata.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../topic-name.ts';
import { expectReadable } from '../catalog/archived.ts';
import { partitionName, type RawObject } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import { nothingFound } from '../catalog/nothing-found.ts';
import { PartitionRanges } from '../catalog/object-ranges.ts';
import { readRaw } from '../read/raw-entries.ts';
import { commandSummary } from './index-archive.ts';
import {
  createRecoveredObjects,
  type RecoveredObjects,
  type RecoveredObjectsOptions,
} from './recovered-objects.ts';

export interface RecoverOptions extends RecoveredObjectsOptions {
  readonly topic?: TopicName | undefined;
  readonly knowsMetadata: boolean;
  /** The largest message that is put together in memory. */
  readonly limitBytes: number;
  readonly decrypt?: Decrypt | undefined;
  /** Raw entries at a time. */
  readonly parallel: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** What became of one raw entry. */
export interface RawOutcome {
  readonly key: string;
  /** `already`: its messages were in objects before. `remaining`: they are not, for `reason`. */
  readonly outcome: 'recovered' | 'already' | 'remaining';
  readonly messages: number;
  /** Keys of the objects that hold its messages; in a dry run, would hold. */
  readonly objects: readonly string[];
  readonly reason?: string;
}

export interface RecoverResult {
  /** All raw entries under `_unreadable/`. */
  readonly raw: number;
  /** Those that a manifest names as recovered; they were not read again. */
  readonly recoveredBefore: number;
  /** Of the others, in the order of messages. */
  readonly outcomes: readonly RawOutcome[];
  /** Keys of the manifests that were written, one for each rule. */
  readonly manifests: readonly string[];
}

/** A raw entry that is tried. */
interface Trial {
  readonly raw: RawObject;
  readonly objects: Set<string>;
  messages: number;
  isNew: boolean;
  /** Why something of it is left. */
  reason: string | undefined;
}

/** One chunk of a message, wherever it was kept. */
interface Chunk {
  readonly trial: Trial;
  readonly id: EntryId;
  readonly metadata: EntryMetadata;
  /** Reads its payload once more: chunks are not held in memory until their message is whole. */
  readonly payload: () => Promise<Buffer>;
}

/**
 * Tries every raw entry that no manifest names as recovered. May be repeated, also after a kill.
 * @throws BackupError `config` where there is no archive; `store`, `corrupt`: what was stored by then stays, and is found by the next try
 */
export async function recoverArchive(
  store: ObjectStore,
  prefix: string,
  options: RecoverOptions,
): Promise<RecoverResult> {
  const { topic, clock, onProgress } = options;
  const startedAtMs = clock.now();
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const listing = { ...call, topic, isLocal: !options.knowsMetadata };
  const stream = streamCatalog(store, prefix, listing);
  const partitions = new PartitionRanges(prefix);
  for await (const object of stream.objects()) partitions.addObject(object);
  const catalog = await stream.surroundings();
  if (partitions.size + catalog.raw.length + catalog.missing.length === 0)
    throw await nothingFound(store, prefix, listing);
  const trials = catalog.raw
    .filter(({ recoveredBy }) => recoveredBy !== 'manifest')
    .map((raw): Trial => ({ raw, objects: new Set(), messages: 0, isNew: false, reason: undefined }));
  await expectReadable(
    store,
    trials.map(({ raw }) => raw),
    call,
  );
  const objects = createRecoveredObjects(
    store,
    prefix,
    partitions,
    trials.map(({ raw }) => raw),
    options,
  );
  const chunks = new Map<string, Chunk[]>();
  const slots = createSlots(options.parallel);
  let done = 0;
  await Promise.all(
    trials.map((trial) =>
      slots.run(async () => {
        await tryRaw(store, trial, objects, chunks, options, call);
        onProgress?.(++done, trials.length);
      }),
    ),
  );
  for (const own of chunks.values()) await tryChunks(own, objects, options);
  const manifests: string[] = [];
  for (const [rule, { storedByKey, recovered }] of options.isDry ? [] : await byRule(trials, objects)) {
    const stored = [...storedByKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const summary = commandSummary(rule, 'recover', startedAtMs, clock.now(), stored);
    manifests.push(await storeRunManifest(store, prefix, summary, stored, call, recovered));
  }
  const recoveredBefore = catalog.raw.length - trials.length;
  return { raw: catalog.raw.length, recoveredBefore, outcomes: trials.map(outcomeOf), manifests };
}

/** Stores what can be decoded by itself, and puts chunks aside. */
async function tryRaw(
  store: ObjectStore,
  trial: Trial,
  objects: RecoveredObjects,
  chunks: Map<string, Chunk[]>,
  options: RecoverOptions,
  call: CallOptions,
): Promise<void> {
  const { raw } = trial;
  const { entries } = await readRaw(store, raw, call);
  for (const [index, rawEntry] of entries.entries()) {
    await orReason([trial], async () => {
      const entry = readIntact(rawEntry);
      const { id, metadata } = entry;
      if (!isChunk(metadata)) {
        await keep([trial], objects, await decode(raw, id, metadata, payloadOf(entry, options), options));
        return;
      }
      const name = `${partitionName(raw.topic, raw.partition)} ${metadata.uuid} ${metadata.chunks} ${metadata.chunkedSizeBytes}`;
      const payload = async () => {
        const again = (await readRaw(store, raw, call)).entries[index] as RawEntry;
        return payloadOf(readIntact(again), options);
      };
      chunks.set(name, [...(chunks.get(name) ?? []), { trial, id, metadata, payload }]);
    });
  }
}

/** The chunks of one message, from one raw entry or several. */
async function tryChunks(
  chunks: readonly Chunk[],
  objects: RecoveredObjects,
  options: RecoverOptions,
): Promise<void> {
  const inOrder = chunks.toSorted((a, b) => compareEntries(a.id, b.id));
  const trials = [...new Set(inOrder.map(({ trial }) => trial))];
  await orReason(trials, async () => {
    const count = inOrder[0]?.metadata.chunks ?? 0;
    const whole: Chunk[] = [];
    // On Shared subscriptions they came in any order; one that comes again is a producer's repetition.
    for (let chunkId = 0; chunkId < count; chunkId++) {
      const chunk = inOrder.find(({ metadata }) => metadata.chunkId === chunkId);
      if (chunk === undefined)
        throw new Error(`it is a chunked message; chunk ${chunkId} of ${count} is missing`);
      whole.push(chunk);
    }
    const last = whole.at(-1) as Chunk;
    const sizeBytes = last.metadata.chunkedSizeBytes ?? 0;
    if (sizeBytes > options.limitBytes)
      throw new Error(
        `it has ${sizeBytes} bytes, more than the ${options.limitBytes} that this machine has room for`,
      );
    const payloads: Buffer[] = [];
    for (const { payload } of whole) payloads.push(await payload());
    const { raw } = last.trial;
    await keep(trials, objects, await decode(raw, last.id, last.metadata, Buffer.concat(payloads), options));
  });
}

/** @throws Error whose message is a reason for a person */
function readIntact({ id, bytes }: RawEntry): StoredEntry & { readonly metadata: EntryMetadata } {
  if (bytes[0] === OPENING_BRACE)
    throw new Error("it was kept by the native driver, encrypted: its producer's client has to decrypt it");
  const entry = readStoredEntry(id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const fault = checksumFault(entry.raw) ?? entry.fault;
  const { metadata } = entry;
  if (fault !== undefined || metadata === undefined) throw new Error(fault ?? 'it has no metadata');
  return { ...entry, metadata };
}

const OPENING_BRACE = 0x7b;

/** Decrypted, and still compressed. @throws Error whose message is a reason for a person */
function payloadOf(entry: StoredEntry, { decrypt }: RecoverOptions): Buffer {
  if (entry.metadata?.isEncrypted !== true) return entry.raw.subarray(entry.payloadStart);
  if (decrypt === undefined)
    throw new Error('it is encrypted by its producer: --private-key FILE decrypts it');
  return decrypt(entry);
}

/** @throws Error whose message is a reason for a person */
async function decode(
  { topic, partition }: RawObject,
  id: EntryId,
  metadata: EntryMetadata,
  payload: Buffer,
  { limitBytes }: RecoverOptions,
): Promise<ReadableEntry> {
  await loadCodec(metadata.compression);
  const name = partitionTopic(parseTopicName(topic) as TopicName, partition);
  return decodePayload(id, { ...metadata, isEncrypted: false }, payload, {
    topic: name,
    partition,
    limitBytes,
  });
}

async function keep(
  trials: readonly Trial[],
  objects: RecoveredObjects,
  { messages }: ReadableEntry,
): Promise<void> {
  const [{ raw }] = trials as [Trial];
  const kept = await objects.keep(raw, messages);
  for (const trial of trials) {
    trial.messages += messages.length;
    trial.isNew ||= kept.isNew;
    for (const key of kept.objects) trial.objects.add(key);
  }
}

/** What is wrong with an entry is its reason; what is wrong with the store ends everything. */
async function orReason(trials: readonly Trial[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof BackupError && error.code !== 'corrupt') throw error;
    for (const trial of trials) trial.reason ??= messageOf(error);
  }
}

function outcomeOf({ raw, objects, messages, isNew, reason }: Trial): RawOutcome {
  const outcome = reason !== undefined ? 'remaining' : isNew ? 'recovered' : 'already';
  return {
    key: raw.key,
    outcome,
    messages,
    objects: [...objects],
    ...(reason === undefined ? {} : { reason }),
  };
}

/** What belongs into the manifests: of what is whole, and is in objects. */
async function byRule(trials: readonly Trial[], objects: RecoveredObjects) {
  const rules = new Map<string, { storedByKey: Map<string, ManifestObject>; recovered: RecoveredRaw[] }>();
  for (const { raw, objects: keys, reason } of trials) {
    if (reason !== undefined) continue;
    const rule = await objects.ruleOf(raw);
    const own = rules.get(rule) ?? {
      storedByKey: new Map<string, ManifestObject>(),
      recovered: [] as RecoveredRaw[],
    };
    rules.set(rule, own);
    own.recovered.push({ raw: raw.key, objects: [...keys] });
    for (const object of await objects.manifestObjects([...keys].filter((key) => !own.storedByKey.has(key))))
      own.storedByKey.set(object.key, object);
  }
  return [...rules].sort(([a], [b]) => (a < b ? -1 : 1));
}
