// Who publishes to a topic: a name belongs to one producer at a time, and where duplicates are dropped, what has come
// under each name. As Pulsar does it in 3.0.7: of a message in chunks the last one counts. Nothing is forgotten, and nothing counted before
// `deduplicates` is on.

import type { Fields } from '../../pulsar/wire/protocol/codec.ts';
import { decodeMetadata } from './frames.ts';
import { signed } from './message-id.ts';

/** The producers of one topic or partition. */
export class TopicProducers {
  /** Whether messages whose sequence ids came before are dropped. */
  deduplicates = false;
  /** As up to Pulsar 3.0.0: the chunks of a message, all but the first, are taken for duplicates of it. */
  dropsChunks = false;
  readonly #connected = new Set<string>();
  readonly #highest = new Map<string, number>();

  /** False where somebody else has the name. */
  connect(name: string): boolean {
    if (this.#connected.has(name)) return false;
    this.#connected.add(name);
    return true;
  }

  disconnect(name: string): void {
    this.#connected.delete(name);
  }

  /** The highest sequence id that is there of that name; -1 where there is none, or duplicates are not dropped. */
  lastSequenceId(name: string): number {
    return this.#highest.get(name) ?? -1;
  }

  /** Counts an entry. False where it is to be dropped: the sequence id of its first message came before. */
  take(
    name: string,
    { sequenceId, highestSequenceId, isChunk = false }: Fields<'CommandSend'>,
    entry: Buffer,
  ): boolean {
    if (!this.deduplicates) return true;
    if (isChunk && !this.dropsChunks) {
      const { chunkId = 0, numChunksFromMsg = 1 } = decodeMetadata(entry);
      if (chunkId < numChunksFromMsg - 1) return true;
    }
    const first = signed(sequenceId ?? 0);
    const highest = this.#highest.get(name) ?? -1;
    if (first <= highest) return false;
    this.#highest.set(name, Math.max(first, signed(highestSequenceId ?? 0)));
    return true;
  }
}
