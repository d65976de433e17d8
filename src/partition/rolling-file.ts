// The open file of one partition: what goes into it, when it is closed, and which entries wait for it to be durable. A
// closed file goes to the end of the chain (file-chain.ts). It takes what it is given; what comes is not its business.
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

/** Entries without records are acknowledged at the latest when there are so many of them. */
const MAX_PENDING_ACKS = 1_000;

/**
 * So many files of a partition wait for the store at most. One takes some 14 KB besides its records, which is nothing but
 * where files are of few messages: the line of a slow store would take all memory.
 */
const MAX_FILES_IN_LINE = 64;

/** Whether `id` is in the entry of `begin`, and behind it. */
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
  /** The first border behind the beginning of the open file. */
  #border: Position | undefined;
  /** Whether something in the range of the open file is stored already: a later run would find, or report, it once more. */
  #isTied = false;
  /** How many entries of the open file come before its first message. */
  #leading = 0;
  /** Chunks that came since a file was closed, but for the last of each message: the broker counts them as entries. */
  #chunks = 0;
  /** Entries with nothing left to store, to be acknowledged after all files before them. */
  #pendingAcks: EntryId[] = [];

  constructor(
    run: Run,
    partition: SourcePartition,
    chain: FileChain,
    position: DrainPosition,
    room: EntryRoom,
  ) {
    this.#run = run;
    // What lingers is not stored: nothing is asked for it then.
    this.#schemas = new EntrySchemas(run.schemas, partition, run.lingerMs === 0);
    this.#chain = chain;
    this.#position = position;
    this.#room = room;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** Entries that were taken and are not in line to be acknowledged. */
  get openEntries(): number {
    return (this.#open?.entries.length ?? 0) + this.#pendingAcks.length;
  }

  /** Whether the open file may wait in the subscription: nothing of it has left, and it is young enough. */
  get mayLinger(): boolean {
    const file = this.#open;
    if (file === undefined || file.isUploading || file.hasConflict) return false;
    // Before the begin or the end of a found object: its first message has to find it.
    if (this.#isTied || this.#border !== undefined) return false;
    return isYoung(file as PublishSpan, this.#run.lingerMs, this.#run.clock.now());
  }

  /** A chunk came whose message is not complete. */
  addChunk(): void {
    this.#chunks++;
  }

  /** Something is stored already that came since the begin of the open file. */
  holdsStored(): void {
    this.#isTied = true;
  }

  /** Adds messages of an entry, which are at least one, and are all of it that is not stored. `isPart`: the others are. */
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

  /** Adds all messages of an entry without decoding them; `decode`: they have to be given to `add`. */
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
   * Adds entries of one message each that are new and in the broker's order, at once: into the files that they would come
   * into one by one. `one by one`: they have to be given to `add`, since the open file does not take all of them.
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
    // Its begin is in the file before: until all of it is durable, that file is not acknowledged.
    const isSplit = this.#open !== undefined && isInside(this.#open.first?.id, begin);
    if (isPart || isSplit) this.#isTied = true;
    return this.#finishEntry(id);
  }

  /** The entry is to be acknowledged once everything taken before it is durable. */
  addPendingAck(id: EntryId): void {
    const pending = this.#open?.entries ?? this.#pendingAcks;
    const last = pending[pending.length - 1];
    // In order, the last one says all before it: what comes again must not take its place.
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

  /** Leaves what is open to a later run, and resolves when everything before it is acknowledged, or has failed. */
  async leave(): Promise<LeftRest> {
    const file = this.#open as ObjectFile;
    this.#open = undefined;
    const leading = file.entries.slice(0, this.#leading);
    if (leading.length > 0) this.#chain.pushAcknowledgement(leading);
    await file.discard();
    // Asked for, and kept early: an answer that comes after the end would look like one that cannot be had.
    await Promise.allSettled(file.schemas);
    await this.#chain.settle();
    const { messages, earliestMs } = file;
    const entries = file.entries.length - leading.length + this.#chunks;
    return { entries, messages, oldestMs: earliestMs as TimeMs };
  }

  /** Drops what is open or in line: it is not ours any more, or comes again. */
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
    // The file holds them: only now others may have the room that was kept.
    this.#room.free(records.sizeBytes);
    return appending;
  }

  /** Before a message is taken: ends the file that must not go so far, and forgets found objects that end before it. */
  async #heedBorders(id: MessageId): Promise<void> {
    if (this.#border !== undefined && compareMessageIds(keyPosition(id), this.#border) >= 0)
      await this.#roll('end');
    const forget = this.#position.forgetStoredBefore(id);
    if (forget === undefined) return;
    this.#chain.pushAcknowledgement(this.#pendingAcks, forget);
    this.#pendingAcks = [];
  }

  #openFile(first: MessageMark): ObjectFile {
    const { prefix, topic, compression, rule, store, budget, slots, pace, clock } = this.#run;
    const key = objectKey(prefix, topic, first, compression);
    const file = new ObjectFile(
      { key, rule, compression, store, budget, slots, signal: pace.storing },
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

  /** Seals the open file, if there is one, and puts it at the end of the line. */
  async #roll(reason: RollReason): Promise<void> {
    const file = this.#open;
    if (file === undefined) return;
    await file.seal(reason);
    this.#open = undefined;
    this.#chunks = 0;
    // Whatever is acknowledged next says these, too.
    if (!this.#mayAcknowledge(file.entries)) file.entries.length = 0;
    this.#chain.push(file);
    if (this.#position.isInOrder) {
      if (this.#chain.files >= MAX_FILES_IN_LINE) await this.#chain.settle();
      return;
    }
    // Without order, whatever is not acknowledged may be stored once more by another consumer: never more than a file.
    await this.#chain.settle();
    this.#position.entriesSettled();
  }

  /** Of a found object all is acknowledged at once: its first message finds it until then. */
  #mayAcknowledge(entries: readonly EntryId[]): boolean {
    const last = entries[entries.length - 1];
    return last !== undefined && !this.#position.isInsideStored(last);
  }

  #acknowledgePending(): void {
    if (this.#mayAcknowledge(this.#pendingAcks)) this.#chain.pushAcknowledgement(this.#pendingAcks);
    this.#pendingAcks = [];
  }
}
