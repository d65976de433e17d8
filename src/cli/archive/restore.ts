// `tdmq-backup archive restore`: publishes what was stored to a topic, and goes on where a killed restore stopped.
import { parseArgs } from 'node:util';
import { expectReadable } from '../../archive/archived.ts';
import { type ArchiveObject, readCatalog } from '../../archive/catalog.ts';
import { nothingOf } from '../../archive/nothing-found.ts';
import type { DamagedObject } from '../../archive/read-messages.ts';
import {
  ID_PROPERTY,
  PUBLISH_TIME_PROPERTY,
  type RestoreCounts,
  restoreMessages,
} from '../../archive/restore.ts';
import { selectRaw } from '../../archive/restore-raw.ts';
import { isByContent, mayHold } from '../../archive/selection.ts';
import { parsePulsarAccess } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import { formatTime } from '../../format/record.ts';
import { systemClock } from '../../lib/clock.ts';
import type { ObjectStore, Publisher } from '../../ports.ts';
import { createWirePublisher } from '../../pulsar/wire/producer-publisher.ts';
import { readRoleKey } from '../../rules/role-key.ts';
import { parseTopicName } from '../../topic-name.ts';
import type { Command, Terminal } from '../command.ts';
import { ruleEnvironment } from '../rule/environment.ts';
import { paint } from '../terminal/paint.ts';
import { bar, startProgress, timeLeft } from '../terminal/progress.ts';
import { formatBytes, formatTable } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { expectWhole, reportDamaged } from './damaged.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, onlyTopic, openLocation } from './location.ts';
import { openNote, stillThere } from './restore-note.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

export const command: Command = {
  summary: 'publish what was stored to a topic',
  help: `
Usage: tdmq-backup archive restore --to TOPIC [options]

Publishes the messages of a topic's archive to another topic: value (also null), key, ordering key, properties and event
time as they were; the old id and publish time as the properties ${ID_PROPERTY} and ${PUBLISH_TIME_PROPERTY}.
The order of each partition is kept. A message that is in two objects is published once. Schema versions,
producer names and sequence ids are not restored.

Entries that are kept raw and were not recovered (archive recover) are left out, and counted; that alone does not change
the exit code. With --include-unreadable each is published as it is, in its place among the messages: payload, keys,
properties and publish time as its producer sent them, so that a consumer that has the key or the codec can read it. What
no broker would take (a wrong checksum) is listed, and makes the exit code 1.

A restore that was stopped or killed goes on when the same command is called again. What it has published is in
{prefix}_restores/. With message deduplication in the namespace nothing is published twice, whatever happens, while it
is gone on with before the broker forgets the producers (6 hours, by default). Without it, Ctrl-C is exact too; kill -9
or a power cut may publish again what was not written down (half a second, at most 100 MB), and a lost connection what
was on its way.

Pulsar is that of PULSAR_SERVICE_URL, with PULSAR_TOKEN; the role needs the permission to produce.

  --to TOPIC           tenant/namespace/topic; not the one that was backed up, unless --into-same-topic
  --into-same-topic    restore into the topic that was backed up: its rule will back the messages up once more
  --route HOW          auto (default): the partition it had where both topics have as many, else by key; same; key
  --rate N             messages per second at most
  --compression C      zlib (default), zstd (Node 22.15 and later) or none
  --no-batching        each message an entry of its own, for consumers of type Key_Shared
  --include-unreadable publish what is kept raw too, unchanged
  --skip-damaged       go on behind an object that is damaged or gone; each is named, and makes the exit code 1. Mend
                       none of them before such a restore is done: messages have their places without theirs
  --dry-run            only report what would be published
  --again              begin again although this restore was done, or begun
  --json               the counts as JSON
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --dry-run
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --from 2026-11-23 --rate 5000
`,
  // Receipts of what is on its way, and the note of how far it came.
  endsWithinMs: 900,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        to: { type: 'string' },
        'into-same-topic': { type: 'boolean', default: false },
        route: { type: 'string', default: 'auto' },
        rate: { type: 'string' },
        compression: { type: 'string', default: 'zlib' },
        'no-batching': { type: 'boolean', default: false },
        'include-unreadable': { type: 'boolean', default: false },
        'skip-damaged': { type: 'boolean', default: false },
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
    const isWithRaw = values['include-unreadable'];
    if (isWithRaw && isByContent(selection))
      throw new UsageError(
        'what is kept raw cannot be filtered: leave out --key, --property, --grep and --value-path, or --include-unreadable',
      );
    const location = await openLocation(values, terminal);
    const progress = startProgress(terminal.stderr);
    let publisher: Publisher | undefined;
    progress.update('listing the archive');
    try {
      const { store, prefix } = location;
      const { signal } = terminal;
      const topic = await onlyTopic(location, signal);
      const isLocal = !location.knowsMetadata;
      const catalog = await readCatalog(store, prefix, {
        topic,
        signal,
        isLocal,
        time: selection,
        onProgress: (objects) => progress.update(`${objects.toLocaleString('en-US')} objects listed`),
      });
      const { objects: found } = catalog;
      const source = topic.full;
      if (found.length + catalog.raw.length === 0)
        throw await nothingOf(store, prefix, topic, { isLocal, signal });
      if (isWithin(source, target.full) && !values['into-same-topic']) {
        throw new BackupError('config', `${target.full} is the topic that was backed up`, {
          hint: 'Its rule would back the restored messages up once more. Restore into another topic, or add --into-same-topic.',
        });
      }
      const isSkipping = values['skip-damaged'];
      const damage = expectWhole(catalog, selection, isSkipping, source);
      const wanted = [
        ...found.filter((object) => mayHold(object, selection)),
        ...(isWithRaw ? catalog.raw : []),
      ];
      await expectReadable(store, wanted, { signal });
      const selectedRaw = await selectRaw(store, catalog.raw, selection, { signal: terminal.signal });
      publisher = await openPublisher(terminal);
      const targetPartitions = await publisher.partitions(target);
      const note = await openNote(
        location,
        {
          ...{ source, target: target.full, route: how.route, selection },
          ...(isWithRaw && { isWithRaw }),
          ...(isSkipping && { isSkipping }),
        },
        { keys: [...found, ...(isWithRaw ? selectedRaw : [])].map(({ key }) => key), targetPartitions },
        { again: values.again, isDry: values['dry-run'] },
      );
      const { objects, raw } = await stillThere(store, { objects: found, raw: catalog.raw }, note.keys);
      progress.clear();
      const sourcePartitions = catalog.partitionCounts.get(source) ?? 0;
      if (!values.json) {
        const doing = values['dry-run'] ? 'Counting' : note.isResumed ? 'Going on with' : 'Restoring';
        const places = `${source} (${partitionsText(sourcePartitions)}) to ${target.full} (${partitionsText(targetPartitions)})`;
        terminal.stderr.write(`${doing} ${location.name}: ${places}\n`);
      }
      const selected = objects.filter((object) => mayHold(object, selection));
      const read = countReads(store, selected);
      const startedMs = Date.now();
      const counts = await restoreMessages({
        ...how,
        store: read.store,
        objects,
        raw,
        selection,
        target,
        sourcePartitions,
        targetPartitions,
        publisher: values['dry-run'] ? undefined : publisher,
        restoreId: note.id,
        isResumed: note.isResumed,
        acknowledged: note.acknowledged,
        save: note.save,
        clock: systemClock,
        signal: terminal.signal,
        onDamaged: damage.onDamaged,
        onProgress: ({ messages, bytes }) => {
          const tookMs = Date.now() - startedMs;
          const rate = Math.round((messages * 1_000) / Math.max(1, tookMs));
          progress.update(
            `${bar(read.share())} ${messages.toLocaleString('en-US')} messages  ${formatBytes(bytes)}  ${rate.toLocaleString('en-US')}/s  ${timeLeft(read.share(), tookMs)}`,
          );
        },
      });
      const { messages, skipped, rawEntries, refused } = counts;
      const isNothing = messages + skipped + rawEntries + refused.length + damage.damaged.length === 0;
      if (isNothing) throw await nothingOf(store, prefix, topic, { isLocal, signal });
      await note.finish();
      progress.clear();
      const { damaged } = damage;
      const left = { raw: isWithRaw ? 0 : selectedRaw.length, damaged };
      report(counts, left, values['dry-run'], target.full, values.json, terminal);
      return reportDamaged(damaged, terminal) || counts.refused.length > 0 ? 1 : 0;
    } catch (error) {
      progress.clear();
      if (terminal.signal.aborted && !values['dry-run'])
        terminal.stderr.write('Stopped. The same command goes on from what was published.\n');
      throw error;
    } finally {
      await publisher?.close();
      await location.close();
    }
  },
};

function choice<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new UsageError(`${option} must be one of ${known.join(', ')}`);
  return found;
}

/** Whether one topic is the other, or a partition of it. */
const isWithin = (a: string, b: string): boolean =>
  a === b || a.replace(/-partition-\d+$/, '') === b || b.replace(/-partition-\d+$/, '') === a;

const partitionsText = (partitions: number): string =>
  partitions === 0 ? 'no partitions' : partitions === 1 ? '1 partition' : `${partitions} partitions`;

/** The store, and which share of the objects' bytes was read from it. */
function countReads(store: ObjectStore, objects: readonly ArchiveObject[]) {
  const total = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let bytes = 0;
  const read: ObjectStore['read'] = async function* (key, options) {
    for await (const chunk of store.read(key, options)) {
      bytes += chunk.byteLength;
      yield chunk;
    }
  };
  return { store: { ...store, read }, share: () => Math.min(1, bytes / Math.max(1, total)) };
}

async function openPublisher(terminal: Terminal): Promise<Publisher> {
  if (!terminal.env['PULSAR_SERVICE_URL']) {
    throw new BackupError('config', 'PULSAR_SERVICE_URL is not set', {
      hint: 'Set it to the cluster to restore into, and PULSAR_TOKEN to the key of a role that may produce there.',
    });
  }
  const { pulsar, api } = parsePulsarAccess(await ruleEnvironment(terminal), 'shell');
  const { tdmqRole, runsFrom } = pulsar;
  const token =
    tdmqRole === undefined || api === undefined
      ? pulsar.token
      : await readRoleKey({ ...tdmqRole, ...api, signal: terminal.signal, runsFrom });
  // Not ended by Ctrl-C: what is on its way then is waited for.
  const { signal } = new AbortController();
  return createWirePublisher({ config: { ...pulsar, token }, clock: systemClock, signal });
}

function report(
  counts: RestoreCounts,
  { raw: rawLeftOut, damaged }: { readonly raw: number; readonly damaged: readonly DamagedObject[] },
  isDry: boolean,
  target: string,
  asJson: boolean,
  terminal: Terminal,
): void {
  const { messages, bytes, duplicates, skipped, objects, rawEntries, refused } = counts;
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
      rawEntries,
      rawLeftOut,
      refused,
      damaged,
      routes: byRoute,
    };
    // JSON of ours has no integers beyond 2^53; those of times are reported roughly here.
    const rounded = (_: string, one: unknown) => (typeof one === 'bigint' ? Number(one) : one);
    terminal.stdout.write(`${JSON.stringify(report, rounded)}\n`);
    return;
  }
  const say = (text: string) => terminal.stdout.write(`${text}\n`);
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
    rawEntries > 0 ? `${rawEntries} raw entries besides, as they are` : '',
    skipped > 0 ? `${skipped.toLocaleString('en-US')} published before` : '',
  ].filter(Boolean);
  const { green, red, yellow } = paint(terminal.stdout, terminal.env);
  say(
    `${isDry ? 'Would publish' : `${green('✓')} Published`} ${messages.toLocaleString('en-US')} messages, ${formatBytes(bytes)}, to ${target}${rest.length > 0 ? ` (${rest.join(', ')})` : ''}`,
  );
  for (const { key, reason } of refused) say(`${red('✗')} ${key}\n    not published: ${reason}`);
  if (rawLeftOut > 0)
    say(
      `${yellow('⚠')} ${rawLeftOut} raw entries under _unreadable/ left out: archive recover, or --include-unreadable`,
    );
}
