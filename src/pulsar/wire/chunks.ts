// Chunked messages: holds the chunks of each until its last one comes, within a bound of memory. It never lets go of
// data: what cannot be joined is given back raw, and what does not fit is left for a later run, unacknowledged.
import type { EntryId, RawEntry } from '../../ports.ts';
import { checksumFault, rawOf, type StoredEntry } from './entry-decoder.ts';
import type { EntryMetadata } from './entry-metadata.ts';

/** What a chunk leads to. */
export type ChunkResult =
  /** More chunks are needed. */
  | { readonly kind: 'pending' }
  /** The last chunk: the whole (still compressed) payload, and every entry that belongs to it. */
  | {
      readonly kind: 'joined';
      readonly metadata: EntryMetadata;
      readonly payload: Buffer;
      readonly ids: readonly EntryId[];
      /** The chunks as they are stored, in order. */
      readonly raw: readonly RawEntry[];
    }
  /** The message cannot be joined: everything there is of it. */
  | {
      readonly kind: 'broken';
      readonly reason: string;
      readonly raw: readonly RawEntry[];
      readonly ids: readonly EntryId[];
    };

interface Held {
  /** All that came of it, whether it is held or not. */
  seen: number;
  readonly ids: EntryId[];
  readonly entries: StoredEntry[];
  next: number;
  sizeBytes: number;
  fault: string | undefined;
  isLeftOut: boolean;
}

export interface ChunkOptions {
  /** For one message; all incomplete ones together may have twice that. */
  readonly limitBytes: number;
  /** Whether chunks come in order and to this consumer only: all but Shared and Key_Shared. */
  readonly isOrdered: boolean;
  /** A message does not fit beside those that are incomplete already. */
  readonly onLeftOut: (uuid: string) => void;
}

/** Whether an entry is one chunk of a larger message. */
export function isChunk(metadata: EntryMetadata | undefined): metadata is EntryMetadata {
  return (
    metadata?.uuid !== undefined &&
    metadata.chunkId !== undefined &&
    metadata.chunks !== undefined &&
    metadata.chunks > 1
  );
}

/** The chunks of one partition that wait for their last. */
export class ChunkJoiner {
  readonly #options: ChunkOptions;
  readonly #held = new Map<string, Held>();
  #heldBytes = 0;

  constructor(options: ChunkOptions) {
    this.#options = options;
  }

  /** What incomplete messages take in memory. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** How many entries came that wait for the rest of their messages, held or not. */
  get incompleteEntries(): number {
    let count = 0;
    for (const { seen } of this.#held.values()) count += seen;
    return count;
  }

  /** Everything is delivered again: forgets what was held. */
  reset(): void {
    this.#held.clear();
    this.#heldBytes = 0;
  }

  /** Takes a chunk (`isChunk`) in the broker's order. */
  add(entry: StoredEntry, metadata: EntryMetadata): ChunkResult {
    const uuid = metadata.uuid as string;
    const chunkId = metadata.chunkId as number;
    const isLast = chunkId === (metadata.chunks as number) - 1;
    const { limitBytes } = this.#options;
    if (Math.max(metadata.chunkedSizeBytes ?? 0, metadata.uncompressedSize) > limitBytes) {
      const reason = `it is chunk ${chunkId} of a message of ${metadata.chunkedSizeBytes} bytes (${metadata.uncompressedSize} uncompressed), more than the limit of ${limitBytes}`;
      return { kind: 'broken', reason, raw: [rawOf(entry)], ids: [entry.id] };
    }
    const held = this.#heldOf(uuid);
    held.seen++;
    this.#hold(held, entry, metadata, chunkId);
    if (!isLast) return { kind: 'pending' };
    this.#held.delete(uuid);
    if (!held.isLeftOut) this.#heldBytes -= held.sizeBytes;
    return this.#complete(held, metadata);
  }

  #heldOf(uuid: string): Held {
    let held = this.#held.get(uuid);
    if (held === undefined) {
      held = { seen: 0, ids: [], entries: [], next: 0, sizeBytes: 0, fault: undefined, isLeftOut: false };
      this.#held.set(uuid, held);
    }
    return held;
  }

  #hold(held: Held, entry: StoredEntry, metadata: EntryMetadata, chunkId: number): void {
    if (held.isLeftOut) return;
    held.ids.push(entry.id);
    const fault = checksumFault(entry.raw);
    if (fault === undefined && chunkId < held.next) return; // a producer's repetition of a chunk it was not sure of
    if (fault !== undefined) held.fault ??= `in chunk ${chunkId}, ${fault}`;
    else if (chunkId > held.next) held.fault ??= `chunk ${held.next} of ${metadata.chunks} is missing`;
    held.entries.push(entry);
    held.next = chunkId + 1;
    held.sizeBytes += entry.sizeBytes;
    this.#heldBytes += entry.sizeBytes;
    while (this.#heldBytes > 2 * this.#options.limitBytes) this.#leaveOutNewest();
  }

  /** The oldest messages are completed first, so that every run gets further. */
  #leaveOutNewest(): void {
    const [uuid, held] = [...this.#held].filter(([, one]) => !one.isLeftOut).at(-1) as [string, Held];
    this.#heldBytes -= held.sizeBytes;
    held.isLeftOut = true;
    held.entries.length = 0;
    held.ids.length = 0;
    this.#options.onLeftOut(uuid);
  }

  #complete(held: Held, metadata: EntryMetadata): ChunkResult {
    if (held.isLeftOut || (held.fault !== undefined && !this.#options.isOrdered)) return { kind: 'pending' };
    const { ids } = held;
    const raw = held.entries.map(rawOf);
    if (held.fault !== undefined) {
      return { kind: 'broken', reason: `it is a chunked message; ${held.fault}`, raw, ids };
    }
    const payload = Buffer.concat(held.entries.map((entry) => entry.raw.subarray(entry.payloadStart)));
    return { kind: 'joined', metadata, payload, ids, raw };
  }
}
