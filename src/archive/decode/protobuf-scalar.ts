// Protobuf's scalars and enums, as the library reads them, as typed values.
import { type DescEnum, ScalarType } from '@bufbuild/protobuf';
import { type BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { exactNumber, type ValueType } from './value-type.ts';

/** Reads one value that is encoded in that way. */
export interface ScalarReader {
  readonly type: ValueType;
  readonly wireType: WireType;
  readonly zero: unknown;
  readonly read: (from: BinaryReader) => unknown;
}

/** The reader of a scalar type; texts that are no UTF-8 are refused where the schema asks for that. */
export function scalarReader(type: ScalarType, utf8Validation: boolean): ScalarReader {
  if (type === ScalarType.STRING)
    return { ...lengthDelimited({ kind: 'string' }), zero: '', read: (from) => from.string(utf8Validation) };
  return SCALARS[type];
}

/** The reader of an enum: names, or the number where none has it. */
export function enumReader({ values, value: byNumber }: DescEnum): ScalarReader {
  const nameOf = (number: number) => byNumber[number]?.name ?? number;
  return {
    type: { kind: 'enum', symbols: values.map(({ name }) => name) },
    wireType: WireType.Varint,
    // Of proto2, the first one may have another number.
    zero: values[0]?.name ?? 0,
    read: (from) => nameOf(from.int32()),
  };
}

const lengthDelimited = (type: ValueType) => ({ type, wireType: WireType.LengthDelimited });

const integer = (
  bits: 32 | 64,
  isSigned: boolean,
  wireType: WireType,
  read: (from: BinaryReader) => number | bigint | string,
): ScalarReader => ({
  type: { kind: 'integer', bits, isSigned },
  wireType,
  zero: 0,
  read: bits === 32 ? read : (from) => exactNumber(BigInt(read(from))),
});

const float = (bits: 32 | 64, wireType: WireType, read: (from: BinaryReader) => number): ScalarReader => ({
  type: { kind: 'float', bits },
  ...{ wireType, zero: 0, read },
});

const { Varint, Bit32, Bit64 } = WireType;

const SCALARS: Readonly<Record<Exclude<ScalarType, ScalarType.STRING>, ScalarReader>> = {
  [ScalarType.BOOL]: {
    type: { kind: 'boolean' },
    wireType: Varint,
    zero: false,
    read: (from) => from.bool(),
  },
  [ScalarType.BYTES]: {
    ...lengthDelimited({ kind: 'bytes' }),
    zero: new Uint8Array(),
    read: (from) => from.bytes(),
  },
  [ScalarType.INT32]: integer(32, true, Varint, (from) => from.int32()),
  [ScalarType.SINT32]: integer(32, true, Varint, (from) => from.sint32()),
  [ScalarType.UINT32]: integer(32, false, Varint, (from) => from.uint32()),
  [ScalarType.FIXED32]: integer(32, false, Bit32, (from) => from.fixed32()),
  [ScalarType.SFIXED32]: integer(32, true, Bit32, (from) => from.sfixed32()),
  [ScalarType.INT64]: integer(64, true, Varint, (from) => from.int64()),
  [ScalarType.SINT64]: integer(64, true, Varint, (from) => from.sint64()),
  [ScalarType.UINT64]: integer(64, false, Varint, (from) => from.uint64()),
  [ScalarType.FIXED64]: integer(64, false, Bit64, (from) => from.fixed64()),
  [ScalarType.SFIXED64]: integer(64, true, Bit64, (from) => from.sfixed64()),
  [ScalarType.FLOAT]: float(32, Bit32, (from) => from.float()),
  [ScalarType.DOUBLE]: float(64, Bit64, (from) => from.double()),
};
