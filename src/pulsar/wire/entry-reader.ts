// From a stored entry to a delivery: decodes it, or holds it as a chunk until its message is whole, and tells the ack
// plan what was handed out.

import { entryKey } from '../../entry-order.ts';
import { hintOf } from '../../largest-message.ts';
import type { Logger, ReadableEntry, Signal, UnreadableEntry } from '../../ports.ts';
import { formatTime } from '../../record.ts';
import type { AckPlan } from './ack-plan.ts';
import { ChunkJoiner, type HeldChunks, isChunk } from './chunks.ts';
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
  readonly #context: DecodeContext & { readonly logger: Logger };
  readonly #acks: AckPlan;
  readonly #chunks: ChunkJoiner;

  constructor(
    context: DecodeContext & { readonly logger: Logger; readonly heldChunks: HeldChunks },
    isOrdered: boolean,
    acks: AckPlan,
  ) {
    const { topic, limitBytes, heldChunks, logger } = context;
    this.#context = context;
    this.#acks = acks;
    this.#chunks = new ChunkJoiner({
      limitBytes,
      heldChunks,
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
    if (this.#acks.isTooLate(entry.id)) return { kind: 'pending', id: entry.id };
    const part = this.#acks.partOf(entry.id, entry.part);
    this.#acks.handOut(entry.id, part === undefined ? {} : { part });
    return decodeEntry(entry, { ...this.#context, part });
  }

  /** Everything unacknowledged is delivered again. */
  reset(): void {
    this.#chunks.reset();
  }

  /**
   * What there is of the messages whose last chunk was not published before that time, each as one. Logs the others:
   * they may be completed yet, as also those of a producer whose clock is ahead.
   */
  giveUpChunks(publishedBeforeMs: number): UnreadableEntry[] {
    const { topic, logger } = this.#context;
    return this.#chunks.incomplete().flatMap((message) => {
      const { uuid, firstId, held, chunks, publishTimeMs, isLeftOut } = message;
      const isOld = publishTimeMs < publishedBeforeMs;
      const given = isOld ? this.#chunks.giveUp(uuid) : undefined;
      const id = given?.ids.at(-1);
      if (given === undefined || id === undefined) {
        const publishTime = formatTime(publishTimeMs);
        const fields = { topic, uuid, firstEntry: entryKey(firstId), held, chunks, publishTime, isLeftOut };
        logger.warn(fields, 'chunked message incomplete');
        return [];
      }
      this.#acks.handOut(id, { joined: given.ids });
      const reason = `of a message in ${chunks} chunks, published ${formatTime(publishTimeMs)}, only ${held} came: its producer did not finish it`;
      return { kind: 'unreadable' as const, id, topic, reason, raw: given.raw };
    });
  }

  #readChunk(entry: StoredEntry, metadata: EntryMetadata): Read {
    const result = this.#chunks.add(entry, metadata);
    if (result.kind === 'pending' || this.#acks.isTooLate(entry.id)) return { kind: 'pending', id: entry.id };
    this.#acks.handOut(entry.id, { joined: result.ids });
    const { topic } = this.#context;
    if (result.kind === 'broken')
      return { ...unreadable(entry, topic, result.reason, result.hint), raw: result.raw };
    try {
      return decodePayload(entry.id, result.metadata, result.payload, this.#context);
    } catch (error) {
      return { ...unreadable(entry, topic, (error as Error).message, hintOf(error)), raw: result.raw() };
    }
  }
}
