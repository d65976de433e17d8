// The decoder of a kept schema: makes values of the bytes of messages whose schema it is, always as their writer meant
// them. What it cannot decode it answers with the reason; it never throws, whatever schema and bytes are.
//
//   createDecoder(schema) → { value, key, decode(key, payload), decodeTyped(key, payload) }
//
// `value` and `key` (of KEY_VALUE schemas) are slots: value-type.ts says what their types mean, and how typed values of
// them are held; `value` is undefined where the schema itself cannot be used. `decode` answers JSON values (json-value.ts:
// integers beyond 2^53 are bigints, other numbers that JavaScript would change are NumberText), `decodeTyped` typed ones.
// A payload without a value (a tombstone) is null.
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
  readonly value: T | null;
  readonly key?: T | null;
}

/** Why a message could not be decoded, as a sentence. */
export interface Undecoded {
  readonly error: string;
}

export interface Decoder {
  readonly value: Slot | undefined;
  readonly key: Slot | undefined;
  decode(key: Uint8Array | undefined, payload: Uint8Array | null): Decoded<JsonValue> | Undecoded;
  decodeTyped(key: Uint8Array | undefined, payload: Uint8Array | null): Decoded<unknown> | Undecoded;
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
    const undecoded = { error: `its schema cannot be used: ${reasonOf(error)}` };
    return { value: undefined, key: undefined, decode: () => undecoded, decodeTyped: () => undecoded };
  }
}

function plainDecoder(codec: Codec): Decoder {
  const decode = <T>(payload: Uint8Array | null, finish: Finish<T>) =>
    attempt(() => ({ value: decodeSide(codec, payload, finish) }));
  return {
    value: codec.slot,
    key: undefined,
    decode: (_key, payload) => decode(payload, asJson),
    decodeTyped: (_key, payload) => decode(payload, asTyped),
  };
}

function keyValueDecoder({ keyValue }: KeptSchema): Decoder {
  if (keyValue === undefined) throw new Misfit('its definition cannot be taken apart');
  const keyCodec = codecOf(keyValue.key);
  const valueCodec = codecOf(keyValue.value);
  const decode = <T>(key: Uint8Array | undefined, payload: Uint8Array | null, finish: Finish<T>) =>
    attempt((): Decoded<T> => {
      const parts =
        keyValue.encoding === 'SEPARATED' ? { key: key ?? null, value: payload } : splitPair(payload);
      if (parts === null) return { value: null };
      const decodedKey = part('key', () => decodeSide(keyCodec, parts.key, finish));
      return { value: part('value', () => decodeSide(valueCodec, parts.value, finish)), key: decodedKey };
    });
  return {
    value: valueCodec.slot,
    key: keyCodec.slot,
    decode: (key, payload) => decode(key, payload, asJson),
    decodeTyped: (key, payload) => decode(key, payload, asTyped),
  };
}

type Finish<T> = (codec: Codec, value: unknown) => T;

const asTyped: Finish<unknown> = (_codec, value) => value;
const asJson: Finish<JsonValue> = ({ slot, json }, value) =>
  json === undefined ? toJson(slot, value) : json(value);

function decodeSide<T>(codec: Codec, bytes: Uint8Array | null, finish: Finish<T>): T | null {
  if (bytes === null) return null;
  return finish(codec, codec.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
}

function attempt<T>(decode: () => Decoded<T>): Decoded<T> | Undecoded {
  try {
    return decode();
  } catch (error) {
    return { error: `it does not fit its schema: ${reasonOf(error)}` };
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
