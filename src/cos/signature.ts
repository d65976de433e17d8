// COS's request signature (API page 436/7778): the Authorization header of one request. Knows nothing of sending it.
import { createHash, createHmac } from 'node:crypto';
import type { Credentials } from '../config.ts';

/** What of a request is signed. */
export interface Signed {
  readonly method: string;
  /** Empty for the bucket itself. */
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** For how long COS takes a signature. */
const VALID_SECONDS = 900;

/** The Authorization header at that time of COS's clock: all of the query, and all headers given, are signed. */
export function authorizationOf(
  { method, key, query, headers }: Signed,
  { secretId, secretKey }: Pick<Credentials, 'secretId' | 'secretKey'>,
  nowMs: number,
): string {
  // A second early: the clock of COS may be behind by that.
  const from = Math.round(nowMs / 1_000) - 1;
  const time = `${from};${from + VALID_SECONDS}`;
  const [headerNames, headerPairs] = listOf(headers);
  const [queryNames, queryPairs] = listOf(query);
  const request = `${method.toLowerCase()}\n/${key}\n${queryPairs}\n${headerPairs}\n`;
  const digest = createHash('sha1').update(request).digest('hex');
  const signature = hmac(hmac(secretKey.reveal(), time), `sha1\n${time}\n${digest}\n`);
  return `q-sign-algorithm=sha1&q-ak=${secretId}&q-sign-time=${time}&q-key-time=${time}&q-header-list=${headerNames}&q-url-param-list=${queryNames}&q-signature=${signature}`;
}

const hmac = (key: string, text: string): string => createHmac('sha1', key).update(text).digest('hex');

function listOf(fields: Readonly<Record<string, string>>): [names: string, pairs: string] {
  const pairs = Object.entries(fields)
    .map(([name, value]) => [encode(name).toLowerCase(), encode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return [pairs.map(([name]) => name).join(';'), pairs.map((pair) => pair.join('=')).join('&')];
}

/** Percent-encodes everything but letters, digits and `-_.~`. @throws URIError on half a surrogate pair */
export const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
