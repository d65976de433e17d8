// One topic or one partition in memory: ledgers of entries and the subscriptions on them. Nothing is ever trimmed,
// nothing is on disk, and what an entry holds is not looked at.
import type { NewEntry, Position, StoredEntry } from './entry.ts';
import { type SubscribedLog, Subscription, type SubscriptionOptions } from './subscription.ts';
import { TopicProducers } from './topic-producers.ts';

interface Ledger {
  readonly id: number;
  readonly firstPlace: number;
  size: number;
}

/** A topic's data and its subscriptions. */
export class Topic implements SubscribedLog {
  /** Full name, `persistent://tenant/ns/topic[-partition-N]`. */
  readonly name: string;
  /** -1 where the topic is no partition. */
  readonly partition: number;
  readonly entries: StoredEntry[] = [];
  readonly subscriptions = new Map<string, Subscription>();
  readonly producers = new TopicProducers();
  isTerminated = false;
  readonly #ledgers: Ledger[] = [];
  readonly #nextLedgerId: () => number;
  readonly #maxEntriesPerLedger: number;

  constructor(name: string, nextLedgerId: () => number, maxEntriesPerLedger: number) {
    this.name = name;
    this.partition = Number(/-partition-(\d+)$/.exec(name)?.[1] ?? -1);
    this.#nextLedgerId = nextLedgerId;
    this.#maxEntriesPerLedger = maxEntriesPerLedger;
    this.rollLedger();
  }

  /** Stores an entry and offers it to every subscription. */
  append(entry: NewEntry): StoredEntry {
    if (this.#lastLedger().size >= this.#maxEntriesPerLedger) this.rollLedger();
    const ledger = this.#lastLedger();
    const place = this.entries.length;
    // Written out: a spread costs more than all the rest of it, a hundred thousand times.
    const stored: StoredEntry = {
      bytes: entry.bytes,
      messages: entry.messages,
      isBatch: entry.isBatch,
      stickyKey: entry.stickyKey,
      publishTimeMs: entry.publishTimeMs,
      ledgerId: ledger.id,
      entryId: ledger.size++,
      place,
      storedAtMs: Date.now(),
    };
    this.entries.push(stored);
    for (const subscription of this.subscriptions.values()) subscription.dispatch();
    return stored;
  }

  /** What comes next goes into a new ledger, as after an unload. */
  rollLedger(): void {
    this.#ledgers.push({ id: this.#nextLedgerId(), firstPlace: this.entries.length, size: 0 });
  }

  /** No entry comes any more; consumers that have acknowledged all get REACHED_END_OF_TOPIC. */
  terminate(): void {
    this.isTerminated = true;
    for (const subscription of this.subscriptions.values()) subscription.dispatch();
  }

  /** The subscription of that name, made where it is missing. */
  subscribe(name: string, from: 'earliest' | 'latest', options: SubscriptionOptions): Subscription {
    const existing = this.subscriptions.get(name);
    if (existing !== undefined) return existing;
    const subscription = new Subscription(
      this,
      name,
      from === 'earliest' ? -1 : this.entries.length - 1,
      options,
    );
    this.subscriptions.set(name, subscription);
    return subscription;
  }

  /** The last place that is not after `position`; -1 where that is before the first. */
  placeOf(position: Position): number {
    const ledger = this.#ledgers.findLast(({ id }) => id <= position.ledgerId);
    if (ledger === undefined) return -1;
    const wanted = ledger.id === position.ledgerId ? position.entryId : Number.POSITIVE_INFINITY;
    return ledger.firstPlace + Math.min(wanted, ledger.size - 1);
  }

  /** The inverse of `placeOf`. */
  positionOf(place: number): Position {
    const entry = this.entries[place];
    if (entry !== undefined) return { ledgerId: entry.ledgerId, entryId: entry.entryId };
    return { ledgerId: (this.#ledgers[0] as Ledger).id, entryId: -1 };
  }

  /** The entry at exactly that position. */
  entryAt(position: Position): StoredEntry | undefined {
    const entry = this.entries[this.placeOf(position)];
    return entry?.ledgerId === position.ledgerId && entry.entryId === position.entryId ? entry : undefined;
  }

  get lastEntry(): StoredEntry | undefined {
    return this.entries.at(-1);
  }

  #lastLedger(): Ledger {
    return this.#ledgers.at(-1) as Ledger;
  }
}
