// What can be found wrong with the schemas of an archive: damaged, named by a manifest and gone, or named by records and
// never kept. The last is no damage: archives from before schemas were kept have none.
import { BackupError } from '../../errors.ts';
import { schemaKey, versionText } from '../../format/kept-schema.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { damage, type Finding, notice } from '../finding.ts';
import { listSchemas, readSchema } from '../schemas/schemas.ts';
import type { Inspection } from './inspect.ts';

/** What a verification says about schemas. */
export interface SchemaResult {
  /** Objects of schemas. */
  readonly kept: number;
  /** Versions that records name and of which there is none; 0 where no record was read. */
  readonly missing: number;
}

/** Schemas as objects name them; `add` each object, then ask for what is wrong. */
export function createSchemaCheck(store: ObjectStore, prefix: string) {
  /** By the key that a schema has or would have: how many objects name it. */
  const byManifests = new Map<string, number>();
  const byRecords = new Map<string, { version: string; objects: number }>();
  return {
    add({ parts, manifest }: ArchiveObject, inspection: Inspection | undefined): void {
      for (const name of manifest?.schemas ?? []) {
        const key = schemaKey(prefix, parts, name);
        byManifests.set(key, (byManifests.get(key) ?? 0) + 1);
      }
      for (const base64 of inspection?.schemaVersions ?? []) {
        const version = versionText(Buffer.from(base64, 'base64'));
        const key = schemaKey(prefix, parts, version);
        const objects = (byRecords.get(key)?.objects ?? 0) + 1;
        byRecords.set(key, { version, objects });
      }
    },

    /** `isRead`: whether what is in the schemas is looked at too. @throws BackupError `store` */
    async results(
      topic: TopicName | undefined,
      isRead: boolean,
      call: CallOptions,
    ): Promise<SchemaResult & { readonly findings: Finding[] }> {
      const listed = await listSchemas(store, prefix, topic, call);
      const keys = new Set(listed.map(({ key }) => key));
      const versions = new Set(
        listed.map((one) =>
          schemaKey(prefix, parseTopicName(one.topic) as TopicName, versionText(one.version)),
        ),
      );
      const findings: Finding[] = [];
      for (const [key, objects] of byManifests)
        if (!keys.has(key))
          findings.push(damage(key, 'missing', `manifests name it as the schema of ${objectsText(objects)}`));
      for (const one of isRead ? listed : []) {
        try {
          await readSchema(store, one, call);
        } catch (error) {
          if (!(error instanceof BackupError) || error.code !== 'corrupt') throw error;
          findings.push(damage(one.key, 'schema', error.message));
        }
      }
      const missing = [...byRecords].filter(([key]) => !versions.has(key));
      for (const [key, { version, objects }] of missing)
        if (!byManifests.has(key))
          findings.push(
            notice(
              key,
              'schema-missing',
              `records in ${objectsText(objects)} name schema version ${version}, which is not kept: archive schemas fetch asks the broker for it`,
            ),
          );
      return { kept: listed.length, missing: missing.length, findings };
    },
  };
}

const objectsText = (objects: number) => (objects === 1 ? '1 object' : `${objects} objects`);
