// `tdmq-backup archive restore`: publishes what was stored to topics, and goes on where a killed restore stopped.

import { listTopics } from '../../archive/catalog/archive-topics.ts';
import { nothingFound, nothingOf } from '../../archive/catalog/nothing-found.ts';
import { isByContent } from '../../archive/catalog/selection.ts';
import { isNone, noCounts } from '../../archive/restore/restore-counts.ts';
import { ID_PROPERTY, PUBLISH_TIME_PROPERTY } from '../../archive/restore/restore-partition.ts';
import type { Route } from '../../archive/restore/restore-routing.ts';
import {
  type RegisterOptions,
  type RestoreSchemas,
  registerSchemas,
  schemasToRestore,
} from '../../archive/restore/restore-schemas.ts';
import { openTarget } from '../../archive/restore/restore-target.ts';
import { BackupError } from '../../errors.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Publisher } from '../../ports.ts';
import { createWirePublisher } from '../../pulsar/wire/producer-publisher.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../topic-name.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { startProgress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';
import { reportDamaged } from './damaged.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, onlyTopic, openLocation } from './location.ts';
import type { Location } from './opened-location.ts';
import { pulsarAccess } from './pulsar-access.ts';
import { holdRestores } from './restore-hold.ts';
import { pairTopics, parseMaps, type TopicMap, type TopicPair } from './restore-map.ts';
import { keysOf, type OpenPlan, planRestore, type RestorePlan } from './restore-plan.ts';
import { restorePlans } from './restore-plans.ts';
import { printReport, reportAsJson, type TopicReport } from './restore-report.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

/** Nothing was left to do: a restore that goes on until it is done, from a timer, ends with it. */
const DONE_ALREADY = 3;

export const command: Command = {
  summary: 'publish what was stored to topics',
  help: `
Usage: tdmq-backup archive restore --to TOPIC [options]
       tdmq-backup archive restore --map OLD=NEW [--map OLD=NEW]... [options]

Publishes the messages of a topic's archive to another topic, with unchanged value (also null), key, ordering key,
properties and event time; the properties ${ID_PROPERTY} and ${PUBLISH_TIME_PROPERTY} contain the original id and
publish time. Keeps the order of each partition. Publishes a message in two objects once. Does not restore producer
names and sequence ids. It first registers the stored schemas (archive schemas); if the target refuses one, it publishes
nothing. Messages whose schema the archive lacks are published without one, and counted.

Raw entries that were not recovered (archive recover) are left out, and counted; that alone does not change the exit
code. With --include-unreadable each is published unchanged, in its place among the messages: payload, keys, properties
and publish time as its producer sent them, so that a consumer with the key or the codec can read it. Entries that no
broker accepts (a wrong checksum) are listed, and make the exit code 1.

If a restore was stopped or killed, the same command continues it. {prefix}_restores/ has its progress. With message
deduplication in the namespace nothing is ever published twice, if it is continued before the broker forgets the
producers (6 hours by default). Without it, Ctrl-C is exact too; after kill -9 or a power cut it can publish again what
it had not yet noted (half a second, at most 100 MB), and after a lost connection the messages in flight.

It uses the cluster of PULSAR_SERVICE_URL, with PULSAR_TOKEN; the role needs the permission to produce.

Exit codes: 0 published; 1 failed, or something was left out; 2 wrong usage; 3 this restore was already complete, and
nothing was published; 130 interrupted.

  --to TOPIC           tenant/namespace/topic; not the one that was backed up, unless --into-same-topic
  --map OLD=NEW        several topics at once, each to its own: may be repeated, and t/ns/*=t/other/* maps all of a
                       namespace. Every topic of the archive needs a --map (or --topic selects one); OLD= leaves one
                       out. Several topics may have the same target
  --into-same-topic    restore into the topic that was backed up: its rule will back the messages up once more
  --to-partition N     everything to one partition of the topic
  --route HOW          auto (default): its old partition if both topics have as many, else by key; same; key
  --rate N             messages per second at most
  --compression C      zlib (default), zstd (Node 22.15 and later) or none
  --no-batching        one entry per message, for consumers of type Key_Shared
  --include-unreadable also publish raw entries, unchanged
  --schemas HOW        keep (default): register the schemas of the messages at the target, in the order of their
                       versions, and give each message the version that it has there; none: publish bytes
  --skip-damaged       skip damaged and missing objects; each is named, and makes the exit code 1. Repair none of
                       them before such a restore is complete: its progress counts without their messages
  --dry-run            only report what would be published, about how long it takes, and whether the topic exists, is empty,
                       and accepts the messages
  --offline            with --dry-run: contact no broker
  --again              start from the beginning, even if this restore is complete or in progress
  --json               the counts as JSON
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --dry-run
  tdmq-backup archive restore --env-file .env.orders --to t/ns/orders-replay --from 2026-11-23 --rate 5000
  tdmq-backup archive restore --env-file .env.all --map 't/ns/*=t/replay/*' --map t/ns/audit=
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
        map: { type: 'string', multiple: true },
        'to-partition': { type: 'string' },
        'into-same-topic': { type: 'boolean', default: false },
        route: { type: 'string' },
        rate: { type: 'string' },
        compression: { type: 'string', default: 'zlib' },
        'no-batching': { type: 'boolean', default: false },
        'include-unreadable': { type: 'boolean', default: false },
        'skip-damaged': { type: 'boolean', default: false },
        schemas: { type: 'string', default: 'keep' },
        'dry-run': { type: 'boolean', default: false },
        offline: { type: 'boolean', default: false },
        again: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const isDry = values['dry-run'];
    if (values.offline && !isDry) throw new UsageError('--offline asks no broker: it is for --dry-run');
    const maps = values.map === undefined ? undefined : parseMaps(values.map);
    if (maps !== undefined && values.to !== undefined)
      throw new UsageError('--to and --map are two ways to name a topic: choose one');
    const target = parseTopicName(values.to ?? '');
    if (maps === undefined && target === undefined)
      throw new UsageError('--to must be a topic: tenant/namespace/topic; --map OLD=NEW names several');
    if (values['to-partition'] !== undefined && values.route !== undefined)
      throw new UsageError('--to-partition sends everything to one partition: leave out --route');
    const route: Route =
      values['to-partition'] === undefined
        ? choice('--route', values.route ?? 'auto', ['auto', 'same', 'key'] as const)
        : numberOption('--to-partition', values['to-partition'], 0, 1_000_000);
    const selection = parseSelection(values);
    const messagesPerSecond =
      values.rate === undefined ? undefined : numberOption('--rate', values.rate, 1, 10_000_000);
    const publishing = {
      compression: choice('--compression', values.compression, ['none', 'zlib', 'zstd'] as const),
      batching: !values['no-batching'],
    };
    const isWithoutSchemas = choice('--schemas', values.schemas, ['keep', 'none'] as const) === 'none';
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
      const isLocal = !location.knowsMetadata;
      const topics = await topicsOf(location, maps, values.topic, signal);
      const pairs =
        maps === undefined
          ? [{ source: topics[0] as TopicName, target: target as TopicName }]
          : pairTopics(topics, maps, values.topic === undefined ? undefined : topics[0]);
      if (!values['into-same-topic']) expectOtherTopics(pairs, topics);
      const planned: RestorePlan[] = [];
      const reports: TopicReport[] = [];
      for (const pair of pairs) {
        const plan = await planRestore(location, pair, {
          ...{
            selection,
            route,
            isWithRaw,
            isDry,
            signal,
            again: values.again,
            isSkipping: values['skip-damaged'],
          },
          onListed: (objects) => progress.update(`${objects.toLocaleString('en-US')} objects listed`),
        });
        const names = { source: pair.source.full, target: pair.target.full };
        if (plan.kind === 'done') {
          const { startedAt: doneAt, leftOut } = plan.done;
          if (leftOut > 0) throw leftOutThen(names.source, doneAt, leftOut);
          reports.push({ ...names, doneAt, counts: noCounts(), rawLeftOut: 0, damaged: [] });
          continue;
        }
        if (plan.isNothing) throw await nothingOf(store, prefix, pair.source, { isLocal, signal });
        planned.push(plan);
      }
      if (planned.length > 0 && !values.offline) publisher = await openPublisher(terminal);
      const plans: OpenPlan[] = [];
      for (const plan of planned) {
        const { source, sourcePartitions } = plan;
        const schemas = isWithoutSchemas ? [] : await schemasToRestore(store, prefix, source, { signal });
        const how = { route, sourcePartitions, withLook: isDry, hasSchemas: schemas.length > 0 };
        const opened = publisher && (await openTarget(publisher, plan.target, how));
        plans.push({ ...plan, opened, schemasToRegister: schemas.length });
      }
      if (publisher !== undefined && !isDry)
        for (const plan of plans) plan.schemas = await schemasAt(plan, { store, prefix, publisher, signal });
      if (publisher !== undefined && !isDry && !(await holdRestores(plans, publisher, location.name))) {
        // Another process went on with it, or has done it: planned anew.
        await publisher.close();
        await location.close();
        return await command.run(args, terminal);
      }
      // Once every target is known to be there: what is stored after this is no part of the restore.
      for (const plan of plans) await plan.note.begin(() => keysOf(plan), plan.opened?.partitions);
      progress.clear();
      if (!values.json)
        for (const plan of plans) terminal.stderr.write(beginText(plan, location.name, isDry));
      const startedMs = Date.now();
      const restored = await restorePlans(plans, {
        ...publishing,
        ...{ store, selection, route, messagesPerSecond, signal, progress },
        // A dry run registers none, so it cannot know which messages will get none.
        isWithoutSchemas: isWithoutSchemas || isDry,
        publisher: isDry ? undefined : publisher,
      });
      const isDone = reports.length > 0;
      reports.push(...restored);
      const damaged = restored.flatMap((one) => one.damaged);
      const isNothing = restored.every(({ counts }) => isNone(counts)) && damaged.length === 0;
      if (isNothing && !isDone) {
        const [pair, another] = pairs as [TopicPair, TopicPair?];
        throw another === undefined
          ? await nothingOf(store, prefix, pair.source, { isLocal, signal })
          : nothingOfAny(pairs.length);
      }
      progress.clear();
      const report = { isDry, topics: reports, readMs: Date.now() - startedMs, messagesPerSecond };
      if (values.json) terminal.stdout.write(`${reportAsJson(report)}\n`);
      if (isNothing) {
        if (!values.json) terminal.stderr.write(doneText(reports));
        return DONE_ALREADY;
      }
      if (!values.json) printReport(report, terminal);
      const isRefused = restored.some(({ counts }) => counts.refused.length > 0);
      return reportDamaged(damaged, terminal) || isRefused ? 1 : 0;
    } catch (error) {
      progress.clear();
      if (terminal.signal.aborted && !isDry)
        terminal.stderr.write('Stopped. The same command continues after the published messages.\n');
      throw error;
    } finally {
      await publisher?.close();
      await location.close();
    }
  },
};

/** Registers the schemas of what a plan publishes. @throws BackupError where the broker refuses one */
async function schemasAt(
  { source, target, opened, schemasToRegister }: OpenPlan,
  how: Pick<RegisterOptions, 'store' | 'prefix' | 'publisher' | 'signal'>,
): Promise<RestoreSchemas | undefined> {
  if (opened === undefined || schemasToRegister === 0) return undefined;
  const targetPartition = partitionTopic(target, opened.partitions === 0 ? -1 : 0);
  return registerSchemas({ ...how, source, targetPartition });
}

/** The topics that are meant: with --map all of the archive, or the one that --topic names. */
async function topicsOf(
  location: Location,
  maps: readonly TopicMap[] | undefined,
  named: string | undefined,
  signal: AbortSignal,
): Promise<TopicName[]> {
  if (maps === undefined) return [await onlyTopic(location, signal)];
  if (named !== undefined && location.topic !== undefined) return [location.topic];
  const { store, prefix } = location;
  const topics = await listTopics(store, prefix, { signal });
  if (topics.length > 0) return topics;
  throw await nothingFound(store, prefix, { isLocal: !location.knowsMetadata, signal });
}

/** @throws BackupError where messages would go into a topic that this archive is of */
function expectOtherTopics(pairs: readonly TopicPair[], topics: readonly TopicName[]): void {
  for (const { target } of pairs) {
    if (!topics.some((topic) => isWithin(topic.full, target.full))) continue;
    throw new BackupError('config', `${target.full} is the topic that was backed up`, {
      hint: 'Its rule would back the restored messages up once more. Restore into another topic, or add --into-same-topic.',
    });
  }
}

const nothingOfAny = (topics: number): BackupError =>
  new BackupError('config', `nothing found: no message of the ${topics} topics is selected`, {
    hint: 'tdmq-backup archive ls shows times, ids and partitions.',
  });

const leftOutThen = (source: string, startedAt: string, leftOut: number): BackupError =>
  new BackupError(
    'config',
    `this restore was done, begun at ${startedAt}, but for ${leftOut} objects or raw entries of ${source}`,
    { hint: 'Add --again to publish all of it once more.' },
  );

const doneText = (reports: readonly TopicReport[]): string =>
  reports
    .flatMap(({ source, target, doneAt }) => (doneAt === undefined ? [] : [{ source, target, doneAt }]))
    .map(
      ({ source, target, doneAt }) =>
        `Nothing to do: this restore was done, begun at ${doneAt}: ${source} to ${target}\n`,
    )
    .concat('  → Add --again to publish all of it once more.\n')
    .join('');

function beginText(
  { note, source, sourcePartitions, target, opened }: OpenPlan,
  place: string,
  isDry: boolean,
): string {
  const doing = isDry ? 'Counting' : note.isResumed ? 'Going on with' : 'Restoring';
  const of = opened === undefined ? '' : ` (${partitionsText(opened.partitions)})`;
  return `${doing} ${place}: ${source.full} (${partitionsText(sourcePartitions)}) to ${target.full}${of}\n`;
}

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

async function openPublisher(terminal: Terminal): Promise<Publisher> {
  const config = await pulsarAccess(
    terminal,
    'Set it to the cluster to restore into, and PULSAR_TOKEN to the key of a role that may produce there.',
  );
  // Not ended by Ctrl-C: what is on its way then is waited for.
  const { signal } = new AbortController();
  return createWirePublisher({ config, clock: systemClock, signal });
}
