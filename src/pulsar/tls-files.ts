// Reads and validates the TLS files of the settings before anything connects: the trusted CAs, and the client's
// certificate. Refuses files that TLS would silently accept, or reject without naming the setting.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { PulsarConfig } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';

/** PEM, with the option names of node:tls and node:https. Absent: the system's CAs, no certificate. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Reads the files that the settings name. @throws BackupError `config` that names the variable of the one at fault */
export function readTlsFiles({
  tlsCaFile,
  clientCertificate,
  runsFrom,
}: Pick<PulsarConfig, 'tlsCaFile' | 'clientCertificate' | 'runsFrom'>): TlsFiles {
  const where =
    runsFrom === 'shell' ? 'that can be read here' : 'inside the function package, such as /var/user/…';
  const refuse = (variable: string, what: string, cause?: unknown, hint?: string) =>
    new BackupError('config', `${variable}: ${what}`, {
      hint: `${variable} must be a PEM file ${hint ?? where}.`,
      cause,
    });
  const read = (variable: string, file: string, what: 'certificate' | 'private key'): Buffer => {
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      throw refuse(variable, `the file ${file} cannot be read: ${messageOf(error)}`, error);
    }
    const label = new RegExp(`-----BEGIN [A-Z0-9 ]*${what.toUpperCase()}-----`);
    if (!label.test(bytes.toString('latin1')))
      throw refuse(variable, `the file ${file} holds no ${what} in PEM`);
    return bytes;
  };
  const ca = tlsCaFile === undefined ? {} : { ca: read('PULSAR_TLS_CA_FILE', tlsCaFile, 'certificate') };
  // node:tls ignores unreadable parts of a CA file, and then trusts nobody.
  if (ca.ca !== undefined && !hasCertificate(ca.ca.toString('latin1'))) {
    throw refuse('PULSAR_TLS_CA_FILE', `the file ${tlsCaFile} holds no certificate that can be read`);
  }
  if (clientCertificate === undefined) return ca;
  const { certFile, keyFile } = clientCertificate;
  const cert = read('PULSAR_TLS_CERT_FILE', certFile, 'certificate');
  const key = read('PULSAR_TLS_KEY_FILE', keyFile, 'private key');
  const tryOut = (variable: string, options: TlsFiles, what: string, hint: string) => {
    try {
      createSecureContext(options);
    } catch (error) {
      throw refuse(variable, `${what}: ${messageOf(error)}`, error, hint);
    }
  };
  const unusable = (file: string, what: string) => `the file ${file} holds no ${what} that can be used`;
  tryOut(
    'PULSAR_TLS_CERT_FILE',
    { cert },
    unusable(certFile, 'certificate'),
    "with the client's certificate first, and those between it and its CA behind it",
  );
  tryOut(
    'PULSAR_TLS_KEY_FILE',
    { key },
    unusable(keyFile, 'private key'),
    'with the private key, without a passphrase (openssl pkey -in FILE -out FILE takes it off)',
  );
  tryOut(
    'PULSAR_TLS_KEY_FILE',
    { cert, key },
    `the key in ${keyFile} is not that of the certificate in ${certFile}`,
    'with the key of the first certificate in PULSAR_TLS_CERT_FILE',
  );
  return { ...ca, cert, key };
}

function hasCertificate(pem: string): boolean {
  const blocks =
    pem.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----[\s\S]*?-----END [A-Z0-9 ]*CERTIFICATE-----/g) ?? [];
  return blocks.some((block) => {
    try {
      return new X509Certificate(block).subject !== undefined;
    } catch {
      return false;
    }
  });
}
