// Fetches the tables of an export in a bucket to local files, for one query. It first reads the end of each file,
// which locates its columns, then only the columns and days that the query reads. The files have holes elsewhere: an
// engine that reads a hole fails, because no Parquet page begins with zeros.
import { mkdir, open, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BackupError, messageOf } from '../../errors.ts';
import { mapInOrder } from '../../lib/map-in-order.ts';
import type { ListedObject, ObjectStore } from '../../ports.ts';
import { GUARD_NAME, isChanging } from './target.ts';

const AT_A_TIME = 8;
/** What the end of a file mostly fits into. */
const END_BYTES = 65_536;
/** Parquet ends with the length of its footer, and these. */
const MAGIC = 'PAR1';
const TRAILER_BYTES = 8;
/** Ranges so close to each other are read as one. */
const GAP_BYTES = 65_536;

/** A range of a file: from `start` to before `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A file of the tables. */
export interface RemoteFile extends ListedObject {
  /** On this machine. */
  readonly path: string;
  /** `2026-11-23`; of a file that is in no day, nothing. */
  readonly date: string | undefined;
}

interface FetchOptions {
  readonly signal: AbortSignal;
  /** Bytes that were read. */
  readonly onBytes: (bytes: number) => void;
}

/** The Parquet files below `prefix`, to be put below `folder`. @throws BackupError `store` while a day is being replaced */
export async function listTables(
  store: ObjectStore,
  prefix: string,
  folder: string,
  signal: AbortSignal,
): Promise<RemoteFile[]> {
  const files: RemoteFile[] = [];
  for await (const object of store.list(prefix, { signal })) {
    const name = object.key.slice(prefix.length);
    if (!name.endsWith('.parquet')) continue;
    if (name.endsWith(`/${GUARD_NAME}`)) throw isChanging(object.key);
    const date = /(?:^|\/)date=([^/]+)\//.exec(name)?.[1];
    files.push({ ...object, date, path: join(folder, ...name.split('/')) });
  }
  return files;
}

/** Makes the files, with their ends alone. @throws BackupError `corrupt` where one is no Parquet */
export async function fetchEnds(
  store: ObjectStore,
  files: readonly RemoteFile[],
  options: FetchOptions,
): Promise<void> {
  const fetched = mapInOrder(files, AT_A_TIME, async (file) => {
    const { path, key, sizeBytes } = file;
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, 'w')).close();
    await truncate(path, sizeBytes);
    const start = Math.max(0, sizeBytes - END_BYTES);
    const end = await fetchRange(store, file, { start, end: sizeBytes }, options);
    const isParquet = end.length > TRAILER_BYTES && end.toString('latin1', end.length - 4) === MAGIC;
    const footerBytes = isParquet ? end.readUInt32LE(end.length - TRAILER_BYTES) : 0;
    const footerStart = sizeBytes - TRAILER_BYTES - footerBytes;
    if (!isParquet || footerStart < 0)
      throw new BackupError('corrupt', `${key} is no Parquet file`, {
        hint: 'Export its day again, or move it away.',
      });
    if (footerStart < start) await fetchRange(store, file, { start: footerStart, end: start }, options);
  });
  for await (const _ of fetched);
}

/** Reads ranges of the files. @throws BackupError */
export async function fetchRanges(
  store: ObjectStore,
  ranges: readonly (readonly [file: RemoteFile, ranges: readonly ByteRange[]])[],
  options: FetchOptions,
): Promise<void> {
  const all = ranges.flatMap(([file, own]) => merged(own).map((range) => [file, range] as const));
  const fetched = mapInOrder(all, AT_A_TIME, ([file, range]) => fetchRange(store, file, range, options));
  for await (const _ of fetched);
}

/** @throws BackupError `store` where a file is another one, or gone, since it was listed */
export function expectSame(before: readonly RemoteFile[], now: readonly RemoteFile[]): void {
  const found = new Map(now.map((file) => [file.key, file]));
  for (const { key, sizeBytes, lastModified } of before) {
    const own = found.get(key);
    if (own?.sizeBytes !== sizeBytes || own.lastModified.getTime() !== lastModified.getTime())
      throw isChanging(key);
  }
}

/** Reads a range into the file; answers it where it is no longer than an end. */
async function fetchRange(
  store: ObjectStore,
  { key, path }: RemoteFile,
  { start, end }: ByteRange,
  { signal, onBytes }: FetchOptions,
): Promise<Buffer> {
  const kept: Uint8Array[] = [];
  const file = await open(path, 'r+').catch((cause) => {
    throw notWritten(path, cause);
  });
  let at = start;
  try {
    for await (const chunk of store.read(key, { signal, start, end: end - 1 })) {
      await file.write(chunk, 0, chunk.byteLength, at).catch((cause) => {
        throw notWritten(path, cause);
      });
      at += chunk.byteLength;
      onBytes(chunk.byteLength);
      if (end - start <= END_BYTES) kept.push(Uint8Array.from(chunk));
    }
  } finally {
    await file.close();
  }
  if (at !== end) throw isChanging(key);
  return Buffer.concat(kept);
}

function merged(ranges: readonly ByteRange[]): ByteRange[] {
  const all: ByteRange[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = all.at(-1);
    if (last !== undefined && start <= last.end + GAP_BYTES)
      all.splice(-1, 1, { start: last.start, end: Math.max(last.end, end) });
    else all.push({ start, end });
  }
  return all;
}

const notWritten = (path: string, cause: unknown) =>
  new BackupError('store', `cannot write ${path}: ${messageOf(cause)}`, {
    hint: 'What a query reads of a bucket is put into the folder for temporary files (TMPDIR): make room there.',
    cause,
  });
