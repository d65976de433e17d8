// Hands out what came in one partition, or what there is to report instead: a loss, standby, the end, or that nothing
// came in time. One call waits at a time.
import type { BackupError } from '../../errors.ts';
import type { Clock, Delivery } from '../../ports.ts';
import type { ConsumerLink } from './consumer-link.ts';
import { DeliveryQueue } from './delivery-queue.ts';
import type { EntryReader } from './entry-reader.ts';
import type { FailoverState } from './failover-state.ts';
import type { Positions } from './positions.ts';
import { loadCodec } from './protocol/decompress.ts';
import type { StoredEntry } from './protocol/entry-decoder.ts';
import { isChunk } from './protocol/entry-metadata.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import type { Timings } from './timer.ts';
import { Waiter } from './waiter.ts';

/** The other parts of the partition. */
export interface DeliveriesOptions {
  readonly clock: Clock;
  readonly timings: Pick<Timings, 'activationTimeoutMs'>;
  readonly budget: ReceiveBudget;
  readonly isOrdered: boolean;
  readonly link: ConsumerLink;
  readonly failover: FailoverState;
  readonly positions: Positions;
  readonly reader: EntryReader;
}

/** The deliveries of one partition, over all consumers that it has. */
export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #queue: DeliveryQueue;
  readonly #waiter: Waiter<Delivery>;
  /** Nothing more comes: of the topic, or up to the end of the run. */
  #isAtEnd = false;
  /** How many entries the connection had brought when the call that waits began. */
  #entriesBefore: number | undefined;

  constructor(options: DeliveriesOptions) {
    const { clock, budget, isOrdered, link, failover, positions } = options;
    this.#options = options;
    const waiter = new Waiter<Delivery>(clock, (waitedMs) => this.#onIdle(waitedMs));
    this.#waiter = waiter;
    this.#queue = new DeliveryQueue({
      ...{ budget, isOrdered },
      reader: () => (link.isReady && !failover.isDoubtful ? link.consumer : undefined),
      isWaited: () => waiter.isWaiting,
      maxEntries: () => positions.wantedEntries(waiter.isWaiting),
    });
  }

  /** See SourcePartition. */
  next(idleMs: number): Promise<Delivery> {
    const { reader, link } = this.#options;
    this.#queue.read();
    reader.passed();
    const delivery = this.#take();
    if (delivery !== undefined) return Promise.resolve(delivery);
    const { failure } = link;
    if (failure !== undefined) return Promise.reject(failure);
    this.#entriesBefore = link.isReady ? link.consumer.entriesOnConnection : undefined;
    const waiting = this.#waiter.wait(idleMs);
    this.#queue.waited();
    return waiting;
  }

  /** See SourcePartition. */
  arrived(maxBytes: number): readonly Delivery[] {
    const { reader, positions, failover } = this.#options;
    // What is queued behind a loss was delivered again since: it must not end with what was there before.
    if (failover.takeLoss()) return [{ kind: 'lost' }];
    const deliveries: Delivery[] = [];
    reader.passed();
    for (let bytes = 0; ; ) {
      const entry = this.#queue.peek();
      if (entry === undefined) return deliveries;
      const { id, metadata, sizeBytes } = entry;
      if (loadCodec(metadata?.compression ?? 0) !== undefined) return deliveries;
      bytes += Math.max(sizeBytes, metadata?.uncompressedSize ?? 0);
      // The last chunk of a message brings all of it; and what is not to be taken any more stays in the queue.
      const isAlone = bytes > maxBytes || isChunk(metadata) || positions.isAtEnd(id);
      if (isAlone && deliveries.length > 0) return deliveries;
      deliveries.push(this.#take() as Delivery);
      if (isAlone) return deliveries;
    }
  }

  /** The entry that is handed out next. */
  peek(): StoredEntry | undefined {
    return this.#queue.peek();
  }

  /** An entry came. */
  push(entry: StoredEntry): void {
    this.#queue.push(entry);
    this.serve();
    this.#queue.offered(this.#options.link.consumer);
  }

  /** Nothing more comes to this consumer. */
  end(): void {
    this.#isAtEnd = true;
    this.serve();
  }

  /** Answers the call that waits, where there is something to answer. */
  serve(): void {
    if (!this.#waiter.isWaiting) return;
    const delivery = this.#take();
    if (delivery !== undefined) this.#waiter.resolve(delivery);
  }

  /** Reads on, as far as permits are to be granted. */
  readOn(): void {
    this.#queue.grant();
  }

  /** The waiting call's time begins again. */
  beginAgain(): void {
    this.#waiter.beginAgain();
  }

  /** Forgets what came and was not handed out: it comes again. */
  drop(): void {
    this.#queue.drop();
    this.#options.reader.reset();
  }

  /** Another consumer, to which everything comes that is not acknowledged. */
  reset(): void {
    this.#isAtEnd = false;
    this.#queue.reset();
    this.#options.reader.reset();
  }

  /** Nobody waits any more. */
  fail(error: BackupError): void {
    this.#waiter.reject(error);
  }

  /** As `fail`, and leaves no timer behind. */
  close(error: BackupError): void {
    this.fail(error);
    this.#waiter.stop();
    this.drop();
  }

  /** A promise where the codec of the entry has to be loaded. */
  #take(): Delivery | Promise<Delivery> | undefined {
    const { failover, link, reader } = this.#options;
    if (failover.takeLoss()) return { kind: 'lost' };
    const entry = this.#queue.shift();
    if (entry === undefined) {
      if (!link.isReady) return undefined;
      if (failover.role === 'standby') return { kind: 'standby' };
      return this.#isAtEnd ? { kind: 'end' } : undefined;
    }
    const loading = loadCodec(entry.metadata?.compression ?? 0);
    return loading === undefined ? reader.read(entry) : loading.then(() => reader.read(entry));
  }

  /** Permits are for entries whose way may be long: one connection carries those of all its partitions. */
  get #isBehindOthers(): boolean {
    const { consumer } = this.#options.link;
    return consumer.isConnectionReceiving || consumer.entriesOnConnection !== this.#entriesBefore;
  }

  #onIdle(waitedMs: number): void {
    const { link, failover, timings, isOrdered, positions } = this.#options;
    // While the connection is away the time does not count; it begins again when there is a consumer.
    if (!link.isReady) return;
    const { activationTimeoutMs } = timings;
    const { role, isDoubtful } = failover;
    if (role === 'active' && isDoubtful) this.#waiter.beginAgain();
    else if (role === 'active' && this.#isBehindOthers) this.#waiter.resolve({ kind: 'behind' });
    else if (role === 'active') {
      if (isOrdered && positions.end !== 'unknown') this.#queue.grantAgain();
      this.#waiter.resolve({ kind: 'idle' });
    } else if (role === 'unknown' && waitedMs < activationTimeoutMs) {
      this.#waiter.extend(activationTimeoutMs);
    } else this.#waiter.resolve({ kind: 'standby' });
  }
}
