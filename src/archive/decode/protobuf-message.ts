// Protobuf messages by their descriptors (https://protobuf.dev/programming-guides/encoding). Descriptors and scalars are
// the library's; the fields are read here, since the library's own reader takes a field of another wire type, and a
// message that runs over its end, for good. Fields have the names of the .proto file, extensions `[full.name]`.
import type { DescExtension, DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { FeatureSet_FieldPresence as Presence } from '@bufbuild/protobuf/wkt';
import { Misfit } from './misfit.ts';
import { enumReader, type ScalarReader, scalarReader } from './protobuf-scalar.ts';
import { wellKnown } from './protobuf-well-known.ts';
import { emptyObject } from './to-json.ts';
import { type Field, nullable, type RecordType, required, type Slot, type ValueType } from './value-type.ts';

/** How deep messages may be nested; Java's limit. */
const MAX_DEPTH = 100;
/** A message of no bytes has a value for each of its fields: so many in all. */
const MAX_DEFAULTS = 5_000_000;

/** A slot with what reads a payload as it. */
export interface ProtobufSlot extends Slot {
  readonly read: (bytes: Uint8Array) => unknown;
}

/** The slot of a whole message; `extensions`: all that the schema has, of whatever messages. */
export function messageReader(message: DescMessage, extensions: readonly DescExtension[]): ProtobufSlot {
  const codec = codecOf(message, { codecs: new Map(), extensions });
  const read = (bytes: Uint8Array) => {
    const raw = readMessage(codec, new BinaryReader(bytes), { depth: 0, defaults: 0 });
    if (raw.hasUnknown && Object.keys(raw.fields).length === 0)
      throw new Misfit('none of its fields is in the schema');
    return finish(codec, raw.fields);
  };
  return { ...required(codec.type), read };
}

interface Context {
  depth: number;
  defaults: number;
}

/** A message as it is read, before it is known that nothing more of it comes. */
interface RawMessage {
  readonly fields: Record<string, unknown>;
  hasUnknown: boolean;
}

interface MessageCodec {
  readonly type: ValueType;
  readonly fields: readonly FieldCodec[];
  readonly byNumber: ReadonlyMap<number, FieldCodec>;
  /** What the message means, where it is not a record. */
  readonly meaning: ((record: Readonly<Record<string, unknown>>) => unknown) | undefined;
}

type MessageField = DescField | DescExtension;

/** As Protobuf's JSON names it. */
const nameOf = (field: MessageField) => (field.kind === 'extension' ? field.jsonName : field.name);

interface FieldCodec {
  readonly field: MessageField;
  readonly slot: Slot;
  readonly read: (raw: RawMessage, reader: BinaryReader, wireType: WireType, context: Context) => void;
  readonly finish: (value: unknown) => unknown;
}

interface Known {
  readonly codecs: Map<DescMessage, MessageCodec>;
  readonly extensions: readonly DescExtension[];
}

function codecOf(message: DescMessage, known: Known): MessageCodec {
  const same = known.codecs.get(message);
  if (same !== undefined) return same;
  const fields: FieldCodec[] = [];
  const byNumber = new Map<number, FieldCodec>();
  const slots: Field[] = [];
  const record: RecordType = { kind: 'record', name: message.typeName, fields: slots };
  const meaning = wellKnown(message);
  const codec: MessageCodec = {
    type: meaning?.type ?? record,
    ...{ fields, byNumber, meaning: meaning?.read },
  };
  known.codecs.set(message, codec);
  const own = known.extensions.filter(({ extendee }) => extendee === message);
  for (const field of [...message.fields, ...own]) {
    const one = fieldCodec(field, (inner) => codecOf(inner, known));
    fields.push(one);
    byNumber.set(field.number, one);
    slots.push({ name: nameOf(field), ...one.slot });
  }
  return codec;
}

type CodecOf = (message: DescMessage) => MessageCodec;

function fieldCodec(field: MessageField, of: CodecOf): FieldCodec {
  if (field.fieldKind === 'map') return mapCodec(field, of);
  const isList = field.fieldKind === 'list';
  if (field.message !== undefined) {
    const codec = of(field.message);
    const slot = isList ? required({ kind: 'array', items: required(codec.type) }) : nullable(codec.type);
    return {
      ...{ field, slot },
      read(raw, reader, wireType, context) {
        const before = isList ? undefined : (raw.fields[nameOf(field)] as RawMessage | undefined);
        const inner = readInner(codec, field, reader, wireType, context, before);
        if (isList) listOf(raw, field).push(inner);
        else set(raw, field, inner);
      },
      finish(value) {
        if (isList) return ((value ?? []) as RawMessage[]).map((one) => finish(codec, one.fields));
        return value === undefined ? undefined : finish(codec, (value as RawMessage).fields);
      },
    };
  }
  const scalar =
    field.enum === undefined ? scalarReader(field.scalar, field.utf8Validation) : enumReader(field.enum);
  return isList ? listCodec(field, scalar) : scalarCodec(field, scalar);
}

function scalarCodec(field: MessageField, scalar: ScalarReader): FieldCodec {
  const isImplicit = field.presence === Presence.IMPLICIT;
  const isRequired = field.presence === Presence.LEGACY_REQUIRED;
  return {
    field,
    slot: { type: scalar.type, isNullable: !isImplicit && !isRequired },
    read(raw, reader, wireType) {
      expectWireType(wireType, scalar.wireType);
      set(raw, field, scalar.read(reader));
    },
    finish: (value) => value ?? (isImplicit ? scalar.zero : undefined),
  };
}

function listCodec(field: MessageField, scalar: ScalarReader): FieldCodec {
  return {
    field,
    slot: required({ kind: 'array', items: required(scalar.type) }),
    read(raw, reader, wireType) {
      const list = listOf(raw, field);
      // Packed or not, whatever the schema says.
      if (wireType === WireType.LengthDelimited && scalar.wireType !== WireType.LengthDelimited) {
        const packed = new BinaryReader(reader.bytes());
        while (packed.pos < packed.len) list.push(scalar.read(packed));
      } else {
        expectWireType(wireType, scalar.wireType);
        list.push(scalar.read(reader));
      }
    },
    finish: (value) => value ?? [],
  };
}

function mapCodec(field: DescField & { fieldKind: 'map' }, of: CodecOf): FieldCodec {
  const key = scalarReader(field.mapKey, field.utf8Validation);
  const codec = field.message === undefined ? undefined : of(field.message);
  const scalar =
    field.enum !== undefined
      ? enumReader(field.enum)
      : field.scalar === undefined
        ? undefined
        : scalarReader(field.scalar, field.utf8Validation);
  const type = codec?.type ?? scalar?.type ?? { kind: 'json' };
  return {
    field,
    slot: required({ kind: 'map', values: required(type) }),
    read(raw, reader, wireType, context) {
      expectWireType(wireType, WireType.LengthDelimited);
      const entry = new BinaryReader(reader.bytes());
      let name = key.zero;
      let value: unknown = codec === undefined ? scalar?.zero : { fields: emptyObject(), hasUnknown: false };
      while (entry.pos < entry.len) {
        const [number, innerType] = entry.tag();
        if (number === 1) {
          expectWireType(innerType, key.wireType);
          name = key.read(entry);
        } else if (number === 2 && codec !== undefined)
          value = readInner(codec, field, entry, innerType, context, value as RawMessage);
        else if (number === 2 && scalar !== undefined) {
          expectWireType(innerType, scalar.wireType);
          value = scalar.read(entry);
        } else entry.skip(innerType, number);
      }
      const map = kept(raw, field, () => emptyObject());
      map[String(name)] = value;
    },
    finish(value) {
      const map = (value ?? emptyObject()) as Record<string, unknown>;
      if (codec === undefined) return map;
      const finished = emptyObject();
      for (const [name, one] of Object.entries(map))
        finished[name] = finish(codec, (one as RawMessage).fields);
      return finished;
    },
  };
}

/** What is collected of a field. */
function kept<T>({ fields }: RawMessage, field: MessageField, begin: () => T): T {
  const name = nameOf(field);
  fields[name] ??= begin();
  return fields[name] as T;
}

const listOf = (raw: RawMessage, field: MessageField) => kept(raw, field, (): unknown[] => []);

/** The last one counts, also of those that exclude one another. */
function set({ fields }: RawMessage, field: MessageField, value: unknown): void {
  const others = 'oneof' in field ? (field.oneof?.fields ?? []) : [];
  for (const other of others) if (other !== field) delete fields[other.name];
  fields[nameOf(field)] = value;
}

function expectWireType(actual: WireType, expected: WireType): void {
  if (actual !== expected) throw new Misfit(`it is encoded as wire type ${actual}, not ${expected}`);
}

/** A message inside of one: with its length before it, or (a group) a mark behind it. */
function readInner(
  codec: MessageCodec,
  field: MessageField,
  reader: BinaryReader,
  wireType: WireType,
  context: Context,
  before: RawMessage | undefined,
): RawMessage {
  if (++context.depth > MAX_DEPTH) throw new Misfit('it is nested too deeply');
  const isGroup = 'delimitedEncoding' in field && field.delimitedEncoding === true;
  expectWireType(wireType, isGroup ? WireType.StartGroup : WireType.LengthDelimited);
  const inner = isGroup
    ? readMessage(codec, reader, context, before, field.number)
    : readMessage(codec, new BinaryReader(reader.bytes()), context, before);
  context.depth--;
  return inner;
}

function readMessage(
  codec: MessageCodec,
  reader: BinaryReader,
  context: Context,
  into: RawMessage = { fields: emptyObject(), hasUnknown: false },
  group?: number,
): RawMessage {
  context.defaults += codec.fields.length;
  if (context.defaults > MAX_DEFAULTS) throw new Misfit('it has more values than can be kept in memory');
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType === WireType.EndGroup) {
      if (number !== group) throw new Misfit('a group ends that did not begin');
      return into;
    }
    const one = codec.byNumber.get(number);
    if (one === undefined) {
      reader.skip(wireType, number, MAX_DEPTH - context.depth);
      into.hasUnknown = true;
      continue;
    }
    try {
      one.read(into, reader, wireType, context);
    } catch (error) {
      throw asMisfit(error).within(nameOf(one.field));
    }
  }
  if (group !== undefined) throw new Misfit('it ends too early');
  return into;
}

/** What the library throws. */
function asMisfit(error: unknown): Misfit {
  if (error instanceof Misfit) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Misfit(message === 'premature EOF' ? 'it ends too early' : message);
}

/** The values of all fields, also of those that are not in the bytes. */
function finish(codec: MessageCodec, raw: Readonly<Record<string, unknown>>): unknown {
  const record = emptyObject();
  for (const one of codec.fields) {
    const { field } = one;
    const name = nameOf(field);
    const value = one.finish(raw[name]);
    if (value !== undefined) record[name] = value;
    else if (field.presence === Presence.LEGACY_REQUIRED) throw new Misfit(`${name} is missing`);
  }
  return codec.meaning === undefined ? record : codec.meaning(record);
}
