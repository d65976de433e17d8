// One invocation: settings, plan, adapters, the run, the last log line. The one place that catches: it logs a failure
// with its reason and throws it again, so that SCF counts the invocation as failed and retries it.
import { followRuns, type RunChain } from './chain/run-chain.ts';
import { parseConfig, type RuleConfig } from './config.ts';
import { createCosStore } from './cos/store.ts';
import { drain } from './drain.ts';
import { BackupError } from './errors.ts';
import { isArchiveClass } from './format/contents.ts';
import type { Summary } from './format/run-manifest.ts';
import { steadyClock } from './lib/clock.ts';
import { createMemoryPressure } from './lib/memory-pressure.ts';
import { untilAborted } from './lib/until-aborted.ts';
import { createLogger } from './logger.ts';
import type { Clock, Logger, ObjectStore, Source } from './ports.ts';
import { createSource } from './pulsar/create-source.ts';
import type { SourceOptions } from './pulsar/source-options.ts';
import { type Environment, type RunsFrom, secretsOf } from './read-settings.ts';
import { retryingStore } from './retrying-store.ts';
import { abortOrphans, findOrphans, leaveManifest } from './run/after-drain.ts';
import { Deadline } from './run/deadline.ts';
import type { Tally } from './run/run-context.ts';
import { logFieldsOf, RunOutcome } from './run/run-outcome.ts';
import { type LowLimit, lowLimits, planRun, type RunMemory, type ScfContext } from './run/run-plan.ts';

/** The parts of an invocation; tests replace the adapters. */
export interface HandlerParts {
  /** By default one that begins with the invocation. */
  readonly clock?: Clock;
  readonly createStore: (config: RuleConfig, logger: Logger) => ObjectStore;
  readonly createSource: (options: SourceOptions) => Promise<Source>;
  readonly createLogger: (options: {
    level: string;
    rule: string;
    requestId: string;
    secrets: string[];
  }) => Logger;
  /** Of an upload; 8 MiB by default. */
  readonly partBytes?: number;
  /** Where it runs, for hints; a function by default. */
  readonly runsFrom?: RunsFrom;
  /** Receives the counts of the run, which grow during the run. */
  readonly onStart?: (tally: Readonly<Tally>) => void;
  /** When it aborts, the run stops reading, stores and acknowledges its open files, and ends as at its deadline. */
  readonly stop?: AbortSignal;
}

/** The outside of the deployed function. */
export const REAL_PARTS: HandlerParts = {
  createStore: (config, logger) => createCosStore(config.cos, { logger }),
  createSource,
  createLogger,
};

/**
 * Runs the rule of this environment once. @throws BackupError (already logged) if anything failed; files stored
 * before that are acknowledged.
 */
export async function handleInvocation(
  env: Environment,
  context: ScfContext,
  parts: HandlerParts = REAL_PARTS,
): Promise<Summary> {
  const clock = parts.clock ?? steadyClock();
  const startedAtMs = clock.now();
  const rule = env['RULE_NAME'] || env['SCF_FUNCTIONNAME'] || 'unnamed';
  const requestId = context.request_id ?? `local-${startedAtMs}`;
  const loggerAt = (level: string) => parts.createLogger({ level, rule, requestId, secrets: secretsOf(env) });
  let logger = loggerAt('info');
  const outcome = new RunOutcome(clock, startedAtMs, rule, requestId);
  parts.onStart?.(outcome.tally);
  let deadline: Deadline | undefined;
  const opened: Closeable[] = [];
  try {
    const config = parseConfig(env, parts.runsFrom);
    logger = loggerAt(config.logLevel);
    const { times, memory } = planRun(config, context, startedAtMs);
    deadline = new Deadline(clock, times);
    // At a shell, a person has just chosen these limits.
    const low = parts.runsFrom === 'shell' ? [] : lowLimits(config, context);
    const work = run({ config, memory, low, clock, deadline, outcome, logger, parts, opened });
    await untilAborted(work, deadline.lastEnd, notEnded);
    if (outcome.drained?.failure !== undefined) throw outcome.drained.failure;
  } catch (error) {
    // End everything here: otherwise it would continue when the instance is thawed for its next invocation.
    for (const one of opened) void one.close();
    logger.error({ error, ...logFieldsOf(outcome.summarise('failed')) }, 'run failed');
    throw error;
  } finally {
    deadline?.close();
  }
  const summary = outcome.summarise(outcome.drained?.stopReason ?? 'caught_up');
  logger.info(logFieldsOf(summary), 'run finished');
  return summary;
}

/** The last guard: the invocation ends before SCF kills it without a reason. */
const notEnded = () =>
  new BackupError('source', 'the run did not end within its time', {
    retryable: true,
    hint: 'What was stored is safe; the next run continues from there. Please report this with the log lines of the run.',
  });

interface Closeable {
  close(): Promise<void>;
}

interface Invocation {
  readonly config: RuleConfig;
  readonly memory: RunMemory;
  readonly low: readonly LowLimit[];
  readonly clock: Clock;
  readonly deadline: Deadline;
  readonly outcome: RunOutcome;
  readonly logger: Logger;
  readonly parts: HandlerParts;
  /** What the run has opened. */
  readonly opened: Closeable[];
}

async function run(invocation: Invocation): Promise<void> {
  const { config, memory, low, clock, deadline, outcome, logger, parts, opened } = invocation;
  const { startedAtMs, tally } = outcome;
  const signal = deadline.hardEnd;
  logger.info(startFields(invocation), 'run started');
  for (const limit of low) logger.warn({ ...limit }, 'function limit low');
  const calls = parts.createStore(config, logger);
  const store = retryingStore(calls, {
    clock,
    logger,
    signal,
    onRetry: (error) => {
      tally.lastRetried = error;
    },
  });
  opened.push(store);
  let source: Source | undefined;
  let chain: RunChain | undefined;
  try {
    source = await parts.createSource({
      config: await withRoleKey(config, signal),
      receiveBudgetBytes: memory.receiveBytes,
      largestMessageBytes: memory.largestMessageBytes,
      isFirstRun: async () => (await chain?.isFirst()) ?? true,
      clock,
      logger,
      signal,
    });
    opened.push(source);
    const of = { rule: config.rule, topic: config.pulsar.topic, prefix: config.cos.prefix };
    const { subscription, subscriptionType, initialPosition } = config.pulsar;
    // In parallel with opening the source, so that an empty run takes no longer.
    chain = followRuns({
      ...{ ...of, subscription, subscriptionType, initialPosition },
      ...{ store, clock, logger, startedAtMs, signal: deadline.asking },
      stored: () => tally.stored,
      onMoved: () => tally.subscriptionMoved++,
    });
    const result = await drain({
      ...{ ...of, subscriptionType },
      limits: config.file,
      compression: config.file.compression,
      partBytes: parts.partBytes,
      isArchived: isArchiveClass(config.cos.storageClass),
      onUnreadable: config.run.onUnreadable,
      chunkExpiryMs: config.run.chunkExpiryMinutes * 60_000,
      lingerMs: config.file.lingerMinutes * 60_000,
      ...{ source, store, clock, logger, tally, startedAtMs },
      stopReadingAtMs: deadline.stopReadingAtMs,
      storingEnd: deadline.storingEnd,
      pace: deadline,
      stop: parts.stop,
      bufferBytes: memory.uploadBytes,
      onBytes: createMemoryPressure(memory.inUseBytes),
      onOpen: chain.opened,
    });
    outcome.drained = result;
    const after = { config, store, logger, outcome, signal };
    // A busy run knows that another one is running. In parallel with the next step, because it takes as long as the
    // manifest.
    const isWell = result.failure === undefined && result.stopReason !== 'busy';
    // Its retries do not mean that the manifest was refused.
    const orphans = isWell
      ? findOrphans({ ...after, store: retryingStore(calls, { clock, logger, signal }) })
      : undefined;
    if (result.partitions > 0) await chain.compared();
    // A broker that is slow to close must not use up the manifest's time.
    await untilAborted(source.close(), deadline.asking, manifestDue).catch(() => undefined);
    if (result.stopReason !== 'busy' || result.partitions > 0) {
      const end = await chain.end({ isLeft: result.lingering !== undefined });
      if (tally.stored.length > 0 || end.isDue) await leaveManifest(after, result, end.link);
    }
    if (orphans !== undefined) await abortOrphans(after, await orphans);
  } finally {
    chain?.abort();
    await source?.close();
    await store.close();
  }
}

const manifestDue = () => new BackupError('source', 'the time of the manifest has come');

async function withRoleKey(config: RuleConfig, signal: AbortSignal): Promise<RuleConfig['pulsar']> {
  const { pulsar, cos } = config;
  if (pulsar.tdmqRole === undefined) return pulsar;
  const { region, credentials } = cos;
  // Most rules do not need the cloud's SDK, and loading it takes 45 ms of a cold start.
  const { readRoleKey } = await import('./rules/role-key.ts');
  return {
    ...pulsar,
    token: await readRoleKey({ ...pulsar.tdmqRole, region, credentials, signal, runsFrom: pulsar.runsFrom }),
  };
}

function startFields({ config, memory, deadline, outcome }: Invocation) {
  const { pulsar, cos } = config;
  return {
    topic: pulsar.topic.full,
    subscription: pulsar.subscription,
    subscriptionType: pulsar.subscriptionType,
    driver: pulsar.driver,
    bucket: cos.bucket,
    prefix: cos.prefix,
    readingMs: deadline.stopReadingAtMs - outcome.startedAtMs,
    ...memory,
  };
}
