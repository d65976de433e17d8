// Sums over listed objects by date and partition, and their distribution over time. Memory depends on dates and
// partitions, not on objects.
import type { MessageId, TimeMs } from '../../ports.ts';
import type { ArchiveObject } from './catalog.ts';
import { datedMs } from './object-facts.ts';

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
export interface Span {
  readonly partition: number;
  /** An object with an unknown count counts as one message. */
  messages: number;
  bytes: number;
  firstMs: number;
  /** If the end is not known, the beginning: the chart shows only known times. */
  lastMs: number;
}

/** Sums up the objects of one topic. */
export function createDateGroups() {
  const groups = new Map<string, Map<number, DateGroup>>();
  let spans = new Map<number, Map<number, Span>>();
  let spanCount = 0;
  let spanMs = FIRST_SPAN_MS;

  /** What begins in the same span of time becomes one. */
  function addSpan(
    partition: number,
    messages: number,
    bytes: number,
    firstMs: number,
    lastMs: number,
  ): void {
    let own = spans.get(partition);
    if (own === undefined) {
      own = new Map();
      spans.set(partition, own);
    }
    const number = Math.floor(firstMs / spanMs);
    const span = own.get(number);
    if (span === undefined) {
      own.set(number, { partition, messages, bytes, firstMs, lastMs });
      spanCount++;
      return;
    }
    span.messages += messages;
    span.bytes += bytes;
    if (firstMs < span.firstMs) span.firstMs = firstMs;
    if (lastMs > span.lastMs) span.lastMs = lastMs;
  }

  function addToSpans({ parts, facts, sizeBytes }: ArchiveObject): void {
    const [first, last] = [datedMs(facts.firstPublishTimeMs), datedMs(facts.lastPublishTimeMs)];
    const firstMs = first ?? last;
    if (firstMs === undefined) return;
    addSpan(parts.partition, facts.messages ?? 1, sizeBytes, firstMs, Math.max(firstMs, last ?? firstMs));
    if (spanCount <= MAX_SPANS) return;
    spanMs *= 2;
    const narrow = spans;
    spans = new Map();
    spanCount = 0;
    for (const own of narrow.values())
      for (const { partition, messages, bytes, firstMs, lastMs } of own.values())
        addSpan(partition, messages, bytes, firstMs, lastMs);
  }

  return {
    add(object: ArchiveObject): void {
      const { topic, parts, facts, sizeBytes } = object;
      let ofDate = groups.get(parts.date);
      if (ofDate === undefined) {
        ofDate = new Map();
        groups.set(parts.date, ofDate);
      }
      let group = ofDate.get(parts.partition);
      if (group === undefined) {
        const sums = { objects: 0, bytes: 0, messages: 0, unknown: 0, recordBytes: 0 };
        const { firstId, firstPublishTimeMs, lastId, lastPublishTimeMs } = facts;
        const ends = { firstId, firstPublishTimeMs, lastId, lastPublishTimeMs };
        group = { topic, date: parts.date, partition: parts.partition, ...sums, ...ends };
        ofDate.set(parts.partition, group);
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
      [...groups.values()]
        .flatMap((ofDate) => [...ofDate.values()])
        .sort((a, b) => (a.date === b.date ? a.partition - b.partition : a.date < b.date ? -1 : 1)),
    /** What is in the same short span of time as if it were one object, for coverageOf. */
    spans: (): Span[] => [...spans.values()].flatMap((own) => [...own.values()]),
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
