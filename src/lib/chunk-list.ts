// Bytes to send, copied into blocks of one size. Blocks are reused: once a body was sent and its call has succeeded,
// its blocks hold the next bytes. A new buffer for each piece would cost a page fault for every 4 KB, and time for
// garbage collection.
import type { Body } from '../ports.ts';

export const BLOCK_BYTES = 65_536;
/**
 * The number of blocks to keep for reuse: 64 MiB, the limit of parallel uploads. There are never more blocks than
 * were in use at one time. With 16 MiB, blocks of uploads that ended together were freed, and the next bytes cost
 * page faults again.
 */
const MAX_FREE_BLOCKS = 1_024;

const freeBlocks: Buffer[] = [];

/**
 * Copies the given bytes: they may change after the call. `onBytes` receives all bytes once, in order, at the latest
 * when they are taken out: block by block, while they are in the processor's cache.
 */
export class ChunkList {
  readonly #onBytes: ((bytes: Uint8Array) => void) | undefined;
  #blocks: Buffer[] = [];
  #sizeBytes = 0;
  /** Of the last block. */
  #usedBytes = BLOCK_BYTES;

  constructor(onBytes?: (bytes: Uint8Array) => void) {
    this.#onBytes = onBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      if (this.#usedBytes === BLOCK_BYTES) {
        this.#blocks.push(freeBlocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES));
        this.#usedBytes = 0;
      }
      const end = Math.min(bytes.length, at + BLOCK_BYTES - this.#usedBytes);
      const block = this.#blocks[this.#blocks.length - 1] as Buffer;
      block.set(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end), this.#usedBytes);
      this.#usedBytes += end - at;
      at = end;
      if (this.#usedBytes === BLOCK_BYTES) this.#onBytes?.(block);
    }
  }

  /** Takes everything out, in order. */
  takeAll(): BlockBody {
    const last = this.#blocks[this.#blocks.length - 1];
    if (last !== undefined && this.#usedBytes < BLOCK_BYTES)
      this.#onBytes?.(last.subarray(0, this.#usedBytes));
    const taken = new BlockBody(this.#blocks, this.#sizeBytes);
    this.#blocks = [];
    this.#sizeBytes = 0;
    this.#usedBytes = BLOCK_BYTES;
    return taken;
  }
}

/** The bytes of a list, to be sent. */
export class BlockBody implements Body {
  readonly sizeBytes: number;
  #blocks: Buffer[];
  #readings = 0;

  constructor(blocks: Buffer[], sizeBytes: number) {
    this.#blocks = blocks;
    this.sizeBytes = sizeBytes;
  }

  /** For senders, which may keep them as long as their request lives. */
  get chunks(): readonly Uint8Array[] {
    this.#readings++;
    return [...this.views()];
  }

  /** The bytes, for callers that keep none of them. */
  *views(): Generator<Uint8Array, void, undefined> {
    let left = this.sizeBytes;
    for (const block of this.#blocks) {
      yield left < BLOCK_BYTES ? block.subarray(0, left) : block;
      left -= BLOCK_BYTES;
    }
  }

  /**
   * The call that sent it has succeeded: its blocks can be reused, unless an earlier request was aborted, because
   * that one may still be sending and must not send other bytes.
   */
  recycle(): void {
    const blocks = this.#readings > 1 ? [] : this.#blocks;
    this.#blocks = [];
    for (const block of blocks) if (freeBlocks.length < MAX_FREE_BLOCKS) freeBlocks.push(block);
  }
}
