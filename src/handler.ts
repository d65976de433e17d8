// One invocation: settings, adapters, the deadline, the summary. The one place that catches: what fails is logged with
// its reason and thrown again, so that SCF counts the invocation as failed and repeats it.

import { type ChainEnd, followRuns, type RunChain } from './chain/run-chain.ts';
import { parseConfig, type RuleConfig } from './config.ts';
import { createCosStore } from './cos/store.ts';
import { Deadline } from './deadline.ts';
import { type DrainResult, drain } from './drain.ts';
import { BackupError } from './errors.ts';
import { compressionMemoryMb, endCompression } from './format/compression.ts';
import { topicFolder } from './format/object-key.ts';
import { type RunEnd, type Summary, storeRunManifest } from './format/run-manifest.ts';
import { largestMessageBytes } from './largest-message.ts';
import { systemClock } from './lib/clock.ts';
import { createMemoryPressure } from './lib/memory-pressure.ts';
import { untilAborted } from './lib/until-aborted.ts';
import { createLogger } from './logger.ts';
import { isOfClock } from './paced-store.ts';
import type { Clock, Logger, ObjectStore, Source } from './ports.ts';
import { createSource } from './pulsar/create-source.ts';
import type { SourceOptions } from './pulsar/source-options.ts';
import type { Environment, RunsFrom } from './read-settings.ts';
import { retryingStore } from './retrying-store.ts';
import { createTally, type Tally } from './run.ts';

/** What SCF tells of an invocation (SCF's documentation of the Node.js runtime). Fields differ by version. */
export interface ScfContext {
  readonly request_id?: string;
  readonly function_name?: string;
  readonly memory_limit_in_mb?: number;
  readonly time_limit_in_ms?: number;
  getRemainingTimeInMillis?(): number;
}

/** What an invocation is made of; tests replace the outside. */
export interface HandlerParts {
  readonly clock: Clock;
  readonly createStore: (config: RuleConfig, logger: Logger) => ObjectStore;
  readonly createSource: (options: SourceOptions) => Promise<Source>;
  readonly createLogger: (options: {
    level: string;
    rule: string;
    requestId: string;
    secrets: string[];
  }) => Logger;
  /** Where it runs, for hints; a function by default. */
  readonly runsFrom?: RunsFrom;
  /** Is given the counts of the run, which grow while it goes on. */
  readonly onStart?: (tally: Readonly<Tally>) => void;
  /** Aborted, the run stops reading, stores and acknowledges what is open, and ends as at its deadline. */
  readonly stop?: AbortSignal;
}

/** The outside of the deployed function. */
export const REAL_PARTS: HandlerParts = {
  clock: systemClock,
  createStore: (config, logger) => createCosStore(config.cos, { logger }),
  createSource,
  createLogger,
};

/** Where SCF does not say: the limits of a function that nobody has configured. */
const DEFAULT_TIME_LIMIT_MS = 60_000;
const DEFAULT_MEMORY_MB = 256;
/** Node with the code in it takes 71 MB before the first message. */
const MIN_MEMORY_MB = 128;
/** Node, the SDK and the code, before the first message. */
const BASE_MEMORY_MB = 96;
const MIN_BUFFER_BYTES = 4 * 1_048_576;
const MAX_BUFFER_BYTES = 256 * 1_048_576;
/** Heap and buffers of Node at rest, and the smallest buffers. */
const MIN_IN_USE_BYTES = 24 * 1_048_576;
/**
 * An unfinished upload older than this belongs to nobody any more: it is the longest time-out of a function, and a run
 * that lasts longer completes its uploads before (MAX_UPLOAD_AGE_MS).
 */
const ORPHAN_AGE_MS = 900_000;

/**
 * Runs the rule of this environment once.
 * @throws BackupError (already logged) when anything failed; what was stored by then stays, acknowledged.
 */
export async function handleInvocation(
  env: Environment,
  context: ScfContext,
  parts: HandlerParts = REAL_PARTS,
): Promise<Summary> {
  const { clock } = parts;
  const startedAtMs = clock.now();
  const timeLimitMs =
    context.getRemainingTimeInMillis?.() ?? context.time_limit_in_ms ?? DEFAULT_TIME_LIMIT_MS;
  const requestId = context.request_id ?? `local-${startedAtMs}`;
  const named = { rule: env['RULE_NAME'] || env['SCF_FUNCTIONNAME'] || 'unnamed', requestId };
  let logger = parts.createLogger({ level: 'info', ...named, secrets: secretsOf(env) });
  const tally = createTally();
  parts.onStart?.(tally);
  let result: DrainResult | undefined;
  let failure: unknown;
  let deadline: Deadline | undefined;
  const opened: Closeable[] = [];
  const finish = <End extends RunEnd>(stopReason: End) =>
    summarise(named, startedAtMs, clock.now(), stopReason, tally, result);
  try {
    const config = parseConfig(env, parts.runsFrom);
    logger = parts.createLogger({ level: config.logLevel, ...named, secrets: secretsOf(env) });
    const reserveMs = config.run.reserveSeconds * 1_000;
    deadline = new Deadline({ clock, startedAtMs, timeLimitMs, reserveMs });
    const fixed = { config, logger, parts, tally, startedAtMs, deadline, context, opened };
    const invocation = { ...fixed, summarise: finish };
    result = await withinTime(
      clock,
      deadline.lastEndAtMs,
      run(invocation, (value) => (result = value)),
    );
    failure = result.failure;
  } catch (error) {
    failure = error;
    // Whatever hangs ends here: it would go on when the instance is thawed for its next invocation.
    for (const one of opened) void one.close();
  } finally {
    deadline?.close();
  }
  if (failure !== undefined) {
    logger.error({ error: failure, ...logged(finish('failed')) }, 'run failed');
    throw failure;
  }
  const summary = finish(result?.stopReason ?? 'caught_up');
  logger.info(logged(summary), 'run finished');
  return summary;
}

interface Closeable {
  close(): Promise<void>;
}

interface Invocation {
  readonly config: RuleConfig;
  readonly logger: Logger;
  readonly parts: HandlerParts;
  readonly tally: Tally;
  readonly context: ScfContext;
  /** What the run has opened. */
  readonly opened: Closeable[];
  readonly startedAtMs: number;
  readonly deadline: Deadline;
  readonly summarise: (stopReason: RunEnd) => Summary;
}

async function run(invocation: Invocation, onResult: (result: DrainResult) => void): Promise<DrainResult> {
  const { config, logger, parts, tally, startedAtMs, deadline } = invocation;
  const { clock } = parts;
  const { stopReadingAtMs, hardEnd } = deadline;
  const memoryMb = invocation.context.memory_limit_in_mb ?? DEFAULT_MEMORY_MB;
  if (memoryMb < MIN_MEMORY_MB) throw tooLittleMemory(memoryMb);
  const buffers = bufferSizes(memoryMb - compressionMemoryMb(config.file.compression));
  logger.info(startFields(config, invocation, buffers), 'run started');
  const store = retryingStore(parts.createStore(config, logger), {
    clock,
    logger,
    signal: hardEnd,
    onRetry: (error) => {
      tally.lastRetried = error;
    },
  });
  invocation.opened.push(store);
  let source: Source | undefined;
  let chain: RunChain | undefined;
  try {
    source = await parts.createSource({
      config: await withRoleKey(config, hardEnd),
      receiveBudgetBytes: buffers.receiveBytes,
      largestMessageBytes: buffers.largestMessageBytes,
      clock,
      logger,
      signal: hardEnd,
    });
    invocation.opened.push(source);
    // Beside the opening of the source, so that a run with nothing to do takes no longer.
    chain = followRuns({
      ...{ store, clock, logger, startedAtMs, signal: deadline.asking },
      ...{ rule: config.rule, prefix: config.cos.prefix },
      topic: config.pulsar.topic,
      subscription: config.pulsar.subscription,
      subscriptionType: config.pulsar.subscriptionType,
      onMoved: () => tally.subscriptionMoved++,
    });
    const result = await drain({
      rule: config.rule,
      topic: config.pulsar.topic,
      prefix: config.cos.prefix,
      subscriptionType: config.pulsar.subscriptionType,
      limits: config.file,
      compression: config.file.compression,
      onUnreadable: config.run.onUnreadable,
      chunkExpiryMs: config.run.chunkExpiryMinutes * 60_000,
      source,
      store,
      clock,
      logger,
      tally,
      startedAtMs,
      stopReadingAtMs,
      storingEnd: deadline.storingEnd,
      pace: deadline,
      stop: parts.stop,
      bufferBytes: buffers.uploadBytes,
      onBytes: createMemoryPressure(buffers.inUseBytes),
      onOpen: chain.opened,
    });
    onResult(result);
    if (result.partitions > 0) await chain.compared();
    // A broker that is slow to say good-bye must not take the time of the manifest.
    await untilAborted(source.close(), deadline.asking, timeIsUp).catch(() => undefined);
    if (result.stopReason !== 'busy' || result.partitions > 0)
      await leaveManifest(invocation, store, result, await chain.end(), hardEnd);
    // A busy run knows that somebody else is at work.
    if (result.failure === undefined && result.stopReason !== 'busy') {
      await abortOrphans(invocation, store, hardEnd);
    }
    return result;
  } finally {
    chain?.abort();
    await source?.close();
    await store.close();
    await endCompression();
  }
}

const timeIsUp = () => new BackupError('source', 'the time of the manifest has come');

/**
 * The history of the run. A run that failed has a better reason to fail with than its manifest; and where only the
 * clock is to blame, what was stored is safe, and the index can be made anew.
 */
async function leaveManifest(
  { config, logger, tally, summarise: finish }: Invocation,
  store: ObjectStore,
  result: DrainResult,
  { link, isDue }: ChainEnd,
  signal: AbortSignal,
): Promise<void> {
  if (tally.stored.length === 0 && !isDue) return;
  const summary = finish(result.failure === undefined ? result.stopReason : 'failed');
  const retriedBefore = tally.lastRetried;
  try {
    await storeRunManifest(store, config.cos.prefix, { ...summary, link }, tally.stored, { signal });
  } catch (error) {
    const refusal = tally.lastRetried === retriedBefore ? undefined : tally.lastRetried;
    const isCut = isOfClock(error, signal);
    const isRefused = !isCut || refusal !== undefined;
    if (result.failure === undefined && tally.stored.length > 0 && isRefused) throw isCut ? refusal : error;
    const hint = 'What is stored is safe. `tdmq-backup archive index` writes the manifest anew.';
    logger.warn({ error, hint }, 'run manifest not stored');
  }
}

/** Unfinished uploads of killed runs cost money and are seen by nobody. Not being allowed to look is no failure. */
async function abortOrphans(
  { config, logger }: Invocation,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<void> {
  const folder = topicFolder(config.cos.prefix, config.pulsar.topic);
  try {
    for await (const upload of store.listUploads(folder, { signal })) {
      if (upload.ageMs <= ORPHAN_AGE_MS) continue;
      await store.abortUpload(upload.key, upload.uploadId, { signal });
      logger.info({ key: upload.key, initiated: upload.initiated.toISOString() }, 'orphaned upload aborted');
    }
  } catch (error) {
    if (!signal.aborted) logger.warn({ error }, 'orphaned uploads not cleaned up');
  }
}

async function withRoleKey(config: RuleConfig, signal: AbortSignal): Promise<RuleConfig['pulsar']> {
  const { pulsar, cos } = config;
  if (pulsar.tdmqRole === undefined) return pulsar;
  const { region, credentials } = cos;
  // Most rules have no use for the cloud's SDK, and it takes 45 ms of a cold start to load.
  const { readRoleKey } = await import('./rules/role-key.ts');
  return {
    ...pulsar,
    token: await readRoleKey({ ...pulsar.tdmqRole, region, credentials, signal, runsFrom: pulsar.runsFrom }),
  };
}

/** Better than to be killed in mid-run, without a word. */
function tooLittleMemory(memoryMb: number): BackupError {
  const what = `the function has ${memoryMb} MB of memory, which is too little for Node and a single message`;
  return new BackupError('config', what, {
    hint: `Give it ${MIN_MEMORY_MB} MB or more (memorySize in serverless.yml); 512 MB is a good choice.`,
  });
}

interface Buffers {
  readonly uploadBytes: number;
  readonly receiveBytes: number;
  readonly inUseBytes: number;
  readonly largestMessageBytes: number;
}

/** How much of the function's memory may hold messages: what Node itself does not need, with room for its garbage. */
function bufferSizes(memoryMb: number): Buffers {
  const freeBytes = Math.max(0, memoryMb - BASE_MEMORY_MB) * 1_048_576;
  const uploadBytes = Math.min(MAX_BUFFER_BYTES, Math.max(MIN_BUFFER_BYTES, freeBytes * 0.25));
  return {
    uploadBytes,
    receiveBytes: uploadBytes / 4,
    inUseBytes: MIN_IN_USE_BYTES + freeBytes * 0.5,
    largestMessageBytes: largestMessageBytes(memoryMb),
  };
}

/** The guard behind all guards: whatever hangs, the invocation ends before SCF ends it without a reason. */
async function withinTime<T>(clock: Clock, endAtMs: number, work: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const over = clock.sleep(Math.max(0, endAtMs - clock.now()), timer.signal).then(() => {
    throw new BackupError('source', 'the run did not end within its time', {
      retryable: true,
      hint: 'What was stored is safe; the next run goes on from there. Please report this with the log lines of the run.',
    });
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    timer.abort();
    over.catch(() => undefined);
    work.catch(() => undefined);
  }
}

function startFields(config: RuleConfig, { deadline, startedAtMs }: Invocation, buffers: Buffers) {
  const { pulsar, cos } = config;
  return {
    topic: pulsar.topic.full,
    subscription: pulsar.subscription,
    subscriptionType: pulsar.subscriptionType,
    driver: pulsar.driver,
    bucket: cos.bucket,
    prefix: cos.prefix,
    readingMs: deadline.stopReadingAtMs - startedAtMs,
    ...buffers,
  };
}

function summarise<End extends RunEnd>(
  named: { rule: string; requestId: string },
  startedAtMs: number,
  nowMs: number,
  stopReason: End,
  tally: Tally,
  result: DrainResult | undefined,
): Summary<End> {
  return {
    ...named,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs: nowMs - startedAtMs,
    stopReason,
    messages: tally.messages,
    recordBytes: tally.recordBytes,
    objects: tally.objects,
    alreadyStored: tally.alreadyStored,
    unreadable: tally.unreadable,
    ...(tally.subscriptionMoved === 0 ? {} : { subscriptionMoved: tally.subscriptionMoved }),
    ...(result?.backlog === undefined ? {} : { backlog: result.backlog }),
    ...(result?.heldBack === undefined ? {} : { heldBack: result.heldBack }),
    partitions: result?.partitions ?? 0,
  };
}

/** The summary as fields of a log line. Every line has rule and request id already. */
function logged<End extends RunEnd>(summary: Summary<End>) {
  const { rule: _rule, requestId: _requestId, backlog, heldBack, partitions, ...counts } = summary;
  return {
    ...counts,
    backlogEntries: backlog?.entries,
    backlogMessages: backlog?.messages,
    backlogOldestPublishTime: backlog?.oldestPublishTime,
    heldBack,
    partitions,
  };
}

function secretsOf(env: Environment): string[] {
  return [
    'PULSAR_TOKEN',
    'TENCENTCLOUD_SECRETID',
    'TENCENTCLOUD_SECRETKEY',
    'TENCENTCLOUD_SESSIONTOKEN',
  ].flatMap((name) => env[name] ?? []);
}
