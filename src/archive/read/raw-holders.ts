// Finds the objects that may contain the messages of a raw entry, by the ends of objects. Called for many entries, so
// it checks as few objects as possible. Reads nothing.
import { compareEntries, formatEntry } from '../../format/entry-order.ts';
import { compareMessageIds } from '../../format/record.ts';
import type { EntryId, MessageId } from '../../ports.ts';
import { partitionName } from '../catalog/catalog.ts';
import type { ObjectRange, PartitionRanges } from '../catalog/object-ranges.ts';

/** An object, and the partition that it is in. */
export interface Holder extends Pick<ObjectRange, 'key' | 'compression' | 'first' | 'isListed'> {
  readonly topic: string;
  readonly partition: number;
}

interface Ordered {
  readonly objects: readonly ObjectRange[];
  /** How far the objects up to this one reach, of those of which it is known. */
  readonly reach: readonly (MessageId | undefined)[];
  /** Of those of which it is not known: which of the wanted entries they hold. */
  readonly byEntry: ReadonlyMap<string, readonly ObjectRange[]>;
}

/** `readEntries` gives the wanted entries in an object of which nobody knows its end; it is read once. */
export function createRawHolders(
  partitions: PartitionRanges,
  readEntries: (holder: Holder) => Promise<Iterable<EntryId>>,
) {
  const ordered = new Map<string, Promise<Ordered>>();

  async function order(name: string): Promise<Ordered> {
    const objects = [...(partitions.get(name)?.inOrder() ?? [])];
    const reach: (MessageId | undefined)[] = [];
    const byEntry = new Map<string, ObjectRange[]>();
    let furthest: MessageId | undefined;
    for (const object of objects) {
      const { last } = object;
      if (last !== undefined && (furthest === undefined || compareMessageIds(last, furthest) > 0))
        furthest = last;
      reach.push(furthest);
      if (last !== undefined) continue;
      for (const id of await readEntries(holderOf(name, object))) {
        const entry = formatEntry(id);
        byEntry.set(entry, [...(byEntry.get(entry) ?? []), object]);
      }
    }
    return { objects, reach, byEntry };
  }

  const holderOf = (name: string, { key, compression, first, isListed }: ObjectRange): Holder => {
    const { topic, partition } = partitions.get(name) as { topic: string; partition: number };
    return { key, compression, first, isListed, topic, partition };
  };

  /** Objects that begin with the message's entry, or begin before it and reach beyond it; in order. */
  return async (topic: string, partition: number, id: MessageId): Promise<Holder[]> => {
    const name = partitionName(topic, partition);
    let reading = ordered.get(name);
    if (reading === undefined) {
      reading = order(name);
      ordered.set(name, reading);
    }
    const { objects, reach, byEntry } = await reading;
    let behind = objects.length;
    for (let from = 0; from < behind; ) {
      const middle = (from + behind) >> 1;
      if (compareEntries((objects[middle] as ObjectRange).first, id) <= 0) from = middle + 1;
      else behind = middle;
    }
    const found = new Set(byEntry.get(formatEntry(id)) ?? []);
    for (let at = behind - 1; at >= 0; at--) {
      const object = objects[at] as ObjectRange;
      const { first, last } = object;
      const isIn = last !== undefined && compareMessageIds(last, id) >= 0;
      if (compareEntries(first, id) === 0 || (isIn && compareMessageIds(first, id) <= 0)) found.add(object);
      else if (reach[at] === undefined || compareMessageIds(reach[at] as MessageId, id) < 0) break;
    }
    return [...found].sort((a, b) => compareMessageIds(a.first, b.first)).map((one) => holderOf(name, one));
  };
}
