// `tdmq-backup archive cat`: the records of a topic as lines, values or a table, streaming.
import { parseArgs } from 'node:util';
import { expectReadable, listedPart } from '../../archive/archived.ts';
import { streamCatalog } from '../../archive/catalog-stream.ts';
import { nothingOf } from '../../archive/nothing-found.ts';
import { createObjectList, type PartitionObjects } from '../../archive/object-list.ts';
import { rangeBytesFor } from '../../archive/ranged-read.ts';
import { mergeByTime, readInOrder, type StoredMessage } from '../../archive/read-messages.ts';
import { mayHold } from '../../archive/selection.ts';
import { isArchiveClass } from '../../format/contents.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import type { ListedObject, ObjectStore } from '../../ports.ts';
import type { Command, Terminal } from '../command.ts';
import { openOutput } from '../terminal/output.ts';
import { type Progress, startProgress, timeLeft } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { expectWhole, reportDamaged } from './damaged.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, onlyTopic, openLocation } from './location.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

const WIDTHS = [24, 22, 20] as const;

export const command: Command = {
  summary: 'print the records of a topic',
  help: `
Usage: tdmq-backup archive cat [options]

Prints the records of a topic: in the order of each partition, partitions merged by publish time. A message that is
in two objects comes once. Uses the same memory whatever the size; \`| head\` ends it.

  --format FORMAT  jsonl (default): the records as they are stored; value: each payload and a line break; table
  --duplicates     also the copies of messages that are in two objects
  --skip-damaged   go on behind an object that is damaged or gone; each is named, and makes the exit code 1. Without it,
                   printing ends there
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive cat --env-file .env.orders --from 2026-11-23 --until 2026-11-24 --key customer-7
  tdmq-backup archive cat --folder ./copy --topic t/ns/orders --format value | head
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        format: { type: 'string', default: 'jsonl' },
        duplicates: { type: 'boolean', default: false },
        'skip-damaged': { type: 'boolean', default: false },
      },
    });
    const format = FORMATS[values.format];
    if (format === undefined) throw new UsageError('--format must be jsonl, value or table');
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
        onProgress: (objects) => progress.update(`${objects.toLocaleString('en-US')} objects listed`),
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
      const { missing } = await catalog.surroundings();
      if (selection.storedUntilMs !== undefined && undated > 0) {
        progress.clear();
        terminal.stderr.write(`${undatedText(undated)}\n`);
      }
      const damage = expectWhole({ prefix, missing }, selection, values['skip-damaged'], topic.full);
      await expectReadable(store, archived, { signal });
      const groups = list.partitions();
      const ranges = groups.length > 1 ? { rangeBytes: rangeBytesFor(groups.length) } : {};
      const reading = terminal.stderr.isTTY ? watchReading(store, groups, progress) : store;
      const partitions = groups.map((objects) =>
        readInOrder(reading, objects, selection, {
          signal,
          withDuplicates: values.duplicates,
          onDamaged: damage.onDamaged,
          ...ranges,
        }),
      );
      const count = await print(mergeByTime(partitions), format, terminal, progress.clear);
      progress.clear();
      const code = reportDamaged(damage.damaged, terminal);
      if (count > 0 || code > 0) return code;
      throw await nothingOf(store, prefix, topic, { isLocal, signal });
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

interface Format {
  readonly head?: string;
  readonly line: (one: StoredMessage) => string | Buffer;
}

const FORMATS: Readonly<Record<string, Format>> = {
  jsonl: { line: ({ line }) => `${line}\n` },
  value: { line: ({ message }) => Buffer.concat([message.payload ?? Buffer.alloc(0), Buffer.from('\n')]) },
  table: { head: tableRow('published', 'id', 'key', 'value'), line: tableLine },
};

function tableLine({ message }: StoredMessage): string {
  const { key, payload } = message;
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8', 0, 200);
  return tableRow(
    formatTime(message.publishTimeMs),
    formatMessageId(message.id),
    key === undefined ? '' : typeof key === 'string' ? key : text(key),
    payload === null ? '(null)' : text(payload),
  );
}

function tableRow(...cells: [string, string, string, string]): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would move a terminal's cursor
  const [time, id, key, value] = cells.map((cell) => cell.replace(/[\u0000-\u001f\u007f-\u009f]/g, '·'));
  const inWidth = (cell = '', width = 0) =>
    cell.length > width ? `${cell.slice(0, width - 1)}…` : cell.padEnd(width);
  const [timeWidth, idWidth, keyWidth] = WIDTHS;
  return `${inWidth(time, timeWidth)}  ${inWidth(id, idWidth)}  ${inWidth(key, keyWidth)}  ${(value ?? '').slice(0, 80)}\n`;
}

/** Prints them, and gives how many. */
async function print(
  messages: AsyncIterable<StoredMessage>,
  format: Format,
  terminal: Terminal,
  beforeWriting: () => void,
): Promise<number> {
  const output = openOutput(terminal, beforeWriting);
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
