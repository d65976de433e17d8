// Objects of one partition that overlap: finds messages in two objects, and compares their content.
import { createHash } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import { compareEntries, formatEntry } from '../../format/entry-order.ts';
import { compareMessageIds, decodeRecord, encodeRecord, formatMessageId } from '../../format/record.ts';
import { isGone, readLines } from '../../format/stored-object.ts';
import { countLeading } from '../../lib/count-leading.ts';
import type { CallOptions, Message, MessageId, ObjectStore } from '../../ports.ts';
import { damage, type Finding, notice } from '../finding.ts';
import type { ObjectRange } from './object-ranges.ts';

/** By the ends of objects, in order: which seem to be in each other, and what is left out of an entry that was split. */
export function* verifyEnds(objects: Iterable<ObjectRange>): Generator<Finding> {
  let before: ObjectRange | undefined;
  let reached: MessageId | undefined;
  // Where nobody says how far an object reaches, it has its first message at least.
  let isOpen = false;
  for (const object of objects) {
    const { first, last } = object;
    if (before !== undefined && reached !== undefined) {
      if (compareMessageIds({ ...reached, batchIndex: Math.max(0, reached.batchIndex) }, first) >= 0) {
        // An entry that was recovered is where the run left it out.
        if (object.isRecovered) continue;
        const detail = `it begins at ${formatMessageId(first)}, and ${before.key} reaches to ${formatMessageId(reached)}`;
        yield notice(object.key, 'overlap', detail);
      } else if (
        !isOpen &&
        compareEntries(reached, first) === 0 &&
        first.batchIndex > reached.batchIndex + 1
      ) {
        const detail = `messages ${reached.batchIndex + 1} to ${first.batchIndex - 1} of entry ${formatEntry(first)} are in no object`;
        yield notice(object.key, 'gap', detail);
      }
    }
    if (reached !== undefined && compareMessageIds(last ?? first, reached) <= 0) continue;
    before = object;
    reached = last ?? first;
    isOpen = last === undefined;
  }
}

/** An object that later ones may overlap. */
interface Open {
  readonly object: ObjectRange;
  readonly last: MessageId;
  /** Counts the objects as they come: findings are in this order. */
  readonly number: number;
  /** Of its messages; `undefined`: it was not read, since it overlaps none so far. */
  ids: readonly string[] | undefined;
}

/** A message of an open object, and the same one of others. */
interface Holder {
  readonly of: Open;
  readonly digest: string;
  next: Holder | undefined;
}

/** What an object has in common with another one. */
interface Common {
  equal: number;
  /** The first message that differs. */
  different: string | undefined;
}

/** Reads objects that overlap: equal messages in two of them are duplicates, others are a conflict. @throws BackupError `store` */
export async function compareOverlaps(
  store: ObjectStore,
  objects: Iterable<ObjectRange>,
  call: CallOptions,
): Promise<{ duplicates: number; findings: Finding[] }> {
  const findings: Finding[] = [];
  const holders = new Map<string, Holder>();
  /** In the order of their last messages. */
  const open: Open[] = [];
  let duplicates = 0;
  let number = 0;

  async function read(own: Open): Promise<Map<Open, Common>> {
    const commons = new Map<Open, Common>();
    const records = await recordsOf(store, own.object, call);
    own.ids = [...records.keys()];
    for (const [id, digest] of records) {
      const next = holders.get(id);
      for (let other = next; other !== undefined; other = other.next) {
        const common = commons.get(other.of) ?? { equal: 0, different: undefined };
        commons.set(other.of, common);
        if (other.digest === digest) common.equal++;
        else common.different ??= id;
      }
      holders.set(id, { of: own, digest, next });
    }
    return commons;
  }

  function close(one: Open): void {
    for (const id of one.ids ?? []) {
      let holder = holders.get(id);
      if (holder?.of === one) {
        if (holder.next === undefined) holders.delete(id);
        else holders.set(id, holder.next);
        continue;
      }
      while (holder?.next !== undefined && holder.next.of !== one) holder = holder.next;
      if (holder?.next !== undefined) holder.next = holder.next.next;
    }
  }

  for (const object of objects) {
    const { first, last } = object;
    if (last === undefined) continue;
    const closed = countLeading(open, (one) => compareMessageIds(one.last, first) < 0);
    for (const one of open.splice(0, closed)) close(one);
    const own: Open = { object, last, number: number++, ids: undefined };
    const [before] = open;
    if (before !== undefined) {
      // The only one then: whatever came beside another one was read.
      if (before.ids === undefined) await read(before);
      const commons = [...(await read(own))].sort(([a], [b]) => a.number - b.number);
      for (const [{ object: other }, { equal, different }] of commons) {
        const { key } = object;
        if (equal > 0)
          findings.push(notice(key, 'duplicates', `${equal} of its messages are also in ${other.key}`));
        if (different !== undefined)
          findings.push(damage(key, 'conflict', `message ${different} differs in ${other.key}`));
        duplicates += equal;
      }
    }
    const earlier = countLeading(open, (one) => compareMessageIds(one.last, last) <= 0);
    open.splice(earlier, 0, own);
  }
  return { duplicates, findings };
}

/** A checksum of a message's record, without what drivers may not see. */
export function digestOf(message: Message): string {
  const comparable = { ...message, sequenceId: undefined, schemaVersion: undefined };
  return createHash('sha256').update(encodeRecord(comparable)).digest('base64');
}

/** Checksums of records by id, without what drivers may not see. Lines that are no records were found before. */
async function recordsOf(
  store: ObjectStore,
  object: ObjectRange,
  call: CallOptions,
): Promise<Map<string, string>> {
  const records = new Map<string, string>();
  try {
    for await (const line of readLines(store, object.key, object.compression, call)) {
      try {
        const message = decodeRecord(line);
        records.set(formatMessageId(message.id), digestOf(message));
      } catch {}
    }
  } catch (error) {
    if (!isGone(error) && !(error instanceof BackupError && error.code === 'corrupt')) throw error;
  }
  return records;
}
