// The objects of a topic in message order, in about 44 bytes each. Keeps no other facts; the key is derived from the
// position.
import { COMPRESSIONS, formatObjectKey, type ObjectKeyParts } from '../../format/object-key.ts';
import { compareMessageIds } from '../../format/record.ts';
import type { ArchiveObject } from './catalog.ts';
import { fullTopic } from './object-facts.ts';

/** The objects of a partition, which are read one after the other. */
export interface PartitionObjects {
  readonly partition: number;
  /** Those that were recovered later: their messages are between those of the others. */
  readonly recovered: readonly ArchiveObject[];
  readonly count: number;
  readonly bytes: number;
  /** The others, in order. */
  others(): Iterable<ArchiveObject>;
}

export interface ObjectList {
  add(object: ArchiveObject): void;
  /** By number. */
  partitions(): PartitionObjects[];
}

/** An empty list for the objects of one topic under `prefix`. */
export function createObjectList(prefix: string): ObjectList {
  const columns = new Map<number, ReturnType<typeof createColumns>>();
  return {
    add(object) {
      const { partition } = object.parts;
      let own = columns.get(partition);
      if (own === undefined) {
        own = createColumns(prefix, object.parts);
        columns.set(partition, own);
      }
      own.add(object);
    },
    partitions: () =>
      [...columns].sort(([a], [b]) => a - b).map(([partition, own]) => own.asPartition(partition)),
  };
}

/** What is known of the objects of one partition, by columns. */
function createColumns(prefix: string, sample: ObjectKeyParts) {
  const dates: string[] = [];
  const recovered: ArchiveObject[] = [];
  /** Keys that are written otherwise than today. */
  const oddKeys = new Map<number, string>();
  let places = new Float64Array(3 * 16);
  let sizes = new Float64Array(16);
  /** -1: not known. */
  let messages = new Int32Array(16);
  /** The date, and the compression. */
  let kinds = new Uint32Array(16);
  /** Which of `schemaNames`; 0: none. Most objects have the same. */
  let schemas = new Uint32Array(16);
  const schemaNames: (readonly string[] | undefined)[] = [undefined];
  const schemaPlaces = new Map<string, number>();
  let count = 0;
  let bytes = 0;
  let isSorted = true;

  function grow(): void {
    const larger = <T extends Float64Array | Int32Array | Uint32Array>(
      from: T,
      into: new (length: number) => T,
    ): T => {
      const to = new into(from.length * 2);
      to.set(from);
      return to;
    };
    places = larger(places, Float64Array) as typeof places;
    sizes = larger(sizes, Float64Array) as typeof sizes;
    messages = larger(messages, Int32Array) as typeof messages;
    kinds = larger(kinds, Uint32Array) as typeof kinds;
    schemas = larger(schemas, Uint32Array) as typeof schemas;
  }

  function placeOf(names: readonly string[] | undefined): number {
    if (names === undefined || names.length === 0) return 0;
    const known = schemaPlaces.get(names.join());
    if (known !== undefined) return known;
    schemaPlaces.set(names.join(), schemaNames.length);
    return schemaNames.push(names) - 1;
  }

  function compare(a: number, b: number): number {
    for (let i = 0; i < 3; i++) {
      const difference = (places[a * 3 + i] as number) - (places[b * 3 + i] as number);
      if (difference !== 0) return difference;
    }
    return a - b;
  }

  function partsAt(at: number): ObjectKeyParts {
    const kind = kinds[at] as number;
    return {
      ...sample,
      date: dates[kind >> 2] as string,
      ledgerId: places[at * 3] as number,
      entryId: places[at * 3 + 1] as number,
      batchIndex: places[at * 3 + 2] as number,
      compression: COMPRESSIONS[kind & 3] as ObjectKeyParts['compression'],
    };
  }

  function objectAt(at: number): ArchiveObject {
    const parts = partsAt(at);
    const { ledgerId, entryId, partition, batchIndex } = parts;
    const known = messages[at] as number;
    return {
      key: oddKeys.get(at) ?? formatObjectKey(prefix, parts),
      sizeBytes: sizes[at] as number,
      lastModified: new Date(0),
      parts,
      topic: fullTopic(parts),
      manifest: undefined,
      head: undefined,
      schemas: schemaNames[schemas[at] as number],
      isRecovered: false,
      facts: {
        messages: known < 0 ? undefined : known,
        recordBytes: undefined,
        firstId: { ledgerId, entryId, partition, batchIndex },
        lastId: undefined,
        firstPublishTimeMs: undefined,
        lastPublishTimeMs: undefined,
        earliestPublishTimeMs: undefined,
        latestPublishTimeMs: undefined,
        isSpanKnown: false,
      },
    };
  }

  return {
    add(object: ArchiveObject): void {
      const { key, parts, sizeBytes, facts, isRecovered } = object;
      bytes += sizeBytes;
      if (isRecovered) {
        recovered.push(object);
        return;
      }
      if (count === sizes.length) grow();
      places.set([parts.ledgerId, parts.entryId, parts.batchIndex], count * 3);
      sizes[count] = sizeBytes;
      messages[count] = facts.messages ?? -1;
      schemas[count] = placeOf(object.schemas ?? object.manifest?.schemas);
      if (dates.at(-1) !== parts.date) dates.push(parts.date);
      kinds[count] = ((dates.length - 1) << 2) | COMPRESSIONS.indexOf(parts.compression);
      if (formatObjectKey(prefix, parts) !== key) oddKeys.set(count, key);
      if (count > 0 && compare(count - 1, count) > 0) isSorted = false;
      count++;
    },
    asPartition(partition: number): PartitionObjects {
      const order = isSorted ? undefined : Uint32Array.from({ length: count }, (_, i) => i).sort(compare);
      return {
        partition,
        recovered: recovered.sort((a, b) => compareMessageIds(a.parts, b.parts)),
        count: count + recovered.length,
        bytes,
        *others() {
          for (let i = 0; i < count; i++) yield objectAt(order === undefined ? i : (order[i] as number));
        },
      };
    },
  };
}
