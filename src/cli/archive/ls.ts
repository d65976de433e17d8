// `tdmq-backup archive ls`: topics, dates, partitions, objects and totals, from keys, manifests and metadata alone.
import { writeFile } from 'node:fs/promises';
import { streamCatalog } from '../../archive/catalog/catalog-stream.ts';
import type { DateRange } from '../../archive/catalog/listing.ts';
import { nothingFound, nothingOf } from '../../archive/catalog/nothing-found.ts';
import {
  describeSchemas,
  listSchemas,
  type SchemaSummary,
  summaryOf,
} from '../../archive/schemas/schemas.ts';
import { dateOf } from '../../format/object-key.ts';
import { formatCount } from '../../lib/format-count.ts';
import type { Command } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { openOutput } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress.ts';
import { timeOption } from '../time-option.ts';
import { UsageError } from '../usage-error.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, openLocation } from './location.ts';
import { createJsonListing } from './ls-json.ts';
import { createListing } from './ls-text.ts';

export const command: Command = {
  summary: 'list topics, dates, partitions and objects',
  help: `
Usage: tdmq-backup archive ls [options]

Lists the content of an archive without downloading it: from keys, the runs' manifests, and the metadata of objects that
no manifest lists. \`?\` means that the value is not known: a multipart object of a killed run; \`archive index\` reads such
objects once and writes their manifest. Schemas are listed too: \`archive schemas\` prints them. The exit code is 1 if a
manifest lists an object that does not exist.

  --from DAY       objects that begin on this day (UTC) or later
  --until DAY      and before this one
  --objects        each object
  --json           everything, as JSON
  --html FILE      also write a page: messages and bytes over time, gaps, sizes of files
${LOCATION_HELP}

Examples:
  tdmq-backup archive ls --env-file .env.orders
  tdmq-backup archive ls --folder ./copy --objects
  tdmq-backup archive ls --env-file .env.orders --from 2026-11-23 --until 2026-11-24
  tdmq-backup archive ls --env-file .env.orders --json | jq .totals
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        from: { type: 'string' },
        until: { type: 'string' },
        objects: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        html: { type: 'string' },
      },
    });
    const dates = datesOption(values.from, values.until);
    const location = await openLocation(values, terminal);
    const progress = startProgress(terminal.stderr);
    try {
      const { store, prefix, topic, name } = location;
      const { signal } = terminal;
      const isLocal = !location.knowsMetadata;
      progress.update('listing the archive');
      const onProgress = (objects: number) => progress.update(`${formatCount(objects)} objects listed`);
      const stream = streamCatalog(store, prefix, { topic, dates, signal, isLocal, onProgress });
      const report = values.html === undefined ? undefined : await loadReport(prefix);
      const output = openOutput(terminal, progress.clear);
      const listing = values.json
        ? createJsonListing(output)
        : createListing(output, prefix, name, values.objects);
      let objects = 0;
      for await (const batch of stream.batches()) {
        objects += batch.length;
        for (const object of batch) {
          report?.add(object);
          const writing = listing.add(object);
          if (writing !== undefined) await writing;
        }
        if (output.isGone && report === undefined) return 0;
      }
      const surroundings = await stream.surroundings();
      if (objects + surroundings.raw.length + surroundings.missing.length === 0)
        throw topic !== undefined && dates !== undefined
          ? await nothingOf(store, prefix, topic, { isLocal, signal })
          : await nothingFound(store, prefix, { topic, isLocal, signal });
      const schemas: SchemaSummary[] = [];
      const listed = await listSchemas(store, prefix, topic, { signal });
      for await (const one of describeSchemas(store, listed, { signal })) schemas.push(summaryOf(one));
      if (values.html !== undefined && report !== undefined)
        await writeFile(values.html, report.page(surroundings, name, new Date(), schemas));
      await listing.end(surroundings, schemas);
      return surroundings.missing.length > 0 ? 1 : 0;
    } finally {
      progress.clear();
      await location.close();
    }
  },
};

/** What draws is loaded only where it is asked for. */
async function loadReport(prefix: string) {
  const { createReportPage } = await import('../../archive/report/page.ts');
  return createReportPage(prefix);
}

function datesOption(from: string | undefined, until: string | undefined): DateRange | undefined {
  const [fromMs, untilMs] = [timeOption('--from', from), timeOption('--until', until)];
  if (fromMs === undefined && untilMs === undefined) return undefined;
  if (fromMs !== undefined && untilMs !== undefined && fromMs >= untilMs)
    throw new UsageError('--from has to be before --until: no day is between them');
  return {
    from: fromMs === undefined ? undefined : dateOf(fromMs),
    until: untilMs === undefined ? undefined : dateOf(untilMs - 1),
  };
}
