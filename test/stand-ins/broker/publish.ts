// Turns messages into the entries a producer would have sent: single messages, batches, chunks, compressed or not.
// Encrypts nothing and keeps no schema.
import { randomUUID } from 'node:crypto';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import type { OutgoingMessage } from '../../../src/ports.ts';
import { encodeMessage, type Fields } from '../../../src/pulsar/wire/protocol/codec.ts';
import { type Compression, compress, compressionType } from './compress.ts';

/** A message to publish. What is left out is not set, as with a real producer. */
export interface LoopbackMessage {
  /** `null` is a tombstone. */
  readonly payload: Uint8Array | string | null;
  /** Bytes are sent as a binary key. */
  readonly key?: string | Uint8Array;
  readonly orderingKey?: Uint8Array;
  readonly properties?: Readonly<Record<string, string>>;
  readonly eventTimeMs?: number | bigint;
  /** Default: counted up. */
  readonly sequenceId?: number | bigint;
  /** Default: now. */
  readonly publishTimeMs?: number | bigint;
  readonly schemaVersion?: Uint8Array;
  readonly replicatedFrom?: string;
  /** Only in batches: as compaction leaves a message that it removed. */
  readonly isCompactedOut?: boolean;
}

/** A message as our publisher takes it. */
export function loopbackMessage({
  key,
  orderingKey,
  eventTimeMs,
  properties,
  payload,
}: Omit<OutgoingMessage, 'sequenceId'>): LoopbackMessage {
  return {
    payload,
    ...(key !== undefined && { key }),
    ...(orderingKey !== undefined && { orderingKey }),
    ...(eventTimeMs !== undefined && { eventTimeMs }),
    properties: Object.fromEntries(properties) as Record<string, string>,
  };
}

export interface PublishOptions {
  /** Messages per entry. Left out or 0: each message alone, not as a batch; 1: batches of one. */
  readonly batchSize?: number;
  /** Default none. */
  readonly compression?: Compression;
  /** Default `loopback`. */
  readonly producerName?: string;
  /** Messages whose (compressed) payload is larger are sent in chunks of this size. Not with batches. */
  readonly chunkSizeBytes?: number;
}

type Metadata = Fields<'MessageMetadata'>;

/** The entries for these messages, in order. `firstSequenceId` is that of the first message that has none. */
export function encodeMessages(
  messages: readonly LoopbackMessage[],
  firstSequenceId: number,
  options: PublishOptions = {},
): Buffer[] {
  const { batchSize = 0 } = options;
  const numbered = messages.map((message, index) => ({
    message,
    sequenceId: message.sequenceId ?? firstSequenceId + index,
  }));
  if (batchSize === 0)
    return numbered.flatMap(({ message, sequenceId }) => encodeAlone(message, sequenceId, options));
  const entries: Buffer[] = [];
  for (let at = 0; at < numbered.length; at += batchSize) {
    entries.push(encodeBatch(numbered.slice(at, at + batchSize), options));
  }
  return entries;
}

function encodeAlone(
  message: LoopbackMessage,
  sequenceId: number | bigint,
  options: PublishOptions,
): Buffer[] {
  const raw = bytesOf(message.payload);
  const payload = compress(raw, options.compression ?? 'none');
  const metadata: Metadata = {
    ...producerFields(message, sequenceId, raw.length, options),
    ...keyFields(message),
    properties: pairs(message.properties),
    eventTime: message.eventTimeMs,
    nullValue: message.payload === null ? true : undefined,
  };
  const { chunkSizeBytes } = options;
  if (chunkSizeBytes === undefined || payload.length <= chunkSizeBytes)
    return [encodeEntry(metadata, payload)];
  const chunks = Math.ceil(payload.length / chunkSizeBytes);
  const uuid = `${metadata.producerName}-${randomUUID()}`;
  return Array.from({ length: chunks }, (_, chunkId) =>
    encodeEntry(
      { ...metadata, uuid, numChunksFromMsg: chunks, totalChunkMsgSize: payload.length, chunkId },
      payload.subarray(chunkId * chunkSizeBytes, (chunkId + 1) * chunkSizeBytes),
    ),
  );
}

function encodeBatch(
  batch: readonly { message: LoopbackMessage; sequenceId: number | bigint }[],
  options: PublishOptions,
): Buffer {
  const [first] = batch as [(typeof batch)[0]];
  const parts: Buffer[] = [];
  for (const { message, sequenceId } of batch) {
    const payload = bytesOf(message.payload);
    const head = encodeMessage('SingleMessageMetadata', {
      properties: pairs(message.properties),
      ...keyFields(message),
      payloadSize: payload.length,
      compactedOut: message.isCompactedOut,
      eventTime: message.eventTimeMs,
      sequenceId,
      nullValue: message.payload === null ? true : undefined,
    });
    const size = Buffer.allocUnsafe(4);
    size.writeUInt32BE(head.length);
    parts.push(size, head, payload);
  }
  const raw = Buffer.concat(parts);
  const metadata: Metadata = {
    ...producerFields(first.message, first.sequenceId, raw.length, options),
    // As the Java client does it: the entry has the key of its first message.
    ...keyFields(first.message),
    numMessagesInBatch: batch.length,
  };
  return encodeEntry(metadata, compress(raw, options.compression ?? 'none'));
}

function producerFields(
  { publishTimeMs = Date.now(), replicatedFrom, schemaVersion }: LoopbackMessage,
  sequenceId: number | bigint,
  uncompressedSize: number,
  { compression = 'none', producerName = 'loopback' }: PublishOptions,
): Metadata {
  return {
    producerName,
    sequenceId,
    publishTime: publishTimeMs,
    replicatedFrom,
    ...(compression === 'none' ? {} : { compression: compressionType(compression), uncompressedSize }),
    schemaVersion,
  };
}

function keyFields({ key, orderingKey }: LoopbackMessage) {
  return typeof key === 'object'
    ? { partitionKey: Buffer.from(key).toString('base64'), partitionKeyB64Encoded: true, orderingKey }
    : { partitionKey: key, orderingKey };
}

function pairs(properties: LoopbackMessage['properties']) {
  return properties && Object.entries(properties).map(([key, value]) => ({ key, value }));
}

function bytesOf(payload: LoopbackMessage['payload']): Buffer {
  if (payload === null) return Buffer.alloc(0);
  if (typeof payload === 'string') return Buffer.from(payload);
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}
