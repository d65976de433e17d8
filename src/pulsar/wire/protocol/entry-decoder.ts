// From an entry's bytes to its messages: checksum, metadata, decompression, batch. What cannot be decoded becomes an
// unreadable entry with its raw bytes; nothing is thrown away and nothing is replaced.

import { isPlainBatch } from '../../../format/packed-batch.ts';
import { assertFitsRecord, hintOf } from '../../../largest-message.ts';
import type {
  EntryId,
  Message,
  PackedBatch,
  RawEntry,
  ReadableEntry,
  UnreadableEntry,
} from '../../../ports.ts';
import { BatchPart } from './batch-part.ts';
import type { Integer } from './codec.ts';
import { crc32c } from './crc32c.ts';
import { decompress } from './decompress.ts';
import {
  type EntryMetadata,
  peekMessageCount,
  readEntryMetadata,
  readSingleMetadata,
} from './entry-metadata.ts';
import type { ReceiveBlock } from './receive-memory.ts';
import { FRAME } from './tables.ts';

/** An entry as it arrived: its metadata is read, its payload is not touched. */
export interface StoredEntry {
  readonly id: EntryId;
  /** The whole of what the broker sent after the command. */
  readonly sizeBytes: number;
  /** From the checksum's magic number on, where there is one. */
  readonly raw: Buffer;
  /** `undefined`: the metadata cannot be read, for `fault`. */
  readonly metadata: EntryMetadata | undefined;
  readonly fault: string | undefined;
  /** Where in `raw` the payload begins. */
  readonly payloadStart: number;
  /** What the broker took from the permits for it. */
  readonly permits: number;
  /** Of a batch that comes without the messages that somebody has acknowledged: those that come. */
  readonly part: BatchPart | undefined;
  /** What `raw` is a view of; to be released when the entry is not in use any more. Without it, the bytes are its own. */
  readonly memory: ReceiveBlock | undefined;
}

/** Where messages come from, and how large one may become in memory. */
export interface DecodeContext {
  readonly topic: string;
  readonly partition: number;
  readonly limitBytes: number;
  /** Of a batch, only these messages. */
  readonly part?: BatchPart | undefined;
}

/** Reads what surrounds an entry's payload. `ackSet`: as the broker sent it. `memory`: where it is. Never throws. */
export function readStoredEntry(
  id: EntryId,
  bytes: Buffer,
  ackSet?: readonly Integer[],
  memory?: ReceiveBlock,
): StoredEntry {
  let start = 0;
  let metadata: EntryMetadata | undefined;
  let fault: string | undefined;
  let metadataStart = 0;
  let payloadStart = 0;
  let raw = bytes;
  try {
    if (bytes.length >= 6 && bytes.readUInt16BE(0) === FRAME.brokerEntryMetadataMagic) {
      start = 6 + bytes.readUInt32BE(2);
      if (start > bytes.length) throw new Error("the broker's own metadata is longer than the entry");
      raw = bytes.subarray(start);
    }
    metadataStart = metadataStartOf(raw);
    if (raw.length < metadataStart) throw new Error('it has no metadata');
    const metadataSize = raw.readUInt32BE(metadataStart - 4);
    payloadStart = metadataStart + metadataSize;
    if (payloadStart > raw.length) throw new Error('its metadata is longer than the entry');
    metadata = readEntryMetadata(raw, metadataStart, payloadStart);
  } catch (error) {
    fault = (error as Error).message;
    metadata = undefined;
  }
  const count =
    metadata === undefined
      ? peekMessageCount(raw, metadataStart, Math.min(payloadStart, raw.length))
      : (metadata.messagesInBatch ?? 1);
  const isBatch = metadata?.messagesInBatch !== undefined;
  const part = isBatch ? BatchPart.of(ackSet, count) : undefined;
  // Of a batch that comes in part some brokers count all messages: one permit too many is better than one too few.
  const permits = Math.max(0, count);
  return { id, sizeBytes: bytes.length, raw, metadata, fault, payloadStart, permits, part, memory };
}

/** The entry in memory of its own, for whoever keeps it. */
export function withOwnMemory(entry: StoredEntry): StoredEntry {
  if (entry.memory === undefined) return entry;
  const own = { ...entry, raw: Buffer.from(entry.raw), memory: undefined };
  entry.memory.release();
  return own;
}

/** Where the metadata of an entry begins, behind its checksum and its own size. */
export const metadataStartOf = (raw: Buffer): number =>
  raw.length >= 6 && raw.readUInt16BE(0) === FRAME.checksumMagic ? 10 : 4;

/** Why the stored bytes are not what the producer sent, or `undefined` where they are. */
export function checksumFault(raw: Buffer): string | undefined {
  if (raw.length < 6 || raw.readUInt16BE(0) !== FRAME.checksumMagic) return undefined;
  return crc32c(raw, 6) === raw.readUInt32BE(2) ? undefined : 'its checksum (CRC-32C) does not match';
}

/** The entry as it is kept where it cannot be decoded. */
export const rawOf = ({ id, raw }: StoredEntry): RawEntry => ({ id, bytes: raw });

/** An entry that cannot be decoded, with the reason as a sentence. */
export function unreadable(entry: StoredEntry, topic: string, fault: string, hint?: string): UnreadableEntry {
  const { ledgerId, entryId } = entry.id;
  const schemaVersion = checksumFault(entry.raw) === undefined ? entry.metadata?.schemaVersion : undefined;
  return {
    kind: 'unreadable',
    id: entry.id,
    topic,
    reason: `entry ${ledgerId}:${entryId} cannot be decoded: ${fault}`,
    hint,
    raw: [rawOf(entry)],
    ...(schemaVersion && { schemaVersion }),
  };
}

/** Decodes an entry that is no chunk; its codec must be loaded. What is kept raw gets memory of its own. Never throws. */
export function decodeEntry(entry: StoredEntry, context: DecodeContext): ReadableEntry | UnreadableEntry {
  const fault = checksumFault(entry.raw) ?? entry.fault;
  const { metadata } = entry;
  if (fault !== undefined || metadata === undefined) {
    return unreadable(withOwnMemory(entry), context.topic, fault ?? 'it has no metadata');
  }
  const { memory } = entry;
  if (metadata.isMarker) return { kind: 'entry', id: entry.id, messages: [], memory };
  try {
    return decodePayload(entry.id, metadata, entry.raw.subarray(entry.payloadStart), context, memory);
  } catch (error) {
    return unreadable(withOwnMemory(entry), context.topic, (error as Error).message, hintOf(error));
  }
}

/**
 * Decodes a payload by its metadata: of one entry, or of a message's chunks put together. `memory`: what it is a view of.
 * @throws Error whose message is a reason for a person
 */
export function decodePayload(
  id: EntryId,
  metadata: EntryMetadata,
  stored: Buffer,
  context: DecodeContext,
  memory?: ReceiveBlock,
): ReadableEntry {
  if (metadata.isEncrypted) throw new Error('it is encrypted by its producer');
  const payload = decompress(stored, metadata.compression, metadata.uncompressedSize, context.limitBytes);
  const count = metadata.messagesInBatch;
  if (count === undefined) {
    assertFitsRecord(payload);
    return { kind: 'entry', id, messages: [singleMessage(id, metadata, payload, context)], memory };
  }
  const isWhole = metadata.compactedIndexes === undefined && context.part === undefined;
  return isWhole && isPlainBatch(payload, count)
    ? new PackedEntry(id, metadata, payload, context, memory)
    : { kind: 'entry', id, messages: batchMessages(id, metadata, payload, context), memory };
}

/** Decodes its messages when somebody asks for them: mostly nobody does. */
class PackedEntry implements ReadableEntry {
  readonly kind = 'entry';
  readonly id: EntryId;
  readonly packed: PackedBatch;
  readonly memory: ReceiveBlock | undefined;
  readonly #decode: () => Message[];
  #messages: Message[] | undefined;

  constructor(
    id: EntryId,
    metadata: EntryMetadata,
    batch: Buffer,
    context: DecodeContext,
    memory: ReceiveBlock | undefined,
  ) {
    const { topic, partition } = context;
    const { publishTimeMs, producer, sequenceId, schemaVersion, replicatedFrom } = metadata;
    this.id = id;
    this.memory = memory;
    this.packed = {
      bytes: batch,
      count: metadata.messagesInBatch as number,
      common: {
        id: { ledgerId: id.ledgerId, entryId: id.entryId, partition, batchIndex: 0 },
        ...{ topic, publishTimeMs, producer, sequenceId, schemaVersion, replicatedFrom },
      },
    };
    this.#decode = () => batchMessages(id, metadata, batch, context);
  }

  get messages(): readonly Message[] {
    this.#messages ??= this.#decode();
    return this.#messages;
  }
}

function singleMessage(
  id: EntryId,
  metadata: EntryMetadata,
  payload: Buffer,
  context: DecodeContext,
): Message {
  return {
    id: { ledgerId: id.ledgerId, entryId: id.entryId, partition: context.partition, batchIndex: -1 },
    topic: context.topic,
    publishTimeMs: metadata.publishTimeMs,
    eventTimeMs: metadata.eventTimeMs,
    key: metadata.key,
    orderingKey: metadata.orderingKey,
    properties: metadata.properties,
    producer: metadata.producer,
    sequenceId: metadata.sequenceId,
    schemaVersion: metadata.schemaVersion,
    replicatedFrom: metadata.replicatedFrom,
    payload: metadata.isNull ? null : payload,
  };
}

function batchMessages(
  id: EntryId,
  metadata: EntryMetadata,
  batch: Buffer,
  context: DecodeContext,
): Message[] {
  const messages: Message[] = [];
  const count = metadata.compactedIndexes?.length ?? (metadata.messagesInBatch as number);
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 4 > batch.length) throw new Error(`its batch ends after ${index} of ${count} messages`);
    const metadataEnd = at + 4 + batch.readUInt32BE(at);
    if (metadataEnd > batch.length) throw new Error(`the metadata of message ${index} leaves its batch`);
    const single = readSingleMetadata(batch, at + 4, metadataEnd);
    at = metadataEnd + Math.max(0, single.payloadSize);
    if (at > batch.length) throw new Error(`the payload of message ${index} leaves its batch`);
    const batchIndex = metadata.compactedIndexes?.[index] ?? index;
    if (single.isCompactedOut || context.part?.has(batchIndex) === false) continue;
    messages.push({
      id: { ledgerId: id.ledgerId, entryId: id.entryId, partition: context.partition, batchIndex },
      topic: context.topic,
      publishTimeMs: metadata.publishTimeMs,
      eventTimeMs: single.eventTimeMs,
      key: single.key,
      orderingKey: single.orderingKey,
      properties: single.properties,
      producer: metadata.producer,
      sequenceId: single.sequenceId ?? metadata.sequenceId,
      schemaVersion: metadata.schemaVersion,
      replicatedFrom: metadata.replicatedFrom,
      payload: single.isNull ? null : batch.subarray(metadataEnd, at),
    });
  }
  if (at !== batch.length) throw new Error(`its batch has ${batch.length - at} bytes too many`);
  return messages;
}
