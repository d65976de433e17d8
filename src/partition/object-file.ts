// One file: it receives records, uploads full parts while it is open, and becomes visible only by `create`. It knows
// nothing of limits, acknowledgements or other files.
import { createHash, type Hash } from 'node:crypto';
import type { RollReason, Size } from '../batch.ts';
import { type Compressor, createCompressor } from '../format/compression.ts';
import { storeContents } from '../format/contents.ts';
import { EndMarker, MARK_BYTES } from '../format/end-mark.ts';
import type { Compression } from '../format/object-key.ts';
import { formatMessageId, formatTime, RECORD_FORMAT } from '../format/record.ts';
import type { Records } from '../format/record-encoder.ts';
import { type BlockBody, ChunkList } from '../lib/chunk-list.ts';
import { Crc64, combineCrc64, crc64 } from '../lib/crc64.ts';
import type { Slots } from '../lib/semaphore.ts';
import type { MemoryBudget, Spillable } from '../memory-budget.ts';
import type { CallOptions, EntryId, Exists, ObjectStore, TimeMs, Upload } from '../ports.ts';
import type { NeededSchema } from '../run/schema-keeper.ts';
import type { MessageMark, MessageRange } from './message-range.ts';

/** A buffer of this size is uploaded as a part; a whole file below it is one PUT. */
export const PART_BYTES = 8 * 1_048_576;

/**
 * The age at which a file with uploaded parts is closed. Each run aborts unfinished uploads older than 15 minutes at
 * its end (after-drain.ts): the difference is the time to complete a file.
 */
export const MAX_UPLOAD_AGE_MS = 600_000;

/** The records of one entry wait for the store if they are larger than a part and so many parts are in flight. */
const PARTS_AHEAD = 2;

/** The time to abort an upload; a later run cleans up otherwise. */
const ABORT_TIMEOUT_MS = 2_000;

export interface ObjectFileOptions {
  readonly key: string;
  readonly rule: string;
  readonly compression: Compression;
  readonly store: ObjectStore;
  readonly budget: MemoryBudget;
  /** Limits the store calls in flight in the whole run. */
  readonly slots: Slots;
  /** The run's hard end. */
  readonly signal: AbortSignal;
  /** The size of a part: `PART_BYTES` by default, 1 MiB at least. */
  readonly partBytes?: number | undefined;
}

/** The facts about a durable file. */
export interface StoredFile {
  readonly kind: 'created';
  readonly sizeBytes: number;
  readonly crc64: string;
}

export class ObjectFile implements Size, Spillable {
  readonly key: string;
  /** Entries that end in this file or before it: to be acknowledged when it is durable. */
  readonly entries: EntryId[] = [];
  /** The schemas of its messages, which have to be durable before it. */
  readonly schemas = new Set<NeededSchema>();
  readonly openedAtMs: number;
  messages = 0;
  /** Of uncompressed records, with the marks of their end. */
  bytes = MARK_BYTES;
  rollReason: RollReason = 'end';
  first: MessageMark | undefined;
  last: MessageMark | undefined;
  earliestMs: TimeMs | undefined;
  latestMs: TimeMs | undefined;

  readonly #options: ObjectFileOptions;
  readonly #partBytes: number;
  readonly #pending = new ChunkList((bytes) => {
    this.#pendingCrc64.update(bytes);
    this.#hash.update(bytes);
  });
  readonly #marker = new EndMarker();
  readonly #idRuns: string[] = [];
  readonly #compressor: Compressor | undefined;
  #crc64 = crc64([]);
  /** Of the bytes not yet uploaded. */
  #pendingCrc64 = new Crc64();
  readonly #hash: Hash = createHash('sha256');
  #sha256: string | undefined;
  readonly #call: CallOptions;
  #storedBytes = 0;
  #upload: Promise<Upload | Exists> | undefined;
  readonly #parts: Promise<void>[] = [];
  #failure: unknown;
  #hasConflict = false;
  #isSealed = false;
  #isDiscarded = false;

  constructor(options: ObjectFileOptions, openedAtMs: number) {
    this.#options = options;
    this.#partBytes = options.partBytes ?? PART_BYTES;
    this.key = options.key;
    this.openedAtMs = openedAtMs;
    this.#call = { signal: options.signal };
    this.#compressor = createCompressor(options.compression, (bytes) => this.#store(bytes));
    options.budget.register(this);
  }

  /** CRC-64/XZ, decimal, of the bytes uploaded so far; after `create`, of the whole stored file. */
  get crc64(): string {
    return this.#crc64;
  }

  /** SHA-256, hex, of the whole stored file. Call it after `create`. */
  get sha256(): string {
    this.#sha256 ??= this.#hash.digest('hex');
    return this.#sha256;
  }

  /** Whether this file certainly cannot be created: call `create` at once, to get the reason. */
  get hasConflict(): boolean {
    return this.#hasConflict;
  }

  /** Whether parts of it are uploaded, so that another run could mistake it for an abandoned upload. */
  get isUploading(): boolean {
    return this.#upload !== undefined;
  }

  /**
   * Adds the records of these messages: at once, or asynchronously if they are compressed or large. `create` throws
   * its failures.
   */
  append(records: Records, range: MessageRange): Promise<void> | undefined {
    this.first ??= range.first;
    this.last = range.last;
    if (this.earliestMs === undefined || range.earliestMs < this.earliestMs)
      this.earliestMs = range.earliestMs;
    if (this.latestMs === undefined || range.latestMs > this.latestMs) this.latestMs = range.latestMs;
    this.messages += range.messages;
    for (const run of range.idRuns ?? []) this.#idRuns.push(run);
    this.bytes += records.sizeBytes;
    const isLarge = records.sizeBytes > this.#partBytes || !Array.isArray(records.chunks);
    return isLarge ? this.#writeLarge(records) : this.#write(records.chunks);
  }

  /** Waits, so that records do not become parts faster than parts are stored. */
  async #writeLarge(records: Records): Promise<void> {
    for (const chunks of readTogether(records)) {
      const parts = this.#parts.length;
      await this.#write(chunks);
      if (this.#parts.length > parts) await this.#parts.at(-PARTS_AHEAD);
    }
  }

  /** Copies the chunks at once; returns a promise if the compressor is full. */
  #write(chunks: Iterable<Uint8Array>): Promise<void> | undefined {
    if (this.#compressor !== undefined) return this.#compress(chunks, this.#compressor);
    for (const piece of this.#marker.mark(chunks)) this.#store(piece);
    return undefined;
  }

  #compress(chunks: Iterable<Uint8Array>, compressor: Compressor): Promise<void> | undefined {
    if (this.#failure !== undefined) return undefined;
    const { budget } = this.#options;
    let sizeBytes = 0;
    let ready: Promise<void> | undefined;
    try {
      for (const piece of this.#marker.mark(chunks)) {
        sizeBytes += piece.length;
        ready = compressor.write(piece) ?? ready;
      }
    } catch (error) {
      this.#fail(error);
    }
    budget.hold(sizeBytes);
    // They are freed without further reading, as what is uploading is.
    budget.upload(sizeBytes);
    if (ready === undefined) budget.free(sizeBytes);
    return ready?.catch((error) => this.#fail(error)).finally(() => budget.free(sizeBytes));
  }

  spillableBytes(): number {
    return this.#pending.sizeBytes;
  }

  spill(): void {
    if (this.#pending.sizeBytes > 0) this.#sendPart();
  }

  /** Closes the file: its buffer counts as uploading from now on. `create` throws failures. */
  async seal(reason: RollReason): Promise<void> {
    this.rollReason = reason;
    try {
      if (this.#failure === undefined) await this.#end();
    } catch (error) {
      this.#fail(error);
    }
    this.#isSealed = true;
    this.#options.budget.unregister(this);
    this.#options.budget.upload(this.#pending.sizeBytes);
  }

  /**
   * Makes the whole sealed file visible at once, if its key has no object. Call it only when every earlier file is
   * durable. @throws BackupError `store`; the file is then not visible, or retryingStore could not find out.
   */
  async create(): Promise<StoredFile | Exists> {
    const { store, slots, budget } = this.#options;
    const rest = this.#pending.takeAll();
    try {
      if (this.#upload === undefined) {
        if (this.#failure !== undefined) throw this.#failure;
        this.#crc64 = this.#pendingCrc64.digest();
        const attributes = this.#attributes({ ...this.#ending(), sha256: this.sha256 });
        await this.#storeContents();
        const answer = await slots.run(() =>
          store.create(this.key, rest, this.#crc64, attributes, this.#call),
        );
        if (answer.kind === 'exists') return answer;
        rest.recycle();
        return { ...answer, sizeBytes: rest.sizeBytes };
      }
      if (rest.sizeBytes > 0) this.#parts.push(this.#uploadPart(rest, 0));
      await Promise.all(this.#parts);
      const upload = await this.#upload;
      if (this.#failure !== undefined) throw this.#failure;
      if (upload.kind === 'exists') return upload;
      const whole = { crc64: this.#crc64, sizeBytes: this.#storedBytes };
      await this.#storeContents();
      const answer = await slots.run(() => upload.complete(whole, this.#call));
      return answer.kind === 'created' ? { ...answer, sizeBytes: whole.sizeBytes } : answer;
    } finally {
      budget.free(rest.sizeBytes);
    }
  }

  /** Drops the file: frees its memory and ends its upload. May be repeated, and after a failed `create`. */
  async discard(): Promise<void> {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    const { budget } = this.#options;
    this.#compressor?.destroy();
    const { sizeBytes } = this.#pending.takeAll();
    budget.unregister(this);
    if (!this.#isSealed) budget.upload(sizeBytes);
    budget.free(sizeBytes);
    await Promise.allSettled(this.#parts);
    const upload = await this.#upload?.catch(() => undefined);
    // Not the run's signal: uploads are aborted even after the run's time is over.
    const signal = AbortSignal.timeout(ABORT_TIMEOUT_MS);
    if (upload?.kind === 'upload') await upload.abort({ signal }).catch(() => undefined);
  }

  /** Durable before the object is visible, so whoever finds the object also finds this. */
  async #storeContents(): Promise<void> {
    const { store, slots } = this.#options;
    const about = { key: this.key, crc: this.#crc64, partition: (this.first as MessageMark).id.partition };
    if (this.#idRuns.length > 0) await slots.run(() => storeContents(store, about, this.#idRuns, this.#call));
  }

  async #end(): Promise<void> {
    for (const chunk of this.#marker.end()) {
      if (this.#compressor === undefined) this.#store(chunk);
      else await this.#compressor.write(chunk);
    }
    await this.#compressor?.end();
  }

  #store(bytes: Uint8Array): void {
    this.#options.budget.hold(bytes.length);
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + this.#partBytes - this.#pending.sizeBytes);
      this.#pending.append(bytes.subarray(at, end));
      at = end;
      if (this.#pending.sizeBytes >= this.#partBytes) this.#sendPart();
    }
  }

  #sendPart(): void {
    const part = this.#pending.takeAll();
    this.#options.budget.upload(part.sizeBytes);
    this.#parts.push(this.#uploadPart(part, part.sizeBytes));
  }

  /** Never rejects: a failure is kept for `create`, which runs later. */
  async #uploadPart(part: BlockBody, heldBytes: number): Promise<void> {
    const { store, slots, budget } = this.#options;
    const number = this.#parts.length + 1;
    const crc = this.#pendingCrc64.digest();
    this.#pendingCrc64 = new Crc64();
    this.#crc64 = combineCrc64(this.#crc64, crc, part.sizeBytes);
    this.#storedBytes += part.sizeBytes;
    this.#upload ??= slots.run(() => store.startUpload(this.key, this.#attributes({}), this.#call));
    try {
      const upload = await this.#upload;
      if (upload.kind === 'exists') this.#hasConflict = true;
      else if (this.#failure === undefined && !this.#isDiscarded) {
        await slots.run(() => upload.part(number, part, crc, this.#call));
        part.recycle();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      budget.free(heldBytes);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#hasConflict = true;
  }

  #attributes(ending: Record<string, string>) {
    const first = this.first as MessageMark;
    return {
      metadata: {
        format: RECORD_FORMAT,
        rule: this.#options.rule,
        'first-id': formatMessageId(first.id),
        'first-publish-time': formatTime(first.publishTimeMs),
        ...ending,
      },
      contentType: 'application/x-ndjson',
    };
  }

  #ending(): Record<string, string> {
    const last = this.last as MessageMark;
    return {
      'last-id': formatMessageId(last.id),
      'last-publish-time': formatTime(last.publishTimeMs),
      'earliest-publish-time': formatTime(this.earliestMs as TimeMs),
      'latest-publish-time': formatTime(this.latestMs as TimeMs),
      messages: String(this.messages),
      'record-bytes': String(this.bytes),
    };
  }
}

/** Chunks, to be read before anything is awaited: all existing ones, or one at a time as they are made. */
function* readTogether({ chunks }: Records): Generator<Iterable<Uint8Array>, void, undefined> {
  if (Array.isArray(chunks)) yield chunks;
  else for (const chunk of chunks) yield [chunk];
}
