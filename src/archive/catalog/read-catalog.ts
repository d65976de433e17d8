// The catalog of an archive as a whole, in the order of messages: for one that is small, or a part of it.
import { compareMessageIds } from '../../format/record.ts';
import type { ObjectStore } from '../../ports.ts';
import type { ArchiveObject, Surroundings } from './catalog.ts';
import { type CatalogOptions, streamCatalog } from './catalog-stream.ts';

/** Everything about an archive, in memory. */
export interface Catalog extends Surroundings {
  readonly prefix: string;
  /** By topic, partition and place: in the order of messages. */
  readonly objects: readonly ArchiveObject[];
}

/** Reads the catalog of the archive at `prefix`, or of a part of it. @throws BackupError `store` */
export async function readCatalog(
  store: ObjectStore,
  prefix: string,
  options: CatalogOptions = {},
): Promise<Catalog> {
  const stream = streamCatalog(store, prefix, options);
  const objects: ArchiveObject[] = [];
  for await (const object of stream.objects()) objects.push(object);
  return { prefix, objects: objects.sort(compareObjects), ...(await stream.surroundings()) };
}

function compareObjects(a: ArchiveObject, b: ArchiveObject): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return (
    a.parts.partition - b.parts.partition || compareMessageIds(a.parts, b.parts) || (a.key < b.key ? -1 : 1)
  );
}
