// Groups messages: counts per group, and the last message of each key. Any number of groups in limited memory. Keys
// and properties are compared byte by byte.
import { decodeRecord, formatTime, isDate } from '../../format/record.ts';
import type { Message, Text } from '../../ports.ts';
import type { StoredMessage } from './read-messages.ts';
import { createSpilledGroups } from './spilled-groups.ts';

/** What messages are counted by. */
export type GroupBy =
  | { readonly kind: 'key' | 'partition' | 'hour' }
  | { readonly kind: 'property'; readonly name: string };

/** What the messages of a group have: `undefined` where it is that they have none. Partitions are numbers, -1 for none. */
export type Group = Text | number | undefined;

/** A record and its message. */
export type Recorded = Pick<StoredMessage, 'message' | 'line'>;

const HOUR_MS = 3_600_000;

/** How many messages there are of each group: partitions by number, the others by their text, and binary ones last. */
export async function* countBy(
  messages: AsyncIterable<Recorded>,
  by: GroupBy,
): AsyncGenerator<{ readonly group: Group; readonly messages: number }, void, undefined> {
  const groups = createSpilledGroups<number>({
    combine: (a, b) => a + b,
    sizeOf: () => 8,
    write: String,
    read: Number,
  });
  try {
    for await (const { message } of messages) {
      const adding = groups.add(nameOf(groupOf(message, by)), 1);
      if (adding !== undefined) await adding;
    }
    for await (const [name, count] of groups.entries()) yield { group: groupNamed(name), messages: count };
  } finally {
    await groups.close();
  }
}

function groupOf(message: Message, by: GroupBy): Group {
  if (by.kind === 'key') return message.key;
  if (by.kind === 'partition') return message.id.partition;
  if (by.kind === 'property') return message.properties.find(([name]) => name === by.name)?.[1];
  const { publishTimeMs } = message;
  return isDate(publishTimeMs) ? formatTime(publishTimeMs - (publishTimeMs % HOUR_MS)) : undefined;
}

/** A text for each group, in the order of groups. */
function nameOf(group: Group): string {
  if (group === undefined) return '0';
  if (typeof group === 'number') return `1${String(group + 1).padStart(16, '0')}`;
  return typeof group === 'string' ? `2${group}` : `3${Buffer.from(group).toString('base64')}`;
}

function groupNamed(name: string): Group {
  const rest = name.slice(1);
  if (name[0] === '0') return undefined;
  if (name[0] === '1') return Number(rest) - 1;
  return name[0] === '2' ? rest : Buffer.from(rest, 'base64');
}

/** What was left out of the last messages of keys. */
export interface LeftOut {
  /** Messages without a key. */
  keyless: number;
  /** Keys whose last message has no value. */
  deleted: number;
}

/**
 * The last message of each key in the order in which they come; by key. As in a topic that Pulsar has compacted, a key
 * whose last message has a null or empty value is deleted: it comes only `withDeleted`.
 */
export async function* latestPerKey(
  messages: AsyncIterable<Recorded>,
  leftOut: LeftOut,
  withDeleted: boolean,
): AsyncGenerator<Recorded, void, undefined> {
  const groups = createSpilledGroups<string>({
    combine: (_, later) => later,
    sizeOf: (line) => 2 * line.length,
    write: (line) => line,
    read: (line) => line,
  });
  try {
    for await (const { message, line } of messages) {
      if (message.key === undefined) {
        leftOut.keyless++;
        continue;
      }
      const adding = groups.add(nameOf(message.key), line);
      if (adding !== undefined) await adding;
    }
    for await (const [, line] of groups.entries()) {
      const message = decodeRecord(line);
      const isDeleted = message.payload === null || message.payload.length === 0;
      if (isDeleted) leftOut.deleted++;
      if (withDeleted || !isDeleted) yield { message, line };
    }
  } finally {
    await groups.close();
  }
}
