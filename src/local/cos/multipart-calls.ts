// Multipart uploads: init, part, list parts, complete, abort.
import { type Answer, type Bucket, xmlAnswer } from './bucket.ts';
import type { Call } from './call.ts';
import { CosError } from './cos-error.ts';
import { createObject, encryptionOf, headersToKeep, refuseOverwrite, sumHeaders } from './object-calls.ts';
import type { ReceivedBody } from './received-body.ts';
import { joinParts, type StoredPart, type StoredUpload } from './upload-folder.ts';
import { readElements, readText, xmlDocument } from './xml.ts';

const PARTS_LIMIT = 10_000;
const PART_LIMIT_BYTES = 5 * 1024 ** 3;
/** The least size of every part but the last. */
const PART_LEAST_BYTES = 1024 ** 2;

/** Initiate Multipart Upload. */
export function initUpload(call: Call, bucket: Bucket, nowMs: number): Answer {
  const headers = headersToKeep(call);
  refuseOverwrite(call, bucket);
  const { uploadId } = bucket.uploads.start(call.key, headers, nowMs);
  const body = xmlDocument([
    'InitiateMultipartUploadResult',
    [
      ['Bucket', bucket.name],
      ['Key', call.key],
      ['UploadId', uploadId],
    ],
  ]);
  return xmlAnswer(body, encryptionOf(headers));
}

/** Upload Part. */
export function putPart(call: Call, bucket: Bucket, body: ReceivedBody, nowMs: number): Answer {
  const upload = findUpload(call, bucket);
  const number = Number(call.query.get('partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > PARTS_LIMIT) {
    throw new CosError('InvalidArgument', `Part number must be an integer between 1 and ${PARTS_LIMIT}`);
  }
  if (body.sizeBytes > PART_LIMIT_BYTES) throw new CosError('EntityTooLarge', 'A part is at most 5 GB');
  bucket.uploads.putPart(upload, number, body, nowMs);
  return { status: 200, headers: { ...encryptionOf(upload.headers), ...sumHeaders(body) } };
}

/** List Parts. */
export function listParts(call: Call, bucket: Bucket): Answer {
  const upload = findUpload(call, bucket);
  const limit = Math.min(1000, Number(call.query.get('max-parts') ?? 1000));
  const marker = Number(call.query.get('part-number-marker') ?? 0);
  const after = [...upload.parts.values()]
    .filter((part) => part.number > marker)
    .sort((a, b) => a.number - b.number);
  const page = after.slice(0, limit);
  const body = xmlDocument([
    'ListPartsResult',
    [
      ['Bucket', bucket.name],
      ['Key', encoder(call)(call.key)],
      ['UploadId', upload.uploadId],
      ['StorageClass', upload.headers['x-cos-storage-class'] ?? 'STANDARD'],
      ['PartNumberMarker', marker],
      ['NextPartNumberMarker', page.at(-1)?.number ?? marker],
      ['MaxParts', limit],
      ['IsTruncated', after.length > page.length],
      ...page.map(
        (part) =>
          [
            'Part',
            [
              ['PartNumber', part.number],
              ['LastModified', new Date(part.lastModifiedMs).toISOString()],
              ['ETag', `"${part.etag}"`],
              ['Size', part.sizeBytes],
            ],
          ] as const,
      ),
    ],
  ]);
  return xmlAnswer(body);
}

/** Complete Multipart Upload. */
export async function completeUpload(
  call: Call,
  bucket: Bucket,
  xml: string,
  nowMs: number,
): Promise<Answer> {
  const upload = findUpload(call, bucket);
  const parts = chosenParts(upload, xml);
  refuseOverwrite(call, bucket);
  const file = bucket.objects.temporaryFile();
  const body = await joinParts(parts, file).catch((error: unknown) => {
    // An abort came in between: the files are gone.
    findUpload(call, bucket);
    throw error;
  });
  findUpload(call, bucket);
  createObject(call, bucket, body, upload.headers, nowMs);
  bucket.uploads.remove(upload);
  const answer = xmlDocument([
    'CompleteMultipartUploadResult',
    [
      ['Location', `http://${call.headers.host}/${encodeURI(call.key)}`],
      ['Bucket', bucket.name],
      ['Key', call.key],
      ['ETag', `"${body.etag}"`],
    ],
  ]);
  const { 'x-cos-hash-crc64ecma': crc64 = '' } = sumHeaders(body);
  return xmlAnswer(answer, { ...encryptionOf(upload.headers), 'x-cos-hash-crc64ecma': crc64 });
}

/** Abort Multipart Upload. */
export function abortUpload(call: Call, bucket: Bucket): Answer {
  bucket.uploads.remove(findUpload(call, bucket));
  return { status: 204, headers: {} };
}

/** The upload that the call names. Throws NoSuchUpload. */
export function findUpload(call: Call, bucket: Bucket): StoredUpload {
  const upload = bucket.uploads.get(call.query.get('uploadId') ?? '');
  if (upload?.key !== call.key)
    throw new CosError('NoSuchUpload', 'The specified multipart upload does not exist.');
  return upload;
}

/** Percent-encodes keys in an answer where the call asks for it. */
export function encoder(call: Call): (text: string) => string {
  return call.query.get('encoding-type') === 'url' ? encodeURIComponent : (text) => text;
}

function chosenParts(upload: StoredUpload, xml: string): StoredPart[] {
  const named = readElements(xml, 'Part').map((part) => ({
    number: Number(readText(part, 'PartNumber')),
    etag: readText(part, 'ETag')?.replaceAll('"', ''),
  }));
  if (named.length === 0) throw new CosError('MalformedXML', 'The XML you provided names no part');
  if (named.length > PARTS_LIMIT) throw new CosError('InvalidArgument', `More than ${PARTS_LIMIT} parts`);
  if (named.some(({ number }, i) => i > 0 && number <= (named[i - 1]?.number ?? 0))) {
    throw new CosError('InvalidPartOrder', 'The list of parts was not in ascending order');
  }
  const parts = named.map(({ number, etag }, i) => {
    const part = upload.parts.get(number);
    if (part !== undefined && part.etag === etag && number === i + 1) return part;
    const reason = 'was not found, its ETag differs, or a number before it is left out';
    throw new CosError('InvalidPart', `Part ${number} ${reason}`);
  });
  const small = parts.slice(0, -1).find((part) => part.sizeBytes < PART_LEAST_BYTES);
  if (small !== undefined) {
    throw new CosError('EntityTooSmall', `Part ${small.number} is smaller than 1 MB and not the last`);
  }
  return parts;
}
