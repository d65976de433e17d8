// PROTOBUF schemas of Pulsar's Java client. They keep no descriptor: an Avro rendering of the class, and in a property the
// number, type and label of the fields of the message itself. Of what is nested, nothing gives the numbers: such a field is
// its bytes, but for the message itself, Protobuf's well-known types, and maps of types that have one encoding. Nothing
// gives the numbers of enums either: such a field is its number.
import { create } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FieldDescriptorProto_Label as Label,
  OneofDescriptorProtoSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { parseAvroSchema } from './avro-schema.ts';
import { Misfit } from './misfit.ts';
import { protobufSlot } from './protobuf.ts';
import type { ProtobufSlot } from './protobuf-message.ts';
import type { Field, RecordType, ValueType } from './value-type.ts';

const PARSING_INFO = '__PARSING_INFO__';
const IMPORTED = [
  file_google_protobuf_timestamp,
  file_google_protobuf_duration,
  file_google_protobuf_wrappers,
  file_google_protobuf_struct,
];
const IMPORTED_NAMES = new Set(IMPORTED.flatMap(({ messages }) => messages.map(({ typeName }) => typeName)));

/** A field as ProtobufSchema.ProtoBufParsingInfo has it. */
interface ParsedField {
  readonly number: number;
  readonly name: string;
  readonly type: string;
  readonly label: string;
}

/** What a PROTOBUF schema describes. @throws Misfit where nothing keeps the numbers of its fields */
export function protobufParsedSlot(
  definition: string,
  properties: Readonly<Record<string, string>>,
): ProtobufSlot {
  const parsed: unknown = JSON.parse(properties[PARSING_INFO] ?? 'null');
  if (!Array.isArray(parsed)) throw new Misfit('it does not keep the numbers of its fields');
  const { type: root } = parseAvroSchema(definition);
  if (root.kind !== 'record') throw new Misfit('it is no message');
  const name = /[A-Za-z_]\w*$/.exec(root.name)?.[0] ?? 'Message';
  const message = create(DescriptorProtoSchema, { name });
  const infos = parsed as readonly ParsedField[];
  // Only before proto3 was a field that is not there another than its zero.
  const isProto2 = infos.some(({ label }) => label === 'LABEL_REQUIRED') || hasOtherDefaults(definition);
  for (const info of infos) {
    const avro = root.fields.find((field) => field.name === info.name);
    message.field.push(fieldOf(info, avro, root, message, isProto2));
  }
  const file = create(FileDescriptorProtoSchema, {
    ...{ name: 'message.proto', syntax: 'proto3', messageType: [message] },
    dependency: IMPORTED.map(({ proto }) => proto.name),
  });
  return protobufSlot([...IMPORTED.map(({ proto }) => proto), file], name);
}

/** Whether a field is something else where it is not there. */
function hasOtherDefaults(definition: string): boolean {
  const { fields } = JSON.parse(definition) as { fields: readonly { type: unknown; default?: unknown }[] };
  return fields.some(({ type, default: value }) => {
    const { type: kind, symbols } = (typeof type === 'object' ? type : {}) as Record<string, unknown>;
    if (kind === 'enum') return Array.isArray(symbols) && symbols[0] !== value;
    return typeof value === 'object' ? false : Boolean(value);
  });
}

function fieldOf(
  { number, name, type, label }: ParsedField,
  avro: Field | undefined,
  root: RecordType,
  message: DescriptorProto,
  isProto2: boolean,
): FieldDescriptorProto {
  const isSingular = label === 'LABEL_OPTIONAL';
  const field = create(FieldDescriptorProtoSchema, { number, name, jsonName: name });
  field.label = label === 'LABEL_REPEATED' ? Label.REPEATED : isSingular ? Label.OPTIONAL : Label.REQUIRED;
  const typeName = type === 'MESSAGE' ? messageName(name, avro, root, message) : undefined;
  if (typeName !== undefined) {
    field.type = Type.MESSAGE;
    field.typeName = typeName;
    return field;
  }
  field.type = type === 'MESSAGE' ? Type.BYTES : type === 'ENUM' ? Type.INT32 : scalarType(type);
  if (isSingular && (isProto2 || type === 'MESSAGE' || type === 'ENUM')) {
    field.proto3Optional = true;
    field.oneofIndex = message.oneofDecl.length;
    message.oneofDecl.push(create(OneofDescriptorProtoSchema, { name: `_${name}` }));
  }
  return field;
}

function scalarType(name: string): Type {
  const type = (Type as unknown as Readonly<Record<string, Type | undefined>>)[name];
  if (typeof type !== 'number' || type === Type.GROUP)
    throw new Misfit(`a field of type ${name} is not described`);
  return type;
}

/** The full name of the message that the field holds, with a dot before it; `undefined` where its numbers are unknown. */
function messageName(
  name: string,
  avro: Field | undefined,
  root: RecordType,
  message: DescriptorProto,
): string | undefined {
  const type = avro?.type.kind === 'array' ? avro.type.items.type : avro?.type;
  if (type?.kind !== 'record') return undefined;
  if (type.name === root.name) return `.${message.name}`;
  const wellKnown = type.name.replace(/^com\.google\.protobuf\./, 'google.protobuf.');
  if (wellKnown !== type.name && IMPORTED_NAMES.has(wellKnown)) return `.${wellKnown}`;
  const entryName = `${name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())}Entry`;
  if (avro?.type.kind !== 'array' || !type.name.endsWith(`.${entryName}`)) return undefined;
  const [key, value] = type.fields;
  if (type.fields.length !== 2 || key?.name !== 'key' || value?.name !== 'value') return undefined;
  const keyType = oneEncoding(key.type);
  const valueType = oneEncoding(value.type);
  if (keyType === undefined || valueType === undefined) return undefined;
  message.nestedType.push(
    create(DescriptorProtoSchema, {
      name: entryName,
      options: { mapEntry: true },
      field: [
        { number: 1, name: 'key', type: keyType, label: Label.OPTIONAL },
        { number: 2, name: 'value', type: valueType, label: Label.OPTIONAL },
      ],
    }),
  );
  return `.${message.name}.${entryName}`;
}

/** The Protobuf type of which Avro makes this one; integers have several, which read the same bytes as other numbers. */
function oneEncoding({ kind, ...type }: ValueType): Type | undefined {
  if (kind === 'string') return Type.STRING;
  if (kind === 'boolean') return Type.BOOL;
  if (kind === 'bytes') return Type.BYTES;
  if (kind === 'float') return 'bits' in type && type.bits === 32 ? Type.FLOAT : Type.DOUBLE;
  // A message, as its bytes.
  return kind === 'record' ? Type.BYTES : undefined;
}
