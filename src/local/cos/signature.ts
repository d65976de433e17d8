// Verifies COS's q-sign request signature (API documentation, "Request Signature") from the Authorization header.
// Signatures in the query string (presigned links) are refused.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Call } from './call.ts';
import { CosError } from './cos-error.ts';

/** Whom the server knows. */
export interface LoopbackCredentials {
  readonly secretId: string;
  readonly secretKey: string;
  /** Where set, the keys are temporary and every call must bring this token. */
  readonly sessionToken?: string | undefined;
}

/** What a caller must prove, and when. */
export interface Verification {
  readonly credentials: LoopbackCredentials;
  readonly isTokenExpired: boolean;
  /** Milliseconds since the epoch, by the server's clock. */
  readonly nowMs: number;
}

const FIELDS = [
  'q-sign-algorithm',
  'q-ak',
  'q-sign-time',
  'q-key-time',
  'q-header-list',
  'q-url-param-list',
  'q-signature',
];

/**
 * Throws a CosError unless the call is signed with the credentials: every header and parameter that the lists name,
 * the host among them, within its time window, with the token that belongs to the keys.
 */
export function verifySignature(call: Call, { credentials, isTokenExpired, nowMs }: Verification): void {
  const fields = parseAuthorization(call.headers.authorization);
  const get = (name: string) => fields.get(name) ?? '';
  if (get('q-sign-algorithm') !== 'sha1') throw mismatch('q-sign-algorithm is not sha1');
  if (get('q-ak') !== credentials.secretId) {
    throw new CosError('InvalidAccessKeyId', 'The Access Key Id you provided does not exist in our records');
  }
  verifyWindow(get('q-sign-time'), nowMs);
  verifyWindow(get('q-key-time'), nowMs);
  verifyToken(call, credentials, isTokenExpired);

  const headerNames = list(get('q-header-list'));
  if (!headerNames.includes('host')) throw mismatch('host is not in q-header-list');
  const headers = headerNames.map((name) => pair(name, headerValue(call, name)));
  const parameters = new Map([...call.query].map(([name, value]) => [encode(name).toLowerCase(), value]));
  const query = list(get('q-url-param-list')).map((name) => pair(name, parameters.get(name)));
  const expected = sign({
    secretKey: credentials.secretKey,
    signTime: get('q-sign-time'),
    keyTime: get('q-key-time'),
    method: call.method,
    path: `/${call.key}`,
    query: query.join('&'),
    headers: headers.join('&'),
  });
  const given = Buffer.from(get('q-signature'));
  if (given.length !== expected.length || !timingSafeEqual(given, Buffer.from(expected))) {
    throw mismatch('The signature we calculated is not the one you provided');
  }
}

/** What goes into a signature; `query` and `headers` encoded, sorted and joined already. */
export interface SignatureInput {
  readonly secretKey: string;
  readonly signTime: string;
  readonly keyTime: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: string;
}

/** The q-signature, hexadecimal. */
export function sign(input: SignatureInput): string {
  const httpString = `${input.method.toLowerCase()}\n${input.path}\n${input.query}\n${input.headers}\n`;
  const digest = createHash('sha1').update(httpString).digest('hex');
  return hmac(hmac(input.secretKey, input.keyTime), `sha1\n${input.signTime}\n${digest}\n`);
}

const hmac = (key: string, text: string) => createHmac('sha1', key).update(text).digest('hex');

function parseAuthorization(header: string | undefined): Map<string, string> {
  if (header === undefined) throw new CosError('AccessDenied', 'Access Denied: the request is not signed');
  const fields = new Map<string, string>();
  for (const field of header.split('&')) {
    const equals = field.indexOf('=');
    fields.set(field.slice(0, equals), field.slice(equals + 1));
  }
  const missing = FIELDS.find((name) => !fields.has(name));
  if (missing !== undefined) throw mismatch(`Authorization lacks ${missing}`);
  return fields;
}

/** The two refusals and words by which SDKs recognise a wrong clock. */
function verifyWindow(window: string, nowMs: number): void {
  const times = /^(\d+);(\d+)$/.exec(window);
  if (times === null) throw mismatch(`The time window is malformed: ${window}`);
  if (nowMs / 1000 > Number(times[2])) throw new CosError('AccessDenied', 'Request has expired');
  if (nowMs / 1000 + 1 < Number(times[1])) {
    throw new CosError(
      'RequestTimeTooSkewed',
      'The difference between the request time and the server time is too large',
    );
  }
}

function verifyToken(call: Call, { sessionToken }: LoopbackCredentials, isTokenExpired: boolean): void {
  const given = call.headers['x-cos-security-token'];
  if (isTokenExpired) throw new CosError('ExpiredToken', 'The security token has expired');
  if (given !== sessionToken) {
    throw new CosError('InvalidAccessKeyId', 'The security token does not belong to the Access Key Id');
  }
}

function list(joined: string): string[] {
  const names = joined === '' ? [] : joined.split(';');
  const isInOrder = names.every((name, i) => i === 0 || (names[i - 1] as string) < name);
  if (!isInOrder || joined !== joined.toLowerCase())
    throw mismatch('A list of names is not sorted or not lower case');
  return names;
}

function headerValue(call: Call, name: string): Buffer | undefined {
  const value = call.headers[decodeURIComponent(name)];
  return value === undefined ? undefined : Buffer.from(String(value), 'latin1');
}

function pair(name: string, value: string | Buffer | undefined): string {
  if (value === undefined) throw mismatch(`${name} is signed but not in the request`);
  return `${name}=${typeof value === 'string' ? encode(value) : encodeBytes(value)}`;
}

const mismatch = (message: string) => new CosError('SignatureDoesNotMatch', message);

/** Percent-encodes everything but letters, digits and `-_.~`. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The same for the bytes of a header, which may be any. */
function encodeBytes(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  if (/^[\w.~-]*$/.test(text)) return text;
  return text.replace(/[^\w.~-]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
