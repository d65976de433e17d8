// What a restore of one topic is given: what of the archive, to where, and its share of what all topics of a command have.
import type { Slots } from '../../lib/semaphore.ts';
import type { Clock, ObjectStore, ProducerCompression, Publisher } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { RawObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import type { Selection } from '../catalog/selection.ts';
import type { DamagedObject } from '../read/read-messages.ts';
import type { RestoreCounts } from './restore-counts.ts';
import type { Pace } from './restore-pace.ts';
import type { Acknowledged } from './restore-progress.ts';
import type { Route } from './restore-routing.ts';
import type { RestoreSchemas } from './restore-schemas.ts';

/** What all topics of one command have together. */
export interface RestoreBudget {
  readonly slots: Slots;
  readonly pace: Pace;
  /** Bytes without receipts of each partition that is read. */
  readonly windowBytes: number;
  /** Published by each topic before its progress is written down. */
  readonly saveEveryBytes: number;
}

export interface RestoreOptions {
  readonly store: ObjectStore;
  /** Of one topic. */
  readonly partitions: readonly PartitionObjects[];
  /** What of the raw entries is published too, each entry as it is; in the catalog's order. */
  readonly raw: readonly RawObject[];
  readonly selection: Selection;
  readonly target: TopicName;
  /** `undefined`: nothing is published, only counted. */
  readonly publisher: Publisher | undefined;
  /** Partitions of the topic that was backed up; 0 for a plain topic. */
  readonly sourcePartitions: number;
  /** Partitions of the target; 0 for a plain topic. */
  readonly targetPartitions: number;
  readonly route: Route;
  /** Names the producers: the same for each try of one restore, and never the same for two. */
  readonly restoreId: string;
  /** Whether this goes on with one that was begun. */
  readonly isResumed: boolean;
  readonly compression: ProducerCompression;
  readonly batching: boolean;
  /** What messages mean at the target; `undefined`: their schemas are left out. */
  readonly schemas?: RestoreSchemas | undefined;
  /** Schemas are left out because somebody wants it so. */
  readonly isWithoutSchemas?: boolean;
  readonly budget: RestoreBudget;
  /** What earlier tries have published. */
  readonly acknowledged: Acknowledged;
  /** Called now and then, and at the end however that comes; never side by side. */
  readonly save: (acknowledged: Acknowledged) => Promise<void>;
  /** Throws where another process has gone on with this restore. Called before anything is sent on a connection. */
  readonly mayGoOn?: () => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (counts: Readonly<RestoreCounts>) => void;
  /** Called with objects that are damaged, which are gone on behind; without it, the restore fails there. */
  readonly onDamaged?: ((damaged: DamagedObject) => void) | undefined;
}
