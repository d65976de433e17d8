// Shared and Key_Shared: finds chunks that the broker keeps for a consumer that is gone. Brokers since 2.11 send all
// chunks of a message to the consumer that had the first of them (SharedConsumerAssignor).
import { isUpTo } from '../../format/entry-order.ts';
import type { StoredEntry } from './protocol/entry-decoder.ts';
import { isChunk } from './protocol/entry-metadata.ts';
import { readTopic, type TopicReaderOptions } from './topic-reader.ts';

/** How much is read for the rest of a message. Its producer sends it in one go. */
const MAX_READ = 10_000;
const MAX_BYTES_READ = 64 * 1_048_576;
const FIRST_PERMITS = 6;

/**
 * The chunks of the first message that is not acknowledged, as many as there are of it, if that is a message in chunks
 * and not whole; else none. `limitBytes`: of the chunks of one message. @throws BackupError `source`
 */
export async function findKeptChunks(
  options: TopicReaderOptions,
  limitBytes: number,
): Promise<readonly StoredEntry[]> {
  const { last, acknowledged } = await options.consumer().lastPositions();
  if (last === undefined || acknowledged === undefined) return [];
  const found: StoredEntry[] = [];
  let foundBytes = 0;
  let otherBytes = 0;
  let count = 0;
  let isReadThrough = false;
  await readTopic(options, { from: acknowledged, permits: FIRST_PERMITS }, (entry) => {
    const { id, metadata, sizeBytes } = entry;
    const isLeft = !isUpTo(id, acknowledged);
    const [first] = found;
    if (isLeft && isChunk(metadata) && metadata.uuid === (first?.metadata ?? metadata).uuid) {
      found.push(entry);
      foundBytes += sizeBytes;
    } else if (isLeft && first === undefined) return true;
    else otherBytes += sizeBytes;
    isReadThrough = isUpTo(last, id) || ++count >= MAX_READ || otherBytes > MAX_BYTES_READ;
    return isReadThrough || foundBytes > limitBytes;
  });
  const chunks = new Set(found.map(({ metadata }) => metadata?.chunkId));
  return isReadThrough && chunks.size < (found[0]?.metadata?.chunks ?? 0) ? found : [];
}
