// What an archive has to make tables of: topics, and the days of each with their objects. It writes nothing.
import { listedPart } from '../../archive/catalog/archived.ts';
import { isRecovered } from '../../archive/catalog/catalog.ts';
import { streamCatalog } from '../../archive/catalog/catalog-stream.ts';
import { dateOfPath, pathOf } from '../../archive/catalog/manifest-content.ts';
import { findTopics, nothingFound } from '../../archive/catalog/nothing-found.ts';
import { mayHold, type Selection } from '../../archive/catalog/selection.ts';
import { settingsOf } from '../../archive/export/day-note.ts';
import { createDays } from '../../archive/export/days.ts';
import type { DecodeMode } from '../../archive/export/payload-columns.ts';
import { expectReadableDays, hasAll, readNotes } from '../../archive/export/plan-days.ts';
import type { ExportTarget } from '../../archive/export/target.ts';
import { isArchiveClass } from '../../format/contents.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import type { ListedObject } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { Terminal } from '../command.ts';
import { expectWhole } from './damaged.ts';
import type { Location } from './opened-location.ts';

/** The topic that is asked for, or all. @throws BackupError `config` where there is none */
export async function topicsOf(location: Location, signal: AbortSignal): Promise<TopicName[]> {
  const { store, prefix, topic, knowsMetadata } = location;
  if (topic !== undefined) return [topic];
  const names = await findTopics(store, prefix, { signal }, Number.POSITIVE_INFINITY);
  if (names.length === 0) throw await nothingFound(store, prefix, { isLocal: !knowsMetadata, signal });
  return names.map((name) => parseTopicName(name) as TopicName);
}

/** What decides which days are written, besides the selection. */
interface ListOptions {
  readonly decode: DecodeMode | undefined;
  readonly isSkipping: boolean;
  readonly fileBytes: number;
}

/** The days of a topic, and what an earlier export has of them. @throws BackupError where objects are gone or archived */
export async function listDays(
  location: Location,
  topic: TopicName,
  selection: Selection,
  target: ExportTarget,
  { signal }: Terminal,
  { decode, isSkipping, fileBytes }: ListOptions,
) {
  const { store, prefix } = location;
  const isLocal = !location.knowsMetadata;
  const { notes, learned } = await readNotes(target, topic);
  const catalog = streamCatalog(store, prefix, { topic, signal, isLocal, time: selection });
  const days = createDays(prefix, selection);
  const archived: ListedObject[] = [];
  let bytes = 0;
  for await (const object of catalog.objects()) {
    if (!mayHold(object, selection)) continue;
    bytes += object.sizeBytes;
    days.add(object, learned.get(object.key.slice(prefix.length)) ?? []);
    if (isArchiveClass(object.storageClass)) archived.push(listedPart(object));
  }
  const { missing: all, raw } = await catalog.surroundings();
  const missing: ManifestObject[] = [];
  for (const one of all) {
    const path = pathOf(one.key);
    const sources = [{ path, sizeBytes: one.size }];
    // A lifecycle rule has removed it since: the tables have its rows.
    if (!(await hasAll(target, topic, dateOfPath(path), sources))) missing.push(one);
  }
  const damage = expectWhole({ prefix, missing }, selection, isSkipping, topic.full);
  const settings = settingsOf(selection, decode);
  const archivedPaths = new Set(archived.map(({ key }) => pathOf(key)));
  const isArchived = (path: string) => archivedPaths.has(path);
  const plan = { topic, selection, settings, fileBytes, isArchived };
  await expectReadableDays(store, days, notes, target, archived, { ...plan, signal });
  return { days, notes, plan, damage, bytes, raw: raw.filter((one) => !isRecovered(one)).length };
}
