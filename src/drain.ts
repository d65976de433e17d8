// THE CORE. Drains a source into a store so that no message is lost and none is stored twice. The files that it names are
// in partition/.
//
// The ordering argument (Exclusive and Failover), per partition.
//   State     M = the messages in the broker's order; a = the position up to which they are acknowledged; the chain =
//             the stored objects. Each begins with a message that no object contained when its file was opened.
//   Steps     1 read the next entry after the position   2 create the next file's object, if its key has none
//             3 acknowledge up to the end of the last object created.
//   Rules     a) file-chain.ts creates an object only after the previous file's object is durable. So the stored
//                objects are always one chain without a gap, also after a crash.
//             b) file-chain.ts acknowledges an entry only after the object with its last message is durable. So a never
//                passes the end of the chain, and nothing is lost. Lingering messages are in an open file, which is
//                dropped: neither stored nor acknowledged, and always the last of its partition.
//             c) A key depends only on the first message of its object. A run that gets messages again therefore begins
//                at a + 1 and finds the object that begins there, if there is one. If that object is not identical to
//                the run's own file (found-object.ts), its ids decide: messages in it are stored; messages between
//                them, which a transaction held back when the object was made, are stored now, in other objects
//                (position.ts). rolling-file.ts acknowledges the messages of a found object only as a whole, and ends
//                each file before the end of a found object and before the beginning of another one. So each message is
//                in one object, whatever the file limits were. The run knows where other objects begin once it has
//                found one, and from its start if a transaction can make messages before them visible.
//             d) A creation never replaces an object (the port ObjectStore). Two instances that race for a key extend
//                the same chain: the loser finds the winner's object and stores the messages that are not in it.
//   Invariant After every step: acknowledged ⊆ stored, and every stored message is in exactly one object. If an object
//             is not wholly acknowledged, its first message is not acknowledged, so it leads the next run to the object.
// Shared and Key_Shared have no order and so no chain: a message can be stored twice, but none is lost. When a consumer
// dies, the messages in its unacknowledged files go to another one; so each partition has at most one such file:
// rolling-file.ts returns only when the previous file is acknowledged.
import { setMaxListeners } from 'node:events';
import { BackupError, byGravity } from './errors.ts';
import { formatTime } from './format/record.ts';
import type { Lingering } from './format/run-manifest.ts';
import { heldBackText } from './held-back.ts';
import { inlineLess } from './lib/inline-less.ts';
import { createSlots } from './lib/semaphore.ts';
import { untilAborted } from './lib/until-aborted.ts';
import { MemoryBudget } from './memory-budget.ts';
import { pacedStore } from './paced-store.ts';
import type { PartitionDrain, PartitionOutcome } from './partition/partition-drain.ts';
import { Standby } from './partition/standby.ts';
import type { Backlog, Logger, Source, SourcePartition, TimeMs } from './ports.ts';
import type { Pace } from './run/deadline.ts';
import { createTally, type Run, type Tally } from './run/run-context.ts';

/**
 * Store calls under way at once. With COS 30 ms away, a file of small messages takes longer to be stored than to be read,
 * and the last files of all partitions are stored together.
 */
const CONCURRENT_CALLS = 16;
/** How many failed partitions are logged individually. */
const MAX_FAILED_LINES = 10;
/** The memory that one partition needs to make progress: a buffer too small for a part, and as much in flight. */
const MIN_BYTES_PER_PARTITION = 2 * 1_048_576;

export type StopReason = 'caught_up' | 'deadline' | 'busy';

export interface DrainOptions
  extends Omit<Run, 'budget' | 'slots' | 'tally' | 'schemas' | 'reading' | 'stopAll' | 'pace'> {
  readonly source: Source;
  readonly stopReadingAtMs: number;
  /** Plans the end from measurements; without it only `stopReadingAtMs` and `storingEnd` apply. */
  readonly pace?: Pace;
  /** Called with the partitions before the first entry is asked for. */
  readonly onOpen?: (partitions: readonly SourcePartition[]) => void;
  readonly bufferBytes: number;
  /** Called with the bytes of all records as they pass. */
  readonly onBytes?: (bytes: number) => void;
  /** Ends reading before `stopReadingAtMs`. */
  readonly stop?: AbortSignal | undefined;
  readonly tally?: Tally;
}

/** The result of a run. `failure` is the error of the invocation; messages in `tally` are stored in any case. */
export interface DrainResult {
  readonly stopReason: StopReason;
  readonly partitions: number;
  readonly tally: Tally;
  readonly backlog: { entries?: number; messages?: number; oldestPublishTime?: string } | undefined;
  /** Messages that linger in the subscription; the backlog does not include them. */
  readonly lingering: Lingering | undefined;
  /** Why the broker did not deliver the rest; reasons joined by `, `. */
  readonly heldBack: string | undefined;
  readonly peakBufferBytes: number;
  readonly failure: unknown;
}

/** Drains the source once. Returns failures instead of throwing them; the caller closes source and store. */
export async function drain(options: DrainOptions): Promise<DrainResult> {
  const { source, clock, stopReadingAtMs, bufferBytes } = options;
  const tally = options.tally ?? createTally();
  const pace = options.pace ?? unhurried(options);
  const reading = new AbortController();
  const timer = new AbortController();
  // One listener per partition that waits is not a leak.
  setMaxListeners(0, reading.signal, options.storingEnd, pace.storing, pace.asking);
  clock
    .sleep(Math.max(0, stopReadingAtMs - clock.now()), timer.signal)
    .then(() => reading.abort())
    .catch(() => undefined);
  const onStop = () => reading.abort();
  const stops = [pace.reading, ...(options.stop === undefined ? [] : [options.stop])];
  for (const stop of stops) {
    stop.addEventListener('abort', onStop);
    if (stop.aborted) onStop();
  }
  const budget = new MemoryBudget(bufferBytes, clock, options.onBytes);
  const result = (fields: Partial<DrainResult>): DrainResult => ({
    stopReason: 'caught_up',
    partitions: 0,
    tally,
    backlog: undefined,
    lingering: undefined,
    heldBack: undefined,
    peakBufferBytes: budget.peakBytes,
    failure: undefined,
    ...fields,
  });
  try {
    const partitions = await source.open();
    if (partitions === 'busy') return result({ stopReason: 'busy' });
    options.onOpen?.(partitions);
    if (await isIdle(partitions, options))
      return result({ partitions: partitions.length, backlog: { entries: 0 } });
    if (options.lingerMs === 0) options.store.expectCreations();
    inlineLess();
    // Loaded only here, because most runs end above.
    const { PartitionDrain } = await import('./partition/partition-drain.ts');
    const { SchemaKeeper } = await import('./run/schema-keeper.ts');
    const run: Run = {
      ...options,
      store: pacedStore(options.store, pace),
      pace,
      budget,
      tally,
      schemas: new SchemaKeeper({ ...options, tally, pace }),
      slots: createSlots(CONCURRENT_CALLS),
      reading: reading.signal,
      stopAll: () => reading.abort(),
    };
    const turns = createSlots(Math.max(1, Math.floor(bufferBytes / MIN_BYTES_PER_PARTITION)));
    const drains = partitions.map((partition) => new PartitionDrain(run, partition));
    pace.onPlan(() => Math.ceil(drains.reduce((sum, { files }) => sum + files, 0) / CONCURRENT_CALLS));
    const standby = new Standby(drains.length, clock, reading.signal);
    const ends = await Promise.allSettled(
      drains.map((one) => standby.drain(one, () => turns.run(() => one.drain()))),
    );
    const failed = ends.flatMap((end, i) =>
      end.status === 'rejected' ? [{ topic: partitions[i]?.topic, error: end.reason as unknown }] : [],
    );
    const failure = reportFailed(failed, options.logger);
    const outcomes = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    const left = { backlog: await backlogOf(drains, pace.asking), lingering: lingeringOf(drains) };
    return result({
      stopReason: stopReasonOf(outcomes, tally),
      partitions: partitions.length,
      ...left,
      heldBack: await heldBackOf(drains, left, pace.asking),
      failure: failure ?? failureOfClock(tally),
    });
  } catch (error) {
    return result({ failure: error });
  } finally {
    timer.abort();
    for (const stop of stops) stop.removeEventListener('abort', onStop);
  }
}

/** Whether no partition had anything to drain, counted by the broker or not. */
async function isIdle(
  partitions: readonly SourcePartition[],
  { subscriptionType }: DrainOptions,
): Promise<boolean> {
  const isInOrder = subscriptionType === 'exclusive' || subscriptionType === 'failover';
  if (!isInOrder || partitions.some(({ end }) => end !== null)) return false;
  const entries = await Promise.all(partitions.map((partition) => partition.entriesAtOpen()));
  return entries.every((count) => count === 0);
}

/** The pace of a run with fixed ends. */
const unhurried = ({ stopReadingAtMs, storingEnd }: DrainOptions): Pace => ({
  stopReadingAtMs,
  reading: new AbortController().signal,
  storing: storingEnd,
  asking: storingEnd,
  hasTimeToStore: () => true,
  measureCreation: (create) => create(),
  measureAcknowledgement: (acknowledge) => acknowledge(),
  isCutShort: () => false,
  onPlan: () => undefined,
});

/** Logs what failed, partition by partition, and returns what the run fails with. */
function reportFailed(
  failed: readonly { topic: string | undefined; error: unknown }[],
  logger: Logger,
): unknown {
  const gravestFirst = byGravity(failed, ({ error }) => error);
  for (const fields of gravestFirst.slice(0, MAX_FAILED_LINES)) logger.error(fields, 'partition failed');
  const rest = failed.length - MAX_FAILED_LINES;
  if (rest > 0) logger.error({ partitions: rest }, 'more partitions failed');
  return gravestFirst[0]?.error;
}

function stopReasonOf(outcomes: readonly PartitionOutcome[], tally: Tally): StopReason {
  if (outcomes.includes('deadline') || tally.cutByDeadline > 0) return 'deadline';
  return outcomes.length > 0 && outcomes.every((outcome) => outcome === 'standby') ? 'busy' : 'caught_up';
}

/** Running out of time excuses an unfinished file, but not a run that finished none. */
function failureOfClock(tally: Tally): unknown {
  if (tally.cutByDeadline === 0 || tally.objects + tally.alreadyStored + tally.unreadable > 0)
    return undefined;
  return (
    tally.lastRetried ??
    new BackupError('store', 'the time was over before a single file could be stored', {
      retryable: true,
      hint: 'Give the run more time (the time-out of the function, or --minutes), or more memory (SCF gives CPU and bandwidth by memory).',
    })
  );
}

const timeIsUp = () => new BackupError('source', 'the time was over before the backlog was known');

/** Not worth a run's last seconds: `undefined` if they are over, or if a partition does not know it. */
async function backlogOf(
  drains: readonly PartitionDrain[],
  end: AbortSignal,
): Promise<DrainResult['backlog']> {
  if (end.aborted) return undefined;
  const backlogs = await Promise.all(
    drains
      .filter((one) => one.knowsBacklog)
      .map((one) => untilAborted(one.backlog(), end, timeIsUp).catch(() => undefined)),
  );
  const known = backlogs.filter((backlog) => backlog !== undefined);
  if (known.length === 0 || known.length < backlogs.length) return undefined;
  const total = (name: 'entries' | 'messages') =>
    known.every((backlog) => backlog[name] !== undefined)
      ? { [name]: known.reduce((sum, backlog) => sum + (backlog[name] ?? 0), 0) }
      : {};
  return { ...total('entries'), ...total('messages'), ...oldestOf(known) };
}

/** What the partitions left in the subscription, together. */
function lingeringOf(drains: readonly PartitionDrain[]): Lingering | undefined {
  const left = drains.flatMap(({ lingering }) => lingering ?? []);
  const [oldest] = left.map(({ oldestMs }) => oldestMs).sort((a, b) => (a < b ? -1 : 1));
  if (oldest === undefined) return undefined;
  return {
    messages: left.reduce((sum, { messages }) => sum + messages, 0),
    oldestPublishTime: formatTime(oldest),
  };
}

/** Reported only if something is or may be left: messages that were held back earlier may have arrived since. */
async function heldBackOf(
  drains: readonly PartitionDrain[],
  { backlog, lingering }: Pick<DrainResult, 'backlog' | 'lingering'>,
  end: AbortSignal,
): Promise<string | undefined> {
  const left = backlog && (backlog.entries ?? backlog.messages ?? 0);
  // Chunks that wait for the rest of their message count as what lingers around them.
  if (left === 0 && lingering === undefined) return undefined;
  const reasons = await Promise.all(
    drains.map((one) => untilAborted(one.heldBack(), end, timeIsUp).catch(() => [])),
  );
  return heldBackText(reasons.flat()) || undefined;
}

/** The publish time of the oldest message in the backlog, if every partition with a backlog knows its own. */
function oldestOf(backlogs: readonly Backlog[]): { oldestPublishTime?: string } {
  const left = backlogs.filter(({ entries, messages }) => (entries ?? messages ?? 0) > 0);
  const times = left.flatMap(({ nextPublishTimeMs }) => nextPublishTimeMs ?? []);
  if (times.length === 0 || times.length < left.length) return {};
  const [oldest] = times.sort((a, b) => (a < b ? -1 : 1)) as [TimeMs];
  return { oldestPublishTime: formatTime(oldest) };
}
