// A stored schema of a topic (tdmq-backup-schema/1): one small JSON object for each version, and for each definition
// that a version has had. The same schema has the same bytes in every run. Splits KEY_VALUE schemas; archive/decode/
// parses definitions.
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { BackupError } from '../errors.ts';
import type { Text, TopicSchema } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import { topicFolder } from './object-key.ts';

/** The `format` of a kept schema, and the `x-cos-meta-format` of its object. */
export const SCHEMA_FORMAT = 'tdmq-backup-schema/1';

/** Type, name, properties and definition: of a schema, or of the key or the value of a KEY_VALUE schema. */
export interface SchemaPart {
  /** As `SchemaType` of Pulsar's Java client names it; `TYPE_{n}` where its number is not known here. */
  readonly type: string;
  readonly name: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Those of which name or value is no valid UTF-8: both, in Base64. */
  readonly propertiesBase64?: Readonly<Record<string, string>>;
  /** The bytes of Pulsar's `schema_data`, where they are valid UTF-8; exactly one of this and the next is there. */
  readonly definition?: string;
  readonly definitionBase64?: string;
}

/** The content of a schema's object. */
export interface KeptSchema extends SchemaPart {
  readonly format: typeof SCHEMA_FORMAT;
  /** Full name, without `-partition-N`. */
  readonly topic: string;
  /** See `versionText`. */
  readonly version: string;
  /** As in the `schemaVersion` of a record. */
  readonly versionBase64: string;
  /** Of a KEY_VALUE schema; absent where its definition cannot be taken apart. */
  readonly keyValue?: {
    readonly encoding: 'INLINE' | 'SEPARATED';
    readonly key: SchemaPart;
    readonly value: SchemaPart;
  };
  /** See `schemaSha256`. */
  readonly sha256: string;
}

type TopicParts = Pick<TopicName, 'tenant' | 'namespace' | 'topic'>;

/** No broker has longer versions, and they would make keys too long for COS. */
export const MAX_VERSION_BYTES = 16;

/** `persistent://tenant/namespace/topic` of a topic or one of its partitions: a schema belongs to all of them. */
export function schemaTopic(topic: TopicParts): string {
  return `persistent://${topic.tenant}/${topic.namespace}/${withoutPartition(topic.topic)}`;
}

/** The decimal number of 8 bytes, big-endian, unsigned; `x` and the hex digits of bytes of any other length. */
export function versionText(version: Uint8Array): string {
  const bytes = Buffer.from(version);
  return bytes.length === 8 ? String(bytes.readBigUInt64BE()) : `x${bytes.toString('hex')}`;
}

/** The reverse of versionText; `undefined` where the text is no version. */
export function parseVersionText(text: string): Uint8Array | undefined {
  if (/^x(?:[0-9a-f]{2})*$/.test(text)) return Buffer.from(text.slice(1), 'hex');
  if (!/^(?:0|[1-9]\d{0,19})$/.test(text) || BigInt(text) >= 2n ** 64n) return undefined;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(text));
  return bytes;
}

/** `{prefix}_schemas/{tenant}/{namespace}/{topic}/`, of a topic or one of its partitions. */
export function schemaFolder(prefix: string, topic: TopicParts): string {
  return topicFolder(`${prefix}_schemas/`, { ...topic, topic: withoutPartition(topic.topic) });
}

/** What an object of a schema is called, without `.json`; manifests name it so. */
export function schemaName(version: Uint8Array, otherSha256?: string): string {
  const other = otherSha256 === undefined ? '' : `-${otherSha256.slice(0, OTHER_DIGITS)}`;
  return `${versionText(version)}${other}`;
}

/** The key of the object that `schemaName` names. */
export function schemaKey(prefix: string, topic: TopicParts, name: string): string {
  return `${schemaFolder(prefix, topic)}${name}.json`;
}

/** The name and the version in a key; `undefined` where it is no key of a schema in this folder. */
export function parseSchemaKey(
  folder: string,
  key: string,
): { readonly name: string; readonly version: Uint8Array } | undefined {
  if (!key.startsWith(folder)) return undefined;
  const match = /^(([^/-]+)(?:-[0-9a-f]{12})?)\.json$/.exec(key.slice(folder.length));
  const version = parseVersionText(match?.[2] ?? '');
  return match === null || version === undefined ? undefined : { name: match[1] as string, version };
}

/** The schema as it is kept. */
export function keepSchema(topic: TopicParts, version: Uint8Array, schema: TopicSchema): KeptSchema {
  const part = partOf(schema);
  const keyValue = schema.type === 'KEY_VALUE' ? takeApart(part, schema.definition) : undefined;
  return {
    format: SCHEMA_FORMAT,
    topic: schemaTopic(topic),
    version: versionText(version),
    versionBase64: Buffer.from(version).toString('base64'),
    ...part,
    ...(keyValue === undefined ? {} : { keyValue }),
    sha256: schemaSha256(part),
  };
}

/** The bytes of the object: JSON, ended by `\n`. */
export function encodeKeptSchema(schema: KeptSchema): Buffer {
  return Buffer.from(`${JSON.stringify(schema)}\n`);
}

/** The reverse of encodeKeptSchema. @throws BackupError `corrupt` where it is none, or not what its SHA-256 says */
export function parseKeptSchema(bytes: Uint8Array): KeptSchema {
  let schema: KeptSchema;
  try {
    schema = JSON.parse(Buffer.from(bytes).toString()) as KeptSchema;
  } catch (cause) {
    throw noSchema('it is not JSON', cause);
  }
  if (schema?.format !== SCHEMA_FORMAT) throw noSchema(`its format is not ${SCHEMA_FORMAT}`);
  const { topic, version, versionBase64, keyValue, sha256 } = schema;
  if (typeof topic !== 'string' || typeof version !== 'string' || !isBase64(versionBase64))
    throw noSchema('topic or version is missing');
  if (versionText(Buffer.from(versionBase64, 'base64')) !== version)
    throw noSchema('"version" is not the number of "versionBase64"');
  if (!isPart(schema)) throw noSchema('a field of the schema is missing, or of another type');
  if (sha256 !== schemaSha256(schema)) throw noSchema('its content is not what its sha256 says');
  if (keyValue !== undefined && !(isPart(keyValue.key) && isPart(keyValue.value)))
    throw noSchema('a field of key or value is missing, or of another type');
  return schema;
}

/** The bytes of Pulsar's `schema_data`. */
export function definitionBytes({ definition, definitionBase64 }: SchemaPart): Buffer {
  return definition === undefined
    ? Buffer.from(definitionBase64 ?? '', 'base64')
    : Buffer.from(definition, 'utf8');
}

/** The properties as their bytes, in the order of the JSON. */
export function propertiesOf({ properties, propertiesBase64 }: SchemaPart): TopicSchema['properties'] {
  const ofBase64 = (text: string): Text => {
    const bytes = Buffer.from(text, 'base64');
    return isUtf8(bytes) ? bytes.toString() : bytes;
  };
  const others = Object.entries(propertiesBase64 ?? {});
  return [
    ...Object.entries(properties),
    ...others.map(([name, value]) => [ofBase64(name), ofBase64(value)] as const),
  ];
}

/**
 * SHA-256, hex, of a schema without its version: of the JSON text `[type,name,[[name,value],…],[[name,value],…]]`
 * (properties, then those in Base64, each in the order of their names), a `\n`, and the bytes of the definition.
 */
export function schemaSha256(part: SchemaPart): string {
  const { type, name, properties, propertiesBase64 } = part;
  const head = [type, name, inOrder(properties), inOrder(propertiesBase64 ?? {})];
  return createHash('sha256')
    .update(`${JSON.stringify(head)}\n`)
    .update(definitionBytes(part))
    .digest('hex');
}

/** The number of digits of its SHA-256 in the name of a second definition under the same version. */
const OTHER_DIGITS = 12;

const withoutPartition = (topic: string) => topic.replace(/-partition-\d+$/, '');

const inOrder = (pairs: Readonly<Record<string, string>>) =>
  Object.entries(pairs).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

const sorted = (pairs: readonly (readonly [string, string])[]) =>
  Object.fromEntries(inOrder(Object.fromEntries(pairs)));

function partOf({ type, name, properties, definition }: TopicSchema): SchemaPart {
  const isText = ([key, value]: readonly [Text, Text]) =>
    typeof key === 'string' && typeof value === 'string';
  const texts = properties.filter(isText) as (readonly [string, string])[];
  const others = properties.filter((pair) => !isText(pair));
  const encoded = others.map(([key, value]) => [base64Of(key), base64Of(value)] as const);
  return {
    type,
    name,
    properties: sorted(texts),
    ...(encoded.length === 0 ? {} : { propertiesBase64: sorted(encoded) }),
    ...(isUtf8(definition)
      ? { definition: Buffer.from(definition).toString() }
      : { definitionBase64: Buffer.from(definition).toString('base64') }),
  };
}

const base64Of = (text: Text) => Buffer.from(text as string).toString('base64');

/**
 * Splits a schema as Pulsar's KeyValueSchemaInfo joins it: both definitions, each after its length (u32), and
 * everything else in properties. `undefined` if it has another form.
 */
function takeApart({ properties }: SchemaPart, joined: Uint8Array): KeptSchema['keyValue'] {
  const bytes = Buffer.from(joined);
  const definitions: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < 2; i++) {
    if (at + 4 > bytes.length) return undefined;
    // -1: none.
    const length = Math.max(0, bytes.readInt32BE(at));
    at += 4 + length;
    if (at > bytes.length) return undefined;
    definitions.push(bytes.subarray(at - length, at));
  }
  const side = (which: 'key' | 'value', definition: Buffer): SchemaPart =>
    partOf({
      type: properties[`${which}.schema.type`] ?? 'BYTES',
      name: properties[`${which}.schema.name`] ?? '',
      properties: Object.entries(parseProperties(properties[`${which}.schema.properties`])),
      definition,
    });
  return {
    encoding: properties['kv.encoding.type'] === 'SEPARATED' ? 'SEPARATED' : 'INLINE',
    key: side('key', definitions[0] as Buffer),
    value: side('value', definitions[1] as Buffer),
  };
}

function parseProperties(json: string | undefined): Record<string, string> {
  try {
    const parsed: unknown = JSON.parse(json ?? '{}');
    return isTexts(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

const isTexts = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((one) => typeof one === 'string');

const isBase64 = (value: unknown): value is string =>
  typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value;

function isPart(part: SchemaPart | undefined): boolean {
  if (typeof part?.type !== 'string' || typeof part.name !== 'string') return false;
  if (!isTexts(part.properties) || !isTexts(part.propertiesBase64 ?? {})) return false;
  return part.definition === undefined
    ? isBase64(part.definitionBase64)
    : typeof part.definition === 'string' && part.definitionBase64 === undefined;
}

const noSchema = (what: string, cause?: unknown) =>
  new BackupError('corrupt', `the object is no schema of ${SCHEMA_FORMAT}: ${what}`, { cause });
