// The manual of the system: what the core (drain.ts) asks of a message source, of an object store and of time, what a
// restore asks of a publisher and of its notes, and what each may rely on. Adapters implement these shapes; nothing here
// knows a vendor.
import type { Exactly, Level, LogFields, LogMessageAt } from './log-events.ts';
import type { TopicName } from './topic-name.ts';

/** What the broker stores and acknowledges as one: a producer's batch, or a single message. */
export interface EntryId {
  readonly ledgerId: number;
  readonly entryId: number;
}

/** Where a message is: its entry, its partition (-1: topic not partitioned), its place in the batch (-1: none). */
export interface MessageId extends EntryId {
  readonly partition: number;
  readonly batchIndex: number;
}

/** Milliseconds since the epoch, below 0 before 1970. A bigint only beyond 2^53, where clocks of producers went astray. */
export type TimeMs = number | bigint;

/** A text that a producer wrote; its bytes where they are no valid UTF-8. */
export type Text = string | Uint8Array;

/** One message, complete, as its producer published it. Absent fields are `undefined`, so all have one shape. */
export interface Message {
  readonly id: MessageId;
  /** Full name of the topic partition, `persistent://tenant/ns/topic[-partition-N]`. */
  readonly topic: string;
  /** Set by the producer's client. */
  readonly publishTimeMs: TimeMs;
  readonly eventTimeMs: TimeMs | undefined;
  /** Text, or bytes where the producer marked the key as binary. */
  readonly key: Text | undefined;
  readonly orderingKey: Uint8Array | undefined;
  /** In any order; each name once. The record format sorts them. */
  readonly properties: readonly (readonly [name: Text, value: Text])[];
  readonly producer: Text | undefined;
  /** A bigint only beyond 2^53. */
  readonly sequenceId: number | bigint | undefined;
  readonly schemaVersion: Uint8Array | undefined;
  /** The cluster that geo-replication brought it from. */
  readonly replicatedFrom: Text | undefined;
  /** `null` is a tombstone; empty is an empty message. */
  readonly payload: Uint8Array | null;
}

/** A schema as a broker has it. */
export interface TopicSchema {
  /** As `SchemaType` of Pulsar's Java client names it; `TYPE_{n}` for a number without a name. */
  readonly type: string;
  readonly name: string;
  /** In any order. */
  readonly properties: readonly (readonly [name: Text, value: Text])[];
  /** Pulsar's `schema_data`. */
  readonly definition: Uint8Array;
}

/** What a broker answers about a version of a topic's schema. */
export type SchemaAnswer =
  | { readonly kind: 'schema'; readonly schema: TopicSchema }
  /** It has none under this version, does not say, or was not asked. `reason`: one clause for a person. */
  | { readonly kind: 'unknown'; readonly reason: string; readonly hint?: string | undefined };

/**
 * An entry with the messages it holds, in order. Empty where the broker stores what no consumer sees (markers,
 * compacted-out messages): then there is nothing to store, but it is acknowledged like any other. A driver may join
 * several stored entries into one (a chunked message): its id is the last one's, and acknowledging it acknowledges all.
 */
export interface ReadableEntry {
  readonly kind: 'entry';
  readonly id: EntryId;
  /** May be decoded when it is read first. */
  readonly messages: readonly Message[];
  /** The same messages, undecoded; only of a batch that is whole and of the plain kind (format/packed-batch.ts). */
  readonly packed?: PackedBatch;
  /**
   * Where the bytes of the entry are in memory that the driver uses again: call `release` once, when nothing of the entry
   * is in use any more. Whoever never calls it keeps them.
   */
  readonly memory?: { release(): void } | undefined;
}

/** What all messages of an entry have in common. */
export type CommonFields = Pick<
  Message,
  'id' | 'topic' | 'publishTimeMs' | 'producer' | 'sequenceId' | 'schemaVersion' | 'replicatedFrom'
>;

/** A batch as its producer packed it: each message is its size, a SingleMessageMetadata (PulsarApi.proto) and a payload. */
export interface PackedBatch {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** The id is that of the first message; the sequence id is for messages without one of their own. */
  readonly common: CommonFields;
}

/** One stored entry as the broker sent it. */
export interface RawEntry {
  readonly id: EntryId;
  /** Metadata included, from the checksum's magic number on where there is one. */
  readonly bytes: Uint8Array;
}

/**
 * An entry that cannot be decoded (bad checksum, unknown codec, encrypted), or chunks that cannot be joined: then its
 * id is the last one's, and acknowledging it acknowledges all. Kept raw, never dropped.
 */
export interface UnreadableEntry {
  readonly kind: 'unreadable';
  readonly id: EntryId;
  readonly topic: string;
  /** One sentence for a person. */
  readonly reason: string;
  /** What a person can do, so that the next such entry is decoded. */
  readonly hint?: string | undefined;
  /** The stored entries that it is made of, in order: one, or the chunks of a message. */
  readonly raw: readonly RawEntry[];
  /** As of a message, where it can be read all the same. */
  readonly schemaVersion?: Uint8Array | undefined;
}

/** What `next` can answer besides entries. */
export type Signal =
  /** Nothing arrived within the idle time. The connection is alive. */
  | { readonly kind: 'idle' }
  /** As `idle`, but what is due here may be behind what its connection brought for others meanwhile. */
  | { readonly kind: 'behind' }
  /** The first or middle chunks of a message that is not complete: seen up to `id`, nothing to store or acknowledge. */
  | { readonly kind: 'pending'; readonly id: EntryId }
  /** Failover: another consumer is the active one; nothing is delivered here until that changes. */
  | { readonly kind: 'standby' }
  /**
   * Failover: the partition has moved to another consumer. Whatever was handed out and is not acknowledged is
   * delivered there again. If it comes back, deliveries resume at the first unacknowledged entry.
   */
  | { readonly kind: 'lost' }
  /** The topic was terminated and everything in it has been delivered. */
  | { readonly kind: 'end' };

export type Delivery = ReadableEntry | UnreadableEntry | Signal;

/** Why a broker does not hand out what a subscription has left. */
export type HeldBackReason =
  /** Messages in chunks whose last chunk has not come. */
  | 'incomplete chunks'
  /** Messages in chunks that did not fit into memory beside others of this run. */
  | 'too little memory'
  /** Published in a transaction that is not ended, or acknowledged in one. */
  | 'open transaction'
  /** Shared and Key_Shared: not due yet. */
  | 'delayed messages'
  /** The broker counts entries that are gone, of deleted ledgers: behind what came it has no message for anybody. */
  | 'none to deliver'
  /** A consumer cannot know it. */
  | 'unknown';

/** How much the subscription still has to deliver. Brokers count entries or messages, by version. */
export interface Backlog {
  readonly entries?: number;
  readonly messages?: number;
  /** When the next message to be handed out was published; absent where the driver does not have it yet. */
  readonly nextPublishTimeMs?: TimeMs;
}

/** Where a subscription is in a partition. */
export interface SubscriptionPosition {
  /** Everything up to here is acknowledged. An entry id of -1 is before the first entry of its ledger. */
  readonly acknowledged: EntryId;
  /** The partition's last message at that time; `undefined`: there is none, or the broker does not report it. */
  readonly last: EntryId | undefined;
}

/** The positions of the subscription around a run; `undefined` where one is not known. */
export interface RunPositions {
  /** When the consumer came, before it asked for an entry. */
  readonly begin: SubscriptionPosition | undefined;
  /** False: the broker does not report it; `begin` is right before the first entry that came. */
  readonly isBeginKnown: boolean;
  /** When the consumer left: with what the broker acknowledged by itself (markers, aborted transactions). */
  readonly end: SubscriptionPosition | undefined;
  /** Messages behind `from` were passed over while the consumer was there: a reader still gets the first of them. */
  readonly passedOver?: { readonly from: EntryId; readonly to: EntryId } | undefined;
}

/** One partition of the topic, with the one consumer that this run has on it. */
export interface SourcePartition {
  /** -1 where the topic is not partitioned. */
  readonly partition: number;
  /** Full name of the topic partition. */
  readonly topic: string;
  /**
   * The last message at `open`: the bound of the run. `null`: there is nothing to drain (empty, or all
   * acknowledged). `'unknown'`: the driver cannot ask; the run is bounded by publish time and an idle receive.
   */
  readonly end: EntryId | null | 'unknown';
  /**
   * Whether `heldBack` can find a reason. Then a silence alone ends nothing: the driver is asked about it. Else the
   * idle time is all that is known.
   */
  readonly canExplainSilence: boolean;

  /**
   * The next delivery, in the broker's order. Waits at most `idleMs`, then answers `idle`. Reads from the broker
   * only as far as its receive budget allows, so a partition that is not asked costs little and delays no other.
   * After a reconnect the driver may hand out entries again that were not acknowledged; the caller drops them.
   * One call at a time. @throws BackupError `source`
   */
  next(idleMs: number): Promise<Delivery>;

  /**
   * The next deliveries, as many as have arrived: a promise for each small entry would cost more than the entry. The first
   * may have any size; all together have at most about `maxBytes` when there are several. A signal other than `pending` comes
   * by itself: what came behind it would be dropped. None: ask `next`, which waits, throws, or has to load something
   * first. Not while a `next` waits.
   */
  arrived(maxBytes: number): readonly Delivery[];

  /** Whether something came after `idle`, and waits for `next`: then that silence is over, and ends nothing. */
  hasArrivals(): boolean;

  /**
   * Acknowledges entries, given in delivery order. Exclusive and Failover: also everything before the last of
   * them. Resolves only when the broker has it (receipt, or a barrier on the same connection); where a driver
   * cannot know (native), its doc says so. May be repeated. @throws BackupError `source`, retryable if the
   * connection was lost: call again, the driver reconnects.
   */
  acknowledge(entries: readonly EntryId[]): Promise<void>;

  /**
   * Resumes the partition: what follows begins at the first unacknowledged entry. No delivery from before the call comes
   * after it. @throws BackupError `source`
   */
  restart(): Promise<void>;

  /**
   * After `standby`: true when this consumer may be the active one again, or has failed; false when `signal` is
   * aborted before that. Drivers that never answer `standby` return false.
   */
  untilActive(signal: AbortSignal): Promise<boolean>;

  /**
   * After `standby`: whether everything up to `end` is acknowledged, by whoever has the partition; true where that
   * cannot be known. Never throws. Drivers that never answer `standby` return true.
   */
  isDrained(): Promise<boolean>;

  /** What the subscription has left in this partition, or `undefined` where it cannot be known. */
  backlog(): Promise<Backlog | undefined>;

  /**
   * How many entries the subscription had left at `open`, or `undefined` where it cannot be known. A broker may report
   * an `end` before the last of them (compaction); then this number bounds the run.
   */
  entriesAtOpen(): Promise<number | undefined>;

  /**
   * After `idle`: why `entries` that were not handed out do not come. `undefined`: they may come at any moment, or the
   * driver cannot explain silence. `quietMs`: for so long nothing has come. May find an entry that the broker passed
   * over; `next` hands it out then.
   */
  heldBack(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined>;

  /**
   * When everything is drained: what there is of messages in chunks whose last chunk has not come, where none of it was
   * published at or after that time. They come before what was handed out already; the caller keeps each raw and then
   * acknowledges it, and then there may be more. Where there are none, the driver logs those that it keeps waiting for.
   * Drivers that hold no chunks return none.
   */
  giveUpChunks(publishedBeforeMs: number): Promise<readonly UnreadableEntry[]>;

  /** Complete once the source is closed. `undefined`: this driver never learns positions. */
  positions(): RunPositions | undefined;

  /**
   * Whether the broker has transactions. Then it may hand out an entry to a later run than those behind it: once a
   * transaction is aborted in which another consumer acknowledged it. True where the driver cannot know. Never throws,
   * and waits for no connection.
   */
  hasTransactions(): Promise<boolean>;

  /**
   * The first message behind `id` that a reader of the topic still gets, whatever is acknowledged; `undefined` where
   * there is none, or the driver cannot ask. Never throws.
   */
  nextBehind(id: EntryId): Promise<EntryId | undefined>;

  /**
   * The topic's schema of this version, as it is in `schemaVersion` of a message. The broker is asked for a version once
   * for all partitions, and again only after a consumer had to subscribe again: the topic may be another one since.
   * Never throws; takes a few seconds at most, and delays no delivery.
   */
  schema(version: Uint8Array): Promise<SchemaAnswer>;
}

/** Messages from a subscription. One per run. */
export interface Source {
  readonly driver: string;
  /**
   * Connects, finds the partitions, subscribes to each in order. `'busy'`: the subscription is Exclusive and
   * somebody else has it; nothing is left open. @throws BackupError `source` with a hint, within its time-outs
   */
  open(): Promise<readonly SourcePartition[] | 'busy'>;
  /** Ends consumers and connections, awaited; also after a failed `open`. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}

/** Bytes to store: chunks in order, not to be changed until the call ends. */
export interface Body {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
}

/** What an object gets besides its bytes when it is created. */
export interface ObjectAttributes {
  /** Names without `x-cos-meta-`; lower case ASCII, no underscore. Values ASCII; together under 2 KB. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType: string;
  /** Small, and needed by later runs or commands: never in a storage class that has to be thawed before it can be read. */
  readonly isReadByRuns?: boolean;
}

/** The object is durable, and is ours: its checksum was compared with what was sent. */
export interface Created {
  readonly kind: 'created';
  /** CRC-64/XZ of the stored bytes, decimal. */
  readonly crc64: string;
}

/** There is an object at the key already; nothing was stored and nothing was changed. */
export interface Exists {
  readonly kind: 'exists';
}

export interface ObjectHead {
  readonly key: string;
  readonly sizeBytes: number;
  /** CRC-64/XZ, decimal; `undefined` where the store does not report it. */
  readonly crc64: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly lastModified: Date;
  /** The class, or the tier that it is in; `undefined` where the store does not have any, or it is the usual one. */
  readonly storageClass?: string | undefined;
  /** Of an object in an archive class: `asked` for, or there until then. */
  readonly thaw?: 'asked' | Date | undefined;
}

export interface ListedObject {
  /** As `ObjectHead` has it, but for tiers. */
  readonly storageClass?: string | undefined;
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** Of an object of one PUT its MD5, hex; of others, or where the bucket encrypts with keys of its own, something else. */
  readonly etag?: string;
}

/** An object right below a prefix, or the keys that go on with one more name and a `/`. */
export type FolderItem =
  | { readonly kind: 'object'; readonly key: string; readonly object: ListedObject }
  /** `key` ends in `/`. */
  | { readonly kind: 'folder'; readonly key: string };

/** An unfinished multipart upload. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly initiated: Date;
  /** Since it was initiated, by the store's own clock; 0 where the store does not report its time. */
  readonly ageMs: number;
}

/** What every call can be given: an abort ends it at once, sockets included, with a retryable BackupError. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** A multipart upload under way. Nothing is visible in the store before `complete` has answered. */
export interface Upload {
  readonly kind: 'upload';
  /**
   * Stores part `number` (from 1), and resolves when its checksum was compared with `crc64`, decimal. Parts but the
   * last are at least 1 MiB. May run side by side; may be repeated.
   */
  part(number: number, body: Body, crc64: string, options?: CallOptions): Promise<void>;
  /** Makes the object visible, as one. `crc64` (decimal) and `sizeBytes` are those of all parts together. */
  complete(whole: { crc64: string; sizeBytes: number }, options?: CallOptions): Promise<Created | Exists>;
  /** Ends the upload and frees its parts. May be repeated, and after a failed `complete`. */
  abort(options?: CallOptions): Promise<void>;
}

/**
 * Objects in one bucket. Append-only: no call here replaces an object. Calls are single tries, bounded in time;
 * failures are BackupErrors of code `store`, with `retryable` set and `outcomeUnknown` where the store may have
 * done what was asked all the same. Who wants repetition wraps the store in retryingStore.
 */
export interface ObjectStore {
  /** Creates a small object (at most one part) with one request. `crc64` is that of the body, decimal. */
  create(
    key: string,
    body: Body,
    crc64: string,
    attributes: ObjectAttributes,
    options?: CallOptions,
  ): Promise<Created | Exists>;
  /** Objects are going to be created: asks at once, beside all else, what the first would have to wait for. Never throws. */
  expectCreations(): void;
  /** Begins a multipart upload. `Exists` where the store reports it this early. */
  startUpload(key: string, attributes: ObjectAttributes, options?: CallOptions): Promise<Upload | Exists>;
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** The object's bytes from `start` to `end` (inclusive; negative `start`: that many last bytes). Errors while reading are thrown by the iterator. */
  read(key: string, options?: CallOptions & { start?: number; end?: number }): AsyncIterable<Uint8Array>;
  /** Objects whose keys begin with `prefix`, in key order, after `startAfter`. */
  list(prefix: string, options?: CallOptions & { startAfter?: string }): AsyncIterable<ListedObject>;
  /** What is right below `prefix`, which ends in `/` or is empty, in key order after `startAfter`. */
  listFolder(prefix: string, options?: CallOptions & { startAfter?: string }): AsyncIterable<FolderItem>;
  listUploads(prefix: string, options?: CallOptions): AsyncIterable<UnfinishedUpload>;
  abortUpload(key: string, uploadId: string, options?: CallOptions): Promise<void>;
  /** Ends every socket. May be repeated; never throws. */
  close(): Promise<void>;
}

/** Small texts beside an archive that may be replaced, as its objects may not. */
export interface Notes {
  /** `undefined`: there is none at the key. @throws BackupError */
  read(key: string): Promise<string | undefined>;
  /** Resolves when the text is durable, whatever was at the key before. @throws BackupError */
  write(key: string, text: string): Promise<void>;
}

/** A message to publish. Sequence ids grow within a producer, and may leave some out. */
export interface OutgoingMessage
  extends Pick<Message, 'key' | 'orderingKey' | 'properties' | 'eventTimeMs' | 'payload'> {
  readonly sequenceId: number;
  /** One that `registerSchema` has returned; absent where the message has no schema. */
  readonly schemaVersion?: Uint8Array | undefined;
}

export type ProducerCompression = 'none' | 'zlib' | 'zstd';

export interface PublishOptions {
  readonly compression: ProducerCompression;
  /** Several messages in one entry. Consumers of type Key_Shared want it off. */
  readonly batching: boolean;
  /** Bytes that one producer may have sent without a receipt, by and large: one message may always go. */
  readonly windowBytes: number;
  /** Whether an earlier producer of this name may have sent some of what is sent now. */
  readonly mayRepeat: boolean;
  /** What the producer says that it sends; some topics take none without. Messages may have others. */
  readonly schema?: TopicSchema | undefined;
}

/** What became of an entry that was to be published as it is. */
export type EntrySent =
  | { readonly kind: 'sent' }
  /** No broker would take it. `reason`: one clause for a person. */
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * One producer on one topic partition. The broker stores messages in the order of `send`, each with its sequence id.
 * After a lost connection it connects again and sends again what had no receipt; the topic has that twice where it does
 * not drop duplicates. A failure is final: every call after it throws it.
 */
export interface TopicProducer {
  /**
   * The last sequence id that the broker has from a producer of this name, at the time of `open`: known where the topic
   * drops duplicates, else -1.
   */
  readonly lastSequenceId: number;
  /** The broker has everything up to this sequence id; -1 before the first receipt. */
  readonly acknowledgedSequenceId: number;
  /** Resolves when there is room for more, not when the broker has it. One call at a time. @throws BackupError `source` */
  send(message: OutgoingMessage): Promise<void>;
  /** As `send`, for an entry as a broker stored it: everything as it was, but its producer's name and sequence id. */
  sendEntry(entry: Uint8Array, sequenceId: number): Promise<EntrySent>;
  /** Sends what waits for a batch to fill. */
  push(): void;
  /** Resolves when the broker has everything. @throws BackupError `source` */
  flush(): Promise<void>;
  /** Ends it and every wait; what has no receipt may be lost. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}

/** A topic as a producer finds it. */
export interface TopicLook {
  /** 0 for a plain topic. */
  readonly partitions: number;
  /** The largest entry that its brokers take; a larger message goes in chunks. */
  readonly maxEntryBytes: number;
  /** Whether no partition has a message; `undefined` where the role may not know. */
  readonly isEmpty: boolean | undefined;
  /** How long a broker takes to answer. */
  readonly roundTripMs: number;
}

/** Messages to topics. */
export interface Publisher {
  /** How many partitions the topic has; 0 for a plain topic. @throws BackupError `source` */
  partitions(topic: TopicName): Promise<number>;
  /**
   * Looks at a topic before anything is published to it, by a producer on each partition that sends nothing.
   * `hasSchemas`: what is published has schemas, which are registered then, and not by this.
   * @throws BackupError `source` where publishing would be refused: no such topic, no permission, a schema that is enforced
   */
  look(topic: TopicName, what: { readonly hasSchemas: boolean }): Promise<TopicLook>;
  /**
   * The version that the schema has in the topic: a new one where it was not there. May be repeated.
   * @throws BackupError `source` with the broker's reason where it refuses the schema
   */
  registerSchema(topicPartition: string, schema: TopicSchema): Promise<Uint8Array>;
  /** A producer of this name on a topic partition; a name is one producer's at a time. @throws BackupError `source` */
  open(topicPartition: string, producerName: string, options: PublishOptions): Promise<TopicProducer>;
  /** Ends all producers and connections. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}

/** Time, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Logs one of the events of log-events.ts: its fields first, its message second. Another field does not compile. */
export type Log<L extends Level> = <M extends LogMessageAt<L>, Fields extends LogFields<M>>(
  fields: Exactly<LogFields<M>, Fields>,
  message: M,
) => void;

/** What the function logs to, in pino's shape. */
export interface Logger {
  readonly debug: Log<'debug'>;
  readonly info: Log<'info'>;
  readonly warn: Log<'warn'>;
  readonly error: Log<'error'>;
}
