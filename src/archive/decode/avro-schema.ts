// Parses an Avro definition (specification 1.11) into types and a reader of values, by the writer's schema alone.
// Accepts what Java accepts and more: names with `$` (nested classes), defaults of another type, names that are
// defined twice, logical types that do not fit their type (which Avro ignores).
import type { AvroBytes } from './avro-bytes.ts';
import { type AvroSlot, logicalType } from './avro-logical.ts';
import { Misfit } from './misfit.ts';
import { emptyObject } from './to-json.ts';
import { type Field, nullable, type RecordType, required, type Slot, UnionValue } from './value-type.ts';

/** The root of a definition. @throws Misfit that says what is wrong with it */
export function parseAvroSchema(definition: string): AvroSlot {
  let parsed: unknown;
  try {
    parsed = JSON.parse(definition);
  } catch {
    // Some clients write a primitive type without quotes.
    parsed = definition.trim();
  }
  return compile(parsed, { names: new Map(), namespace: '' });
}

interface Context {
  readonly names: Map<string, AvroSlot>;
  readonly namespace: string;
}

type Attributes = Readonly<Record<string, unknown>>;

const PRIMITIVES: ReadonlyMap<string, AvroSlot> = new Map<string, AvroSlot>([
  ['null', { type: { kind: 'null' }, isNullable: true, read: () => null }],
  ['boolean', { ...required({ kind: 'boolean' }), read: (from) => from.boolean() }],
  ['int', { ...required({ kind: 'integer', bits: 32, isSigned: true }), read: (from) => from.int() }],
  ['long', { ...required({ kind: 'integer', bits: 64, isSigned: true }), read: (from) => from.long() }],
  ['float', { ...required({ kind: 'float', bits: 32 }), read: (from) => from.float() }],
  ['double', { ...required({ kind: 'float', bits: 64 }), read: (from) => from.double() }],
  ['bytes', { ...required({ kind: 'bytes' }), read: (from) => from.bytes() }],
  ['string', { ...required({ kind: 'string' }), read: (from) => from.string() }],
]);

function compile(schema: unknown, context: Context): AvroSlot {
  if (typeof schema === 'string') return named(schema, context);
  if (Array.isArray(schema)) return compileUnion(schema, context);
  if (typeof schema !== 'object' || schema === null) throw new Misfit('a type is missing');
  const attributes = schema as Attributes;
  const { type } = attributes;
  switch (type) {
    case 'record':
    case 'error':
      return compileRecord(attributes, context);
    case 'enum':
      return compileEnum(attributes, context);
    case 'fixed':
      return compileFixed(attributes, context);
    case 'array':
      return compileArray(compile(attributes['items'], context));
    case 'map':
      return compileMap(compile(attributes['values'], context));
  }
  const slot = compile(type, context);
  return typeof type === 'string' && PRIMITIVES.has(type) ? logicalType(slot, attributes) : slot;
}

function named(name: string, { names, namespace }: Context): AvroSlot {
  const inNamespace = name.includes('.') ? undefined : names.get(fullName(name, namespace));
  const slot = PRIMITIVES.get(name) ?? inNamespace ?? names.get(name);
  if (slot === undefined) throw new Misfit(`the type ${name} is not defined`);
  return slot;
}

const fullName = (name: string, namespace: string) => (namespace === '' ? name : `${namespace}.${name}`);

/** What a named type is called, and the namespace of what is inside. */
function nameOf({ name, namespace }: Attributes, context: Context): { full: string; namespace: string } {
  if (typeof name !== 'string') throw new Misfit('a type has no name');
  const end = name.lastIndexOf('.');
  if (end >= 0) return { full: name, namespace: name.slice(0, end) };
  const own = typeof namespace === 'string' ? namespace : context.namespace;
  return { full: fullName(name, own), namespace: own };
}

function listOf(attributes: Attributes, name: string): readonly unknown[] {
  const list = attributes[name];
  if (!Array.isArray(list)) throw new Misfit(`${String(attributes['name'])} has no ${name}`);
  return list;
}

function compileRecord(attributes: Attributes, context: Context): AvroSlot {
  const { full, namespace } = nameOf(attributes, context);
  const fields: (Field & AvroSlot)[] = [];
  const type: RecordType = { kind: 'record', name: full, fields };
  const read = (from: AvroBytes) =>
    from.nested(() => {
      const record = emptyObject();
      for (const field of fields) record[field.name] = readField(field, from);
      return record;
    });
  const slot: AvroSlot = { ...required(type), read };
  // Before its fields, which may be of it.
  context.names.set(full, slot);
  for (const field of listOf(attributes, 'fields')) {
    const { name, type: fieldType } = (field ?? {}) as Attributes;
    if (typeof name !== 'string') throw new Misfit(`a field of ${full} has no name`);
    // A logical type belongs into the type; writers put it beside it as well, and Avro ignores it there.
    fields.push({ name, ...compile(fieldType, { ...context, namespace }) });
  }
  return slot;
}

function readField(field: Field & AvroSlot, from: AvroBytes): unknown {
  from.count();
  try {
    return field.read(from);
  } catch (error) {
    throw error instanceof Misfit ? error.within(field.name) : error;
  }
}

function compileEnum(attributes: Attributes, context: Context): AvroSlot {
  const symbols = listOf(attributes, 'symbols').map(String);
  const read = (from: AvroBytes) => {
    const index = from.int();
    const symbol = symbols[index];
    if (symbol === undefined) throw new Misfit(`${index} is no symbol of an enum of ${symbols.length}`);
    return symbol;
  };
  const slot: AvroSlot = { ...required({ kind: 'enum', symbols }), read };
  context.names.set(nameOf(attributes, context).full, slot);
  return slot;
}

function compileFixed(attributes: Attributes, context: Context): AvroSlot {
  const sizeBytes = attributes['size'];
  if (!(Number.isSafeInteger(sizeBytes) && (sizeBytes as number) >= 0))
    throw new Misfit(`${String(attributes['name'])} has no size`);
  const plain: AvroSlot = {
    ...required({ kind: 'bytes', sizeBytes: sizeBytes as number }),
    read: (from) => from.take(sizeBytes as number),
  };
  const slot = logicalType(plain, attributes);
  context.names.set(nameOf(attributes, context).full, slot);
  return slot;
}

function compileArray(items: AvroSlot): AvroSlot {
  const read = (from: AvroBytes) =>
    from.nested(() => {
      const list: unknown[] = [];
      from.items(() => list.push(items.read(from)));
      return list;
    });
  return { ...required({ kind: 'array', items: slotOf(items) }), read };
}

function compileMap(values: AvroSlot): AvroSlot {
  const read = (from: AvroBytes) =>
    from.nested(() => {
      const map = emptyObject();
      from.items(() => {
        const name = from.string();
        map[name] = values.read(from);
      });
      return map;
    });
  return { ...required({ kind: 'map', values: slotOf(values) }), read };
}

const slotOf = ({ type, isNullable }: Slot): Slot => ({ type, isNullable });

/** Null and one other type are that type, nullable. */
function compileUnion(schemas: readonly unknown[], context: Context): AvroSlot {
  const all = schemas.map((schema) => compile(schema, context));
  const others = all.filter(({ type }) => type.kind !== 'null');
  const isNullable = others.length < all.length || others.some((one) => one.isNullable);
  const choose = (from: AvroBytes): AvroSlot => {
    const index = from.long();
    const branch = all[Number(index)];
    if (branch === undefined) throw new Misfit(`${index} is no branch of a union of ${all.length}`);
    return branch;
  };
  const [only] = others;
  if (only === undefined) return { ...nullable({ kind: 'null' }), read: (from) => choose(from).read(from) };
  if (others.length === 1) return { type: only.type, isNullable, read: (from) => choose(from).read(from) };
  const read = (from: AvroBytes) => {
    const branch = choose(from);
    const value = branch.read(from);
    return branch.type.kind === 'null' ? null : new UnionValue(others.indexOf(branch), value);
  };
  return { type: { kind: 'union', branches: others.map(({ type }) => type) }, isNullable, read };
}
