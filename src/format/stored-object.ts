// Examines an object found at a key: whether it begins like our file, and where it ends. Reads its metadata, and the
// object itself if the metadata is not enough. Never guesses, and never accepts a damaged object as stored.
import { createHash } from 'node:crypto';
import { BackupError } from '../errors.ts';
import type { CallOptions, Message, MessageId, ObjectHead, ObjectStore } from '../ports.ts';
import { decompress } from './compression.ts';
import { createEndCheck } from './end-mark.ts';
import type { Compression } from './object-key.ts';
import { decodeRecord, formatMessageId, formatTime, parseMessageId, RECORD_FORMAT } from './record.ts';

/** What to do about a damaged object whose metadata has its SHA-256. */
export const DAMAGED_HINT =
  'Nothing of it was acknowledged, and no run takes it for stored: its messages are still in the subscription. Keep a copy if you want to look into it, remove the object, then run again with the same file limits.';

/** The size of the first read at an uncompressed object's end; doubled until it contains a whole record. */
const TAIL_BYTES = 65_536;

/**
 * Checks that the object begins with this message. @throws BackupError `config` with the key: another archive uses
 * this prefix.
 */
export function assertBeginsWith(head: ObjectHead, first: Pick<Message, 'id' | 'publishTimeMs'>): void {
  const { metadata } = head;
  const isOurs = metadata['format'] === RECORD_FORMAT;
  const id = formatMessageId(first.id);
  const publishTime = formatTime(first.publishTimeMs);
  if (isOurs && metadata['first-id'] === id && metadata['first-publish-time'] === publishTime) return;
  const what = isOurs
    ? `it begins with message ${metadata['first-id']} published ${metadata['first-publish-time']}, not with ${id} published ${publishTime}`
    : `it is no object of ${RECORD_FORMAT}`;
  throw new BackupError('config', `another archive lives at this prefix: ${head.key} exists and ${what}`, {
    hint: 'Give the rule a COS_PREFIX of its own (or move the other objects away). Nothing was replaced or acknowledged.',
    details: { key: head.key },
  });
}

/**
 * Checks that the object has the SHA-256 of its metadata; objects of one PUT have one there. `expected`: the
 * checksum of bytes that are known to be right, which saves reading the object if it has the same.
 * @throws BackupError `corrupt` that names the key
 */
export async function assertIntact(
  store: ObjectStore,
  head: ObjectHead,
  expected: string,
  options: CallOptions,
): Promise<void> {
  const meant = head.metadata['sha256'];
  if (meant === undefined || head.crc64 === expected) return;
  const hash = createHash('sha256');
  for await (const chunk of store.read(head.key, options)) hash.update(chunk);
  const found = hash.digest('hex');
  if (found === meant) return;
  throw new BackupError(
    'corrupt',
    `${head.key} is damaged in the store: its SHA-256 is ${found}, and by its metadata it should be ${meant}`,
    { hint: DAMAGED_HINT, details: { key: head.key } },
  );
}

/** The id of the object's last message: from its metadata, else from its last record. @throws BackupError */
export async function readLastId(
  store: ObjectStore,
  head: ObjectHead,
  compression: Compression,
  options: CallOptions,
): Promise<MessageId> {
  const known = parseMessageId(head.metadata['last-id'] ?? '');
  if (known !== undefined) return known;
  const line =
    compression === 'none'
      ? await lastLineByRange(store, head, options)
      : await lastLineOf(readLines(store, head.key, compression, options));
  if (line === undefined) {
    throw new BackupError('corrupt', `${head.key} holds no record`, { details: { key: head.key } });
  }
  return decodeRecord(line).id;
}

/** The bytes of a small object. */
export async function readWhole(
  store: ObjectStore,
  key: string,
  options: CallOptions & { start?: number; end?: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(key, options)) chunks.push(chunk);
  const [only] = chunks;
  return only instanceof Buffer && chunks.length === 1 ? only : Buffer.concat(chunks);
}

/** The bytes of a small object; `undefined` if it was removed since it was listed. @throws BackupError `store` */
export async function readIfThere(
  store: ObjectStore,
  key: string,
  options: CallOptions,
): Promise<Buffer | undefined> {
  try {
    return await readWhole(store, key, options);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/**
 * Whether a read failed because the object is missing: somebody, or a lifecycle rule, removed it after it was listed.
 */
export const isGone = (error: unknown): error is BackupError =>
  error instanceof BackupError && error.details['code'] === 'NoSuchKey';

/** The ids of all messages in the object, and the last of them. @throws BackupError */
export async function readIds(
  store: ObjectStore,
  key: string,
  compression: Compression,
  options: CallOptions,
): Promise<{ ids: Set<string>; last: MessageId | undefined }> {
  const ids = new Set<string>();
  let last: MessageId | undefined;
  for await (const line of readLines(store, key, compression, options)) {
    last = decodeRecord(line).id;
    ids.add(formatMessageId(last));
  }
  return { ids, last };
}

async function lastLineByRange(
  store: ObjectStore,
  head: ObjectHead,
  options: CallOptions,
): Promise<string | undefined> {
  if (head.sizeBytes === 0) return undefined;
  for (let bytes = TAIL_BYTES; ; bytes *= 2) {
    const start = Math.max(0, head.sizeBytes - bytes);
    const tail = await readWhole(store, head.key, { ...options, start });
    const lineStart = tail.lastIndexOf(0x0a, tail.length - 2) + 1;
    if (lineStart > 0 || start === 0) return tail.toString('utf8', lineStart);
  }
}

async function lastLineOf(lines: AsyncIterable<string>): Promise<string | undefined> {
  let last: string | undefined;
  for await (const line of lines) last = line;
  return last;
}

/**
 * The lines of an object of records, one at a time, without their `\n`. @throws BackupError while reading; `corrupt`
 * at the end if the end marks show that it was cut
 */
export async function* readLines(
  store: ObjectStore,
  key: string,
  compression: Compression,
  options: CallOptions,
): AsyncIterable<string> {
  let rest: Buffer[] = [];
  const ending = createEndCheck();
  for await (const chunk of decompress(compression, store.read(key, options))) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      rest.push(bytes.subarray(start, end));
      const line = (rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest)).toString('utf8');
      ending.see(line);
      yield line;
      rest = [];
      start = end + 1;
    }
    if (start < bytes.length) rest.push(bytes.subarray(start));
  }
  if (rest.length > 0) {
    throw new BackupError('corrupt', `${key} does not end with a whole record`, { details: { key } });
  }
  if (ending.isCut())
    throw new BackupError('corrupt', `${key} is cut: its first or its last record is not there`, {
      details: { key },
    });
}
