// Decodes the values of messages by their schemas. Decodes nothing twice, changes no stored field, and stops at no
// message: a message that cannot be decoded gets the reason, and is counted.
import { type KeptSchema, versionText } from '../../format/kept-schema.ts';
import type { Message } from '../../ports.ts';
import type { ContentFilter } from '../catalog/selection.ts';
import { contentTestOf } from '../read/content-match.ts';
import type { StoredMessage } from '../read/read-messages.ts';
import type { ArchiveSchemas, SchemaOfRecord } from '../schemas/schemas.ts';
import { payloadText } from './decoded-value.ts';
import { createDecoder, type Decoded, type Decoder, type Undecoded } from './decoder.ts';
import { type JsonValue, jsonText } from './json-value.ts';

/** How many messages there were of each kind. */
export interface DecodeCounts {
  decoded: number;
  /** Messages whose record has a `decodeError`, and the first of these. */
  failed: number;
  firstError: string | undefined;
  /** Their schema is not in the archive. */
  missing: number;
  /** They name no schema, so there is nothing to decode. */
  withoutSchema: number;
}

/** Counts of nothing yet. */
export const noCounts = (): DecodeCounts => ({
  ...{ decoded: 0, failed: 0, firstError: undefined, missing: 0, withoutSchema: 0 },
});

/** A message whose line contains its decoded value, or why it was not decoded. */
export interface DecodedMessage extends StoredMessage {
  /** JSON: the decoded value; where it is not decoded, an object of the fields that the record has of it. */
  readonly valueText: string;
}

/**
 * The messages, each with `decoded` (and `decodedKey` where its schema is a pair), or `decodeError`, at the end of its
 * line. Content filters look into the decoded value, where there is one. @throws BackupError `store`
 */
export async function* decodeMessages(
  messages: AsyncIterable<StoredMessage>,
  schemas: ArchiveSchemas,
  filter: ContentFilter,
  counts: DecodeCounts,
): AsyncGenerator<DecodedMessage, void, undefined> {
  const decoders = new WeakMap<KeptSchema, Decoder>();
  const isFound = contentTestOf(filter) ?? (() => true);
  for await (const one of messages) {
    const { message, object } = one;
    const { schemaVersion, payload } = message;
    if (schemaVersion === undefined || schemaVersion.length === 0) {
      counts.withoutSchema++;
      if (isFound(message)) yield { ...one, valueText: payloadText(payload) };
      continue;
    }
    const found = await schemas.of(message.topic, schemaVersion, object);
    if (found.kind === 'missing') counts.missing++;
    const decoded = decodeAs(found, message, schemaVersion, decoders);
    if (decoded.kind === 'undecoded') {
      counts.failed++;
      counts.firstError ??= decoded.error;
      const error = `"decodeError":${JSON.stringify(decoded.error)}`;
      if (isFound(message))
        yield { ...withFields(one, `,${error}`), valueText: `{${error},${payloadText(payload).slice(1)}` };
      continue;
    }
    counts.decoded++;
    const valueText = jsonText(decoded.value);
    if (!isFound({ ...message, payload: payload === null ? null : Buffer.from(valueText) })) continue;
    const key = decoded.key === undefined ? '' : `,"decodedKey":${jsonText(decoded.key)}`;
    yield { ...withFields(one, `${key},"decoded":${valueText}`), valueText };
  }
}

function decodeAs(
  found: SchemaOfRecord,
  { key, payload }: Message,
  version: Uint8Array,
  decoders: WeakMap<KeptSchema, Decoder>,
): Decoded<JsonValue> | Undecoded {
  if (found.kind !== 'schema') return { kind: 'undecoded', error: reasonOf(found, versionText(version)) };
  let decoder = decoders.get(found.schema);
  if (decoder === undefined) {
    decoder = createDecoder(found.schema);
    decoders.set(found.schema, decoder);
  }
  return decoder.decode(typeof key === 'string' ? Buffer.from(key) : key, payload);
}

/** Why a message without an available schema is not decoded, as a sentence. */
export function reasonOf(found: Exclude<SchemaOfRecord, { kind: 'schema' }>, version: string): string {
  if (found.kind === 'missing') return `the archive does not have the schema of version ${version}`;
  if (found.kind === 'damaged') return `the schema of version ${version} cannot be read: ${found.reason}`;
  return `version ${version} has had several schemas (${found.names.join(', ')}), and no manifest says which it is`;
}

/** Further fields, behind those that the record has; spaces behind it stay (format/end-mark.ts). */
function withFields(one: StoredMessage, fields: string): StoredMessage {
  const end = one.line.lastIndexOf('}');
  return { ...one, line: `${one.line.slice(0, end)}${fields}${one.line.slice(end)}` };
}
