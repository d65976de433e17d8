// Publishes the messages of an archive to a topic: in order per partition, each once, with its old id and publish time as
// properties. A message's sequence id is its place in what is restored of its partition, so that a restore that was
// killed goes on where the broker's receipts, or its deduplication, say. Several topics share slots, windows and rate.
import { BackupError } from '../../errors.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { Clock } from '../../ports.ts';
import type { RawObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import { noCounts, type RestoreCounts } from './restore-counts.ts';
import type { RestoreBudget, RestoreOptions } from './restore-options.ts';
import { createPace } from './restore-pace.ts';
import { type PartitionRestore, restorePartition } from './restore-partition.ts';
import { createProgress, SAVE_EVERY_BYTES } from './restore-progress.ts';
import { choosePartition } from './restore-routing.ts';

const WINDOW_BYTES = 64 * 1_048_576;
const MAX_WINDOW_BYTES = 8 * 1_048_576;
/** Partitions of the archive that are read at a time, of whatever topics. */
const PARALLEL = 8;

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
