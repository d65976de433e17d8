// The sealed files of one partition, in line: each is created only when the one before it is durable, and then its
// entries are acknowledged. The second half of the ordering argument at the head of drain.ts.
import { listObjectsUpTo } from './chain/stored-through.ts';
import { BackupError, gravest } from './errors.ts';
import { parseObjectKey } from './format/object-key.ts';
import { compareMessageIds, formatMessageId } from './format/record.ts';
import type { ManifestObject } from './format/run-manifest.ts';
import { assertBeginsWith, assertIntact, DAMAGED_HINT, readIds } from './format/stored-object.ts';
import { untilAborted } from './lib/until-aborted.ts';
import { describeSpan, type MessageMark, type ObjectFile, type PublishSpan } from './object-file.ts';
import { retryThroughOutage } from './outage.ts';
import { isOfClock } from './paced-store.ts';
import type { EntryId, MessageId, ObjectHead, SourcePartition } from './ports.ts';
import type { Run } from './run.ts';

/** Where a message or an object begins in its partition. */
export type Position = Omit<MessageId, 'partition'>;

/** What is in the way of a file: a stored object that holds these messages, whatever lies between them, or the begin of one. */
export interface ResumePoint {
  readonly ids: ReadonlySet<string>;
  readonly last: MessageId | undefined;
  /** In order, and once: where objects begin that earlier runs have left. */
  readonly begins: readonly Position[];
}

/** As a key has it: 0 where the message stands in no batch. */
export const positionOf = ({ ledgerId, entryId, batchIndex }: Position): Position => ({
  ledgerId,
  entryId,
  batchIndex: Math.max(0, batchIndex),
});

/** The first of `places`, which ascend, that lies behind the message. There can be one for each object of an archive. */
export function firstBehind(places: readonly Position[], id: Position): Position | undefined {
  const place = positionOf(id);
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareMessageIds(places[middle] as Position, place) > 0) high = middle;
    else low = middle + 1;
  }
  return places[low];
}

const ANYWHERE: EntryId = { ledgerId: Number.POSITIVE_INFINITY, entryId: Number.POSITIVE_INFINITY };

export class FileChain {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #isInOrder: boolean;
  /** Settles when every file in line has been created, found, or dropped. Never rejects. */
  #files: Promise<void> = Promise.resolve();
  /** Settles when every acknowledgement asked for has been answered. Never rejects. */
  #acknowledgements: Promise<void> = Promise.resolve();
  #unsettled = 0;
  #filesInLine = 0;
  /** A file could not be created, or none may be any more: what stands in line behind it is dropped. */
  #isHalted = false;
  #failure: unknown;
  #resumePoint: ResumePoint | undefined;
  /** Where earlier runs' objects begin: asked for once one was found. */
  #begins: readonly Position[] | undefined;
  #areBeginsKnown = false;

  constructor(run: Run, partition: SourcePartition, isInOrder: boolean) {
    this.#run = run;
    this.#partition = partition;
    this.#isInOrder = isInOrder;
  }

  /** The last message known to be durable; kept only where there is an order. */
  durable: Position | undefined;

  /** What stopped the chain for good. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Set when an object was found that holds other messages than our file: the partition is to be taken afresh. */
  get resumePoint(): ResumePoint | undefined {
    return this.#resumePoint;
  }

  /** Files in line that are not stored yet. */
  get files(): number {
    return this.#filesInLine;
  }

  /** Whether a file or an acknowledgement is still under way. */
  get isBusy(): boolean {
    return this.#unsettled > 0;
  }

  /** Whether what is read now would be dropped: because of a failure, or to be taken again. */
  get isInterrupted(): boolean {
    return this.#failure !== undefined || this.#resumePoint !== undefined;
  }

  /** Puts a sealed file at the end of the line. */
  push(file: ObjectFile): void {
    this.#filesInLine++;
    this.#inLine(() =>
      (this.#isHalted ? file.discard() : this.#store(file)).finally(() => this.#filesInLine--),
    );
  }

  /** Acknowledges entries that hold nothing to store, after everything that is in line before them is durable. */
  pushAcknowledgement(entries: readonly EntryId[], onAsked?: () => void): void {
    this.#inLine(() => {
      if (this.#isHalted) return;
      this.#acknowledge(entries);
      onAsked?.();
    });
  }

  /** Resolves when all files are stored or dropped, and all acknowledgements answered. */
  async settle(): Promise<void> {
    await this.#files;
    await this.#acknowledgements;
  }

  /** Drops everything that is in line and not being created this moment. */
  halt(): void {
    this.#isHalted = true;
  }

  /** Stops the chain for good. Of several failures the gravest counts, of equal ones the first. */
  fail(error: unknown): void {
    this.#failure = this.#failure === undefined ? error : gravest([this.#failure, error]);
    this.#isHalted = true;
    // A store that refuses one partition refuses all; a partition's own trouble is its own.
    if (error instanceof BackupError && error.code === 'store') this.#run.stopAll();
  }

  /** Begins again. Call it settled. */
  resume(): void {
    this.#resumePoint = undefined;
    this.#isHalted = false;
  }

  #inLine(step: () => void | Promise<void>): void {
    this.#unsettled++;
    this.#files = this.#files
      .then(step)
      .catch((error) => this.fail(error))
      .finally(() => this.#unsettled--);
  }

  /** Stored, then acknowledged. */
  async #store(file: ObjectFile): Promise<void> {
    try {
      if (this.#goesOverBegin(file)) {
        this.#isHalted = true;
        this.#resumePoint = { ids: new Set(), last: undefined, begins: this.#reportBegins() };
        await file.discard();
        return;
      }
      const answer = await file.create();
      if (answer.kind === 'created') this.#countStored(file, answer.sizeBytes, answer.crc64);
      else {
        const isSame = await this.#isSameAsStored(file);
        await file.discard();
        if (!isSame) {
          this.#isHalted = true;
          return;
        }
      }
      this.durable = (file.last as MessageMark).id;
      this.#acknowledge(file.entries);
    } catch (error) {
      this.#isHalted = true;
      const { pace, tally, stopAll } = this.#run;
      const isCut = isOfClock(error, pace.storing);
      if (isCut || pace.storing.aborted) tally.cutByDeadline++;
      // What cannot be stored in time need not be read either.
      if (isCut) stopAll();
      else this.fail(error);
      await file.discard();
    }
  }

  #countStored(file: ObjectFile, sizeBytes: number, crc: string): void {
    const { tally, logger, clock } = this.#run;
    tally.objects++;
    tally.messages += file.messages;
    tally.recordBytes += file.bytes;
    tally.stored.push(this.#manifestObject(file, sizeBytes, crc, false));
    const { key, messages, rollReason } = file;
    const durationMs = clock.now() - file.openedAtMs;
    logger.info({ key, messages, bytes: sizeBytes, rollReason, durationMs }, 'object stored');
  }

  /**
   * An object stands at the file's key. True: it is what the file is, so the file's messages are durable. False: it
   * may hold others, and `resumePoint` says which. That it ends where the file ends does not say that it holds all before.
   * @throws BackupError `config` where it is a foreign object, `corrupt` where it is damaged
   */
  async #isSameAsStored(file: ObjectFile): Promise<boolean> {
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
    await assertIntact(store, head, file.crc64, call);
    tally.alreadyStored++;
    if (this.#isInOrder) this.#begins ??= await this.#beginsBehind(file);
    if (this.#isInOrder && isSameContent(head, file)) {
      logger.warn({ key, messages, isSame: true }, 'object already stored');
      tally.stored.push(this.#manifestObject(file, head.sizeBytes, head.crc64, true));
      return true;
    }
    const { ids, last } = await readIds(store, key, compression, call);
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
    this.#resumePoint = { ids, last, begins: this.#reportBegins() };
    return false;
  }

  /** Whether another object begins inside of the file: then the file would hold messages of it. */
  #goesOverBegin({ first, last }: ObjectFile): boolean {
    if (this.#begins === undefined || first === undefined || last === undefined) return false;
    const begin = firstBehind(this.#begins, first.id);
    return begin !== undefined && compareMessageIds(begin, positionOf(last.id)) <= 0;
  }

  #reportBegins(): readonly Position[] {
    if (this.#areBeginsKnown || this.#begins === undefined) return [];
    this.#areBeginsKnown = true;
    return this.#begins;
  }

  /** Where objects begin that runs before this one have left behind the file's first message. */
  async #beginsBehind(file: ObjectFile): Promise<readonly Position[]> {
    const { store, prefix, topic, clock, pace } = this.#run;
    const { partition, end } = this.#partition;
    const { first, earliestMs, latestMs } = file as PublishSpan;
    const untilMs = Math.max(clock.now(), Number(latestMs));
    const place = { store, prefix, topic, partition, fromMs: Number(earliestMs), untilMs };
    // The next object may begin in the same entry.
    const before = { ledgerId: first.id.ledgerId, entryId: first.id.entryId - 1 };
    const upTo = end === null || end === 'unknown' ? ANYWHERE : end;
    const keys = await listObjectsUpTo(place, before, upTo, { signal: pace.storing });
    return keys.flatMap((key) => (key === file.key ? [] : (parseObjectKey(prefix, key) ?? [])));
  }

  #manifestObject(
    file: ObjectFile,
    size: number,
    crc: string | undefined,
    alreadyStored: boolean,
  ): ManifestObject {
    const first = file.first as MessageMark;
    const last = file.last as MessageMark;
    return {
      key: file.key,
      partition: this.#partition.partition,
      messages: file.messages,
      recordBytes: file.bytes,
      size,
      firstId: formatMessageId(first.id),
      lastId: formatMessageId(last.id),
      ...describeSpan(file as PublishSpan),
      ...(crc === undefined ? {} : { crc64: crc }),
      sha256: file.sha256,
      alreadyStored,
    };
  }

  /** The broker's own failure, if it has told one, says more than that the time is over. */
  #unconfirmed(): BackupError {
    const { lastRetried } = this.#run.tally;
    const { topic } = this.#partition;
    return new BackupError('source', `the broker did not confirm an acknowledgement in ${topic} in time`, {
      retryable: true,
      hint: 'What was stored is safe: the next run finds it and acknowledges it. Look at the broker if it happens often.',
      ...(lastRetried === undefined ? {} : { cause: lastRetried }),
      details: { topic },
    });
  }

  /** Asks for the acknowledgement behind those asked before. The next file need not wait for the answer. */
  #acknowledge(entries: readonly EntryId[]): void {
    if (entries.length === 0) return;
    this.#unsettled++;
    this.#acknowledgements = this.#acknowledgements
      .then(() => this.#acknowledgeInTime(entries))
      .catch((error) => this.fail(error))
      .finally(() => this.#unsettled--);
  }

  async #acknowledgeInTime(entries: readonly EntryId[]): Promise<void> {
    const { clock, hardEnd, tally, pace } = this.#run;
    const askedAtMs = clock.now();
    let hasFailed = false;
    const acknowledge = () => this.#partition.acknowledge(entries);
    const onRetry = (error: BackupError) => {
      tally.lastRetried = error;
      hasFailed = true;
    };
    try {
      await retryThroughOutage(
        () => untilAborted(pace.measureAcknowledgement(acknowledge), hardEnd, () => this.#unconfirmed()),
        { clock, signal: hardEnd, onRetry },
      );
    } catch (error) {
      const isOver = hardEnd.aborted && error instanceof BackupError && error.retryable;
      if (hasFailed || !isOver || !pace.isCutShort(askedAtMs)) throw error;
      // Only the clock is to blame. The next run finds what was stored.
      tally.cutByDeadline++;
      this.#isHalted = true;
    }
  }
}

/** Whether the object is byte for byte the file. */
function isSameContent({ crc64, metadata }: ObjectHead, file: ObjectFile): boolean {
  // An object that was uploaded in parts does not tell these.
  const { messages = String(file.messages) } = metadata;
  const lastId = formatMessageId((file.last as MessageMark).id);
  return (
    crc64 === file.crc64 && messages === String(file.messages) && (metadata['last-id'] ?? lastId) === lastId
  );
}
