// Bytes that wait to be sent, copied into blocks of one size. Blocks go round: those of a body that was sent once, and
// whose call has succeeded, take the next bytes. A buffer for each piece would cost a page fault for every 4 KB, and the
// collector's time.
import type { Body } from '../ports.ts';

export const BLOCK_BYTES = 65_536;
/**
 * So many are kept to be used again: 64 MiB, which is what uploads may hold at once. There are never more blocks than were
 * in use at one time; with 16 MiB, uploads that ended together had theirs freed, and the next bytes cost page faults again.
 */
const MAX_FREE_BLOCKS = 1_024;

const freeBlocks: Buffer[] = [];

/**
 * Copies what it is given: it may be changed after the call. `onBytes` sees all bytes once, in order, at the latest when they
 * are taken out: block by block, while the processor has them at hand.
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

/** What a list had, to be sent. */
export class BlockBody implements Body {
  readonly sizeBytes: number;
  #blocks: Buffer[];
  #readings = 0;

  constructor(blocks: Buffer[], sizeBytes: number) {
    this.#blocks = blocks;
    this.sizeBytes = sizeBytes;
  }

  /** For those who send it: whoever asks may keep them for as long as its request lives. */
  get chunks(): readonly Uint8Array[] {
    this.#readings++;
    return [...this.views()];
  }

  /** The bytes, for those who keep none of them. */
  *views(): Generator<Uint8Array, void, undefined> {
    let left = this.sizeBytes;
    for (const block of this.#blocks) {
      yield left < BLOCK_BYTES ? block.subarray(0, left) : block;
      left -= BLOCK_BYTES;
    }
  }

  /**
   * The call that sent it has succeeded: its blocks are used again, unless a request was cut before that one. Such a
   * request may be sending still, and must not send other bytes.
   */
  recycle(): void {
    const blocks = this.#readings > 1 ? [] : this.#blocks;
    this.#blocks = [];
    for (const block of blocks) if (freeBlocks.length < MAX_FREE_BLOCKS) freeBlocks.push(block);
  }
}
