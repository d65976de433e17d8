// The columns of decoded payloads: their types over all schemas of a topic (and, on request, inferred from JSON), and
// their values for each message. A message that cannot be decoded gets the reason, and keeps its raw payload.
import { versionText } from '../../format/kept-schema.ts';
import type { CallOptions, Message, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { reasonOf as undecodedReason } from '../decode/decode-messages.ts';
import { createDecoder, type Decoded, type Decoder, type Undecoded } from '../decode/decoder.ts';
import { type JsonValue, parseJson } from '../decode/json-value.ts';
import { reasonOf } from '../decode/misfit.ts';
import { listSchemas, openSchemas, readSchema, type SchemaOfRecord } from '../schemas/schemas.ts';
import { type Column, sqlText } from './columns.ts';
import { payloadJson } from './payload-json.ts';
import {
  finished,
  jsonTexts,
  mergeTypes,
  type OnJsonText,
  type PayloadType,
  sqlTypeOf,
  typeOfJson,
  typeOfSlot,
} from './payload-type.ts';
import { narrowed } from './payload-width.ts';

/** Payloads by the kept schemas alone, or as JSON besides, where they name none, or one that the archive does not have. */
export type DecodeMode = 'schemas' | 'json';

/** What the columns of a topic are made of. */
export interface PayloadColumns {
  readonly columns: readonly Column[];
  /** For the from_json of selectOf. */
  readonly fields: Readonly<Record<string, string>>;
  /** The fields of a message's row, each with a comma before it. @throws BackupError `store` */
  rowFields(message: Message, object: ArchiveObject): Promise<string>;
}

/** Finds what messages are: see rowFields. */
export interface PayloadReader {
  /** Looks at a message, for the type of payloads that are taken for JSON. */
  see(message: Message, object: ArchiveObject): Promise<void>;
  /** That type, by all that was seen; `known`: what an earlier export has seen. */
  seen(known?: PayloadType): PayloadType;
  /** The columns for all that is known by now; `onJson` names what became JSON text. */
  columns(onJson: OnJsonText): PayloadColumns;
}

const FIELDS = { decoded: 'JSON', decodeError: 'VARCHAR' } as const;
const NONE: PayloadType = { kind: 'none' };
/** After how many messages the inferred fields are reduced. */
const LOOKED_AT_ONCE = 1_000;

/** Reads the schemas of the topic. @throws BackupError `store` */
export async function openPayloads(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  mode: DecodeMode,
  call: CallOptions,
): Promise<PayloadReader> {
  const schemas = openSchemas(store, prefix, call);
  const decoders = new Map<string, Decoder>();
  for (const listed of await listSchemas(store, prefix, topic, call)) {
    const schema = await readSchema(store, listed, call).catch((error) => {
      if (error?.code !== 'corrupt') throw error;
      return undefined;
    });
    if (schema !== undefined && !decoders.has(schema.sha256))
      decoders.set(schema.sha256, createDecoder(schema));
  }
  let seen: PayloadType = NONE;
  let looked = 0;
  const reasons = new Map<string, string>();
  const onSeen: OnJsonText = (path, reason) => void reasons.set(path, reason);

  /** `undefined`: it names none. */
  const schemaOf = async ({ schemaVersion, topic: own }: Message, object: ArchiveObject) =>
    schemaVersion === undefined || schemaVersion.length === 0
      ? undefined
      : await schemas.of(own, schemaVersion, object);

  const isByJson = (found: SchemaOfRecord | undefined): boolean =>
    mode === 'json' && (found === undefined || found.kind === 'missing');

  const decode = async (
    message: Message,
    object: ArchiveObject,
  ): Promise<Decoded<JsonValue> | Undecoded | undefined> => {
    const { payload, schemaVersion, key } = message;
    const found = await schemaOf(message, object);
    if (payload !== null && isByJson(found)) {
      const decoded = decodeJson(payload);
      // What is no JSON may be of the schema that is not there.
      if (found === undefined || decoded.kind === 'decoded') return decoded;
    }
    if (found === undefined) return payload === null ? { kind: 'decoded', value: null } : undefined;
    if (found.kind !== 'schema')
      return { kind: 'undecoded', error: undecodedReason(found, versionText(schemaVersion as Uint8Array)) };
    let decoder = decoders.get(found.schema.sha256);
    if (decoder === undefined) {
      decoder = createDecoder(found.schema);
      decoders.set(found.schema.sha256, decoder);
    }
    return decoder.decode(typeof key === 'string' ? Buffer.from(key) : key, payload);
  };

  return {
    async see(message, object) {
      if (message.payload === null || !isByJson(await schemaOf(message, object))) return;
      const decoded = decodeJson(message.payload);
      if (decoded.kind === 'undecoded') return;
      seen = mergeTypes(seen, typeOfJson(decoded.value, 'payload', onSeen), 'payload', onSeen);
      if (++looked % LOOKED_AT_ONCE === 0) seen = narrowed(seen, 'payload', onSeen);
    },
    seen(known = NONE) {
      seen = narrowed(mergeTypes(known, seen, 'payload', onSeen), 'payload', onSeen);
      return seen;
    },
    columns(onJson) {
      const slots = (side: 'key' | 'value', path: string) =>
        [...decoders.values()].flatMap((decoder) => {
          const slot = decoder[side];
          return slot === undefined ? [] : [typeOfSlot(slot, path, onJson)];
        });
      const merged = (types: readonly PayloadType[], path: string) => {
        const type = types.reduce((a, b) => mergeTypes(a, b, path, onJson), NONE);
        return finished(narrowed(type, path, onJson));
      };
      for (const path of jsonTexts(seen, 'payload'))
        onJson(path, reasons.get(path) ?? 'its values have no common type');
      const keys = slots('key', 'payload_key');
      const types = {
        payload: merged([...slots('value', 'payload'), seen], 'payload'),
        ...(keys.length > 0 && { payload_key: merged(keys, 'payload_key') }),
      };
      return {
        columns: [
          ...Object.entries(types).map(([name, type]) => columnOf(name, type)),
          { name: 'decode_error', sql: 'j."decodeError"' },
        ],
        fields: FIELDS,
        async rowFields(message, object) {
          const decoded = await decode(message, object);
          if (decoded === undefined) return '';
          if (decoded.kind === 'undecoded') return `,"decodeError":${JSON.stringify(decoded.error)}`;
          try {
            const parts = Object.entries(types).map(([name, type]) => {
              const value = name === 'payload' ? decoded.value : decoded.key;
              return `"${name}":${payloadJson(type, value)}`;
            });
            return `,"decoded":{${parts.join(',')}}`;
          } catch (error) {
            return `,"decodeError":${JSON.stringify(`it does not fit its column: ${reasonOf(error)}`)}`;
          }
        },
      };
    },
  };
}

/** Every field is there in the JSON, and what does not convert is an error; bytes are texts there, with an escape each. */
function columnOf(name: string, type: PayloadType): Column {
  const sqlType = sqlTypeOf(type);
  const types = JSON.stringify({ [name]: sqlTypeOf(type, 'VARCHAR') });
  const sql = `CAST(from_json_strict(j."decoded", ${sqlText(types)}).${name} AS ${sqlType})`;
  return { name, sql, type: sqlType };
}

function decodeJson(payload: Uint8Array): Decoded<JsonValue> | Undecoded {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  try {
    return {
      kind: 'decoded',
      value: parseJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)),
    };
  } catch (error) {
    return { kind: 'undecoded', error: error instanceof SyntaxError ? 'it is no JSON' : 'it is no text' };
  }
}
