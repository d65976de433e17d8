// The types of decoded payloads in tables: from a schema, or inferred from JSON, as a DuckDB type that every engine
// reads; and the common type of several schemas. Values without an exact common type become JSON text, and are
// reported.
import { type JsonValue, NumberText } from '../decode/json-value.ts';
import type { RecordType, Slot, ValueType } from '../decode/value-type.ts';
import { sqlName } from './columns.ts';

/** A type of a column, or of what is in one. */
export type PayloadType =
  /** Only nulls were seen. */
  | { readonly kind: 'none' }
  | { readonly kind: 'boolean' | 'text' | 'bytes' | 'date' }
  /** JSON text. */
  | { readonly kind: 'json' }
  /** `isInDouble`: no value seen has more digits than a double. */
  | {
      readonly kind: 'integer';
      readonly bits: 8 | 16 | 32 | 64;
      readonly isSigned: boolean;
      readonly isInDouble?: boolean;
    }
  | { readonly kind: 'float'; readonly bits: 32 | 64 }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'timestamp'; readonly isUtc: boolean }
  | { readonly kind: 'list'; readonly items: PayloadType }
  | { readonly kind: 'map'; readonly values: PayloadType }
  | { readonly kind: 'struct'; readonly fields: ReadonlyMap<string, PayloadType> };

/** Called with the place of what becomes JSON text, and why. */
export type OnJsonText = (path: string, reason: string) => void;

const JSON_TEXT = { kind: 'json' } as const;
const MAX_DIGITS = 38;
/** Decimal digits of the integers of so many bits. */
const DIGITS = { 8: 3, 16: 5, 32: 10, 64: 20 } as const;

/** The type of what a schema describes. */
export function typeOfSlot({ type }: Pick<Slot, 'type'>, path: string, onJson: OnJsonText): PayloadType {
  return typeOf(type, path, [], onJson);
}

function typeOf(
  type: ValueType,
  path: string,
  above: readonly RecordType[],
  onJson: OnJsonText,
): PayloadType {
  switch (type.kind) {
    case 'null':
      return { kind: 'none' };
    case 'boolean':
    case 'bytes':
    case 'date':
      return { kind: type.kind };
    case 'integer':
    case 'float':
      return type;
    case 'decimal':
      return type.precision <= MAX_DIGITS && type.scale <= type.precision ? type : { kind: 'text' };
    case 'timestamp':
      return { kind: 'timestamp', isUtc: type.isUtc };
    case 'array':
      return { kind: 'list', items: typeOf(type.items.type, `${path}[]`, above, onJson) };
    case 'map':
      return { kind: 'map', values: typeOf(type.values.type, `${path}[]`, above, onJson) };
    case 'record':
      return structOf(type, path, above, onJson);
    case 'union':
      return type.branches
        .map((branch) => typeOf(branch, path, above, onJson))
        .reduce<PayloadType>((a, b) => mergeTypes(a, b, path, onJson), { kind: 'none' });
    case 'json':
      return JSON_TEXT;
    default:
      // Spark has no type for times of day, and could not open the file.
      return { kind: 'text' };
  }
}

function structOf(
  type: RecordType,
  path: string,
  above: readonly RecordType[],
  onJson: OnJsonText,
): PayloadType {
  const asJson = (reason: string) => {
    onJson(path, reason);
    return JSON_TEXT;
  };
  if (above.includes(type)) return asJson('the record is in itself');
  if (type.fields.length === 0) return asJson('the record has no fields');
  const wrong = wrongNames(type.fields.map(({ name }) => name));
  if (wrong !== undefined) return asJson(wrong);
  const fields = type.fields.map(
    (field) => [field.name, typeOf(field.type, `${path}.${field.name}`, [...above, type], onJson)] as const,
  );
  return { kind: 'struct', fields: new Map(fields) };
}

/** Objects with more names are maps that grow. */
const MAX_FIELDS = 1_000;

/** Why the names cannot be those of fields. Engines do not distinguish upper and lower case. */
function wrongNames(names: readonly string[]): string | undefined {
  if (names.length > MAX_FIELDS) return `it has more than ${MAX_FIELDS} names`;
  if (names.some((name) => name === '' || name.includes('\u0000') || Buffer.from(name).toString() !== name))
    return 'a field has a name that no column can have';
  const different = new Set(names.map((name) => name.toLowerCase()));
  return different.size < names.length
    ? 'two of its fields have the same name but for upper and lower case'
    : undefined;
}

/** One type for the values of both; JSON text where there is none that keeps them as they are. */
export function mergeTypes(a: PayloadType, b: PayloadType, path: string, onJson: OnJsonText): PayloadType {
  if (a.kind === 'none') return b;
  if (b.kind === 'none') return a;
  if (a.kind === 'json' || b.kind === 'json') return JSON_TEXT;
  const merged = mergeNumbers(a, b);
  if (merged !== undefined) return merged;
  if (a.kind === b.kind) {
    if (a.kind === 'list' && b.kind === 'list')
      return { kind: 'list', items: mergeTypes(a.items, b.items, `${path}[]`, onJson) };
    if (a.kind === 'map' && b.kind === 'map')
      return { kind: 'map', values: mergeTypes(a.values, b.values, `${path}[]`, onJson) };
    if (a.kind === 'struct' && b.kind === 'struct') return mergeStructs(a, b, path, onJson);
    if (a.kind === 'timestamp' && b.kind === 'timestamp' ? a.isUtc === b.isUtc : !isNumber(a)) return a;
  }
  onJson(path, `it is ${a.kind} and ${b.kind}`);
  return JSON_TEXT;
}

type NumberType = PayloadType & { kind: 'integer' | 'float' | 'decimal' };
const isNumber = (type: PayloadType): type is NumberType =>
  type.kind === 'integer' || type.kind === 'float' || type.kind === 'decimal';

function mergeNumbers(a: PayloadType, b: PayloadType): PayloadType | undefined {
  if (!isNumber(a) || !isNumber(b)) return undefined;
  if (a.kind === 'float' && b.kind === 'float') return a.bits > b.bits ? a : b;
  if (a.kind === 'float') return isInDouble(b) ? { kind: 'float', bits: 64 } : undefined;
  if (b.kind === 'float') return isInDouble(a) ? { kind: 'float', bits: 64 } : undefined;
  if (a.kind === 'integer' && b.kind === 'integer') {
    if (a.isSigned === b.isSigned) {
      const larger = a.bits >= b.bits ? a : b;
      return isInDouble(a) && isInDouble(b) ? larger : { ...larger, isInDouble: false };
    }
    const [signed, unsigned] = a.isSigned ? [a, b] : [b, a];
    if (signed.bits > unsigned.bits) return signed;
    if (unsigned.bits < 64)
      return { kind: 'integer', bits: (unsigned.bits * 2) as 16 | 32 | 64, isSigned: true };
  }
  const [one, other] = [asDecimal(a), asDecimal(b)];
  const scale = Math.max(one.scale, other.scale);
  const precision = Math.max(one.precision - one.scale, other.precision - other.scale) + scale;
  return precision <= MAX_DIGITS ? { kind: 'decimal', precision, scale } : undefined;
}

/** A double has every integer of 32 bits. */
const isInDouble = (type: NumberType) =>
  type.kind === 'integer' && (type.bits < 64 || type.isInDouble === true);

const asDecimal = (type: Exclude<NumberType, { kind: 'float' }>) =>
  type.kind === 'decimal' ? type : { precision: DIGITS[type.bits], scale: 0 };

function mergeStructs(
  a: PayloadType & { kind: 'struct' },
  b: PayloadType & { kind: 'struct' },
  path: string,
  onJson: OnJsonText,
): PayloadType {
  const fields = new Map(a.fields);
  for (const [name, type] of b.fields)
    fields.set(name, mergeTypes(fields.get(name) ?? { kind: 'none' }, type, `${path}.${name}`, onJson));
  const wrong = wrongNames([...fields.keys()]);
  if (wrong === undefined) return { kind: 'struct', fields };
  onJson(path, wrong);
  return JSON_TEXT;
}

/** The type that a JSON value shows. */
export function typeOfJson(
  value: JsonValue | undefined,
  path: string,
  onJson: OnJsonText,
  depth = 0,
): PayloadType {
  const asJson = (reason: string) => {
    onJson(path, reason);
    return JSON_TEXT;
  };
  if (value === null || value === undefined) return { kind: 'none' };
  if (typeof value === 'boolean') return { kind: 'boolean' };
  if (typeof value === 'string') return { kind: 'text' };
  if (typeof value === 'number')
    return Number.isInteger(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER
      ? { kind: 'integer', bits: 64, isSigned: true, isInDouble: true }
      : { kind: 'float', bits: 64 };
  if (typeof value === 'bigint' || value instanceof NumberText)
    return typeOfNumber(String(value instanceof NumberText ? value.text : value)) ?? asJson(MANY_DIGITS);
  if (depth >= MAX_DEPTH) return asJson(`it is ${MAX_DEPTH} levels deep`);
  if (Array.isArray(value)) {
    const own = `${path}[]`;
    const items = (value as JsonValue[]).map((item) => typeOfJson(item, own, onJson, depth + 1));
    return { kind: 'list', items: items.reduce((a, b) => mergeTypes(a, b, own, onJson), { kind: 'none' }) };
  }
  const entries = Object.entries(value as Readonly<Record<string, JsonValue | undefined>>);
  const wrong = wrongNames(entries.map(([name]) => name));
  if (wrong !== undefined) return asJson(wrong);
  const fields = entries.map(
    ([name, one]) => [name, typeOfJson(one, `${path}.${name}`, onJson, depth + 1)] as const,
  );
  return { kind: 'struct', fields: new Map(fields) };
}

const MAX_DEPTH = 30;
const MANY_DIGITS = 'it is a number of more digits than an integer of 64 bits or a double has';

/** Of a number that JavaScript writes otherwise: with a zero at its end, with an exponent, or with more digits than it has. */
function typeOfNumber(text: string): PayloadType | undefined {
  const digits = text
    .replace(/[eE].*$/, '')
    .replaceAll(/\D/g, '')
    .replace(/^0+/, '').length;
  if (/^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text))
    return { kind: 'integer', bits: 64, isSigned: true };
  return digits <= 15 && Number.isFinite(Number(text)) ? { kind: 'float', bits: 64 } : undefined;
}

/** The places in a type that are JSON text. */
export function jsonTexts(type: PayloadType, path: string): string[] {
  switch (type.kind) {
    case 'json':
      return [path];
    case 'list':
      return jsonTexts(type.items, `${path}[]`);
    case 'map':
      return jsonTexts(type.values, `${path}[]`);
    case 'struct':
      return [...type.fields].flatMap(([name, one]) => jsonTexts(one, `${path}.${name}`));
    default:
      return [];
  }
}

/** The type with a type of DuckDB's for all that is in it. */
export function finished(type: PayloadType): PayloadType {
  switch (type.kind) {
    case 'none':
      return JSON_TEXT;
    case 'list':
      return { kind: 'list', items: finished(type.items) };
    case 'map':
      return { kind: 'map', values: finished(type.values) };
    case 'struct':
      if (type.fields.size === 0) return JSON_TEXT;
      return {
        kind: 'struct',
        fields: new Map([...type.fields].map(([name, one]) => [name, finished(one)] as const)),
      };
    default:
      return type;
  }
}

/** The type in DuckDB's SQL. `bytes`: what bytes are: in JSON, texts. */
export function sqlTypeOf(type: PayloadType, bytes: 'BLOB' | 'VARCHAR' = 'BLOB'): string {
  switch (type.kind) {
    case 'boolean':
      return 'BOOLEAN';
    case 'bytes':
      return bytes;
    case 'date':
      return 'DATE';
    case 'integer': {
      const name = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }[type.bits];
      return type.isSigned ? name : `U${name}`;
    }
    case 'float':
      return type.bits === 32 ? 'FLOAT' : 'DOUBLE';
    case 'decimal':
      return `DECIMAL(${type.precision}, ${type.scale})`;
    case 'timestamp':
      return type.isUtc ? 'TIMESTAMPTZ' : 'TIMESTAMP';
    case 'list':
      return `${sqlTypeOf(type.items, bytes)}[]`;
    case 'map':
      return `MAP(VARCHAR, ${sqlTypeOf(type.values, bytes)})`;
    case 'struct':
      return `STRUCT(${[...type.fields].map(([name, one]) => `${sqlName(name)} ${sqlTypeOf(one, bytes)}`).join(', ')})`;
    default:
      return 'VARCHAR';
  }
}

/** A type as JSON, to be kept. */
export const typeToJson = (type: PayloadType): string =>
  JSON.stringify(type, (_, value) => (value instanceof Map ? [...value] : value));

/** The reverse of typeToJson. */
export const typeFromJson = (text: string): PayloadType =>
  JSON.parse(text, (name, value) => (name === 'fields' ? new Map(value) : value)) as PayloadType;
