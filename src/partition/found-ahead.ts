// Without order, a run meets the objects of earlier runs one by one, and after each one everything that is not acknowledged
// is delivered again. So after the first one it looks for small objects after it, more each time, and reads which messages
// they hold. It trusts an object no more than one that is met.
import { BackupError } from '../errors.ts';
import { isArchiveClass } from '../format/contents.ts';
import { parseObjectKey } from '../format/object-key.ts';
import { compareMessageIds, decodeRecord, formatMessageId, RECORD_FORMAT } from '../format/record.ts';
import { assertIntact, readLines } from '../format/stored-object.ts';
import { createSlots } from '../lib/semaphore.ts';
import type { MessageId, TimeMs } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import type { MessageMark } from './message-range.ts';
import type { ObjectFile } from './object-file.ts';
import { keyPosition, type MessageAhead } from './position.ts';

/** So many objects are read after the first one that is met, then four times as many each time. */
const FIRST_OBJECTS = 4;
const MAX_OBJECTS = 64;
const PARALLEL = 8;
/** Larger ones are read when they are met. */
const MAX_OBJECT_BYTES = 65_536;
/** Once so many messages of a partition are known, as many as a file has, each further object is met. */
const MAX_MESSAGES = 5_000;

/** The objects after those that a run meets in one partition. */
export class FoundAhead {
  readonly #run: Run;
  readonly #keysBehind: (file: ObjectFile) => Promise<readonly string[]>;
  readonly #seen = new Set<string>();
  #keys: readonly string[] | undefined;
  #count = FIRST_OBJECTS;
  #messages = 0;

  /** `keysBehind`: the keys of objects that begin after the file's first message, in order. */
  constructor(run: Run, keysBehind: (file: ObjectFile) => Promise<readonly string[]>) {
    this.#run = run;
    this.#keysBehind = keysBehind;
  }

  /** The messages of objects that begin after the file's first message. @throws BackupError `store` */
  async read(file: ObjectFile): Promise<ReadonlyMap<string, MessageAhead>> {
    const ahead = new Map<string, MessageAhead>();
    const count = this.#count;
    this.#count = Math.min(MAX_OBJECTS, 4 * count);
    this.#seen.add(file.key);
    this.#keys ??= await this.#list(file);
    const slots = createSlots(PARALLEL);
    await Promise.all(this.#next(file, count).map((key) => slots.run(() => this.#addMessages(key, ahead))));
    return ahead;
  }

  /** The next keys that nothing is known of. */
  #next(file: ObjectFile, count: number): readonly string[] {
    const first = keyPosition((file.first as MessageMark).id);
    const next: string[] = [];
    for (const key of this.#keys ?? []) {
      if (next.length === count) break;
      const parts = parseObjectKey(this.#run.prefix, key);
      if (parts === undefined || this.#seen.has(key) || compareMessageIds(parts, first) <= 0) continue;
      this.#seen.add(key);
      next.push(key);
    }
    return next;
  }

  /** A role that may not list works without it: each object is met. */
  async #list(file: ObjectFile): Promise<readonly string[]> {
    try {
      return await this.#keysBehind(file);
    } catch (error) {
      if (!(error instanceof BackupError) || error.retryable) throw error;
      return [];
    }
  }

  /** Adds none of an object that is large, or with which something is wrong: that fails the run when it is met. */
  async #addMessages(key: string, ahead: Map<string, MessageAhead>): Promise<void> {
    if (this.#messages >= MAX_MESSAGES) return;
    const { store, prefix, pace, isArchived } = this.#run;
    const call = { signal: pace.storing };
    const parts = parseObjectKey(prefix, key);
    const head = await store.head(key, call);
    if (parts === undefined || head === undefined || head.sizeBytes > MAX_OBJECT_BYTES) return;
    const mayBeRead = isArchived !== true && !isArchiveClass(head.storageClass);
    if (!mayBeRead || head.metadata['format'] !== RECORD_FORMAT) return;
    const messages: (readonly [id: MessageId, publishTimeMs: TimeMs])[] = [];
    try {
      await assertIntact(store, head, '', call);
      for await (const line of readLines(store, key, parts.compression, call)) {
        const { id, publishTimeMs } = decodeRecord(line);
        messages.push([id, publishTimeMs]);
      }
    } catch (error) {
      if (!(error instanceof BackupError) || error.retryable) throw error;
      return;
    }
    const [first, last] = [messages[0], messages.at(-1)];
    if (first === undefined || last === undefined || compareMessageIds(keyPosition(first[0]), parts) !== 0)
      return;
    const onFound = this.#reportOnce(key, messages.length, formatMessageId(last[0]));
    this.#messages += messages.length;
    for (const [id, publishTimeMs] of messages) ahead.set(formatMessageId(id), { publishTimeMs, onFound });
  }

  #reportOnce(key: string, messages: number, storedLastId: string): () => void {
    const { tally, logger } = this.#run;
    let isReported = false;
    return () => {
      if (isReported) return;
      isReported = true;
      tally.alreadyStored++;
      const counts = { messages, storedMessages: messages };
      logger.warn({ key, isSame: false, ...counts, storedLastId }, 'object already stored');
    };
  }
}
