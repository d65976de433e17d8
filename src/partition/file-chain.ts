// The queue of sealed files of one partition: creates each only when the previous one is durable, and then
// acknowledges its entries. The second half of the ordering argument at the head of drain.ts.
import { BackupError, gravest } from '../errors.ts';
import { formatMessageId } from '../format/record.ts';
import type { ManifestObject } from '../format/run-manifest.ts';
import { retryThroughOutage } from '../lib/outage.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import { isOfClock } from '../paced-store.ts';
import type { EntryId, SourcePartition } from '../ports.ts';
import type { Run } from '../run/run-context.ts';
import { FoundObjects } from './found-object.ts';
import { describeSpan, type MessageMark, type PublishSpan } from './message-range.ts';
import type { ObjectFile } from './object-file.ts';
import type { Position, ResumePoint } from './position.ts';

/** One for each partition. */
export class FileChain {
  readonly #run: Run;
  readonly #partition: SourcePartition;
  readonly #found: FoundObjects;
  /** Settles when every queued file has been created, found, or dropped. Never rejects. */
  #files: Promise<void> = Promise.resolve();
  /** Settles when every requested acknowledgement has an answer. Never rejects. */
  #acknowledgements: Promise<void> = Promise.resolve();
  #unsettled = 0;
  #filesInLine = 0;
  /** A file could not be created, or there is no time left: the files queued after it are dropped. */
  #isHalted = false;
  #failure: unknown;
  #resumePoint: ResumePoint | undefined;

  constructor(run: Run, partition: SourcePartition, isInOrder: boolean) {
    this.#run = run;
    this.#partition = partition;
    this.#found = new FoundObjects(run, partition, isInOrder);
  }

  /** The last message known to be durable; only with an order. */
  durable: Position | undefined;

  /** What stopped the chain for good. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Set when a found object has other messages than our file: the partition has to resume after it. */
  get resumePoint(): ResumePoint | undefined {
    return this.#resumePoint;
  }

  /** Queued files that are not stored yet. */
  get files(): number {
    return this.#filesInLine;
  }

  /** Whether a file or an acknowledgement is still under way. */
  get isBusy(): boolean {
    return this.#unsettled > 0;
  }

  /** Whether entries read now would be dropped: after a failure, or because they will be redelivered. */
  get isInterrupted(): boolean {
    return this.#failure !== undefined || this.#resumePoint !== undefined;
  }

  /** Puts a sealed file at the end of the queue. */
  push(file: ObjectFile): void {
    this.#filesInLine++;
    this.#inLine(() =>
      (this.#isHalted ? file.discard() : this.#store(file)).finally(() => this.#filesInLine--),
    );
  }

  /** Acknowledges entries with nothing to store, after everything queued before them is durable. */
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

  /** Drops every queued file that is not being created at this moment. */
  halt(): void {
    this.#isHalted = true;
  }

  /** Stops the chain permanently. Of several failures the gravest counts, of equal ones the first. */
  fail(error: unknown): void {
    this.#failure = this.#failure === undefined ? error : gravest([this.#failure, error]);
    this.#isHalted = true;
    // If the store refuses one partition, it refuses all; other failures concern only their partition.
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
      const resumePoint = await this.#found.resumePointIn(file);
      if (resumePoint !== undefined) return await this.#dropFor(resumePoint, file);
      const schemas = await Promise.all([...file.schemas].map((needed) => needed()));
      const names = [...new Set(schemas.filter((name) => name !== undefined))].sort();
      const answer = await file.create();
      if (answer.kind === 'created') this.#countStored(file, names, answer.sizeBytes, answer.crc64);
      else {
        const found = await this.#found.compare(file);
        if (found.kind === 'other') return await this.#dropFor(found.resumePoint, file);
        this.#run.tally.stored.push(this.#manifestObject(file, names, found.sizeBytes, file.crc64, true));
        await file.discard();
      }
      this.durable = (file.last as MessageMark).id;
      this.#acknowledge(file.entries);
    } catch (error) {
      this.#isHalted = true;
      const { pace, tally, stopAll } = this.#run;
      const isCut = isOfClock(error, pace.storing);
      if (isCut || pace.storing.aborted) tally.cutByDeadline++;
      // Files that cannot be stored in time need not be read either.
      if (isCut) stopAll();
      else this.fail(error);
      await file.discard();
    }
  }

  /** Drops the file and those after it: the partition has to resume after the last durable message. */
  async #dropFor(resumePoint: ResumePoint, file: ObjectFile): Promise<void> {
    this.#isHalted = true;
    this.#resumePoint = resumePoint;
    await file.discard();
  }

  #countStored(file: ObjectFile, schemas: readonly string[], sizeBytes: number, crc: string): void {
    const { tally, logger, clock } = this.#run;
    tally.objects++;
    tally.messages += file.messages;
    tally.recordBytes += file.bytes;
    tally.stored.push(this.#manifestObject(file, schemas, sizeBytes, crc, false));
    const { key, messages, rollReason } = file;
    const durationMs = clock.now() - file.openedAtMs;
    logger.info({ key, messages, bytes: sizeBytes, rollReason, durationMs }, 'object stored');
  }

  #manifestObject(
    file: ObjectFile,
    schemas: readonly string[],
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
      ...(schemas.length === 0 ? {} : { schemas }),
      alreadyStored,
    };
  }

  /** The last retried failure is more informative than "out of time". */
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

  /** Requests the acknowledgement after the earlier ones. The next file need not wait for the answer. */
  #acknowledge(entries: readonly EntryId[]): void {
    if (entries.length === 0) return;
    this.#unsettled++;
    this.#acknowledgements = this.#acknowledgements
      .then(() => this.#acknowledgeInTime(entries))
      .catch((error) => this.fail(error))
      .finally(() => this.#unsettled--);
  }

  async #acknowledgeInTime(entries: readonly EntryId[]): Promise<void> {
    const { clock, storingEnd, tally, pace } = this.#run;
    const askedAtMs = clock.now();
    let hasFailed = false;
    const acknowledge = () => this.#partition.acknowledge(entries);
    const onRetry = (error: BackupError) => {
      tally.lastRetried = error;
      hasFailed = true;
    };
    try {
      await retryThroughOutage(
        () => untilAborted(pace.measureAcknowledgement(acknowledge), storingEnd, () => this.#unconfirmed()),
        { clock, signal: storingEnd, onRetry },
      );
    } catch (error) {
      const isOver = storingEnd.aborted && error instanceof BackupError && error.retryable;
      if (hasFailed || !isOver || !pace.isCutShort(askedAtMs)) throw error;
      // Only the time was over. The next run finds the stored objects.
      tally.cutByDeadline++;
      this.#isHalted = true;
    }
  }
}
