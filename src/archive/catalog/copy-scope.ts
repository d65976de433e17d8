// The scope of a copy: a note for each complete `archive copy`, since the unchanged manifests list more objects than
// the copy has. Objects that no note selects were left out and are not lost. A note does not apply to objects stored
// after the copy.
import { dateOf, parseObjectKey } from '../../format/object-key.ts';
import { formatMessageId, formatTime, parseMessageId, parseTime } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { readWhole } from '../../format/stored-object.ts';
import type { CallOptions, MessageId, ObjectStore } from '../../ports.ts';
import type { ArchiveObject } from './catalog.ts';
import { mayBeWithin, pathOf } from './manifest-content.ts';
import { factsOf, fullTopic } from './object-facts.ts';
import { mayHold, type Selection } from './selection.ts';
import type { ObjectOfRun } from './stored-time.ts';

/** The `format` of a note. */
export const COPY_FORMAT = 'tdmq-backup-copy/1';
/** Where notes are, below the prefix. */
export const COPIES = '_copies/';
const DAY_MS = 86_400_000;

/** What was copied; times and ids as records have them, absent where nothing bounds them. */
export interface CopiedSelection {
  /** Full names; absent: all topics. */
  readonly topics?: readonly string[];
  readonly partitions?: readonly number[];
  readonly from?: string;
  readonly until?: string;
  readonly fromId?: string;
  readonly untilId?: string;
}

/** Written by `archive copy` at the target when everything is copied. */
export interface CopyNote {
  readonly format: typeof COPY_FORMAT;
  /** Bucket and prefix, or the folder, that it was copied from. */
  readonly source: string;
  readonly copiedAt: string;
  readonly version: string;
  readonly selection: CopiedSelection;
  /** Objects of records that are at the target, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** UTC days of the runs whose manifests were copied, both included; absent: of all runs. */
  readonly runs?: { readonly from: string; readonly until: string };
  readonly manifests: number;
  /** Where the source was a copy itself: its notes. */
  readonly of?: readonly CopyNote[];
}

/** The notes of a copy together. */
export interface CopyScope {
  readonly notes: readonly CopyNote[];
  /** Whether the object that a manifest names was left out. */
  isLeftOut(object: ManifestObject): boolean;
  /** Whether anything of the partition was copied. */
  hasPartition(topic: string, partition: number): boolean;
  /** Whether the manifests of all runs were copied that began between these times. */
  hasRuns(fromMs: number, untilMs: number): boolean;
}

/** The selection as a note has it. */
export function describeSelection(
  topics: readonly string[] | undefined,
  selection: Selection,
): CopiedSelection {
  const { partitions, fromMs, toMs, fromId, toId } = selection;
  return {
    ...(topics && { topics }),
    ...(partitions && { partitions }),
    ...(fromMs !== undefined && { from: formatTime(fromMs) }),
    ...(toMs !== undefined && { until: formatTime(toMs) }),
    ...(fromId && { fromId: idText(fromId) }),
    ...(toId && { untilId: idText(toId) }),
  };
}

/** A note in words: of what, when, and what was selected. */
export function describeCopy({ source, copiedAt, selection, of = [] }: CopyNote): string {
  const { topics, partitions, from, until, fromId, untilId } = selection;
  const parts = [
    topics?.join(', ') ?? 'all topics',
    partitions && `partitions ${partitions.map((one) => (one < 0 ? 'none' : one)).join(', ')}`,
    from && `from ${from}`,
    until && `until ${until}`,
    fromId && `from id ${fromId}`,
    untilId && `until id ${untilId}`,
  ].filter(Boolean);
  const before = of.length === 0 ? '' : `; that was a copy itself: ${of.map(describeCopy).join('; ')}`;
  return `${source}, made at ${copiedAt}: ${parts.join(', ')}${before}`;
}

/** An entry alone means all of its messages. */
const idText = (id: MessageId): string =>
  id.batchIndex > 2 ** 31 ? `${id.ledgerId}:${id.entryId}` : formatMessageId(id);

/**
 * Whether a copy of this selection has the object. `hasRuns`: there are manifests; then an object that none names is
 * copied whatever its time, since nothing at the target would show that it was left out.
 */
export function isCopied(
  object: Pick<ArchiveObject, 'parts' | 'facts' | 'manifest'>,
  selection: Selection,
  hasRuns: boolean,
): boolean {
  const { manifest, parts } = object;
  if (manifest !== undefined) return mayHold(object, selection) && mayBeWithin(manifest, selection);
  if (!hasRuns) return mayHold(object, selection);
  return selection.partitions === undefined || selection.partitions.includes(parts.partition);
}

/** What the notes at `prefix` say; `undefined` where it is no copy. @throws BackupError `store` */
export async function readCopyScope(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
): Promise<CopyScope | undefined> {
  const notes: CopyNote[] = [];
  for await (const { key } of store.list(`${prefix}${COPIES}`, call)) {
    const note = key.endsWith('.json') ? parseNote(await readWhole(store, key, call)) : undefined;
    if (note !== undefined) notes.push(note);
  }
  return notes.length === 0 ? undefined : scopeOf(notes);
}

function parseNote(bytes: Buffer): CopyNote | undefined {
  try {
    const note = JSON.parse(bytes.toString('utf8'));
    return note?.format === COPY_FORMAT && typeof note.selection === 'object' ? note : undefined;
  } catch {
    return undefined;
  }
}

/** The notes as one scope. */
export function scopeOf(notes: readonly CopyNote[]): CopyScope {
  const parsed = notes.map((note) => ({
    copiedMs: Date.parse(note.copiedAt),
    topics: note.selection.topics && new Set(note.selection.topics),
    selection: selectionOf(note.selection),
    of: note.of && scopeOf(note.of),
  }));
  const lastMs = Math.max(...parsed.map(({ copiedMs }) => copiedMs));
  const isOf = (topics: ReadonlySet<string> | undefined, topic: string) => topics?.has(topic) !== false;
  return {
    notes,
    isLeftOut(object) {
      const parts = parseObjectKey('', pathOf(object.key));
      if (parts === undefined || storedMs(object) > lastMs) return false;
      const named = { parts, facts: factsOf(parts, object, undefined), manifest: object };
      const topic = fullTopic(parts);
      return !parsed.some(({ topics, selection }) => isOf(topics, topic) && isCopied(named, selection, true));
    },
    hasPartition: (topic, partition) =>
      parsed.some(
        ({ topics, selection: { partitions }, of }) =>
          isOf(topics, topic) &&
          partitions?.includes(partition) !== false &&
          of?.hasPartition(topic, partition) !== false,
      ),
    hasRuns(fromMs, untilMs) {
      if (untilMs > lastMs && fromMs > lastMs) return true;
      for (let ms = Date.parse(dateOf(fromMs)); ms <= Math.min(untilMs, lastMs); ms += DAY_MS) {
        const date = dateOf(ms);
        const isIn = ({ runs }: CopyNote, i: number) =>
          (runs === undefined || (date >= runs.from && date <= runs.until)) &&
          parsed[i]?.of?.hasRuns(ms, ms) !== false;
        if (!notes.some(isIn)) return false;
      }
      return true;
    },
  };
}

/** When the object was stored, by its run; else when it was published. */
function storedMs(object: ManifestObject): number {
  const { run } = object as ObjectOfRun;
  return run?.startedMs ?? Number(parseTime(object.firstPublishTime) ?? 0);
}

function selectionOf({ partitions, from, until, fromId, untilId }: CopiedSelection): Selection {
  const entry = (text: string, batchIndex: number): MessageId | undefined => {
    const [ledgerId, entryId, more] = text.split(':').map(Number);
    return more === undefined && Number.isInteger(ledgerId) && Number.isInteger(entryId)
      ? { ledgerId: ledgerId as number, entryId: entryId as number, partition: -1, batchIndex }
      : parseMessageId(text);
  };
  return {
    partitions,
    fromMs: from === undefined ? undefined : Date.parse(from),
    toMs: until === undefined ? undefined : Date.parse(until),
    fromId: fromId === undefined ? undefined : entry(fromId, -1),
    toId: untilId === undefined ? undefined : entry(untilId, Number.MAX_SAFE_INTEGER),
  };
}
