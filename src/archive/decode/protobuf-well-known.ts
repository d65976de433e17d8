// Protobuf's well-known types (google/protobuf/*.proto), as they are meant: times, durations, wrapped values and JSON.
import type { DescMessage } from '@bufbuild/protobuf';
import type { JsonValue } from './json-value.ts';
import { scalarReader } from './protobuf-scalar.ts';
import { exactNumber, type ValueType } from './value-type.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What a message of a well-known type is, from its fields. */
export interface Meaning {
  readonly type: ValueType;
  readonly read: (fields: Fields) => unknown;
}

const NANOS_PER_SECOND = 1_000_000_000n;

/** What messages of the type mean; `undefined` where they are the record of their fields. */
export function wellKnown(message: DescMessage): Meaning | undefined {
  const [, name] = /^google\.protobuf\.(\w+)$/.exec(message.typeName) ?? [];
  const names = message.fields.map((field) => field.name).join();
  if (name === 'Timestamp' && names === 'seconds,nanos')
    return {
      type: { kind: 'timestamp', unit: 'nanos', isUtc: true },
      read: (fields) => exactNumber(nanos(fields)),
    };
  if (name === 'Duration' && names === 'seconds,nanos')
    return { type: { kind: 'duration' }, read: (fields) => durationOf(nanos(fields)) };
  if (name?.endsWith('Value') && names === 'value') {
    const [field] = message.fields;
    if (field?.fieldKind === 'scalar')
      return { type: scalarReader(field.scalar, true).type, read: ({ value }) => value };
  }
  if (name === 'Struct' && names === 'fields') return { type: JSON_TYPE, read: ({ fields }) => fields };
  if (name === 'ListValue' && names === 'values') return { type: JSON_TYPE, read: ({ values }) => values };
  if (name === 'Value' && names === VALUE_FIELDS) return { type: JSON_TYPE, read: valueOfStruct };
  return undefined;
}

const JSON_TYPE: ValueType = { kind: 'json' };
const VALUE_FIELDS = 'null_value,number_value,string_value,bool_value,struct_value,list_value';

const nanos = ({ seconds, nanos: rest }: Fields) =>
  BigInt(seconds as number | bigint) * NANOS_PER_SECOND + BigInt(rest as number);

function durationOf(value: bigint): string {
  const absolute = value < 0n ? -value : value;
  const rest = String(absolute % NANOS_PER_SECOND)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${value < 0n ? '-' : ''}PT${absolute / NANOS_PER_SECOND}${rest === '' ? '' : `.${rest}`}S`;
}

/** One of its fields is set; a number may be none of JSON's. */
function valueOfStruct(fields: Fields): JsonValue {
  const [name] = Object.keys(fields);
  const value = name === undefined || name === 'null_value' ? null : (fields[name] as JsonValue);
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
