// What the broker must know of an entry to serve it. It looks at the metadata only, and bears with any bytes.
import { decodeMetadata } from './frames.ts';
import type { NewEntry } from './topic.ts';

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
