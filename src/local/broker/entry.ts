// An entry: what the broker must know of it to serve it, and where it is. Reads its metadata only, and bears any bytes.
import { decodeMetadata } from './frames.ts';

/** A place in a topic, in Pulsar's terms. Entry -1 is before the ledger's first. */
export interface Position {
  readonly ledgerId: number;
  readonly entryId: number;
}

/** What is given to be stored. */
export interface NewEntry {
  /** All that follows the command in a frame: checksum, metadata, payload. */
  readonly bytes: Buffer;
  /** How many messages its producer says it holds: what it costs in permits. */
  readonly messages: number;
  /** Whether the metadata has num_messages_in_batch: then message ids in it have a batch index. */
  readonly isBatch: boolean;
  /** What Key_Shared goes by: the ordering key, or else the key. */
  readonly stickyKey: string;
  readonly publishTimeMs: number;
}

/** What the topic keeps. */
export interface StoredEntry extends NewEntry, Position {
  /** 0 for the topic's first entry, counted over all ledgers. */
  readonly place: number;
  readonly storedAtMs: number;
}

/** An entry to store, from all that follows the command in its frame. */
export function describeEntry(bytes: Buffer): NewEntry {
  try {
    const { numMessagesInBatch, orderingKey, partitionKey, publishTime } = decodeMetadata(bytes);
    return {
      bytes,
      messages: numMessagesInBatch ?? 1,
      isBatch: numMessagesInBatch !== undefined,
      stickyKey:
        orderingKey === undefined ? (partitionKey ?? '') : Buffer.from(orderingKey).toString('base64'),
      publishTimeMs: Number(publishTime ?? 0),
    };
  } catch {
    return { bytes, messages: 1, isBatch: false, stickyKey: '', publishTimeMs: 0 };
  }
}
