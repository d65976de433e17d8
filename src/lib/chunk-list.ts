// Bytes that wait to be sent: a list of chunks. Small ones are copied together, large ones are kept as they are.

const BLOCK_BYTES = 65_536;
const SMALL_BYTES = 8_192;

export class ChunkList {
  #chunks: Uint8Array[] = [];
  #sizeBytes = 0;
  #block: Buffer | undefined;
  #blockUsed = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    if (bytes.length > SMALL_BYTES) {
      this.#closeBlock();
      this.#chunks.push(bytes);
      return;
    }
    if (this.#block !== undefined && this.#blockUsed + bytes.length > BLOCK_BYTES) this.#closeBlock();
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#block.set(bytes, this.#blockUsed);
    this.#blockUsed += bytes.length;
  }

  /** Takes everything out, in order. */
  takeAll(): { chunks: readonly Uint8Array[]; sizeBytes: number } {
    this.#closeBlock();
    const taken = { chunks: this.#chunks, sizeBytes: this.#sizeBytes };
    this.#chunks = [];
    this.#sizeBytes = 0;
    return taken;
  }

  #closeBlock(): void {
    if (this.#block === undefined) return;
    this.#chunks.push(this.#block.subarray(0, this.#blockUsed));
    this.#block = undefined;
    this.#blockUsed = 0;
  }
}
