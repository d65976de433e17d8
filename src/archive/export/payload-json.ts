// Encodes decoded values (decode/json-value.ts) as the JSON from which DuckDB makes a payload column: with every
// field of the type, and only values that the type represents exactly. Refuses other values.
import { type JsonValue, jsonText, NumberText } from '../decode/json-value.ts';
import { Misfit } from '../decode/misfit.ts';
import type { PayloadType } from './payload-type.ts';

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)\d*(Z?)$/;

/** The JSON text of the value for a column of the type. @throws Misfit */
export function payloadJson(type: PayloadType, value: JsonValue | undefined): string {
  if (value === null || value === undefined) return 'null';
  switch (type.kind) {
    case 'none':
      throw misfit(value, 'nothing');
    case 'boolean':
      if (typeof value !== 'boolean') throw misfit(value, 'a boolean');
      return String(value);
    case 'text':
      return JSON.stringify(wellFormed(typeof value === 'string' ? value : jsonText(value)));
    case 'json':
      return JSON.stringify(wellFormed(jsonText(value)));
    case 'integer':
      return integerJson(type, value);
    case 'float':
      return floatJson(value);
    case 'decimal':
      return JSON.stringify(decimalText(type, value));
    case 'bytes':
      if (typeof value !== 'string') throw misfit(value, 'bytes');
      return `"${Buffer.from(value, 'base64').toString('hex').replaceAll(/../g, '\\\\x$&')}"`;
    case 'date':
      if (typeof value !== 'string' || value < '0001') throw misfit(value, 'a date from 0001 to 9999');
      return JSON.stringify(value);
    case 'timestamp':
      return timestampJson(type, value);
    case 'list':
      if (!Array.isArray(value)) throw misfit(value, 'an array');
      return `[${(value as JsonValue[]).map((item) => payloadJson(type.items, item)).join(',')}]`;
    case 'map':
      return `{${Object.entries(objectOf(value))
        .map(([name, one]) => `${JSON.stringify(wellFormed(name))}:${payloadJson(type.values, one)}`)
        .join(',')}}`;
    case 'struct': {
      const object = objectOf(value);
      return `{${[...type.fields]
        .map(([name, one]) => {
          const field = Object.hasOwn(object, name) ? object[name] : null;
          return `${JSON.stringify(name)}:${within(name, () => payloadJson(one, field))}`;
        })
        .join(',')}}`;
    }
  }
}

function within<T>(name: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof Misfit ? error.within(name) : error;
  }
}

const isObject = (value: JsonValue): value is { readonly [name: string]: JsonValue | undefined } =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof NumberText);

function objectOf(value: JsonValue) {
  if (!isObject(value)) throw misfit(value, 'an object');
  return value;
}

/** JSON libraries also write integers as texts, and with a fraction of zero. */
function integerJson({ bits, isSigned }: PayloadType & { kind: 'integer' }, value: JsonValue): string {
  const integer = integerOf(value);
  const fits =
    integer !== undefined &&
    (isSigned ? BigInt.asIntN(bits, integer) === integer : BigInt.asUintN(bits, integer) === integer);
  if (!fits) throw misfit(value, `an integer of ${bits} bits`);
  return String(integer);
}

function integerOf(value: JsonValue): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  const text = value instanceof NumberText ? value.text : value;
  const digits = typeof text === 'string' ? /^(-?\d{1,40})(?:\.0*)?$/.exec(text)?.[1] : undefined;
  if (digits !== undefined) return BigInt(digits);
  const number = Number(value instanceof NumberText ? value.text : Number.NaN);
  return Number.isSafeInteger(number) ? BigInt(number) : undefined;
}

function floatJson(value: JsonValue): string {
  const number = value instanceof NumberText ? Number(value.text) : value;
  if (typeof number === 'number') return Object.is(number, -0) ? '-0.0' : numberJson(number);
  if (typeof number === 'bigint') return numberJson(Number(number));
  if (
    typeof number === 'string' &&
    (/^(NaN|-?Infinity)$/.test(number) || !Number.isNaN(Number(number || 'x')))
  )
    return numberJson(Number(number));
  throw misfit(value, 'a number');
}

/** JSON has no number for three of them. */
const numberJson = (number: number): string =>
  Number.isFinite(number) ? String(number) : JSON.stringify(String(number));

function decimalText({ precision, scale }: PayloadType & { kind: 'decimal' }, value: JsonValue): string {
  const text = value instanceof NumberText ? value.text : String(value);
  const [, whole = '', fraction = ''] = /^-?0*(\d*)(?:\.(\d*?)0*)?$/.exec(text) ?? [];
  const isDecimal = /\d/.test(text) && whole.length + fraction.length > 0;
  const fits =
    (isDecimal || /^-?0*(\.0*)?$/.test(text)) &&
    fraction.length <= scale &&
    whole.length <= precision - scale;
  if (!fits || isObject(value))
    throw misfit(value, `a decimal of ${precision} digits, ${scale} behind the point`);
  return text;
}

/** Microseconds are what every engine has: the digits behind them are cut. */
function timestampJson({ isUtc }: PayloadType & { kind: 'timestamp' }, value: JsonValue): string {
  const [, time, zone] = typeof value === 'string' ? (TIME.exec(value) ?? []) : [];
  if (time === undefined || time < '0001' || (zone === 'Z') !== isUtc)
    throw misfit(value, 'a time of the years 0001 to 9999');
  return `"${time}${zone}"`;
}

/** Without halves of characters, which no UTF-8 has. */
const wellFormed = (text: string) => Buffer.from(text).toString();

function misfit(value: JsonValue, expected: string): Misfit {
  const text = jsonText(value);
  return new Misfit(`${text.length > 40 ? `${text.slice(0, 40)}…` : text} where the column has ${expected}`);
}
