// A typed value (value-type.ts) as JSON.
import { dateText, timestampText, timeText } from './iso-time.ts';
import type { JsonValue } from './json-value.ts';
import { type Slot, UnionValue, type ValueType } from './value-type.ts';

/** The value of a slot as JSON; a field without a value is left out where its record leaves it out. */
export function toJson({ type }: Pick<Slot, 'type'>, value: unknown): JsonValue {
  if (value === null || value === undefined) return null;
  switch (type.kind) {
    case 'bytes':
      return Buffer.from(value as Uint8Array).toString('base64');
    case 'float':
      return floatJson(value as number, type.bits);
    case 'decimal':
      return decimalText(value as bigint, type.scale);
    case 'date':
      return dateText(value as number);
    case 'time':
      return timeText(value as number | bigint, type.unit);
    case 'timestamp':
      return timestampText(value as number | bigint, type.unit, type.isUtc);
    case 'array':
      return (value as unknown[]).map((item) => toJson(type.items, item));
    case 'map':
      return mapJson(value as Record<string, unknown>, () => type.values);
    case 'record':
      return recordJson(type, value as Record<string, unknown>);
    case 'union':
      return value instanceof UnionValue
        ? toJson({ type: type.branches[value.branch] as ValueType }, value.value)
        : null;
    default:
      return value as JsonValue;
  }
}

/** An object in which `__proto__` is a name like any other. */
export const emptyObject = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;

function mapJson(value: Record<string, unknown>, slotOf: (name: string) => Slot): JsonValue {
  const object = emptyObject<JsonValue>();
  for (const [name, one] of Object.entries(value)) object[name] = toJson(slotOf(name), one);
  return object;
}

function recordJson({ fields }: ValueType & { kind: 'record' }, value: Record<string, unknown>): JsonValue {
  const object = emptyObject<JsonValue>();
  for (const field of fields)
    if (value[field.name] !== undefined) object[field.name] = toJson(field, value[field.name]);
  return object;
}

/** JSON has no number for three of them. 32 bits get the fewest digits that mean them. */
function floatJson(value: number, bits: 32 | 64): JsonValue {
  if (!Number.isFinite(value)) return String(value);
  if (bits === 64 || value === 0) return value;
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : '';
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
