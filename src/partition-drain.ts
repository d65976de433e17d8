// One partition of a run: takes entries up to the end of the run's range, as records, into files that the limits
// close. The first half of the ordering argument at the head of drain.ts; what follows a sealed file is file-chain.ts.
import { limitPassedBy, limitReachedBy, needsSplit, type RollReason, type Size } from './batch.ts';
import { BackupError } from './errors.ts';
import { FileChain, firstBehind, type Position, positionOf, type ResumePoint } from './file-chain.ts';
import { objectKey } from './format/object-key.ts';
import { compareMessageIds, formatMessageId } from './format/record.ts';
import { encodeRecords, type Records } from './format/record-encoder.ts';
import { storeUnreadable } from './format/unreadable.ts';
import { logHeldBack } from './held-back.ts';
import { untilAborted } from './lib/until-aborted.ts';
import type { Reservation } from './memory-budget.ts';
import {
  MAX_UPLOAD_AGE_MS,
  type MessageMark,
  type MessageRange,
  ObjectFile,
  rangeOf,
} from './object-file.ts';
import { retryThroughOutage } from './outage.ts';
import { isOfClock } from './paced-store.ts';
import type {
  Backlog,
  Delivery,
  EntryId,
  HeldBackReason,
  Message,
  MessageId,
  ReadableEntry,
  SourcePartition,
  TimeMs,
  UnreadableEntry,
} from './ports.ts';
import type { Run } from './run.ts';
import { noAnswer, Silence } from './silence.ts';

/** Entries without records are acknowledged at the latest when there are so many of them. */
const MAX_PENDING_ACKS = 1_000;

/** A large entry counts a little less with each smaller one after it. */
const FORGETTING = 0.95;

/** How a partition ended: drained, out of time, or another consumer of the Failover subscription has it. */
export type PartitionOutcome = 'caught_up' | 'deadline' | 'standby';

/** How reading ended; `undefined`: it goes on. */
type Outcome = PartitionOutcome | 'lost' | undefined;

interface Failed {
  readonly failure: unknown;
}

export class PartitionDrain {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  /** Exclusive and Failover: the broker delivers in order, so a position says everything before it. */
  readonly #isInOrder: boolean;
  readonly #chain: FileChain;
  #open: ObjectFile | undefined;
  /** In order: the last message that went into a file. */
  #position: Position | undefined;
  /** Messages found stored by an earlier run; in order, until everything is acknowledged that lies before their end. */
  readonly #storedIds = new Set<string>();
  /** In order: the last of them. */
  #storedThrough: Position | undefined;
  /** They are forgotten once what is in line is durable. */
  #isForgetting = false;
  /** In order, ascending: no file goes over one of these, because an object begins there, or may. */
  #borders: readonly Position[] = [];
  /** The first of them behind the beginning of the open file. */
  #border: Position | undefined;
  /** Without order: entries that stand in a file and are not acknowledged yet. */
  readonly #unacknowledged = new Set<string>();
  /** Entries with nothing left to store, to be acknowledged after all files before them. */
  #pendingAcks: EntryId[] = [];
  readonly #silence: Silence;
  #outcome: PartitionOutcome | undefined;
  /** The records of the next entry are expected to be so large: as the largest of the last ones. */
  #entryBytes: number | undefined;
  #reservation: Reservation | undefined;
  /** Whether it was drained before, and came back. */
  #isAgain = false;
  /** When the entry was published that came when no more was read. */
  #firstUnreadMs: TimeMs | undefined;

  constructor(run: Run, partition: SourcePartition) {
    this.#run = run;
    this.#partition = partition;
    this.#isInOrder = run.subscriptionType === 'exclusive' || run.subscriptionType === 'failover';
    this.#chain = new FileChain(run, partition, this.#isInOrder);
    this.#silence = new Silence(partition, this.#isInOrder, run.reading, {
      openEntries: () => (this.#open?.entries.length ?? 0) + this.#pendingAcks.length,
      isBusy: () => this.#chain.isBusy,
      settle: () => this.#chain.settle(),
      isInterrupted: () => this.#chain.isInterrupted,
      rollAndAcknowledge: () => this.#rollAndAcknowledge('end'),
    });
  }

  /** Files that were begun and are not stored yet. */
  get files(): number {
    return this.#chain.files + (this.#open === undefined ? 0 : 1);
  }

  /** What is left, after `drain`. The next message is not that of the driver where files were dropped. */
  async backlog(): Promise<Backlog | undefined> {
    const backlog = await this.#partition.backlog();
    if (backlog === undefined) return undefined;
    const { nextPublishTimeMs, ...counts } = backlog;
    const next = this.#firstUnreadMs ?? nextPublishTimeMs;
    return next === undefined || this.#chain.isInterrupted ? counts : { ...counts, nextPublishTimeMs: next };
  }

  /** Why the broker does not hand out what is left, as far as it is known; after `drain`. */
  async heldBack(): Promise<readonly HeldBackReason[]> {
    if (this.#outcome !== 'caught_up') return [];
    return [...this.#silence.reasons, ...((await this.#partition.heldBack(0, 0)) ?? [])];
  }

  /** After `standby`: true when it may be worth to drain the partition again, false when `signal` is aborted before. */
  untilActive(signal: AbortSignal): Promise<boolean> {
    return this.#partition.untilActive(signal);
  }

  /** After `standby`: whether whoever has the partition has drained it, as far as that can be known. */
  async isDrained(): Promise<boolean> {
    return (await this.#partition.isDrained?.()) ?? true;
  }

  /**
   * Drains the partition up to its end; after `standby` it may be called again.
   * @throws what failed, when everything that was taken before it is stored and acknowledged, as far as that is possible
   */
  async drain(): Promise<PartitionOutcome> {
    const chain = this.#chain;
    if (this.#isAgain) await this.#beginAgain();
    this.#isAgain = true;
    try {
      for (;;) {
        const outcome = await this.#read()
          .catch((error: unknown) => this.#failed(error))
          .finally(() => this.#endReservation());
        if (outcome === 'lost') {
          await this.#beginAgain();
          continue;
        }
        if (outcome === 'standby' || !(await this.#canAcknowledge(outcome))) await this.#drop();
        else await this.#rollAndAcknowledge(outcome === 'deadline' ? 'deadline' : 'end');
        const { resumePoint } = chain;
        const isToGoOn = resumePoint !== undefined && !this.#run.reading.aborted;
        // Where a failure stays, it comes again, behind what was stored already.
        if (chain.failure === undefined && isToGoOn) {
          const goingOn = await this.#resumeAfter(resumePoint).catch((error: unknown) => ({
            failure: error,
          }));
          if (goingOn === undefined) continue;
          chain.fail(goingOn.failure);
        }
        this.#outcome = typeof outcome === 'object' || resumePoint !== undefined ? 'deadline' : outcome;
        if (this.#outcome === 'caught_up' && chain.failure === undefined) await this.#settleRest();
        if (typeof outcome === 'object') chain.fail(outcome.failure);
        if (chain.failure !== undefined) throw chain.failure;
        return this.#outcome;
      }
    } finally {
      await this.#drop();
    }
  }

  /** All is acknowledged but what does not come, or not whole. */
  async #settleRest(): Promise<void> {
    const failed = await this.#giveUpChunks().catch((error: unknown) => this.#failed(error));
    if (typeof failed === 'object') this.#chain.fail(failed.failure);
    const { reasons, entries } = this.#silence;
    if (reasons.length > 0 && entries !== 0)
      logHeldBack(this.#run.logger, this.#partition.topic, reasons, entries);
  }

  /** Chunks of producers that are gone. They stand before all that is acknowledged by now, so each goes by itself. */
  async #giveUpChunks(): Promise<void> {
    const { clock, chunkExpiryMs } = this.#run;
    for (;;) {
      const given = await this.#partition.giveUpChunks(clock.now() - chunkExpiryMs);
      for (const entry of given) {
        await this.#storeUnreadable(entry);
        this.#chain.pushAcknowledgement([entry.id]);
        this.#silence.gaveUp(entry.raw.length);
      }
      await this.#chain.settle();
      if (given.length === 0 || this.#chain.isInterrupted) return;
    }
  }

  /** A failure ends reading as other ends do. */
  #failed(error: unknown): Failed | 'deadline' {
    const { pace, tally } = this.#run;
    if (!isOfClock(error, pace.storing)) return { failure: error };
    tally.cutByDeadline++;
    return 'deadline';
  }

  /**
   * False after a failure of the source, where another consumer gets what cannot be acknowledged and has no way to
   * find it stored: then it is not to be stored here. In order, the next run finds it.
   */
  async #canAcknowledge(outcome: PartitionOutcome | Failed): Promise<boolean> {
    if (this.#isInOrder || typeof outcome !== 'object') return true;
    const { failure } = outcome;
    if (!(failure instanceof BackupError) || failure.code !== 'source') return true;
    const backlog = untilAborted(this.#partition.backlog(), this.#run.hardEnd, noAnswer);
    return (await backlog.catch(() => undefined)) !== undefined;
  }

  /** Takes entries into files until the end of the run's range, or until something else has to be done first. */
  async #read(): Promise<PartitionOutcome | 'lost'> {
    const { reading, budget, clock, pace } = this.#run;
    const { end } = this.#partition;
    if (end === null && (await this.#silence.isAtEnd())) return 'caught_up';
    for (;;) {
      const reserving = budget.reserve(this.#entryBytes ?? budget.likelyEntryBytes, reading);
      this.#reservation = reserving instanceof Promise ? await reserving : reserving;
      if (reading.aborted) return 'deadline';
      if (this.#chain.isInterrupted) return 'caught_up';
      budget.reportPassed();
      const timeoutMs = Math.min(this.#silence.idleMs, Math.max(1, pace.stopReadingAtMs - clock.now()));
      const outcome = await this.#handleNext(timeoutMs);
      if (outcome !== undefined) return outcome;
      this.#endReservation();
    }
  }

  /**
   * Gets a delivery and does with it what is due. No function that awaits holds the delivery or its messages: what it
   * awaits can take long, and all that while it would keep an entry of megabytes in memory for nothing.
   */
  #handleNext(timeoutMs: number): Promise<Outcome> {
    return this.#partition.next(timeoutMs).then((delivery) => {
      this.#silence.heard(delivery, timeoutMs);
      return this.#handle(delivery);
    });
  }

  /** What reading ends with; nothing where it goes on. */
  #handle(delivery: Delivery): Outcome | Promise<Outcome> {
    const { reading } = this.#run;
    const { end } = this.#partition;
    if (reading.aborted) {
      if (delivery.kind === 'entry') this.#firstUnreadMs = delivery.messages[0]?.publishTimeMs;
      return 'deadline';
    }
    if (delivery.kind === 'idle') {
      this.#endReservation();
      return this.#silence.isEnd().then((isDrained) => (isDrained ? 'caught_up' : undefined));
    }
    if (delivery.kind === 'standby' || delivery.kind === 'lost') return delivery.kind;
    if (delivery.kind === 'end') return 'caught_up';
    if (end === 'unknown' && this.#isAfterStart(delivery)) return 'caught_up';
    const isLast = end !== 'unknown' && (end === null || isAtOrAfter(delivery.id, end));
    let taking: Promise<void> | undefined;
    if (delivery.kind === 'entry') taking = this.#take(delivery);
    else if (delivery.kind === 'unreadable') taking = this.#keepUnreadable(delivery);
    if (!isLast) return taking === undefined ? undefined : taking.then(() => undefined);
    return Promise.resolve(taking)
      .then(() => this.#silence.isAtEnd())
      .then((isAtEnd) => (isAtEnd ? 'caught_up' : undefined));
  }

  /** Published after the run began. A producer whose clock is ahead of ours must not end every run, so: not in the future. */
  #isAfterStart(delivery: Delivery): boolean {
    const publishTimeMs = delivery.kind === 'entry' ? delivery.messages[0]?.publishTimeMs : undefined;
    if (publishTimeMs === undefined) return false;
    return publishTimeMs > this.#run.startedAtMs && publishTimeMs <= this.#run.clock.now();
  }

  #take(entry: ReadableEntry): Promise<void> | undefined {
    const { id } = entry;
    const messages = this.#notYetTaken(entry);
    if (messages.length === 0) {
      this.#addPendingAck(id);
      return undefined;
    }
    const records = encodeRecords(messages);
    const size = { messages: messages.length, bytes: records.sizeBytes };
    this.#entryBytes = Math.max(size.bytes, Math.ceil((this.#entryBytes ?? 0) * FORGETTING));
    const appending =
      needsSplit(size, this.#run.limits) || this.#hasBorderIn(messages)
        ? this.#appendOneByOne(messages, size)
        : this.#append(records, rangeOf(messages));
    return appending.then(() => this.#finishEntry(id));
  }

  async #appendOneByOne(messages: readonly Message[], size: Size): Promise<void> {
    if (this.#open !== undefined && needsSplit(size, this.#run.limits)) {
      await this.#roll(limitPassedBy(this.#open, size, this.#run.limits) ?? 'messages');
    }
    for (const message of messages) await this.#append(encodeRecords([message]), rangeOf([message]));
  }

  /** All messages of the entry are in files. */
  async #finishEntry(id: EntryId): Promise<void> {
    if (!this.#isInOrder) this.#unacknowledged.add(entryText(id));
    this.#addPendingAck(id);
    const open = this.#open;
    if (open === undefined) return;
    const reached = limitReachedBy(open, this.#run.limits);
    if (reached !== undefined) await this.#roll(reached);
    else if (open.hasConflict) await this.#roll('end');
    else if (open.isUploading && this.#run.clock.now() - open.openedAtMs > MAX_UPLOAD_AGE_MS)
      await this.#roll('age');
  }

  /**
   * The messages of the entry that no file of this run and no object found in the store holds. None: the entry has
   * only to be acknowledged, after the files that are under way.
   */
  #notYetTaken(entry: ReadableEntry): readonly Message[] {
    const { messages } = entry;
    if (!this.#isInOrder) {
      if (this.#unacknowledged.has(entryText(entry.id))) return [];
      if (this.#storedIds.size === 0) return messages;
      return messages.filter((message) => !this.#storedIds.has(formatMessageId(message.id)));
    }
    const taken = this.#position;
    const first = messages[0];
    const rest =
      taken === undefined || first === undefined || compareMessageIds(first.id, taken) > 0
        ? messages
        : messages.filter((one) => compareMessageIds(one.id, taken) > 0);
    if (this.#storedIds.size === 0) return rest;
    return rest.filter((one) => !this.#storedIds.has(formatMessageId(one.id)));
  }

  async #append(records: Records, range: MessageRange): Promise<void> {
    if (this.#open !== undefined) {
      const size = { messages: range.messages, bytes: records.sizeBytes };
      const passed = limitPassedBy(this.#open, size, this.#run.limits);
      if (passed !== undefined) await this.#roll(passed);
    }
    if (this.#borders.length > 0) await this.#heedBorders(range.first.id);
    this.#open ??= this.#openFile(range.first);
    if (this.#isInOrder) this.#position = range.last.id;
    const appending = this.#open.append(records, range);
    // The file holds them: only now others may have the room that was kept.
    this.#endReservation(records.sizeBytes);
    await appending;
  }

  /** Before a message is taken: ends the file that must not go so far, and forgets found objects that end before it. */
  async #heedBorders(id: MessageId): Promise<void> {
    if (this.#border !== undefined && compareMessageIds(positionOf(id), this.#border) >= 0)
      await this.#roll('end');
    const through = this.#storedThrough;
    // An entry is acknowledged as one: while some of it is to be taken, all of it can come again.
    if (through === undefined || this.#isForgetting || isAtOrAfter(through, id)) return;
    this.#isForgetting = true;
    // Only once the files before this message are durable: until then all can come again.
    this.#chain.pushAcknowledgement(this.#pendingAcks, () => {
      this.#storedIds.clear();
      this.#storedThrough = undefined;
    });
    this.#pendingAcks = [];
  }

  #hasBorderIn(messages: readonly Message[]): boolean {
    if (this.#borders.length === 0) return false;
    const [first, last] = [messages[0] as Message, messages[messages.length - 1] as Message];
    const border = firstBehind(this.#borders, first.id);
    return border !== undefined && compareMessageIds(border, positionOf(last.id)) <= 0;
  }

  /** Room is kept no more: for an entry whose records are in a file, or for none. */
  #endReservation(entryBytes?: number): void {
    if (this.#reservation !== undefined) this.#run.budget.endReservation(this.#reservation, entryBytes);
    this.#reservation = undefined;
  }

  #openFile(first: MessageMark): ObjectFile {
    const { prefix, topic, compression, rule, store, budget, slots, pace, clock } = this.#run;
    const key = objectKey(prefix, topic, first, compression);
    const file = new ObjectFile(
      { key, rule, compression, store, budget, slots, signal: pace.storing },
      clock.now(),
    );
    file.entries.push(...this.#pendingAcks);
    this.#pendingAcks = [];
    this.#border = firstBehind(this.#borders, first.id);
    return file;
  }

  async #keepUnreadable(entry: UnreadableEntry): Promise<void> {
    if (this.#isInOrder && this.#position !== undefined && isAtOrAfter(this.#position, entry.id)) {
      this.#addPendingAck(entry.id);
      return;
    }
    await this.#storeUnreadable(entry);
    if (this.#isInOrder) this.#position = { ...entry.id, batchIndex: Number.POSITIVE_INFINITY };
    this.#addPendingAck(entry.id);
  }

  async #storeUnreadable(entry: UnreadableEntry): Promise<void> {
    const { store, rule, prefix, topic, logger, tally, onUnreadable, pace } = this.#run;
    const { reason, hint } = entry;
    if (onUnreadable === 'fail') {
      throw new BackupError(
        'corrupt',
        `entry ${entryText(entry.id)} of ${entry.topic} cannot be read: ${reason}`,
        {
          hint: 'RUN_ON_UNREADABLE=store keeps such entries raw under _unreadable/ and goes on. It was not acknowledged.',
          details: { topic: entry.topic },
        },
      );
    }
    const call = { signal: pace.storing };
    const key = await storeUnreadable(store, rule, prefix, topic, this.#partition.partition, entry, call);
    tally.unreadable++;
    logger.error({ key, topic: entry.topic, ...entry.id, reason, hint }, 'entry unreadable');
  }

  /** The entry is to be acknowledged once everything taken before it is durable. */
  #addPendingAck(id: EntryId): void {
    const pending = this.#open?.entries ?? this.#pendingAcks;
    const last = pending[pending.length - 1];
    // In order, the last one says all before it: what comes again must not stand in its place.
    if (this.#isInOrder && last !== undefined && isAtOrAfter(last, id)) return;
    pending.push(id);
    if (this.#pendingAcks.length >= MAX_PENDING_ACKS) this.#acknowledgePending();
  }

  #acknowledgePending(): void {
    if (this.#pendingAcks.length > 0) this.#chain.pushAcknowledgement(this.#pendingAcks);
    this.#pendingAcks = [];
  }

  /** Seals the open file, if there is one, and puts it at the end of the line. */
  async #roll(reason: RollReason): Promise<void> {
    const file = this.#open;
    if (file === undefined) return;
    await file.seal(reason);
    this.#open = undefined;
    this.#chain.push(file);
    if (this.#isInOrder) return;
    // Without order, whatever is not acknowledged may be stored once more by another consumer: never more than a file.
    await this.#chain.settle();
    this.#unacknowledged.clear();
  }

  async #rollAndAcknowledge(reason: RollReason): Promise<void> {
    await this.#roll(reason);
    this.#acknowledgePending();
    await this.#chain.settle();
  }

  async #resumeAfter(after: ResumePoint): Promise<void> {
    const { clock, hardEnd } = this.#run;
    this.#skip(after);
    this.#chain.resume();
    // Between the messages of the object may lie some that it does not hold.
    if (this.#isInOrder) this.#position = this.#chain.durable;
    const restart = () => untilAborted(this.#partition.restart(), hardEnd, noAnswer);
    await retryThroughOutage(restart, { clock, signal: hardEnd });
  }

  /** Takes no message of a found object, and lets no file go over its end: the next object may begin right behind it. */
  #skip({ ids, last, begins }: ResumePoint): void {
    this.#isForgetting = false;
    for (const id of ids) this.#storedIds.add(id);
    if (!this.#isInOrder) return;
    const borders = [...this.#borders, ...begins];
    if (last !== undefined) {
      const through = this.#storedThrough;
      if (through === undefined || compareMessageIds(last, through) > 0) this.#storedThrough = last;
      const { batchIndex, ...entry } = positionOf(last);
      borders.push({ ...entry, batchIndex: batchIndex + 0.5 });
    }
    this.#borders = borders.sort(compareMessageIds);
  }

  /** The partition has moved away. If it comes back, it begins at its first unacknowledged entry; what is durable stays. */
  async #beginAgain(): Promise<void> {
    await this.#drop();
    if (this.#chain.resumePoint !== undefined) this.#skip(this.#chain.resumePoint);
    this.#chain.resume();
    this.#position = this.#chain.durable;
  }

  /** Drops what is open or in line: it is not ours any more, or comes again. */
  async #drop(): Promise<void> {
    const file = this.#open;
    this.#open = undefined;
    this.#pendingAcks = [];
    this.#chain.halt();
    await file?.discard();
    await this.#chain.settle();
    this.#isForgetting = false;
  }
}

const entryText = (id: EntryId) => `${id.ledgerId}:${id.entryId}`;

const isAtOrAfter = (id: EntryId, end: EntryId) =>
  id.ledgerId > end.ledgerId || (id.ledgerId === end.ledgerId && id.entryId >= end.entryId);
