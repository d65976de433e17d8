// Publishes the messages of an archive to a topic: in order per partition, each once, with its old id and publish time as
// properties. A message's sequence id is its place in what is restored of its partition, so that a restore that was
// killed goes on where the broker's receipts, or its deduplication, say. Several topics share slots, windows and rate.
import { BackupError } from '../../errors.ts';
import { createSlots, type Slots } from '../../lib/semaphore.ts';
import type { Clock, ObjectStore, ProducerCompression, Publisher } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { RawObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import type { DamagedObject } from '../read/read-messages.ts';
import type { Selection } from '../read/selection.ts';
import { noCounts, type RestoreCounts } from './restore-counts.ts';
import { createPace, type Pace } from './restore-pace.ts';
import { type PartitionRestore, restorePartition } from './restore-partition.ts';
import { type Acknowledged, createProgress, SAVE_EVERY_BYTES } from './restore-progress.ts';
import { choosePartition, type Route } from './restore-routing.ts';
import type { RestoreSchemas } from './restore-schemas.ts';

const WINDOW_BYTES = 64 * 1_048_576;
const MAX_WINDOW_BYTES = 8 * 1_048_576;
/** Partitions of the archive that are read at a time, of whatever topics. */
const PARALLEL = 8;

/** What all topics of one command have together. */
export interface RestoreBudget {
  readonly slots: Slots;
  readonly pace: Pace;
  /** Bytes without receipts of each partition that is read. */
  readonly windowBytes: number;
  /** Published by each topic before its progress is written down. */
  readonly saveEveryBytes: number;
}

/** The budget of a command that restores so many topics, of so many partitions together. */
export function shareBudget(
  { topics, partitions }: { readonly topics: number; readonly partitions: number },
  messagesPerSecond: number | undefined,
  clock: Clock,
  signal: AbortSignal,
): RestoreBudget {
  const atATime = (count: number) => Math.max(1, Math.min(count, PARALLEL));
  return {
    slots: createSlots(PARALLEL),
    pace: createPace(messagesPerSecond, clock, signal),
    windowBytes: WINDOW_BYTES / atATime(partitions),
    saveEveryBytes: SAVE_EVERY_BYTES / atATime(topics),
  };
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
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (counts: Readonly<RestoreCounts>) => void;
  /** Called with objects that are damaged, which are gone on behind; without it, the restore fails there. */
  readonly onDamaged?: ((damaged: DamagedObject) => void) | undefined;
}

/**
 * Restores what is selected of one topic. `onProgress` gets the counts that it returns, as they grow.
 * @throws BackupError; what was published by then is saved, and not published again
 */
export async function restoreMessages(options: RestoreOptions): Promise<RestoreCounts> {
  const { targetPartitions, save, clock, budget } = options;
  const counts = noCounts();
  const sources = sourcesOf(options.partitions, options.raw);
  const route = choosePartition(options.route, options.sourcePartitions, targetPartitions);
  const progress = createProgress(options.acknowledged, save, clock, budget.saveEveryBytes);
  const windowBytes = Math.min(MAX_WINDOW_BYTES, budget.windowBytes / Math.max(1, targetPartitions));
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  let failure: unknown;
  await Promise.all(
    sources.map((source) =>
      budget.slots.run(async () => {
        if (failure !== undefined) return;
        try {
          if (signal.aborted) throw new BackupError('source', 'the restore was stopped');
          const { pace } = budget;
          await restorePartition(source, { ...options, signal, counts, route, progress, pace, windowBytes });
        } catch (error) {
          failure ??= error;
          stop.abort(error);
        }
      }),
    ),
  );
  await progress.finish().catch((error) => {
    failure ??= error;
  });
  if (failure !== undefined) throw failure;
  return counts;
}

function sourcesOf(partitions: readonly PartitionObjects[], raw: readonly RawObject[]): PartitionRestore[] {
  const byNumber = new Map<number, PartitionRestore>();
  for (const objects of partitions)
    byNumber.set(objects.partition, { partition: objects.partition, objects, raw: [] });
  for (const one of raw) {
    const { partition } = one;
    const own = byNumber.get(partition) ?? { partition, objects: undefined, raw: [] };
    byNumber.set(partition, { ...own, raw: [...own.raw, one] });
  }
  return [...byNumber.values()].sort((a, b) => a.partition - b.partition);
}
