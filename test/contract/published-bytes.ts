// The entries of the contract suite as a producer writes them, on the codec of the loopback broker.
import type { PublishOptions } from '../stand-ins/broker/publish.ts';
import type { PublishedEntry } from './source-setup.ts';

export function publishOptions({ messages, isBatch, ...entry }: PublishedEntry): PublishOptions {
  return {
    batchSize: isBatch ? messages.length : 0,
    compression: entry.compression ?? 'none',
    producerName: entry.producer ?? 'contract',
    ...(entry.chunkSizeBytes !== undefined && { chunkSizeBytes: entry.chunkSizeBytes }),
  };
}

/** Metadata of an entry that is encrypted; nobody has the key. */
export const ENCRYPTED = {
  producerName: 'contract',
  sequenceId: 0,
  encryptionKeys: [{ key: 'contract.key', value: Uint8Array.of(1, 2, 3) }],
  encryptionParam: new Uint8Array(12),
};
