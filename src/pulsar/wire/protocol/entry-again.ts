// A stored entry made ready to be published again: all of it as it was, but for what belongs to the producer that sends it.
// It decodes no payload, so it works for what nobody here can decode.
import { encodeMessage, Reader } from './codec.ts';
import { checksumFault, metadataStartOf } from './entry-decoder.ts';
import { peekMessageCount } from './entry-metadata.ts';
import { frame, type OutgoingEntry } from './producer-entry.ts';
import { MESSAGES } from './tables.ts';

const FIELDS = MESSAGES.MessageMetadata;
/**
 * The broker counts a producer's entries by name and sequence id, also when it reads them back; a transaction and a
 * replication of the first life would keep consumers and other clusters from getting it.
 */
const NOT_TAKEN_OVER: ReadonlySet<number> = new Set(
  [
    FIELDS.producerName,
    FIELDS.sequenceId,
    FIELDS.highestSequenceId,
    FIELDS.txnidLeastBits,
    FIELDS.txnidMostBits,
    FIELDS.replicatedFrom,
  ].map(([number]) => number),
);

/** The entry as this producer sends it, its checksum made anew. @throws Error whose message says to a person why no broker would take it, or no consumer could */
export function againAs(producerName: string, sequenceId: number, bytes: Uint8Array): OutgoingEntry {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const fault = checksumFault(raw);
  if (fault !== undefined) throw new Error(`${fault}, and brokers refuse that`);
  const start = metadataStartOf(raw);
  const end = raw.length < start ? Number.POSITIVE_INFINITY : start + raw.readUInt32BE(start - 4);
  if (end > raw.length) throw new Error('it has no metadata that a broker could read');
  const own = encodeMessage('MessageMetadata', { producerName, sequenceId });
  const metadata = Buffer.concat([own, ...fieldsToKeep(raw, start, end)]);
  const messages = Math.max(1, peekMessageCount(raw, start, end));
  return {
    sequenceId,
    highestSequenceId: sequenceId,
    messages,
    chunkOf: undefined,
    bytes: frame(metadata, raw.subarray(end)),
  };
}

function fieldsToKeep(raw: Buffer, start: number, end: number): Buffer[] {
  const reader = new Reader(raw, start, end);
  const kept: Buffer[] = [];
  while (reader.at < end) {
    const at = reader.at;
    const tag = reader.uint32();
    reader.skip(tag & 7);
    if (!NOT_TAKEN_OVER.has(tag >>> 3)) kept.push(raw.subarray(at, reader.at));
  }
  return kept;
}
