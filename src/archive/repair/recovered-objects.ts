// The objects that hold messages of raw entries: looks whether an object has the messages already, and creates what is missing.
// It never replaces an object, and never stores a message that it can find.
import { type Limits, limitPassedBy, type Size } from '../../batch.ts';
import { BackupError } from '../../errors.ts';
import type { Compression } from '../../format/object-key.ts';
import { objectKey, parseObjectKey } from '../../format/object-key.ts';
import { compareMessageIds, decodeRecord, formatMessageId, parseMessageId } from '../../format/record.ts';
import { encodeRecords } from '../../format/record-encoder.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { readLines } from '../../format/stored-object.ts';
import { createSlots } from '../../lib/semaphore.ts';
import { MemoryBudget } from '../../memory-budget.ts';
import { describeSpan, type PublishSpan, rangeOf } from '../../partition/message-range.ts';
import { ObjectFile } from '../../partition/object-file.ts';
import type { CallOptions, Clock, Message, MessageId, ObjectStore } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { RawObject } from '../catalog/catalog.ts';
import { factsOf } from '../catalog/object-facts.ts';
import type { PartitionRanges } from '../catalog/object-ranges.ts';
import { digestOf } from '../catalog/overlaps.ts';
import { entryName } from '../catalog/raw-objects.ts';
import { createRawHolders, type Holder } from '../read/raw-holders.ts';
import { describeObject } from './index-archive.ts';

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

/** Over the objects of the archive as they were before; `waiting` are the raw entries whose messages may be asked for. */
export function createRecoveredObjects(
  store: ObjectStore,
  prefix: string,
  partitions: PartitionRanges,
  waiting: readonly RawObject[],
  options: RecoveredObjectsOptions,
): RecoveredObjects {
  const { compression, isDry, clock } = options;
  const signal = options.signal ?? new AbortController().signal;
  const call: CallOptions = { signal };
  const wanted = new Set(waiting.map(({ topic, partition, id }) => entryName(topic, partition, id)));
  /** By key: the messages of raw entries that are in the object, by id, with checksums of their records. */
  const held = new Map<string, Promise<ReadonlyMap<string, string>>>();
  const holders = new Map<string, Holder>();
  const created = new Map<string, ManifestObject>();
  const budget = new MemoryBudget(BUFFER_BYTES, clock);
  const slots = createSlots(UPLOADS);
  const mayHoldEntry = createRawHolders(partitions, async (holder) => {
    const found = await readHeld(holder);
    if (found.size > 0) held.set(holder.key, Promise.resolve(found));
    return [...found.keys()].map((id) => parseMessageId(id) as MessageId);
  });

  /** Read once. */
  function heldIn(holder: Holder): Promise<ReadonlyMap<string, string>> {
    let reading = held.get(holder.key);
    if (reading === undefined) {
      reading = readHeld(holder);
      held.set(holder.key, reading);
    }
    return reading;
  }

  async function readHeld({ key, compression: own, topic, partition }: Holder) {
    const found = new Map<string, string>();
    for await (const line of readLines(store, key, own, call)) {
      const message = decodeRecord(line);
      if (wanted.has(entryName(topic, partition, message.id)))
        found.set(formatMessageId(message.id), digestOf(message));
    }
    return found;
  }

  /** What a manifest says about an object that none names. */
  async function describe({ key, topic }: Holder): Promise<ManifestObject[]> {
    const head = await store.head(key, call);
    const parts = parseObjectKey(prefix, key);
    if (head === undefined || parts === undefined) return [];
    const facts = factsOf(parts, undefined, head);
    const { sizeBytes, lastModified } = head;
    const object = { key, sizeBytes, lastModified, parts, topic, manifest: undefined, head, facts };
    const described = await describeObject(store, { ...object, isRecovered: true }, call);
    return described.kind === 'described' ? [described.object] : [];
  }

  async function create(raw: RawObject, messages: readonly Message[]): Promise<string> {
    const first = messages[0] as Message;
    const key = objectKey(prefix, parseTopicName(raw.topic) as TopicName, first, compression);
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
      for (const object of await mayHoldEntry(raw.topic, raw.partition, first.id)) {
        holders.set(object.key, object);
        const found = await heldIn(object);
        for (const [id, digest] of found) {
          const message = missing.get(id);
          if (message === undefined) continue;
          if (digest !== digestOf(message)) throw otherObject(object.key, message);
          objects.add(object.key);
          missing.delete(id);
        }
        const beginning = messages.find(({ id }) => compareMessageIds(id, object.first) === 0);
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
        const holder = holders.get(key);
        if (holder !== undefined && !holder.isListed) named.push(...(await describe(holder)));
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
