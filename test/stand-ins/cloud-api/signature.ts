// Verifies TC3-HMAC-SHA256 signatures (https://cloud.tencent.com/document/api/213/30654), from the server's side.
// Written from the public description; it shares no code with the SDK or with src/rules.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from './api-error.ts';

const CLOCK_SKEW_SECONDS = 300;

export interface Account {
  readonly secretId: string;
  readonly secretKey: string;
  /** Set where the keys are temporary. */
  readonly token?: string;
  readonly appId: string;
  readonly uin: string;
}

export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Uint8Array, data: string) => createHmac('sha256', key).update(data).digest();

/** The service that the request is signed for. @throws ApiError `AuthFailure.*` as the API names it. */
export function verifySignature(request: SignedRequest, account: Account, nowMs: number): string {
  const header = request.headers.authorization ?? '';
  const match =
    /^TC3-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{4}-\d\d-\d\d)\/([a-z0-9]+)\/tc3_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/.exec(
      header,
    );
  if (match === null) throw new ApiError('AuthFailure.InvalidAuthorization', 'Authorization is malformed');
  const [, secretId, date, service, signedHeaders, signature] = match as unknown as string[];
  if (secretId !== account.secretId) {
    throw new ApiError('AuthFailure.SecretIdNotFound', 'The SecretId is not found');
  }
  if (account.token !== undefined && request.headers['x-tc-token'] !== account.token) {
    throw new ApiError('AuthFailure.TokenFailure', 'The token is not valid');
  }
  const timestamp = String(request.headers['x-tc-timestamp'] ?? '');
  if (!/^\d+$/.test(timestamp) || Math.abs(Number(timestamp) * 1000 - nowMs) > CLOCK_SKEW_SECONDS * 1000) {
    throw new ApiError('AuthFailure.SignatureExpire', 'The timestamp is out of the allowed window');
  }
  const names = (signedHeaders as string).split(';');
  if (!names.includes('host') || !names.includes('content-type')) {
    throw new ApiError('AuthFailure.InvalidAuthorization', 'host and content-type must be signed');
  }
  // The SDK signs the host without its port.
  const signedValue = (name: string) =>
    String(request.headers[name] ?? '')
      .trim()
      .replace(name === 'host' ? /:\d+$/ : /(?!)/, '');
  const canonical = [
    request.method,
    request.path,
    request.query,
    names.map((name) => `${name}:${signedValue(name)}\n`).join(''),
    signedHeaders,
    sha256(request.body),
  ].join('\n');
  const scope = `${date}/${service}/tc3_request`;
  const toSign = ['TC3-HMAC-SHA256', timestamp, scope, sha256(canonical)].join('\n');
  const key = hmac(hmac(hmac(`TC3${account.secretKey}`, date as string), service as string), 'tc3_request');
  const expected = hmac(key, toSign);
  if (!timingSafeEqual(expected, Buffer.from(signature as string, 'hex'))) {
    throw new ApiError('AuthFailure.SignatureFailure', 'The signature does not match');
  }
  return service as string;
}
