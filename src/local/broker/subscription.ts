// One subscription: who is connected, who gets the next entry by the rules of the four types, and what is acknowledged.
// Knows no sockets and no protocol. Permits are counted in messages while whole entries are sent, so they go negative.
import { Cursor } from './cursor.ts';
import type { StoredEntry } from './entry.ts';
import { PlaceQueue } from './place-queue.ts';

export type SubscriptionType = 'Exclusive' | 'Shared' | 'Failover' | 'Key_Shared';

export interface SubscriptionOptions {
  /** How long a Failover subscription waits before a new active consumer gets messages. */
  readonly failoverDelayMs: number;
  /** Shared and Key_Shared: unacknowledged messages at which a consumer gets no more. */
  readonly maxUnackedMessagesPerConsumer: number;
  /** Whether an entry is passed over until the next rewind. */
  keepsBack?(subscription: string, entry: StoredEntry): boolean;
}

/** What a subscription needs of its topic or partition. */
export interface SubscribedLog {
  /** -1 where the topic is no partition. */
  readonly partition: number;
  readonly entries: readonly StoredEntry[];
  /** Nothing comes any more. */
  readonly isTerminated: boolean;
}

/** What a subscription asks of a connected consumer. */
export interface ConsumerPort {
  readonly name: string;
  /** 0 is served first. */
  readonly priority: number;
  /** False while its socket is full. */
  isWritable(): boolean;
  /** Whether its client still answers; where not, its connection is ended. */
  checkAlive(): Promise<boolean>;
  deliver(entry: StoredEntry, redeliveryCount: number): void;
  /** Failover: this consumer became the active one, or another did. */
  activeChanged(isActive: boolean): void;
  /** The topic is terminated and all of it acknowledged. */
  reachedEnd(): void;
  /** The broker has taken the consumer away: unload, seek, deletion. */
  closed(): void;
}

/** A consumer as its subscription sees it. */
export interface Consumer {
  readonly port: ConsumerPort;
  permits: number;
  /** Shared and Key_Shared: entries delivered to it and not acknowledged. */
  readonly pending: Set<number>;
  unackedMessages: number;
  isBlocked: boolean;
  isEndAnnounced: boolean;
}

/** Entries that Key_Shared may hold back for a busy consumer before it stops reading ahead. */
const MAX_HELD_ENTRIES = 1000;

/** A subscription of a topic. */
export class Subscription {
  readonly name: string;
  readonly #log: SubscribedLog;
  readonly cursor: Cursor;
  readonly consumers: Consumer[] = [];
  type: SubscriptionType = 'Exclusive';
  /** Exclusive and Failover: who gets the messages. */
  active: Consumer | undefined;
  /** The next place to read that was never delivered since the last rewind. */
  #readPlace: number;
  readonly #again = new PlaceQueue();
  /** Acknowledged by somebody in transactions that are open: neither delivered nor gone. */
  readonly #inTransaction = new Set<number>();
  readonly #redeliveries = new Map<number, number>();
  /** Key_Shared: who has unacknowledged entries of a key. */
  readonly #keyOwners = new Map<string, { consumer: Consumer; entries: number }>();
  readonly #options: SubscriptionOptions;
  #nextInTurn = 0;
  #isActivating = false;
  #activation: NodeJS.Timeout | undefined;
  #isDispatching = false;
  #mustDispatchAgain = false;

  constructor(log: SubscribedLog, name: string, markDelete: number, options: SubscriptionOptions) {
    this.#log = log;
    this.name = name;
    this.cursor = new Cursor(markDelete);
    this.#readPlace = markDelete + 1;
    this.#options = options;
  }

  get isIndividual(): boolean {
    return this.type === 'Shared' || this.type === 'Key_Shared';
  }

  /** Connects a consumer; a sentence where the type forbids it (Pulsar's ConsumerBusy). */
  add(port: ConsumerPort, type: SubscriptionType): Consumer | string {
    if (this.consumers.length > 0) {
      if (type !== this.type) return 'Subscription is of different type';
      if (type === 'Exclusive') return 'Exclusive consumer is already connected';
    }
    this.type = type;
    const consumer: Consumer = {
      port,
      permits: 0,
      pending: new Set(),
      unackedMessages: 0,
      isBlocked: false,
      isEndAnnounced: false,
    };
    this.consumers.push(consumer);
    if (!this.isIndividual && !this.#chooseActive() && !this.#isActivating) port.activeChanged(false);
    return consumer;
  }

  /** Takes a consumer away; what it had not acknowledged is delivered again. May be repeated. */
  remove(consumer: Consumer): void {
    const at = this.consumers.indexOf(consumer);
    if (at < 0) return;
    this.consumers.splice(at, 1);
    for (const place of [...consumer.pending]) this.#giveBack(consumer, place);
    if (this.active === consumer) this.active = undefined;
    if (this.consumers.length === 0) {
      this.#redeliveries.clear();
      this.#rewind();
    } else if (!this.isIndividual) this.#chooseActive();
    this.dispatch();
  }

  /** The consumer may be sent that many messages more. */
  flow(consumer: Consumer, messages: number): void {
    consumer.permits += messages;
    this.dispatch();
  }

  /** Acknowledges single entries. */
  ackEach(places: readonly number[]): void {
    for (const place of places) {
      this.cursor.ack(place);
      for (const consumer of this.consumers) this.#settle(consumer, place);
      this.#redeliveries.delete(place);
    }
    this.dispatch();
  }

  /** Acknowledges the messages of a batch that are not among `left` (bit n: message n). */
  ackPart(place: number, left: bigint): void {
    this.cursor.ackPart(place, left);
    if (this.cursor.isAcked(place)) this.ackEach([place]);
  }

  /** Somebody acknowledges single entries in a transaction. Returns how to end it. */
  ackInTransaction(places: readonly number[]): (isCommitted: boolean) => void {
    for (const place of places) this.#inTransaction.add(place);
    return (isCommitted) => {
      for (const place of places) this.#inTransaction.delete(place);
      if (isCommitted) this.ackEach(places);
      else if (this.isIndividual) for (const place of places) this.#again.add(place);
      else this.#rewind();
      this.dispatch();
    };
  }

  /** Acknowledges everything up to a place. On Shared and Key_Shared it does nothing, as in Pulsar. */
  ackCumulative(place: number): void {
    if (this.isIndividual) return;
    this.cursor.ackCumulative(place);
    this.#readPlace = Math.max(this.#readPlace, this.cursor.markDelete + 1);
    this.dispatch();
  }

  /** Delivers again what this consumer has and has not acknowledged: all, or on the Shared types those places. */
  redeliver(consumer: Consumer, places: readonly number[] = []): void {
    if (!this.isIndividual) {
      if (this.active === consumer) this.#rewind();
    } else {
      // Only what is asked for is counted, not what a consumer leaves behind.
      for (const place of places.length > 0 ? places : [...consumer.pending]) {
        if (this.#giveBack(consumer, place)) {
          this.#redeliveries.set(place, (this.#redeliveries.get(place) ?? 0) + 1);
        }
      }
    }
    this.dispatch();
  }

  /** Moves the cursor so that the entry after `markDelete` comes next, and takes all consumers away. */
  reset(markDelete: number): void {
    this.closeConsumers();
    this.cursor.reset(markDelete);
    this.#rewind();
  }

  /** Takes all consumers away, by CLOSE_CONSUMER. */
  closeConsumers(): void {
    clearTimeout(this.#activation);
    const consumers = this.consumers.splice(0);
    this.active = undefined;
    this.#isActivating = false;
    for (const consumer of consumers) {
      for (const place of [...consumer.pending]) this.#giveBack(consumer, place);
    }
    this.#rewind();
    for (const consumer of consumers) consumer.port.closed();
  }

  /** Makes one consumer (or none) the active one now, and informs all (Failover). */
  activate(consumer: Consumer | undefined): void {
    clearTimeout(this.#activation);
    this.active = consumer;
    this.#becomeActive();
  }

  get backlogEntries(): number {
    return this.cursor.backlog(this.#log.entries.length);
  }

  /** Sends what can be sent. Cheap where there is nothing to send or nobody to send it to. */
  dispatch(): void {
    if (this.#isDispatching) {
      this.#mustDispatchAgain = true;
      return;
    }
    this.#isDispatching = true;
    try {
      do {
        this.#mustDispatchAgain = false;
        if (this.type === 'Key_Shared') this.#dispatchByKey();
        else if (this.type === 'Shared') this.#dispatchInTurn();
        else this.#dispatchToActive();
        this.#reportEnd();
      } while (this.#mustDispatchAgain);
    } finally {
      this.#isDispatching = false;
    }
  }

  #dispatchToActive(): void {
    const { active } = this;
    if (active === undefined || this.#isActivating) return;
    while (this.active === active && canTake(active)) {
      const entry = this.#log.entries[this.#readPlace];
      if (entry === undefined) return;
      this.#readPlace++;
      if (!this.#isPassedOver(entry.place)) this.#deliver(active, entry);
    }
  }

  #isPassedOver(place: number): boolean {
    if (this.cursor.isAcked(place) || this.#inTransaction.has(place)) return true;
    return this.#options.keepsBack?.(this.name, this.#log.entries[place] as StoredEntry) ?? false;
  }

  #dispatchInTurn(): void {
    for (;;) {
      const turn = this.#findTurn();
      const consumer = this.consumers[turn];
      if (consumer === undefined) return;
      const place = this.#takePlace();
      if (place === undefined) return;
      // Only who got something has had his turn.
      this.#nextInTurn = turn + 1;
      this.#deliver(consumer, this.#log.entries[place] as StoredEntry);
    }
  }

  #dispatchByKey(): void {
    const held: number[] = [];
    const heldKeys = new Set<string>();
    while (held.length < MAX_HELD_ENTRIES && this.consumers.some(canTake)) {
      const place = this.#takePlace();
      if (place === undefined) break;
      const entry = this.#log.entries[place] as StoredEntry;
      const consumer = this.#consumerOf(entry.stickyKey);
      const owner = this.#keyOwners.get(entry.stickyKey);
      const isWithAnother = owner !== undefined && owner.consumer !== consumer;
      if (consumer === undefined || isWithAnother || heldKeys.has(entry.stickyKey) || !canTake(consumer)) {
        held.push(place);
        heldKeys.add(entry.stickyKey);
      } else {
        this.#keyOwners.set(entry.stickyKey, { consumer, entries: (owner?.entries ?? 0) + 1 });
        this.#deliver(consumer, entry);
      }
    }
    for (const place of held) this.#again.add(place);
  }

  #deliver(consumer: Consumer, entry: StoredEntry): void {
    consumer.permits -= entry.messages;
    if (this.isIndividual) {
      consumer.pending.add(entry.place);
      consumer.unackedMessages += entry.messages;
      if (consumer.unackedMessages >= this.#options.maxUnackedMessagesPerConsumer) consumer.isBlocked = true;
    }
    consumer.port.deliver(entry, this.#redeliveries.get(entry.place) ?? 0);
  }

  /** The next unacknowledged place: one that comes again, or else a new one. */
  #takePlace(): number | undefined {
    for (;;) {
      const again = this.#again.take();
      if (again === undefined && this.#readPlace >= this.#log.entries.length) return undefined;
      const place = again ?? this.#readPlace++;
      if (!this.#isPassedOver(place)) return place;
    }
  }

  /** Whose turn it is among those of the first priority; -1: nobody can take anything. */
  #findTurn(): number {
    const ready = this.consumers.filter(canTake);
    const highest = Math.min(...ready.map(({ port }) => port.priority));
    for (let step = 0; step < this.consumers.length; step++) {
      const turn = (this.#nextInTurn + step) % this.consumers.length;
      const consumer = this.consumers[turn] as Consumer;
      if (canTake(consumer) && consumer.port.priority === highest) return turn;
    }
    return -1;
  }

  #consumerOf(key: string): Consumer | undefined {
    const sorted = this.consumers.toSorted(byName);
    return sorted[Math.floor((hashOf(key) / 2 ** 32) * sorted.length)];
  }

  #giveBack(consumer: Consumer, place: number): boolean {
    if (!this.#settle(consumer, place) || this.cursor.isAcked(place)) return false;
    this.#again.add(place);
    return true;
  }

  #settle(consumer: Consumer, place: number): boolean {
    if (!consumer.pending.delete(place)) return false;
    const entry = this.#log.entries[place] as StoredEntry;
    consumer.unackedMessages -= entry.messages;
    if (consumer.unackedMessages <= this.#options.maxUnackedMessagesPerConsumer / 2)
      consumer.isBlocked = false;
    const owner = this.#keyOwners.get(entry.stickyKey);
    if (owner !== undefined && --owner.entries === 0) this.#keyOwners.delete(entry.stickyKey);
    return true;
  }

  #rewind(): void {
    this.#again.clear();
    this.#readPlace = this.cursor.markDelete + 1;
  }

  /** Failover by priority, then name; each partition begins at another consumer, so that they share the work. */
  #chooseActive(): boolean {
    const highest = Math.min(...this.consumers.map(({ port }) => port.priority));
    const candidates = this.consumers.filter(({ port }) => port.priority === highest).sort(byName);
    const chosen = candidates[Math.max(0, this.#log.partition) % candidates.length];
    if (chosen === this.active) return false;
    clearTimeout(this.#activation);
    this.active = chosen;
    this.#isActivating = true;
    const delayMs = this.type === 'Failover' ? this.#options.failoverDelayMs : 0;
    if (delayMs === 0) this.#becomeActive();
    else this.#activation = setTimeout(() => this.#becomeActive(), delayMs).unref();
    return true;
  }

  #becomeActive(): void {
    this.#isActivating = false;
    this.#rewind();
    if (this.type === 'Failover') {
      for (const consumer of this.consumers) consumer.port.activeChanged(consumer === this.active);
    }
    this.dispatch();
  }

  #reportEnd(): void {
    if (!this.#log.isTerminated || this.backlogEntries > 0) return;
    for (const consumer of this.consumers) {
      if (consumer.isEndAnnounced) continue;
      consumer.isEndAnnounced = true;
      consumer.port.reachedEnd();
    }
  }
}

function canTake(consumer: Consumer): boolean {
  return consumer.permits > 0 && !consumer.isBlocked && consumer.port.isWritable();
}

function byName(a: Consumer, b: Consumer): number {
  return a.port.name < b.port.name ? -1 : a.port.name > b.port.name ? 1 : 0;
}

/** FNV-1a with a last mixing. Spreads keys over consumers; not the hash that Pulsar uses. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
