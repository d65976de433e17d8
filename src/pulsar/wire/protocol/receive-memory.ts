// The memory that connections receive into: blocks that are used again once nobody uses an entry in them any more. A buffer
// for each entry would cost page faults, and the collector's time for each few megabytes that pass. It takes no block back
// that somebody holds: who never releases an entry, keeps it.

const MIN_BLOCK_BYTES = 256 * 1024;
const MAX_BLOCK_BYTES = 1024 * 1024;
/** A block is an eighth of the limit, between these. */
const BLOCKS = 8;

/** A block; one that receives, and each entry in it that is in use, holds it once. */
export class ReceiveBlock {
  readonly bytes: Buffer;
  readonly #onFree: (block: ReceiveBlock) => void;
  #holders = 0;

  constructor(sizeBytes: number, onFree: (block: ReceiveBlock) => void) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
    this.#onFree = onFree;
  }

  /** Its bytes stay as they are until `release`. */
  hold(): void {
    this.#holders++;
  }

  /** Ends one `hold`. Whoever held it last must not look at it any more. */
  release(): void {
    if (--this.#holders === 0) this.#onFree(this);
  }
}

/** One for all connections of a source. */
export class ReceiveMemory {
  readonly blockBytes: number;
  readonly #limitBytes: number;
  readonly #free: ReceiveBlock[] = [];
  #usedBytes = 0;

  /** `limitBytes`: of blocks in use. Beyond it, entries have to be copied out of their blocks; with 0, always. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.blockBytes = Math.min(MAX_BLOCK_BYTES, Math.max(MIN_BLOCK_BYTES, Math.floor(limitBytes / BLOCKS)));
  }

  /** What blocks take of which something is in use. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether too much is in use: an entry of a few bytes that waits keeps a whole block. */
  get isShort(): boolean {
    return this.#usedBytes > this.#limitBytes;
  }

  /** A block, held once. */
  take(): ReceiveBlock {
    const block = this.#free.pop() ?? new ReceiveBlock(this.blockBytes, (free) => this.#onFree(free));
    this.#usedBytes += this.blockBytes;
    block.hold();
    return block;
  }

  #onFree(block: ReceiveBlock): void {
    this.#usedBytes -= this.blockBytes;
    this.#free.push(block);
  }
}
