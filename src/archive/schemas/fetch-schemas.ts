// Stores the schemas that records name and the archive lacks, as far as a broker still has them: for archives from before
// schemas were kept. Reads every record; replaces nothing.
import { BackupError } from '../../errors.ts';
import { keepSchema, MAX_VERSION_BYTES, schemaTopic, versionText } from '../../format/kept-schema.ts';
import { storeSchema } from '../../format/store-schema.ts';
import { readLines } from '../../format/stored-object.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { CallOptions, ObjectStore, SchemaAnswer } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import { untilArchived } from '../catalog/archived.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { streamCatalog } from '../catalog/catalog-stream.ts';
import { nothingFound } from '../catalog/nothing-found.ts';
import { listSchemas } from './schemas.ts';

/** What became of a version that records name. */
export interface FetchedSchema {
  /** Full name, without the partition. */
  readonly topic: string;
  readonly version: string;
  readonly outcome: 'stored' | 'kept' | 'missing';
  /** Of what was stored. */
  readonly key?: string;
  /** Why there is none. */
  readonly reason?: string;
}

export interface FetchOptions extends CallOptions {
  readonly topic: TopicName | undefined;
  readonly isLocal: boolean;
  readonly parallel: number;
  /** Asks the broker. */
  readonly ask: (topic: TopicName, version: Uint8Array) => Promise<SchemaAnswer>;
  readonly onProgress?: (objects: number) => void;
}

/** In the order of topics and versions. @throws BackupError `store`; `config` where there is no archive */
export async function fetchSchemas(
  store: ObjectStore,
  prefix: string,
  options: FetchOptions,
): Promise<FetchedSchema[]> {
  const { topic, isLocal, ask, signal } = options;
  const call: CallOptions = signal === undefined ? {} : { signal };
  const { named, objects } = await namedVersions(store, prefix, options, call);
  if (objects === 0) throw await nothingFound(store, prefix, { topic, isLocal, ...call });
  const fetched: FetchedSchema[] = [];
  for (const [full, versions] of [...named].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = parseTopicName(full) as TopicName;
    const kept = new Set(
      (await listSchemas(store, prefix, name, call)).map((one) => versionText(one.version)),
    );
    for (const base64 of [...versions].sort()) {
      const bytes = Buffer.from(base64, 'base64');
      const version = versionText(bytes);
      const of = { topic: full, version };
      if (kept.has(version)) {
        fetched.push({ ...of, outcome: 'kept' });
        continue;
      }
      const answer: SchemaAnswer =
        bytes.length > MAX_VERSION_BYTES
          ? { kind: 'unknown', reason: `${bytes.length} bytes are no version of a schema` }
          : await ask(name, bytes);
      if (answer.kind === 'unknown') {
        const { reason } = answer;
        fetched.push({ ...of, outcome: 'missing', reason });
        continue;
      }
      const stored = await storeSchema(store, prefix, name, keepSchema(name, bytes, answer.schema), call);
      fetched.push({ ...of, outcome: 'stored', key: stored.key });
    }
  }
  return fetched;
}

/** The versions in Base64 that records name, by their topics. */
async function namedVersions(
  store: ObjectStore,
  prefix: string,
  { topic, isLocal, parallel, onProgress }: FetchOptions,
  call: CallOptions,
): Promise<{ readonly named: ReadonlyMap<string, Set<string>>; readonly objects: number }> {
  const named = new Map<string, Set<string>>();
  const catalog = streamCatalog(store, prefix, { topic, isLocal, ...call });
  let objects = 0;
  const read = async (object: ArchiveObject) => ({ object, versions: await versionsIn(store, object, call) });
  for await (const { object, versions } of mapInOrder(untilArchived(catalog.objects()), parallel, read)) {
    const full = schemaTopic(object.parts);
    const all = named.get(full) ?? new Set();
    for (const version of versions) all.add(version);
    if (all.size > 0) named.set(full, all);
    onProgress?.(++objects);
  }
  return { named, objects };
}

async function versionsIn(
  store: ObjectStore,
  { key, parts }: ArchiveObject,
  call: CallOptions,
): Promise<ReadonlySet<string>> {
  const versions = new Set<string>();
  try {
    for await (const line of readLines(store, key, parts.compression, call)) {
      // Most archives have some with and many without; a property may have that name too.
      if (!line.includes('"schemaVersion":"')) continue;
      const { schemaVersion } = JSON.parse(line) as { schemaVersion?: unknown };
      if (typeof schemaVersion === 'string' && schemaVersion !== '') versions.add(schemaVersion);
    }
  } catch (error) {
    // What is damaged is for verify to say.
    const isDamage =
      error instanceof SyntaxError || (error instanceof BackupError && error.code === 'corrupt');
    if (!isDamage) throw error;
  }
  return versions;
}
