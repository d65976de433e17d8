// Converts pulsar-client's messages to ours: parses ids, and copies every field at once, because the client's Message
// keeps its whole batch in memory that V8 does not see. Invents nothing that the client does not report.
import { BackupError } from '../../errors.ts';
import type { EntryId, Message, TimeMs } from '../../ports.ts';
import type { NativeEncryptionContext, NativeMessage, NativeMessageId } from './addon.ts';

/** The position of a message, and for a chunked one that of its first chunk. */
export interface Position extends EntryId {
  readonly batchIndex: number;
  /** The first entry of a chunked message; else the entry itself. */
  readonly first: EntryId;
}

/** Reads `(ledger,entry,partition,batchIndex)` or, of a chunked message, `(first);(last)`. @throws BackupError `source` */
export function parsePosition(id: NativeMessageId): Position {
  const text = id.toString();
  const cut = text.indexOf(';');
  const last = numbersOf(cut < 0 ? text : text.slice(cut + 1));
  const first = cut < 0 ? last : numbersOf(text.slice(0, cut));
  const [ledgerId, entryId, , batchIndex] = last;
  const [firstLedgerId, firstEntryId] = first;
  if (last.length !== 4 || first.length !== 4 || [...last, ...first].some(Number.isNaN)) {
    throw new BackupError('source', `pulsar-client gave a message id that is none: ${text}`, {
      hint: 'This version of pulsar-client is not supported; use 1.14.0 to 1.18.0, or PULSAR_DRIVER=wire.',
    });
  }
  return {
    ledgerId: ledgerId as number,
    entryId: entryId as number,
    batchIndex: batchIndex as number,
    first: { ledgerId: firstLedgerId as number, entryId: firstEntryId as number },
  };
}

const numbersOf = (text: string): number[] => text.replace(/[()]/g, '').split(',').map(Number);

/** MessageIdData.batch_size (PulsarApi.proto). */
const BATCH_SIZE_FIELD = 6;

/** How many messages the entry had when it was published; `undefined` where the id does not contain it. */
export function batchSizeOf(id: NativeMessageId): number | undefined {
  const bytes = id.serialize();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const value = varint();
    if (tag >> 3 === BATCH_SIZE_FIELD) return value;
    if ((tag & 7) === 2) at += value;
  }
  return undefined;
}

/** The message, complete as far as the client reports it: no sequence id, no schema version, no tombstones. */
export function toMessage(native: NativeMessage, at: Position, partition: number, topic: string): Message {
  const orderingKey = native.getOrderingKey();
  return {
    id: { ledgerId: at.ledgerId, entryId: at.entryId, partition, batchIndex: at.batchIndex },
    topic,
    publishTimeMs: timeOf(native.getPublishTimestamp()),
    eventTimeMs: timeOf(native.getEventTimestamp()) || undefined,
    key: native.getPartitionKey() || undefined,
    orderingKey: orderingKey ? Buffer.from(orderingKey) : undefined,
    properties: propertiesOf(native, at),
    producer: native.getProducerName?.() || undefined,
    sequenceId: undefined,
    schemaVersion: undefined,
    replicatedFrom: native.getReplicatedFrom?.() || undefined,
    payload: native.getData(),
  };
}

/** It has 64 bits, which the client reads as unsigned and rounds to a double: beyond 2^53 it is inexact. */
function timeOf(rounded: number): TimeMs {
  const timeMs = rounded >= 2 ** 63 ? rounded - 2 ** 64 : rounded;
  return Number.isSafeInteger(timeMs) ? timeMs : BigInt(timeMs);
}

/**
 * The client returns an Array with named keys; a key named `length` breaks that Array, and must not be lost silently.
 */
function propertiesOf(native: NativeMessage, at: Position): [name: string, value: string][] {
  let cause: unknown;
  try {
    const named = native.getProperties();
    const properties = Object.entries(named);
    const length = properties.reduce(
      (most, [name]) => Math.max(most, isIndex(name) ? Number(name) + 1 : 0),
      0,
    );
    if (!Array.isArray(named) || named.length === length) return properties;
  } catch (error) {
    cause = error;
  }
  throw new BackupError(
    'corrupt',
    `pulsar-client cannot hand over the properties of message ${at.ledgerId}:${at.entryId}:${at.batchIndex}`,
    {
      hint: "It has a property named 'length', which this client loses. PULSAR_DRIVER=wire reads it; nothing of it was acknowledged.",
      cause,
    },
  );
}

const isIndex = (name: string) => /^(?:0|[1-9]\d{0,9})$/.test(name) && Number(name) < 2 ** 32 - 1;

/** Everything needed to decrypt the message later: one line of JSON, then its bytes as the producer sent them. */
export function rawOfEncrypted(native: NativeMessage, context: NativeEncryptionContext): Uint8Array {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const header = {
    publishTime: native.getPublishTimestamp(),
    eventTime: native.getEventTimestamp(),
    key: native.getPartitionKey(),
    orderingKey: native.getOrderingKey(),
    properties: { ...native.getProperties() },
    producer: native.getProducerName?.(),
    encryption: {
      algorithm: context.algorithm,
      param: base64(context.param),
      keys: context.keys.map(({ key, value, metadata }) => ({ key, value: base64(value), metadata })),
      compression: context.compressionType,
      uncompressedSize: context.uncompressedMessageSize,
      batchSize: context.batchSize,
    },
  };
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), native.getData()]);
}
