// MessageMetadata and SingleMessageMetadata, read by hand: every message passes here. All fields are always present,
// so that the objects have one shape. Strings that are no valid UTF-8 are given as bytes: replacement characters would
// lose what was there.
import type { Text, TimeMs } from '../../../ports.ts';
import { ProtocolError, Reader } from './codec.ts';

/** A property of a message: a name may repeat. */
export type Property = readonly [name: Text, value: Text];

/** What the producer wrote before an entry's payload. */
export interface EntryMetadata {
  producer: Text | undefined;
  sequenceId: number | bigint | undefined;
  publishTimeMs: TimeMs;
  properties: readonly Property[];
  replicatedFrom: Text | undefined;
  key: Text | undefined;
  compression: number;
  uncompressedSize: number;
  /** `undefined`: not a batch. */
  messagesInBatch: number | undefined;
  eventTimeMs: TimeMs | undefined;
  isEncrypted: boolean;
  schemaVersion: Uint8Array | undefined;
  orderingKey: Uint8Array | undefined;
  isMarker: boolean;
  isNull: boolean;
  uuid: string | undefined;
  chunks: number | undefined;
  chunkId: number | undefined;
  chunkedSizeBytes: number | undefined;
  /** Where compaction rewrote the batch: the original place of each message it left. */
  compactedIndexes: number[] | undefined;
}

/** What precedes one message of a batch. */
export interface SingleMetadata {
  properties: readonly Property[];
  key: Text | undefined;
  payloadSize: number;
  isCompactedOut: boolean;
  eventTimeMs: TimeMs | undefined;
  orderingKey: Uint8Array | undefined;
  sequenceId: number | bigint | undefined;
  isNull: boolean;
}

const NO_PROPERTIES: readonly Property[] = [];
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Names, values and keys repeat: finding an earlier text is faster than making it. */
const RECENT_MAX_BYTES = 32;
const recent: string[] = new Array(2_048).fill('');

/** Short ASCII is by far the most frequent; for it a loop is faster than any decoder. */
function textOf(bytes: Buffer, start: number, end: number): Text {
  let hash = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte >= 0x80) return decodeText(bytes, start, end);
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  const length = end - start;
  if (length > RECENT_MAX_BYTES) return bytes.toString('latin1', start, end);
  const slot = (hash ^ (hash >>> 11)) & (recent.length - 1);
  const found = recent[slot] as string;
  if (found.length === length && isText(found, bytes, start)) return found;
  const text = bytes.toString('latin1', start, end);
  recent[slot] = text;
  return text;
}

function isText(text: string, bytes: Buffer, start: number): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) !== bytes[start + at]) return false;
  }
  return true;
}

function decodeText(bytes: Buffer, start: number, end: number): Text {
  const slice = bytes.subarray(start, end);
  try {
    return strict.decode(slice);
  } catch {
    return Buffer.from(slice);
  }
}

function readText(reader: Reader): Text {
  const end = reader.lengthEnd();
  const text = textOf(reader.bytes, reader.at, end);
  reader.at = end;
  return text;
}

function readProperty(reader: Reader): Property {
  const end = reader.lengthEnd();
  let name: Text = '';
  let value: Text = '';
  while (reader.at < end) {
    const tag = reader.uint32();
    if (tag === 0x0a) name = readText(reader);
    else if (tag === 0x12) value = readText(reader);
    else reader.skip(tag & 7);
  }
  if (reader.at !== end) throw new ProtocolError('a property leaves its message');
  return [name, value];
}

function finalKey(key: Text | undefined, isBase64: boolean, isNull: boolean): Text | undefined {
  if (isNull || key === undefined) return undefined;
  if (!isBase64 || typeof key !== 'string') return key;
  const bytes = Buffer.from(key, 'base64');
  return bytes.toString('base64') === key ? bytes : key;
}

/** Clients keep properties in a map: of two with one name, the last counts. */
function withoutRepeats(properties: Property[] | undefined): readonly Property[] {
  if (properties === undefined) return NO_PROPERTIES;
  if (properties.length <= FEW_PROPERTIES && !mayRepeat(properties)) return properties;
  const names = new Set<string>();
  for (const [name] of properties) names.add(nameOf(name));
  if (names.size === properties.length) return properties;
  return [...new Map(properties.map((pair) => [nameOf(pair[0]), pair])).values()];
}

/** So few are compared with each other; a set of them would be garbage for each message. */
const FEW_PROPERTIES = 8;

function mayRepeat(properties: readonly Property[]): boolean {
  for (let at = 0; at < properties.length; at++) {
    const [name] = properties[at] as Property;
    if (typeof name !== 'string') return true;
    for (let before = 0; before < at; before++) if ((properties[before] as Property)[0] === name) return true;
  }
  return false;
}

/** One string for the same bytes, whatever they are, to compare texts by. No valid text begins with half a character. */
const nameOf = (text: Text): string =>
  typeof text === 'string' ? text : `\ud800${Buffer.from(text).toString('latin1')}`;

/** Copies, so that a key does not keep the whole entry in memory. */
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

/** Reads an entry's MessageMetadata. @throws ProtocolError */
export function readEntryMetadata(bytes: Buffer, start: number, end: number): EntryMetadata {
  const reader = new Reader(bytes, start, end);
  const metadata: EntryMetadata = {
    producer: undefined,
    sequenceId: undefined,
    publishTimeMs: 0,
    properties: NO_PROPERTIES,
    replicatedFrom: undefined,
    key: undefined,
    compression: 0,
    uncompressedSize: 0,
    messagesInBatch: undefined,
    eventTimeMs: undefined,
    isEncrypted: false,
    schemaVersion: undefined,
    orderingKey: undefined,
    isMarker: false,
    isNull: false,
    uuid: undefined,
    chunks: undefined,
    chunkId: undefined,
    chunkedSizeBytes: undefined,
    compactedIndexes: undefined,
  };
  let properties: Property[] | undefined;
  let hasPublishTime = false;
  let isBase64Key = false;
  let isNullKey = false;
  while (reader.at < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x0a: // producer_name 1
        metadata.producer = readText(reader);
        break;
      case 0x10: // sequence_id 2
        metadata.sequenceId = reader.uint64();
        break;
      case 0x18: // publish_time 3
        metadata.publishTimeMs = reader.int64();
        hasPublishTime = true;
        break;
      case 0x22: // properties 4
        properties ??= [];
        properties.push(readProperty(reader));
        break;
      case 0x2a: // replicated_from 5
        metadata.replicatedFrom = readText(reader);
        break;
      case 0x32: // partition_key 6
        metadata.key = readText(reader);
        break;
      case 0x40: // compression 8
        metadata.compression = reader.uint32();
        break;
      case 0x48: // uncompressed_size 9
        metadata.uncompressedSize = reader.uint32();
        break;
      case 0x58: // num_messages_in_batch 11
        metadata.messagesInBatch = reader.uint32() | 0;
        break;
      case 0x60: // event_time 12
        metadata.eventTimeMs = reader.int64() || undefined;
        break;
      case 0x6a: // encryption_keys 13
        metadata.isEncrypted = true;
        reader.skip(2);
        break;
      case 0x82: // schema_version 16
        metadata.schemaVersion = copyOf(reader.slice());
        break;
      case 0x88: // partition_key_b64_encoded 17
        isBase64Key = reader.uint64() !== 0;
        break;
      case 0x92: // ordering_key 18
        metadata.orderingKey = copyOf(reader.slice());
        break;
      case 0xa0: // marker_type 20
        metadata.isMarker = true;
        reader.skip(0);
        break;
      case 0xc8: // null_value 25
        metadata.isNull = reader.uint64() !== 0;
        break;
      case 0xd2: // uuid 26
        metadata.uuid = nameOf(readText(reader));
        break;
      case 0xd8: // num_chunks_from_msg 27
        metadata.chunks = reader.uint32() | 0;
        break;
      case 0xe0: // total_chunk_msg_size 28
        metadata.chunkedSizeBytes = reader.uint32() | 0;
        break;
      case 0xe8: // chunk_id 29
        metadata.chunkId = reader.uint32() | 0;
        break;
      case 0xf0: // null_partition_key 30
        isNullKey = reader.uint64() !== 0;
        break;
      case 0xf8: // compacted_batch_indexes 31
        metadata.compactedIndexes ??= [];
        metadata.compactedIndexes.push(reader.uint32() | 0);
        break;
      default:
        if (tag >>> 3 === 0) throw new ProtocolError('its metadata has a field without a number');
        reader.skip(tag & 7);
    }
  }
  if (!hasPublishTime) throw new ProtocolError('its metadata has no publish time');
  metadata.properties = withoutRepeats(properties);
  metadata.key = finalKey(metadata.key, isBase64Key, isNullKey);
  return metadata;
}

/** Reads a SingleMessageMetadata. @throws ProtocolError */
export function readSingleMetadata(bytes: Buffer, start: number, end: number): SingleMetadata {
  const reader = new Reader(bytes, start, end);
  const metadata: SingleMetadata = {
    properties: NO_PROPERTIES,
    key: undefined,
    payloadSize: 0,
    isCompactedOut: false,
    eventTimeMs: undefined,
    orderingKey: undefined,
    sequenceId: undefined,
    isNull: false,
  };
  let properties: Property[] | undefined;
  let isBase64Key = false;
  let isNullKey = false;
  while (reader.at < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x0a: // properties 1
        properties ??= [];
        properties.push(readProperty(reader));
        break;
      case 0x12: // partition_key 2
        metadata.key = readText(reader);
        break;
      case 0x18: // payload_size 3
        metadata.payloadSize = reader.uint32() | 0;
        break;
      case 0x20: // compacted_out 4
        metadata.isCompactedOut = reader.uint64() !== 0;
        break;
      case 0x28: // event_time 5
        metadata.eventTimeMs = reader.int64() || undefined;
        break;
      case 0x30: // partition_key_b64_encoded 6
        isBase64Key = reader.uint64() !== 0;
        break;
      case 0x3a: // ordering_key 7
        metadata.orderingKey = copyOf(reader.slice());
        break;
      case 0x40: // sequence_id 8
        metadata.sequenceId = reader.uint64();
        break;
      case 0x48: // null_value 9
        metadata.isNull = reader.uint64() !== 0;
        break;
      case 0x50: // null_partition_key 10
        isNullKey = reader.uint64() !== 0;
        break;
      default:
        if (tag >>> 3 === 0) throw new ProtocolError('its metadata has a field without a number');
        reader.skip(tag & 7);
    }
  }
  metadata.properties = withoutRepeats(properties);
  metadata.key = finalKey(metadata.key, isBase64Key, isNullKey);
  return metadata;
}

/** How many messages a MessageMetadata says its entry has, read leniently: the broker counts permits by it. */
export function peekMessageCount(bytes: Buffer, start: number, end: number): number {
  let count = 1;
  try {
    const reader = new Reader(bytes, start, end);
    while (reader.at < end) {
      const tag = reader.uint32();
      if (tag === 0x58) count = reader.uint32() | 0;
      else reader.skip(tag & 7);
    }
  } catch {
    // What was read up to here is all there is.
  }
  return count;
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
