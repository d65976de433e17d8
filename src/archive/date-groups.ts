// Sums over objects as they are listed: one for each date and partition, and what lies where in time. The memory that it
// takes follows dates and partitions, not objects.
import type { ArchiveObject } from './catalog.ts';
import { datesOf } from './coverage.ts';

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
  readonly first: ArchiveObject;
  last: ArchiveObject;
}

/** So many spans of time are told apart in a partition, all partitions together. */
const MAX_SPANS = 10_000;
const FIRST_SPAN_MS = 60_000;

/** Sums up the objects of one topic. */
export function createDateGroups() {
  const groups = new Map<string, DateGroup>();
  let spans = new Map<string, ArchiveObject>();
  let spanMs = FIRST_SPAN_MS;

  const spanOf = ({ parts, facts }: ArchiveObject) => {
    const [startMs] = datesOf(facts);
    return startMs === undefined ? undefined : `${parts.partition} ${Math.floor(startMs / spanMs)}`;
  };

  /** As if all of a short span were one object. */
  function addToSpan(into: Map<string, ArchiveObject>, object: ArchiveObject): void {
    const name = spanOf(object);
    if (name === undefined) return;
    const own = into.get(name);
    into.set(name, own === undefined ? object : joined(own, object));
  }

  return {
    add(object: ArchiveObject): void {
      const { topic, parts, facts, sizeBytes } = object;
      const name = `${parts.date} ${parts.partition}`;
      let group = groups.get(name);
      if (group === undefined) {
        const sums = { objects: 0, bytes: 0, messages: 0, unknown: 0, recordBytes: 0 };
        group = { topic, date: parts.date, partition: parts.partition, ...sums, first: object, last: object };
        groups.set(name, group);
      }
      group.objects++;
      group.bytes += sizeBytes;
      if (facts.messages === undefined) group.unknown++;
      group.messages += facts.messages ?? 0;
      group.recordBytes += facts.recordBytes ?? 0;
      group.last = object;
      addToSpan(spans, object);
      if (spans.size <= MAX_SPANS) return;
      spanMs *= 2;
      const wider = new Map<string, ArchiveObject>();
      for (const one of spans.values()) addToSpan(wider, one);
      spans = wider;
    },
    /** By date and partition. */
    groups: (): DateGroup[] =>
      [...groups.values()].sort((a, b) =>
        a.date === b.date ? a.partition - b.partition : a.date < b.date ? -1 : 1,
      ),
    /** What lies in the same short span of time as if it were one object, for coverageOf. */
    spans: (): ArchiveObject[] => [...spans.values()],
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

function joined(a: ArchiveObject, b: ArchiveObject): ArchiveObject {
  const ends = [...datesOf(a.facts), ...datesOf(b.facts)];
  return {
    ...a,
    sizeBytes: a.sizeBytes + b.sizeBytes,
    facts: {
      ...a.facts,
      // An object of which nobody knows it counts as one message.
      messages: (a.facts.messages ?? 1) + (b.facts.messages ?? 1),
      firstPublishTimeMs: Math.min(...ends),
      lastPublishTimeMs: Math.max(...ends),
    },
  };
}
