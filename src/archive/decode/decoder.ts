// The decoder of a kept schema: makes values of the bytes of messages whose schema it is, always as their writer meant
// them. What it cannot decode it answers with the reason; it never throws, whatever schema and bytes are.
//
//   createDecoder(schema) → { value, key, decode(key, payload) }
//
// `value` and `key` (of KEY_VALUE schemas) are slots: value-type.ts says what their types mean, and how values of them are
// as JSON; `value` is undefined where the schema itself cannot be used. `decode` answers JSON values (json-value.ts:
// integers beyond 2^53 are bigints, other numbers that JavaScript would change are NumberText). A payload without a value
// (a tombstone) is null.
import type { KeptSchema, SchemaPart } from '../../format/kept-schema.ts';
import { definitionBytes } from '../../format/kept-schema.ts';
import { AvroBytes } from './avro-bytes.ts';
import { parseAvroSchema } from './avro-schema.ts';
import { jsonSlot, readJson } from './json-payload.ts';
import type { JsonValue } from './json-value.ts';
import { Misfit, reasonOf } from './misfit.ts';
import { primitiveSlot } from './primitive.ts';
import { protobufNativeSlot } from './protobuf.ts';
import { protobufParsedSlot } from './protobuf-parsed.ts';
import { toJson } from './to-json.ts';
import type { Slot } from './value-type.ts';

/** A decoded message: `key` is there where the schema is KEY_VALUE. */
export interface Decoded<T> {
  readonly kind: 'decoded';
  readonly value: T | null;
  readonly key?: T | null;
}

/** Why a message could not be decoded, as a sentence. */
export interface Undecoded {
  readonly kind: 'undecoded';
  readonly error: string;
}

export interface Decoder {
  readonly value: Slot | undefined;
  readonly key: Slot | undefined;
  decode(key: Uint8Array | undefined, payload: Uint8Array | null): Decoded<JsonValue> | Undecoded;
}

/** Decodes what a schema describes: a whole payload, or the key or the value of one. */
interface Codec {
  readonly slot: Slot;
  readonly read: (bytes: Buffer) => unknown;
  readonly json?: (value: unknown) => JsonValue;
}

/** The decoder of a schema. May be called for schemas that cannot be used. */
export function createDecoder(schema: KeptSchema): Decoder {
  try {
    return schema.type === 'KEY_VALUE' ? keyValueDecoder(schema) : plainDecoder(codecOf(schema));
  } catch (error) {
    const undecoded = { kind: 'undecoded' as const, error: `its schema cannot be used: ${reasonOf(error)}` };
    return { value: undefined, key: undefined, decode: () => undecoded };
  }
}

function plainDecoder(codec: Codec): Decoder {
  return {
    value: codec.slot,
    key: undefined,
    decode: (_key, payload) => attempt(() => ({ kind: 'decoded', value: jsonOf(codec, payload) })),
  };
}

function keyValueDecoder({ keyValue }: KeptSchema): Decoder {
  if (keyValue === undefined) throw new Misfit('its definition cannot be taken apart');
  const keyCodec = codecOf(keyValue.key);
  const valueCodec = codecOf(keyValue.value);
  const isSeparated = keyValue.encoding === 'SEPARATED';
  return {
    value: valueCodec.slot,
    key: keyCodec.slot,
    decode: (key, payload) =>
      attempt(() => {
        const pair = isSeparated ? { key: key ?? null, value: payload } : splitPair(payload);
        if (pair === null) return { kind: 'decoded', value: null };
        const decodedKey = part('key', () => jsonOf(keyCodec, pair.key));
        return {
          kind: 'decoded',
          value: part('value', () => jsonOf(valueCodec, pair.value)),
          key: decodedKey,
        };
      }),
  };
}

function jsonOf({ slot, read, json }: Codec, bytes: Uint8Array | null): JsonValue {
  if (bytes === null) return null;
  const value = read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return json === undefined ? toJson(slot, value) : json(value);
}

function attempt(decode: () => Decoded<JsonValue>): Decoded<JsonValue> | Undecoded {
  try {
    return decode();
  } catch (error) {
    return { kind: 'undecoded', error: `it does not fit its schema: ${reasonOf(error)}` };
  }
}

function part<T>(name: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new Misfit(`the ${name}: ${reasonOf(error)}`);
  }
}

/** Key and value of a payload, each behind its length, as Java's KeyValue.encode joins them; -1 is null. */
function splitPair(payload: Uint8Array | null): { key: Uint8Array | null; value: Uint8Array | null } | null {
  if (payload === null) return null;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 0;
  const next = () => {
    if (at + 4 > bytes.length) throw new Misfit('it is too short for a key and a value');
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) return null;
    if (length < 0 || length > bytes.length - at)
      throw new Misfit(`${length} bytes should follow, ${bytes.length - at} are left`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  const pair = { key: next(), value: next() };
  if (at < bytes.length) throw new Misfit(`${bytes.length - at} bytes follow the value`);
  return pair;
}

function codecOf(part: SchemaPart): Codec {
  const { type, properties } = part;
  const primitive = primitiveSlot(type, properties);
  if (primitive !== undefined) return { slot: primitive, ...primitive };
  const definition = definitionBytes(part).toString();
  if (type === 'AVRO') {
    const slot = parseAvroSchema(definition);
    const read = (bytes: Buffer) => {
      const from = new AvroBytes(bytes);
      const value = slot.read(from);
      from.expectEnd();
      return value;
    };
    return { slot, read };
  }
  if (type === 'JSON') {
    const slot = jsonSlot(definition);
    return { slot, read: (bytes) => readJson(slot, bytes), json: (value) => value as JsonValue };
  }
  if (type === 'PROTOBUF_NATIVE') {
    const slot = protobufNativeSlot(definition);
    return { slot, read: slot.read };
  }
  if (type === 'PROTOBUF') {
    const slot = protobufParsedSlot(definition, properties);
    return { slot, read: slot.read };
  }
  throw new Misfit(`schemas of type ${type} are not known here`);
}
