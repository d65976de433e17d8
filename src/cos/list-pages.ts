// Lists a bucket, page after page. Fails instead of looping when COS does not report where to continue.
import type COS from 'cos-nodejs-sdk-v5';
import { BackupError } from '../errors.ts';
import type { CallOptions, FolderItem, ListedObject, UnfinishedUpload } from '../ports.ts';
import type { CosClient } from './client.ts';
import { ODD_ANSWER, type StoreCall } from './failure.ts';

/** Appended to a folder's name, it sorts after all of its keys. */
const LAST_CHARACTER = '\u{10ffff}';

/** Objects in key order, page by page, as ObjectStore.list has it. @throws BackupError `store`, from the iterator */
export async function* listObjects(
  client: CosClient,
  prefix: string,
  options: CallOptions & { startAfter?: string } = {},
): AsyncGenerator<ListedObject, void, undefined> {
  const { bucket: Bucket, region: Region } = client.location;
  const act: StoreCall = { doing: `list the objects under "${prefix}"`, action: 'GetBucket' };
  let marker = options.startAfter ?? '';
  for (;;) {
    const page = decoded(
      await client.call(
        act,
        (cos) => cos.getBucket({ Bucket, Region, Prefix: prefix, Marker: marker, Headers: {} }),
        options,
      ),
    );
    for (const listed of page.Contents) yield listedObject(listed);
    if (page.IsTruncated !== 'true') return;
    const next = page.NextMarker || page.Contents.at(-1)?.Key;
    if (next === undefined || compareKeys(next, marker) <= 0) throw unpageable(prefix);
    marker = next;
  }
}

/** The order of their UTF-8 bytes, as in a bucket: that of UTF-16 differs beyond U+FFFF. */
function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === length) return a.length - b.length;
  const [one, other] = [a.charCodeAt(at), b.charCodeAt(at)];
  const isSurrogate = (code: number) => code >= 0xd800 && code <= 0xdfff;
  if (isSurrogate(one) !== isSurrogate(other)) return isSurrogate(one) ? 1 : -1;
  return one - other;
}

/** The page with decoded keys: some servers encode them without a request, and report that. */
function decoded(page: COS.GetBucketResult): COS.GetBucketResult {
  if (page.EncodingType !== 'url') return page;
  return {
    ...page,
    Contents: page.Contents.map((one) => ({ ...one, Key: decodeURIComponent(one.Key) })),
    CommonPrefixes: (page.CommonPrefixes ?? []).map(({ Prefix }) => ({ Prefix: decodeURIComponent(Prefix) })),
    ...(page.NextMarker && { NextMarker: decodeURIComponent(page.NextMarker) }),
  };
}

interface Listed {
  readonly Key: string;
  readonly Size: string;
  readonly LastModified: string;
  readonly StorageClass?: string;
  readonly ETag?: string;
}

function listedObject({ Key, Size, LastModified, StorageClass, ETag }: Listed): ListedObject {
  return {
    key: Key,
    sizeBytes: Number(Size),
    lastModified: new Date(LastModified),
    ...(StorageClass !== undefined && StorageClass !== 'STANDARD' && { storageClass: StorageClass }),
    ...(ETag && { etag: ETag.replaceAll('"', '') }),
  };
}

/** What is right below a prefix, page by page, as ObjectStore.listFolder has it. @throws BackupError `store`, from the iterator */
export async function* listFolder(
  client: CosClient,
  prefix: string,
  options: CallOptions & { startAfter?: string } = {},
): AsyncGenerator<FolderItem, void, undefined> {
  const { bucket: Bucket, region: Region } = client.location;
  const act: StoreCall = { doing: `list the folder "${prefix}"`, action: 'GetBucket' };
  let marker = options.startAfter ?? '';
  for (;;) {
    const page = decoded(
      await client.call(
        act,
        (cos) =>
          cos.getBucket({ Bucket, Region, Prefix: prefix, Delimiter: '/', Marker: marker, Headers: {} }),
        options,
      ),
    );
    const items = new Map<string, FolderItem>();
    for (const { Prefix: key } of page.CommonPrefixes ?? []) items.set(key, { kind: 'folder', key });
    for (const listed of page.Contents) {
      const { Key } = listed;
      // A server without folders lists everything.
      const end = Key.indexOf('/', prefix.length);
      const key = end < 0 ? Key : Key.slice(0, end + 1);
      if (end >= 0) items.set(key, { kind: 'folder', key });
      else items.set(key, { kind: 'object', key, object: listedObject(listed) });
    }
    const keys = [...items.keys()].sort(compareKeys);
    for (const key of keys) if (compareKeys(key, marker) > 0) yield items.get(key) as FolderItem;
    if (page.IsTruncated !== 'true') return;
    const last = keys.at(-1) ?? page.NextMarker;
    // The prefix itself may be the marker, or an object that represents a folder: nothing below it was listed then.
    const isFolder = last !== undefined && last.length > prefix.length && last.endsWith('/');
    const next = isFolder ? `${last}${LAST_CHARACTER}` : last;
    if (next === undefined || compareKeys(next, marker) <= 0) throw unpageable(prefix);
    marker = next;
  }
}

/** Unfinished uploads, page by page, as ObjectStore.listUploads has it. @throws BackupError `store`, from the iterator */
export async function* listUploads(
  client: CosClient,
  prefix: string,
  options: CallOptions = {},
): AsyncGenerator<UnfinishedUpload, void, undefined> {
  const { bucket: Bucket, region: Region } = client.location;
  const act: StoreCall = {
    doing: `list the unfinished uploads under "${prefix}"`,
    action: 'ListMultipartUploads',
  };
  let from: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await client.call(
      act,
      // An empty delimiter would be sent; without one, its types do not want to go.
      (cos) => cos.multipartList({ Bucket, Region, Prefix: prefix, ...from } as COS.MultipartListParams),
      options,
    );
    // Our own clock may be wrong, and other runs' uploads must not look old for that reason.
    const nowMs = Date.parse(String(page.headers?.['date']));
    for (const { Key, UploadId, Initiated } of page.Upload ?? []) {
      const initiated = new Date(Initiated);
      const ageMs = Math.max(0, nowMs - initiated.getTime() || 0);
      yield { key: Key, uploadId: UploadId, initiated, ageMs };
    }
    if (page.IsTruncated !== 'true') return;
    if (
      !page.NextKeyMarker ||
      page.NextKeyMarker + page.NextUploadIdMarker === `${from.KeyMarker}${from.UploadIdMarker}`
    ) {
      throw unpageable(prefix);
    }
    from = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
  }
}

const unpageable = (prefix: string): BackupError =>
  new BackupError('store', `the list under "${prefix}" goes on, but COS does not say where`, {
    hint: ODD_ANSWER,
  });
