// What the contract suite of Source needs of an adapter's surroundings: a broker to publish to and to inspect, and
// what the adapter cannot do by its nature. What it cannot do is asserted as well, not passed over.
import type { PulsarConfig } from '../../src/config.ts';
import type { Clock, EntryId, Source } from '../../src/ports.ts';
import type { SourceOptions } from '../../src/pulsar/source-options.ts';
import type { TopicName } from '../../src/topic-name.ts';

/** A message as a producer publishes it; what is left out is not set. */
export interface PublishedMessage {
  readonly payload: Uint8Array | string | null;
  /** Bytes are a binary key. */
  readonly key?: string | Uint8Array;
  readonly orderingKey?: Uint8Array;
  readonly properties?: Readonly<Record<string, string>>;
  readonly eventTimeMs?: number;
  readonly publishTimeMs?: number;
  readonly sequenceId?: number;
  readonly schemaVersion?: Uint8Array;
  readonly replicatedFrom?: string;
}

/** What a producer publishes as one. */
export interface PublishedEntry {
  readonly messages: readonly PublishedMessage[];
  /** A batch (also of one), or a single message. */
  readonly isBatch: boolean;
  readonly producer?: string;
  readonly compression?: 'lz4' | 'zlib' | 'zstd' | 'snappy';
  /** A single message in as many entries as that takes. */
  readonly chunkSizeBytes?: number;
}

/** What an adapter can do. */
export interface SourceCapabilities {
  /** Reports the last message at `open`; else `end` is 'unknown'. */
  readonly exactEnd: boolean;
  /** Reports the backlog. */
  readonly backlog: boolean;
  /** An acknowledgement that has resolved is at the broker; else only after `close`. */
  readonly receipts: boolean;
  /** Sees sequence ids, schema versions, tombstones, binary keys, and empty keys as such. */
  readonly exactFields: boolean;
  /** Sees who produced a message, and where it was replicated from. */
  readonly origin: boolean;
  /** Hands over encrypted entries raw; else it fails, where nothing else is left. */
  readonly encrypted: boolean;
  /** Reports that another Failover consumer is the active one. */
  readonly failoverSignals: boolean;
  /** Finds out why nothing comes. */
  readonly explainsSilence: boolean;
  /** Learns positions: of the subscription, and of what a reader gets. */
  readonly positions: boolean;
}

/** A running broker of one kind. */
export interface SourceSurroundings {
  readonly clock: Clock;
  /** Makes a topic with that many partitions (0: plain) and a name that nobody has used. */
  createTopic(partitions: number): Promise<TopicName>;
  /** Publishes in order, to a plain topic or one partition by its full name; returns the position of each entry (its last chunk). */
  publish(topic: string, entries: readonly PublishedEntry[]): Promise<EntryId[]>;
  /** Publishes an entry that no consumer without the key can decrypt. */
  publishEncrypted(topic: string, payload: Uint8Array): Promise<EntryId>;
  /** Gives a topic its first schema, of type STRING. */
  registerSchema(topic: TopicName): Promise<void>;
  /** A source with the right token, unless asked otherwise. */
  createSource(config: ContractConfig, limits?: SourceLimits): Source;
  /** Entries the subscription has not acknowledged, over all partitions, as the broker counts them. */
  backlogEntries(topic: TopicName, subscription: string): Promise<number>;
  /** Moves the topic away and back, as a broker does for its own reasons: its consumers are thrown out. */
  unload(topic: TopicName): Promise<void>;
  stop(): Promise<void>;
}

/** What limits a source; the defaults are none to speak of. */
export type SourceLimits = Partial<Pick<SourceOptions, 'receiveBudgetBytes' | 'signal'>>;

export type ContractConfig = Pick<PulsarConfig, 'topic'> & Partial<PulsarConfig>;
