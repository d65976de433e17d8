// Objects of one partition whose messages may be the same: nothing is in two of them, and what is has the same content.
import { createHash } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import { compareEntries, formatEntry } from '../../format/entry-order.ts';
import { compareMessageIds, decodeRecord, encodeRecord, formatMessageId } from '../../format/record.ts';
import { isGone, readLines } from '../../format/stored-object.ts';
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

/** Reads objects that overlap: equal messages in two of them are duplicates, others are a conflict. @throws BackupError `store` */
export async function compareOverlaps(
  store: ObjectStore,
  objects: Iterable<ObjectRange>,
  call: CallOptions,
): Promise<{ duplicates: number; findings: Finding[] }> {
  const findings: Finding[] = [];
  let duplicates = 0;
  let open: { object: ObjectRange; last: MessageId; records: Map<string, string> | undefined }[] = [];
  for (const object of objects) {
    const { first: least, last } = object;
    if (last === undefined) continue;
    open = open.filter((one) => compareMessageIds(one.last, least) >= 0);
    let records: Map<string, string> | undefined;
    for (const one of open) {
      one.records ??= await recordsOf(store, one.object, call);
      records ??= await recordsOf(store, object, call);
      let equal = 0;
      let first: string | undefined;
      for (const [id, record] of records) {
        const other = one.records.get(id);
        if (other === undefined) continue;
        if (other === record) equal++;
        else first ??= id;
      }
      if (equal > 0)
        findings.push(
          notice(object.key, 'duplicates', `${equal} of its messages are also in ${one.object.key}`),
        );
      if (first !== undefined)
        findings.push(damage(object.key, 'conflict', `message ${first} differs in ${one.object.key}`));
      duplicates += equal;
    }
    open.push({ object, last, records });
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
