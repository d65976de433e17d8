// `tdmq-backup archive verify`: what is wrong with an archive, object by object, and an exit code that says so.

import { describeCopy } from '../../archive/catalog/copy-scope.ts';
import { totalText } from '../../archive/catalog/message-count.ts';
import type { PartitionResult } from '../../archive/chain/verify-chain.ts';
import type { Finding } from '../../archive/finding.ts';
import type { FiledReport } from '../../archive/report/verification-page.ts';
import { type VerifyLevel, type VerifyReport, verifyArchive } from '../../archive/verify/verify.ts';
import { dateOf } from '../../format/object-key.ts';
import { formatCount } from '../../lib/format-count.ts';
import { visibleText } from '../../lib/visible-text.ts';
import { packageRoot, packageVersion } from '../../packaging/package-root.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { bar, startProgress, timeLeft } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import { timeOption } from '../time-option.ts';
import { UsageError } from '../usage-error.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, openLocation } from './location.ts';
import { rawText } from './raw-text.ts';
import { type Filing, openFiling, readEarlier } from './verify-filing.ts';
import { openState } from './verify-state.ts';

const LEVELS: Readonly<Record<string, VerifyLevel>> = {
  list: 'list',
  object: 'object',
  record: 'record',
  full: 'record',
};
const MAX_NOTICES_SHOWN = 20;
/** Of more nobody reads them one by one: a lifecycle rule that has removed a year is in the count of each kind. */
const MAX_DAMAGES_SHOWN = 1_000;
/** What --strict does not let pass. */
const SUSPECT = new Set(['gap', 'passed-over', 'overlap', 'duplicates', 'unordered', 'unreadable']);

export const command: Command = {
  summary: 'look for damage: lost, cut, changed or contradictory objects',
  help: `
Usage: tdmq-backup archive verify [--level list|object|record] [options]

Levels; each includes the previous one:
  list     keys, metadata, sizes, manifests, ids in order; downloads nothing
  object   the checksums of the bytes: CRC-64 as COS and the manifest have it, SHA-256 as metadata and manifest have it
  record   (default; full is the same) every line: it parses, ids are in order, counts and ranges match metadata and
           manifest; messages that two objects share are equal

Every level follows the manifests from run to run: each contains the subscription's positions and the manifests that its
run saw. So it finds objects that were removed together with their manifest, changed or removed manifests, and days
without objects. It distinguishes messages that the subscription skipped (TTL, skip, reset), and ids without messages.

Damage makes the exit code 1. Equal messages in two objects are duplicates, which occur after crashes and with Shared
subscriptions: they are not damage, and neither are skipped messages and gaps that no run covers; with --strict, gaps and
duplicates make the exit code 1 too. Raw entries that were not recovered are named, each with its key. A missing or
changed schema that a manifest lists is damage; a schema version in records that was never stored (by earlier versions)
is not, even with --strict.

  --level LEVEL    list, object, record or full
  --parallel N     objects at a time; 4 by default
  --state FILE     record here what was verified, and continue from there the next time; changed objects are read again
  --report FILE    write the verification: FILE.json with what was checked, when, by which version, and the result of
                   each partition and day with a checksum; and FILE.html for people
  --earlier FILE   an earlier such report: its manifests and objects must still exist
  --from DAY       from this day on (UTC), if a lifecycle rule removes older objects
  --strict         gaps, duplicates and raw entries make the exit code 1 too
  --json           the report as JSON: each finding with its object, kind and severity
${LOCATION_HELP}

Examples:
  tdmq-backup archive verify --env-file .env.orders --level object
  tdmq-backup archive verify --env-file .env.orders --state verified.jsonl --json > report.json
  tdmq-backup archive verify --folder ./copy --report audit-2026-12 --earlier audit-2026-11.json
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        level: { type: 'string', default: 'record' },
        parallel: { type: 'string', default: '4' },
        state: { type: 'string' },
        report: { type: 'string' },
        earlier: { type: 'string' },
        from: { type: 'string' },
        strict: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const level = Object.hasOwn(LEVELS, values.level) ? LEVELS[values.level] : undefined;
    if (level === undefined) throw new UsageError('--level must be list, object, or record (full)');
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const from = dayOption(values.from);
    const earlier = values.earlier === undefined ? undefined : readEarlier(values.earlier);
    const location = await openLocation(values, terminal, parallel);
    const progress = startProgress(terminal.stderr);
    let state: ReturnType<typeof openState> | undefined;
    progress.update('listing the archive');
    let filing: Filing | undefined;
    try {
      filing = values.report === undefined ? undefined : openFiling(values.report);
      state = values.state === undefined ? undefined : openState(values.state, level);
      const startedMs = Date.now();
      const verified = await verifyArchive(location.store, location.prefix, {
        level,
        parallel,
        ...{ earlier, from },
        topic: location.topic,
        knowsMetadata: location.knowsMetadata,
        signal: terminal.signal,
        onFollowed: (manifests) => progress.update(`${formatCount(manifests)} manifests followed`),
        onChecked: (objects) => progress.update(`${formatCount(objects)} objects listed`),
        onProgress: ({ objects, bytes, total }) => {
          const share = bytes / Math.max(1, total?.bytes ?? Number.POSITIVE_INFINITY);
          const count = formatCount;
          progress.update(
            total === undefined
              ? `${count(objects)} objects  ${formatBytes(bytes)}`
              : `${bar(share)} ${count(objects)} of ${count(total.objects)} objects  ${formatBytes(bytes)} of ${formatBytes(total.bytes)}  ${timeLeft(share, Date.now() - startedMs)}`,
          );
        },
        ...(state === undefined ? {} : { known: state.known, onInspected: state.remember }),
      });
      progress.clear();
      const isSuspect = verified.findings.some(({ kind }) => SUSPECT.has(kind));
      const isDamaged = verified.damagedObjects > 0 || (values.strict && isSuspect);
      const report: FiledReport = {
        ...verified,
        tool: {
          name: 'tdmq-backup',
          version: packageVersion(packageRoot(import.meta.url)),
          node: process.versions.node,
        },
        archive: location.name,
        selection: { topic: location.topic?.full ?? null, from: from ?? null },
        startedAt: new Date(startedMs).toISOString(),
        endedAt: new Date().toISOString(),
        result: isDamaged ? 'damaged' : 'sound',
      };
      const filed = filing?.write(report);
      if (values.json) terminal.stdout.write(`${JSON.stringify(report)}\n`);
      else print(report, terminal);
      if (filed !== undefined && !values.json) terminal.stdout.write(`filed in ${filed.join(' and ')}\n`);
      return isDamaged ? 1 : 0;
    } finally {
      progress.clear();
      state?.close();
      filing?.close();
      await location.close();
    }
  },
};

/** @throws UsageError */
function dayOption(text: string | undefined): string | undefined {
  const timeMs = timeOption('--from', text);
  return timeMs === undefined ? undefined : dateOf(timeMs);
}

function print(report: VerifyReport, terminal: Terminal): void {
  const { red, yellow, green, dim } = paint(terminal.stdout, terminal.env);
  const say = (text: string) => terminal.stdout.write(`${text}\n`);
  const damages = report.findings.filter(({ severity }) => severity === 'damage');
  const notices = report.findings.filter(({ severity }) => severity === 'notice');
  for (const { key, kind, detail } of damages.slice(0, MAX_DAMAGES_SHOWN))
    say(`${red('✗')} ${visibleText(key)}\n    ${kind}: ${visibleText(detail)}`);
  if (damages.length > MAX_DAMAGES_SHOWN)
    say(
      dim(
        `  and ${formatCount(damages.length - MAX_DAMAGES_SHOWN)} more; of all, ${kindsText(damages)}; --json and --report have them all`,
      ),
    );
  for (const { key, kind, detail } of notices.slice(0, MAX_NOTICES_SHOWN))
    say(`${yellow('⚠')} ${visibleText(key)}\n    ${kind}: ${visibleText(detail)}`);
  if (notices.length > MAX_NOTICES_SHOWN)
    say(dim(`  and ${notices.length - MAX_NOTICES_SHOWN} more notices; --json has them all`));
  const duplicates = report.duplicates === 0 ? '' : `, ${report.duplicates} of them twice`;
  const what = `${totalText(report, report.objects)}, ${formatBytes(report.bytes)}${duplicates}`;
  say(
    damages.length === 0
      ? `${green('✓')} ${what}: no damage at the level of ${report.level}s`
      : `${red('✗')} ${what}: ${report.damagedObjects} objects are damaged or missing`,
  );
  for (const line of copyLines(report)) say(line);
  for (const line of chainLines(report)) say(line);
  const { unreadable, recovered, schemas } = report;
  if (schemas.kept + schemas.missing > 0)
    say(
      `${schemas.kept} schemas kept${schemas.missing === 0 ? '' : `; ${schemas.missing} versions that records name are not: archive schemas fetch`}`,
    );
  if (unreadable > recovered) say(`${yellow('⚠')} ${rawText(unreadable, recovered)}`);
  else if (unreadable > 0) say(rawText(unreadable, recovered));
}

/** How many findings there are of each kind: `missing 2,000, cut 12`. */
function kindsText(findings: readonly Finding[]): string {
  const kinds = new Map<string, number>();
  for (const { kind } of findings) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  return [...kinds].map(([kind, count]) => `${kind} ${formatCount(count)}`).join(', ');
}

/** Of a copy, what it says that it holds: the rest is not looked for. */
function copyLines({ copies, leftOut }: VerifyReport): string[] {
  const lines = copies.map((note) => `a copy of ${describeCopy(note)}`);
  if (leftOut > 0) lines.push(`${formatCount(leftOut)} objects that its manifests name are no part of it`);
  return lines;
}

/** How far the runs could be followed, and what is in no object. */
function chainLines({ chain, partitions, unlisted }: VerifyReport): string[] {
  const { manifests, followed, from, until } = chain;
  const count = formatCount;
  const notNamed = unlisted === 0 ? [] : [`${count(unlisted)} objects are in no manifest`];
  if (manifests === 0)
    return [
      'there is no manifest of a run: missing objects cannot be detected, and no object can be compared with one',
    ];
  if (followed === 0)
    return ['no run says where the subscription was: gaps cannot be distinguished', ...notNamed];
  const sum = (of: (one: PartitionResult) => { entries: number }) =>
    partitions.reduce((total, one) => total + of(one).entries, 0);
  const [lost, passedOver, empty] = [
    sum((one) => one.lost),
    sum((one) => one.passedOver),
    sum((one) => one.withoutMessage),
  ];
  return [
    `${count(followed)} of ${count(manifests)} manifests followed, of runs from ${from} to ${until}`,
    `entries in no object, and in none that a manifest names: ${count(lost)} lost, ${count(passedOver)} passed over by the subscription, ${count(empty)} without a message`,
    ...notNamed,
  ];
}
