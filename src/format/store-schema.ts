// Stores a schema under the first free name, or finds it stored: its version, or, if another definition has that
// name, its version with digits of its checksum. Replaces nothing.
import { BackupError } from '../errors.ts';
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, ObjectStore } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import {
  encodeKeptSchema,
  type KeptSchema,
  parseKeptSchema,
  SCHEMA_FORMAT,
  schemaKey,
  schemaName,
} from './kept-schema.ts';
import { readWhole } from './stored-object.ts';

/** Where a schema is. */
export interface StoredSchema {
  readonly name: string;
  readonly key: string;
  /** It did not exist before. */
  readonly isNew: boolean;
  readonly sizeBytes: number;
}

/** Resolves when the schema is durable. May be repeated. @throws BackupError `store` */
export async function storeSchema(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  schema: KeptSchema,
  call: CallOptions,
): Promise<StoredSchema> {
  const bytes = encodeKeptSchema(schema);
  const crc = crc64([bytes]);
  const version = Buffer.from(schema.versionBase64, 'base64');
  /** `undefined`: nothing is at the key. */
  const holds = async (key: string): Promise<boolean | undefined> => {
    const head = await store.head(key, call);
    if (head === undefined) return undefined;
    if (head.crc64 === crc) return true;
    try {
      return parseKeptSchema(await readWhole(store, key, call)).sha256 === schema.sha256;
    } catch (error) {
      if (error instanceof BackupError && error.code === 'corrupt') return false;
      throw error;
    }
  };
  const names = [schemaName(version), schemaName(version, schema.sha256)];
  for (const name of names) {
    const key = schemaKey(prefix, topic, name);
    const found = await holds(key);
    if (found === false) continue;
    const sizeBytes = bytes.length;
    if (found === true) return { name, key, isNew: false, sizeBytes };
    const metadata = { format: SCHEMA_FORMAT };
    const attributes = { metadata, contentType: 'application/json', isReadByRuns: true };
    const answer = await store.create(key, { chunks: [bytes], sizeBytes }, crc, attributes, call);
    if (answer.kind === 'created') return { name, key, isNew: true, sizeBytes };
    // Another instance was faster; it may have stored another definition.
    if ((await holds(key)) === true) return { name, key, isNew: false, sizeBytes };
  }
  const last = schemaKey(prefix, topic, names[1] as string);
  throw new BackupError('store', `${last} is not the schema that its name says`, {
    hint: 'Remove that object: it is damaged, and the schema is stored anew then.',
    details: { key: last },
  });
}
