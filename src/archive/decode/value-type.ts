// What a schema says of its values, and how a decoded value is held in memory and as JSON: one vocabulary for Avro, JSON,
// Protobuf and the primitive types, so that whatever maps schemas to columns needs to know no other. It knows no encoding.
//
//   kind       in memory                                              as JSON
//   null       null                                                   null
//   boolean    boolean                                                true, false
//   integer    number; a bigint only beyond 2^53                      number with all its digits
//   float      number                                                 number; "NaN", "Infinity", "-Infinity"
//   string     string                                                 text
//   bytes      Uint8Array                                             Base64
//   decimal    bigint, the unscaled value                             text with `scale` digits behind the point
//   date       number of days since 1970-01-01                        "2026-11-23"
//   time       number or bigint since midnight, in `unit`             "23:21:41.123"
//   timestamp  number or bigint since 1970-01-01T00:00, in `unit`     "2026-11-23T23:21:41.123Z", without Z if not isUtc
//   duration   string, ISO 8601                                       the same
//   uuid       string                                                 the same
//   enum       string; a number where the schema has no name for it   the same
//   array      array                                                  array
//   map        object                                                 object
//   record     object; a field without a value is null or absent      object
//   union      UnionValue                                             the value alone
//   json       JsonValue: the schema does not fix its shape           the same

/** Digits of a second that a time has. */
export type TimeUnit = 'millis' | 'micros' | 'nanos';

/** A type; records may contain themselves, so who follows it keeps those that it has seen. */
export type ValueType =
  | { readonly kind: 'null' | 'boolean' | 'string' | 'date' | 'duration' | 'uuid' | 'json' }
  | { readonly kind: 'integer'; readonly bits: 8 | 16 | 32 | 64; readonly isSigned: boolean }
  | { readonly kind: 'float'; readonly bits: 32 | 64 }
  /** `sizeBytes` where all values have the same size. */
  | { readonly kind: 'bytes'; readonly sizeBytes?: number }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'time'; readonly unit: TimeUnit }
  | { readonly kind: 'timestamp'; readonly unit: TimeUnit; readonly isUtc: boolean }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  | { readonly kind: 'array'; readonly items: Slot }
  | { readonly kind: 'map'; readonly values: Slot }
  | RecordType
  /** Null is none of the branches: the slot is nullable. */
  | { readonly kind: 'union'; readonly branches: readonly ValueType[] };

/** A record, by its full name as the schema has it. */
export interface RecordType {
  readonly kind: 'record';
  readonly name: string;
  readonly fields: readonly Field[];
}

/** A place for a value: of a field, an item, a whole payload. */
export interface Slot {
  readonly type: ValueType;
  /** Whether null may be there, or nothing. */
  readonly isNullable: boolean;
}

/** A field of a record. */
export interface Field extends Slot {
  readonly name: string;
}

/** The value of a union, with the branch that it has. */
export class UnionValue {
  /** Index in `branches`. */
  readonly branch: number;
  readonly value: unknown;

  constructor(branch: number, value: unknown) {
    this.branch = branch;
    this.value = value;
  }
}

/** A slot that always has a value. */
export const required = (type: ValueType): Slot => ({ type, isNullable: false });

/** A slot that may be without one. */
export const nullable = (type: ValueType): Slot => ({ type, isNullable: true });

/** The number where it is exact, else the bigint. */
export const exactNumber = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
