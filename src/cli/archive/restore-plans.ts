// Executes restore plans: topics in parallel, with shared limits, one progress line, and an end for all if one fails.
// A completed topic is recorded as complete, even if others fail.
import type { PartitionObjects } from '../../archive/catalog/object-list.ts';
import type { Selection } from '../../archive/catalog/selection.ts';
import { restoreMessages, shareBudget } from '../../archive/restore/restore.ts';
import { isNone, type RestoreCounts, sumCounts } from '../../archive/restore/restore-counts.ts';
import type { Route } from '../../archive/restore/restore-routing.ts';
import { systemClock } from '../../lib/clock.ts';
import type { ObjectStore, ProducerCompression, Publisher } from '../../ports.ts';
import { bar, type Progress, timeLeft } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import type { OpenPlan } from './restore-plan.ts';
import type { TopicReport } from './restore-report.ts';

const SHOW_EVERY_MS = 100;

export interface PlansOptions {
  readonly store: ObjectStore;
  readonly selection: Selection;
  readonly route: Route;
  readonly compression: ProducerCompression;
  readonly batching: boolean;
  readonly isWithoutSchemas: boolean;
  readonly messagesPerSecond: number | undefined;
  /** `undefined`: nothing is published. */
  readonly publisher: Publisher | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Restores each topic. @throws BackupError the first failure, when all have ended and written down how far they are */
export async function restorePlans(
  plans: readonly OpenPlan[],
  { store, messagesPerSecond, signal, progress, ...how }: PlansOptions,
): Promise<TopicReport[]> {
  const all = plans.flatMap(({ partitions }) => partitions);
  const read = countReads(store, all);
  const startedMs = Date.now();
  let shownMs = startedMs;
  const running = new Map<OpenPlan, Readonly<RestoreCounts>>();
  const show = () => {
    const nowMs = Date.now();
    if (nowMs - shownMs < SHOW_EVERY_MS) return;
    shownMs = nowMs;
    const { messages, bytes } = sumCounts([...running.values()]);
    const rate = Math.round((messages * 1_000) / Math.max(1, nowMs - startedMs));
    progress.update(
      `${bar(read.share())} ${messages.toLocaleString('en-US')} messages  ${formatBytes(bytes)}  ${rate.toLocaleString('en-US')}/s  ${timeLeft(read.share(), nowMs - startedMs)}`,
    );
  };
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const amount = { topics: plans.length, partitions: Math.max(plans.length, all.length) };
  const budget = shareBudget(amount, messagesPerSecond, systemClock, either);

  async function restoreOne(plan: OpenPlan): Promise<TopicReport> {
    const { note, source, target, sourcePartitions, partitions, raw, damage, opened, rawLeftOut } = plan;
    const { schemas, schemasToRegister } = plan;
    const counts = await restoreMessages({
      ...how,
      ...{ store: read.store, budget, partitions, raw, target, sourcePartitions, schemas },
      targetPartitions: opened?.partitions ?? assumedPartitions(how.route, sourcePartitions),
      restoreId: note.id,
      isResumed: note.isResumed,
      acknowledged: note.acknowledged,
      save: note.save,
      mayGoOn: note.expectOwn,
      clock: systemClock,
      signal: either,
      onDamaged: damage.onDamaged,
      onProgress: (now) => {
        running.set(plan, now);
        show();
      },
    });
    const { damaged } = damage;
    const leftOut = damaged.length + counts.refused.length;
    if (!isNone(counts) || leftOut > 0) await note.finish(leftOut);
    const names = { source: source.full, target: target.full };
    return { ...names, counts, rawLeftOut, damaged, opened, schemas: schemasToRegister };
  }

  let failure: { readonly error: unknown } | undefined;
  const outcomes = await Promise.all(
    plans.map((plan) =>
      restoreOne(plan).catch((error: unknown) => {
        failure ??= { error };
        stop.abort(error);
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
  return outcomes.filter((one) => one !== undefined);
}

/** Without a broker: as many as fit. */
const assumedPartitions = (route: Route, sourcePartitions: number): number =>
  typeof route === 'number' ? Math.max(route + 1, sourcePartitions) : sourcePartitions;

/** The store, and which share of the objects' bytes was read from it. */
function countReads(store: ObjectStore, partitions: readonly PartitionObjects[]) {
  const total = partitions.reduce((sum, { bytes }) => sum + bytes, 0);
  let bytes = 0;
  const read: ObjectStore['read'] = async function* (key, options) {
    for await (const chunk of store.read(key, options)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
  };
  return { store: { ...store, read }, share: () => Math.min(1, bytes / Math.max(1, total)) };
}
