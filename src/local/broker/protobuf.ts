// Protobuf for the broker's side, driven by the protocol tables. Small and plain on purpose: it is the second opinion
// on the encoding, so it shares only the tables with the driver. Unknown fields are skipped; groups are refused.
import { MESSAGES } from '../../pulsar/wire/protocol-tables.ts';

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

/** Bytes of a message. Absent and undefined fields are left out; so is nothing else, defaults are written. */
export function encodeMessage<M extends keyof typeof MESSAGES>(message: M, fields: FieldsOf<M>): Buffer {
  const out: number[] = [];
  const parts: Buffer[] = [];
  writeMessage(message, fields as Record<string, unknown>, out, parts);
  if (out.length > 0) parts.push(Buffer.from(out));
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

function writeMessage(
  message: string,
  fields: Record<string, unknown>,
  out: number[],
  parts: Buffer[],
): void {
  const layout = layouts.get(message);
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    const field = layout?.byName.get(name);
    if (field === undefined) throw new Error(`${message} has no field ${name}`);
    if (!field.repeated) writeField(field, value, out, parts);
    else for (const item of value as unknown[]) writeField(field, item, out, parts);
  }
}

function writeField(field: Field, value: unknown, out: number[], parts: Buffer[]): void {
  switch (field.type) {
    case 'uint64':
    case 'int64':
    case 'uint32':
    case 'int32':
      writeVarint(field.number * 8 + VARINT, out);
      writeVarint(value as number | bigint, out);
      return;
    case 'bool':
      writeVarint(field.number * 8 + VARINT, out);
      out.push(value === true ? 1 : 0);
      return;
    case 'double': {
      writeVarint(field.number * 8 + FIXED64, out);
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value as number);
      out.push(...bytes);
      return;
    }
    default: {
      writeVarint(field.number * 8 + BYTES, out);
      const bytes =
        field.type === 'string'
          ? Buffer.from(value as string)
          : field.type === 'bytes'
            ? (value as Uint8Array)
            : encodeMessage(field.type as keyof typeof MESSAGES, value as object);
      writeVarint(bytes.length, out);
      if (bytes.length <= 64) {
        for (const byte of bytes) out.push(byte);
      } else {
        parts.push(Buffer.from(out), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        out.length = 0;
      }
    }
  }
}

function writeVarint(value: number | bigint, out: number[]): void {
  if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
    out.push(rest);
    return;
  }
  // Negative numbers are the ten bytes of their 64-bit two's complement, whatever their type.
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
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
    for (const value of interpret(field, wireType, raw)) {
      if (field.repeated)
        fields[field.name] = [...((fields[field.name] as unknown[] | undefined) ?? []), value];
      else fields[field.name] = value;
    }
  }
  return fields;
}

function interpret(field: Field, wireType: number, raw: bigint | Buffer | number): unknown[] {
  const isInteger = /int|bool/.test(field.type);
  if (isInteger && wireType === BYTES && field.repeated) {
    const packed = new Reader(raw as Buffer);
    const values: unknown[] = [];
    while (!packed.isAtEnd) values.push(integer(field.type, packed.varint()));
    return values;
  }
  const expected = isInteger ? VARINT : field.type === 'double' ? FIXED64 : BYTES;
  if (wireType !== expected)
    throw new Error(`field ${field.name} has wire type ${wireType}, not ${expected}`);
  if (isInteger) return [integer(field.type, raw as bigint | number)];
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
