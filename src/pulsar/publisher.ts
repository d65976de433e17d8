// What restore asks of whoever publishes for it. Nothing here knows the wire driver, which implements it.
import type { PulsarConfig } from '../config.ts';
import type { Message } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';

/** A message to publish. Sequence ids grow within a producer, and may leave some out. */
export interface OutgoingMessage
  extends Pick<Message, 'key' | 'orderingKey' | 'properties' | 'eventTimeMs' | 'payload'> {
  readonly sequenceId: number;
}

/** Where to publish, and as whom. */
export type PublisherConfig = Pick<
  PulsarConfig,
  'serviceUrl' | 'token' | 'tlsCaFile' | 'clientCertificate' | 'listenerName' | 'runsFrom'
> &
  Partial<Pick<PulsarConfig, 'tdmqRole'>>;

export type ProducerCompression = 'none' | 'zlib' | 'zstd';

export interface PublishOptions {
  readonly compression: ProducerCompression;
  /** Several messages in one entry. Consumers of type Key_Shared want it off. */
  readonly batching: boolean;
  /** Bytes that one producer may have sent without a receipt, by and large: one message may always go. */
  readonly windowBytes: number;
  /** Whether an earlier producer of this name may have sent some of what is sent now. */
  readonly mayRepeat: boolean;
}

/**
 * One producer on one topic partition. Messages stand there in the order of `send`, each with its sequence id. A lost
 * connection is had again; what had no receipt is sent again then, and stands twice where the topic does not drop
 * duplicates. A failure is final: every call after it throws it.
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
  /**
   * As `send`, for an entry as a broker stored it: everything as it was, but its producer's name and sequence id.
   * Resolves with the reason where no broker would take it.
   */
  sendEntry(entry: Uint8Array, sequenceId: number): Promise<string | undefined>;
  /** Sends what waits for a batch to fill. */
  push(): void;
  /** Resolves when the broker has everything. @throws BackupError `source` */
  flush(): Promise<void>;
  /** Ends it and every wait; what has no receipt may be lost. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}

/** Messages to topics. */
export interface Publisher {
  /** How many partitions the topic has; 0 for a plain topic. @throws BackupError `source` */
  partitions(topic: TopicName): Promise<number>;
  /** A producer of this name on a topic partition; a name is one producer's at a time. @throws BackupError `source` */
  open(topicPartition: string, producerName: string, options: PublishOptions): Promise<TopicProducer>;
  /** Ends all producers and connections. May be repeated; never throws, always ends. */
  close(): Promise<void>;
}
