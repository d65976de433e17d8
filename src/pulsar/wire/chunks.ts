// Chunked messages: holds the chunks of each until its last one arrives, within a memory limit. Never loses data: it
// returns raw what it cannot join, and leaves what does not fit for a later run, unacknowledged.

import { TooLarge } from '../../largest-message.ts';
import type { EntryId, RawEntry, TimeMs } from '../../ports.ts';
import { checksumFault, rawOf, type StoredEntry } from './protocol/entry-decoder.ts';
import type { EntryMetadata } from './protocol/entry-metadata.ts';
import { COMPRESSION_TYPE } from './protocol/tables.ts';

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
      /** The stored chunks, in order: recreated from the payload, so that both are in memory only if necessary. */
      readonly raw: () => readonly RawEntry[];
    }
  /** The message cannot be joined: everything there is of it. */
  | {
      readonly kind: 'broken';
      readonly reason: string;
      readonly hint?: string;
      readonly raw: readonly RawEntry[];
      readonly ids: readonly EntryId[];
    };

interface Held {
  /** Of its first chunk that came. */
  readonly firstId: EntryId;
  readonly chunks: number;
  /** The latest of its chunks. */
  publishTimeMs: TimeMs;
  /** All entries that came of it, whether they are held or not. */
  seen: number;
  readonly ids: EntryId[];
  /** By the number of the chunk. */
  readonly entries: Map<number, { readonly entry: StoredEntry; readonly fault: string | undefined }>;
  sizeBytes: number;
  isLeftOut: boolean;
}

/** A message whose last chunk has not come. */
export interface IncompleteMessage extends Pick<Held, 'firstId' | 'chunks' | 'publishTimeMs' | 'isLeftOut'> {
  readonly uuid: string;
  /** How many of its chunks are held. */
  readonly held: number;
}

/** How much is joined, and in which order chunks come. */
export interface ChunkOptions {
  /** For one message; all incomplete ones of all partitions together may have twice that. */
  readonly limitBytes: number;
  readonly heldChunks: HeldChunks;
  /** Whether chunks come in order and to this consumer only: all but Shared and Key_Shared. */
  readonly isOrdered: boolean;
  /** A message does not fit beside those that are incomplete already. */
  readonly onLeftOut: (uuid: string) => void;
}

/** What chunks of all partitions take in memory together, and the messages of them that are in use. */
export interface HeldChunks {
  sizeBytes: number;
}

/** The chunks of one partition that wait for their last. */
export class ChunkJoiner {
  readonly #options: ChunkOptions;
  readonly #held = new Map<string, Held>();
  #heldBytes = 0;
  /** Of the message that was joined last. */
  #joinedBytes = 0;

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

  /** The message that was joined last is not in use any more. */
  passed(): void {
    this.#options.heldChunks.sizeBytes -= this.#joinedBytes;
    this.#joinedBytes = 0;
  }

  /** How many of these belong to messages that did not fit into memory. */
  get leftOutEntries(): number {
    let count = 0;
    for (const { seen, isLeftOut } of this.#held.values()) if (isLeftOut) count += seen;
    return count;
  }

  /** Everything is delivered again: forgets what was held. */
  reset(): void {
    this.passed();
    this.#held.clear();
    this.#count(-this.#heldBytes);
  }

  /** Takes a chunk (`isChunk`) in the broker's order. */
  add(entry: StoredEntry, metadata: EntryMetadata): ChunkResult {
    const uuid = metadata.uuid as string;
    const chunkId = metadata.chunkId as number;
    const isLast = chunkId === (metadata.chunks as number) - 1;
    const { limitBytes, isOrdered } = this.#options;
    const sizeBytes = Math.max(metadata.chunkedSizeBytes ?? 0, metadata.uncompressedSize);
    if (sizeBytes > limitBytes) {
      const what = `it is chunk ${chunkId} of a message of ${sizeBytes} bytes`;
      const { message: reason, hint } = new TooLarge(what, sizeBytes, limitBytes);
      return { kind: 'broken', reason, hint, raw: [rawOf(entry)], ids: [entry.id] };
    }
    const held = this.#heldOf(uuid, entry, metadata);
    this.#hold(held, entry, chunkId);
    const isWhole = isOrdered ? isLast : held.entries.size === metadata.chunks;
    if (!isWhole || held.isLeftOut) return { kind: 'pending' };
    this.#forget(uuid, held);
    return this.#complete(held, metadata);
  }

  /** The messages whose last chunk has not come, in the order of their first. */
  incomplete(): IncompleteMessage[] {
    return [...this.#held].map(([uuid, { entries, firstId, chunks, publishTimeMs, isLeftOut }]) => ({
      ...{ uuid, held: entries.size, firstId, chunks, publishTimeMs, isLeftOut },
    }));
  }

  /** Whether anything came of a message that is not whole. */
  has(uuid: string): boolean {
    return this.#held.has(uuid);
  }

  /** Gives back what is held of a message that is not completed any more, as it is stored. */
  giveUp(uuid: string): { readonly raw: readonly RawEntry[]; readonly ids: readonly EntryId[] } | undefined {
    const held = this.#held.get(uuid);
    if (held === undefined || held.isLeftOut) return undefined;
    this.#forget(uuid, held);
    return { raw: rawEntries(held), ids: held.ids };
  }

  #forget(uuid: string, held: Held): void {
    this.#held.delete(uuid);
    this.#count(-held.sizeBytes);
  }

  #count(bytes: number): void {
    this.#heldBytes += bytes;
    this.#options.heldChunks.sizeBytes += bytes;
  }

  #heldOf(uuid: string, entry: StoredEntry, metadata: EntryMetadata): Held {
    let held = this.#held.get(uuid);
    if (held === undefined) {
      const { publishTimeMs, chunks } = metadata;
      held = {
        ...{ firstId: entry.id, chunks: chunks as number, publishTimeMs, seen: 0, sizeBytes: 0 },
        ...{ ids: [], entries: new Map(), isLeftOut: false },
      };
      this.#held.set(uuid, held);
    }
    if (metadata.publishTimeMs > held.publishTimeMs) held.publishTimeMs = metadata.publishTimeMs;
    held.seen++;
    return held;
  }

  #hold(held: Held, entry: StoredEntry, chunkId: number): void {
    if (held.isLeftOut) return;
    held.ids.push(entry.id);
    const fault = checksumFault(entry.raw);
    const before = held.entries.get(chunkId);
    // A producer repeats a chunk it was not sure of, and a broker one that is not acknowledged.
    if (before !== undefined && (before.fault === undefined || fault !== undefined)) return;
    held.entries.set(chunkId, { entry, fault });
    const moreBytes = entry.sizeBytes - (before?.entry.sizeBytes ?? 0);
    held.sizeBytes += moreBytes;
    this.#count(moreBytes);
    const { limitBytes, heldChunks } = this.#options;
    // Other partitions release their own chunks; a complete message is released at once.
    while (held.entries.size < held.chunks && heldChunks.sizeBytes > 2 * limitBytes && this.#heldBytes > 0)
      this.#leaveOutNewest();
  }

  /** The oldest messages are completed first, so that every run makes progress. */
  #leaveOutNewest(): void {
    const [uuid, held] = [...this.#held].filter(([, one]) => !one.isLeftOut).at(-1) as [string, Held];
    this.#count(-held.sizeBytes);
    held.isLeftOut = true;
    held.sizeBytes = 0;
    held.entries.clear();
    held.ids.length = 0;
    this.#options.onLeftOut(uuid);
  }

  #complete(held: Held, metadata: EntryMetadata): ChunkResult {
    const { ids } = held;
    const fault = faultOf(held);
    if (fault !== undefined) {
      return { kind: 'broken', reason: `it is a chunked message; ${fault}`, raw: rawEntries(held), ids };
    }
    const entries = inOrder(held);
    held.entries.clear();
    this.passed();
    // A compressed message is in memory a second time when it is decompressed.
    const isCompressed = metadata.compression !== COMPRESSION_TYPE.NONE;
    this.#joinedBytes = held.sizeBytes + (isCompressed ? metadata.uncompressedSize : 0);
    this.#options.heldChunks.sizeBytes += this.#joinedBytes;
    return { kind: 'joined', metadata, ids, ...join(entries) };
  }
}

/** Why the chunks do not make the message. */
function faultOf({ entries, chunks }: Held): string | undefined {
  for (let chunkId = 0; chunkId < chunks; chunkId++) {
    const chunk = entries.get(chunkId);
    if (chunk === undefined) return `chunk ${chunkId} of ${chunks} is missing`;
    if (chunk.fault !== undefined) return `in chunk ${chunkId}, ${chunk.fault}`;
  }
  return undefined;
}

const inOrder = ({ entries }: Held): StoredEntry[] =>
  [...entries].sort(([a], [b]) => a - b).map(([, { entry }]) => entry);

const rawEntries = (held: Held): RawEntry[] => inOrder(held).map(rawOf);

/** The payload of all chunks. Releases the entries as they are copied, so that their memory can be reused. */
function join(entries: StoredEntry[]): { payload: Buffer; raw: () => readonly RawEntry[] } {
  const sizeBytes = entries.reduce((sum, { raw, payloadStart }) => sum + raw.length - payloadStart, 0);
  const payload = Buffer.allocUnsafeSlow(sizeBytes);
  const heads: { id: EntryId; head: Buffer; start: number }[] = [];
  let end = 0;
  for (let entry = entries.shift(); entry !== undefined; entry = entries.shift()) {
    const { id, raw, payloadStart } = entry;
    heads.push({ id, head: Buffer.from(raw.subarray(0, payloadStart)), start: end });
    end += raw.copy(payload, end, payloadStart);
  }
  return {
    payload,
    raw: () =>
      heads.map(({ id, head, start }, i) => {
        const own = payload.subarray(start, heads[i + 1]?.start);
        return { id, bytes: Buffer.concat([head, own]) };
      }),
  };
}
