// Listings of a bucket, page after page. Refuses to go round in circles when COS does not say where it goes on.
import { BackupError } from '../errors.ts';
import type { CallOptions, FolderItem, ListedObject, UnfinishedUpload } from '../ports.ts';
import type { CosClient } from './client.ts';
import { ODD_ANSWER, type StoreCall } from './failure.ts';
import { elementsOf, textAt, type Xml } from './xml.ts';

/** Behind a folder's name it is behind all of its keys. */
const LAST_CHARACTER = '\u{10ffff}';

/** Objects in key order, page by page, as ObjectStore.list has it. @throws BackupError `store`, from the iterator */
export async function* listObjects(
  client: CosClient,
  prefix: string,
  options: CallOptions & { startAfter?: string } = {},
): AsyncGenerator<ListedObject, void, undefined> {
  const act: StoreCall = { doing: `list the objects under "${prefix}"`, action: 'GetBucket' };
  let marker = options.startAfter ?? '';
  for (;;) {
    const query = { prefix, ...(marker !== '' && { marker }) };
    const { xml } = await client.call(act, { method: 'GET', query }, options);
    const contents = elementsOf(xml, 'Contents').map(listedObject);
    yield* contents;
    if (textAt(xml, 'IsTruncated') !== 'true') return;
    const next = textAt(xml, 'NextMarker') || contents.at(-1)?.key;
    if (next === undefined || next <= marker) throw unpageable(prefix);
    marker = next;
  }
}

function listedObject(contents: Xml): ListedObject {
  const storageClass = textAt(contents, 'StorageClass');
  return {
    key: textAt(contents, 'Key') ?? '',
    sizeBytes: Number(textAt(contents, 'Size')),
    lastModified: new Date(textAt(contents, 'LastModified') ?? ''),
    ...(storageClass !== undefined && storageClass !== 'STANDARD' && { storageClass }),
  };
}

/** What is right below a prefix, page by page, as ObjectStore.listFolder has it. @throws BackupError `store`, from the iterator */
export async function* listFolder(
  client: CosClient,
  prefix: string,
  options: CallOptions & { startAfter?: string } = {},
): AsyncGenerator<FolderItem, void, undefined> {
  const act: StoreCall = { doing: `list the folder "${prefix}"`, action: 'GetBucket' };
  let marker = options.startAfter ?? '';
  for (;;) {
    const query = { prefix, delimiter: '/', ...(marker !== '' && { marker }) };
    const { xml } = await client.call(act, { method: 'GET', query }, options);
    const items = new Map<string, FolderItem>();
    for (const common of elementsOf(xml, 'CommonPrefixes')) {
      const key = textAt(common, 'Prefix') ?? '';
      items.set(key, { kind: 'folder', key });
    }
    for (const object of elementsOf(xml, 'Contents').map(listedObject)) {
      // What has no notion of folders lists everything.
      const end = object.key.indexOf('/', prefix.length);
      const key = end < 0 ? object.key : object.key.slice(0, end + 1);
      if (end >= 0) items.set(key, { kind: 'folder', key });
      else items.set(key, { kind: 'object', key, object });
    }
    for (const key of [...items.keys()].sort()) if (key > marker) yield items.get(key) as FolderItem;
    if (textAt(xml, 'IsTruncated') !== 'true') return;
    const last = [...items.keys()].sort().at(-1) ?? textAt(xml, 'NextMarker');
    const next = last?.endsWith('/') ? `${last}${LAST_CHARACTER}` : last;
    if (next === undefined || next <= marker) throw unpageable(prefix);
    marker = next;
  }
}

/** Unfinished uploads, page by page, as ObjectStore.listUploads has it. @throws BackupError `store`, from the iterator */
export async function* listUploads(
  client: CosClient,
  prefix: string,
  options: CallOptions = {},
): AsyncGenerator<UnfinishedUpload, void, undefined> {
  const act: StoreCall = {
    doing: `list the unfinished uploads under "${prefix}"`,
    action: 'ListMultipartUploads',
  };
  let from = '';
  let query: Record<string, string> = { uploads: '', prefix };
  for (;;) {
    const { headers, xml } = await client.call(act, { method: 'GET', query }, options);
    // Our own clock may be wrong, and others' uploads must not look old for that.
    const nowMs = Date.parse(headers.date ?? '');
    for (const upload of elementsOf(xml, 'Upload')) {
      const initiated = new Date(textAt(upload, 'Initiated') ?? '');
      const ageMs = Math.max(0, nowMs - initiated.getTime() || 0);
      yield {
        ...{ key: textAt(upload, 'Key') ?? '', uploadId: textAt(upload, 'UploadId') ?? '' },
        ...{ initiated, ageMs },
      };
    }
    if (textAt(xml, 'IsTruncated') !== 'true') return;
    const marker = textAt(xml, 'NextKeyMarker');
    const uploadId = textAt(xml, 'NextUploadIdMarker') ?? '';
    if (!marker || `${marker}\n${uploadId}` === from) throw unpageable(prefix);
    from = `${marker}\n${uploadId}`;
    query = { uploads: '', prefix, 'key-marker': marker, ...(uploadId && { 'upload-id-marker': uploadId }) };
  }
}

const unpageable = (prefix: string): BackupError =>
  new BackupError('store', `the list under "${prefix}" goes on, but COS does not say where`, {
    hint: ODD_ANSWER,
  });
