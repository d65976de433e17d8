// Protobuf for the broker's side, driven by the protocol tables. Small and plain on purpose: it is the second opinion
// on the encoding, so it shares only the tables with the driver. Unknown fields are skipped; groups are refused.
import { MESSAGES } from '../../pulsar/wire/protocol/tables.ts';

interface Scalars {
  uint64: number | bigint;
  int64: number | bigint;
  uint32: number;
  int32: number;
  double: number;
  bool: boolean;
  string: string;
  bytes: Uint8Array;
}

type ValueOf<T> = T extends keyof Scalars
  ? Scalars[T]
  : T extends keyof typeof MESSAGES
    ? FieldsOf<T>
    : never;

/** A message's fields by name. 64-bit integers are signed, and bigints only beyond 2^53. */
export type FieldsOf<M extends keyof typeof MESSAGES> = {
  -readonly [F in keyof (typeof MESSAGES)[M]]?: (typeof MESSAGES)[M][F] extends readonly [
    number,
    infer T,
    'repeated',
  ]
    ? ValueOf<T>[] | undefined
    : (typeof MESSAGES)[M][F] extends readonly [number, infer T]
      ? ValueOf<T> | undefined
      : never;
};

interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly repeated: boolean;
}

const layouts = new Map<string, { byName: Map<string, Field>; byNumber: Map<number, Field> }>();
for (const [message, table] of Object.entries(MESSAGES)) {
  const fields = Object.entries(table as Record<string, readonly [number, string, 'repeated'?]>).map(
    ([name, [number, type, label]]) => ({ name, number, type, repeated: label === 'repeated' }),
  );
  layouts.set(message, {
    byName: new Map(fields.map((field) => [field.name, field])),
    byNumber: new Map(fields.map((field) => [field.number, field])),
  });
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Bytes of a message. Undefined fields are left out, and nothing else is: defaults are written. */
export function encodeMessage<M extends keyof typeof MESSAGES>(message: M, fields: FieldsOf<M>): Buffer {
  const writer = new Writer();
  writer.message(message, fields as Record<string, unknown>);
  return writer.bytes();
}

/** Grows one shared buffer, and copies the result out of it. */
class Writer {
  static shared = Buffer.allocUnsafe(4096);
  #at = 0;

  message(message: string, fields: Record<string, unknown>): void {
    const layout = layouts.get(message);
    for (const name in fields) {
      const value = fields[name];
      if (value === undefined) continue;
      const field = layout?.byName.get(name);
      if (field === undefined) throw new Error(`${message} has no field ${name}`);
      if (!field.repeated) this.#field(field, value);
      else for (const item of value as unknown[]) this.#field(field, item);
    }
  }

  bytes(): Buffer {
    return Buffer.from(Writer.shared.subarray(0, this.#at));
  }

  #field({ number, type }: Field, value: unknown): void {
    if (type === 'double') {
      this.#varint(number * 8 + FIXED64);
      this.#reserve(8);
      this.#at = Writer.shared.writeDoubleLE(value as number, this.#at);
    } else if (isInteger(type)) {
      this.#varint(number * 8 + VARINT);
      this.#varint(type === 'bool' ? Number(value) : (value as number | bigint));
    } else {
      this.#varint(number * 8 + BYTES);
      if (type === 'string')
        this.#sized(Buffer.byteLength(value as string), () => this.#text(value as string));
      else if (type === 'bytes')
        this.#sized((value as Uint8Array).length, () => this.#raw(value as Uint8Array));
      else this.#nested(type, value as Record<string, unknown>);
    }
  }

  #sized(length: number, write: () => void): void {
    this.#varint(length);
    this.#reserve(length);
    write();
    this.#at += length;
  }

  #text(text: string): void {
    Writer.shared.write(text, this.#at);
  }

  #raw(bytes: Uint8Array): void {
    Writer.shared.set(bytes, this.#at);
  }

  /** Leaves one byte for the length, and moves the message if that was too little. */
  #nested(type: string, fields: Record<string, unknown>): void {
    this.#reserve(1);
    const start = this.#at++;
    this.message(type, fields);
    const length = this.#at - start - 1;
    if (length < 0x80) {
      Writer.shared[start] = length;
      return;
    }
    const body = Buffer.from(Writer.shared.subarray(start + 1, this.#at));
    this.#at = start;
    this.#sized(length, () => this.#raw(body));
  }

  #varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      let rest = value;
      for (; rest >= 0x80; rest = Math.floor(rest / 128)) Writer.shared[this.#at++] = (rest % 128) | 0x80;
      Writer.shared[this.#at++] = rest;
      return;
    }
    // Negative numbers are the ten bytes of their 64-bit two's complement, whatever their type.
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) Writer.shared[this.#at++] = Number(rest & 0x7fn) | 0x80;
    Writer.shared[this.#at++] = Number(rest);
  }

  #reserve(length: number): void {
    if (this.#at + length <= Writer.shared.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#at + length));
    Writer.shared.copy(larger, 0, 0, this.#at);
    Writer.shared = larger;
  }
}

/** Reads a message. Byte fields are views into `bytes`. @throws Error where the bytes are not such a message */
export function decodeMessage<M extends keyof typeof MESSAGES>(message: M, bytes: Buffer): FieldsOf<M> {
  return readMessage(message, bytes) as FieldsOf<M>;
}

function readMessage(message: string, bytes: Buffer): Record<string, unknown> {
  const layout = layouts.get(message);
  const fields: Record<string, unknown> = {};
  const reader = new Reader(bytes);
  while (!reader.isAtEnd) {
    const key = Number(reader.varint());
    const field = layout?.byNumber.get(Math.floor(key / 8));
    const wireType = key % 8;
    const raw = reader.value(wireType);
    if (field === undefined) continue;
    const values = interpret(field, wireType, raw);
    const list = fields[field.name] as unknown[] | undefined;
    if (!field.repeated) fields[field.name] = values[0];
    else if (list === undefined) fields[field.name] = values;
    else list.push(...values);
  }
  return fields;
}

function interpret(field: Field, wireType: number, raw: bigint | Buffer | number): unknown[] {
  const isVarint = isInteger(field.type);
  if (isVarint && wireType === BYTES && field.repeated) {
    const packed = new Reader(raw as Buffer);
    const values: unknown[] = [];
    while (!packed.isAtEnd) values.push(integer(field.type, packed.varint()));
    return values;
  }
  const expected = isVarint ? VARINT : field.type === 'double' ? FIXED64 : BYTES;
  if (wireType !== expected)
    throw new Error(`field ${field.name} has wire type ${wireType}, not ${expected}`);
  if (isVarint) return [integer(field.type, raw as bigint | number)];
  if (field.type === 'double') return [(raw as Buffer).readDoubleLE()];
  if (field.type === 'string') return [(raw as Buffer).toString('utf8')];
  return [field.type === 'bytes' ? raw : readMessage(field.type, raw as Buffer)];
}

function integer(type: string, raw: bigint | number): number | bigint | boolean {
  if (type === 'bool') return raw !== 0 && raw !== 0n;
  if (type === 'uint32') return Number(BigInt.asUintN(32, BigInt(raw)));
  if (type === 'int32') return Number(BigInt.asIntN(32, BigInt(raw)));
  if (typeof raw === 'number') return raw;
  const signed = BigInt.asIntN(64, raw);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
}

function isInteger(type: string): boolean {
  return type.endsWith('int64') || type.endsWith('int32') || type === 'bool';
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A number where it is below 2^49, else a bigint. */
  varint(): number | bigint {
    let result = 0;
    for (let index = 0, scale = 1; index < 7; index++, scale *= 128) {
      const byte = this.#byte();
      result += (byte & 0x7f) * scale;
      if (byte < 0x80) return result;
    }
    let large = BigInt(result);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      large |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return large;
    }
    throw new Error('a varint is longer than ten bytes');
  }

  value(wireType: number): number | bigint | Buffer {
    if (wireType === VARINT) return this.varint();
    if (wireType === BYTES) return this.#take(Number(this.varint()));
    if (wireType === FIXED64) return this.#take(8);
    if (wireType === FIXED32) return this.#take(4);
    throw new Error(`wire type ${wireType} is not in use`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error('a message ends in the middle of a field');
    return byte;
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new Error('a field is longer than its message');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
