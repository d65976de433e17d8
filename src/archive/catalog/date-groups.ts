// Sums over objects as they are listed: one for each date and partition, and what is where in time. The memory that it
// takes follows dates and partitions, not objects.
import type { MessageId, TimeMs } from '../../ports.ts';
import type { ArchiveObject } from './catalog.ts';
import type { CoveredObject } from './coverage.ts';
import { datesOf } from './object-facts.ts';

/** The objects of a partition that begin on a day. */
export interface DateGroup {
  readonly topic: string;
  readonly date: string;
  readonly partition: number;
  objects: number;
  bytes: number;
  /** Of the objects whose count is known. */
  messages: number;
  /** Objects whose count is not known. */
  unknown: number;
  /** Uncompressed, as far as it is known. */
  recordBytes: number;
  /** Of the first object that came, and of the last one. */
  readonly firstId: MessageId;
  readonly firstPublishTimeMs: TimeMs | undefined;
  lastId: MessageId | undefined;
  lastPublishTimeMs: TimeMs | undefined;
}

/** So many spans of time are distinguished in a partition, all partitions together. */
const MAX_SPANS = 10_000;
const FIRST_SPAN_MS = 60_000;

/** The objects of a partition that begin in a short span of time. */
interface Span {
  readonly topic: string;
  readonly partition: number;
  /** An object of which nobody knows it counts as one message. */
  messages: number;
  bytes: number;
  firstMs: number;
  lastMs: number;
}

/** Sums up the objects of one topic. */
export function createDateGroups() {
  const groups = new Map<string, DateGroup>();
  let spans = new Map<string, Span>();
  let spanMs = FIRST_SPAN_MS;

  /** What begins in the same span of time becomes one. */
  function addSpan(span: Span): void {
    const name = `${span.partition} ${Math.floor(span.firstMs / spanMs)}`;
    const own = spans.get(name);
    if (own === undefined) {
      spans.set(name, span);
      return;
    }
    own.messages += span.messages;
    own.bytes += span.bytes;
    own.firstMs = Math.min(own.firstMs, span.firstMs);
    own.lastMs = Math.max(own.lastMs, span.lastMs);
  }

  function addToSpans({ topic, parts, facts, sizeBytes }: ArchiveObject): void {
    const [firstMs, lastMs = firstMs] = datesOf(facts);
    if (firstMs === undefined || lastMs === undefined) return;
    const { partition } = parts;
    const messages = facts.messages ?? 1;
    addSpan({ topic, partition, messages, bytes: sizeBytes, firstMs, lastMs: Math.max(firstMs, lastMs) });
    if (spans.size <= MAX_SPANS) return;
    spanMs *= 2;
    const narrow = spans;
    spans = new Map();
    for (const one of narrow.values()) addSpan(one);
  }

  return {
    add(object: ArchiveObject): void {
      const { topic, parts, facts, sizeBytes } = object;
      const name = `${parts.date} ${parts.partition}`;
      let group = groups.get(name);
      if (group === undefined) {
        const sums = { objects: 0, bytes: 0, messages: 0, unknown: 0, recordBytes: 0 };
        const { firstId, firstPublishTimeMs, lastId, lastPublishTimeMs } = facts;
        const ends = { firstId, firstPublishTimeMs, lastId, lastPublishTimeMs };
        group = { topic, date: parts.date, partition: parts.partition, ...sums, ...ends };
        groups.set(name, group);
      }
      group.objects++;
      group.bytes += sizeBytes;
      if (facts.messages === undefined) group.unknown++;
      group.messages += facts.messages ?? 0;
      group.recordBytes += facts.recordBytes ?? 0;
      group.lastId = facts.lastId;
      group.lastPublishTimeMs = facts.lastPublishTimeMs;
      addToSpans(object);
    },
    /** By date and partition. */
    groups: (): DateGroup[] =>
      [...groups.values()].sort((a, b) =>
        a.date === b.date ? a.partition - b.partition : a.date < b.date ? -1 : 1,
      ),
    /** What is in the same short span of time as if it were one object, for coverageOf. */
    spans: (): CoveredObject[] =>
      [...spans.values()].map(({ topic, partition, messages, bytes, firstMs, lastMs }) => ({
        topic,
        sizeBytes: bytes,
        parts: { partition },
        facts: { messages, firstPublishTimeMs: firstMs, lastPublishTimeMs: lastMs },
      })),
  };
}

/** Sums over groups. */
export function sumGroups(groups: readonly DateGroup[]) {
  const sum = { objects: 0, bytes: 0, messages: 0, unknown: 0, recordBytes: 0 };
  for (const one of groups) {
    sum.objects += one.objects;
    sum.bytes += one.bytes;
    sum.messages += one.messages;
    sum.unknown += one.unknown;
    sum.recordBytes += one.recordBytes;
  }
  return sum;
}
