// JSON Web Tokens as Pulsar takes them (HS256): the role is the claim `sub`. For tests only.
import { createHmac } from 'node:crypto';

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token that never expires, signed with the broker's secret key. */
export function signToken(role: string, secretKey: Uint8Array): string {
  const signed = `${base64url({ alg: 'HS256' })}.${base64url({ sub: role })}`;
  return `${signed}.${createHmac('sha256', secretKey).update(signed).digest('base64url')}`;
}
