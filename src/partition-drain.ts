// One partition of a run: entries to records to files, files to the store one after the other, then the
// acknowledgement. The ordering argument that this keeps stands at the head of drain.ts.
import { limitPassedBy, limitReachedBy, needsSplit, type RollReason } from './batch.ts';
import { BackupError } from './errors.ts';
import { ObjectFile, type StoredFile } from './object-file.ts';
import { objectKey } from './object-key.ts';
import type {
  Delivery,
  EntryId,
  Message,
  MessageId,
  ReadableEntry,
  SourcePartition,
  UnreadableEntry,
} from './ports.ts';
import { compareMessageIds, encodeRecord, formatMessageId, formatTime } from './record.ts';
import { retry } from './retry.ts';
import type { Run } from './run.ts';
import { assertBeginsWith, readIds, readLastId } from './stored-object.ts';
import { storeUnreadable } from './unreadable.ts';

/** Where the end of the backlog is known, a receive this long without anything is looked into. */
const IDLE_MS = 5_000;
/** Where it is not known, it ends the partition. */
const IDLE_UNKNOWN_END_MS = 1_000;
/** A broker that reports a backlog but delivers nothing for this long has failed. */
const STALLED_AFTER_MS = 20_000;
/** Entries without records are acknowledged at the latest when there are so many of them. */
const MAX_OWED = 1_000;

/** How a partition ended: drained, out of time, or another consumer of the Failover subscription has it. */
export type PartitionOutcome = 'caught_up' | 'deadline' | 'standby';

/** What the stored object that was in the way holds: everything up to an id, or (Shared) a set of messages. */
type Durable = { readonly through: MessageId } | { readonly ids: ReadonlySet<string> };

export class PartitionDrain {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #isInOrder: boolean;
  #open: ObjectFile | undefined;
  /** Settles when every sealed file has been created, found, or dropped, in order. Never rejects. */
  #files: Promise<void> = Promise.resolve();
  /** Settles when every acknowledgement asked for has been answered. Never rejects. */
  #acknowledgements: Promise<void> = Promise.resolve();
  #unsettled = 0;
  #failure: unknown;
  /** A file could not be created, or none may be any more: the files sealed behind it are dropped, not created. */
  #isHalted = false;
  /** Found in the store, beyond or before the end of our file: the partition is to be taken afresh after it. */
  #takeAfter: Durable | undefined;
  /** In order: the last message that went into a file. */
  #taken: Omit<MessageId, 'partition'> | undefined;
  /** In order: the last message known to be durable. */
  #durable: Omit<MessageId, 'partition'> | undefined;
  /** Shared: messages found stored by an earlier run. */
  readonly #storedIds = new Set<string>();
  /** Shared: entries that stand in a file and are not acknowledged yet. */
  readonly #unacknowledged = new Set<string>();
  /** Entries with nothing left to store, to be acknowledged after all files before them. */
  #owed: EntryId[] = [];
  #lastDeliveryMs: number;

  constructor(run: Run, partition: SourcePartition) {
    this.#run = run;
    this.#partition = partition;
    this.#isInOrder = run.subscriptionType === 'exclusive' || run.subscriptionType === 'failover';
    this.#lastDeliveryMs = run.clock.now();
  }

  /** Drains the partition up to its end. @throws BackupError; what was stored before it is acknowledged. */
  async drain(): Promise<PartitionOutcome> {
    try {
      for (;;) {
        const outcome = await this.#read();
        if (outcome === 'standby') this.#dropAll();
        await this.#roll(outcome === 'deadline' ? 'deadline' : 'end');
        this.#acknowledgeOwed();
        await this.#settle();
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#takeAfter === undefined) return outcome;
        if (this.#run.reading.aborted) return 'deadline';
        await this.#takeAfresh(this.#takeAfter);
      }
    } finally {
      this.#isHalted = true;
      await this.#open?.discard();
      await this.#settle();
    }
  }

  /** Takes entries into files until the end of the run's range, or until something else has to be done first. */
  async #read(): Promise<PartitionOutcome> {
    const { reading, budget, clock, stopReadingAtMs } = this.#run;
    const { end } = this.#partition;
    if (end === null) return 'caught_up';
    const idleMs = end === 'unknown' || !this.#isInOrder ? IDLE_UNKNOWN_END_MS : IDLE_MS;
    for (;;) {
      if (budget.isSpent) await budget.room(reading);
      if (reading.aborted) return 'deadline';
      if (this.#failure !== undefined || this.#takeAfter !== undefined) return 'caught_up';
      const delivery = await this.#partition.next(
        Math.min(idleMs, Math.max(1, stopReadingAtMs - clock.now())),
      );
      if (reading.aborted) return 'deadline';
      if (this.#failure !== undefined || this.#takeAfter !== undefined) return 'caught_up';
      if (delivery.kind === 'idle') {
        if (await this.#isDrained()) return 'caught_up';
        continue;
      }
      if (delivery.kind === 'standby' || delivery.kind === 'lost') return 'standby';
      if (delivery.kind === 'end') return 'caught_up';
      this.#lastDeliveryMs = clock.now();
      if (end === 'unknown' && this.#isAfterStart(delivery)) return 'caught_up';
      if (delivery.kind === 'entry') await this.#take(delivery);
      else if (delivery.kind === 'unreadable') await this.#keepUnreadable(delivery);
      if (end !== 'unknown' && isAtOrAfter(delivery.id, end)) return 'caught_up';
    }
  }

  /** Published after the run began. A producer whose clock is ahead of ours must not end every run, so: not in the future. */
  #isAfterStart(delivery: Delivery): boolean {
    const publishTimeMs = delivery.kind === 'entry' ? delivery.messages[0]?.publishTimeMs : undefined;
    if (publishTimeMs === undefined) return false;
    return publishTimeMs > this.#run.startedAtMs && publishTimeMs <= this.#run.clock.now();
  }

  /**
   * Nothing arrived for a while. What is open is sealed and acknowledged first: a broker may hold back more until
   * then (TDMQ's cap of unacknowledged messages). Only with nothing open it may be the end.
   */
  async #isDrained(): Promise<boolean> {
    if (this.#open !== undefined || this.#unsettled > 0 || this.#owed.length > 0) {
      await this.#roll('end');
      this.#acknowledgeOwed();
      await this.#settle();
      return false;
    }
    if (this.#partition.end === 'unknown' || !this.#isInOrder) return true;
    const backlog = await this.#partition.backlog();
    const waiting = backlog?.entries ?? backlog?.messages ?? 0;
    if (waiting === 0) return true;
    if (this.#run.clock.now() - this.#lastDeliveryMs < STALLED_AFTER_MS) return false;
    throw new BackupError(
      'source',
      `the broker reports a backlog of ${waiting} in ${this.#partition.topic} but has delivered nothing for ${STALLED_AFTER_MS / 1000} s`,
      {
        retryable: true,
        hint: 'Look at the topic and its subscription in the TDMQ console; the next run tries again.',
        details: { topic: this.#partition.topic },
      },
    );
  }

  async #take(entry: ReadableEntry): Promise<void> {
    const messages = this.#notYetTaken(entry);
    if (messages === undefined) return;
    if (messages.length === 0) {
      this.#owe(entry.id);
      return;
    }
    const { limits } = this.#run;
    const records = encode(messages);
    if (needsSplit({ messages: messages.length, bytes: records.length }, limits)) {
      await this.#roll(this.#reasonToRoll(messages.length, records.length));
      for (const message of messages) await this.#append(encode([message]), [message]);
    } else {
      await this.#append(records, messages);
    }
    this.#owe(entry.id);
    if (!this.#isInOrder) this.#unacknowledged.add(entryText(entry.id));
    const reached = this.#open === undefined ? undefined : limitReachedBy(this.#open, limits);
    if (reached !== undefined) await this.#roll(reached);
    else if (this.#open?.isDoomed) await this.#roll('end');
  }

  /**
   * The messages of the entry that no file of this run and no object found in the store holds; none where the
   * entry has only to be acknowledged; `undefined` where it is in a file that is under way.
   */
  #notYetTaken(entry: ReadableEntry): readonly Message[] | undefined {
    const { messages } = entry;
    if (!this.#isInOrder) {
      if (this.#unacknowledged.has(entryText(entry.id))) return undefined;
      if (this.#storedIds.size === 0) return messages;
      return messages.filter((message) => !this.#storedIds.has(formatMessageId(message.id)));
    }
    const taken = this.#taken;
    const last = messages[messages.length - 1];
    if (taken === undefined || last === undefined || compareMessageIds(entryStart(entry), taken) > 0)
      return messages;
    if (compareMessageIds(last.id, taken) > 0)
      return messages.filter((one) => compareMessageIds(one.id, taken) > 0);
    const isDurable = this.#durable !== undefined && compareMessageIds(last.id, this.#durable) <= 0;
    return isDurable ? [] : undefined;
  }

  async #append(records: Buffer, messages: readonly Message[]): Promise<void> {
    const { limits } = this.#run;
    if (this.#open !== undefined) {
      const passed = limitPassedBy(this.#open, { messages: messages.length, bytes: records.length }, limits);
      if (passed !== undefined) await this.#roll(passed);
    }
    this.#open ??= this.#openFile(messages[0] as Message);
    if (this.#isInOrder) this.#taken = (messages[messages.length - 1] as Message).id;
    await this.#open.append(records, messages);
  }

  #openFile(first: Message): ObjectFile {
    const { prefix, topic, compression, rule, store, budget, slots, hardEnd, clock } = this.#run;
    const key = objectKey(prefix, topic, first, compression);
    const file = new ObjectFile(
      { key, rule, compression, store, budget, slots, signal: hardEnd },
      clock.now(),
    );
    file.entries.push(...this.#owed);
    this.#owed = [];
    return file;
  }

  #reasonToRoll(messages: number, bytes: number): RollReason {
    return (this.#open && limitPassedBy(this.#open, { messages, bytes }, this.#run.limits)) ?? 'messages';
  }

  async #keepUnreadable(entry: UnreadableEntry): Promise<void> {
    const { store, rule, prefix, topic, logger, tally, onUnreadable, hardEnd } = this.#run;
    if (this.#isInOrder && this.#taken !== undefined && isAtOrAfter(this.#taken, entry.id)) {
      if (this.#durable !== undefined && isAtOrAfter(this.#durable, entry.id)) this.#owe(entry.id);
      return;
    }
    const fields = {
      topic: entry.topic,
      ledgerId: entry.id.ledgerId,
      entryId: entry.id.entryId,
      reason: entry.reason,
    };
    if (onUnreadable === 'fail') {
      throw new BackupError(
        'corrupt',
        `entry ${entryText(entry.id)} of ${entry.topic} cannot be read: ${entry.reason}`,
        {
          hint: 'RUN_ON_UNREADABLE=store keeps such entries raw under _unreadable/ and goes on. Nothing of it was acknowledged.',
          details: { topic: entry.topic },
        },
      );
    }
    const options = { signal: hardEnd };
    const key = await storeUnreadable(store, rule, prefix, topic, this.#partition.partition, entry, options);
    tally.unreadable++;
    logger.error({ key, ...fields }, 'entry unreadable');
    if (this.#isInOrder) this.#taken = { ...entry.id, batchIndex: Number.POSITIVE_INFINITY };
    this.#owe(entry.id);
  }

  /** The entry is to be acknowledged once everything taken before it is durable. */
  #owe(id: EntryId): void {
    if (this.#open !== undefined) {
      this.#open.entries.push(id);
      return;
    }
    this.#owed.push(id);
    if (this.#owed.length >= MAX_OWED) this.#acknowledgeOwed();
  }

  /** Seals the open file, if there is one, and puts it at the end of the line. */
  async #roll(reason: RollReason): Promise<void> {
    const file = this.#open;
    if (file === undefined) return;
    this.#open = undefined;
    this.#unsettled++;
    try {
      await file.seal(reason);
    } catch (error) {
      this.#fail(error);
    }
    this.#files = this.#files.then(() => this.#store(file)).finally(() => this.#unsettled--);
  }

  /** Stored, then acknowledged; called for one file at a time, in order. Never rejects. */
  async #store(file: ObjectFile): Promise<void> {
    try {
      if (this.#isHalted) {
        await file.discard();
        return;
      }
      const answer = await file.create();
      if (answer.kind === 'created') this.#count(file, answer);
      else if (!(await this.#isSameAsStored(file))) {
        await file.discard();
        return;
      }
      this.#durable = (file.last as Message).id;
      this.#acknowledge(file.entries);
    } catch (error) {
      this.#isHalted = true;
      await file.discard();
      if (this.#run.hardEnd.aborted) this.#run.tally.cutByDeadline++;
      else this.#fail(error);
    }
  }

  #count(file: ObjectFile, stored: StoredFile): void {
    const { tally, logger, clock } = this.#run;
    tally.objects++;
    tally.messages += file.messages;
    tally.recordBytes += file.bytes;
    tally.stored.push(manifestObject(file, this.#partition.partition, stored.sizeBytes, stored.crc64, false));
    logger.info(
      {
        key: file.key,
        messages: file.messages,
        bytes: stored.sizeBytes,
        rollReason: file.rollReason,
        durationMs: clock.now() - file.openedAtMs,
      },
      'object stored',
    );
  }

  /**
   * An object stands at the file's key. True: it holds just what the file holds, which so is durable. False: it
   * holds less or more; the partition will be taken afresh after what it holds.
   * @throws BackupError `config` where it is a foreign object
   */
  async #isSameAsStored(file: ObjectFile): Promise<boolean> {
    const { store, compression, tally, logger, hardEnd } = this.#run;
    const call = { signal: hardEnd };
    const head = await store.head(file.key, call);
    if (head === undefined) {
      throw new BackupError('store', `${file.key} was reported to exist, but cannot be found`, {
        retryable: true,
        hint: 'Somebody removes objects while the rule runs; the next run tries again.',
      });
    }
    const first = file.first as Message;
    const last = file.last as Message;
    assertBeginsWith(head, first);
    tally.alreadyStored++;
    let isSame: boolean;
    let lastId: MessageId | undefined;
    if (this.#isInOrder) {
      lastId = await readLastId(store, head, compression, call);
      isSame = compareMessageIds(lastId, last.id) === 0;
      if (!isSame) this.#takeAfter = { through: lastId };
    } else {
      const ids = await readIds(store, file.key, compression, call);
      // Which messages a Shared consumer gets is not repeatable: compare them one by one, by taking them again.
      isSame = false;
      this.#takeAfter = { ids };
    }
    logger.warn(
      {
        key: file.key,
        messages: file.messages,
        isSame,
        ...(lastId && { storedLastId: formatMessageId(lastId) }),
      },
      'object already stored',
    );
    if (isSame) {
      tally.stored.push(manifestObject(file, this.#partition.partition, head.sizeBytes, head.crc64, true));
    } else {
      this.#isHalted = true;
    }
    return isSame;
  }

  async #takeAfresh(after: Durable): Promise<void> {
    this.#takeAfter = undefined;
    this.#isHalted = false;
    await this.#open?.discard();
    this.#open = undefined;
    this.#owed = [];
    this.#unacknowledged.clear();
    if ('through' in after) {
      this.#taken = after.through;
      this.#durable = after.through;
    } else {
      for (const id of after.ids) this.#storedIds.add(id);
    }
    const { clock, hardEnd } = this.#run;
    await retry(() => this.#partition.restart(), { clock, signal: hardEnd });
    this.#lastDeliveryMs = clock.now();
  }

  /** What is open or sealed belongs to another consumer now. */
  #dropAll(): void {
    this.#isHalted = true;
    const file = this.#open;
    this.#open = undefined;
    this.#owed = [];
    if (file !== undefined) this.#files = this.#files.then(() => file.discard());
  }

  #acknowledgeOwed(): void {
    if (this.#owed.length === 0) return;
    const owed = this.#owed;
    this.#owed = [];
    this.#unsettled++;
    this.#files = this.#files
      .then(() => {
        if (!this.#isHalted) this.#acknowledge(owed);
      })
      .finally(() => this.#unsettled--);
  }

  /** Asks for the acknowledgement behind those asked before. The next file need not wait for the answer. */
  #acknowledge(entries: readonly EntryId[]): void {
    if (entries.length === 0) return;
    const { clock, hardEnd, tally } = this.#run;
    this.#unsettled++;
    this.#acknowledgements = this.#acknowledgements
      .then(async () => {
        await retry(() => this.#partition.acknowledge(entries), {
          clock,
          signal: hardEnd,
          onRetry: (error) => {
            tally.lastRetried = error;
          },
        });
        if (!this.#isInOrder) for (const id of entries) this.#unacknowledged.delete(entryText(id));
      })
      .catch((error) => this.#fail(error))
      .finally(() => this.#unsettled--);
  }

  async #settle(): Promise<void> {
    await this.#files;
    await this.#acknowledgements;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#isHalted = true;
    // A store that refuses one partition refuses all; a partition's own trouble is its own.
    if (error instanceof BackupError && error.code === 'store') this.#run.stopAll();
  }
}

function encode(messages: readonly Message[]): Buffer {
  let lines = '';
  for (const message of messages) lines += encodeRecord(message);
  return Buffer.from(lines);
}

const entryText = (id: EntryId) => `${id.ledgerId}:${id.entryId}`;

const entryStart = (entry: ReadableEntry) =>
  entry.messages[0]?.id ?? { ledgerId: entry.id.ledgerId, entryId: entry.id.entryId, batchIndex: -1 };

const isAtOrAfter = (id: EntryId, end: EntryId) =>
  id.ledgerId > end.ledgerId || (id.ledgerId === end.ledgerId && id.entryId >= end.entryId);

function manifestObject(
  file: ObjectFile,
  partition: number,
  size: number,
  crc: string | undefined,
  alreadyStored: boolean,
) {
  const first = file.first as Message;
  const last = file.last as Message;
  return {
    key: file.key,
    partition,
    messages: file.messages,
    recordBytes: file.bytes,
    size,
    firstId: formatMessageId(first.id),
    lastId: formatMessageId(last.id),
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    ...(crc === undefined ? {} : { crc64: crc }),
    alreadyStored,
  };
}
