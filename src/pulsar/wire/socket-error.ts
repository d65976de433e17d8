// What it means when a connection to a broker fails before anything of Pulsar is said: names, networks, ports, TLS. Says
// what to do about that one cause, and speaks of a function's network only to a function.

import { BackupError } from '../../errors.ts';
import type { RunsFrom } from '../../read-settings.ts';
import type { TlsFiles } from '../tls-files.ts';

/** How the connection was made. */
export interface SocketAttempt {
  readonly isTls: boolean;
  readonly tls: TlsFiles;
  readonly runsFrom: RunsFrom | undefined;
}

/** The network between here and the cluster, for hints. */
export const networkHint = (runsFrom: RunsFrom | undefined): string =>
  runsFrom === 'shell'
    ? "Check PULSAR_SERVICE_URL, and that this machine reaches it: a cluster's access address is often a private one, reached only from inside its network."
    : 'Check PULSAR_SERVICE_URL, and that the function is in a VPC and subnet that reach the cluster.';

/** For a port that answers otherwise than the scheme says. */
export const SCHEME_HINT =
  "Check that PULSAR_SERVICE_URL's scheme (pulsar, pulsar+ssl, http, https) fits its port: Pulsar has one port for each.";

/** What the first bytes of an answer are where they are none of Pulsar's: HTTP, or a record of TLS. */
export function otherProtocolHint(bytes: Buffer, isTls: boolean): string | undefined {
  if (bytes.subarray(0, 5).toString('latin1') === 'HTTP/') {
    return `HTTP is spoken there: set PULSAR_SERVICE_URL to ${isTls ? 'https' : 'http'}:// at this port, or to the port for pulsar${isTls ? '+ssl' : ''}://.`;
  }
  const isRecord = (bytes[0] === 0x15 || bytes[0] === 0x16) && bytes[1] === 3;
  return isRecord
    ? 'TLS is spoken there: set PULSAR_SERVICE_URL to pulsar+ssl:// or https:// at this port, or to the port for pulsar://.'
    : undefined;
}

const ASKS_FOR_CERTIFICATE =
  'The broker asks for a client certificate: set PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE to one that it trusts, and its key.';
const REFUSES_CERTIFICATE =
  'The broker does not accept the client certificate of PULSAR_TLS_CERT_FILE: it must be signed by a CA that the broker trusts, be valid now, and be made for clients (extendedKeyUsage clientAuth). With it, all between it and that CA belongs into the file.';

/** A failed socket as a BackupError: what TLS refuses is not worth a retry, networks are. */
export function socketError(name: string, error: Error, attempt: SocketAttempt): BackupError {
  const { code = '', reason } = error as NodeJS.ErrnoException & { reason?: string };
  const hint = tlsHint(code, error.message, attempt);
  // Of OpenSSL's errors, the reason is what a person can read.
  return new BackupError('source', `${name} cannot be reached: ${reason ?? error.message}`, {
    retryable: hint === undefined,
    hint: hint ?? otherHint(code, error.message, attempt),
    cause: error,
    details: code === '' ? {} : { errno: code },
  });
}

/** The hint for a fault of TLS itself, which stays until somebody does something. */
function tlsHint(code: string, message: string, { isTls, tls }: SocketAttempt): string | undefined {
  if (!isTls) return undefined;
  // OpenSSL names an alert in the code, or, where it comes within the handshake, in the message.
  const words = `${code} ${message}`.replaceAll('_', ' ').toLowerCase();
  if (/\balert\b/.test(words)) return alertHint(words, tls);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return "The server's certificate is for other names than the one it was asked by: set PULSAR_SERVICE_URL to a name that is in it, or, where a lookup answered with this address, correct what the brokers advertise (PULSAR_LISTENER_NAME chooses among several). PULSAR_TLS_CA_FILE does not help.";
  }
  if (/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/.test(code)) {
    return "The server's certificate is not valid at this time: renew it there, or set the clock of this machine. PULSAR_TLS_CA_FILE does not help, unless it is a CA in that file that has expired.";
  }
  if (/^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_|PATH_LENGTH|HOSTNAME_MISMATCH)/.test(code)) {
    return tls.ca === undefined
      ? "The server's certificate is not signed by a CA that is known here: set PULSAR_TLS_CA_FILE to a PEM file with the cluster's own CA."
      : "The server's certificate is not signed by a CA in PULSAR_TLS_CA_FILE: put the cluster's CA there (the one that signed it, not the certificate of another server), and the CAs between the two where the server leaves them out.";
  }
  if (/^(?:EPROTO|ERR_SSL|ERR_TLS)/.test(code)) {
    return `What answers there does not speak TLS as it should. ${SCHEME_HINT}`;
  }
  return undefined;
}

/** What the server says when it ends TLS (RFC 8446, section 6). */
function alertHint(words: string, { cert }: TlsFiles): string {
  if (words.includes('protocol version')) {
    return 'The server and this client have no version of TLS in common: let the brokers speak TLS 1.2 or 1.3 (tlsProtocols).';
  }
  if (words.includes('unrecognized name')) {
    return 'The server knows no host of this name: check the host of PULSAR_SERVICE_URL.';
  }
  if (/handshake failure|insufficient security/.test(words)) {
    return cert === undefined
      ? 'The server ended the handshake: it wants a client certificate (set PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE), or has no cipher in common with this client (tlsCiphers).'
      : 'The server ended the handshake: it does not accept the client certificate of PULSAR_TLS_CERT_FILE, or has no cipher in common with this client (tlsCiphers).';
  }
  if (/certificate|unknown ca|access denied|decrypt error/.test(words)) {
    return cert === undefined ? ASKS_FOR_CERTIFICATE : REFUSES_CERTIFICATE;
  }
  return `The server ended TLS by itself; its log says why. ${SCHEME_HINT}`;
}

/** With TLS 1.3 a client is done before the server has seen its certificate; what the server says about it may get lost. */
export const afterHandshakeHint = ({ cert }: TlsFiles): string =>
  cert === undefined
    ? 'A broker that asks for client certificates ends connections so: then set PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE.'
    : 'A broker that does not accept the certificate of PULSAR_TLS_CERT_FILE ends connections so: it must be signed by a CA that the broker trusts.';

function otherHint(code: string, message: string, { isTls, tls, runsFrom }: SocketAttempt): string {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `The name cannot be resolved: check the host of PULSAR_SERVICE_URL, and ${runsFrom === 'shell' ? 'the DNS of this machine' : "the DNS of the function's VPC"}.`;
  }
  // node:http's parser, and servers of other protocols that end what they do not understand.
  if (code.startsWith('HPE_')) return `What answers there does not speak HTTP. ${SCHEME_HINT}`;
  if (code === 'ECONNREFUSED') return `Nothing listens there. ${networkHint(runsFrom)} Check its port too.`;
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    const isAgreed = isTls && !/before secure TLS/.test(message);
    return isAgreed
      ? `${afterHandshakeHint(tls)} ${SCHEME_HINT} ${networkHint(runsFrom)}`
      : `${networkHint(runsFrom)} ${SCHEME_HINT}`;
  }
  return networkHint(runsFrom);
}
