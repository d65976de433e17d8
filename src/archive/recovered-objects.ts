// The objects that hold messages of raw entries: looks whether an object has the messages already, and creates what is missing.
// It never replaces an object, and never stores a message that it can find.
import { type Limits, limitPassedBy, type Size } from '../batch.ts';
import type { Compression } from '../config.ts';
import { BackupError } from '../errors.ts';
import { objectKey } from '../format/object-key.ts';
import { compareMessageIds, decodeRecord, formatMessageId } from '../format/record.ts';
import { encodeRecords } from '../format/record-encoder.ts';
import type { ManifestObject } from '../format/run-manifest.ts';
import { readLines } from '../format/stored-object.ts';
import { createSlots } from '../lib/semaphore.ts';
import { MemoryBudget } from '../memory-budget.ts';
import { describeSpan, type PublishSpan, rangeOf } from '../partition/message-range.ts';
import { ObjectFile } from '../partition/object-file.ts';
import type { CallOptions, Clock, Message, ObjectStore } from '../ports.ts';
import { parseTopicName, type TopicName } from '../topic-name.ts';
import { type ArchiveObject, byPartition, type Catalog, partitionName, type RawObject } from './catalog.ts';
import { describeObject } from './index-archive.ts';
import { digestOf } from './overlaps.ts';

/** Not those of the settings: an entry has to be split at the same places in every try. */
const LIMITS: Limits = { maxMessages: 5_000, maxBytes: 500_000_000 };
const UPLOADS = 4;
const BUFFER_BYTES = 256 * 1_048_576;

export interface RecoveredObjectsOptions extends CallOptions {
  /** For raw entries whose metadata names no rule. */
  readonly rule: string;
  readonly compression: Compression;
  /** Nothing is created. */
  readonly isDry: boolean;
  readonly clock: Clock;
}

export interface RecoveredObjects {
  /** Makes objects of the messages that are in none; `isNew`: there were some. @throws BackupError `corrupt` where something else is there */
  keep(raw: RawObject, messages: readonly Message[]): Promise<{ objects: readonly string[]; isNew: boolean }>;
  /** The rule that kept it. */
  ruleOf(raw: RawObject): Promise<string>;
  /** What a manifest says about these, but for those that one names already. */
  manifestObjects(keys: readonly string[]): Promise<ManifestObject[]>;
}

/** Over the catalog as it was before; `waiting` are the raw entries whose messages may be asked for. */
export function createRecoveredObjects(
  store: ObjectStore,
  catalog: Catalog,
  waiting: readonly RawObject[],
  options: RecoveredObjectsOptions,
): RecoveredObjects {
  const { compression, isDry, clock } = options;
  const signal = options.signal ?? new AbortController().signal;
  const call: CallOptions = { signal };
  const partitions = byPartition(catalog.objects);
  const byKey = new Map(catalog.objects.map((object) => [object.key, object]));
  const wanted = new Set(
    waiting.map(
      ({ topic, partition, id }) => `${partitionName(topic, partition)} ${id.ledgerId}:${id.entryId}`,
    ),
  );
  const held = new Map<ArchiveObject, Promise<ReadonlyMap<string, string>>>();
  const created = new Map<string, ManifestObject>();
  const budget = new MemoryBudget(BUFFER_BYTES, clock);
  const slots = createSlots(UPLOADS);

  /** The messages of raw entries that are in the object, by id, with checksums of their records. Read once. */
  function heldIn(object: ArchiveObject): Promise<ReadonlyMap<string, string>> {
    let reading = held.get(object);
    if (reading === undefined) {
      reading = readHeld(object);
      held.set(object, reading);
    }
    return reading;
  }

  async function readHeld(object: ArchiveObject): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    const name = partitionName(object.topic, object.parts.partition);
    for await (const line of readLines(store, object.key, object.parts.compression, call)) {
      const message = decodeRecord(line);
      const { ledgerId, entryId } = message.id;
      if (wanted.has(`${name} ${ledgerId}:${entryId}`))
        found.set(formatMessageId(message.id), digestOf(message));
    }
    return found;
  }

  /** Objects that begin with the entry, or begin before it and reach beyond it, or to where nobody says. */
  function mayHoldEntry(raw: RawObject, first: Message): ArchiveObject[] {
    const own = partitions.get(partitionName(raw.topic, raw.partition)) ?? [];
    return own.filter(({ parts, facts: { firstId, lastId } }) => {
      if (parts.ledgerId === first.id.ledgerId && parts.entryId === first.id.entryId) return true;
      if (compareMessageIds(firstId, first.id) > 0) return false;
      return lastId === undefined || compareMessageIds(lastId, first.id) >= 0;
    });
  }

  async function create(raw: RawObject, messages: readonly Message[]): Promise<string> {
    const first = messages[0] as Message;
    const key = objectKey(catalog.prefix, parseTopicName(raw.topic) as TopicName, first, compression);
    if (isDry) return key;
    const rule = await ruleOf(raw);
    const file = new ObjectFile({ key, rule, compression, store, budget, slots, signal }, clock.now());
    try {
      await file.append(encodeRecords(messages), rangeOf(messages));
      await file.seal('end');
      const answer = await file.create();
      if (answer.kind === 'exists') throw otherObject(key, first);
      const last = messages.at(-1) as Message;
      created.set(key, {
        key,
        partition: raw.partition,
        messages: messages.length,
        recordBytes: file.bytes,
        size: answer.sizeBytes,
        firstId: formatMessageId(first.id),
        lastId: formatMessageId(last.id),
        ...describeSpan(file as PublishSpan),
        crc64: answer.crc64,
        sha256: file.sha256,
        alreadyStored: false,
      });
      return key;
    } finally {
      await file.discard();
    }
  }

  async function ruleOf({ key }: RawObject): Promise<string> {
    return (await store.head(key, call))?.metadata['rule'] ?? options.rule;
  }

  return {
    ruleOf,
    async keep(raw, messages) {
      const objects = new Set<string>();
      const first = messages[0];
      if (first === undefined) return { objects: [], isNew: true };
      const missing = new Map(messages.map((message) => [formatMessageId(message.id), message]));
      for (const object of mayHoldEntry(raw, first)) {
        const found = await heldIn(object);
        for (const [id, digest] of found) {
          const message = missing.get(id);
          if (message === undefined) continue;
          if (digest !== digestOf(message)) throw otherObject(object.key, message);
          objects.add(object.key);
          missing.delete(id);
        }
        const beginning = messages.find(({ id }) => compareMessageIds(id, object.facts.firstId) === 0);
        if (beginning !== undefined && !found.has(formatMessageId(beginning.id)))
          throw otherObject(object.key, beginning);
      }
      // The last one first: once there is an object under the key of the first message, the entry is whole.
      for (const part of splitByLimits([...missing.values()]).reverse()) objects.add(await create(raw, part));
      return { objects: [...objects].sort(), isNew: missing.size > 0 };
    },
    async manifestObjects(keys) {
      const named: ManifestObject[] = [];
      for (const key of keys) {
        const own = created.get(key);
        if (own !== undefined) named.push(own);
        const object = byKey.get(key);
        if (object === undefined || object.manifest !== undefined) continue;
        const described = await describeObject(store, object, call);
        if (described.kind === 'described') named.push(described.object);
      }
      return named;
    },
  };
}

function splitByLimits(messages: readonly Message[]): Message[][] {
  const parts: Message[][] = [];
  let open: Size = { messages: 0, bytes: 0 };
  for (const message of messages) {
    const more = { messages: 1, bytes: encodeRecords([message]).sizeBytes };
    if (parts.length === 0 || limitPassedBy(open, more, LIMITS) !== undefined) {
      parts.push([]);
      open = { messages: 0, bytes: 0 };
    }
    parts.at(-1)?.push(message);
    open = { messages: open.messages + 1, bytes: open.bytes + more.bytes };
  }
  return parts;
}

const otherObject = (key: string, { id }: Message): BackupError =>
  new BackupError(
    'corrupt',
    `${key} exists and does not hold message ${formatMessageId(id)} as it was decoded; nothing was replaced`,
    {
      hint: 'Another archive lives at this prefix, or the object was changed: archive verify looks at it.',
      details: { key },
    },
  );
