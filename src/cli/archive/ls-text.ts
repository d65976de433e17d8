// What `archive ls` prints for a person: tables, and a time line of each topic.
import type { ArchiveObject, Surroundings } from '../../archive/catalog/catalog.ts';
import { isRecovered } from '../../archive/catalog/catalog.ts';
import { type Coverage, coverageOf } from '../../archive/catalog/coverage.ts';
import { createDateGroups, type DateGroup, sumGroups } from '../../archive/catalog/date-groups.ts';
import { countText, totalText } from '../../archive/catalog/message-count.ts';
import type { SchemaSummary } from '../../archive/schemas/schemas.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { MessageId, TimeMs } from '../../ports.ts';
import type { Output } from '../terminal/output.ts';
import { formatBytes, formatDuration, formatTable } from '../terminal/table.ts';
import { rawText } from './raw-text.ts';

const SPANS = 48;
const SHADES = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/** Rows of objects that one table has: of more, nobody could wait for the widest. */
const TABLE_ROWS = 2_000;
/** Of the objects that are not there so many are named. */
const MISSING_NAMED = 10;

const partitionText = (partition: number) => (partition < 0 ? 'none' : String(partition));
/** To the second: `--json` has the milliseconds. */
const timeText = (timeMs: TimeMs | undefined) =>
  timeMs === undefined ? '?' : formatTime(timeMs).replace(/\.\d{3}Z$/, 'Z');
const idText = (id: MessageId | undefined) => (id === undefined ? '?' : formatMessageId(id));

/** Prints objects as they come; `end` what is known only then. */
export function createListing(output: Output, prefix: string, name: string, withObjects: boolean) {
  const totals: ReturnType<typeof sumGroups>[] = [];
  let topic: string | undefined;
  let groups = createDateGroups();
  let rows: ArchiveObject[] = [];
  let hasHead = false;
  const say = async (text = '') => await output.write(`${text}\n`);

  async function printObjects(): Promise<void> {
    if (rows.length === 0) return;
    for (const line of objectTable(rows, prefix).slice(hasHead ? 1 : 0)) await say(`  ${line}`);
    hasHead = true;
    rows = [];
  }

  async function endTopic(): Promise<void> {
    if (topic === undefined) return;
    if (withObjects) await printObjects();
    else for (const line of groupTable(groups.groups())) await say(`  ${line}`);
    const coverage = coverageOf(groups.spans(), SPANS);
    if (coverage !== undefined) for (const line of timeLines(coverage)) await say(`  ${line}`.trimEnd());
    await say();
    totals.push(sumGroups(groups.groups()));
    groups = createDateGroups();
  }

  async function beginTopic(first: ArchiveObject): Promise<void> {
    await endTopic();
    topic = first.topic;
    hasHead = false;
    await say(visibleText(topic));
  }

  function addToTopic(object: ArchiveObject): Promise<void> | undefined {
    groups.add(object);
    if (!withObjects) return undefined;
    rows.push(object);
    return rows.length >= TABLE_ROWS ? printObjects() : undefined;
  }

  return {
    /** Wait for the answer, if there is one, before the next call. */
    add(object: ArchiveObject): Promise<void> | undefined {
      if (object.topic !== topic) return beginTopic(object).then(() => addToTopic(object));
      return addToTopic(object);
    },
    async end(
      { missing, raw, foreign, badManifests }: Surroundings,
      schemas: readonly SchemaSummary[],
    ): Promise<void> {
      await endTopic();
      for (const line of schemaLines(schemas)) await say(line);
      const sum = {
        objects: totals.reduce((all, one) => all + one.objects, 0),
        bytes: totals.reduce((all, one) => all + one.bytes, 0),
        messages: totals.reduce((all, one) => all + one.messages, 0),
        unknown: totals.reduce((all, one) => all + one.unknown, 0),
      };
      await say(
        sum.objects === 0
          ? `${visibleText(name)} holds no objects of messages.`
          : `${totalText(sum, sum.objects)}, ${formatBytes(sum.bytes)}`,
      );
      if (missing.length > 0) {
        await say(`${missing.length} objects are in manifests, but not there: archive verify`);
        for (const { key } of missing.slice(0, MISSING_NAMED)) await say(`  ${key}`);
        if (missing.length > MISSING_NAMED) await say('  and more');
      }
      if (raw.length > 0) await say(rawText(raw.length, raw.filter(isRecovered).length));
      if (foreign.length > 0) await say(`${foreign.length} objects are not of this archive`);
      if (badManifests.length > 0) await say(`${badManifests.length} manifests cannot be read`);
      await output.flush();
    },
  };
}

/** The schemas of each topic, in a table. */
export function schemaLines(schemas: readonly SchemaSummary[]): string[] {
  return [...new Set(schemas.map(({ topic }) => topic))].flatMap((topic) => {
    const own = schemas.filter((one) => one.topic === topic);
    const rows = own.map(({ name, type, size, sha256 }) => [
      name,
      type ?? '?',
      formatBytes(size),
      sha256?.slice(0, 12) ?? '?',
    ]);
    const table = formatTable(['version', 'type', 'size', 'sha256'], rows);
    return [`schemas of ${topic}`, ...table.map((line) => `  ${line}`), ''];
  });
}

/** A number, as long as it is one. */
const countCell = ({ messages, unknown, objects }: DateGroup): number | string =>
  unknown === 0 ? messages : countText({ messages, unknown }, objects);

function groupTable(groups: readonly DateGroup[]): string[] {
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
    groups.map((group) => [
      group.date,
      partitionText(group.partition),
      group.objects,
      countCell(group),
      formatBytes(group.bytes),
      idText(group.firstId),
      timeText(group.firstPublishTimeMs),
      idText(group.lastId),
      timeText(group.lastPublishTimeMs),
    ]),
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
