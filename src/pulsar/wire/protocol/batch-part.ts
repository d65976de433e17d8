// The messages of a batch that a broker delivers where it has acknowledgements of the others: its ack set, the words of
// a java.util.BitSet in which the messages that are not acknowledged are set.
import type { Integer } from './codec.ts';

const WORD = 64n;

/** Some messages of a batch, by their indexes. */
export class BatchPart {
  /** Bit n: message n is delivered. */
  readonly #bits: bigint;
  readonly #size: number;

  private constructor(bits: bigint, size: number) {
    this.#bits = bits & (2n ** BigInt(size) - 1n);
    this.#size = size;
  }

  /** `undefined`: all `size` messages of the batch are delivered. */
  static of(ackSet: readonly Integer[] | undefined, size: number): BatchPart | undefined {
    if (ackSet === undefined || ackSet.length === 0) return undefined;
    const bits = ackSet.reduceRight<bigint>(
      (high, word) => (high << WORD) | BigInt.asUintN(64, BigInt(word)),
      0n,
    );
    const part = new BatchPart(bits, size);
    return part.count === size ? undefined : part;
  }

  /** How many messages are delivered. */
  get count(): number {
    let count = 0;
    for (let index = 0; index < this.#size; index++) if (this.has(index)) count++;
    return count;
  }

  has(index: number): boolean {
    return ((this.#bits >> BigInt(index)) & 1n) === 1n;
  }

  /** What both have. */
  and(other: BatchPart): BatchPart {
    return new BatchPart(this.#bits & other.#bits, this.#size);
  }

  /** The ack set that acknowledges these messages and leaves the others as they are. */
  get ackSet(): bigint[] {
    const words: bigint[] = [];
    for (let rest = (2n ** BigInt(this.#size) - 1n) ^ this.#bits; rest > 0n; rest >>= WORD) {
      words.push(BigInt.asIntN(64, rest));
    }
    return words;
  }
}
