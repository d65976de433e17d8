// Reads manifests in key order, several ahead of the consumer. An invalid manifest is returned without content; a
// missing one is not returned.
import { createHash } from 'node:crypto';
import { RUN_MANIFEST_FORMAT } from '../../format/run-manifest.ts';
import { readIfThere } from '../../format/stored-object.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import type { ReadManifest } from '../catalog/manifest-link.ts';

const AHEAD = 16;

/** All manifests under `prefix`, but for those that are known. @throws BackupError `store` */
export async function* readManifests(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
  isKnown: (key: string) => boolean = () => false,
): AsyncGenerator<ReadManifest, void, undefined> {
  const listed = async function* () {
    for await (const one of store.list(`${prefix}_runs/`, call)) if (!isKnown(one.key)) yield one;
  };
  const read = mapInOrder(listed(), AHEAD, async ({ key }): Promise<ReadManifest | undefined> => {
    const bytes = await readIfThere(store, key, call);
    if (bytes === undefined) return undefined;
    const sum = (name: string) => createHash(name).update(bytes).digest('hex');
    return { key, sha256: sum('sha256'), md5: sum('md5'), content: parseManifest(bytes) };
  });
  for await (const one of read) if (one !== undefined) yield one;
}

function parseManifest(bytes: Buffer): ReadManifest['content'] {
  try {
    const content = JSON.parse(bytes.toString('utf8'));
    return content?.format === RUN_MANIFEST_FORMAT && Array.isArray(content.storedObjects)
      ? content
      : undefined;
  } catch {
    return undefined;
  }
}
