// The schemas of an archive: which there are, what is in one, and which of them a record means. It reads no more of them
// than it is asked for, and keeps no more than a few megabytes.
import { BackupError } from '../../errors.ts';
import {
  type KeptSchema,
  parseKeptSchema,
  parseSchemaKey,
  schemaFolder,
  schemaTopic,
  versionText,
} from '../../format/kept-schema.ts';
import { readWhole } from '../../format/stored-object.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { CallOptions, ListedObject, ObjectStore } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { topicFolders } from '../catalog/listing.ts';

/** What is kept of schemas that were read, in bytes of their objects. */
const MAX_CACHED_BYTES = 16 * 1_048_576;

/** Of so many schemas a listing says what they are. */
const MAX_DESCRIBED = 200;
/** Read at a time. */
const WIDTH = 6;

/** A schema's object, by its key. */
export interface ListedSchema extends ListedObject {
  /** Full name, without the partition. */
  readonly topic: string;
  /** See `schemaName`. */
  readonly name: string;
  readonly version: Uint8Array;
}

/** Which schema a record means. */
export type SchemaOfRecord =
  | { readonly kind: 'schema'; readonly schema: KeptSchema }
  /** The archive has none of this version. */
  | { readonly kind: 'missing' }
  /** The version has had several definitions, and no manifest says which one the record's object means. */
  | { readonly kind: 'ambiguous'; readonly names: readonly string[] }
  /** Its object is no schema. `reason`: one clause for a person. */
  | { readonly kind: 'damaged'; readonly key: string; readonly reason: string };

/** The schemas that records mean. */
export interface ArchiveSchemas {
  /**
   * `topic`: that of the record, a partition or not; `version`: its `schemaVersion`, not empty; `object`: the one that it
   * is in. @throws BackupError `store`
   */
  of(
    topic: string,
    version: Uint8Array,
    object: Pick<ArchiveObject, 'manifest' | 'schemas'> | undefined,
  ): Promise<SchemaOfRecord>;
}

/** The schemas of one topic, or of all, by topic and version. @throws BackupError `store` */
export async function listSchemas(
  store: ObjectStore,
  prefix: string,
  topic: TopicName | undefined,
  call: CallOptions,
): Promise<ListedSchema[]> {
  const found: ListedSchema[] = [];
  const root = `${prefix}_schemas/`;
  const folders = topic === undefined ? topicFolders(store, root, call) : [schemaFolder(prefix, topic)];
  for await (const folder of folders) {
    const full = topic === undefined ? `persistent://${folder.slice(root.length, -1)}` : schemaTopic(topic);
    const own: ListedSchema[] = [];
    for await (const listed of store.list(folder, call)) {
      const parsed = parseSchemaKey(folder, listed.key);
      if (parsed !== undefined) own.push({ ...listed, ...parsed, topic: full });
    }
    found.push(...own.sort(byVersion));
  }
  return found;
}

/** The schema in an object. @throws BackupError `store`; `corrupt` where it is not the one that its key names */
export async function readSchema(
  store: ObjectStore,
  { key, topic, version, name }: ListedSchema,
  call: CallOptions,
): Promise<KeptSchema> {
  const schema = parseKeptSchema(await readWhole(store, key, call));
  const isOfKey =
    schema.topic === topic &&
    schema.version === versionText(version) &&
    (name === schema.version || name === `${schema.version}-${schema.sha256.slice(0, 12)}`);
  if (isOfKey) return schema;
  throw new BackupError('corrupt', `the object is the schema ${schema.version} of ${schema.topic}`);
}

/** A schema as a listing shows it. */
export interface DescribedSchema extends ListedSchema {
  /** `undefined`: it was not read, since there are many, or is none. */
  readonly schema: KeptSchema | undefined;
}

/** What the first MAX_DESCRIBED of them are, without their definitions in memory at once. @throws BackupError `store` */
export async function* describeSchemas(
  store: ObjectStore,
  listed: readonly ListedSchema[],
  call: CallOptions,
): AsyncGenerator<DescribedSchema, void, undefined> {
  const describe = async (one: ListedSchema): Promise<DescribedSchema> => {
    const schema = await readSchema(store, one, call).catch((error: unknown) => {
      if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
      return undefined;
    });
    return { ...one, schema };
  };
  yield* mapInOrder(listed.slice(0, MAX_DESCRIBED), WIDTH, describe);
  for (const one of listed.slice(MAX_DESCRIBED)) yield { ...one, schema: undefined };
}

/** A schema as lists show it, with names as `archive ls --json` prints them. */
export interface SchemaSummary {
  readonly key: string;
  readonly topic: string;
  /** See `schemaName`. */
  readonly name: string;
  readonly version: string;
  /** `null` where it was not read, or is no schema. */
  readonly type: string | null;
  readonly size: number;
  readonly sha256: string | null;
}

/** Without the definition. */
export const summaryOf = ({
  key,
  topic,
  name,
  version,
  sizeBytes,
  schema,
}: DescribedSchema): SchemaSummary => ({
  ...{ key, topic, name },
  version: versionText(version),
  type: schema === undefined ? null : typeText(schema),
  size: sizeBytes,
  sha256: schema?.sha256 ?? null,
});

/** `KEY_VALUE` with what key and value are. */
function typeText({ type, keyValue }: KeptSchema): string {
  if (keyValue === undefined) return type;
  return `${type}(${keyValue.key.type}, ${keyValue.value.type}, ${keyValue.encoding})`;
}

/** Finds the schemas of records. Lists those of a topic once, and reads each once while there is room for it. */
export function openSchemas(store: ObjectStore, prefix: string, call: CallOptions): ArchiveSchemas {
  const topics = new Map<string, Promise<ReadonlyMap<string, ListedSchema[]>>>();
  const cache = new Map<string, { schema: Promise<KeptSchema>; sizeBytes: number }>();
  let cachedBytes = 0;

  async function listByVersion(topic: string): Promise<ReadonlyMap<string, ListedSchema[]>> {
    const byVersion = new Map<string, ListedSchema[]>();
    const name = parseTopicName(topic);
    for (const listed of name === undefined ? [] : await listSchemas(store, prefix, name, call)) {
      const version = versionText(listed.version);
      byVersion.set(version, [...(byVersion.get(version) ?? []), listed]);
    }
    return byVersion;
  }

  function candidates(topic: string) {
    const base = topic.replace(/-partition-\d+$/, '');
    let listing = topics.get(base);
    if (listing === undefined) {
      listing = listByVersion(base);
      topics.set(base, listing);
    }
    return listing;
  }

  function read(listed: ListedSchema): Promise<KeptSchema> {
    const known = cache.get(listed.key);
    const { schema, sizeBytes } = known ?? {
      schema: readSchema(store, listed, call),
      sizeBytes: listed.sizeBytes,
    };
    cache.delete(listed.key);
    cache.set(listed.key, { schema, sizeBytes });
    if (known === undefined) cachedBytes += sizeBytes;
    for (const [key, oldest] of cache) {
      if (cachedBytes <= MAX_CACHED_BYTES || key === listed.key) break;
      cache.delete(key);
      cachedBytes -= oldest.sizeBytes;
    }
    return schema;
  }

  return {
    async of(topic, version, object) {
      const all = (await candidates(topic)).get(versionText(version)) ?? [];
      const names = object?.schemas ?? object?.manifest?.schemas;
      const named = all.filter(({ name }) => names?.includes(name));
      const [first, ...others] = named.length > 0 ? named : all;
      if (first === undefined) return { kind: 'missing' };
      try {
        const schema = await read(first);
        for (const other of others)
          if ((await read(other)).sha256 !== schema.sha256)
            return { kind: 'ambiguous', names: [first, ...others].map(({ name }) => name) };
        return { kind: 'schema', schema };
      } catch (error) {
        if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
        return { kind: 'damaged', key: first.key, reason: error.message };
      }
    },
  };
}

/** By number where they are numbers, and the first definition of a version first. */
function byVersion(a: ListedSchema, b: ListedSchema): number {
  return (
    a.version.length - b.version.length || Buffer.compare(a.version, b.version) || (a.name < b.name ? -1 : 1)
  );
}
