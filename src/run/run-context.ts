// State that the partitions of one run share, and their common counters.
import type { Limits } from '../batch.ts';
import type { SubscriptionType } from '../config.ts';
import type { Compression } from '../format/object-key.ts';
import type { ManifestObject } from '../format/run-manifest.ts';
import type { Slots } from '../lib/semaphore.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import type { Clock, Logger, ObjectStore } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import type { Pace } from './deadline.ts';
import type { SchemaKeeper } from './schema-keeper.ts';

/** Counted while the run goes on, by all partitions. */
export interface Tally {
  messages: number;
  recordBytes: number;
  objects: number;
  alreadyStored: number;
  unreadable: number;
  /** Partitions in which somebody else has moved the subscription forwards. */
  subscriptionMoved: number;
  /** Schema versions in messages whose schema was not available. */
  schemasMissing: number;
  /** A file could not be finished in time and was dropped; its messages are redelivered. */
  cutByDeadline: number;
  /** The last retried failure. */
  lastRetried: unknown;
  readonly stored: ManifestObject[];
}

export function createTally(): Tally {
  return {
    messages: 0,
    recordBytes: 0,
    objects: 0,
    alreadyStored: 0,
    unreadable: 0,
    subscriptionMoved: 0,
    schemasMissing: 0,
    cutByDeadline: 0,
    lastRetried: undefined,
    stored: [],
  };
}

export interface Run {
  readonly rule: string;
  readonly topic: TopicName;
  readonly prefix: string;
  readonly subscriptionType: SubscriptionType;
  readonly limits: Limits;
  readonly compression: Compression;
  /** See ObjectFileOptions. */
  readonly partBytes?: number | undefined;
  /** Objects have to be thawed before reading, so the ids of their messages are stored beside them (contents.ts). */
  readonly isArchived?: boolean;
  readonly onUnreadable: 'store' | 'fail';
  /** When the chunks of an incomplete message are kept raw. */
  readonly chunkExpiryMs: number;
  /**
   * The age of its oldest message at which an incomplete file is stored; until then its messages wait in the
   * subscription.
   */
  readonly lingerMs: number;
  readonly startedAtMs: number;
  readonly store: ObjectStore;
  readonly budget: MemoryBudget;
  readonly slots: Slots;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tally: Tally;
  readonly schemas: SchemaKeeper;
  /** Aborted when reading has to stop, so that what is open can still be stored. */
  readonly reading: AbortSignal;
  /** Aborted when the time for storing and acknowledging is over. */
  readonly storingEnd: AbortSignal;
  readonly pace: Pace;
  /** Stops all partitions: one met a failure that the others would meet, too. */
  readonly stopAll: () => void;
}
