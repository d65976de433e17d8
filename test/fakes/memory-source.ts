// A broker with one subscription, in memory, and Sources on it: entries in order, redelivery of what is not
// acknowledged, hooks to fail at any call. Only what the port promises, so that the core is tested against that.

import { BackupError } from '../../src/errors.ts';
import { compareEntries } from '../../src/format/entry-order.ts';
import { isPlainBatch } from '../../src/format/packed-batch.ts';
import type {
  Delivery,
  EntryId,
  Message,
  PackedBatch,
  ReadableEntry,
  SchemaAnswer,
  Source,
  SourcePartition,
  SubscriptionPosition,
  UnreadableEntry,
} from '../../src/ports.ts';
import { encodeMessage } from '../../src/pulsar/wire/protocol/codec.ts';

export interface FakePartition {
  readonly partition: number;
  readonly topic: string;
  readonly entries: (ReadableEntry | UnreadableEntry)[];
  /** Entry ids as text. */
  readonly acknowledged: Set<string>;
  /** Entries that another consumer has acknowledged in a transaction that is not ended: nobody gets them. */
  readonly held: Set<string>;
  /** Where the next entry goes. */
  nextId: EntryId;
  /** Where the broker says that the subscription is, if not behind the last of all that are acknowledged in a row. */
  standsAt: EntryId | undefined;
}

export interface FakeBroker {
  readonly partitions: FakePartition[];
  readonly isInOrder: boolean;
  /** Called before each call takes effect, with the partition; what it throws, the call throws. */
  hook:
    | ((
        call: 'next' | 'acknowledge' | 'restart' | 'backlog',
        partition: FakePartition,
      ) => void | Promise<void>)
    | undefined;
  /** What `next` answers instead of the next entry, once each. */
  readonly interruptions: Map<number, Delivery[]>;
  /** The largest number of unacknowledged entries that are delivered; TDMQ's cap. */
  unacknowledgedCap: number;
  /** Whether a consumer learns the last message at its start. */
  isEndKnown: boolean;
  hasTransactions: boolean;
  /** Whether the broker reports where the subscription is. */
  arePositionsKnown: boolean;
  /** What it answers about a schema version, by its bytes in hex; the others are unknown. */
  readonly schemas: Map<string, SchemaAnswer | (() => Promise<SchemaAnswer>)>;
  /** Versions that were asked for, in hex, in order. */
  readonly schemasAsked: string[];
  /** What was asked to be acknowledged, in order. */
  readonly acknowledgements: (readonly EntryId[])[];
  /** How many entries have arrived by the time that `next` answers, behind its own. */
  arrivals: () => number;
  /** How long each receive would have waited. */
  readonly waitsMs: number[];
  /** In which order a consumer that begins gets the entries; for subscriptions without order. */
  deliveryOrder: (entries: FakePartition['entries']) => FakePartition['entries'];
  backlog(): number;
  /** Makes the open consumer of a partition begin again at its first unacknowledged entry. */
  rewind(partition: number): void;
}

const textOf = (id: EntryId) => `${id.ledgerId}:${id.entryId}`;

export function createFakeBroker(partitionCount: number, options: { isInOrder?: boolean } = {}): FakeBroker {
  const partitions = Array.from(
    { length: partitionCount },
    (_, partition): FakePartition => ({
      partition,
      topic: `persistent://t/n/orders-partition-${partition}`,
      entries: [],
      acknowledged: new Set<string>(),
      held: new Set<string>(),
      nextId: { ledgerId: 7, entryId: 0 },
      standsAt: undefined,
    }),
  );
  return {
    partitions,
    isInOrder: options.isInOrder ?? true,
    hook: undefined,
    interruptions: new Map(),
    unacknowledgedCap: Number.POSITIVE_INFINITY,
    isEndKnown: true,
    hasTransactions: false,
    arePositionsKnown: true,
    schemas: new Map(),
    schemasAsked: [],
    acknowledgements: [],
    arrivals: () => 0,
    waitsMs: [],
    deliveryOrder: (entries) => entries,
    backlog: () =>
      partitions.reduce(
        (sum, one) => sum + one.entries.filter((entry) => !one.acknowledged.has(textOf(entry.id))).length,
        0,
      ),
    rewind: (partition) => rewinds.get(partition)?.(),
  };
}

const rewinds = new Map<number, () => void>();

let sequence = 0;

/** Adds an entry of messages with these payloads to a partition: a batch, or one message alone. */
export function publish(
  partition: FakePartition,
  payloads: readonly (Uint8Array | string | null)[],
  overrides: Partial<Message> = {},
): ReadableEntry {
  const id = takeId(partition);
  const isBatch = payloads.length > 1;
  const messages = payloads.map((payload, index) => ({
    id: { ...id, partition: partition.partition, batchIndex: isBatch ? index : -1 },
    topic: partition.topic,
    publishTimeMs: Date.UTC(2026, 10, 23, 23, 21, 41, 123) + partition.entries.length,
    eventTimeMs: undefined,
    key: undefined,
    orderingKey: undefined,
    properties: [],
    producer: 'p-1',
    sequenceId: sequence++,
    schemaVersion: undefined,
    replicatedFrom: undefined,
    payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
    ...overrides,
  }));
  const packed = isBatch && id.entryId % 2 === 1 ? pack(messages) : undefined;
  const entry: ReadableEntry = { kind: 'entry', id, messages, ...(packed && { packed }) };
  partition.entries.push(entry);
  return entry;
}

/** The same batch, undecoded, where it is of the plain kind: a driver gives both. */
function pack(messages: readonly Message[]): PackedBatch | undefined {
  const isLike = ({ id, key, orderingKey, properties }: Message, index: number) =>
    id.batchIndex === index &&
    typeof key !== 'object' &&
    orderingKey === undefined &&
    properties.length === 0;
  if (!messages.every(isLike)) return undefined;
  const parts = messages.flatMap(({ key, sequenceId, eventTimeMs: eventTime, payload }) => {
    const fields = { partitionKey: key as string | undefined, sequenceId, eventTime };
    const payloadSize = payload?.length ?? 0;
    const head = encodeMessage('SingleMessageMetadata', {
      ...fields,
      payloadSize,
      nullValue: payload === null,
    });
    const size = Buffer.alloc(4);
    size.writeUInt32BE(head.length);
    return [size, head, payload ?? new Uint8Array()];
  });
  const bytes = Buffer.concat(parts);
  const count = messages.length;
  return isPlainBatch(bytes, count) ? { bytes, count, common: messages[0] as Message } : undefined;
}

/** Adds an entry that cannot be decoded. */
export function publishUnreadable(
  partition: FakePartition,
  raw: Uint8Array = Buffer.from('raw bytes'),
): UnreadableEntry {
  const id = takeId(partition);
  const entry: UnreadableEntry = {
    kind: 'unreadable',
    id,
    topic: partition.topic,
    reason: 'the checksum does not match',
    raw: [{ id, bytes: raw }],
  };
  partition.entries.push(entry);
  return entry;
}

function takeId(partition: FakePartition): EntryId {
  const { ledgerId, entryId } = partition.nextId;
  partition.nextId = { ledgerId, entryId: entryId + 1 };
  return { ledgerId, entryId };
}

/** Acknowledges the next entries as somebody else would: nobody gets them. */
export function skip(partition: FakePartition, count: number): void {
  const next = partition.entries.filter(({ id }) => !partition.acknowledged.has(textOf(id)));
  for (const { id } of next.slice(0, count)) partition.acknowledged.add(textOf(id));
}

/** Goes back to right behind this entry. */
export function resetTo(partition: FakePartition, id: EntryId): void {
  partition.acknowledged.clear();
  for (const entry of partition.entries) {
    if (compareEntries(entry.id, id) <= 0) partition.acknowledged.add(textOf(entry.id));
  }
}

function positionIn(fake: FakePartition): SubscriptionPosition {
  const left = fake.entries.findIndex(({ id }) => !fake.acknowledged.has(textOf(id)));
  const last = (left < 0 ? fake.entries : fake.entries.slice(0, left)).at(-1)?.id;
  return {
    acknowledged: fake.standsAt ?? last ?? { ledgerId: 7, entryId: -1 },
    last: fake.entries.at(-1)?.id,
  };
}

export function createFakeSource(broker: FakeBroker): Source {
  let isClosed = false;
  return {
    driver: 'fake',
    open: async () => broker.partitions.map((partition) => openPartition(broker, partition, () => isClosed)),
    close: async () => {
      isClosed = true;
    },
  };
}

function openPartition(broker: FakeBroker, fake: FakePartition, isClosed: () => boolean): SourcePartition {
  const begin = positionIn(fake);
  let first: EntryId | undefined;
  let lastAcknowledged: EntryId | undefined;
  const free = () => fake.entries.filter(({ id }) => !fake.held.has(textOf(id)));
  const last = free().at(-1);
  const isDrained = last === undefined || free().every(({ id }) => fake.acknowledged.has(textOf(id)));
  let entries = fake.entries;
  let cursor = 0;
  let delivered: string[] = [];
  let arrived = 0;
  const rewind = () => {
    entries = broker.deliveryOrder(fake.entries);
    cursor = 0;
    delivered = [];
    arrived = 0;
  };
  const take = () => {
    delivered = delivered.filter((id) => !fake.acknowledged.has(id));
    while (delivered.length < broker.unacknowledgedCap && cursor < entries.length) {
      const entry = entries[cursor++] as ReadableEntry | UnreadableEntry;
      if (fake.acknowledged.has(textOf(entry.id)) || fake.held.has(textOf(entry.id))) continue;
      delivered.push(textOf(entry.id));
      first ??= entry.id;
      return entry;
    }
    return undefined;
  };
  rewind();
  rewinds.set(fake.partition, rewind);
  return {
    partition: fake.partition,
    topic: fake.topic,
    end: broker.isEndKnown ? (isDrained ? null : last.id) : 'unknown',
    canExplainSilence: false,
    hasArrivals: () => false,
    async next(idleMs) {
      broker.waitsMs.push(idleMs);
      await broker.hook?.('next', fake);
      const interruption = broker.interruptions.get(fake.partition)?.shift();
      if (interruption !== undefined) return interruption;
      const entry = take();
      if (entry !== undefined) arrived = broker.arrivals();
      return entry ?? { kind: 'idle' };
    },
    arrived(maxBytes) {
      const interruptions = broker.interruptions.get(fake.partition) ?? [];
      const taken: (ReadableEntry | UnreadableEntry)[] = [];
      for (let bytes = 0; interruptions.length === 0 && arrived > 0; arrived--) {
        const before = cursor;
        const entry = take();
        if (entry === undefined) break;
        bytes += sizeOf(entry);
        if (bytes > maxBytes && taken.length > 0) {
          cursor = before;
          delivered.pop();
          break;
        }
        taken.push(entry);
      }
      return taken;
    },
    async acknowledge(ids) {
      await broker.hook?.('acknowledge', fake);
      const lastId = ids[ids.length - 1];
      if (lastId === undefined) throw new Error('nothing to acknowledge');
      broker.acknowledgements.push(ids);
      lastAcknowledged = lastId;
      // In order, an acknowledgement is a position, as with Pulsar's cumulative ones.
      const isBefore = (id: EntryId) =>
        id.ledgerId < lastId.ledgerId || (id.ledgerId === lastId.ledgerId && id.entryId <= lastId.entryId);
      const acknowledged = broker.isInOrder
        ? free()
            .map(({ id }) => id)
            .filter(isBefore)
        : ids;
      for (const id of acknowledged) fake.acknowledged.add(textOf(id));
    },
    async restart() {
      await broker.hook?.('restart', fake);
      rewind();
    },
    async backlog() {
      await broker.hook?.('backlog', fake);
      return { entries: free().filter((entry) => !fake.acknowledged.has(textOf(entry.id))).length };
    },
    untilActive: async () => false,
    isDrained: async () => true,
    hasTransactions: async () => broker.hasTransactions,
    entriesAtOpen: async () => undefined,
    heldBack: async () => undefined,
    giveUpChunks: async () => [],
    async schema(version) {
      const hex = Buffer.from(version).toString('hex');
      broker.schemasAsked.push(hex);
      const answer = broker.schemas.get(hex) ?? { kind: 'unknown', reason: 'there is none' };
      return typeof answer === 'function' ? answer() : answer;
    },
    async nextBehind(id) {
      return fake.entries.find((entry) => compareEntries(entry.id, id) > 0)?.id;
    },
    positions() {
      if (broker.arePositionsKnown)
        return { begin, isBeginKnown: true, end: isClosed() ? positionIn(fake) : undefined };
      const before = first && { ledgerId: first.ledgerId, entryId: first.entryId - 1 };
      return {
        begin: before && { acknowledged: before, last: begin.last },
        isBeginKnown: false,
        end: lastAcknowledged && { acknowledged: lastAcknowledged, last: undefined },
      };
    },
  };
}

const sizeOf = (entry: ReadableEntry | UnreadableEntry): number =>
  entry.kind === 'entry'
    ? entry.messages.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0)
    : entry.raw.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** The failure of a connection that broke. */
export const connectionLost = () => new BackupError('source', 'connection lost', { retryable: true });
