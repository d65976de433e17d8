// The open file of one partition: its messages, when it is closed, and which entries wait for it to be durable. A
// closed file goes to the end of the chain (file-chain.ts). It does not choose the messages.
import { limitPassedBy, limitReachedBy, needsSplit, type RollReason, type Size } from '../batch.ts';
import { isUpTo } from '../format/entry-order.ts';
import { objectKey } from '../format/object-key.ts';
import { encodePacked } from '../format/packed-batch.ts';
import { compareMessageIds } from '../format/record.ts';
import { encodeRecords, keepRecords, type Records } from '../format/record-encoder.ts';
import type { EntryId, Message, MessageId, ReadableEntry, SourcePartition, TimeMs } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import type { EntryRoom } from './entry-room.ts';
import { EntrySchemas } from './entry-schemas.ts';
import type { FileChain } from './file-chain.ts';
import { isYoung, type LeftRest } from './linger.ts';
import {
  type MessageMark,
  type MessageRange,
  type PublishSpan,
  rangeOf,
  rangeOfPacked,
} from './message-range.ts';
import { MAX_UPLOAD_AGE_MS, ObjectFile } from './object-file.ts';
import { type DrainPosition, keyPosition, type Position } from './position.ts';

/** Entries without records are acknowledged when there are so many of them, or earlier. */
const MAX_PENDING_ACKS = 1_000;

/**
 * The maximum number of a partition's files that wait for the store. Each takes some 14 KB besides its records; with
 * small files and a slow store, a longer queue would use up the memory.
 */
const MAX_FILES_IN_LINE = 64;

/** Whether `id` is in the entry of `begin`, and after it. */
const isInside = (id: MessageId | undefined, begin: MessageId): boolean =>
  id !== undefined &&
  id.ledgerId === begin.ledgerId &&
  id.entryId === begin.entryId &&
  id.batchIndex > begin.batchIndex;

/** One for each partition. */
export class RollingFile {
  readonly #run: Run;
  readonly #schemas: EntrySchemas;
  readonly #chain: FileChain;
  readonly #position: DrainPosition;
  readonly #room: EntryRoom;
  #open: ObjectFile | undefined;
  /** The first limit after the beginning of the open file. */
  #border: Position | undefined;
  /**
   * Whether something in the range of the open file is already stored: a later run would find, or report, it again.
   */
  #isTied = false;
  /** How many entries of the open file come before its first message. */
  #leading = 0;
  /** Chunks since the last file was closed, except the last of each message: the broker counts them as entries. */
  #chunks = 0;
  /** Entries with nothing left to store, to acknowledge after all earlier files. */
  #pendingAcks: EntryId[] = [];

  constructor(
    run: Run,
    partition: SourcePartition,
    chain: FileChain,
    position: DrainPosition,
    room: EntryRoom,
  ) {
    this.#run = run;
    // Lingering messages are not stored, so their schema is not requested.
    this.#schemas = new EntrySchemas(run.schemas, partition, run.lingerMs === 0);
    this.#chain = chain;
    this.#position = position;
    this.#room = room;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** Entries that were read and are not queued for acknowledgement. */
  get openEntries(): number {
    return (this.#open?.entries.length ?? 0) + this.#pendingAcks.length;
  }

  /** Whether the open file may linger: nothing of it is uploaded, and its messages are young enough. */
  get mayLinger(): boolean {
    const file = this.#open;
    if (file === undefined || file.isUploading || file.hasConflict) return false;
    // Not before the beginning or the end of a found object: its first message has to lead to it.
    if (this.#isTied || this.#border !== undefined) return false;
    return isYoung(file as PublishSpan, this.#run.lingerMs, this.#run.clock.now());
  }

  /** A chunk of an incomplete message arrived. */
  addChunk(): void {
    this.#chunks++;
  }

  /** Something read since the beginning of the open file is already stored. */
  holdsStored(): void {
    this.#isTied = true;
  }

  /** Adds all messages of an entry that are not stored (at least one). `isPart`: some are stored. */
  add(id: EntryId, messages: readonly Message[], isPart = false): Promise<void> | undefined {
    const [{ id: begin, schemaVersion }] = messages as [Message];
    const records = encodeRecords(messages);
    const size = { messages: messages.length, bytes: records.sizeBytes };
    const isSplit = needsSplit(size, this.#run.limits) || this.#position.hasBorderIn(messages);
    this.#begin(id, size, schemaVersion);
    const appending = isSplit
      ? this.#appendOneByOne(messages, size)
      : this.#append(records, rangeOf(messages, this.#run.isArchived));
    return appending === undefined
      ? this.#end(id, begin, isPart)
      : appending.then(() => this.#end(id, begin, isPart));
  }

  /**
   * Adds all messages of an entry without decoding them; `decode` if the caller has to pass them to `add` instead.
   */
  addPacked({ id, packed }: ReadableEntry): Promise<void> | undefined | 'decode' {
    const records = packed && !this.#position.hasBorders ? encodePacked(packed) : undefined;
    if (packed === undefined || records === undefined) return 'decode';
    const size = { messages: packed.count, bytes: records.sizeBytes };
    if (needsSplit(size, this.#run.limits)) return 'decode';
    const { id: begin, schemaVersion } = packed.common;
    this.#begin(id, size, schemaVersion);
    const appending = this.#append(records, rangeOfPacked(packed, this.#run.isArchived));
    return appending === undefined
      ? this.#end(id, begin, false)
      : appending.then(() => this.#end(id, begin, false));
  }

  /**
   * Adds new entries of one message each, in the broker's order, to the open file. `one by one` if the caller has to
   * pass them to `add`, because the open file does not accept all of them.
   */
  addTogether(entries: readonly ReadableEntry[]): Promise<void> | undefined | 'one by one' {
    const open = this.#open;
    if (open === undefined || this.#position.hasBorders) return 'one by one';
    const messages = entries.map((entry) => entry.messages[0] as Message);
    const records = encodeRecords(messages);
    const size = { messages: messages.length, bytes: records.sizeBytes };
    if (limitPassedBy(open, size, this.#run.limits) !== undefined) return 'one by one';
    for (const { id, schemaVersion } of messages) {
      this.#begin(id, size, schemaVersion);
      if (this.#schemas.needed !== undefined) open.schemas.add(this.#schemas.needed);
    }
    const appending = this.#appendNow(records, rangeOf(messages, this.#run.isArchived));
    const finish = () => {
      for (const { id } of entries) this.#take(id);
      return this.#rollIfDue();
    };
    return appending === undefined ? finish() : appending.then(finish);
  }

  #begin(id: EntryId, { bytes }: Size, schemaVersion: Uint8Array | undefined): void {
    this.#room.measure(bytes);
    this.#schemas.take(id, schemaVersion);
  }

  #end(id: EntryId, begin: MessageId, isPart: boolean): Promise<void> | undefined {
    // It begins in the previous file, which is not acknowledged until the whole entry is durable.
    const isSplit = this.#open !== undefined && isInside(this.#open.first?.id, begin);
    if (isPart || isSplit) this.#isTied = true;
    return this.#finishEntry(id);
  }

  /** The entry is acknowledged once everything read before it is durable. */
  addPendingAck(id: EntryId): void {
    const pending = this.#open?.entries ?? this.#pendingAcks;
    const last = pending[pending.length - 1];
    // With an order, the last one covers all before it: a redelivered one must not replace it.
    if (this.#position.isInOrder && last !== undefined && isUpTo(id, last)) return;
    pending.push(id);
    if (this.#pendingAcks.length >= MAX_PENDING_ACKS && this.#mayAcknowledge(this.#pendingAcks))
      this.#acknowledgePending();
  }

  /** Closes the open file, and resolves when everything is acknowledged, or has failed. */
  async rollAndAcknowledge(reason: RollReason): Promise<void> {
    await this.#roll(reason);
    this.#acknowledgePending();
    await this.#chain.settle();
  }

  /** Lets the open file linger, and resolves when everything before it is acknowledged, or has failed. */
  async leave(): Promise<LeftRest> {
    const file = this.#open as ObjectFile;
    this.#open = undefined;
    const leading = file.entries.slice(0, this.#leading);
    if (leading.length > 0) this.#chain.pushAcknowledgement(leading);
    await file.discard();
    // Requested and stored early: an answer after the end would look like a missing schema.
    await Promise.allSettled(file.schemas);
    await this.#chain.settle();
    const { messages, earliestMs } = file;
    const entries = file.entries.length - leading.length + this.#chunks;
    return { entries, messages, oldestMs: earliestMs as TimeMs };
  }

  /** Drops the open and the queued files: they belong to another consumer, or are redelivered. */
  async drop(): Promise<void> {
    const file = this.#open;
    this.#open = undefined;
    this.#chunks = 0;
    this.#pendingAcks = [];
    this.#chain.halt();
    await file?.discard();
    await this.#chain.settle();
    this.#position.keepStored();
  }

  async #appendOneByOne(messages: readonly Message[], size: Size): Promise<void> {
    if (this.#open !== undefined && needsSplit(size, this.#run.limits)) {
      await this.#roll(limitPassedBy(this.#open, size, this.#run.limits) ?? 'messages');
    }
    for (const message of messages)
      await this.#append(encodeRecords([message]), rangeOf([message], this.#run.isArchived));
  }

  #append(records: Records, range: MessageRange): Promise<void> | undefined {
    const size = { messages: range.messages, bytes: records.sizeBytes };
    const passed = this.#open && limitPassedBy(this.#open, size, this.#run.limits);
    const mustWait = passed !== undefined || this.#position.hasBorders;
    return mustWait
      ? this.#rollAndAppend(keepRecords(records), range, passed)
      : this.#appendNow(records, range);
  }

  async #rollAndAppend(records: Records, range: MessageRange, passed: RollReason | undefined): Promise<void> {
    if (passed !== undefined) await this.#roll(passed);
    if (this.#position.hasBorders) await this.#heedBorders(range.first.id);
    await this.#appendNow(records, range);
  }

  #appendNow(records: Records, range: MessageRange): Promise<void> | undefined {
    this.#open ??= this.#openFile(range.first);
    this.#position.moveTo(range.last.id);
    if (this.#schemas.needed !== undefined) this.#open.schemas.add(this.#schemas.needed);
    const appending = this.#open.append(records, range);
    // The records are in the file: release the reserved room only now.
    this.#room.free(records.sizeBytes);
    return appending;
  }

  /**
   * Before a message is read: closes the file at its limit, and forgets found objects that end before the message.
   */
  async #heedBorders(id: MessageId): Promise<void> {
    if (this.#border !== undefined && compareMessageIds(keyPosition(id), this.#border) >= 0)
      await this.#roll('end');
    const forget = this.#position.forgetStoredBefore(id);
    if (forget === undefined) return;
    this.#chain.pushAcknowledgement(this.#pendingAcks, forget);
    this.#pendingAcks = [];
  }

  #openFile(first: MessageMark): ObjectFile {
    const { prefix, topic, compression, rule, store, budget, slots, pace, clock, partBytes } = this.#run;
    const key = objectKey(prefix, topic, first, compression);
    const file = new ObjectFile(
      { key, rule, compression, store, budget, slots, signal: pace.storing, partBytes },
      clock.now(),
    );
    file.entries.push(...this.#pendingAcks);
    this.#leading = this.#pendingAcks.length;
    this.#isTied = false;
    this.#pendingAcks = [];
    this.#border = this.#position.borderBehind(first.id);
    return file;
  }

  /** All messages of the entry are in files. */
  #finishEntry(id: EntryId): Promise<void> | undefined {
    this.#take(id);
    return this.#rollIfDue();
  }

  #take(id: EntryId): void {
    this.#position.entryTaken(id);
    this.addPendingAck(id);
  }

  /** After an entry. */
  #rollIfDue(): Promise<void> | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    const reached = limitReachedBy(open, this.#run.limits);
    if (reached !== undefined) return this.#roll(reached);
    if (open.hasConflict) return this.#roll('end');
    const isOld = open.isUploading && this.#run.clock.now() - open.openedAtMs > MAX_UPLOAD_AGE_MS;
    return isOld ? this.#roll('age') : undefined;
  }

  /** Seals the open file, if there is one, and queues it. */
  async #roll(reason: RollReason): Promise<void> {
    const file = this.#open;
    if (file === undefined) return;
    await file.seal(reason);
    this.#open = undefined;
    this.#chunks = 0;
    // The next acknowledgement covers these, too.
    if (!this.#mayAcknowledge(file.entries)) file.entries.length = 0;
    this.#chain.push(file);
    if (this.#position.isInOrder) {
      if (this.#chain.files >= MAX_FILES_IN_LINE) await this.#chain.settle();
      return;
    }
    // Without order, another consumer may store unacknowledged messages again: never more than one file.
    await this.#chain.settle();
    this.#position.entriesSettled();
  }

  /** A found object is acknowledged as a whole: until then its first message leads to it. */
  #mayAcknowledge(entries: readonly EntryId[]): boolean {
    const last = entries[entries.length - 1];
    return last !== undefined && !this.#position.isInsideStored(last);
  }

  #acknowledgePending(): void {
    if (this.#mayAcknowledge(this.#pendingAcks)) this.#chain.pushAcknowledgement(this.#pendingAcks);
    this.#pendingAcks = [];
  }
}
