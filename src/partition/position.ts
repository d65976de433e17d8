// The position of a drain in one partition: which messages it has read, which it skips because an object contains
// them, and where files have to end. It reads no entry and writes no file.
import { compareEntries, formatEntry, isUpTo } from '../format/entry-order.ts';
import { compareMessageIds, formatMessageId } from '../format/record.ts';
import type { EntryId, Message, MessageId, ReadableEntry, TimeMs } from '../ports.ts';

/** The place of a message, or of an object's beginning, in its partition. */
export type Position = Omit<MessageId, 'partition'>;

/**
 * What limits a file: a stored object with these messages (there may be others between them), or the beginning of
 * one.
 */
export interface ResumePoint {
  readonly ids: ReadonlySet<string>;
  readonly last: MessageId | undefined;
  /** In order, without duplicates: where objects of earlier runs begin. */
  readonly begins: readonly Position[];
  /** Without order: messages of objects that no file has met yet, by id. */
  readonly ahead?: ReadonlyMap<string, MessageAhead>;
}

/** A message in an object; it is this one only if it was published then. */
export interface MessageAhead {
  readonly publishTimeMs: TimeMs;
  /** Called when it arrives. */
  readonly onFound: () => void;
}

/** As in a key: 0 for an unbatched message. */
export const keyPosition = ({ ledgerId, entryId, batchIndex }: Position): Position => ({
  ledgerId,
  entryId,
  batchIndex: Math.max(0, batchIndex),
});

/** The first of the ascending `positions` after the message. There can be one for each object of an archive. */
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
  /** Exclusive and Failover: the broker delivers in order, so a position covers everything before it. */
  readonly isInOrder: boolean;
  /** With an order: the last message in a file. */
  #last: Position | undefined;
  /** Messages in an object of an earlier run; with an order, until everything before their end is acknowledged. */
  readonly #storedIds = new Set<string>();
  readonly #ahead = new Map<string, MessageAhead>();
  /** With an order: the last of them. */
  #storedThrough: Position | undefined;
  /** They are forgotten once the queued files are durable. */
  #isForgetting = false;
  /** With an order, ascending: files end before these places, because an object begins or may begin there. */
  #borders: readonly Position[] = [];
  /** Without order: entries in a file that are not acknowledged yet. */
  readonly #unacknowledged = new Set<string>();

  constructor(isInOrder: boolean) {
    this.isInOrder = isInOrder;
  }

  /**
   * The messages of the entry that are in no file of this run and in no found object. If there are none, the entry
   * only has to be acknowledged, after the files in progress.
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
    return rest.filter((one) => !this.#isStored(one));
  }

  #isStored({ id, publishTimeMs }: Message): boolean {
    const name = formatMessageId(id);
    if (this.#storedIds.has(name)) return true;
    const ahead = this.#ahead.get(name);
    if (ahead === undefined || ahead.publishTimeMs !== publishTimeMs) return false;
    ahead.onFound();
    return true;
  }

  /** Whether nothing of the entry is in a file of this run or in a found object. */
  isNew(id: EntryId): boolean {
    if (this.#storedIds.size > 0) return false;
    if (!this.isInOrder) return !this.#unacknowledged.has(formatEntry(id));
    return this.#last === undefined || compareEntries(id, this.#last) > 0;
  }

  /** Whether that is so for each of these entries (at least one), and they are in the broker's order. */
  areNew(entries: readonly ReadableEntry[]): boolean {
    if (!this.isInOrder || !this.isNew((entries[0] as ReadableEntry).id)) return false;
    for (let at = 1; at < entries.length; at++) {
      const [before, entry] = [entries[at - 1] as ReadableEntry, entries[at] as ReadableEntry];
      if (compareEntries(before.id, entry.id) >= 0) return false;
    }
    return true;
  }

  /** Whether the whole entry was read before; with an order. */
  hasPassed(id: EntryId): boolean {
    return this.#last !== undefined && isUpTo(id, this.#last);
  }

  /** The message, and all before it, are in files. */
  moveTo(id: Position): void {
    if (this.isInOrder) this.#last = id;
  }

  /** The whole entry is handled. */
  movePast(id: EntryId): void {
    this.moveTo({ ...id, batchIndex: Number.POSITIVE_INFINITY });
  }

  /** All messages of the entry are in files. */
  entryTaken(id: EntryId): void {
    if (!this.isInOrder) this.#unacknowledged.add(formatEntry(id));
  }

  /** All entries in files are acknowledged, or will be redelivered. */
  entriesSettled(): void {
    this.#unacknowledged.clear();
  }

  /** Restarts: the next entries come from after `durable`, or again from before it. */
  resumeAfter(durable: Position | undefined): void {
    if (this.isInOrder) this.#last = durable;
  }

  /** Skips the messages of a found object, and ends files at its end: the next object may begin right after it. */
  skip({ ids, last, begins, ahead = new Map() }: ResumePoint): void {
    this.#isForgetting = false;
    for (const id of ids) this.#storedIds.add(id);
    for (const [id, message] of ahead) this.#ahead.set(id, message);
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

  /** Where a file that begins with the message has to end; `undefined` if nowhere. */
  borderBehind(id: Position): Position | undefined {
    return firstBehind(this.#borders, id);
  }

  /** Whether these messages (at least one) do not fit into one file. */
  hasBorderIn(messages: readonly Message[]): boolean {
    if (!this.hasBorders) return false;
    const [first, last] = [messages[0] as Message, messages[messages.length - 1] as Message];
    const border = this.borderBehind(first.id);
    return border !== undefined && compareMessageIds(border, keyPosition(last.id)) <= 0;
  }

  /**
   * Whether the entry is before the end of a found object that is still remembered. If everything up to the entry
   * were acknowledged, the object's first message would not be redelivered and could not lead to it.
   */
  isInsideStored(id: EntryId): boolean {
    const through = this.#storedThrough;
    return through !== undefined && compareEntries(id, through) < 0;
  }

  /**
   * Before a message is read: returns a function that forgets found objects that end before it; `undefined` if there
   * is none. Call the function only once everything before the message is durable: until then it can be redelivered.
   */
  forgetStoredBefore(id: EntryId): (() => void) | undefined {
    const through = this.#storedThrough;
    // An entry is acknowledged as a whole: until all of it is read, all of it can be redelivered.
    if (through === undefined || this.#isForgetting || isUpTo(id, through)) return undefined;
    this.#isForgetting = true;
    return () => {
      this.#storedIds.clear();
      this.#storedThrough = undefined;
    };
  }

  /** The queue was dropped, so nothing is forgotten. */
  keepStored(): void {
    this.#isForgetting = false;
  }
}
