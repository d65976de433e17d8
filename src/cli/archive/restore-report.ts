// What a restore came to, for a person and as JSON; of a dry run also how long it takes, and how the targets are.
import type { DamagedObject } from '../../archive/read/read-messages.ts';
import { type RestoreCounts, sumCounts } from '../../archive/restore/restore-counts.ts';
import type { RestoreTarget } from '../../archive/restore/restore-target.ts';
import { formatTime } from '../../format/record.ts';
import type { Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { formatBytes, formatTable } from '../terminal/table.ts';

/** A topic that was done before has nothing else to say. */
export interface TopicReport {
  readonly source: string;
  readonly target: string;
  readonly doneAt?: string | undefined;
  readonly counts: RestoreCounts;
  readonly rawLeftOut: number;
  readonly damaged: readonly DamagedObject[];
  readonly opened?: RestoreTarget | undefined;
  /** Registered at the target; in a dry run: would be. */
  readonly schemas?: number;
}

export interface RestoreReport {
  readonly isDry: boolean;
  readonly topics: readonly TopicReport[];
  /** How long a dry run took to read all that would be published. */
  readonly readMs: number;
  readonly messagesPerSecond: number | undefined;
}

/** Reading and publishing side by side took up to twice as long as reading alone (docs/benchmarks.md, `cat` and `restore`). */
const PUBLISHING_FACTOR = 2;
/** Sent without a receipt at most, of all partitions. */
const WINDOW_BYTES = 64 * 1_048_576;

/** How long a restore takes of what a dry run has read. */
export function estimate({ topics, readMs, messagesPerSecond }: RestoreReport) {
  const { messages, bytes } = sumCounts(topics.map(({ counts }) => counts));
  const roundTripMs = Math.max(0, ...topics.map(({ opened }) => opened?.look?.roundTripMs ?? 0));
  const readSeconds = readMs / 1_000;
  const atRate = messagesPerSecond === undefined ? 0 : messages / messagesPerSecond;
  const seconds = Math.max(
    readSeconds * PUBLISHING_FACTOR,
    (Math.ceil(bytes / WINDOW_BYTES) * roundTripMs) / 1_000,
    atRate,
  );
  const perSecond = (count: number) => Math.round(count / Math.max(0.001, readSeconds));
  return {
    seconds: Math.max(0.1, Math.round(seconds * 10) / 10),
    leastSeconds: Math.round(Math.max(readSeconds, atRate) * 10) / 10,
    readSeconds: Math.round(readSeconds * 10) / 10,
    readMessagesPerSecond: perSecond(messages),
    readBytesPerSecond: perSecond(bytes),
    ...(roundTripMs > 0 && { roundTripMs }),
  };
}

/** The report as JSON; of one topic with its target and its routes beside the counts. */
export function reportAsJson(report: RestoreReport): string {
  const { isDry, topics } = report;
  const [first] = topics;
  const only = topics.length === 1 ? first : undefined;
  const all = {
    isDryRun: isDry,
    ...(only && { source: only.source, target: only.target }),
    isDone: topics.every(({ doneAt }) => doneAt !== undefined),
    ...countsAsJson(sumCounts(topics.map(({ counts }) => counts))),
    rawLeftOut: topics.reduce((sum, one) => sum + one.rawLeftOut, 0),
    damaged: topics.flatMap(({ damaged }) => damaged),
    ...(only && { routes: Object.fromEntries(sortedRoutes(only.counts)) }),
    ...(isDry && { estimate: estimate(report) }),
    topics: topics.map(({ source, target, doneAt, counts, rawLeftOut, damaged, opened, schemas = 0 }) => ({
      ...{ source, target, isDone: doneAt !== undefined },
      ...(doneAt !== undefined && { startedAt: doneAt }),
      ...countsAsJson(counts),
      ...{ rawLeftOut, damaged },
      ...(schemas > 0 && { schemas }),
      routes: Object.fromEntries(sortedRoutes(counts)),
      ...(opened?.look && { check: { ...opened.look, largestMessageBytes: counts.largestBytes } }),
    })),
  };
  // JSON of ours has no integers beyond 2^53; those of times are reported roughly here.
  return JSON.stringify(all, (_: string, one: unknown) => (typeof one === 'bigint' ? Number(one) : one));
}

function countsAsJson({ routes: _, largestBytes: __, ...counts }: RestoreCounts): object {
  return counts;
}

const sortedRoutes = ({ routes }: RestoreCounts) => [...routes].sort(([a], [b]) => (a < b ? -1 : 1));

/** Prints the report. */
export function printReport(report: RestoreReport, terminal: Terminal): void {
  const { isDry, topics } = report;
  const { green, red, yellow } = paint(terminal.stdout, terminal.env);
  const say = (text: string) => terminal.stdout.write(`${text}\n`);
  for (const { source, target, doneAt, counts, rawLeftOut, opened, schemas = 0 } of topics) {
    if (doneAt !== undefined) continue;
    const rows = sortedRoutes(counts).map(([name, route]) => [
      name.replaceAll('-1', 'none'),
      route.messages,
      formatBytes(route.bytes),
      formatTime(route.firstPublishTimeMs),
      formatTime(route.lastPublishTimeMs),
    ]);
    if (topics.length > 1) say(`${source}:`);
    if (rows.length > 0)
      for (const line of formatTable(['partition', 'messages', 'payloads', 'first', 'last'], rows)) say(line);
    say(
      `${isDry ? 'Would publish' : `${green('✓')} Published`} ${countText(counts)}, to ${target}${restText(counts)}`,
    );
    if (schemas > 0)
      say(
        isDry
          ? `${schemas} schemas would be registered at ${target}; only then the broker says whether it takes them`
          : `${schemas} schemas registered at ${target}`,
      );
    if (counts.withoutSchema > 0)
      say(
        `${yellow('⚠')} ${counts.withoutSchema.toLocaleString('en-US')} messages published without the schema that their records name, which is not known: archive schemas fetch`,
      );
    for (const { key, reason } of counts.refused) say(`${red('✗')} ${key}\n    not published: ${reason}`);
    if (rawLeftOut > 0)
      say(
        `${yellow('⚠')} ${rawLeftOut} raw entries under _unreadable/ left out: archive recover, or --include-unreadable`,
      );
    if (isDry)
      for (const line of lookLines(counts, schemas, opened))
        say(line.isFine ? `${green('✓')} ${line.text}` : `${yellow('⚠')} ${line.text}`);
  }
  if (topics.length > 1) {
    const done = topics.filter(({ doneAt }) => doneAt !== undefined).length;
    const counts = sumCounts(topics.map((one) => one.counts));
    say(
      `${isDry ? 'Would publish' : `${green('✓')} Published`} ${countText(counts)}, of ${topics.length - done} topics${restText(counts)}${done > 0 ? `; ${done} were done before` : ''}`,
    );
  }
  if (isDry) {
    const { seconds, leastSeconds, readSeconds, readMessagesPerSecond, readBytesPerSecond } =
      estimate(report);
    say(
      `It takes ${leastSeconds < seconds ? `${durationText(leastSeconds)} to ` : ''}${durationText(seconds)}: reading took ${durationText(readSeconds)} (${readMessagesPerSecond.toLocaleString('en-US')} messages/s, ${formatBytes(readBytesPerSecond)}/s), and publishing goes beside it or takes up to as long again; a busy broker takes longer`,
    );
  }
}

const countText = ({ messages, bytes }: RestoreCounts): string =>
  `${messages.toLocaleString('en-US')} messages, ${formatBytes(bytes)}`;

function restText({ duplicates, rawEntries, skipped }: RestoreCounts): string {
  const rest = [
    duplicates > 0 ? `${duplicates} copies left out` : '',
    rawEntries > 0 ? `${rawEntries} raw entries besides, as they are` : '',
    skipped > 0 ? `${skipped.toLocaleString('en-US')} published before` : '',
  ].filter(Boolean);
  return rest.length > 0 ? ` (${rest.join(', ')})` : '';
}

const durationText = (seconds: number): string =>
  seconds < 90
    ? `${seconds} s`
    : seconds < 5_400
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3_600).toFixed(1)} h`;

/** What is known of a target, line by line. */
function lookLines({ largestBytes }: RestoreCounts, schemas: number, opened: RestoreTarget | undefined) {
  const look = opened?.look;
  if (look === undefined)
    return [{ isFine: false, text: 'no broker was asked: the topic is taken to have as many partitions' }];
  const { partitions, maxEntryBytes, isEmpty } = look;
  const places = partitions === 0 ? 'no partitions' : `${partitions} partitions`;
  const lines = [
    {
      isFine: true,
      text: `the topic is there with ${places}; this role may publish to it${schemas > 0 ? '' : ', and no schema is in the way'}`,
    },
  ];
  if (isEmpty === false) lines.push({ isFine: false, text: 'the topic has messages already' });
  if (isEmpty === undefined)
    lines.push({ isFine: false, text: 'this role may not know whether the topic is empty' });
  if (largestBytes > maxEntryBytes)
    lines.push({
      isFine: false,
      text: `the largest message has ${formatBytes(largestBytes)}, and the broker takes ${formatBytes(maxEntryBytes)} at once: it goes in chunks`,
    });
  return lines;
}
