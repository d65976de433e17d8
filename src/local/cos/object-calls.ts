// PUT, GET, HEAD and DELETE of one object.
import { closeSync, copyFileSync, openSync, readSync, rmSync } from 'node:fs';
import { refuseArchived, restoreHeader } from './archive-class.ts';
import { type Answer, type Bucket, type FilePiece, xmlAnswer } from './bucket.ts';
import { type Call, copySource } from './call.ts';
import { CosError } from './cos-error.ts';
import type { StoredObject } from './object-folder.ts';
import type { ReceivedBody } from './received-body.ts';

const KEPT_HEADERS = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
];
const ENCRYPTION_HEADER = /^x-cos-server-side-encryption/;
const META_PREFIX = 'x-cos-meta-';
const METADATA_LIMIT_BYTES = 2048;
const PUT_LIMIT_BYTES = 5 * 1024 ** 3;
const MAX_BYTES_AT_ONCE = 262_144;
const STORAGE_CLASS = /^(MAZ_)?(STANDARD|STANDARD_IA|INTELLIGENT_TIERING|ARCHIVE|DEEP_ARCHIVE)$/;

/** PUT Object. */
export function putObject(call: Call, bucket: Bucket, body: ReceivedBody, nowMs: number): Answer {
  if (body.sizeBytes > PUT_LIMIT_BYTES)
    throw new CosError('EntityTooLarge', 'An object of one PUT is at most 5 GB');
  const headers = headersToKeep(call);
  createObject(call, bucket, body, headers, nowMs);
  return { status: 200, headers: { ...encryptionOf(headers), ...sumHeaders(body) } };
}

/** PUT Object - Copy: bytes, metadata and type of another object; class and encryption as the call says. */
export function copyObject(
  call: Call,
  bucket: Bucket,
  buckets: ReadonlyMap<string, Bucket>,
  nowMs: number,
): Answer {
  const source = copySource(call);
  const from = source && buckets.get(source.bucket);
  const object = source && from?.objects.get(source.key);
  if (from === undefined || object === undefined)
    throw new CosError('NoSuchKey', 'The specified key does not exist.');
  refuseArchived(from, object, nowMs);
  const isKept = call.headers['x-cos-metadata-directive'] !== 'Replaced';
  const { 'x-cos-storage-class': _, ...own } = object.headers;
  const given = headersToKeep(call);
  const headers = isKept ? { ...given, ...own } : given;
  const file = object.file === undefined ? undefined : bucket.objects.temporaryFile();
  if (object.file !== undefined && file !== undefined) copyFileSync(object.file, file);
  try {
    createObject(call, bucket, { ...object, file }, headers, nowMs);
  } catch (error) {
    if (file !== undefined) rmSync(file, { force: true });
    throw error;
  }
  const time = new Date(nowMs).toISOString();
  const body = `<CopyObjectResult><ETag>"${object.etag}"</ETag><CRC64>${object.crc64}</CRC64><LastModified>${time}</LastModified></CopyObjectResult>`;
  return xmlAnswer(body, { ...encryptionOf(headers), ...sumHeaders(object) });
}

/** ETag and CRC-64 as answer headers. */
export function sumHeaders(body: {
  readonly etag: string;
  readonly crc64: bigint | string;
}): Record<string, string> {
  return { etag: `"${body.etag}"`, 'x-cos-hash-crc64ecma': String(body.crc64) };
}

/** Puts a complete body under its key; replaces what is there only where COS would. */
export function createObject(
  call: Call,
  bucket: Bucket,
  body: Pick<ReceivedBody, 'file' | 'sizeBytes' | 'etag'> & { readonly crc64: bigint | string },
  headers: Readonly<Record<string, string>>,
  nowMs: number,
): void {
  refuseOverwrite(call, bucket);
  if (bucket.objects.get(call.key) !== undefined) bucket.replacedCount++;
  bucket.objects.store({
    ...{ bucket: bucket.name, key: call.key, headers, lastModifiedMs: nowMs, file: body.file },
    ...{ sizeBytes: body.sizeBytes, etag: body.etag, crc64: String(body.crc64) },
  });
}

/** Throws where the call forbids overwriting, the object exists, and the bucket never had versioning. */
export function refuseOverwrite(call: Call, bucket: Bucket): void {
  const isForbidden = call.headers['x-cos-forbid-overwrite'] === 'true' && bucket.versioning === undefined;
  if (isForbidden && bucket.objects.get(call.key) !== undefined) {
    throw new CosError(
      'FileAlreadyExists',
      'The object you specified already exists and can not be overwritten',
    );
  }
}

/** The headers of a creation that the object keeps. Throws where COS would not take them. */
export function headersToKeep(call: Call): Record<string, string> {
  if (Buffer.byteLength(call.key) > 850) throw new CosError('KeyTooLong', 'A key is at most 850 bytes');
  const kept: Record<string, string> = {
    'content-type': call.headers['content-type'] ?? 'application/octet-stream',
  };
  let metadataBytes = 0;
  for (const [name, value] of Object.entries(call.headers)) {
    if (value === undefined) continue;
    const text = String(value);
    if (name.startsWith(META_PREFIX)) {
      metadataBytes += name.length - META_PREFIX.length + text.length;
      if (!/^[a-z0-9-]+$/.test(name))
        throw new CosError('InvalidArgument', `Not a name of metadata: ${name}`);
      if (!/^[\x20-\x7e]*$/.test(text)) throw new CosError('InvalidArgument', `${name} is not ASCII`);
    } else if (name === 'x-cos-storage-class') {
      if (!STORAGE_CLASS.test(text)) throw new CosError('InvalidArgument', `Not a storage class: ${text}`);
    } else if (!KEPT_HEADERS.includes(name) && !ENCRYPTION_HEADER.test(name)) continue;
    kept[name] = text;
  }
  if (metadataBytes > METADATA_LIMIT_BYTES) {
    throw new CosError(
      'MetadataTooLarge',
      `Metadata is at most ${METADATA_LIMIT_BYTES} bytes, not ${metadataBytes}`,
    );
  }
  return kept;
}

/** The encryption headers among those kept: every answer to a creation repeats them. */
export function encryptionOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => ENCRYPTION_HEADER.test(name)));
}

/** HEAD Object. */
export function headObject(call: Call, bucket: Bucket, nowMs: number): Answer {
  const object = existing(call, bucket);
  const headers = { ...headersOf(object), ...restoreHeader(bucket, call.key, nowMs) };
  return { status: 200, headers, announcedBytes: object.sizeBytes };
}

/** GET Object, whole or by Range. */
export function getObject(call: Call, bucket: Bucket, nowMs: number): Answer {
  const object = existing(call, bucket);
  refuseArchived(bucket, object, nowMs);
  const range = parseRange(call.headers.range, object.sizeBytes);
  const { start, sizeBytes } = range ?? { start: 0, sizeBytes: object.sizeBytes };
  const headers = headersOf(object);
  if (object.file === undefined && sizeBytes > 0) {
    throw new CosError('NotImplemented', 'This server discards bodies');
  }
  if (range !== undefined)
    headers['content-range'] = `bytes ${start}-${start + sizeBytes - 1}/${object.sizeBytes}`;
  return {
    status: range === undefined ? 200 : 206,
    headers,
    announcedBytes: sizeBytes,
    ...(object.file !== undefined && sizeBytes > 0 ? { file: pieceOf(object.file, start, sizeBytes) } : {}),
  };
}

/** Read at once if it is small: until it is sent, another object may have taken the place of a note. */
function pieceOf(path: string, start: number, sizeBytes: number): FilePiece {
  const piece = { path, start, sizeBytes };
  if (sizeBytes > MAX_BYTES_AT_ONCE) return piece;
  const bytes = Buffer.allocUnsafe(sizeBytes);
  const fd = openSync(path, 'r');
  try {
    // A file that somebody cut is read when it is sent, which fails.
    return readSync(fd, bytes, 0, sizeBytes, start) === sizeBytes ? { ...piece, bytes } : piece;
  } finally {
    closeSync(fd);
  }
}

/** DELETE Object; succeeds also where there is none. */
export function deleteObject(call: Call, bucket: Bucket): Answer {
  bucket.objects.remove(call.key);
  return { status: 204, headers: {} };
}

function existing(call: Call, bucket: Bucket): StoredObject {
  const object = bucket.objects.get(call.key);
  if (object === undefined) throw new CosError('NoSuchKey', 'The specified key does not exist.');
  return object;
}

function headersOf(object: StoredObject): Record<string, string> {
  const headers: Record<string, string> = {
    ...object.headers,
    ...sumHeaders(object),
    'last-modified': new Date(object.lastModifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
  if (headers['x-cos-storage-class'] === 'STANDARD') delete headers['x-cos-storage-class'];
  return headers;
}

/** A single range; `undefined` where the header asks for no range or for several. */
function parseRange(
  header: string | undefined,
  size: number,
): { start: number; sizeBytes: number } | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || first + last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (start > end) throw new CosError('InvalidRange', 'The requested range cannot be satisfied');
  return { start, sizeBytes: end - start + 1 };
}
