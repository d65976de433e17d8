// The manual of the system: what the core (drain.ts) requires of a message source, an object store and a clock, what
// a restore requires of a publisher and of its notes, and what each side may rely on. Adapters implement these
// shapes; nothing here knows a vendor.
import type { Exactly, Level, LogFields, LogMessageAt } from './log-events.ts';
import type { TopicName } from './topic-name.ts';

/** The unit that the broker stores and acknowledges: a producer's batch, or a single message. */
export interface EntryId {
  readonly ledgerId: number;
  readonly entryId: number;
}

/**
 * The place of a message: its entry, its partition (-1: topic not partitioned), its index in the batch (-1: none).
 */
export interface MessageId extends EntryId {
  readonly partition: number;
  readonly batchIndex: number;
}

/**
 * Milliseconds since the epoch, negative before 1970. A bigint only beyond 2^53, from producers with broken clocks.
 */
export type TimeMs = number | bigint;

/** A producer's text, or its bytes if they are not valid UTF-8. */
export type Text = string | Uint8Array;

/** One message, complete, as its producer published it. Absent fields are `undefined`, so all have one shape. */
export interface Message {
  readonly id: MessageId;
  /** Full name of the topic partition, `persistent://tenant/ns/topic[-partition-N]`. */
  readonly topic: string;
  /** Set by the producer's client. */
  readonly publishTimeMs: TimeMs;
  readonly eventTimeMs: TimeMs | undefined;
  /** Text, or bytes if the producer marked the key as binary. */
  readonly key: Text | undefined;
  readonly orderingKey: Uint8Array | undefined;
  /** In any order; each name once. The record format sorts them. */
  readonly properties: readonly (readonly [name: Text, value: Text])[];
  readonly producer: Text | undefined;
  /** A bigint only beyond 2^53. */
  readonly sequenceId: number | bigint | undefined;
  readonly schemaVersion: Uint8Array | undefined;
  /** The cluster from which geo-replication copied it. */
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

/** A broker's answer about a version of a topic's schema. */
export type SchemaAnswer =
  | { readonly kind: 'schema'; readonly schema: TopicSchema }
  /** It has none under this version, did not answer, or was not asked. `reason`: one clause for a person. */
  | { readonly kind: 'unknown'; readonly reason: string; readonly hint?: string | undefined };

/**
 * An entry with its messages, in order. Empty for entries without visible messages (markers, compacted-out messages):
 * there is nothing to store, but the entry is acknowledged like any other. A driver may join several stored entries
 * into one (a chunked message): its id is the last one's, and acknowledging it acknowledges all.
 */
export interface ReadableEntry {
  readonly kind: 'entry';
  readonly id: EntryId;
  /** May be decoded when it is read first. */
  readonly messages: readonly Message[];
  /** The same messages, undecoded; only for complete, plain batches (format/packed-batch.ts). */
  readonly packed?: PackedBatch;
  /**
   * Present if the driver reuses the memory of the entry's bytes: call `release` once, when nothing of the entry is
   * in use any more. Without the call the memory stays in use.
   */
  readonly memory?: { release(): void } | undefined;
}

/** The fields that all messages of an entry share. */
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
  /** Including its metadata, from the checksum's magic number on if there is one. */
  readonly bytes: Uint8Array;
}

/**
 * An entry that cannot be decoded (bad checksum, unknown codec, encrypted), or chunks that cannot be joined: its id
 * is that of the last one, and acknowledging it acknowledges all. Kept raw, never dropped.
 */
export interface UnreadableEntry {
  readonly kind: 'unreadable';
  readonly id: EntryId;
  readonly topic: string;
  /** One sentence for a person. */
  readonly reason: string;
  /** How a person can make such entries decodable. */
  readonly hint?: string | undefined;
  /** Its stored entries, in order: one, or the chunks of a message. */
  readonly raw: readonly RawEntry[];
  /** That of its messages, if it can be read. */
  readonly schemaVersion?: Uint8Array | undefined;
}

/** What `next` can return besides entries. */
export type Signal =
  /** Nothing arrived within the idle time. The connection is alive. */
  | { readonly kind: 'idle' }
  /**
   * As `idle`, but this partition's entries may wait behind those that the connection delivered to others meanwhile.
   */
  | { readonly kind: 'behind' }
  /** The first or middle chunks of an incomplete message: read up to `id`, nothing to store or acknowledge. */
  | { readonly kind: 'pending'; readonly id: EntryId }
  /** Failover: another consumer is the active one; nothing is delivered here until that changes. */
  | { readonly kind: 'standby' }
  /**
   * Failover: the partition was assigned to another consumer. Unacknowledged deliveries are redelivered there. If it
   * comes back, deliveries resume at the first unacknowledged entry.
   */
  | { readonly kind: 'lost' }
  /** The topic was terminated and everything in it has been delivered. */
  | { readonly kind: 'end' };

export type Delivery = ReadableEntry | UnreadableEntry | Signal;

/** Why a broker does not deliver the rest of a subscription's backlog. */
export type HeldBackReason =
  /** Chunked messages without their last chunk. */
  | 'incomplete chunks'
  /** Chunked messages that did not fit into memory beside others of this run. */
  | 'too little memory'
  /** Published or acknowledged in a transaction that has not ended. */
  | 'open transaction'
  /** Shared and Key_Shared: not due yet. */
  | 'delayed messages'
  /** The broker counts entries of deleted ledgers: it has no message left. */
  | 'none to deliver'
  /** A consumer cannot know it. */
  | 'unknown';

/** How much the subscription still has to deliver. Brokers count entries or messages, by version. */
export interface Backlog {
  readonly entries?: number;
  readonly messages?: number;
  /** The publish time of the next message; absent if the driver does not have it yet. */
  readonly nextPublishTimeMs?: TimeMs;
}

/** The position of a subscription in a partition. */
export interface SubscriptionPosition {
  /** Everything up to here is acknowledged. An entry id of -1 is before the first entry of its ledger. */
  readonly acknowledged: EntryId;
  /** The partition's last message at that time; `undefined` if there is none, or the broker does not report it. */
  readonly last: EntryId | undefined;
}

/** What the subscription skipped in the course of a run. */
export interface PassedOver {
  readonly from: EntryId;
  readonly to: EntryId;
  /** The consumer was away then: another run may have read and stored it. */
  readonly wasAway?: boolean;
}

/** The positions of the subscription around a run; `undefined` where one is not known. */
export interface RunPositions {
  /** When the consumer subscribed, before it requested an entry. */
  readonly begin: SubscriptionPosition | undefined;
  /** False if the broker does not report it; `begin` is then right before the first delivered entry. */
  readonly isBeginKnown: boolean;
  /**
   * When the consumer closed, including entries that the broker acknowledged itself (markers, aborted transactions).
   */
  readonly end: SubscriptionPosition | undefined;
  /** Messages after `from` were skipped while the consumer was connected: a reader still gets the first of them. */
  readonly passedOver?: PassedOver | undefined;
}

/** One partition of the topic, with this run's consumer. */
export interface SourcePartition {
  /** -1 where the topic is not partitioned. */
  readonly partition: number;
  /** Full name of the topic partition. */
  readonly topic: string;
  /**
   * The last message at `open`, where the run ends. `null`: there is nothing to drain (empty, or all acknowledged).
   * `'unknown'`: the driver cannot ask; publish times and an idle receive end the run.
   */
  readonly end: EntryId | null | 'unknown';
  /**
   * Whether `heldBack` can find a reason. If so, silence alone does not end the run: the core asks the driver.
   * Otherwise only the idle time is known.
   */
  readonly canExplainSilence: boolean;

  /**
   * The next delivery, in the broker's order. Waits at most `idleMs`, then answers `idle`. Reads from the broker only
   * as far as its receive budget allows, so an unread partition costs little and delays no other. After a reconnect
   * the driver may deliver unacknowledged entries again; the caller drops them. One call at a time. @throws
   * BackupError `source`
   */
  next(idleMs: number): Promise<Delivery>;

  /**
   * The deliveries that have arrived: a promise for each small entry would cost more than the entry. The first may
   * have any size; several together have at most about `maxBytes`. A signal other than `pending` is returned alone,
   * because the caller would drop entries after it. If empty, call `next`, which waits, throws, or first loads
   * something. Do not call it while a `next` waits.
   */
  arrived(maxBytes: number): readonly Delivery[];

  /** Whether something arrived after `idle`, and waits for `next`: then the silence is over. */
  hasArrivals(): boolean;

  /**
   * Acknowledges entries, given in delivery order. Exclusive and Failover: also everything before the last of them.
   * Resolves only when the broker has it (receipt, or a barrier on the same connection); a driver that cannot know it
   * (native) documents that. May be repeated. @throws BackupError `source`, retryable if the connection was lost:
   * call again, the driver reconnects.
   */
  acknowledge(entries: readonly EntryId[]): Promise<void>;

  /**
   * Resumes the partition: the next delivery is the first unacknowledged entry. No earlier delivery follows the call.
   * @throws BackupError `source`
   */
  restart(): Promise<void>;

  /**
   * After `standby`: true when this consumer may be the active one again, or has failed; false if `signal` aborts
   * first. Drivers that never answer `standby` return false.
   */
  untilActive(signal: AbortSignal): Promise<boolean>;

  /**
   * After `standby`: whether the other consumer has acknowledged everything up to `end`; true if that cannot be
   * known. Never throws. Drivers that never answer `standby` return true.
   */
  isDrained(): Promise<boolean>;

  /** The subscription's backlog in this partition; `undefined` if it cannot be known. */
  backlog(): Promise<Backlog | undefined>;

  /**
   * The backlog in entries at `open`; `undefined` if it cannot be known. After a compaction a broker may report an
   * `end` before the last entry; then the run continues until it has read this number.
   */
  entriesAtOpen(): Promise<number | undefined>;

  /**
   * After `idle`: why the remaining `entries` are not delivered. `undefined`: they may arrive at any moment, or the
   * driver cannot explain the silence. `quietMs`: how long nothing has arrived. May find an entry that the broker
   * skipped; `next` then returns it.
   */
  heldBack(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined>;

  /**
   * When everything is drained: the chunks of incomplete messages, if all were published before the given time. They
   * precede entries that were already delivered; the caller keeps each raw, then acknowledges it, and then calls
   * again, because there may be more. If there are none, the driver logs the incomplete messages for which it
   * continues to wait. Drivers that hold no chunks return none.
   */
  giveUpChunks(publishedBeforeMs: number): Promise<readonly UnreadableEntry[]>;

  /** Complete once the source is closed. `undefined` if the driver never learns positions. */
  positions(): RunPositions | undefined;

  /**
   * Whether the broker supports transactions. If so, it may deliver an entry to a later run than the entries after
   * it: when a transaction aborts in which another consumer acknowledged it. True if the driver cannot know. Never
   * throws, and does not wait for a connection.
   */
  hasTransactions(): Promise<boolean>;

  /**
   * The first message after `id` that a reader of the topic still gets, acknowledged or not; `undefined` if there is
   * none, or the driver cannot ask. Never throws.
   */
  nextBehind(id: EntryId): Promise<EntryId | undefined>;

  /**
   * The topic's schema of this version (`schemaVersion` of a message). The driver requests a version once for all
   * partitions, and again only after a consumer subscribed again, because the topic may have been recreated. Never
   * throws; takes a few seconds at most, and delays no delivery.
   */
  schema(version: Uint8Array): Promise<SchemaAnswer>;
}

/** Messages from a subscription. One per run. */
export interface Source {
  readonly driver: string;
  /**
   * Connects, finds the partitions, subscribes to each in order. `'busy'`: the subscription is Exclusive and another
   * consumer has it; nothing stays open. @throws BackupError `source` with a hint, within its time-outs
   */
  open(): Promise<readonly SourcePartition[] | 'busy'>;
  /**
   * Closes consumers and connections and waits for that; also after a failed `open`. May be repeated; never throws,
   * always ends.
   */
  close(): Promise<void>;
}

/** Bytes to store: chunks in order. Do not change them until the call ends. */
export interface Body {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
}

/** The attributes of an object at its creation. */
export interface ObjectAttributes {
  /** Names without `x-cos-meta-`; lower case ASCII, no underscore. Values ASCII; together under 2 KB. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType: string;
  /** Small, and needed by later runs or commands: never in a storage class that requires thawing. */
  readonly isReadByRuns?: boolean;
}

/** The object is durable, and is ours: its checksum matches the sent bytes. */
export interface Created {
  readonly kind: 'created';
  /** CRC-64/XZ of the stored bytes, decimal. */
  readonly crc64: string;
}

/** The key already has an object; nothing was stored or changed. */
export interface Exists {
  readonly kind: 'exists';
}

export interface ObjectHead {
  readonly key: string;
  readonly sizeBytes: number;
  /** CRC-64/XZ, decimal; `undefined` if the store does not report it. */
  readonly crc64: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly lastModified: Date;
  /** The class, or the current tier; `undefined` if the store has none, or it is the default. */
  readonly storageClass?: string | undefined;
  /** For an object in an archive class: `asked` if a thaw was requested, or the time until which its copy exists. */
  readonly thaw?: 'asked' | Date | undefined;
}

export interface ListedObject {
  /** As in `ObjectHead`, but without tiers. */
  readonly storageClass?: string | undefined;
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** For an object of one PUT its MD5, hex; for others, or with KMS encryption, something else. */
  readonly etag?: string;
}

/** An object directly below a prefix, or a common prefix of keys that continue with a name and a `/`. */
export type FolderItem =
  | { readonly kind: 'object'; readonly key: string; readonly object: ListedObject }
  /** `key` ends in `/`. */
  | { readonly kind: 'folder'; readonly key: string };

/** An unfinished multipart upload. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly initiated: Date;
  /** Since it was initiated, by the store's own clock; 0 if the store does not report the time. */
  readonly ageMs: number;
}

/** The options of every call: an abort ends it at once, including sockets, with a retryable BackupError. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** A multipart upload in progress. Nothing is visible in the store before `complete` has returned. */
export interface Upload {
  readonly kind: 'upload';
  /**
   * Stores part `number` (from 1), and resolves when its checksum matches `crc64`, decimal. Parts except the last are
   * at least 1 MiB. Parts may be uploaded in parallel, and repeated.
   */
  part(number: number, body: Body, crc64: string, options?: CallOptions): Promise<void>;
  /** Makes the whole object visible at once. `crc64` (decimal) and `sizeBytes` are those of all parts together. */
  complete(whole: { crc64: string; sizeBytes: number }, options?: CallOptions): Promise<Created | Exists>;
  /** Ends the upload and frees its parts. May be repeated, and after a failed `complete`. */
  abort(options?: CallOptions): Promise<void>;
}

/**
 * Objects in one bucket. Append-only: no call here replaces an object. Calls are single tries, bounded in time;
 * failures are BackupErrors of code `store`, with `retryable` set, and `outcomeUnknown` if the store may have
 * executed the call anyway. For retries, wrap the store in retryingStore.
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
  /** Announces creations: requests in parallel what the first creation would wait for. Never throws. */
  expectCreations(): void;
  /** Begins a multipart upload. `Exists` if the store reports it this early. */
  startUpload(key: string, attributes: ObjectAttributes, options?: CallOptions): Promise<Upload | Exists>;
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** The object's bytes from `start` to `end` (inclusive; negative `start`: that many last bytes). Errors while reading are thrown by the iterator. */
  read(key: string, options?: CallOptions & { start?: number; end?: number }): AsyncIterable<Uint8Array>;
  /** Objects whose keys begin with `prefix`, in key order, after `startAfter`. */
  list(prefix: string, options?: CallOptions & { startAfter?: string }): AsyncIterable<ListedObject>;
  /** The items directly below `prefix`, which ends in `/` or is empty, in key order after `startAfter`. */
  listFolder(prefix: string, options?: CallOptions & { startAfter?: string }): AsyncIterable<FolderItem>;
  listUploads(prefix: string, options?: CallOptions): AsyncIterable<UnfinishedUpload>;
  abortUpload(key: string, uploadId: string, options?: CallOptions): Promise<void>;
  /** Ends every socket. May be repeated; never throws. */
  close(): Promise<void>;
}

/** Small texts beside an archive. Unlike its objects, they may be replaced. */
export interface Notes {
  /** `undefined` if the key has none. @throws BackupError */
  read(key: string): Promise<string | undefined>;
  /** Resolves when the text is durable; replaces an earlier one. @throws BackupError */
  write(key: string, text: string): Promise<void>;
}

/** A message to publish. Sequence ids increase within a producer, and may have gaps. */
export interface OutgoingMessage
  extends Pick<Message, 'key' | 'orderingKey' | 'properties' | 'eventTimeMs' | 'payload'> {
  readonly sequenceId: number;
  /** Returned by `registerSchema`; absent if the message has no schema. */
  readonly schemaVersion?: Uint8Array | undefined;
}

export type ProducerCompression = 'none' | 'zlib' | 'zstd';

export interface PublishOptions {
  readonly compression: ProducerCompression;
  /** Several messages in one entry. Consumers of type Key_Shared need it off. */
  readonly batching: boolean;
  /** The approximate limit of bytes that one producer has in flight; one message is always allowed. */
  readonly windowBytes: number;
  /** Whether an earlier producer of this name may have sent some of these messages. */
  readonly mayRepeat: boolean;
  /** Called on each connection before anything is sent on it. If it throws, the producer fails and sends nothing more. */
  readonly mayGoOn?: (() => Promise<void>) | undefined;
  /** The schema that the producer declares; some topics require one. Messages may have others. */
  readonly schema?: TopicSchema | undefined;
}

/** The outcome of publishing an entry unchanged. */
export type EntrySent =
  | { readonly kind: 'sent' }
  /** No broker would accept it. `reason`: one clause for a person. */
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * One producer on one topic partition. The broker stores messages in the order of `send`, each with its sequence id.
 * After a lost connection it reconnects and sends messages without a receipt again; without deduplication the topic
 * then has them twice. A failure is final: every later call throws it.
 */
export interface TopicProducer {
  /** The last sequence id that the broker had from a producer of this name at `open`; -1 without deduplication. */
  readonly lastSequenceId: number;
  /** The broker has everything up to this sequence id; -1 before the first receipt. */
  readonly acknowledgedSequenceId: number;
  /**
   * Resolves when there is room for more messages, not when the broker has this one. One call at a time. @throws
   * BackupError `source`
   */
  send(message: OutgoingMessage): Promise<void>;
  /** As `send`, for an entry as a broker stored it: unchanged except for the producer's name and the sequence id. */
  sendEntry(entry: Uint8Array, sequenceId: number): Promise<EntrySent>;
  /** Sends an incomplete batch. */
  push(): void;
  /** Resolves when the broker has everything. @throws BackupError `source` */
  flush(): Promise<void>;
  /**
   * Ends the producer and every wait; messages without a receipt may be lost. May be repeated; never throws, always
   * ends.
   */
  close(): Promise<void>;
}

/** A topic as a producer finds it. */
export interface TopicLook {
  /** 0 for a plain topic. */
  readonly partitions: number;
  /** The largest entry that its brokers accept; a larger message is sent in chunks. */
  readonly maxEntryBytes: number;
  /** Whether no partition has a message; `undefined` if the role may not read that. */
  readonly isEmpty: boolean | undefined;
  /** The response time of a broker. */
  readonly roundTripMs: number;
}

/** Messages to topics. */
export interface Publisher {
  /** How many partitions the topic has; 0 for a plain topic. @throws BackupError `source` */
  partitions(topic: TopicName): Promise<number>;
  /**
   * Checks a topic before anything is published to it, with a producer on each partition that sends nothing.
   * `hasSchemas`: the messages have schemas, which are registered later, not by this call. @throws BackupError
   * `source` if publishing would be refused: no such topic, no permission, an enforced schema
   */
  look(topic: TopicName, what: { readonly hasSchemas: boolean }): Promise<TopicLook>;
  /**
   * The version of the schema in the topic: a new one if the topic did not have it. May be repeated. @throws
   * BackupError `source` with the broker's reason if it refuses the schema
   */
  registerSchema(topicPartition: string, schema: TopicSchema): Promise<Uint8Array>;
  /** A producer of this name on a topic partition; a name is one producer's at a time. @throws BackupError `source` */
  open(topicPartition: string, producerName: string, options: PublishOptions): Promise<TopicProducer>;
  /** Ends all producers and connections. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}

/** Time, so that tests can control it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Logs one of the events of log-events.ts: its fields first, its message second. Other fields do not compile. */
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
