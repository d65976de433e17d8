// `tdmq-backup archive ls`: topics, dates, partitions, objects and totals, from keys, manifests and metadata alone.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import {
  type ArchiveObject,
  type Catalog,
  isNothing,
  isRecovered,
  readCatalog,
} from '../../archive/catalog.ts';
import { type Coverage, coverageOf } from '../../archive/coverage.ts';
import { countMessages, countText, totalText } from '../../archive/message-count.ts';
import { nothingFound } from '../../archive/nothing-found.ts';
import { reportPage } from '../../archive/report/page.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import type { MessageId, TimeMs } from '../../ports.ts';
import type { Command, Terminal } from '../command.ts';
import { startProgress } from '../terminal/progress.ts';
import { formatBytes, formatDuration, formatTable } from '../terminal/table.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, openLocation } from './location.ts';
import { rawText } from './raw-text.ts';

const SPANS = 48;
const SHADES = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

export const command: Command = {
  summary: 'list topics, dates, partitions and objects',
  help: `
Usage: tdmq-backup archive ls [options]

Lists what an archive holds without downloading it: from the keys, the manifests of the runs, and the metadata of the
objects that no manifest knows. \`?\` stands where nobody says it: an object of several parts of a run that was killed;
\`archive index\` reads such objects once and writes down what is in them.

  --objects        each object
  --json           everything, as JSON
  --html FILE      writes a page of its own besides: messages and bytes over time, gaps, sizes of files
${LOCATION_HELP}

Examples:
  tdmq-backup archive ls --env-file .env.orders
  tdmq-backup archive ls --folder ./copy --objects
  tdmq-backup archive ls --env-file .env.orders --json | jq .totals
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        objects: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        html: { type: 'string' },
      },
    });
    const location = await openLocation(values, terminal);
    try {
      const progress = startProgress(terminal.stderr);
      const catalog = await readCatalog(location.store, location.prefix, {
        topic: location.topic,
        signal: terminal.signal,
        isLocal: !location.knowsMetadata,
        onProgress: (objects) => progress.update(`${objects.toLocaleString('en-US')} objects listed`),
      }).finally(progress.clear);
      if (isNothing(catalog))
        throw await nothingFound(location.store, location.prefix, {
          topic: location.topic,
          isLocal: !location.knowsMetadata,
          signal: terminal.signal,
        });
      if (values.html !== undefined)
        await writeFile(values.html, reportPage(catalog, location.name, new Date()));
      if (values.json) terminal.stdout.write(`${JSON.stringify(asJson(catalog))}\n`);
      else print(catalog, location.name, values.objects, terminal);
      return 0;
    } finally {
      await location.close();
    }
  },
};

interface Group {
  readonly topic: string;
  readonly date: string;
  readonly partition: number;
  readonly objects: ArchiveObject[];
}

function groupsOf(objects: readonly ArchiveObject[]): Group[] {
  const groups = new Map<string, Group>();
  for (const object of objects) {
    const { topic, parts } = object;
    const name = `${topic} ${parts.date} ${String(parts.partition + 1).padStart(8, '0')}`;
    const group = groups.get(name);
    if (group !== undefined) group.objects.push(object);
    else groups.set(name, { topic, date: parts.date, partition: parts.partition, objects: [object] });
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

const bytesOf = (objects: readonly ArchiveObject[]) =>
  objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
const partitionText = (partition: number) => (partition < 0 ? 'none' : String(partition));
/** To the second: `--json` has the milliseconds. */
const timeText = (timeMs: TimeMs | undefined) =>
  timeMs === undefined ? '?' : formatTime(timeMs).replace(/\.\d{3}Z$/, 'Z');
const idText = (id: MessageId | undefined) => (id === undefined ? '?' : formatMessageId(id));

function print(catalog: Catalog, name: string, withObjects: boolean, terminal: Terminal): void {
  const { objects } = catalog;
  const say = (text = '') => terminal.stdout.write(`${text}\n`);
  if (objects.length === 0) say(`${name} holds no objects of messages.`);
  for (const topic of new Set(objects.map((object) => object.topic))) {
    const own = objects.filter((object) => object.topic === topic);
    say(topic);
    const table = withObjects ? objectTable(own, catalog.prefix) : groupTable(own);
    for (const line of table) say(`  ${line}`);
    const coverage = coverageOf(own, SPANS);
    if (coverage !== undefined) for (const line of timeLines(coverage)) say(`  ${line}`.trimEnd());
    say();
  }
  if (objects.length > 0)
    say(`${totalText(countMessages(objects), objects.length)}, ${formatBytes(bytesOf(objects))}`);
  const { missing, raw, foreign, badManifests } = catalog;
  if (missing.length > 0) say(`${missing.length} objects are in manifests, but not there: archive verify`);
  if (raw.length > 0) say(rawText(raw.length, raw.filter(isRecovered).length));
  if (foreign.length > 0) say(`${foreign.length} objects are not of this archive`);
  if (badManifests.length > 0) say(`${badManifests.length} manifests cannot be read`);
}

/** A number, as long as it is one. */
function countCell(objects: readonly ArchiveObject[]): number | string {
  const count = countMessages(objects);
  return count.unknown === 0 ? count.messages : countText(count, objects.length);
}

function groupTable(objects: readonly ArchiveObject[]): string[] {
  return formatTable(
    [
      'date',
      'partition',
      'objects',
      'messages',
      'size',
      'first id',
      'first published',
      'last id',
      'last published',
    ],
    groupsOf(objects).map((group) => {
      const [first, last] = [group.objects[0] as ArchiveObject, group.objects.at(-1) as ArchiveObject];
      return [
        group.date,
        partitionText(group.partition),
        group.objects.length,
        countCell(group.objects),
        formatBytes(bytesOf(group.objects)),
        idText(first.facts.firstId),
        timeText(first.facts.firstPublishTimeMs),
        idText(last.facts.lastId),
        timeText(last.facts.lastPublishTimeMs),
      ];
    }),
  );
}

function objectTable(objects: readonly ArchiveObject[], prefix: string): string[] {
  return formatTable(
    ['object', 'messages', 'size', 'first id', 'first published', 'last id', 'last published'],
    objects.map(({ key, facts, sizeBytes }) => [
      key.slice(prefix.length),
      facts.messages ?? '?',
      formatBytes(sizeBytes),
      idText(facts.firstId),
      timeText(facts.firstPublishTimeMs),
      idText(facts.lastId),
      timeText(facts.lastPublishTimeMs),
    ]),
  );
}

/** One line for each partition; the height of a mark is the share of the busiest span. */
function timeLines({ fromMs, toMs, spanMs, partitions }: Coverage): string[] {
  const most = partitions.reduce((highest, { messages }) => Math.max(highest, ...messages), 0);
  const lines = partitions.map(({ partition, messages }) => {
    const marks = messages.map((count) => (count === 0 ? '·' : SHADES[Math.ceil((count / most) * 8)]));
    return `${`partition ${partitionText(partition)}`.padEnd(14)} ${marks.join('')}`;
  });
  const times = `${timeText(fromMs)} … ${timeText(toMs)}`;
  return ['', ...lines, `${''.padEnd(14)} ${times}, a mark is ${formatDuration(spanMs)}, · is nothing`];
}

/** What `--json` prints; also what scripts may rely on. */
function asJson(catalog: Catalog): object {
  const { objects } = catalog;
  const count = countMessages(objects);
  return {
    format: 'tdmq-backup-ls/1',
    totals: {
      topics: new Set(objects.map(({ topic }) => topic)).size,
      objects: objects.length,
      messages: count.messages,
      recordBytes: countMessages(objects, ({ facts }) => facts.recordBytes).messages,
      unknown: count.unknown,
      bytes: bytesOf(objects),
      missing: catalog.missing.length,
      unreadable: catalog.raw.length,
      recovered: catalog.raw.filter(isRecovered).length,
    },
    objects: objects.map(({ key, topic, parts, sizeBytes, facts }) => ({
      key,
      topic,
      partition: parts.partition,
      date: parts.date,
      messages: facts.messages ?? null,
      recordBytes: facts.recordBytes ?? null,
      size: sizeBytes,
      firstId: formatMessageId(facts.firstId),
      lastId: facts.lastId === undefined ? null : formatMessageId(facts.lastId),
      firstPublishTime: facts.firstPublishTimeMs === undefined ? null : formatTime(facts.firstPublishTimeMs),
      lastPublishTime: facts.lastPublishTimeMs === undefined ? null : formatTime(facts.lastPublishTimeMs),
    })),
    unreadable: catalog.raw.map((raw) => ({
      key: raw.key,
      topic: raw.topic,
      partition: raw.partition,
      id: formatMessageId({ ...raw.id, partition: raw.partition, batchIndex: -1 }),
      size: raw.sizeBytes,
      isRecovered: isRecovered(raw),
    })),
    missing: catalog.missing.map(({ key }) => key),
    foreign: catalog.foreign.map(({ key }) => key),
    badManifests: catalog.badManifests,
  };
}
