// Calls on the bucket: list objects, list uploads, versioning, lifecycle.
import { type Answer, type Bucket, type VersioningStatus, xmlAnswer } from './bucket.ts';
import type { Call } from './call.ts';
import { CosError } from './cos-error.ts';
import { encoder } from './multipart-calls.ts';
import { compareKeys, type StoredObject } from './object-folder.ts';
import type { StoredUpload } from './upload-folder.ts';
import { type Element, readText, xmlDocument } from './xml.ts';

const PAGE_LIMIT = 1000;
const OWNER: readonly Element[] = [
  ['ID', 'qcs::cam::uin/100000000001:uin/100000000001'],
  ['DisplayName', 'loopback'],
];

/** GET Bucket (List Objects, version 1). */
export function listObjects(call: Call, bucket: Bucket): Answer {
  const { prefix, delimiter, encode } = listing(call);
  const marker = call.query.get('marker') ?? '';
  const limit = pageSize(call, 'max-keys');
  const page: (StoredObject | string)[] = [];
  let lastName = '';
  let isTruncated = false;
  const keys = bucket.objects.keys();
  for (let i = firstAfter(keys, marker, prefix); i < keys.length; i++) {
    const key = keys[i] as string;
    if (!key.startsWith(prefix)) break;
    const folder = folderOf(key, prefix, delimiter);
    // The next key that is not in this folder.
    if (folder !== undefined) i = firstAfter(keys, `${folder}\u{10ffff}`, '') - 1;
    if (folder === marker) continue;
    if (page.length === limit) {
      isTruncated = true;
      break;
    }
    const item = folder ?? bucket.objects.get(key);
    if (item === undefined) continue;
    page.push(item);
    lastName = folder ?? key;
  }
  const body = xmlDocument([
    'ListBucketResult',
    [
      ['Name', bucket.name],
      call.query.has('encoding-type') ? ['EncodingType', 'url'] : undefined,
      ['Prefix', encode(prefix)],
      ['Marker', encode(marker)],
      ['MaxKeys', limit],
      delimiter === '' ? undefined : ['Delimiter', encode(delimiter)],
      ['IsTruncated', isTruncated],
      isTruncated ? ['NextMarker', encode(lastName)] : undefined,
      ...page.map(
        (item): Element =>
          typeof item === 'string' ? ['CommonPrefixes', [['Prefix', encode(item)]]] : contents(item, encode),
      ),
    ],
  ]);
  return xmlAnswer(body);
}

/** List Multipart Uploads. */
export function listUploads(call: Call, bucket: Bucket): Answer {
  const { prefix, delimiter, encode } = listing(call);
  const keyMarker = call.query.get('key-marker') ?? '';
  const idMarker = call.query.get('upload-id-marker') ?? '';
  const limit = pageSize(call, 'max-uploads');
  const after = bucket.uploads
    .all()
    .filter((upload) => upload.key.startsWith(prefix))
    .filter((upload) => isAfter(upload, keyMarker, idMarker))
    .sort((a, b) => compareKeys(a.key, b.key) || compareKeys(a.uploadId, b.uploadId));
  const folders = new Set<string>();
  const direct = after.filter((upload) => {
    const folder = folderOf(upload.key, prefix, delimiter);
    if (folder !== undefined) folders.add(folder);
    return folder === undefined;
  });
  const page = direct.slice(0, limit);
  const last = page.at(-1);
  const isTruncated = direct.length > page.length;
  const body = xmlDocument([
    'ListMultipartUploadsResult',
    [
      ['Bucket', bucket.name],
      call.query.has('encoding-type') ? ['EncodingType', 'url'] : undefined,
      ['KeyMarker', encode(keyMarker)],
      ['UploadIdMarker', idMarker],
      isTruncated && last !== undefined ? ['NextKeyMarker', encode(last.key)] : undefined,
      isTruncated && last !== undefined ? ['NextUploadIdMarker', last.uploadId] : undefined,
      ['MaxUploads', limit],
      ['IsTruncated', isTruncated],
      ['Prefix', encode(prefix)],
      delimiter === '' ? undefined : ['Delimiter', encode(delimiter)],
      ...page.map((upload) => uploadElement(upload, encode)),
      ...[...folders].map((folder): Element => ['CommonPrefixes', [['Prefix', encode(folder)]]]),
    ],
  ]);
  return xmlAnswer(body);
}

/** GET Bucket versioning: no Status where it was never enabled. */
export function getVersioning(bucket: Bucket): Answer {
  const status: Element | undefined =
    bucket.versioning === undefined ? undefined : ['Status', bucket.versioning];
  return xmlAnswer(xmlDocument(['VersioningConfiguration', [status]]));
}

/** PUT Bucket versioning. */
export function putVersioning(bucket: Bucket, xml: string): Answer {
  const status = readText(xml, 'Status');
  if (status !== 'Enabled' && status !== 'Suspended')
    throw new CosError('MalformedXML', 'Status is Enabled or Suspended');
  bucket.versioning = status satisfies VersioningStatus;
  return { status: 200, headers: {} };
}

/** GET Bucket lifecycle. */
export function getLifecycle(bucket: Bucket): Answer {
  if (bucket.lifecycleXml === undefined) {
    throw new CosError('NoSuchLifecycleConfiguration', 'The lifecycle configuration does not exist.');
  }
  return xmlAnswer(bucket.lifecycleXml);
}

/** PUT Bucket lifecycle: kept as it came, never carried out. */
export function putLifecycle(bucket: Bucket, xml: string): Answer {
  if (!xml.includes('<LifecycleConfiguration'))
    throw new CosError('MalformedXML', 'Not a LifecycleConfiguration');
  bucket.lifecycleXml = xml;
  return { status: 200, headers: {} };
}

function listing(call: Call): { prefix: string; delimiter: string; encode: (text: string) => string } {
  const { query } = call;
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    encode: encoder(call),
  };
}

function pageSize(call: Call, name: string): number {
  const asked = Number(call.query.get(name) || PAGE_LIMIT);
  if (!Number.isInteger(asked) || asked < 0) throw new CosError('InvalidArgument', `${name} is not a number`);
  return Math.min(asked, PAGE_LIMIT);
}

/** The first key beyond the marker that can begin with the prefix. */
function firstAfter(keys: readonly string[], marker: string, prefix: string): number {
  const isBefore = (key: string) => compareKeys(key, marker) <= 0 || compareKeys(key, prefix) < 0;
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(keys[middle] as string)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The common prefix that a key is counted under, if a delimiter follows the prefix in it. */
function folderOf(key: string, prefix: string, delimiter: string): string | undefined {
  const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

function isAfter(upload: StoredUpload, keyMarker: string, idMarker: string): boolean {
  if (keyMarker === '') return true;
  const order = compareKeys(upload.key, keyMarker);
  return order > 0 || (order === 0 && idMarker !== '' && compareKeys(upload.uploadId, idMarker) > 0);
}

function contents(object: StoredObject, encode: (text: string) => string): Element {
  return [
    'Contents',
    [
      ['Key', encode(object.key)],
      ['LastModified', new Date(object.lastModifiedMs).toISOString()],
      ['ETag', `"${object.etag}"`],
      ['Size', object.sizeBytes],
      ['Owner', OWNER],
      ['StorageClass', object.headers['x-cos-storage-class'] ?? 'STANDARD'],
    ],
  ];
}

function uploadElement(upload: StoredUpload, encode: (text: string) => string): Element {
  return [
    'Upload',
    [
      ['Key', encode(upload.key)],
      ['UploadId', upload.uploadId],
      ['StorageClass', upload.headers['x-cos-storage-class'] ?? 'STANDARD'],
      ['Initiator', OWNER],
      ['Owner', OWNER],
      ['Initiated', new Date(upload.initiatedMs).toISOString()],
    ],
  ];
}
