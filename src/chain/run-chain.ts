// Compares the subscription's position with that at the end of the previous run. Messages that somebody skipped in
// between are in no object, and this run is the first that can notice. Costs one list and one read of the store; more
// only if the positions differ. Never fails a run, and never reports a move that an earlier run may have caused by
// acknowledging.
import { setMaxListeners } from 'node:events';
import { BackupError } from '../errors.ts';
import { compareEntries, formatEntry, mostEntriesBetween } from '../format/entry-order.ts';
import type {
  ManifestLink,
  ManifestObject,
  ManifestPosition,
  SubscriptionMoved,
} from '../format/run-manifest.ts';
import { createSlots } from '../lib/semaphore.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import { isOfClock } from '../paced-store.ts';
import type {
  Clock,
  EntryId,
  Logger,
  ObjectStore,
  PassedOver,
  SourcePartition,
  SubscriptionPosition,
} from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import {
  type EarlierRun,
  type ListedManifest,
  listManifests,
  manifestsBeside,
  readEarlierRun,
} from './manifest-search.ts';
import {
  isKeptRaw,
  lastOfRuns,
  listObjectsUpTo,
  type PartitionLocation,
  readLastEntry,
} from './stored-through.ts';
import { isUnclear, type Move, moveBetween } from './subscription-move.ts';

/** Manifests of other instances to read if the newest one does not explain a position. */
const MAX_OTHERS = 12;
const PARALLEL = 8;
/** How long a run with drained partitions waits for the store, only for this comparison. */
const MAX_WAIT_MS = 5_000;
/**
 * A rule with nothing to store writes a manifest when the newest has this age, so that the next run finds one nearby.
 */
const CHECKPOINT_MS = 3 * 3_600_000;
const DAY_MS = 86_400_000;

export interface RunChainOptions {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly rule: string;
  readonly topic: TopicName;
  readonly subscription: string;
  readonly subscriptionType: string;
  readonly initialPosition: 'earliest' | 'latest';
  readonly clock: Clock;
  readonly logger: Logger;
  readonly startedAtMs: number;
  readonly signal: AbortSignal;
  /** The objects of this run so far. */
  readonly stored: () => readonly StoredHere[];
  /** Called for each partition in which the subscription was moved forwards. */
  readonly onMoved: () => void;
}

type StoredHere = Pick<ManifestObject, 'partition' | 'alreadyStored'>;

/** What the run's manifest says about it. */
export interface ChainEnd {
  readonly link: ManifestLink;
  /** Whether the run needs a manifest even if it stored nothing. */
  readonly isDue: boolean;
}

export interface RunChain {
  /**
   * Whether no manifest is of a run of this subscription; true also where the role may not list or read any.
   * @throws BackupError `store` where the store cannot say it now
   */
  isFirst(): Promise<boolean>;
  /** The partitions are open: compares, beside the drain. */
  opened(partitions: readonly SourcePartition[]): void;
  /** Call it when the partitions are drained: waits briefly for questions that need open partitions. Never throws. */
  compared(): Promise<void>;
  /**
   * Call it when the source is closed. `isLeft`: messages that the run has read stay in the subscription. Never throws.
   */
  end(of: { readonly isLeft: boolean }): Promise<ChainEnd>;
  /** Ends every call under way. May be repeated. */
  abort(): void;
}

interface Found {
  readonly newest: ListedManifest;
  /** `undefined`: it could not be read. */
  readonly run: EarlierRun | undefined;
  /** The newest of this topic and subscription, which may be an earlier one: rules of one name may share the prefix. */
  readonly own: EarlierRun | undefined;
  readonly beside: readonly ListedManifest[];
}

/** Begins to read at once, in parallel with the caller. */
export function followRuns(options: RunChainOptions): RunChain {
  const { store, prefix, rule, topic, subscription, subscriptionType, clock, logger } = options;
  const isInOrder = subscriptionType === 'exclusive' || subscriptionType === 'failover';
  const ended = new AbortController();
  const abort = () => ended.abort();
  setMaxListeners(0, ended.signal);
  options.signal.addEventListener('abort', abort);
  if (options.signal.aborted) abort();
  const call = { signal: ended.signal };
  const of = { topic: topic.full, subscription };
  const moved: SubscriptionMoved[] = [];
  let partitions: readonly SourcePartition[] = [];
  let hasWarned = false;

  /** At most one warning per run; none if only the run's time is over, since the next run compares too. */
  const warnOnce = (error: unknown): undefined => {
    if (isOfClock(error, options.signal)) {
      logger.debug({ error }, 'earlier runs not read');
      return;
    }
    if (!hasWarned) logger.warn({ error }, 'earlier runs not read');
    hasWarned = true;
  };

  async function findNewest(): Promise<Found | undefined> {
    const manifests = await listManifests(store, prefix, rule, options.startedAtMs, call);
    const [newest] = manifests;
    if (newest === undefined) return undefined;
    const run = await readEarlierRun(store, newest, of, call).catch(warnOnce);
    const own =
      run === undefined || run.isOfSubscription ? run : await findOwn(manifests.slice(1, MAX_OTHERS));
    return { newest, run, own, beside: run === undefined ? [] : manifestsBeside(manifests, run) };
  }

  async function findOwn(earlier: readonly ListedManifest[]): Promise<EarlierRun | undefined> {
    for (const one of earlier) {
      const run = await readEarlierRun(store, one, of, call).catch(warnOnce);
      if (run?.isOfSubscription) return run;
    }
    return undefined;
  }
  let failure: unknown;
  const finding = findNewest().catch((error) => {
    failure = error;
    return warnOnce(error);
  });
  let judging: Promise<void> = Promise.resolve();

  /** Compares the positions of these partitions at the start of the run with those at the end of the previous one. */
  async function judge(begun: readonly SourcePartition[]): Promise<void> {
    const run = (await finding)?.own;
    if (run === undefined) return;
    const slots = createSlots(PARALLEL);
    const looked = begun.map(async (partition) => {
      const { begin, isBeginKnown = false } = partition.positions() ?? {};
      const before = run.ends.get(partition.partition);
      if (begin === undefined || before === undefined) return [];
      if (isUnclear(before, begin)) {
        const isLeft = await slots.run(() => isLeftBetween(partition, before.acknowledged, begin));
        return isLeft ? [() => judgeUnclear(partition, begin, runs)] : [];
      }
      const move = moveBetween(before, begin);
      if (move?.direction === 'forwards') return [() => judgeForwards(partition, begin, runs)];
      // The first entry that comes may be one that an incomplete message has kept from being acknowledged.
      return move && isBeginKnown ? [() => judgeBackwards(partition, begin, runs)] : [];
    });
    const suspects = (await Promise.all(looked)).flat();
    if (suspects.length === 0) return;
    const runs = [run, ...(await readOthers(run))];
    await Promise.all(suspects.map((judgeOne) => slots.run(judgeOne)));
  }

  /** Instances that ran side by side know of different partitions, and one may have written while we looked. */
  async function readOthers({ listed }: EarlierRun): Promise<EarlierRun[]> {
    const list = await listManifests(store, prefix, rule, options.startedAtMs, call);
    const others = list.filter(({ key }) => key !== listed.key).slice(0, MAX_OTHERS);
    const slots = createSlots(PARALLEL);
    const read = (one: ListedManifest) =>
      slots.run(() => readEarlierRun(store, one, of, call).catch(warnOnce));
    return (await Promise.all(others.map(read))).filter((run) => run !== undefined);
  }

  async function judgeForwards(
    partition: SourcePartition,
    begin: SubscriptionPosition,
    runs: readonly EarlierRun[],
  ): Promise<void> {
    const left = latestUpTo(begin.acknowledged, endsOf(runs, partition.partition));
    const move = left && moveBetween(left, begin);
    if (left === undefined || move?.direction !== 'forwards') return;
    const location = locationOf(partition.partition, runs);
    const keys = await listObjectsUpTo(location, left.acknowledged, move.through, call);
    if (await isKeptRaw(location, move.through, call)) return;
    const last = await lastOfRuns(location, keys, call);
    if (!isInOrder) {
      // Objects of a run that was killed or is still running: it is not known which entries it acknowledged.
      if (keys.some((key) => runs.every((run) => !run.keys.has(key)))) return;
      report(partition, left.acknowledged, begin.acknowledged, move);
      return;
    }
    const reached = last === undefined ? undefined : await readLastEntry(location, last, call);
    if (reached === undefined || compareEntries(reached, left.acknowledged) <= 0) {
      report(partition, left.acknowledged, begin.acknowledged, move);
    } else if (compareEntries(reached, move.through) < 0) {
      const rest = moveBetween({ acknowledged: reached, last: left.last }, begin);
      if (rest !== undefined) report(partition, reached, begin.acknowledged, rest);
    }
  }

  /** Whether a reader still receives a skipped message. */
  async function isLeftBetween(
    partition: SourcePartition,
    from: EntryId,
    { acknowledged: to }: SubscriptionPosition,
  ): Promise<boolean> {
    const next = await partition.nextBehind(from);
    return next !== undefined && compareEntries(next, to) <= 0;
  }

  /** The ledger was closed since. Its messages exist, but either a run or somebody else may have skipped them. */
  async function judgeUnclear(
    partition: SourcePartition,
    begin: SubscriptionPosition,
    runs: readonly EarlierRun[],
  ): Promise<void> {
    const left = latestUpTo(begin.acknowledged, endsOf(runs, partition.partition));
    if (left === undefined) return;
    const location = locationOf(partition.partition, runs);
    const keys = await listObjectsUpTo(location, left.acknowledged, begin.acknowledged, call);
    if (!isInOrder && keys.some((key) => runs.every((run) => !run.keys.has(key)))) return;
    const last = isInOrder ? await lastOfRuns(location, keys, call) : undefined;
    const reached = last === undefined ? undefined : await readLastEntry(location, last, call);
    const from = reached && compareEntries(reached, left.acknowledged) > 0 ? reached : left.acknowledged;
    if (!(await isLeftBetween(partition, from, begin))) return;
    report(partition, from, begin.acknowledged, passedOver(from, begin.acknowledged));
  }

  /**
   * After a kill, a broker can forget acknowledgements, back to the end of an object. Anywhere else, messages are
   * duplicated.
   */
  async function judgeBackwards(
    partition: SourcePartition,
    begin: SubscriptionPosition,
    runs: readonly EarlierRun[],
  ): Promise<void> {
    const left = endsOf(runs.slice(0, 1), partition.partition)[0];
    if (left === undefined) return;
    const location = locationOf(partition.partition, runs);
    const keys = await listObjectsUpTo(location, undefined, begin.acknowledged, call);
    const last = await lastOfRuns(location, keys, call);
    const reached = last === undefined ? undefined : await readLastEntry(location, last, call);
    if (reached !== undefined && compareEntries(reached, begin.acknowledged) <= 0) {
      const { topic: name } = partition;
      const from = formatEntry(left.acknowledged);
      logger.info(
        { topic: name, partition: partition.partition, from, to: formatEntry(begin.acknowledged) },
        'acknowledgements came back',
      );
    } else report(partition, left.acknowledged, begin.acknowledged, { direction: 'backwards' });
  }

  /** The days on which the messages of the objects stored since then may have been published. */
  function locationOf(partition: number, runs: readonly EarlierRun[]): PartitionLocation {
    const nowMs = clock.now();
    const times = runs.flatMap(({ listed, lastPublishTimes }) => {
      const published = Date.parse(lastPublishTimes.get(partition) ?? '');
      return [listed.startedAtMs, ...(Number.isNaN(published) ? [] : [published])];
    });
    const [fromMs, untilMs] = [Math.min(nowMs, ...times) - DAY_MS, Math.max(nowMs, ...times) + DAY_MS];
    return { store, prefix, topic, partition, fromMs, untilMs };
  }

  /** Whether another run may have stored what was skipped while this one was away. What is not known is not reported. */
  async function isStoredByOthers(
    { partition }: SourcePartition,
    { from, to, wasAway = false }: PassedOver,
    run: EarlierRun | undefined,
  ): Promise<boolean> {
    if (!wasAway) return false;
    if (run === undefined) return true;
    // An object that this run has found may reach over all of it.
    const isFound = (one: StoredHere) => one.partition === partition && one.alreadyStored;
    if (options.stored().some(isFound)) return true;
    const keys = await listObjectsUpTo(locationOf(partition, [run]), from, to, call).catch(warnOnce);
    return keys === undefined || keys.length > 0;
  }

  function report({ partition, topic: name }: SourcePartition, from: EntryId, to: EntryId, move: Move): void {
    const one: SubscriptionMoved = {
      partition,
      topic: name,
      direction: move.direction,
      from: formatEntry(from),
      to: formatEntry(to),
      ...(move.direction === 'forwards' &&
        move.entriesAtMost !== undefined && { entriesAtMost: move.entriesAtMost }),
    };
    moved.push(one);
    if (move.direction === 'forwards') options.onMoved();
    logger.warn({ ...one, hint: HINTS[move.direction] }, 'subscription moved');
  }

  return {
    async isFirst() {
      const found = await finding;
      if (failure instanceof BackupError && failure.retryable) throw failure;
      // Even if it cannot be read, it is the manifest of a run.
      return found === undefined || (found.run !== undefined && found.own === undefined);
    },
    opened(open) {
      partitions = open;
      judging = judge(open.filter((one) => one.positions()?.isBeginKnown)).catch(warnOnce);
    },
    async compared() {
      const done = new AbortController();
      clock.sleep(MAX_WAIT_MS, done.signal).then(abort, () => undefined);
      await untilAborted(judging, ended.signal, tookTooLong).catch(warnOnce);
      done.abort();
    },
    async end({ isLeft }) {
      const done = new AbortController();
      clock.sleep(MAX_WAIT_MS, done.signal).then(abort, () => undefined);
      const late = partitions.filter((one) => one.positions()?.isBeginKnown === false);
      await untilAborted(
        judging.then(() => judge(late)),
        ended.signal,
        tookTooLong,
      ).catch(warnOnce);
      const found = await finding;
      for (const partition of partitions) {
        const range = partition.positions()?.passedOver;
        if (range === undefined || (await isStoredByOthers(partition, range, found?.own))) continue;
        report(partition, range.from, range.to, passedOver(range.from, range.to));
      }
      done.abort();
      options.signal.removeEventListener('abort', abort);
      const positions = partitions.map((one) => positionOf(one, found?.own));
      const { key } = found?.newest ?? {};
      const sha256 = found?.run?.sha256;
      const link = {
        ...{ topic: topic.full, subscription, subscriptionType, positions },
        ...(key !== undefined && { previous: { key, ...(sha256 !== undefined && { sha256 }) } }),
        ...(sha256 !== undefined && namesOf(found)),
        ...(moved.length > 0 && { moved: moved.sort((a, b) => a.partition - b.partition) }),
        spansInKeysSince: found?.run?.spansInKeysSince ?? new Date(options.startedAtMs).toISOString(),
      };
      // What is left and then lost, a run finds by the manifest of one before it: so the first one is not put off. Nor
      // where the next run may begin a partition at its first message only because this one was here.
      const isAwaited = isLeft || options.initialPosition === 'latest';
      const isFirst = isAwaited && found === undefined && !hasWarned;
      return { link, isDue: moved.length > 0 || isFirst || isNews(positions, found, options.startedAtMs) };
    },
    abort() {
      hasWarned = true;
      abort();
    },
  };
}

const tookTooLong = () =>
  new BackupError('store', 'what earlier runs left behind was not known in time', {
    retryable: true,
    hint: 'Look at COS if it happens often; nothing else depends on it.',
  });

/** What other instances left, and its checksums as far as the list has some that are known to be such. */
function namesOf(found: Found | undefined): Pick<ManifestLink, 'beside' | 'besideMd5'> {
  const beside = found?.beside ?? [];
  const sums = found?.run?.isEtagMd5 ? beside.flatMap(({ key, etag }) => (etag ? [[key, etag]] : [])) : [];
  return {
    beside: beside.map(({ key }) => key),
    ...(sums.length > 0 && { besideMd5: Object.fromEntries(sums) }),
  };
}

/** A move in the course of the run. */
function passedOver(from: EntryId, to: EntryId): Move {
  const most = mostEntriesBetween(from, to);
  return { direction: 'forwards', through: to, entriesAtMost: Number.isFinite(most) ? most : undefined };
}

/** Whether no manifest has these positions yet, or only one that is too old for the next run to find. */
function isNews(
  positions: readonly ManifestPosition[],
  found: Found | undefined,
  startedAtMs: number,
): boolean {
  if (found === undefined) return false;
  const known = positions.filter(({ end }) => end !== undefined);
  const isSaid = ({ partition, end }: ManifestPosition) => {
    const said = found.own?.ends.get(partition);
    return said !== undefined && formatEntry(said.acknowledged) === end;
  };
  return (
    !known.every(isSaid) ||
    (known.length > 0 && startedAtMs - (found.own?.listed ?? found.newest).startedAtMs >= CHECKPOINT_MS)
  );
}

/** If the broker reports no positions, a partition without a delivery has not moved. */
function positionOf(partition: SourcePartition, before: EarlierRun | undefined): ManifestPosition {
  const positions = partition.positions();
  const isUntouched = positions !== undefined && !positions.isBeginKnown && positions.begin === undefined;
  const end = positions?.end ?? (isUntouched ? before?.ends.get(partition.partition) : undefined);
  const begin = positions?.begin;
  return {
    partition: partition.partition,
    ...(begin && { begin: formatEntry(begin.acknowledged) }),
    ...(end && { end: formatEntry(end.acknowledged) }),
    ...(end?.last && { last: formatEntry(end.last) }),
  };
}

const endsOf = (runs: readonly EarlierRun[], partition: number): SubscriptionPosition[] =>
  runs.flatMap(({ ends }) => ends.get(partition) ?? []);

/** Of several instances, the one that got furthest had the partition last. */
function latestUpTo(id: EntryId, ends: readonly SubscriptionPosition[]): SubscriptionPosition | undefined {
  return ends
    .filter(({ acknowledged }) => compareEntries(acknowledged, id) <= 0)
    .sort((a, b) => compareEntries(b.acknowledged, a.acknowledged))[0];
}

const HINTS = {
  forwards:
    'What was passed over is in no object. The TTL of the namespace, a backlog quota, skip, clear-backlog, a reset, or a subscription that was deleted and made anew do that: see who did, raise the TTL, and give the subscription to nobody else.',
  backwards:
    'Messages come again; those of an object that reached further than this position are stored a second time. archive verify names them, archive restore drops them.',
} as const;
