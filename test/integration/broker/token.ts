// JSON Web Tokens as Pulsar takes them (HS256): the role is the claim `sub`. For tests only.
import { createHmac } from 'node:crypto';

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token signed with the broker's secret key. `expiresAtS` (seconds since 1970) left out: it never expires. */
export function signToken(role: string, secretKey: Uint8Array, expiresAtS?: number): string {
  const signed = `${base64url({ alg: 'HS256' })}.${base64url({ sub: role, exp: expiresAtS })}`;
  return `${signed}.${createHmac('sha256', secretKey).update(signed).digest('base64url')}`;
}
