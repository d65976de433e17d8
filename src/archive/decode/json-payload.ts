// Payloads of JSON schemas: the JSON that the producer wrote, number by number as it wrote it, where it fits the Avro
// definition that the schema keeps. Only what no JSON library could have written of the type is a misfit: Jackson leaves
// nulls out, writes dates in several ways, bytes as Base64, and numbers as texts if it is asked to.
import { isUtf8 } from 'node:buffer';
import { parseAvroSchema } from './avro-schema.ts';
import { type JsonValue, NumberText, parseJson } from './json-value.ts';
import { Misfit } from './misfit.ts';
import { type Field, nullable, type RecordType, type Slot, type ValueType } from './value-type.ts';

/**
 * What the definition says of the JSON: everything may be null or absent, and what libraries write in several ways is
 * `json`. Where it is no Avro (clients before 2.1 kept JSON Schema), nothing is known.
 */
export function jsonSlot(definition: string): Slot {
  try {
    return asJson(parseAvroSchema(withTexts(definition)), new Map());
  } catch {
    return ANY;
  }
}

const ANY = nullable({ kind: 'json' });

/** Java's characters, which Avro has as integers, are texts in JSON, and arrays of them too. */
const withTexts = (definition: string): string =>
  JSON.stringify(
    JSON.parse(definition, (_, value: Readonly<Record<string, unknown>> | null) =>
      CHARACTERS.has(value?.['java-class']) ? 'string' : value,
    ),
  );

const CHARACTERS = new Set<unknown>(['java.lang.Character', '[C']);

function asJson({ type }: Slot, seen: Map<ValueType, ValueType>): Slot {
  switch (type.kind) {
    case 'boolean':
    case 'integer':
    case 'float':
    case 'string':
    case 'uuid':
    case 'null':
      return nullable(type);
    case 'enum':
      return nullable({ kind: 'string' });
    case 'array':
      return isPair(type.items.type) ? ANY : nullable({ kind: 'array', items: asJson(type.items, seen) });
    case 'map':
      return nullable({ kind: 'map', values: asJson(type.values, seen) });
    case 'record': {
      if (type.fields.length === 0 || LIBRARY.test(type.name)) return ANY;
      const known = seen.get(type);
      if (known !== undefined) return nullable(known);
      const fields: Field[] = [];
      const record: RecordType = { kind: 'record', name: type.name, fields };
      seen.set(type, record);
      for (const field of type.fields) fields.push({ name: field.name, ...asJson(field, seen) });
      return nullable(record);
    }
    default:
      return ANY;
  }
}

/** What Avro's reflection makes of a map whose keys are no texts; in JSON it is an object. */
const isPair = (type: ValueType) =>
  type.kind === 'record' && type.fields.map(({ name }) => name).join() === 'key,value';

/** Classes whose fields Avro's reflection sees, and for which JSON libraries have forms of their own. */
const LIBRARY = /^(javax?|scala|kotlin|org\.joda|com\.fasterxml)\./;

/** Reads a payload. @throws Misfit */
export function readJson(slot: Slot, bytes: Buffer): JsonValue {
  if (!isUtf8(bytes)) throw new Misfit('it is no JSON: it is no valid UTF-8');
  let value: JsonValue;
  try {
    const text = bytes.toString();
    value = parseJson(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new Misfit('it is no JSON');
  }
  expectDepth(value, 0);
  // Inside of it, a class may be written as a scalar.
  if (slot.type.kind === 'record' && value !== null && kindOf(value) !== 'object')
    throw misfit(A_KIND[kindOf(value)], slot.type);
  expectFit(slot.type, value);
  return value;
}

/** Which Jackson passes over. */
const BYTE_ORDER_MARK = '\ufeff';
/** Jackson's limit. */
const MAX_DEPTH = 1_000;

function expectDepth(value: JsonValue | undefined, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw new Misfit('it is nested too deeply');
  for (const inner of Object.values(value)) expectDepth(inner as JsonValue, depth + 1);
}

/** @throws Misfit where the value is of a kind that the type is never written as */
function expectFit(type: ValueType, value: JsonValue | undefined): void {
  if (value === null || value === undefined || type.kind === 'json') return;
  const kind = kindOf(value);
  if (!FITTING[type.kind]?.includes(kind)) throw misfit(A_KIND[kind], type);
  if (type.kind === 'record' && kind === 'object')
    expectFields(type, value as Readonly<Record<string, JsonValue>>);
  else if (type.kind === 'map') for (const one of Object.values(value)) expectFit(type.values.type, one);
  else if (type.kind === 'integer') expectInteger(type, value);
  else if (type.kind === 'float' && typeof value === 'string' && !(value === 'NaN' || isNumeric(value)))
    throw misfit('a text', type);
  else if (type.kind === 'array')
    for (const item of value as readonly JsonValue[]) expectFit(type.items.type, item);
}

function expectInteger(type: ValueType & { kind: 'integer' }, value: JsonValue): void {
  if (typeof value === 'string' && !isNumeric(value)) throw misfit('a text', type);
  const number = Number(value instanceof NumberText ? value.text : value);
  if (!Number.isInteger(number)) throw misfit('a fraction', type);
  if (Math.abs(number) > 2 ** (type.bits - 1)) throw misfit('more digits', type);
}

const isNumeric = (text: string) => text.trim() !== '' && !Number.isNaN(Number(text));

const misfit = (what: string, type: ValueType) => new Misfit(`${what} where the schema has ${aType(type)}`);

function expectFields({ fields }: RecordType, value: Readonly<Record<string, JsonValue>>): void {
  for (const { name, type } of fields) {
    try {
      if (Object.hasOwn(value, name)) expectFit(type, value[name]);
    } catch (error) {
      throw error instanceof Misfit ? error.within(name) : error;
    }
  }
}

type Kind = 'boolean' | 'number' | 'text' | 'array' | 'object';

function kindOf(value: JsonValue): Kind {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'string') return 'text';
  if (typeof value !== 'object' || value instanceof NumberText) return 'number';
  return Array.isArray(value) ? 'array' : 'object';
}

const A_KIND: Readonly<Record<Kind, string>> = {
  boolean: 'a boolean',
  number: 'a number',
  text: 'a text',
  array: 'an array',
  object: 'an object',
};

const FITTING: Readonly<Partial<Record<ValueType['kind'], readonly Kind[]>>> = {
  boolean: ['boolean'],
  integer: ['number', 'text'],
  float: ['number', 'text'],
  string: ['text', 'number', 'boolean'],
  uuid: ['text'],
  array: ['array'],
  map: ['object'],
  record: ['object', 'text', 'number', 'boolean'],
};

const aType = ({ kind }: ValueType) => `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`;
