// `tdmq-backup archive restore`: publishes what was stored to a topic, and goes on where a killed restore stopped.
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type ArchiveObject, readCatalog } from '../archive/catalog.ts';
import {
  ID_PROPERTY,
  PUBLISH_TIME_PROPERTY,
  type RestoreCounts,
  restoreMessages,
} from '../archive/restore.ts';
import type { Acknowledged } from '../archive/restore-progress.ts';
import { systemClock } from '../clock.ts';
import { BackupError } from '../errors.ts';
import { createNativePublisher } from '../pulsar/native-producer.ts';
import type { Publisher } from '../pulsar/publisher.ts';
import { createWirePublisher } from '../pulsar/wire/producer-publisher.ts';
import { formatTime } from '../record.ts';
import { readRoleKey } from '../rules/role-key.ts';
import { parseTopicName } from '../topic-name.ts';
import {
  numberOption,
  openPlace,
  PLACE_HELP,
  PLACE_OPTIONS,
  type Place,
  quietLogger,
  readSettings,
} from './archive-place.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './archive-selection.ts';
import type { Command, Io } from './command.ts';
import { paint } from './paint.ts';
import { bar, startProgress } from './progress.ts';
import { formatBytes, formatTable } from './table.ts';
import { UsageError } from './usage-error.ts';

export const command: Command = {
  summary: 'publish what was stored to a topic',
  help: `
Usage: tdmq-backup archive restore --to TOPIC [options]

Publishes the messages of a topic's archive to another topic: value (also null), key, ordering key, properties and event
time as they were; the old id and publish time as the properties ${ID_PROPERTY} and ${PUBLISH_TIME_PROPERTY}.
The order of each partition is kept. A message that stands in two objects is published once. Schema versions,
producer names and sequence ids are not restored.

A restore that was stopped or killed goes on when the same command is called again. What it has published stands in
{prefix}_restores/. With broker deduplication in the namespace nothing is published twice, whatever happens; without it,
Ctrl-C is exact too, but kill -9, a power cut or a lost connection may publish again what was on its way.

Pulsar is that of PULSAR_SERVICE_URL, with PULSAR_TOKEN; the role needs the permission to produce.

  --to TOPIC           tenant/namespace/topic; not the one that was backed up, unless --into-same-topic
  --into-same-topic    restore into the topic that was backed up: its rule will back the messages up once more
  --route HOW          auto (default): the partition it had where both topics have as many, else by key; same; key
  --rate N             messages per second at most
  --compression C      zlib (default), zstd (Node 22.15 and later) or none
  --no-batching        each message an entry of its own, for consumers of type Key_Shared
  --driver D           wire or native; by default PULSAR_DRIVER. native cannot publish null values or binary keys
  --dry-run            only tell what would be published
  --again              begin afresh although this restore was done, or begun
  --json               the counts as JSON
${SELECTION_HELP}
${PLACE_HELP}

Examples:
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --dry-run
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --from 2026-11-23 --rate 5000
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...PLACE_OPTIONS,
        ...SELECTION_OPTIONS,
        to: { type: 'string' },
        'into-same-topic': { type: 'boolean', default: false },
        route: { type: 'string', default: 'auto' },
        rate: { type: 'string' },
        compression: { type: 'string', default: 'zlib' },
        'no-batching': { type: 'boolean', default: false },
        driver: { type: 'string' },
        'dry-run': { type: 'boolean', default: false },
        again: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const target = parseTopicName(values.to ?? '');
    if (target === undefined) throw new UsageError('--to must be a topic: tenant/namespace/topic');
    const selection = parseSelection(values);
    const how = {
      route: choice('--route', values.route, ['auto', 'same', 'key'] as const),
      compression: choice('--compression', values.compression, ['none', 'zlib', 'zstd'] as const),
      batching: !values['no-batching'],
      messagesPerSecond:
        values.rate === undefined ? undefined : numberOption('--rate', values.rate, 1, 10_000_000),
    };
    const place = await openPlace(values, io);
    let publisher: Publisher | undefined;
    try {
      const { store, prefix } = place;
      const catalog = await readCatalog(store, prefix, { topic: place.topic, signal: io.signal });
      const { objects: found } = catalog;
      const source = onlyTopic(found, place);
      const isSame = target.full === source || target.full.replace(/-partition-\d+$/, '') === source;
      if (isSame && !values['into-same-topic']) {
        throw new BackupError('config', `${values.to} is the topic that was backed up`, {
          hint: 'Its rule would back the restored messages up once more. Restore into another topic, or add --into-same-topic.',
        });
      }
      publisher = await openPublisher(values.driver, values.to ?? '', io);
      const targetPartitions = await publisher.partitions(target);
      const note = await openNote(
        place,
        { source, target: target.full, route: how.route, selection },
        { keys: found.map(({ key }) => key), targetPartitions },
        { again: values.again, isDry: values['dry-run'] },
      );
      const objects = stillThere(found, note.keys);
      const total = objects.reduce((sum, { facts }) => sum + (facts.messages ?? 0), 0);
      const progress = startProgress(io.stderr);
      const startedMs = Date.now();
      const counts = await restoreMessages({
        ...how,
        store,
        objects,
        selection,
        target,
        sourcePartitions: catalog.partitionCounts.get(source) ?? 0,
        targetPartitions,
        publisher: values['dry-run'] ? undefined : publisher,
        restoreId: note.id,
        isResumed: note.isResumed,
        acknowledged: note.acknowledged,
        save: note.save,
        clock: systemClock,
        signal: io.signal,
        onProgress: ({ messages, bytes, skipped }) => {
          const rate = Math.round((messages * 1_000) / Math.max(1, Date.now() - startedMs));
          progress.update(
            `${bar((messages + skipped) / Math.max(1, total))} ${messages.toLocaleString('en-US')} messages  ${formatBytes(bytes)}  ${rate.toLocaleString('en-US')}/s`,
          );
        },
      });
      await note.finish();
      progress.update('');
      tell(counts, values['dry-run'], target.full, values.json, io);
      return 0;
    } finally {
      await publisher?.close();
      await place.close();
    }
  },
};

function choice<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new UsageError(`${option} must be one of ${known.join(', ')}`);
  return found;
}

function onlyTopic(objects: readonly ArchiveObject[], place: Place): string {
  const topics = [...new Set(objects.map(({ topic }) => topic))];
  if (topics.length > 1)
    throw new UsageError(`${place.name} holds ${topics.length} topics: choose one with --topic`);
  const [topic] = topics;
  if (topic !== undefined) return topic;
  throw new BackupError('config', `${place.name} holds no messages of ${place.topic?.full ?? 'any topic'}`, {
    hint: 'Look at what is there with tdmq-backup archive ls.',
  });
}

async function openPublisher(driver: string | undefined, topic: string, io: Io): Promise<Publisher> {
  if (!io.env['PULSAR_SERVICE_URL']) {
    throw new BackupError('config', 'PULSAR_SERVICE_URL is not set', {
      hint: 'Set it to the cluster to restore into, and PULSAR_TOKEN to the key of a role that may produce there.',
    });
  }
  const { pulsar: settings, cos } = await readSettings(io, { PULSAR_TOPIC: topic });
  const { tdmqRole } = settings;
  const pulsar =
    tdmqRole === undefined
      ? settings
      : {
          ...settings,
          token: await readRoleKey({
            ...tdmqRole,
            region: cos.region,
            credentials: cos.credentials,
            signal: io.signal,
          }),
        };
  const chosen = choice('--driver', driver ?? pulsar.driver, ['wire', 'native'] as const);
  // Not ended by Ctrl-C: what is on its way then is waited for.
  const { signal } = new AbortController();
  const options = { config: pulsar, clock: systemClock, signal, logger: quietLogger() };
  return chosen === 'native' ? await createNativePublisher(options) : createWirePublisher(options);
}

/** What is kept beside the archive of a restore under way. */
interface Note {
  readonly format: 'tdmq-backup-restore/1';
  readonly id: string;
  readonly what: object;
  /** Messages have their places by it. */
  readonly targetPartitions: number;
  readonly startedAt: string;
  readonly isDone: boolean;
  readonly acknowledged: Acknowledged;
}

/** Finds the note of this very restore, or begins one. */
async function openNote(
  place: Place,
  what: object,
  { keys, targetPartitions }: { keys: readonly string[]; targetPartitions: number },
  { again, isDry }: { again: boolean; isDry: boolean },
) {
  const hash = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 16);
  const [noteKey, keysKey] = [`_restores/${hash}.json`, `_restores/${hash}.objects.json`];
  const fresh: Note = {
    format: 'tdmq-backup-restore/1',
    id: `${hash.slice(0, 8)}-${Date.now().toString(36)}`,
    what,
    targetPartitions,
    startedAt: new Date().toISOString(),
    isDone: false,
    acknowledged: {},
  };
  const saved = again || isDry ? undefined : await place.notes.read(noteKey);
  const note = saved === undefined ? fresh : (JSON.parse(saved) as Note);
  if (note.isDone) {
    throw new BackupError('config', `this restore was done, begun at ${note.startedAt}`, {
      hint: 'Add --again to publish all of it once more.',
    });
  }
  if (note.targetPartitions !== targetPartitions) {
    throw new BackupError(
      'config',
      `the topic has ${targetPartitions} partitions, and had ${note.targetPartitions} when this restore was begun`,
      {
        hint: 'What is published already has its place by those. Add --again to begin afresh, into an empty topic.',
      },
    );
  }
  let listed = keys;
  const write = (content: Note) => place.notes.write(noteKey, `${JSON.stringify(content)}\n`);
  if (saved !== undefined) listed = await readKeys(place, keysKey);
  else if (!isDry) {
    await place.notes.write(keysKey, `${JSON.stringify(keys)}\n`);
    await write(note);
  }
  let acknowledged = note.acknowledged;
  return {
    id: note.id,
    isResumed: saved !== undefined,
    /** What the restore began with: its numbers count through these. */
    keys: listed,
    acknowledged: note.acknowledged,
    save: async (now: Acknowledged) => {
      acknowledged = now;
      if (!isDry) await write({ ...note, acknowledged });
    },
    finish: async () => {
      if (!isDry) await write({ ...note, acknowledged, isDone: true });
    },
  };
}

/** @throws BackupError where they are gone: nobody knows then what the numbers in the note count */
async function readKeys(place: Place, keysKey: string): Promise<readonly string[]> {
  const text = await place.notes.read(keysKey);
  if (text !== undefined) return JSON.parse(text) as string[];
  throw new BackupError('config', `${keysKey}, which tells what this restore began with, is gone`, {
    hint: 'Bring it back, or add --again to begin afresh with what is there.',
  });
}

/** The objects that the restore began with; what was stored since is not part of it. */
function stillThere(found: readonly ArchiveObject[], keys: readonly string[]): ArchiveObject[] {
  const began = new Set(keys);
  const objects = found.filter(({ key }) => began.has(key));
  if (objects.length === began.size) return objects;
  throw new BackupError(
    'config',
    `${began.size - objects.length} objects that this restore began with are gone`,
    { hint: 'Bring them back, or add --again to begin afresh with what is there.' },
  );
}

function tell(counts: RestoreCounts, isDry: boolean, target: string, asJson: boolean, io: Io): void {
  const { messages, bytes, duplicates, skipped, objects } = counts;
  const routes = [...counts.routes].sort(([a], [b]) => (a < b ? -1 : 1));
  if (asJson) {
    const byRoute = Object.fromEntries(routes);
    const report = {
      isDryRun: isDry,
      target,
      messages,
      bytes,
      duplicates,
      skipped,
      objects,
      routes: byRoute,
    };
    io.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const say = (text: string) => io.stdout.write(`${text}\n`);
  const rows = routes.map(([name, route]) => [
    name.replaceAll('-1', 'none'),
    route.messages,
    formatBytes(route.bytes),
    formatTime(route.firstPublishTimeMs),
    formatTime(route.lastPublishTimeMs),
  ]);
  if (rows.length > 0)
    for (const line of formatTable(['partition', 'messages', 'payloads', 'first', 'last'], rows)) say(line);
  const rest = [
    duplicates > 0 ? `${duplicates} copies left out` : '',
    skipped > 0 ? `${skipped.toLocaleString('en-US')} published before` : '',
  ].filter(Boolean);
  const { green } = paint(io.stdout, io.env);
  say(
    `${isDry ? 'Would publish' : `${green('✓')} Published`} ${messages.toLocaleString('en-US')} messages, ${formatBytes(bytes)}, to ${target}${rest.length > 0 ? ` (${rest.join(', ')})` : ''}`,
  );
}
