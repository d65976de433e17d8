// Protocol Buffers, as far as Pulsar needs it, driven by the protocol tables. It refuses lengths that leave the
// message, groups, and nesting deeper than the protocol has. Strings of commands are read leniently: they are names
// and error texts; those of messages are not read here (entry-metadata.ts).
import { type FieldTable, MESSAGES } from './tables.ts';

type Messages = typeof MESSAGES;
/** A message of the protocol, by name. */
export type MessageName = keyof Messages;

/** 64-bit integers are numbers while they are exact, and bigints beyond 2^53. */
export type Integer = number | bigint;

interface Scalars {
  uint64: Integer;
  int64: Integer;
  uint32: number;
  int32: number;
  bool: boolean;
  string: string;
  bytes: Uint8Array;
  double: number;
}
type One<T> = T extends keyof Scalars ? Scalars[T] : T extends MessageName ? Fields<T> : never;
type Value<F> = F extends readonly [number, infer T, 'repeated']
  ? readonly One<T>[]
  : F extends readonly [number, infer T]
    ? One<T>
    : never;
/** What a message holds; absent fields are absent, repeated ones too. */
export type Fields<M extends MessageName> = {
  readonly [F in keyof Messages[M]]?: Value<Messages[M][F]> | undefined;
};

/** Bytes that are no valid message. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

const TWO_32 = 0x1_0000_0000;
const DEEPEST_NESTING = 6;

/** Reads the wire format from part of a buffer, and never beyond its end. */
export class Reader {
  readonly bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** The low 32 bits of a varint, unsigned; the rest is dropped as protobuf says for 32-bit fields. */
  uint32(): number {
    const { bytes, end } = this;
    let at = this.at;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw new ProtocolError('a number is cut off');
      const byte = bytes[at++] as number;
      if (shift < 35) value |= shift < 28 ? (byte & 0x7f) << shift : (byte & 0x0f) << 28;
      if (byte < 0x80) {
        this.at = at;
        return value >>> 0;
      }
    }
    throw new ProtocolError('a number has more than 10 bytes');
  }

  /** A 64-bit varint, unsigned. */
  uint64(): Integer {
    const { bytes, end } = this;
    const first = bytes[this.at] as number;
    if (this.at < end && first < 0x80) {
      this.at++;
      return first;
    }
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let index = 0; index < 10; index++) {
      if (this.at >= end) throw new ProtocolError('a number is cut off');
      const byte = bytes[this.at++] as number;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index < 8) middle |= bits << (7 * (index - 4));
      else high |= bits << (7 * (index - 8));
      if (byte < 0x80) {
        if (high === 0 && middle < 0x200_0000) return low + middle * 0x1000_0000;
        return BigInt.asUintN(64, BigInt(low) + (BigInt(middle) << 28n) + (BigInt(high) << 56n));
      }
    }
    throw new ProtocolError('a number has more than 10 bytes');
  }

  int64(): Integer {
    const value = this.uint64();
    if (typeof value === 'number') return value;
    const signed = BigInt.asIntN(64, value);
    return signed >= Number.MIN_SAFE_INTEGER && signed <= Number.MAX_SAFE_INTEGER ? Number(signed) : signed;
  }

  /** Steps over a length and gives the end of what it measures; `at` is its start. */
  lengthEnd(): number {
    const length = this.uint32();
    const end = this.at + length;
    if (end > this.end) throw new ProtocolError('a length leaves its message');
    return end;
  }

  /** The bytes of a length-delimited field, not copied. */
  slice(): Buffer {
    const end = this.lengthEnd();
    const slice = this.bytes.subarray(this.at, end);
    this.at = end;
    return slice;
  }

  double(): number {
    this.#need(8);
    this.at += 8;
    return this.bytes.readDoubleLE(this.at - 8);
  }

  /** Steps over a field of the given wire type. */
  skip(wireType: number): void {
    if (wireType === 0) this.uint64();
    else if (wireType === 2) this.at = this.lengthEnd();
    else if (wireType === 1 || wireType === 5) {
      const size = wireType === 1 ? 8 : 4;
      this.#need(size);
      this.at += size;
    } else throw new ProtocolError(`wire type ${wireType} is not used by this protocol`);
  }

  #need(size: number): void {
    if (this.at + size > this.end) throw new ProtocolError('a field is cut off');
  }
}

type Kind = keyof Scalars | 'message';
interface Field {
  readonly name: string;
  readonly number: number;
  readonly kind: Kind;
  readonly message: MessageName | undefined;
  readonly isRepeated: boolean;
  readonly wireType: number;
}

const fieldsOf = new Map<MessageName, readonly (Field | undefined)[]>();

function fieldTable(message: MessageName): readonly (Field | undefined)[] {
  const known = fieldsOf.get(message);
  if (known !== undefined) return known;
  const table: (Field | undefined)[] = [];
  for (const [name, [number, type, label]] of Object.entries<FieldTable>(MESSAGES[message])) {
    const isMessage = type in MESSAGES;
    const kind = isMessage ? 'message' : (type as Kind);
    table[number] = {
      name,
      number,
      kind,
      message: isMessage ? (type as MessageName) : undefined,
      isRepeated: label === 'repeated',
      wireType: kind === 'double' ? 1 : kind === 'string' || kind === 'bytes' || kind === 'message' ? 2 : 0,
    };
  }
  fieldsOf.set(message, table);
  return table;
}

/** Decodes a message. Nothing of it is a view into `bytes`. @throws ProtocolError */
export function decodeMessage<M extends MessageName>(
  message: M,
  bytes: Buffer,
  start = 0,
  end = bytes.length,
): Fields<M> {
  return decodeFields(message, new Reader(bytes, start, end), 0) as Fields<M>;
}

function decodeFields(message: MessageName, reader: Reader, depth: number): Record<string, unknown> {
  if (depth > DEEPEST_NESTING) throw new ProtocolError('messages are nested too deep');
  const table = fieldTable(message);
  const out: Record<string, unknown> = {};
  while (reader.at < reader.end) {
    const tag = reader.uint32();
    const field = table[tag >>> 3];
    const wireType = tag & 7;
    if (field === undefined) {
      reader.skip(wireType);
    } else if (field.isRepeated) {
      out[field.name] ??= [];
      const list = out[field.name] as unknown[];
      if (wireType === 2 && field.wireType === 0) {
        const packed = new Reader(reader.bytes, 0, reader.lengthEnd());
        packed.at = reader.at;
        while (packed.at < packed.end) list.push(decodeValue(field, packed, depth));
        reader.at = packed.end;
      } else {
        expectWireType(field, wireType);
        list.push(decodeValue(field, reader, depth));
      }
    } else {
      expectWireType(field, wireType);
      out[field.name] = decodeValue(field, reader, depth);
    }
  }
  return out;
}

function expectWireType(field: Field, wireType: number): void {
  if (wireType !== field.wireType) throw new ProtocolError(`${field.name} has wire type ${wireType}`);
}

function decodeValue(field: Field, reader: Reader, depth: number): unknown {
  switch (field.kind) {
    case 'uint64':
      return reader.uint64();
    case 'int64':
      return reader.int64();
    case 'uint32':
      return reader.uint32();
    case 'int32':
      return reader.uint32() | 0;
    case 'bool':
      return reader.uint64() !== 0;
    case 'string':
      return reader.slice().toString('utf8');
    case 'bytes':
      return Buffer.from(reader.slice());
    case 'double':
      return reader.double();
    case 'message': {
      const end = reader.lengthEnd();
      const nested = new Reader(reader.bytes, reader.at, end);
      reader.at = end;
      return decodeFields(field.message as MessageName, nested, depth + 1);
    }
  }
}

/** Encodes a message; fields that are absent or undefined are left out. */
export function encodeMessage<M extends MessageName>(message: M, fields: Fields<M>): Buffer {
  const out: number[] = [];
  encodeFields(message, fields as Record<string, unknown>, out);
  return Buffer.from(out);
}

function encodeFields(message: MessageName, fields: Record<string, unknown>, out: number[]): void {
  for (const field of fieldTable(message)) {
    if (field === undefined) continue;
    const value = fields[field.name];
    if (value === undefined) continue;
    if (field.isRepeated) for (const one of value as unknown[]) encodeField(field, one, out);
    else encodeField(field, value, out);
  }
}

function encodeField(field: Field, value: unknown, out: number[]): void {
  pushVarint(out, (field.number << 3) | field.wireType);
  switch (field.kind) {
    case 'string':
      pushBytes(out, Buffer.from(value as string, 'utf8'));
      break;
    case 'bytes':
      pushBytes(out, value as Uint8Array);
      break;
    case 'message': {
      const nested: number[] = [];
      encodeFields(field.message as MessageName, value as Record<string, unknown>, nested);
      pushBytes(out, nested);
      break;
    }
    case 'double': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value as number);
      for (const byte of bytes) out.push(byte);
      break;
    }
    case 'bool':
      out.push(value === true ? 1 : 0);
      break;
    default:
      pushVarint(out, value as Integer);
  }
}

function pushBytes(out: number[], bytes: ArrayLike<number>): void {
  pushVarint(out, bytes.length);
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i] as number);
}

function pushVarint(out: number[], value: Integer): void {
  if (typeof value === 'bigint' || value < 0) {
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest >= 0x80n) {
      out.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    out.push(Number(rest));
    return;
  }
  let rest = value;
  while (rest >= TWO_32) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest = rest >>> 7;
  }
  out.push(rest);
}
