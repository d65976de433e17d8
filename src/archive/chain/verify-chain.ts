// The findings of the chain: missing and changed manifests, and for each partition the entries that are in no object,
// with the reason.
import { compareEntries, formatEntry } from '../../format/entry-order.ts';
import { formatTime, parseMessageId } from '../../format/record.ts';
import type { EntryId } from '../../ports.ts';
import { partitionName, type Surroundings } from '../catalog/catalog.ts';
import type { CopyScope } from '../catalog/copy-scope.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import type { PassedOver } from '../catalog/manifest-link.ts';
import type { ObjectRange, PartitionRanges } from '../catalog/object-ranges.ts';
import { damage, type Finding, notice } from '../finding.ts';
import { emptyDays } from './empty-days.ts';
import type { Chain, PartitionChain } from './follow-runs.ts';
import { findGaps, type Gap, justBefore } from './gaps.ts';
import type { EntryRange } from './marked-ranges.ts';

/** How one partition came out. */
export interface PartitionResult {
  readonly topic: string;
  readonly partition: number;
  /** Between which entries runs say where the subscription was; absent where none does. */
  readonly followed?: { readonly after: string; readonly through: string };
  /** Entries at most that the subscription lost, and in how many places; `undefined` where ids do not report it. */
  readonly passedOver: { readonly places: number; readonly entries: number };
  /** Ids that have no message: markers, aborted transactions, chunks, compaction. */
  readonly withoutMessage: { readonly places: number; readonly entries: number };
  readonly lost: { readonly places: number; readonly entries: number };
  /** In no object, without an explanation by a run. */
  readonly unknown: { readonly places: number; readonly entries: number };
}

/** How far the runs could be followed. */
export interface ChainSummary {
  /** Manifests of runs, and how many of them say where the subscription was. */
  readonly manifests: number;
  readonly followed: number;
  /** When the first and the last of these runs began. */
  readonly from?: string;
  readonly until?: string;
  /** The newest manifest of each rule. What came after it and is gone, only a later run or an earlier report can show. */
  readonly heads: readonly {
    readonly rule: string;
    readonly key: string;
    readonly sha256: string;
    readonly startedAt: string;
  }[];
}

/** The chain as a report has it. */
export function summariseChain({ manifests, followed, fromMs, untilMs, heads }: Chain): ChainSummary {
  return {
    ...{ manifests, followed },
    ...(fromMs !== undefined && { from: formatTime(fromMs) }),
    ...(untilMs !== undefined && { until: formatTime(untilMs) }),
    heads: heads.map(({ startedAtMs, ...head }) => ({ ...head, startedAt: formatTime(startedAtMs) })),
  };
}

export interface ChainVerification {
  readonly findings: readonly Finding[];
  readonly partitions: readonly PartitionResult[];
}

/** What a copy is without, and is not lost. */
export interface LeftOut {
  readonly scope: CopyScope;
  /** Named by the copy's manifests, by `topic partition`. */
  readonly ranges: ReadonlyMap<string, readonly EntryRange[]>;
}

/** Joins what the runs say with what is stored. `beginsLater`: objects before the first ones were not looked at. */
export function verifyChain(
  stored: PartitionRanges,
  { raw, missing }: Pick<Surroundings, 'raw' | 'missing'>,
  chain: Chain,
  leftOut?: LeftOut,
  beginsLater = false,
): ChainVerification {
  const findings: Finding[] = [...verifyManifests(chain)];
  const partitions: PartitionResult[] = [];
  const known = new Map<string, EntryRange[]>();
  const add = (topic: string, partition: number, first: EntryId, last: EntryId) => {
    const name = partitionName(topic, partition);
    const own = known.get(name) ?? [];
    known.set(name, own);
    own.push({ after: justBefore(first), through: last });
  };
  for (const { topic, partition, id } of raw) add(topic, partition, id, id);
  for (const { key, partition, firstId, lastId } of missing) {
    const [tenant, namespace, topic] = pathOf(key).split('/');
    const [first, last] = [parseMessageId(firstId), parseMessageId(lastId)];
    if (first && last) add(`persistent://${tenant}/${namespace}/${topic}`, partition, first, last);
  }
  for (const name of [...new Set([...stored.keys(), ...chain.partitions.keys()])]) {
    const own = stored.get(name);
    const chains = chain.partitions.get(name) ?? [];
    const { topic, partition } = (own ?? chains[0]) as { topic: string; partition: number };
    if (own === undefined && leftOut?.scope.hasPartition(topic, partition) === false) continue;
    const objects = () => own?.inOrder() ?? [];
    const { gaps: found, withoutMessage } = findGaps(
      objects(),
      [...(known.get(name) ?? []), ...(leftOut?.ranges.get(name) ?? [])],
      chains,
      chain.missing.filter((one) => one.topic === undefined || one.topic === topic),
      beginsLater,
    );
    // What is between runs whose manifests were not copied was left out too.
    const isCopied = ({ hole }: Gap) =>
      hole === undefined || leftOut?.scope.hasRuns(hole.from.startedAtMs, hole.to.startedAtMs) !== false;
    const gaps = found.filter(isCopied);
    const ofPartition = [
      gapFindings(gaps, topic, partition),
      emptyDays(objects()),
      unlisted(objects(), chains),
    ];
    // One by one: there may be more than a call takes arguments.
    for (const some of ofPartition) for (const one of some) findings.push(one);
    const count = (cause: Gap['cause']) => sumOf(gaps.filter((gap) => gap.cause === cause));
    const { ranges: followed } = chains[0]?.acknowledged ?? { ranges: [] };
    const [first, last] = [followed[0], followed.at(-1)];
    partitions.push({
      ...{ topic, partition, withoutMessage },
      ...(first &&
        last && { followed: { after: formatEntry(first.after), through: formatEntry(last.through) } }),
      ...{ passedOver: count('passed-over'), lost: count('lost'), unknown: count('unknown') },
    });
  }
  return { findings, partitions };
}

const sumOf = (gaps: readonly Gap[]) => ({
  places: gaps.length,
  entries: gaps.reduce((sum, gap) => sum + (gap.passedOver?.entriesAtMost ?? gap.entries), 0),
});

function* verifyManifests({ missing, changed, misnamed }: Chain): Generator<Finding> {
  for (const { key, namedBy, afterMs } of missing) {
    const between =
      afterMs === undefined
        ? ''
        : `; what runs left between ${formatTime(afterMs)} and that one may be gone as well`;
    yield damage(key, 'manifest', `it is not there, and ${namedBy} has seen it${between}`);
  }
  for (const { key, sum, expected, namedBy } of changed)
    yield damage(key, 'manifest', `it was changed: its ${sum}, and ${namedBy} has seen ${expected}`);
  for (const { key, run, isCopy } of misnamed)
    if (isCopy)
      yield notice(key, 'manifest', `it is a copy of the manifest of the run ${run}, under another name`);
    else yield damage(key, 'manifest', `it was replaced or renamed: by its content it is of the run ${run}`);
}

function* gapFindings(gaps: readonly Gap[], topic: string, partition: number): Generator<Finding> {
  const name = partition < 0 ? topic : `${topic}-partition-${partition}`;
  const named = new Set<PassedOver>();
  for (const gap of gaps) {
    const key = (gap.behind ?? gap.before)?.key ?? gap.hole?.to.key ?? name;
    // What is at the end of a ledger that is gone, ids do not report.
    const many = gap.entries === 0 ? 'entries, or none,' : countText(gap.entries);
    const entries = `${many} between ${formatEntry(gap.range.after)} and ${formatEntry(next(gap.range.through))}`;
    if (gap.passedOver !== undefined) {
      if (named.has(gap.passedOver)) continue;
      named.add(gap.passedOver);
      yield passedOverFinding(gap.passedOver, name);
    } else if (gap.cause === 'lost')
      yield damage(
        key,
        'lost',
        `${entries} of ${name} were acknowledged and are in no object: ${lostText(gap)}`,
      );
    else if (gap.hole !== undefined)
      yield notice(
        key,
        'gap',
        `${entries} of ${name} are in no object, and no run says why: ${lostText(gap)}`,
      );
    else
      yield notice(
        key,
        'gap',
        `${entries} are in no object (a lost object, or chunks, markers, expired or skipped messages)`,
      );
  }
}

function passedOverFinding({ key, from, to, entriesAtMost, startedAtMs }: PassedOver, name: string): Finding {
  const many = entriesAtMost === undefined ? 'entries' : `${countText(entriesAtMost)} at most`;
  return notice(
    key,
    'passed-over',
    `${many} between ${formatEntry(from)} and ${formatEntry(next(to))} of ${name} were never stored: by ${formatTime(startedAtMs)} the subscription had passed over them (TTL, backlog quota, skip, reset, or made anew)`,
  );
}

function lostText({ hole, missing }: Gap): string {
  if (hole === undefined) return 'the manifest of a run that may have stored them is gone, or was changed';
  const between = `between the runs of ${formatTime(hole.from.startedAtMs)} and ${formatTime(hole.to.startedAtMs)}`;
  if (missing !== undefined) return `${between}, where ${missing.key} is missing too`;
  return hole.to.hasCompared
    ? `${between}; the later one found nothing passed over`
    : `${between}, which nobody compared`;
}

/** A run that is at work, or was killed, has no manifest. Neither has one whose manifest was removed since. */
function* unlisted(objects: Iterable<ObjectRange>, chains: readonly PartitionChain[]): Generator<Finding> {
  const ends = chains.flatMap(({ acknowledged }) => acknowledged.ranges.at(-1)?.through ?? []);
  if (ends.length === 0) return;
  let count = 0;
  let begin: string | undefined;
  for (const object of objects) {
    if (object.isListed || ends.some((end) => compareEntries(object.first, end) <= 0)) continue;
    begin ??= object.key;
    count++;
  }
  if (begin !== undefined)
    yield notice(
      begin,
      'unlisted',
      `${count} objects from here on are behind the newest manifest: of a run that is at work or was killed, or whose manifest was removed`,
    );
}

const countText = (entries: number): string =>
  entries === 1 ? '1 entry' : `${entries.toLocaleString('en-US')} entries`;

const next = ({ ledgerId, entryId }: EntryId): EntryId => ({ ledgerId, entryId: entryId + 1 });
