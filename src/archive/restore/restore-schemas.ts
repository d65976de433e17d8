// The schemas of what is restored: registered at the target, in the order of their versions, before anything is published;
// and the version that each message gets there. What a record names and the archive lacks gets none, and is counted.
import { BackupError } from '../../errors.ts';
import { definitionBytes, type KeptSchema, propertiesOf } from '../../format/kept-schema.ts';
import type { CallOptions, Message, ObjectStore, Publisher, TopicSchema } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { type ListedSchema, listSchemas, openSchemas, readSchema } from '../schemas/schemas.ts';

/** What the messages of a topic mean at the target. */
export interface RestoreSchemas {
  /** For the producers: that of the last version. */
  readonly ofProducers: TopicSchema;
  /** The version at the target; `undefined`: it is not known what the message means. @throws BackupError `store` */
  versionOf(
    message: Pick<Message, 'topic' | 'schemaVersion'>,
    object: ArchiveObject,
  ): Promise<Uint8Array | undefined>;
}

/** Which schemas to register, where, and for what. */
export interface RegisterOptions extends CallOptions {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly source: TopicName;
  readonly publisher: Publisher;
  /** One of the topic's partitions, or the topic where it has none. */
  readonly targetPartition: string;
}

/** The schemas of a topic in the order in which they are registered: those that were kept first in a version come first. */
export async function schemasToRestore(
  store: ObjectStore,
  prefix: string,
  source: TopicName,
  call: CallOptions,
): Promise<readonly ListedSchema[]> {
  const listed = await listSchemas(store, prefix, source, call);
  const isOther = ({ name }: ListedSchema) => name.includes('-');
  return [...listed.filter((one) => !isOther(one)), ...listed.filter(isOther)];
}

/**
 * Registers them all; `undefined` where there are none. May be repeated: the target knows them then.
 * @throws BackupError with the broker's reason where it refuses one; nothing is published then
 */
export async function registerSchemas(options: RegisterOptions): Promise<RestoreSchemas | undefined> {
  const { store, prefix, source, publisher, targetPartition, signal } = options;
  const call: CallOptions = signal === undefined ? {} : { signal };
  /** By what a schema is, whatever version it had. */
  const versions = new Map<string, Uint8Array>();
  let last: TopicSchema | undefined;
  for (const one of await schemasToRestore(store, prefix, source, call)) {
    const schema = await readSchema(store, one, call).catch((error: unknown) => {
      throw error instanceof BackupError && error.code === 'corrupt' ? damaged(one, error) : error;
    });
    last = topicSchema(schema);
    try {
      versions.set(schema.sha256, await publisher.registerSchema(targetPartition, last));
    } catch (error) {
      throw refused(error, one, targetPartition);
    }
  }
  if (last === undefined) return undefined;
  return { ofProducers: last, versionOf: createVersions(openSchemas(store, prefix, call), versions) };
}

/** Most messages have the version of the one before, and are in its object. */
function createVersions(
  schemas: ReturnType<typeof openSchemas>,
  versions: ReadonlyMap<string, Uint8Array>,
): RestoreSchemas['versionOf'] {
  let lastVersion: Uint8Array | undefined;
  let lastObject: ArchiveObject | undefined;
  let found: Uint8Array | undefined;
  return async ({ topic, schemaVersion }, object) => {
    if (schemaVersion === undefined) return undefined;
    if (object === lastObject && lastVersion && Buffer.compare(schemaVersion, lastVersion) === 0)
      return found;
    const meant = await schemas.of(topic, schemaVersion, object);
    found = meant.kind === 'schema' ? versions.get(meant.schema.sha256) : undefined;
    [lastVersion, lastObject] = [schemaVersion, object];
    return found;
  };
}

function topicSchema(schema: KeptSchema): TopicSchema {
  const { type, name } = schema;
  return { type, name, properties: propertiesOf(schema), definition: definitionBytes(schema) };
}

const WITHOUT = 'or publish without schemas: --schemas none';

const damaged = ({ key }: ListedSchema, cause: BackupError) =>
  new BackupError('corrupt', `${key} cannot be registered: ${cause.message}`, {
    hint: `Bring the schema back from a copy, ${WITHOUT}.`,
    cause,
    details: { key },
  });

function refused(error: unknown, { name, topic }: ListedSchema, target: string): unknown {
  if (!(error instanceof BackupError)) return error;
  const isRefusal = error.details['serverError'] !== undefined && !error.retryable;
  if (!isRefusal) return error;
  return new BackupError('source', `schema ${name} of ${topic} cannot be registered: ${error.message}`, {
    hint: `Nothing was published. Restore into a topic without schemas; or let the namespace take it meanwhile (set-schema-compatibility-strategy ALWAYS_COMPATIBLE, schema autoupdate on; ${target} has the schemas of its own topic then too); ${WITHOUT}.`,
    cause: error,
    details: error.details,
  });
}
