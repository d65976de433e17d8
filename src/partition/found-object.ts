// Handles an object of an earlier run, or of another instance, at the key of a file: whether it is identical to the
// file, and if not, which of the file's messages it contains. Creates nothing, and verifies everything.
import { listObjectsUpTo } from '../chain/stored-through.ts';
import { BackupError } from '../errors.ts';
import { isArchiveClass, readContents } from '../format/contents.ts';
import { parseObjectKey } from '../format/object-key.ts';
import { compareMessageIds, formatMessageId } from '../format/record.ts';
import { assertBeginsWith, assertIntact, DAMAGED_HINT, readIds } from '../format/stored-object.ts';
import type { EntryId, ObjectHead, SourcePartition } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import { FoundAhead } from './found-ahead.ts';
import type { MessageMark, PublishSpan } from './message-range.ts';
import type { ObjectFile } from './object-file.ts';
import { firstBehind, keyPosition, type Position, type ResumePoint } from './position.ts';

/** The object at a file's key. */
export type FoundObject =
  /** Identical to the file, so the file's messages are durable. */
  | { readonly kind: 'same'; readonly sizeBytes: number }
  /** It may contain other messages than the file. */
  | { readonly kind: 'other'; readonly resumePoint: ResumePoint };

const ANYWHERE: EntryId = { ledgerId: Number.POSITIVE_INFINITY, entryId: Number.POSITIVE_INFINITY };

/** The objects of earlier runs in one partition, as files of this run meet them. */
export class FoundObjects {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #isInOrder: boolean;
  /** Where earlier runs' objects begin: listed before the first file if it may matter, and once one was found. */
  #begins: readonly Position[] | undefined;
  #areBeginsReported = false;
  /** Without order. */
  readonly #ahead: FoundAhead;
  #isFirstFile = true;

  constructor(run: Run, partition: SourcePartition, isInOrder: boolean) {
    this.#run = run;
    this.#partition = partition;
    this.#isInOrder = isInOrder;
    this.#ahead = new FoundAhead(run, (file) => this.#keysBehind(file));
  }

  /**
   * Where to resume if another object begins inside the file, which would then duplicate messages of it. Call it for
   * each file, before it is created. @throws BackupError `store`
   */
  async resumePointIn(file: ObjectFile): Promise<ResumePoint | undefined> {
    if (this.#isFirstFile) await this.#findBegins(file);
    this.#isFirstFile = false;
    const { first, last } = file;
    if (this.#begins === undefined || first === undefined || last === undefined) return undefined;
    const begin = firstBehind(this.#begins, first.id);
    if (begin === undefined || compareMessageIds(begin, keyPosition(last.id)) > 0) return undefined;
    return { ids: new Set(), last: undefined, begins: this.#reportBegins() };
  }

  /**
   * Compares the file with the object at its key. Equal last messages do not prove that the object has all messages
   * before. @throws BackupError `config` if it is a foreign object, `corrupt` if it is damaged
   */
  async compare(file: ObjectFile): Promise<FoundObject> {
    const { store, compression, tally, logger, pace } = this.#run;
    const call = { signal: pace.storing };
    const { key, messages } = file;
    const first = file.first as MessageMark;
    const head = await store.head(key, call);
    if (head === undefined) {
      throw new BackupError('store', `${key} was reported to exist, but cannot be found`, {
        retryable: true,
        hint: 'Somebody removes objects while the rule runs; the next run tries again.',
      });
    }
    assertBeginsWith(head, first);
    const isArchived = this.#run.isArchived === true || isArchiveClass(head.storageClass);
    // Its name has the checksum that COS has of the object, so the object is intact.
    const contents = isArchived ? await readContents(store, head, call) : undefined;
    if (contents === undefined) await assertIntact(store, head, file.crc64, call);
    tally.alreadyStored++;
    if (this.#isInOrder) this.#begins ??= await this.#beginsBehind(file);
    if (isSameContent(head, file)) {
      logger.warn({ key, messages, isSame: true }, 'object already stored');
      return { kind: 'same', sizeBytes: head.sizeBytes };
    }
    const { ids, last } = contents ?? (await readIds(store, key, compression, call));
    if (last === undefined || !ids.has(formatMessageId(first.id))) {
      throw new BackupError(
        'corrupt',
        `${key} does not hold the message that its metadata says it begins with`,
        {
          hint: DAMAGED_HINT,
          details: { key },
        },
      );
    }
    logger.warn(
      { key, messages, isSame: false, storedMessages: ids.size, storedLastId: formatMessageId(last) },
      'object already stored',
    );
    if (this.#isInOrder) return { kind: 'other', resumePoint: { ids, last, begins: this.#reportBegins() } };
    return { kind: 'other', resumePoint: { ids, last, begins: [], ahead: await this.#ahead.read(file) } };
  }

  /**
   * A killed run may have begun an object after messages that a transaction held back and that arrive now: then the
   * key of their file has no object, and the file would extend over that one.
   */
  async #findBegins(file: ObjectFile): Promise<void> {
    if (!this.#isInOrder || !(await this.#partition.hasTransactions())) return;
    try {
      this.#begins = await this.#beginsBehind(file);
    } catch (error) {
      // A role that may not list works without it; the run logs one warning (followRuns).
      if (!(error instanceof BackupError) || error.retryable) throw error;
    }
  }

  /** Once: who resumes keeps them. */
  #reportBegins(): readonly Position[] {
    if (this.#areBeginsReported || this.#begins === undefined) return [];
    this.#areBeginsReported = true;
    return this.#begins;
  }

  /** Where objects of earlier runs begin after the file's first message. */
  async #beginsBehind(file: ObjectFile): Promise<readonly Position[]> {
    const keys = await this.#keysBehind(file);
    return keys.flatMap((key) => parseObjectKey(this.#run.prefix, key) ?? []);
  }

  async #keysBehind(file: ObjectFile): Promise<readonly string[]> {
    const { store, prefix, topic, clock, pace } = this.#run;
    const { partition, end } = this.#partition;
    const { first, earliestMs, latestMs } = file as PublishSpan;
    const untilMs = Math.max(clock.now(), Number(latestMs));
    const location = { store, prefix, topic, partition, fromMs: Number(earliestMs), untilMs };
    // The next object may begin in the same entry.
    const before = { ledgerId: first.id.ledgerId, entryId: first.id.entryId - 1 };
    const upTo = end === null || end === 'unknown' ? ANYWHERE : end;
    const keys = await listObjectsUpTo(location, before, upTo, { signal: pace.storing });
    return keys.filter((key) => key !== file.key);
  }
}

/** Whether the object is byte for byte the file. */
function isSameContent({ crc64, metadata }: ObjectHead, file: ObjectFile): boolean {
  // Objects uploaded in parts do not have these.
  const { messages = String(file.messages) } = metadata;
  const lastId = formatMessageId((file.last as MessageMark).id);
  return (
    crc64 === file.crc64 && messages === String(file.messages) && (metadata['last-id'] ?? lastId) === lastId
  );
}
