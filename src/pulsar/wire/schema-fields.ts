// Schemas as the protocol has them, and as the ports have them.
import { isUtf8 } from 'node:buffer';
import type { Text, TopicSchema } from '../../ports.ts';
import type { Fields } from './protocol/codec.ts';
import { SCHEMA_TYPE } from './protocol/tables.ts';

const TYPE_NAMES = new Map<number, string>(
  Object.entries(SCHEMA_TYPE).map(([name, number]) => [number, name]),
);
const TYPES: Readonly<Record<string, number>> = SCHEMA_TYPE;

/** A schema that a broker sent; nothing of its frame is kept. */
export function schemaOf({ name, schemaData, type = 0, properties = [] }: Fields<'Schema'>): TopicSchema {
  return {
    type: TYPE_NAMES.get(type) ?? `TYPE_${type}`,
    name: name ?? '',
    properties: properties.map(({ key, value }) => [textOf(key), textOf(value)] as const),
    definition: Buffer.from(schemaData ?? []),
  };
}

/** The reverse of schemaOf. */
export function schemaFields({ type, name, properties, definition }: TopicSchema): Fields<'Schema'> {
  return {
    name,
    schemaData: definition,
    type: TYPES[type] ?? Number(/^TYPE_(\d+)$/.exec(type)?.[1] ?? SCHEMA_TYPE.NONE),
    properties: properties.map(([key, value]) => ({
      key: Buffer.from(key as string),
      value: Buffer.from(value as string),
    })),
  };
}

function textOf(bytes: Uint8Array = new Uint8Array()): Text {
  const buffer = Buffer.from(bytes);
  return isUtf8(buffer) ? buffer.toString() : buffer;
}
