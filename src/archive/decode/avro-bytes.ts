// Reads the encoding of Avro 1.11 (its specification, "Binary Encoding"). Trusts no length: nothing becomes larger
// than the bytes allow, and a budget limits values that take no bytes.
import { isUtf8 } from 'node:buffer';
import { Misfit } from './misfit.ts';
import { exactNumber } from './value-type.ts';

/** Values that may be in a payload beside those that its bytes allow; items of arrays that take no bytes are of these. */
const SPARE_VALUES = 100_000;
const VALUES_PER_BYTE = 4;

/** How deep values may be nested: far more than a person writes, far less than the stack holds. */
export const MAX_DEPTH = 500;

/** A payload, read from its begin to its end. */
export class AvroBytes {
  readonly #bytes: Buffer;
  #at = 0;
  #values: number;
  #emptyItems = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#values = SPARE_VALUES + bytes.length * VALUES_PER_BYTE;
  }

  /** @throws Misfit where bytes are left */
  expectEnd(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new Misfit(`${left} bytes follow the value`);
  }

  /** Counts one value. */
  count(): void {
    if (--this.#values < 0) throw tooMany();
  }

  /** Reads what is inside of something. */
  nested<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new Misfit('it is nested too deeply');
    const value = read();
    this.#depth--;
    return value;
  }

  /** The next bytes, not copied. */
  take(length: number): Buffer {
    const left = this.#bytes.length - this.#at;
    if (!(length >= 0 && length <= left)) throw new Misfit(`${length} bytes should follow, ${left} are left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new Misfit('it ends too early');
    this.#at++;
    return byte;
  }

  boolean(): boolean {
    const byte = this.byte();
    if (byte > 1) throw new Misfit(`${byte} is no boolean`);
    return byte === 1;
  }

  /** A zig-zag number of at most 64 bits. */
  long(): number | bigint {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      // 7 × 7 bits, then the other 15.
      if (i < 7) low += (byte & 0x7f) * 2 ** (7 * i);
      else high += (byte & 0x7f) * 2 ** (7 * (i - 7));
      if (byte < 0x80) return fromZigZag(low, high);
    }
    throw new Misfit('a number has more than 64 bits');
  }

  int(): number {
    const value = this.long();
    if (typeof value === 'bigint' || value !== (value | 0))
      throw new Misfit(`${value} has more than 32 bits`);
    return value;
  }

  float(): number {
    return this.take(4).readFloatLE();
  }

  double(): number {
    return this.take(8).readDoubleLE();
  }

  bytes(): Buffer {
    return this.take(Number(this.long()));
  }

  string(): string {
    const bytes = this.bytes();
    if (!isUtf8(bytes)) throw new Misfit('a text is no valid UTF-8');
    return bytes.toString();
  }

  /** The blocks of an array or a map: calls `read` for each item. */
  items(read: () => void): void {
    for (;;) {
      let count = Number(this.long());
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        // The size of the block, for who skips it.
        this.long();
      }
      for (; count > 0; count--) {
        const start = this.#at;
        this.count();
        read();
        if (this.#at === start && ++this.#emptyItems > SPARE_VALUES) throw tooMany();
      }
    }
  }
}

const tooMany = () => new Misfit('it has more values than its bytes can hold');

const LOW = 2 ** 49;

function fromZigZag(low: number, high: number): number | bigint {
  if (high < 16) {
    const value = low + high * LOW;
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
  if (high >= 2 ** 15) throw new Misfit('a number has more than 64 bits');
  const value = BigInt(low) + BigInt(high) * BigInt(LOW);
  return exactNumber((value >> 1n) ^ -(value & 1n));
}
