// What an archive knows besides its messages, as rows of a query: its runs, by their manifests, and its schemas. An export
// keeps the rows of its topics beside its tables, so that tables alone answer too.
import { readManifests } from '../../archive/chain/read-manifests.ts';
import { noteFolder } from '../../archive/export/day-note.ts';
import type { SmallView } from '../../archive/export/query-tables.ts';
import type { ExportTarget } from '../../archive/export/target.ts';
import { listSchemas, readSchema } from '../../archive/schemas/schemas.ts';
import { BackupError } from '../../errors.ts';
import { readWhole } from '../../format/stored-object.ts';
import type { ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import type { Location } from './opened-location.ts';

type Row = Readonly<Record<string, unknown>>;
type Archive = Pick<Location, 'store' | 'prefix' | 'topic'>;

const TEXT = 'VARCHAR';
const NUMBER = 'BIGINT';

/** Their columns, and types. */
const COLUMNS = {
  runs: {
    ...{ rule: TEXT, request_id: TEXT, started_at: 'TIMESTAMPTZ', duration_ms: NUMBER, stop_reason: TEXT },
    ...{ topic: TEXT, subscription: TEXT, messages: NUMBER, record_bytes: NUMBER, objects: NUMBER },
    ...{ already_stored: NUMBER, unreadable: NUMBER, key: TEXT },
  },
  schemas: { topic: TEXT, version: TEXT, type: TEXT, name: TEXT, definition: TEXT, sha256: TEXT },
};

/** A view besides `messages`. */
export type ViewName = keyof typeof COLUMNS;

/** Those that the query names. */
export const viewsIn = (sql: string): ViewName[] => {
  const names: readonly ViewName[] = ['runs', 'schemas'];
  return names.filter((name) => new RegExp(`\\b${name}\\b`, 'i').test(sql));
};

/** A view of the archive, of one topic or all. @throws BackupError */
export async function archiveView(name: ViewName, archive: Archive, signal: AbortSignal): Promise<SmallView> {
  const rows = name === 'runs' ? await runRows(archive, signal) : await schemaRows(archive, signal);
  return { name, columns: COLUMNS[name], rows };
}

/** Keeps the views of a topic beside its tables. Runs that it has already are not read again. @throws BackupError */
export async function keepViews(
  location: Location,
  topic: TopicName,
  target: ExportTarget,
  signal: AbortSignal,
): Promise<void> {
  const archive = { ...location, topic };
  const runs = await target.readNote(viewKey(topic, 'runs'));
  const known = parseRows(runs ?? '');
  const keys = new Set(known.map(({ key }) => key));
  const more = await runRows(archive, signal, (key) => keys.has(key));
  const texts = { runs: [...known, ...more], schemas: await schemaRows(archive, signal) };
  for (const name of ['runs', 'schemas'] as const) {
    const before = name === 'runs' ? runs : await target.readNote(viewKey(topic, name));
    const text = texts[name].map((row) => `${JSON.stringify(row)}\n`).join('');
    if (text !== before) await target.writeNote(viewKey(topic, name), text);
  }
}

/** A view of tables of these topics. @throws BackupError `config` where an export has not kept it */
export async function keptView(
  name: ViewName,
  store: ObjectStore,
  prefix: string,
  topics: readonly TopicName[],
  signal: AbortSignal,
): Promise<SmallView> {
  const rows: Row[] = [];
  for (const topic of topics) {
    const key = `${prefix}${viewKey(topic, name)}`;
    if ((await store.head(key, { signal })) === undefined)
      throw new BackupError('config', `the tables of ${topic.full} do not have the view ${name}`, {
        hint: 'Call archive export again, which keeps it; or ask the archive itself, without --tables.',
      });
    rows.push(...parseRows((await readWhole(store, key, { signal })).toString('utf8')));
  }
  return { name, columns: COLUMNS[name], rows };
}

const viewKey = (topic: TopicName, name: ViewName) => `${noteFolder(topic)}${name}.jsonl`;

const parseRows = (text: string): Row[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);

async function runRows(
  { store, prefix, topic }: Archive,
  signal: AbortSignal,
  isKnown?: (key: string) => boolean,
): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const { key, content } of readManifests(store, prefix, { signal }, isKnown)) {
    const run = content as Row | undefined;
    if (run === undefined || (topic !== undefined && (run['topic'] ?? topic.full) !== topic.full)) continue;
    rows.push({
      ...{ rule: run['rule'], request_id: run['requestId'], started_at: run['startedAt'] },
      ...{ duration_ms: run['durationMs'], stop_reason: run['stopReason'], topic: run['topic'] },
      ...{ subscription: run['subscription'], messages: run['messages'], record_bytes: run['recordBytes'] },
      ...{
        objects: run['objects'],
        already_stored: run['alreadyStored'],
        unreadable: run['unreadable'],
        key,
      },
    });
  }
  return rows;
}

async function schemaRows({ store, prefix, topic }: Archive, signal: AbortSignal): Promise<Row[]> {
  const rows: Row[] = [];
  for (const listed of await listSchemas(store, prefix, topic as TopicName | undefined, { signal })) {
    const kept = await readSchema(store, listed, { signal });
    const { version, type, name, definition, definitionBase64, sha256 } = kept;
    rows.push({ topic: kept.topic, version, type, name, definition: definition ?? definitionBase64, sha256 });
  }
  return rows;
}
