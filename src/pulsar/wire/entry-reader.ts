// From a stored entry to a delivery: decodes it, or holds it as a chunk until its message is whole, and enters into the
// ack plan what was handed out.

import { formatEntry } from '../../format/entry-order.ts';
import { formatTime } from '../../format/record.ts';
import { TOO_LITTLE_MEMORY_HINT } from '../../held-back.ts';
import { hintOf } from '../../largest-message.ts';
import type { EntryId, Logger, RawEntry, ReadableEntry, Signal, UnreadableEntry } from '../../ports.ts';
import type { AckPlan } from './ack-plan.ts';
import { ChunkJoiner, type HeldChunks, type IncompleteMessage } from './chunks.ts';
import {
  type DecodeContext,
  decodeEntry,
  decodePayload,
  type StoredEntry,
  unreadable,
  withOwnMemory,
} from './protocol/entry-decoder.ts';
import { type EntryMetadata, isChunk } from './protocol/entry-metadata.ts';

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
      onLeftOut: (uuid) =>
        logger.warn({ topic, uuid, hint: TOO_LITTLE_MEMORY_HINT }, 'chunked message left for a later run'),
    });
  }

  /** How many entries wait for the rest of their chunked messages. */
  get incompleteEntries(): number {
    return this.#chunks.incompleteEntries;
  }

  /** How many of these belong to messages that did not fit into memory. */
  get leftOutEntries(): number {
    return this.#chunks.leftOutEntries;
  }

  /** Its codec must be loaded. Never throws. */
  read(entry: StoredEntry): Read {
    const { metadata } = entry;
    if (isChunk(metadata)) return this.#readChunk(withOwnMemory(entry), metadata);
    if (this.#acks.isTooLate(entry.id)) {
      entry.memory?.release();
      return { kind: 'pending', id: entry.id };
    }
    const part = this.#acks.partOf(entry.id, entry.part);
    if (part === undefined) {
      this.#acks.handOut(entry.id);
      return decodeEntry(entry, this.#context);
    }
    this.#acks.handOut(entry.id, { part });
    return decodeEntry(entry, { ...this.#context, part });
  }

  /** What was read last is not in use any more. */
  passed(): void {
    this.#chunks.passed();
  }

  /** Everything unacknowledged is delivered again. */
  reset(): void {
    this.#chunks.reset();
  }

  /** What there is of the messages whose last chunk was not published before that time, each as one. */
  giveUpChunks(publishedBeforeMs: number): UnreadableEntry[] {
    return this.#chunks.incomplete().flatMap(({ uuid, held, chunks, publishTimeMs }) => {
      const given = publishTimeMs < publishedBeforeMs ? this.#chunks.giveUp(uuid) : undefined;
      if (given === undefined) return [];
      return [this.#unfinished(given.raw, given.ids, { held, chunks, publishTimeMs })];
    });
  }

  /** Logs the messages that it keeps waiting for, those of a producer whose clock is ahead too; not those left out. */
  logIncomplete(): void {
    for (const message of this.#chunks.incomplete()) if (!message.isLeftOut) this.#logIncomplete(message);
  }

  /** The same, for the chunks of one message that this consumer did not get, in any order. */
  giveUpFound(found: readonly StoredEntry[], publishedBeforeMs: number): UnreadableEntry[] {
    const joiner = new ChunkJoiner({
      limitBytes: Number.POSITIVE_INFINITY,
      heldChunks: { sizeBytes: 0 },
      isOrdered: false,
      onLeftOut: () => {},
    });
    for (const entry of found) joiner.add(entry, entry.metadata as EntryMetadata);
    const [message] = joiner.incomplete();
    if (message === undefined || this.#chunks.has(message.uuid)) return [];
    const given = message.publishTimeMs < publishedBeforeMs ? joiner.giveUp(message.uuid) : undefined;
    if (given !== undefined) return [this.#unfinished(given.raw, given.ids, message)];
    this.#logIncomplete(message);
    return [];
  }

  #logIncomplete({ uuid, firstId, held, chunks, publishTimeMs }: IncompleteMessage): void {
    const { topic, logger } = this.#context;
    const publishTime = formatTime(publishTimeMs);
    const fields = { topic, uuid, firstEntry: formatEntry(firstId), held, chunks, publishTime };
    logger.warn(fields, 'chunked message incomplete');
  }

  #unfinished(
    raw: readonly RawEntry[],
    ids: readonly EntryId[],
    { held, chunks, publishTimeMs }: Pick<IncompleteMessage, 'held' | 'chunks' | 'publishTimeMs'>,
  ): UnreadableEntry {
    const id = ids.at(-1) as EntryId;
    this.#acks.handOut(id, { joined: ids });
    const reason = `of a message in ${chunks} chunks, published ${formatTime(publishTimeMs)}, only ${held} came: its producer did not finish it`;
    return { kind: 'unreadable', id, topic: this.#context.topic, reason, raw };
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
