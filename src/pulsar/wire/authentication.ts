// The client's authentication: by a token, or by its TLS certificate; and the hints for a broker's refusal.
import type { PulsarConfig } from '../../config.ts';
import type { Secret } from '../../lib/secret.ts';
import type { Clock } from '../../ports.ts';
import type { TlsFiles } from '../tls-files.ts';

/** The client's credentials. */
export interface Identity {
  readonly clock: Clock;
  readonly token: Secret | undefined;
  readonly tls: TlsFiles;
  /** The role that the token was read of, where it is not a setting. */
  readonly tdmqRole?: PulsarConfig['tdmqRole'];
}

/** The fields of CONNECT and AUTH_RESPONSE (Pulsar's methods `token` and `tls`); none where there is nothing to show. */
export function authFields(
  { token, tls }: Identity,
  isOverTls: boolean,
): { authMethodName: string; authData: Buffer } | Record<string, never> {
  if (token !== undefined) return { authMethodName: 'token', authData: Buffer.from(token.reveal(), 'utf8') };
  // The broker reads the certificate from the connection.
  return isOverTls && tls.cert !== undefined ? { authMethodName: 'tls', authData: Buffer.alloc(0) } : {};
}

/** The same for requests over HTTP. */
export function authHeaders({ token, tls }: Identity, isOverTls: boolean): Record<string, string> {
  if (token !== undefined) return { Authorization: `Bearer ${token.reveal()}` };
  return isOverTls && tls.cert !== undefined ? { 'X-Pulsar-Auth-Method-Name': 'tls' } : {};
}

/** The hint for a broker that does not know this client. `words`: the broker's message. */
export function unknownHint(identity: Identity, words: string, isOverTls: boolean): string {
  const { token, tls, tdmqRole, clock } = identity;
  if (token === undefined && tls.cert === undefined) {
    return 'The cluster wants to know who asks: set PULSAR_TOKEN to the key of a TDMQ role, or TDMQ_CLUSTER_ID and TDMQ_ROLE_NAME. (Where it knows clients by certificate: PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE.)';
  }
  if (token === undefined) {
    return isOverTls
      ? 'The cluster does not take the certificate of PULSAR_TLS_CERT_FILE as a login: set PULSAR_TOKEN if it wants tokens, or have the brokers know clients by certificate (AuthenticationProviderTls).'
      : 'The certificate of PULSAR_TLS_CERT_FILE is shown over TLS only: use a PULSAR_SERVICE_URL of pulsar+ssl:// or https://, or set PULSAR_TOKEN.';
  }
  const where =
    tdmqRole === undefined
      ? 'PULSAR_TOKEN'
      : `TDMQ_ROLE_NAME (${tdmqRole.roleName}), read through the TDMQ API`;
  if (tdmqRole === undefined && /^(?:token:|Bearer|file:)/i.test(token.reveal())) {
    return 'PULSAR_TOKEN must be the key alone: without "token:", "Bearer" or "file:" before it.';
  }
  const endsAtMs = endOf(token);
  if (/expired/i.test(words) || (endsAtMs !== undefined && endsAtMs <= clock.now())) {
    const end = endsAtMs === undefined ? '' : ` (${new Date(endsAtMs).toISOString()})`;
    return `The key of ${where} has expired${end}: get the role's current key, or one that does not end. Where it should be valid still, a clock is wrong.`;
  }
  return `Check ${tdmqRole === undefined ? where : `TDMQ_CLUSTER_ID and ${where}`}: it must be the current key of a TDMQ role of this cluster.`;
}

/** When the token ends (`exp` of a JWT), in milliseconds; `undefined` where it does not contain that. */
function endOf(token: Secret): number | undefined {
  try {
    const claims = Buffer.from(token.reveal().split('.')[1] ?? '', 'base64url').toString('utf8');
    const { exp } = JSON.parse(claims) as { exp?: unknown };
    return typeof exp === 'number' && Math.abs(exp) < 8.64e12 ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
