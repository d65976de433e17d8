// `tdmq-backup archive cat`: the records of a topic as lines, values or a table, how many there are, or the last one of each
// key; streaming.

import { expectReadable, listedPart } from '../../archive/catalog/archived.ts';
import { streamCatalog } from '../../archive/catalog/catalog-stream.ts';
import { nothingOf } from '../../archive/catalog/nothing-found.ts';
import { createObjectList, type PartitionObjects } from '../../archive/catalog/object-list.ts';
import { mayHold } from '../../archive/catalog/selection.ts';
import { type LeftOut, latestPerKey, type Recorded } from '../../archive/read/message-groups.ts';
import { rangeBytesFor } from '../../archive/read/ranged-read.ts';
import { mergeByTime, readInOrder } from '../../archive/read/read-messages.ts';
import { selectRaw } from '../../archive/restore/restore-raw.ts';
import { BackupError } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import { formatCount } from '../../lib/format-count.ts';
import type { ListedObject, ObjectStore } from '../../ports.ts';
import type { Command } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { type Output, openOutput } from '../terminal/output.ts';
import { type Progress, startProgress, timeLeft } from '../terminal/progress.ts';
import { counted, formatBytes } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { groupByOption, printCount, printCounts } from './cat-counts.ts';
import { openDecoding } from './cat-decoding.ts';
import { DECODED_FORMATS, FORMATS, type Format } from './cat-formats.ts';
import { expectWhole, reportDamaged } from './damaged.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, onlyTopic, openLocation } from './location.ts';
import { rawText } from './raw-text.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

export const command: Command = {
  summary: 'print the records of a topic',
  help: `
Usage: tdmq-backup archive cat [options]

Prints the records of a topic: in the order of each partition, partitions merged by publish time. Prints a
message in two objects once. Memory does not depend on the size; \`| head\` ends it. Keys that do not fit into memory are
sorted in a temporary file (TMPDIR). Exit code 1: nothing is selected, or something is damaged.

  --format FORMAT  jsonl (default): the stored records; value: each payload and a line break; table
  --decode         adds each value as JSON, by the schema of its version: decoded (and decodedKey where the schema is a pair),
                   or decodeError, which makes the exit code 1; with --format value or table the decoded value instead of
                   the payload. --grep and --value-path search decoded values
  --count          the number of records, instead of the records
  --count-by WHAT  the number per key, partition, hour (of the publish time, UTC) or property:NAME
  --latest-per-key  the last selected record of each key, by key, as in a compacted topic. Leaves out keys whose last
                   value is null (a tombstone) or empty, and messages without a key
  --deleted        with --latest-per-key also the records that deleted their key
  --json           counts as JSON; records are JSON lines anyway
  --duplicates     also print the copies of messages in two objects
  --skip-damaged   skip damaged and missing objects; each is named, and makes the exit code 1. Without it, printing
                   ends there
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive cat --env-file .env.orders --from 2026-11-23 --until 2026-11-24 --key customer-7
  tdmq-backup archive cat --folder ./copy --topic t/ns/orders --format value | head
  tdmq-backup archive cat --env-file .env.orders --grep 'time-out' --value-path customer.id=7
  tdmq-backup archive cat --env-file .env.orders --decode | jq '.decoded.customer'
  tdmq-backup archive cat --env-file .env.orders --count-by key | sort -rn | head
  tdmq-backup archive cat --env-file .env.orders --latest-per-key --until 2026-11-24
`,
  endsWithinMs: 500,
  isForPrograms: true,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        format: { type: 'string' },
        decode: { type: 'boolean', default: false },
        count: { type: 'boolean', default: false },
        'count-by': { type: 'string' },
        'latest-per-key': { type: 'boolean', default: false },
        deleted: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        duplicates: { type: 'boolean', default: false },
        'skip-damaged': { type: 'boolean', default: false },
      },
    });
    const answer = answerOption(values);
    const selection = parseSelection(values);
    const location = await openLocation(values, terminal);
    const progress = startProgress(terminal.stderr);
    progress.update('listing the archive');
    try {
      const { store, prefix } = location;
      const { signal } = terminal;
      const topic = await onlyTopic(location, signal);
      const isLocal = !location.knowsMetadata;
      const catalog = streamCatalog(store, prefix, {
        ...{ topic, signal, isLocal, time: selection },
        onProgress: (objects) => progress.update(`${formatCount(objects)} objects listed`),
      });
      const list = createObjectList(prefix);
      const archived: ListedObject[] = [];
      let undated = 0;
      for await (const object of catalog.objects()) {
        if (!mayHold(object, selection)) continue;
        if (isLocal && object.manifest === undefined) undated++;
        list.add(object);
        if (isArchiveClass(object.storageClass)) archived.push(listedPart(object));
      }
      const { missing, raw } = await catalog.surroundings();
      if (selection.storedUntilMs !== undefined && undated > 0) {
        progress.clear();
        terminal.stderr.write(`${undatedText(undated)}\n`);
      }
      const damage = expectWhole({ prefix, missing }, selection, values['skip-damaged'], topic.full);
      await expectReadable(store, archived, { signal });
      const decoding = values.decode ? await openDecoding(store, prefix, selection, { signal }) : undefined;
      const groups = list.partitions();
      const ranges = groups.length > 1 ? { rangeBytes: rangeBytesFor(groups.length) } : {};
      const reading = terminal.stderr.isTTY ? watchReading(store, groups, progress) : store;
      const partitions = groups.map((objects) =>
        readInOrder(reading, objects, decoding?.readSelection ?? selection, {
          signal,
          withDuplicates: values.duplicates,
          onDamaged: damage.onDamaged,
          ...ranges,
        }),
      );
      const output = openOutput(terminal, progress.clear);
      const leftOut = { keyless: 0, deleted: 0 };
      const messages = mergeByTime(partitions);
      const count = await answer(decoding?.decode(messages) ?? messages, output, leftOut);
      progress.clear();
      const unread = raw.length === 0 ? [] : await selectRaw(store, raw, selection, { signal });
      for (const note of notesOn(leftOut, unread.length)) terminal.stderr.write(`${note}\n`);
      const notDecoded = decoding?.report(terminal) ?? 0;
      const code = Math.max(reportDamaged(damage.damaged, terminal), notDecoded);
      if (count > 0 || code > 0) return code;
      throw leftOut.keyless + leftOut.deleted > 0
        ? noKeyIsLeft(leftOut)
        : await nothingOf(store, prefix, topic, { isLocal, signal });
    } finally {
      progress.clear();
      await location.close();
    }
  },
};

const undatedText = (objects: number): string =>
  objects === 1
    ? '1 object that no manifest names has the time of its file: --stored-until may take it for older or newer'
    : `${objects} objects that no manifest names have the times of their files: --stored-until may take them for older or newer`;

/** The store, whose reads are shown: how much of all that may hold selected messages, and how long the rest takes. */
function watchReading(
  store: ObjectStore,
  groups: readonly PartitionObjects[],
  progress: Progress,
): ObjectStore {
  const totalBytes = groups.reduce((sum, { bytes }) => sum + bytes, 0);
  const startedMs = Date.now();
  let bytes = 0;
  const read: ObjectStore['read'] = async function* (key, options) {
    for await (const chunk of store.read(key, options)) {
      bytes += chunk.byteLength;
      progress.update(
        `${formatBytes(bytes)} of ${formatBytes(totalBytes)} read  ${timeLeft(bytes / Math.max(1, totalBytes), Date.now() - startedMs)}`,
      );
      yield chunk;
    }
  };
  return { ...store, read };
}

/** What is printed of the messages. */
type Answer = (messages: AsyncIterable<Recorded>, output: Output, leftOut: LeftOut) => Promise<number>;

interface AnswerValues {
  readonly format?: string | undefined;
  readonly decode: boolean;
  readonly count: boolean;
  readonly 'count-by'?: string | undefined;
  readonly 'latest-per-key': boolean;
  readonly deleted: boolean;
  readonly json: boolean;
}

/** What the options ask for: it prints, and gives how many messages are in it. @throws UsageError */
function answerOption(values: AnswerValues): Answer {
  const { count, 'count-by': countBy, 'latest-per-key': isLatest, deleted, json } = values;
  const format = (values.decode ? DECODED_FORMATS : FORMATS)[values.format ?? 'jsonl'];
  if (format === undefined) throw new UsageError('--format must be jsonl, value or table');
  const isCounting = count || countBy !== undefined;
  if (values.format !== undefined && (isCounting || (json && values.format !== 'jsonl')))
    throw new UsageError('--format is for records: leave it out with --count, --count-by and --json');
  if (countBy !== undefined && (count || isLatest))
    throw new UsageError('--count-by cannot be put together with --count or --latest-per-key');
  if (deleted && !isLatest) throw new UsageError('--deleted is for --latest-per-key');
  const by = countBy === undefined ? undefined : groupByOption(countBy);
  return (messages, output, leftOut) => {
    const asked = isLatest ? latestPerKey(messages, leftOut, deleted) : messages;
    if (by !== undefined) return printCounts(asked, by, output, json);
    return count ? printCount(asked, output, json) : print(asked, format, output);
  };
}

/** What else there is to know. */
function notesOn({ keyless, deleted }: LeftOut, unread: number): string[] {
  const notes: string[] = [];
  if (keyless > 0) notes.push(`left out: ${counted(keyless, 'message')} without a key`);
  if (deleted > 0) notes.push(`deleted: ${counted(deleted, 'key')} whose last value is null or empty`);
  if (unread > 0) notes.push(`not in it: ${rawText(unread, 0)}`);
  return notes;
}

const noKeyIsLeft = ({ keyless, deleted }: LeftOut): BackupError =>
  deleted > 0
    ? new BackupError('config', `nothing found: the last value of every key (${deleted}) is null or empty`, {
        hint: '--deleted prints the records that deleted them.',
      })
    : new BackupError('config', `nothing found: none of ${keyless} selected messages has a key`, {
        hint: 'Leave out --latest-per-key.',
      });

/** Prints them, and gives how many. */
async function print(messages: AsyncIterable<Recorded>, format: Format, output: Output): Promise<number> {
  let count = 0;
  try {
    for await (const one of messages) {
      if (count++ === 0 && format.head !== undefined) await output.write(format.head);
      const writing = output.write(format.line(one));
      if (writing !== undefined) await writing;
      if (output.isGone) return count;
    }
  } finally {
    // What came before a damaged object is good.
    await output.flush();
  }
  return count;
}
