// Reads a request line and Host as one of COS's calls, in virtual-hosted style. Judges nothing but the names.
import type { IncomingHttpHeaders } from 'node:http';

/** What a request asks for. Faults, hooks and the log go by it. */
export type CallKind =
  | 'put'
  | 'copy'
  | 'get'
  | 'head'
  | 'delete'
  | 'init'
  | 'part'
  | 'complete'
  | 'abort'
  | 'restore'
  | 'listParts'
  | 'list'
  | 'listUploads'
  | 'headBucket'
  | 'versioning'
  | 'putVersioning'
  | 'lifecycle'
  | 'putLifecycle'
  | 'unknown';

/** One request, taken apart. */
export interface Call {
  readonly kind: CallKind;
  readonly method: string;
  /** Empty where the Host is not that of a bucket. */
  readonly bucket: string;
  readonly region: string;
  /** Decoded, without the leading slash; empty for calls on the bucket. */
  readonly key: string;
  /** Decoded names and values; sub-resources such as `?uploads` have an empty value. */
  readonly query: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
}

/** The object that a copy is made of, as its header names it; `undefined` where it names none. */
export function copySource(call: Call): { bucket: string; key: string } | undefined {
  const [host = '', ...rest] = String(call.headers['x-cos-copy-source'] ?? '').split('/');
  const bucket = HOST.exec(host)?.groups?.['bucket'];
  const key = decode(rest.join('/'));
  return bucket === undefined || key === undefined || key === '' ? undefined : { bucket, key };
}

const HOST =
  /^(?<bucket>[a-z0-9][a-z0-9-]*-\d+)\.cos\.(?<region>[a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.cn)(?::\d+)?$/;

/** Sub-resources that this server does not have; answered as such instead of as a plain object call. */
const FOREIGN = [
  'acl',
  'append',
  'copy',
  'cors',
  'delete',
  'inventory',
  'object-lock',
  'policy',
  'tagging',
  'versions',
  'website',
];

/** Takes a request apart. Does not throw: what is not understood has kind `unknown`. */
export function parseCall(method: string, url: string, headers: IncomingHttpHeaders): Call {
  const host = HOST.exec(headers.host ?? '')?.groups ?? {};
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = parseQuery(mark < 0 ? '' : url.slice(mark + 1));
  const key = decode(path.replace(/^\//, ''));
  const parts = { method, bucket: host['bucket'] ?? '', region: host['region'] ?? '', query, headers };
  if (key === undefined || query === undefined)
    return { ...parts, query: new Map(), key: '', kind: 'unknown' };
  const has = (name: string) => query.has(name);
  const isForeign = FOREIGN.some(has) || has('versionId');
  const kind = isForeign ? 'unknown' : key === '' ? bucketCall(method, has) : objectCall(method, has);
  const isCopy = headers['x-cos-copy-source'] !== undefined;
  return { ...parts, query, key, kind: !isCopy ? kind : kind === 'put' ? 'copy' : 'unknown' };
}

function bucketCall(method: string, has: (name: string) => boolean): CallKind {
  if (method === 'HEAD') return 'headBucket';
  if (method === 'PUT' && has('versioning')) return 'putVersioning';
  if (method === 'PUT' && has('lifecycle')) return 'putLifecycle';
  if (method !== 'GET') return 'unknown';
  if (has('versioning')) return 'versioning';
  if (has('lifecycle')) return 'lifecycle';
  return has('uploads') ? 'listUploads' : 'list';
}

function objectCall(method: string, has: (name: string) => boolean): CallKind {
  const isOfUpload = has('uploadId');
  if (method === 'PUT') return isOfUpload ? (has('partNumber') ? 'part' : 'unknown') : 'put';
  if (method === 'POST')
    return has('restore') ? 'restore' : has('uploads') ? 'init' : isOfUpload ? 'complete' : 'unknown';
  if (method === 'GET') return isOfUpload ? 'listParts' : 'get';
  if (method === 'DELETE') return isOfUpload ? 'abort' : 'delete';
  return method === 'HEAD' ? 'head' : 'unknown';
}

function parseQuery(text: string): Map<string, string> | undefined {
  const query = new Map<string, string>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = decode(equals < 0 ? '' : pair.slice(equals + 1).replaceAll('+', ' '));
    if (name === undefined || value === undefined) return undefined;
    query.set(name, value);
  }
  return query;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
