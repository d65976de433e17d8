// The default Source: Pulsar's binary protocol in TypeScript. One connection per broker, one consumer per partition.
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { PulsarConfig } from '../../config.ts';
import { BackupError, messageOf } from '../../errors.ts';
import { largestMessageBytes } from '../../largest-message.ts';
import { retry } from '../../lib/retry.ts';
import { createSlots } from '../../lib/semaphore.ts';
import { untilAborted } from '../../lib/until-aborted.ts';
import type { Source, SourcePartition } from '../../ports.ts';
import { partitionTopic } from '../../topic-name.ts';
import { initialPosition } from '../initial-position.ts';
import type { SourceOptions } from '../source-options.ts';
import type { Cluster } from './cluster.ts';
import { Consumer } from './consumer.ts';
import { openCluster } from './open-cluster.ts';
import { ReceiveMemory } from './protocol/receive-memory.ts';
import { isServerError, saysConsumerLimit } from './protocol/server-error.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { runEnded } from './run-ended.ts';
import { SchemaReader } from './schema-reader.ts';
import { networkHint } from './socket-error.ts';
import { DEFAULT_TIMINGS, startTimer, type Timings } from './timer.ts';

const SUBSCRIPTION_TYPES = {
  exclusive: SUBSCRIPTION_TYPE.Exclusive,
  failover: SUBSCRIPTION_TYPE.Failover,
  shared: SUBSCRIPTION_TYPE.Shared,
  key_shared: SUBSCRIPTION_TYPE.Key_Shared,
} as const;

const OF_ALL_PARTITIONS = ['ConsumerBusy', 'AuthorizationError', 'AuthenticationError'] as const;

const OPEN_ATTEMPTS = 4;
/** Entries that wait may be few in each block. */
const RECEIVE_MEMORY_TIMES = 2;
/** Partitions that are opened side by side, once the first is ours. */
const OPENING_AT_ONCE = 50;
/** What so many partitions refuse, one after the other, is not one partition's trouble. */
const MAX_REFUSALS = 10;

/**
 * A Source over the binary protocol, for brokers of Pulsar 2.7 and later. `timings` are for tests.
 * Failover: after a lost connection a partition answers `lost` if anything handed out was not acknowledged, because
 * another consumer may have had it meanwhile.
 * @throws BackupError `config` where the service URL or a TLS file is of no use
 */
export function createWireSource(options: SourceOptions, timings: Partial<Timings> = {}): Source {
  return new WireSource(options, { ...DEFAULT_TIMINGS, ...timings });
}

class WireSource implements Source {
  readonly driver = 'wire';
  readonly #options: SourceOptions;
  readonly #timings: Timings;
  readonly #cluster: Cluster;
  readonly #ended = new AbortController();
  readonly #onRunEnd = (): void => this.#end();
  readonly #consumerName = `tdmq-backup-${randomBytes(4).toString('hex')}`;
  #consumers: Consumer[] = [];
  #lastConsumerId = 0;
  #closing: Promise<void> | undefined;

  constructor(options: SourceOptions, timings: Timings) {
    const { config, clock, logger, signal } = options;
    this.#options = options;
    this.#timings = timings;
    this.#cluster = openCluster(config, {
      ...{ clock, timings, logger },
      memory: new ReceiveMemory(RECEIVE_MEMORY_TIMES * options.receiveBudgetBytes),
    });
    // One listener per partition that reconnects is not a leak.
    setMaxListeners(0, this.#ended.signal);
    signal?.addEventListener('abort', this.#onRunEnd);
    if (signal?.aborted) this.#end();
  }

  async open(): Promise<readonly SourcePartition[] | 'busy'> {
    const { openTimeoutMs } = this.#timings;
    const { clock } = this.#options;
    const tooLate = new AbortController();
    let lastError: unknown;
    let cancelTimer = () => {};
    const giveTime = (): void => {
      cancelTimer();
      cancelTimer = startTimer(clock, openTimeoutMs, () => tooLate.abort());
    };
    const late = new Promise<never>((_, reject) => {
      const rejectWith = (error: BackupError) => () => reject(lastError ?? error);
      tooLate.signal.addEventListener('abort', rejectWith(tookTooLong(this.#options.config, openTimeoutMs)));
      const onEnd = rejectWith(runEnded(undefined));
      this.#ended.signal.addEventListener('abort', onEnd);
      if (this.#ended.signal.aborted) onEnd();
    });
    giveTime();
    try {
      const opening = retry(
        async (attempt) => {
          try {
            await this.#subscribeAll(giveTime, attempt === OPEN_ATTEMPTS);
          } catch (error) {
            lastError = error;
            await this.#closeConsumers();
            throw error;
          }
        },
        { clock, signal: tooLate.signal, attempts: OPEN_ATTEMPTS },
      );
      await Promise.race([opening, late]);
      cancelTimer();
      await this.#settle();
    } catch (error) {
      tooLate.abort();
      await this.close();
      if (isServerError(error, 'ConsumerBusy')) {
        if (isOfOtherType(error)) throw otherType(error);
        // Where no further consumer may come, nobody may be at work here.
        const isHeld = !saysConsumerLimit(messageOf(error));
        if (isHeld && this.#options.config.subscriptionType === 'exclusive') return 'busy';
      }
      throw error;
    } finally {
      cancelTimer();
    }
    return this.#consumers;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Instances that begin together share the partitions out before anything is taken. See `settleMs`. */
  async #settle(): Promise<void> {
    const { clock, config } = this.#options;
    if (config.subscriptionType !== 'failover' || this.#consumers.every(({ end }) => end === null)) return;
    await clock.sleep(this.#timings.settleMs, this.#ended.signal).catch(() => {
      throw runEnded(undefined);
    });
  }

  /**
   * `onProgress` is called after each step that got further. A partition that cannot be opened fails when it is read, and
   * keeps no other from being drained; what may pass is tried again before, so it counts only in the last try.
   */
  async #subscribeAll(onProgress: () => void, isLastTry: boolean): Promise<void> {
    const { config, receiveBudgetBytes, clock, logger } = this.#options;
    const limitBytes = this.#options.largestMessageBytes ?? largestMessageBytes(0);
    if (this.#ended.signal.aborted) throw runEnded(undefined);
    const [count, position] = await Promise.all([
      this.#cluster.partitions(config.topic),
      initialPosition(this.#options),
    ]);
    if (this.#ended.signal.aborted) throw runEnded(undefined);
    onProgress();
    const partitions = count === 0 ? [-1] : Array.from({ length: count }, (_, partition) => partition);
    const budget = new ReceiveBudget(receiveBudgetBytes, clock);
    const heldChunks = { sizeBytes: 0 };
    const schemas = new SchemaReader(this.#cluster, clock);
    this.#consumers = partitions.map(
      (partition) =>
        new Consumer({
          cluster: this.#cluster,
          clock,
          logger,
          timings: this.#timings,
          topic: partitionTopic(config.topic, partition),
          partition,
          subscription: config.subscription,
          consumerName: this.#consumerName,
          subType: SUBSCRIPTION_TYPES[config.subscriptionType],
          initialPosition: position,
          budget,
          limitBytes,
          heldChunks,
          schemas,
          nextConsumerId: () => ++this.#lastConsumerId,
          signal: this.#ended.signal,
        }),
    );
    const refused: { readonly consumer: Consumer; readonly error: BackupError }[] = [];
    const isOfPartition = (error: unknown): error is BackupError =>
      isOfOnePartition(error) && (isLastTry || !error.retryable) && !this.#ended.signal.aborted;
    const others = [...this.#consumers];
    // The first is the lock: of two instances that start together one gets all partitions and the other none.
    for (let isOurs = false; !isOurs && others.length > 0; ) {
      const first = others.shift() as Consumer;
      try {
        await first.open(onProgress);
        isOurs = !first.isMissing;
      } catch (error) {
        const isRefusal = isOfPartition(error) && error.details['serverError'] !== undefined;
        if (!isRefusal) throw error;
        refused.push({ consumer: first, error });
        if (others.length === 0 || refused.length > MAX_REFUSALS) throw refused[0]?.error;
      }
    }
    const slots = createSlots(OPENING_AT_ONCE);
    let failure: unknown;
    const open = async (consumer: Consumer): Promise<void> => {
      if (failure !== undefined) return;
      await consumer.open(onProgress).catch((error: unknown) => {
        if (isOfPartition(error)) refused.push({ consumer, error });
        else failure ??= error;
      });
    };
    // All are awaited: who closes them afterwards must not meet one whose SUBSCRIBE is under way.
    await Promise.all(others.map((consumer) => slots.run(() => open(consumer))));
    if (failure !== undefined) throw failure;
    for (const { consumer, error } of refused) consumer.giveUp(error);
  }

  #end(): void {
    this.#ended.abort();
    for (const consumer of this.#consumers) consumer.abort();
  }

  async #closeConsumers(): Promise<void> {
    const consumers = this.#consumers;
    this.#consumers = [];
    await Promise.all(consumers.map((consumer) => consumer.close()));
  }

  async #close(): Promise<void> {
    const { signal } = this.#options;
    signal?.removeEventListener('abort', this.#onRunEnd);
    this.#ended.abort();
    // When the run's time is over, the broker learns it from the end of the connection.
    const runEnded = () => new BackupError('source', 'the run ended before its consumers were closed');
    await untilAborted(this.#closeConsumers(), signal, runEnded).catch(() => undefined);
    await this.#cluster.close();
  }
}

/** Whether other partitions may open all the same: neither a run that holds them, nor a role that may not. */
function isOfOnePartition(error: unknown): error is BackupError {
  if (!(error instanceof BackupError) || error.code !== 'source') return false;
  return !OF_ALL_PARTITIONS.some((name) => isServerError(error, name));
}

/** Brokers say with one code that somebody has an Exclusive subscription, and that it is in use as another type. */
function isOfOtherType(error: unknown): boolean {
  return /different type/i.test(messageOf(error));
}

function otherType(cause: unknown): BackupError {
  return new BackupError('source', messageOf(cause), {
    hint: 'Consumers of another type use this subscription: set PULSAR_SUBSCRIPTION_TYPE to theirs, or give the rule a subscription of its own.',
    cause,
  });
}

function tookTooLong({ serviceUrl, runsFrom }: PulsarConfig, timeoutMs: number): BackupError {
  return new BackupError(
    'source',
    `${serviceUrl} was not ready: no partition got further for ${timeoutMs} ms`,
    {
      retryable: true,
      hint: networkHint(runsFrom),
    },
  );
}
