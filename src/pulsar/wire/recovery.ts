// One outage of a partition's consumer, from its loss until there is one again: since when, why, and the tries to end it.
// It bounds the whole outage, however often the tries begin anew.
import { BackupError } from '../../errors.ts';
import { endingOutage } from '../../lib/outage.ts';
import { retry } from '../../lib/retry.ts';
import type { Clock } from '../../ports.ts';
import { startTimer, type Timings } from './timer.ts';

/** Whose outage it is, and how long it may last. */
export interface RecoveryOptions {
  readonly topic: string;
  readonly clock: Clock;
  readonly timings: Pick<Timings, 'reconnectTimeoutMs'>;
  /** The end of the run. */
  readonly signal: AbortSignal;
}

/** The tries of one outage. */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #sinceMs: number;
  #cause: BackupError | undefined;
  #stop: () => void = () => undefined;

  /** An outage begins. */
  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.now();
  }

  /** Why there is no consumer, as far as is known: the loss, or the last try's failure. */
  get cause(): BackupError | undefined {
    return this.#cause;
  }

  /**
   * Calls `subscribe` until it succeeds. `lost`: why the consumer went, and how long to wait first.
   * @throws BackupError `source`: one that is not retryable, or the last one where the outage or the run was over
   */
  async run(
    subscribe: () => Promise<void>,
    lost?: { readonly cause: BackupError; readonly pauseMs: number },
  ): Promise<void> {
    const { topic, clock, timings, signal } = this.#options;
    const { reconnectTimeoutMs } = timings;
    if (lost !== undefined) this.#cause = lost.cause;
    const stopped = new AbortController();
    const stop = (): void => stopped.abort();
    this.#stop = stop;
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    let isTooLong = false;
    const leftMs = Math.max(0, this.#sinceMs + reconnectTimeoutMs - clock.now());
    const cancelTimer = startTimer(clock, leftMs, () => {
      isTooLong = true;
      stop();
    });
    try {
      if (lost !== undefined) await this.#pause(lost.pauseMs, stopped.signal);
      await retry(subscribe, {
        clock,
        signal: stopped.signal,
        attempts: Number.POSITIVE_INFINITY,
        baseDelayMs: 100,
        onRetry: (error) => {
          this.#cause = error;
        },
      });
    } catch (error) {
      const isOutage = isTooLong && (error as BackupError).retryable;
      throw isOutage ? endingOutage(awayTooLong(topic, reconnectTimeoutMs, error as BackupError)) : error;
    } finally {
      cancelTimer();
      signal.removeEventListener('abort', stop);
    }
  }

  async #pause(pauseMs: number, signal: AbortSignal): Promise<void> {
    if (pauseMs === 0) return;
    try {
      await this.#options.clock.sleep(pauseMs, signal);
    } catch {
      throw this.#cause;
    }
  }

  /** Ends `run`, which throws then. */
  stop(): void {
    this.#stop();
  }
}

function awayTooLong(topic: string, timeoutMs: number, cause: BackupError): BackupError {
  return new BackupError(
    'source',
    `no consumer of ${topic} could subscribe again in ${timeoutMs / 1_000} s: ${cause.message}`,
    {
      retryable: true,
      hint: 'Look at the brokers, and at what is between them and here. The next run goes on from what is stored.',
      cause,
    },
  );
}
