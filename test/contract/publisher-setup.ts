// What the contract suite of Publisher needs of an adapter's surroundings: a broker that keeps what is published and
// can be disturbed, and what the adapter cannot do by its nature. What it cannot do is asserted as well, not passed over.
import type { Clock, Publisher } from '../../src/ports.ts';
import type { PublisherOptions } from '../../src/pulsar/wire/producer-publisher.ts';
import type { TopicName } from '../../src/topic-name.ts';
import type { StoredMessage } from './stored-messages.ts';

/** Who connects: a role that may produce, one that may not, and nobody. */
export type PublisherRole = 'may-produce' | 'may-not-produce' | 'wrong-token';

/** Makes the publisher under test. */
export type CreatePublisher = (options: PublisherOptions) => Publisher;

/** A running broker of one kind. */
export interface PublisherSurroundings {
  readonly clock: Clock;
  /** The largest entry that the broker takes. */
  readonly maxEntryBytes: number;
  /** Makes a topic with that many partitions (0: plain) and a name that nobody has used. */
  createTopic(partitions: number, options?: { readonly deduplicates?: boolean }): Promise<TopicName>;
  createPublisher(options?: {
    readonly role?: PublisherRole;
    readonly serviceUrl?: string;
    readonly signal?: AbortSignal;
  }): Promise<Publisher>;
  /** Everything in a plain topic, or one partition by its full name. */
  stored(topic: string): Promise<StoredMessage[]>;
  /** Moves the topic away and back, as a broker does for its own reasons: its producers are thrown out. */
  unload(topic: TopicName): Promise<void>;
  /** Nothing can be published to the topic any more. */
  terminate(topic: TopicName): Promise<void>;
  /** The broker stops answering, until the function it gives is called; then connections are lost where asked. */
  pause(): Promise<(options?: { readonly dropConnections?: boolean }) => Promise<void>>;
  stop(): Promise<void>;
}
