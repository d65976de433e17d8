// Positions in one partition, and how far its drain has come: which messages it has taken, which it takes no more because
// an object holds them, and where no file may go further. It reads no entry and writes no file.
import { compareEntries, formatEntry, isUpTo } from '../format/entry-order.ts';
import { compareMessageIds, formatMessageId } from '../format/record.ts';
import type { EntryId, Message, MessageId, ReadableEntry } from '../ports.ts';

/** Where a message is, or where an object begins, in its partition. */
export type Position = Omit<MessageId, 'partition'>;

/** What is in the way of a file: a stored object that holds these messages, whatever is between them, or the begin of one. */
export interface ResumePoint {
  readonly ids: ReadonlySet<string>;
  readonly last: MessageId | undefined;
  /** In order, and once: where objects begin that earlier runs have left. */
  readonly begins: readonly Position[];
}

/** As a key has it: 0 where the message is in no batch. */
export const keyPosition = ({ ledgerId, entryId, batchIndex }: Position): Position => ({
  ledgerId,
  entryId,
  batchIndex: Math.max(0, batchIndex),
});

/** The first of `positions`, which ascend, behind the message. There can be one for each object of an archive. */
export function firstBehind(positions: readonly Position[], id: Position): Position | undefined {
  const position = keyPosition(id);
  let [low, high] = [0, positions.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareMessageIds(positions[middle] as Position, position) > 0) high = middle;
    else low = middle + 1;
  }
  return positions[low];
}

/** How far the drain of a partition has come. */
export class DrainPosition {
  /** Exclusive and Failover: the broker delivers in order, so a position says everything before it. */
  readonly isInOrder: boolean;
  /** In order: the last message that went into a file. */
  #last: Position | undefined;
  /** Messages that an object of an earlier run holds; in order, until everything before their end is acknowledged. */
  readonly #storedIds = new Set<string>();
  /** In order: the last of them. */
  #storedThrough: Position | undefined;
  /** They are forgotten once what is in line is durable. */
  #isForgetting = false;
  /** In order, ascending: no file goes over one of these, because an object begins there, or may. */
  #borders: readonly Position[] = [];
  /** Without order: entries that are in a file and not acknowledged yet. */
  readonly #unacknowledged = new Set<string>();

  constructor(isInOrder: boolean) {
    this.isInOrder = isInOrder;
  }

  /**
   * The messages of the entry that no file of this run and no object found in the store holds. None: the entry has
   * only to be acknowledged, after the files that are under way.
   */
  notYetTaken({ id, messages }: ReadableEntry): readonly Message[] {
    if (!this.isInOrder && this.#unacknowledged.has(formatEntry(id))) return [];
    const last = this.#last;
    const first = messages[0];
    const rest =
      last === undefined || first === undefined || compareMessageIds(first.id, last) > 0
        ? messages
        : messages.filter((one) => compareMessageIds(one.id, last) > 0);
    if (this.#storedIds.size === 0) return rest;
    return rest.filter((one) => !this.#storedIds.has(formatMessageId(one.id)));
  }

  /** Whether no file of this run and no object found in the store holds anything of the entry. */
  isNew(id: EntryId): boolean {
    if (this.#storedIds.size > 0) return false;
    if (!this.isInOrder) return !this.#unacknowledged.has(formatEntry(id));
    return this.#last === undefined || compareEntries(id, this.#last) > 0;
  }

  /** Whether that is so for each of these entries, which are at least one, and they follow each other in the broker's order. */
  areNew(entries: readonly ReadableEntry[]): boolean {
    if (!this.isInOrder || !this.isNew((entries[0] as ReadableEntry).id)) return false;
    for (let at = 1; at < entries.length; at++) {
      const [before, entry] = [entries[at - 1] as ReadableEntry, entries[at] as ReadableEntry];
      if (compareEntries(before.id, entry.id) >= 0) return false;
    }
    return true;
  }

  /** Whether the entry came before, as a whole, in order. */
  hasPassed(id: EntryId): boolean {
    return this.#last !== undefined && isUpTo(id, this.#last);
  }

  /** The message, and all before it, are in files. */
  moveTo(id: Position): void {
    if (this.isInOrder) this.#last = id;
  }

  /** The entry is dealt with as a whole. */
  movePast(id: EntryId): void {
    this.moveTo({ ...id, batchIndex: Number.POSITIVE_INFINITY });
  }

  /** All messages of the entry are in files. */
  entryTaken(id: EntryId): void {
    if (!this.isInOrder) this.#unacknowledged.add(formatEntry(id));
  }

  /** All entries that are in files are acknowledged, or come again. */
  entriesSettled(): void {
    this.#unacknowledged.clear();
  }

  /** Begins again: what follows comes from behind `durable`, or from before it once more. */
  resumeAfter(durable: Position | undefined): void {
    if (this.isInOrder) this.#last = durable;
  }

  /** Takes no message of a found object, and lets no file go over its end: the next object may begin right behind it. */
  skip({ ids, last, begins }: ResumePoint): void {
    this.#isForgetting = false;
    for (const id of ids) this.#storedIds.add(id);
    if (!this.isInOrder) return;
    const borders = [...this.#borders, ...begins];
    if (last !== undefined) {
      const through = this.#storedThrough;
      if (through === undefined || compareMessageIds(last, through) > 0) this.#storedThrough = last;
      const { batchIndex, ...entry } = keyPosition(last);
      borders.push({ ...entry, batchIndex: batchIndex + 0.5 });
    }
    this.#borders = borders.sort(compareMessageIds);
  }

  get hasBorders(): boolean {
    return this.#borders.length > 0;
  }

  /** Where a file has to end that begins with the message; `undefined`: nowhere. */
  borderBehind(id: Position): Position | undefined {
    return firstBehind(this.#borders, id);
  }

  /** Whether these messages, which are at least one, cannot all go into one file. */
  hasBorderIn(messages: readonly Message[]): boolean {
    if (!this.hasBorders) return false;
    const [first, last] = [messages[0] as Message, messages[messages.length - 1] as Message];
    const border = this.borderBehind(first.id);
    return border !== undefined && compareMessageIds(border, keyPosition(last.id)) <= 0;
  }

  /**
   * Whether the entry comes before the end of a found object that is not forgotten. Acknowledged that far, the object's
   * first message would not come again, and could not find it.
   */
  isInsideStored(id: EntryId): boolean {
    const through = this.#storedThrough;
    return through !== undefined && compareEntries(id, through) < 0;
  }

  /**
   * Before a message is taken: forgets found objects that end before it, with the function that it returns. Call that
   * only once everything before the message is durable: until then all can come again. `undefined`: nothing to forget.
   */
  forgetStoredBefore(id: EntryId): (() => void) | undefined {
    const through = this.#storedThrough;
    // An entry is acknowledged as one: while some of it is to be taken, all of it can come again.
    if (through === undefined || this.#isForgetting || isUpTo(id, through)) return undefined;
    this.#isForgetting = true;
    return () => {
      this.#storedIds.clear();
      this.#storedThrough = undefined;
    };
  }

  /** What was in line was dropped, and with it what was to be forgotten. */
  keepStored(): void {
    this.#isForgetting = false;
  }
}
