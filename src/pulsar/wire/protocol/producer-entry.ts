// Messages to entries, as a broker stores them: [magic][CRC-32C][metadata size][MessageMetadata][payload]. A batch, one
// message, or the chunks of a message that is larger than the broker's limit.
import { randomUUID } from 'node:crypto';
import zlib from 'node:zlib';
import { BackupError } from '../../../errors.ts';
import type { OutgoingMessage, ProducerCompression } from '../../../ports.ts';
import { encodeMessage, type Fields } from './codec.ts';
import { crc32c } from './crc32c.ts';
import { COMPRESSION_TYPE, FRAME } from './tables.ts';

/** An entry with the fields of the SEND command that brings it. */
export interface OutgoingEntry {
  readonly sequenceId: number;
  readonly highestSequenceId: number;
  readonly messages: number;
  /** The message of which this is a part. */
  readonly chunkOf: OutgoingMessage | undefined;
  readonly bytes: Buffer;
}

/** What an entry needs besides its messages. */
export interface EntryOptions {
  readonly producerName: string;
  readonly publishTimeMs: number;
  readonly compression: ProducerCompression;
  /** The largest entry that the broker takes. */
  readonly maxEntryBytes: number;
}

const HEAD_BYTES = 10;
/** Room for the numbers of chunks. */
const CHUNK_METADATA_BYTES = 64;

/** Newer than the types of the oldest Node that this runs on. */
const zstdCompressSync = (zlib as { zstdCompressSync?: (bytes: Uint8Array) => Buffer }).zstdCompressSync;

/** How many bytes a message takes in a batch, about. */
export function sizeInBatch({ payload, key, orderingKey, properties }: OutgoingMessage): number {
  let size = (payload?.length ?? 0) + (key?.length ?? 0) * 3 + (orderingKey?.length ?? 0) + 64;
  for (const [name, value] of properties) size += (name.length + value.length) * 3 + 8;
  return size;
}

/** Several messages of one schema version as one entry (Pulsar binary protocol: batched messages). */
export function encodeBatch(messages: readonly OutgoingMessage[], options: EntryOptions): OutgoingEntry {
  const parts: Buffer[] = [];
  for (const message of messages) {
    const size = Buffer.allocUnsafe(4);
    const single = encodeMessage('SingleMessageMetadata', {
      ...describe(message),
      payloadSize: message.payload?.length ?? 0,
      sequenceId: message.sequenceId,
    });
    size.writeUInt32BE(single.length, 0);
    parts.push(size, single);
    if (message.payload !== null) parts.push(asBuffer(message.payload));
  }
  const raw = Buffer.concat(parts);
  const { compression, payload } = compress(raw, options.compression);
  const sequenceId = messages[0]?.sequenceId ?? 0;
  const highestSequenceId = messages.at(-1)?.sequenceId ?? sequenceId;
  const metadata = encodeMessage('MessageMetadata', {
    ...common(options, sequenceId, compression, raw.length),
    ...schemaOf(messages[0]),
    numMessagesInBatch: messages.length,
    highestSequenceId,
  });
  const bytes = frame(metadata, payload);
  return { sequenceId, highestSequenceId, messages: messages.length, chunkOf: undefined, bytes };
}

/**
 * One message as one entry, or as its chunks. These have an id of their own each time: a consumer that saw some of them
 * before (a connection or a process was lost) would take others of the same id for disorder, and drop the message.
 * @throws BackupError `source` where its metadata alone is too large
 */
export function encodeSingle(message: OutgoingMessage, options: EntryOptions): OutgoingEntry[] {
  const raw = message.payload === null ? Buffer.alloc(0) : asBuffer(message.payload);
  const { compression, payload } = compress(raw, options.compression);
  const { sequenceId } = message;
  const fields = {
    ...common(options, sequenceId, compression, raw.length),
    ...schemaOf(message),
    ...describe(message),
  };
  const metadata = encodeMessage('MessageMetadata', fields);
  const send = { sequenceId, highestSequenceId: sequenceId, messages: 1 };
  if (HEAD_BYTES + metadata.length + payload.length <= options.maxEntryBytes)
    return [{ ...send, chunkOf: undefined, bytes: frame(metadata, payload) }];

  const uuid = randomUUID();
  const room = options.maxEntryBytes - HEAD_BYTES - metadata.length - uuid.length - CHUNK_METADATA_BYTES;
  if (room <= 0) {
    throw new BackupError('source', `the properties of a message have ${metadata.length} bytes`, {
      hint: `The broker takes ${options.maxEntryBytes} bytes; leave this message out by its id.`,
    });
  }
  const count = Math.ceil(payload.length / room);
  return Array.from({ length: count }, (_, chunkId) => {
    const chunk = payload.subarray(chunkId * room, (chunkId + 1) * room);
    const own = { uuid, numChunksFromMsg: count, totalChunkMsgSize: payload.length, chunkId };
    const bytes = frame(encodeMessage('MessageMetadata', { ...fields, ...own }), chunk);
    return { ...send, chunkOf: message, bytes };
  });
}

function common(
  options: EntryOptions,
  sequenceId: number,
  compression: number,
  uncompressedSize: number,
): Fields<'MessageMetadata'> {
  const { producerName, publishTimeMs } = options;
  return {
    producerName,
    sequenceId,
    publishTime: publishTimeMs,
    uncompressedSize,
    ...(compression === COMPRESSION_TYPE.NONE ? {} : { compression }),
  };
}

/** An entry has one version for all of its messages. */
const schemaOf = (message: OutgoingMessage | undefined) =>
  message?.schemaVersion === undefined ? {} : { schemaVersion: message.schemaVersion };

/** What MessageMetadata and SingleMessageMetadata have in common, by the same names. */
function describe({ key, orderingKey, properties, eventTimeMs, payload }: OutgoingMessage) {
  return {
    ...(properties.length === 0
      ? {}
      : // The encoder writes bytes as they are.
        { properties: properties.map(([name, value]) => ({ key: name as string, value: value as string })) }),
    ...(key === undefined
      ? {}
      : typeof key === 'string'
        ? { partitionKey: key }
        : { partitionKey: asBuffer(key).toString('base64'), partitionKeyB64Encoded: true }),
    ...(orderingKey === undefined ? {} : { orderingKey }),
    ...(eventTimeMs === undefined ? {} : { eventTime: eventTimeMs }),
    ...(payload === null ? { nullValue: true } : {}),
  };
}

/** Compressed only where that makes it smaller. */
function compress(raw: Buffer, wanted: ProducerCompression): { compression: number; payload: Buffer } {
  if (wanted === 'none' || raw.length === 0) return { compression: COMPRESSION_TYPE.NONE, payload: raw };
  if (wanted === 'zstd' && zstdCompressSync === undefined) {
    throw new BackupError('config', 'publishing with zstd needs a Node version with zstd (22.15 or later)', {
      hint: 'Choose zlib.',
    });
  }
  const payload = wanted === 'zstd' ? zstdCompressSync?.(raw) : zlib.deflateSync(raw, { level: 3 });
  if (payload === undefined || payload.length >= raw.length)
    return { compression: COMPRESSION_TYPE.NONE, payload: raw };
  return { compression: wanted === 'zstd' ? COMPRESSION_TYPE.ZSTD : COMPRESSION_TYPE.ZLIB, payload };
}

/** A stored entry: checksum, metadata, payload. */
export function frame(metadata: Buffer, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + metadata.length + payload.length);
  bytes.writeUInt16BE(FRAME.checksumMagic, 0);
  bytes.writeUInt32BE(metadata.length, 6);
  bytes.set(metadata, HEAD_BYTES);
  bytes.set(payload, HEAD_BYTES + metadata.length);
  bytes.writeUInt32BE(crc32c(bytes, 6), 2);
  return bytes;
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
