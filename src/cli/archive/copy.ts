// `tdmq-backup archive copy`: a selection to a folder or another bucket, with manifests that can be verified there.

import { listTopics } from '../../archive/catalog/archive-topics.ts';
import { nothingFound, nothingOf } from '../../archive/catalog/nothing-found.ts';
import { isByContent } from '../../archive/catalog/selection.ts';
import { type CopyCounts, copyArchive } from '../../archive/copy/copy.ts';
import { BackupError } from '../../errors.ts';
import { systemClock } from '../../lib/clock.ts';
import { packageRoot, packageVersion } from '../../packaging/package-root.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { startProgress } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { type OpenTarget, openCopyTarget, TARGET_OPTIONS } from './copy-target.ts';
import { reportDamaged } from './damaged.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, openLocation } from './location.ts';
import { parseSelection, SELECTION_OPTIONS } from './selection-flags.ts';

const MAX_KEYS = 10;

export const command: Command = {
  summary: 'copy a selection to a folder or another bucket, so that it can be verified there',
  help: `
Usage: tdmq-backup archive copy --to-folder DIR [options]
       tdmq-backup archive copy --to-bucket NAME [--to-region NAME] [--to-prefix PREFIX] [options]

Copies whole objects byte for byte, with metadata, type and storage class, and what belongs to them: raw entries,
schemas, and the runs' manifests, unchanged, of all days that list copied objects. Finally it writes a note of the
selection (_copies/): at the target, archive verify compares the selected objects with the manifests, and does not
report objects that were left out. Use it for evidence, or for a second archive.

An object that is only partly selected is copied whole, and counted. The same command again skips objects that exist
with the same checksum. If the target has other bytes, it does not replace them and ends with exit code 1. A copy that
was stopped or killed has no note and no partial objects; the same command continues. Between buckets COS copies the
objects itself if the keys may read the source and write the target; otherwise everything goes through this machine.
Objects in an archive class are named: run archive thaw, then copy again.

  --to-folder DIR      a folder on this machine; the files keep the time at which they were stored
  --to-bucket NAME     instead of COS_BUCKET; --to-region and --to-prefix likewise
  --to-env-file FILE   settings and keys of the target, if they differ
  --from, --until, --from-id, --until-id, --partition   as for archive cat
  --parallel N         objects at a time; 4 by default
  --skip-damaged       skip damaged and missing objects; each is named, and makes the exit code 1
  --dry-run            only report what would be copied
  --json               the report as JSON
${LOCATION_HELP}

Examples:
  tdmq-backup archive copy --env-file .env.orders --to-folder ./evidence --from 2026-11-23 --until 2026-11-24
  tdmq-backup archive copy --env-file .env.orders --to-bucket new-1250000000 --to-prefix orders/
  tdmq-backup archive verify --folder ./evidence
`,
  endsWithinMs: 900,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        ...TARGET_OPTIONS,
        parallel: { type: 'string', default: '4' },
        'skip-damaged': { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const selection = parseSelection(values);
    if (isByContent(selection) || selection.storedUntilMs !== undefined)
      throw new UsageError(
        'copy copies whole objects: leave out --key, --property, --grep, --value-path and --stored-until',
      );
    const isDry = values['dry-run'];
    const location = await openLocation(values, terminal, parallel);
    const progress = startProgress(terminal.stderr);
    progress.update('listing the archive');
    let target: OpenTarget | undefined;
    try {
      const { store, prefix, topic, knowsMetadata } = location;
      const { signal } = terminal;
      target = await openCopyTarget(values, { ...location, given: values }, terminal, parallel);
      const all = await listTopics(store, prefix, { signal });
      const isLocal = !knowsMetadata;
      if (all.length === 0) throw await nothingFound(store, prefix, { isLocal, signal, topic });
      const topics = topic === undefined ? all : [topic];
      const otherTopics = all
        .map(({ full }) => full)
        .filter((full) => topic !== undefined && full !== topic.full);
      const startedMs = Date.now();
      const counts = await copyArchive(store, prefix, target, {
        ...{ topics, selection, knowsMetadata, parallel, isDry, signal },
        isAll: topic === undefined || (otherTopics.length === 0 && all.length === 1),
        isSkipping: values['skip-damaged'],
        name: location.name,
        version: packageVersion(packageRoot(import.meta.url)),
        clock: terminal.clock ?? systemClock,
        onProgress: ({ objects, bytes, copiedBytes }) => {
          const perSecond = (copiedBytes * 1_000) / Math.max(1, Date.now() - startedMs);
          progress.update(
            `${objects.toLocaleString('en-US')} objects  ${formatBytes(bytes)}  ${formatBytes(perSecond)}/s`,
          );
        },
      });
      if (!isDry) await target.cleanUp();
      progress.clear();
      const isNothing = counts.objects + counts.others + counts.damaged.length + counts.archived.length === 0;
      if (isNothing && topics[0] !== undefined)
        throw await nothingOf(store, prefix, topics[0], { isLocal, signal });
      if (counts.archived.length > 0 && !values.json) throw areArchived(counts);
      if (values.json)
        terminal.stdout.write(
          `${JSON.stringify({ format: 'tdmq-backup-copy-report/1', isDryRun: isDry, from: location.name, to: target.name, ...counts, otherTopics })}\n`,
        );
      else print(counts, otherTopics, isDry, target.name, terminal);
      return reportDamaged(counts.damaged, terminal) || counts.archived.length > 0 ? 1 : 0;
    } catch (error) {
      progress.clear();
      if (terminal.signal.aborted && !isDry)
        terminal.stderr.write('Stopped. The same command continues and skips what exists.\n');
      throw error;
    } finally {
      await target?.close();
      await location.close();
    }
  },
};

function areArchived({ archived, objects }: CopyCounts): BackupError {
  const more = archived.length > MAX_KEYS ? [`and ${archived.length - MAX_KEYS} more`] : [];
  const what = `${archived.length} of ${objects} objects are archived and cannot be copied`;
  return new BackupError('store', [what, ...archived.slice(0, MAX_KEYS), ...more].join(' | '), {
    hint: 'tdmq-backup archive thaw with the same selection asks COS for readable copies; then copy again: it skips what exists.',
    details: { code: 'InvalidObjectState' },
  });
}

function print(
  counts: CopyCounts,
  otherTopics: readonly string[],
  isDry: boolean,
  name: string,
  terminal: Terminal,
): void {
  const { green, yellow } = paint(terminal.stdout, terminal.env);
  const say = (text: string) => terminal.stdout.write(`${text}\n`);
  const count = (value: number) => value.toLocaleString('en-US');
  const { objects, bytes, there, copied, copiedBytes, others, manifests, beyond } = counts;
  const what = `${count(objects)} objects, ${formatBytes(bytes)}, with ${count(manifests)} manifests and ${count(others)} others`;
  if (isDry) say(`Would copy ${what}, to ${name}`);
  else {
    say(
      `${green('✓')} ${what} are at ${name}: copied ${count(copied)}, ${formatBytes(copiedBytes)}; ${count(there)} were there`,
    );
    if (counts.note !== undefined)
      say(`  ${counts.note} says what was selected; archive verify holds the copy against it`);
  }
  if (beyond > 0)
    say(
      `${yellow('⚠')} ${count(beyond)} objects have messages outside of the selection too: objects are copied whole`,
    );
  if (otherTopics.length > 0)
    say(
      `${yellow('⚠')} ${count(otherTopics.length)} other topics of this archive are no part of the copy: ${otherTopics.slice(0, MAX_KEYS).join(', ')}${otherTopics.length > MAX_KEYS ? ' and more' : ''}`,
    );
}
