// The topics of an archive: those with objects, those in manifests, and those with only raw entries. So a topic is
// reported even if all its objects are gone.
import type { CallOptions, ObjectStore } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import { topicFolders } from './listing.ts';
import { createManifests } from './manifests.ts';
import { findTopics } from './nothing-found.ts';

/** All topics at `prefix`, by name. @throws BackupError `store` */
export async function listTopics(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
): Promise<TopicName[]> {
  const names = new Set(await findTopics(store, prefix, call, Number.POSITIVE_INFINITY));
  for (const full of await createManifests(store, prefix, call).topics())
    names.add(full.replace('persistent://', ''));
  const raw = `${prefix}_unreadable/`;
  for await (const folder of topicFolders(store, raw, call)) names.add(folder.slice(raw.length, -1));
  return [...names]
    .sort()
    .map((name) => parseTopicName(name))
    .filter((topic) => topic !== undefined);
}
