// The consumer that one partition has at its broker. Subscribes, and subscribes again after the consumer is lost, for as
// long as an outage may last. Knows nothing of entries and permits. Its states:
//   connecting  there is no consumer yet: the first one, or the next one after a loss
//   ready       there is a consumer, and the listener gets what the broker sends
//   missing     the topic has no such partition any more, and the broker makes none
//   failed      given up with an error; `renew` tries again, as it does for a missing one
//   closed      for good
import { BackupError } from '../../errors.ts';
import { endingOutage } from '../../lib/outage.ts';
import type { Clock, Logger } from '../../ports.ts';
import { BrokerConsumer, type Subscription } from './broker-consumer.ts';
import type { Cluster } from './cluster.ts';
import { Gate } from './gate.ts';
import { isServerError } from './protocol/server-error.ts';
import type { ConsumerEvents } from './receivers.ts';
import { noFurther, ReconnectBackoff } from './reconnect-backoff.ts';
import { Recovery } from './recovery.ts';
import { runEnded } from './run-ended.ts';
import type { Timings } from './timer.ts';

/** What to subscribe to, and through which cluster. */
export interface LinkOptions extends Subscription {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timings: Timings;
  /** -1: the topic is not partitioned. */
  readonly partition: number;
  /** Unique within the run. */
  readonly nextConsumerId: () => number;
  /** The end of the run: waiting and reconnecting end with it. */
  readonly signal: AbortSignal;
}

/** The user of the consumer. It hears nothing of an earlier consumer once the next one subscribes. */
export interface LinkListener extends Pick<ConsumerEvents, 'onEntry' | 'onActiveChange' | 'onEndOfTopic'> {
  /** A consumer is about to subscribe. */
  onSubscribing(): void;
  /** There is a consumer. `isAgain`: it is not the first one. */
  onReady(isAgain: boolean): void;
  /** The consumer is lost, and the link tries for another one. */
  onLost(): void;
  /** The link is `failed` or `missing`. */
  onFailed(error: BackupError): void;
}

type LinkState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'missing' | 'failed' | 'closed'; readonly error: BackupError };

/** A consumer from its SUBSCRIBE on. `lostEarly`: why it went before it was ready. */
interface Attempt {
  readonly consumer: BrokerConsumer;
  lostEarly: BackupError | undefined;
}

/** One partition's way to its broker, over all consumers that it has there. */
export class ConsumerLink {
  readonly #options: LinkOptions;
  readonly #listener: LinkListener;
  readonly #gate: Gate;
  readonly #backoff = new ReconnectBackoff();
  #state: LinkState = { kind: 'connecting' };
  #current: Attempt | undefined;
  /** While there is no consumer. It outlives a failure: `renew` gets the rest of the outage's time. */
  #recovery: Recovery | undefined;

  constructor(options: LinkOptions, listener: LinkListener) {
    this.#options = options;
    this.#listener = listener;
    this.#gate = new Gate(options.clock, options.timings.operationTimeoutMs, options.topic);
  }

  get isReady(): boolean {
    return this.#state.kind === 'ready';
  }

  get isMissing(): boolean {
    return this.#state.kind === 'missing';
  }

  /** Why nobody should wait: the link is `missing`, `failed` or `closed`, or the run has ended. */
  get failure(): BackupError | undefined {
    const state = this.#state;
    if (state.kind !== 'connecting' && state.kind !== 'ready') return state.error;
    return this.#options.signal.aborted ? runEnded(this.#recovery?.cause) : undefined;
  }

  /** The consumer at the broker. To be asked for only while there is one. */
  get consumer(): BrokerConsumer {
    return (this.#current as Attempt).consumer;
  }

  /** Whether nothing has replaced `consumer` since, and it is not lost. */
  isCurrent(consumer: BrokerConsumer): boolean {
    return this.#current?.consumer === consumer;
  }

  /**
   * Subscribes for the first time. Returns false where the partition is `missing`. Never creates a topic that is not
   * partitioned. Call once. @throws BackupError `source`
   */
  async open(): Promise<boolean> {
    const { partition, topic, logger } = this.#options;
    try {
      await this.#subscribe();
    } catch (error) {
      if (partition < 0 || !isNoTopic(error)) throw error;
      try {
        await this.#subscribe({ createsTopic: true });
      } catch (again) {
        if (!isNoTopic(again)) throw again;
        logger.warn({ topic, reason: again.message }, 'partition missing');
        this.#fail('missing', again);
        return false;
      }
    }
    this.#becomeReady(false);
    return true;
  }

  /** After a failed `open`: there is no consumer, and that is why. */
  giveUp(error: BackupError): void {
    this.#current = undefined;
    this.#fail('failed', error);
  }

  /** Resolves when there is a consumer. @throws BackupError `source`, retryable where it took too long */
  async ready(): Promise<void> {
    if (this.isReady) return;
    const { failure } = this;
    if (failure !== undefined) throw failure;
    await this.#gate.wait();
  }

  /** Replaces the consumer, or tries for one after a failure. @throws BackupError `source`, as `ready` */
  async renew(): Promise<void> {
    const { kind } = this.#state;
    if (kind === 'ready') {
      this.#state = { kind: 'connecting' };
      await this.closeConsumer(this.#options.timings.operationTimeoutMs);
      void this.#recover();
    } else if (kind === 'failed' || kind === 'missing') void this.#recover();
    await this.ready();
  }

  /** An entry came that had not come before, or the broker has an acknowledgement. */
  gotFurther(): void {
    this.#backoff.gotFurther();
  }

  /** The run ends: nobody waits for a consumer any more. Returns the error for a call that waits for entries. */
  abort(): BackupError {
    const error = runEnded(this.#recovery?.cause);
    this.#gate.fail(error);
    return error;
  }

  /** Ends every wait. The consumer, if there is one, still works until `closeConsumer`. Returns the error for later calls. */
  close(): BackupError {
    const error = new BackupError('source', `the consumer of ${this.#options.topic} is closed`);
    this.#state = { kind: 'closed', error };
    this.#gate.fail(error);
    this.#recovery?.stop();
    return error;
  }

  /** Ends the consumer at the broker, awaited; the subscription stays. Never throws. */
  async closeConsumer(timeoutMs: number): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.consumer.close(timeoutMs);
  }

  async #subscribe(otherwise: Partial<Subscription> = {}): Promise<void> {
    const { cluster, nextConsumerId, topic } = this.#options;
    this.#assertGoesOn();
    const connection = await cluster.locate(topic);
    this.#assertGoesOn();
    const attempt: Attempt = {
      consumer: new BrokerConsumer(connection, nextConsumerId(), topic),
      lostEarly: undefined,
    };
    this.#current = attempt;
    this.#listener.onSubscribing();
    await attempt.consumer.subscribe({ ...this.#options, ...otherwise }, this.#events(attempt));
    this.#assertGoesOn();
    if (attempt.lostEarly !== undefined) throw attempt.lostEarly;
  }

  async #subscribeAgain(): Promise<void> {
    try {
      // A subscription that is gone meanwhile had messages that this run has not read.
      await this.#subscribe({ initialPosition: 'earliest' });
    } catch (error) {
      // Brokers take a while to notice that the earlier connection is dead.
      if (!isServerError(error, 'ConsumerBusy')) throw error;
      const { message, hint, details } = error as BackupError;
      throw new BackupError('source', message, {
        retryable: true,
        ...(hint === undefined ? {} : { hint }),
        details,
        cause: error,
      });
    }
  }

  /** Nothing is asked of the broker after the end. @throws BackupError `source` */
  #assertGoesOn(): void {
    const state = this.#state;
    if (state.kind === 'closed') throw state.error;
    if (this.#options.signal.aborted) throw runEnded(this.#recovery?.cause);
  }

  #becomeReady(isAgain: boolean): void {
    this.#state = { kind: 'ready' };
    this.#recovery = undefined;
    this.#gate.open();
    this.#listener.onReady(isAgain);
  }

  #onGone(attempt: Attempt, cause: BackupError): void {
    const { topic, logger } = this.#options;
    if (this.#state.kind === 'connecting') attempt.lostEarly = cause;
    if (!this.isReady) return;
    logger.warn({ topic, reason: cause.message }, 'consumer lost');
    this.#current = undefined;
    this.#listener.onLost();
    const pauseMs = this.#backoff.another();
    if (pauseMs === undefined)
      this.#fail('failed', endingOutage(noFurther(`receiving from ${topic}`, cause)));
    else void this.#recover({ cause, pauseMs });
  }

  async #recover(lost?: { readonly cause: BackupError; readonly pauseMs: number }): Promise<void> {
    if (this.#state.kind === 'closed') return;
    this.#state = { kind: 'connecting' };
    this.#recovery ??= new Recovery(this.#options);
    try {
      await this.#recovery.run(() => this.#subscribeAgain(), lost);
    } catch (error) {
      this.#fail('failed', error as BackupError);
      return;
    }
    if (this.#state.kind !== 'connecting') {
      await this.closeConsumer(this.#options.timings.closeTimeoutMs);
      return;
    }
    this.#options.logger.info({ topic: this.#options.topic }, 'consumer reconnected');
    this.#becomeReady(true);
  }

  #fail(kind: 'failed' | 'missing', error: BackupError): void {
    if (this.#state.kind === 'closed') return;
    this.#state = { kind, error };
    this.#gate.fail(error);
    this.#listener.onFailed(error);
  }

  #events(attempt: Attempt): ConsumerEvents {
    const listener = this.#listener;
    const isCurrent = (): boolean => this.#current === attempt;
    return {
      onEntry: (id, bytes, ackSet, block) => {
        if (isCurrent()) listener.onEntry(id, bytes, ackSet, block);
      },
      onActiveChange: (isActive) => {
        if (isCurrent()) listener.onActiveChange(isActive);
      },
      onEndOfTopic: () => {
        if (isCurrent()) listener.onEndOfTopic();
      },
      onClosedByBroker: () => {
        if (!isCurrent()) return;
        attempt.consumer.detach();
        const reason = `the broker closed the consumer of ${this.#options.topic}`;
        this.#onGone(attempt, new BackupError('source', reason, { retryable: true }));
      },
      onConnectionLost: (error) => {
        if (isCurrent()) this.#onGone(attempt, error);
      },
      onFault: (error) => {
        if (isCurrent()) this.#fail('failed', error);
      },
    };
  }
}

/** The broker, or its HTTP address, does not have the topic. */
const isNoTopic = (error: unknown): error is BackupError =>
  isServerError(error, 'TopicNotFound') ||
  (error instanceof BackupError && error.details['httpStatus'] === 404);
