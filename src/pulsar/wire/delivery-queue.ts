// The entries of one partition that came and were not handed out, and the permits for more. Decides when permits go to
// the broker; flow.ts decides how many.
import type { BrokerConsumer } from './broker-consumer.ts';
import { EntryQueue } from './entry-queue.ts';
import { FlowControl } from './flow.ts';
import type { StoredEntry } from './protocol/entry-decoder.ts';
import type { Pausable, ReceiveBudget } from './receive-budget.ts';

/** On shared subscriptions permits that are not used are messages that other consumers do not get. */
const MAX_PERMITS = { ordered: 5_000, shared: 1_000 };

/** What decides how many permits are granted, and to whom. */
export interface DeliveryQueueOptions {
  readonly budget: ReceiveBudget;
  readonly isOrdered: boolean;
  /** The consumer that may read more now, if there is one. */
  readonly reader: () => BrokerConsumer | undefined;
  /** Whether somebody waits for an entry. */
  readonly isWaited: () => boolean;
  /** How many more entries are wanted at most. */
  readonly maxEntries: () => number;
}

/** The queue of one partition, over all consumers that it has. */
export class DeliveryQueue {
  readonly #options: DeliveryQueueOptions;
  readonly #entries = new EntryQueue();
  readonly #flow: FlowControl;
  /** `unread`: nobody has asked for an entry, and no permits are granted. `granting`: they are, in this turn's end. */
  #state: 'unread' | 'read' | 'granting' = 'unread';
  /** How often nothing came although there is more, since something did. */
  #silences = 0;

  constructor(options: DeliveryQueueOptions) {
    this.#options = options;
    const maxPermits = options.isOrdered ? MAX_PERMITS.ordered : MAX_PERMITS.shared;
    this.#flow = new FlowControl(options.budget, maxPermits);
    options.budget.add(options.isWaited);
  }

  /** The entry that is handed out next. */
  peek(): StoredEntry | undefined {
    return this.#entries.peek();
  }

  /** Queues an entry that came. */
  push(entry: StoredEntry): void {
    this.#silences = 0;
    this.#flow.arrived(entry.sizeBytes, entry.permits);
    this.#entries.push(entry);
  }

  /** What came was offered: stops `from`, which brought it, where too much is queued; grants permits soon. */
  offered(from: Pausable): void {
    this.#flow.holdBack(from);
    this.#grantSoon();
  }

  /** Hands out the first entry. */
  shift(): StoredEntry | undefined {
    const entry = this.#entries.shift();
    if (entry === undefined) return undefined;
    this.#flow.handedOut(entry.sizeBytes);
    this.#grantSoon();
    return entry;
  }

  /** Somebody asks for an entry: permits are granted from now on. */
  read(): void {
    if (this.#state === 'unread') this.#state = 'read';
  }

  /** Grants a permit where somebody waits and the broker has none. */
  waited(): void {
    if (this.#flow.hasNoPermits) this.grant();
  }

  /** Grants as many permits as fit now. */
  grant(): void {
    if (this.#state === 'unread') return;
    const { reader, isWaited, maxEntries } = this.#options;
    const consumer = reader();
    if (consumer === undefined) return;
    const permits = this.#flow.grant(isWaited(), maxEntries());
    if (permits > 0) consumer.grantPermits(permits);
  }

  /**
   * Nothing comes although there is more. A broker that has just made a consumer the active one ignores a FLOW that
   * comes too soon (PersistentDispatcherSingleActiveConsumer, internalConsumerFlow): it counts the permits, and reads
   * nothing until the next FLOW. After the first such silence, the second, the fourth, the eighth: each permit may bring an
   * entry in the end, however large.
   */
  grantAgain(): void {
    const silences = ++this.#silences;
    if ((silences & (silences - 1)) !== 0) return;
    this.#flow.granted(1);
    this.#options.reader()?.grantPermits(1);
  }

  /** Forgets what is queued: it is delivered again. The broker keeps its permits. */
  drop(): void {
    this.#forget();
    this.#flow.dropped();
  }

  /** As `drop`, and the permits are gone with the consumer. */
  reset(): void {
    this.#silences = 0;
    this.#forget();
    this.#flow.reset();
  }

  #forget(): void {
    for (let entry = this.#entries.shift(); entry !== undefined; entry = this.#entries.shift())
      entry.memory?.release();
  }

  /** Once for all that one turn of the event loop brings: each FLOW is a system call. */
  #grantSoon(): void {
    if (this.#state !== 'read') return;
    this.#state = 'granting';
    setImmediate(() => {
      this.#state = 'read';
      this.grant();
    });
  }
}
