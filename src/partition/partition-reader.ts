// Reads the entries of one partition up to the end of the run's range, and gives their messages to the rolling file.
// Decides how to handle each delivery; it knows nothing of when files are closed and stored.
import { BackupError } from '../errors.ts';
import { isUpTo } from '../format/entry-order.ts';
import { storeUnreadable } from '../format/unreadable.ts';
import type { Delivery, ReadableEntry, SourcePartition, TimeMs, UnreadableEntry } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import type { EntryRoom } from './entry-room.ts';
import type { FileChain } from './file-chain.ts';
import type { DrainPosition } from './position.ts';
import type { RollingFile } from './rolling-file.ts';
import { Silence } from './silence.ts';

/** How reading ended: drained, out of time, another Failover consumer has the partition, or it has moved there just now. */
export type ReadOutcome = 'caught_up' | 'deadline' | 'standby' | 'lost';

/** How reading continues: `behind`: with the reserved room; nothing: with new room. */
type Outcome = ReadOutcome | 'behind' | undefined;

/** Small entries that have arrived are processed together up to this size, which saves work per entry. */
const TOGETHER_BYTES = 131_072;

/** One for each partition. */
export class PartitionReader {
  readonly silence: Silence;
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #chain: FileChain;
  readonly #file: RollingFile;
  readonly #position: DrainPosition;
  readonly #room: EntryRoom;
  #firstUnreadMs: TimeMs | undefined;

  constructor(
    run: Run,
    partition: SourcePartition,
    chain: FileChain,
    file: RollingFile,
    position: DrainPosition,
    room: EntryRoom,
  ) {
    this.#run = run;
    this.#partition = partition;
    this.#chain = chain;
    this.#file = file;
    this.#position = position;
    this.#room = room;
    this.silence = new Silence(partition, position.isInOrder, run.reading, {
      openEntries: () => file.openEntries,
      mayLinger: () => file.mayLinger,
      isBusy: () => chain.isBusy,
      settle: () => chain.settle(),
      isInterrupted: () => chain.isInterrupted,
      rollAndAcknowledge: () => file.rollAndAcknowledge('end'),
    });
  }

  /** The publish time of the entry that arrived after reading ended. */
  get firstUnreadMs(): TimeMs | undefined {
    return this.#firstUnreadMs;
  }

  /**
   * Reads entries until the end of the run's range, or until something else has to be done first. @throws the
   * failure; entries read before it are in files
   */
  async read(): Promise<ReadOutcome> {
    try {
      return await this.#readOn();
    } finally {
      this.#room.free();
    }
  }

  async #readOn(): Promise<ReadOutcome> {
    const { reading, budget } = this.#run;
    if (this.#partition.end === null && (await this.silence.isAtEnd())) return 'caught_up';
    for (;;) {
      const waiting = this.#room.reserve(reading);
      if (waiting !== undefined) await waiting;
      if (reading.aborted) return 'deadline';
      if (this.#chain.isInterrupted) return 'caught_up';
      budget.reportPassed();
      const outcome = await (this.#takeArrived() ?? this.#handleNext());
      if (outcome === 'behind') {
        this.#room.renew();
        continue;
      }
      if (outcome !== undefined) return outcome;
      this.#room.free();
    }
  }

  /**
   * Processes the entries that have arrived, until something has to be awaited or reading ends; returns nothing if
   * all are processed and there is room for the next.
   */
  #takeArrived(): Outcome | Promise<Outcome> {
    for (;;) {
      const deliveries = this.#partition.arrived(TOGETHER_BYTES);
      if (deliveries.length === 0) return undefined;
      const outcome = this.#handleAll(deliveries);
      if (outcome !== undefined) return outcome;
      this.#run.budget.reportPassed();
    }
  }

  /** Handles deliveries and reserves room for the next. It keeps little of them while it awaits something. */
  #handleAll(deliveries: readonly Delivery[]): Outcome | Promise<Outcome> {
    for (let rest = deliveries; rest.length > 0; ) {
      if (this.#chain.isInterrupted) return endWithout(rest, 'caught_up');
      const singles = this.#singlesIn(rest);
      const taking = singles.length > 1 ? this.#takeTogether(singles) : 'one by one';
      const handled = taking === 'one by one' ? 1 : singles.length;
      for (let at = 0; at < handled; at++) this.silence.heard(rest[at] as Delivery, 0);
      const handling = taking === 'one by one' ? this.#handle(rest[0] as Delivery) : taking;
      const left = handled === rest.length ? [] : rest.slice(handled);
      if (handling instanceof Promise) {
        return handling.then((end) =>
          end === undefined ? this.#handleLeft(left, this.#keepRoom()) : endWithout(left, end),
        );
      }
      if (handling !== undefined) return endWithout(left, handling);
      const waiting = this.#keepRoom();
      if (waiting !== undefined) return this.#handleLeft(left, waiting);
      rest = left;
    }
    return undefined;
  }

  /** `waiting`: for the room of the next. */
  async #handleLeft(
    deliveries: readonly Delivery[],
    waiting: Promise<undefined> | undefined,
  ): Promise<Outcome> {
    await waiting;
    return (await this.#handleAll(deliveries)) ?? 'behind';
  }

  /** Room for the next entry instead of that for the one before. */
  #keepRoom(): Promise<undefined> | undefined {
    this.#room.free();
    return this.#room.reserve(this.#run.reading);
  }

  /** The first deliveries, as far as they are entries of one message each and do not end the run. */
  #singlesIn(deliveries: readonly Delivery[]): readonly ReadableEntry[] {
    const { end } = this.#partition;
    const singles: ReadableEntry[] = [];
    if (end === null || this.#run.reading.aborted) return singles;
    for (const delivery of deliveries) {
      const isSingle =
        delivery.kind === 'entry' && delivery.packed === undefined && delivery.messages.length === 1;
      if (!isSingle || (end === 'unknown' ? this.#isAfterStart(delivery) : isUpTo(end, delivery.id))) break;
      singles.push(delivery);
    }
    return singles;
  }

  #takeTogether(entries: readonly ReadableEntry[]): Promise<undefined> | undefined | 'one by one' {
    const taking = this.#position.areNew(entries) ? this.#file.addTogether(entries) : 'one by one';
    if (taking === 'one by one') return taking;
    if (taking !== undefined) return taking.then(() => release(entries));
    return release(entries);
  }

  /**
   * Gets a delivery and handles it. No function that awaits may hold the delivery or its messages, because that would
   * keep an entry of megabytes in memory during the wait.
   */
  #handleNext(): Promise<Outcome> {
    const { pace, clock } = this.#run;
    const timeoutMs = Math.min(this.silence.idleMs, Math.max(1, pace.stopReadingAtMs - clock.now()));
    return this.#partition.next(timeoutMs).then((delivery) => {
      this.silence.heard(delivery, timeoutMs);
      return this.#handle(delivery);
    });
  }

  /** How reading ends; nothing if it continues, `behind` if the requested entry is still to come. */
  #handle(delivery: Delivery): Outcome | Promise<Outcome> {
    const { reading } = this.#run;
    const { end } = this.#partition;
    if (reading.aborted) {
      if (delivery.kind === 'entry') this.#firstUnreadMs = delivery.messages[0]?.publishTimeMs;
      return 'deadline';
    }
    // The room stays reserved until the broker has answered: the entry may be in transit.
    if (delivery.kind === 'idle')
      return this.silence.isEnd().then((isDrained) => (isDrained ? 'caught_up' : undefined));
    if (delivery.kind === 'behind') return this.silence.whileBehind().then(() => 'behind');
    if (delivery.kind === 'standby' || delivery.kind === 'lost') return delivery.kind;
    if (delivery.kind === 'end') return 'caught_up';
    if (end === 'unknown' && this.#isAfterStart(delivery)) return 'caught_up';
    const isLast = end !== 'unknown' && (end === null || isUpTo(end, delivery.id));
    let taking: Promise<void> | undefined;
    if (delivery.kind === 'entry') taking = this.#takeAndRelease(delivery);
    else if (delivery.kind === 'unreadable') taking = this.#keepUnreadable(delivery);
    else this.#file.addChunk();
    if (!isLast) return taking as Promise<undefined> | undefined;
    return Promise.resolve(taking)
      .then(() => this.silence.isAtEnd())
      .then((isAtEnd) => (isAtEnd ? 'caught_up' : undefined));
  }

  /**
   * Published after the run began, but not in the future: otherwise a producer with a fast clock would end every run.
   */
  #isAfterStart(delivery: Delivery): boolean {
    const publishTimeMs = delivery.kind === 'entry' ? delivery.messages[0]?.publishTimeMs : undefined;
    if (publishTimeMs === undefined) return false;
    return publishTimeMs > this.#run.startedAtMs && publishTimeMs <= this.#run.clock.now();
  }

  /** Files copy the records. If that fails, the collector frees the entry's memory. */
  #takeAndRelease(entry: ReadableEntry): Promise<void> | undefined {
    const taking = this.#take(entry);
    const { memory } = entry;
    if (memory === undefined) return taking;
    if (taking !== undefined) return taking.then(() => memory.release());
    memory.release();
    return undefined;
  }

  #take(entry: ReadableEntry): Promise<void> | undefined {
    const taking = this.#position.isNew(entry.id) ? this.#file.addPacked(entry) : 'decode';
    if (taking !== 'decode') return taking;
    const messages = this.#position.notYetTaken(entry);
    if (messages.length > 0)
      return this.#file.add(entry.id, messages, messages.length < entry.messages.length);
    this.#file.addPendingAck(entry.id);
    return undefined;
  }

  async #keepUnreadable(entry: UnreadableEntry): Promise<void> {
    if (!this.#position.hasPassed(entry.id)) {
      await keepRaw(this.#run, this.#partition, entry);
      this.#position.movePast(entry.id);
      // It is stored and reported already.
      this.#file.holdsStored();
    }
    this.#file.addPendingAck(entry.id);
  }
}

function release(deliveries: readonly Delivery[]): undefined {
  for (const delivery of deliveries) if (delivery.kind === 'entry') delivery.memory?.release();
}

/** These are dropped when reading ends or restarts: they are redelivered. */
function endWithout(deliveries: readonly Delivery[], outcome: Outcome): Outcome {
  release(deliveries);
  return outcome;
}

/** Keeps an entry raw that cannot be decoded. @throws BackupError `store`; `corrupt` if the rule is set to fail */
export async function keepRaw(run: Run, source: SourcePartition, entry: UnreadableEntry): Promise<void> {
  const { partition } = source;
  const { store, rule, prefix, topic, logger, tally, onUnreadable, pace } = run;
  const { id, reason, hint } = entry;
  if (onUnreadable === 'fail') {
    throw new BackupError(
      'corrupt',
      `entry ${id.ledgerId}:${id.entryId} of ${entry.topic} cannot be read: ${reason}`,
      {
        hint: 'RUN_ON_UNREADABLE=store keeps such entries raw under _unreadable/ and goes on. It was not acknowledged.',
        details: { topic: entry.topic },
      },
    );
  }
  const { schemaVersion } = entry;
  // Keep the schema now: when the entry is decoded later, the broker may no longer have it.
  if (schemaVersion !== undefined && schemaVersion.length > 0)
    await run.schemas.need(source, id.ledgerId, schemaVersion)();
  const key = await storeUnreadable(store, rule, prefix, topic, partition, entry, { signal: pace.storing });
  tally.unreadable++;
  logger.error({ key, topic: entry.topic, ...id, reason, hint }, 'entry unreadable');
}
