// The request headers of a creation: metadata, type, class, encryption, and the one that forbids overwriting.
import type { CosConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import { isArchiveClass } from '../format/contents.ts';
import type { ObjectAttributes, ObjectHead } from '../ports.ts';

type Headers = Record<string, string>;

/** With this, COS returns 409 if the object exists; buckets that ever had versioning ignore it. */
export const forbidOverwrite = (): Headers => ({ 'x-cos-forbid-overwrite': 'true' });

/** Headers for a PUT or an Init, a new object each time: the SDK adds to it. @throws BackupError on odd metadata */
export function objectHeaders(config: CosConfig, attributes: ObjectAttributes): Headers {
  const { sse, storageClass } = config;
  return {
    'Content-Type': attributes.contentType,
    ...metadataHeaders(attributes.metadata),
    // If not sent, COS uses the bucket's default, which has another name in a multi-zone bucket.
    ...(storageClass === 'STANDARD' || attributes.isReadByRuns
      ? {}
      : { 'x-cos-storage-class': storageClass }),
    ...(sse === undefined ? {} : { 'x-cos-server-side-encryption': sse.algorithm }),
    ...(sse?.kmsKeyId === undefined ? {} : { 'x-cos-server-side-encryption-cos-kms-key-id': sse.kmsKeyId }),
  };
}

function metadataHeaders(metadata: ObjectAttributes['metadata']): Headers {
  const headers: Headers = {};
  for (const [name, value] of Object.entries(metadata)) {
    if (!/^[a-z0-9-]+$/.test(name) || !/^[\x20-\x7e]*$/.test(value)) {
      throw new BackupError('store', `metadata "${name}" cannot be stored in COS`, {
        hint: 'Names are lower-case letters, digits and hyphens; values are printable ASCII.',
      });
    }
    headers[`x-cos-meta-${name}`] = value;
  }
  return headers;
}

/** The metadata that COS reports of an object. */
export function metadataOf(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('x-cos-meta-')) metadata[name.slice('x-cos-meta-'.length)] = String(value);
  }
  return metadata;
}

/** The object's class and the state of its thawing (API page 436/7745, `x-cos-restore`). */
export function storageOf(
  headers: Readonly<Record<string, unknown>>,
): Pick<ObjectHead, 'storageClass' | 'thaw'> {
  const text = (name: string) => (typeof headers[name] === 'string' ? (headers[name] as string) : undefined);
  const tier = text('x-cos-storage-tier');
  const storageClass = isArchiveClass(tier) ? tier : text('x-cos-storage-class');
  const restore = text('x-cos-restore') ?? '';
  const until = new Date(/expiry-date="([^"]*)"/.exec(restore)?.[1] ?? '');
  return {
    ...(storageClass !== undefined && { storageClass }),
    ...(/ongoing-request="?true/.test(restore)
      ? { thaw: 'asked' as const }
      : Number.isNaN(until.getTime())
        ? {}
        : { thaw: until }),
  };
}
