// From a stored entry to a delivery: decodes it, or holds it as a chunk until its message is whole, and tells the ack
// plan what was handed out.
import type { Logger, ReadableEntry, Signal, UnreadableEntry } from '../../ports.ts';
import type { AckPlan } from './ack-plan.ts';
import { ChunkJoiner, isChunk } from './chunks.ts';
import {
  type DecodeContext,
  decodeEntry,
  decodePayload,
  type StoredEntry,
  unreadable,
} from './entry-decoder.ts';
import type { EntryMetadata } from './entry-metadata.ts';

type Read = ReadableEntry | UnreadableEntry | Extract<Signal, { kind: 'pending' }>;

/** Reads the entries of one partition, in the order they are handed out. */
export class EntryReader {
  readonly #context: DecodeContext;
  readonly #acks: AckPlan;
  readonly #chunks: ChunkJoiner;

  constructor(context: DecodeContext & { readonly logger: Logger }, isOrdered: boolean, acks: AckPlan) {
    const { topic, limitBytes, logger } = context;
    this.#context = context;
    this.#acks = acks;
    this.#chunks = new ChunkJoiner({
      limitBytes,
      isOrdered,
      onLeftOut: (uuid) => logger.warn({ topic, uuid }, 'chunked message left for a later run'),
    });
  }

  /** How many entries wait for the rest of their chunked messages. */
  get incompleteEntries(): number {
    return this.#chunks.incompleteEntries;
  }

  /** Its codec must be loaded. Never throws. */
  read(entry: StoredEntry): Read {
    const { metadata } = entry;
    if (isChunk(metadata)) return this.#readChunk(entry, metadata);
    this.#acks.handOut(entry.id);
    return decodeEntry(entry, this.#context);
  }

  /** Everything unacknowledged is delivered again. */
  reset(): void {
    this.#chunks.reset();
  }

  #readChunk(entry: StoredEntry, metadata: EntryMetadata): Read {
    const uuid = metadata.uuid as string;
    const result = this.#chunks.add(entry, metadata);
    if (result.kind === 'pending') {
      this.#acks.sawChunk(uuid, entry.id);
      return { kind: 'pending', id: entry.id };
    }
    this.#acks.handOut(entry.id, { uuid, ids: result.ids });
    const { topic } = this.#context;
    if (result.kind === 'broken') return { ...unreadable(entry, topic, result.reason), raw: result.raw };
    try {
      return decodePayload(entry.id, result.metadata, result.payload, this.#context);
    } catch (error) {
      return { ...unreadable(entry, topic, (error as Error).message), raw: result.raw };
    }
  }
}
