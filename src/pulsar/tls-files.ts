// The TLS files of the settings, read and tried out before anything is connected: whom to trust, and the client's own
// certificate. Refuses what TLS would take in silence, or refuse without naming the setting.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { PulsarConfig } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';

/** PEM, by the names that node:tls and node:https take. What is not there: the system's CAs, no certificate. */
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
  const refuse = (variable: string, what: string, cause?: unknown) =>
    new BackupError('config', `${variable}: ${what}`, {
      hint: `${variable} must be a PEM file ${runsFrom === 'shell' ? 'that can be read here' : 'inside the function package, such as /var/user/…'}.`,
      cause,
    });
  const read = (variable: string, file: string, what: 'certificate' | 'private key'): Buffer => {
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      throw refuse(variable, `the file ${file} cannot be read: ${messageOf(error)}`, error);
    }
    // node:tls takes a CA file without any certificate, and then trusts nobody.
    const label = new RegExp(`-----BEGIN [A-Z0-9 ]*${what.toUpperCase()}-----`);
    if (!label.test(bytes.toString('latin1')))
      throw refuse(variable, `the file ${file} holds no ${what} in PEM`);
    return bytes;
  };
  const ca = tlsCaFile === undefined ? {} : { ca: read('PULSAR_TLS_CA_FILE', tlsCaFile, 'certificate') };
  if (clientCertificate === undefined) return ca;
  const { certFile, keyFile } = clientCertificate;
  const cert = read('PULSAR_TLS_CERT_FILE', certFile, 'certificate');
  const key = read('PULSAR_TLS_KEY_FILE', keyFile, 'private key');
  const tryOut = (variable: string, options: TlsFiles, what: string) => {
    try {
      createSecureContext(options);
    } catch (error) {
      throw refuse(variable, `${what}: ${messageOf(error)}`, error);
    }
  };
  tryOut('PULSAR_TLS_CERT_FILE', { cert }, `the file ${certFile} holds no certificate that can be used`);
  tryOut(
    'PULSAR_TLS_KEY_FILE',
    { key },
    `the file ${keyFile} holds no key that can be used without a passphrase`,
  );
  tryOut(
    'PULSAR_TLS_KEY_FILE',
    { cert, key },
    `the key in ${keyFile} is not that of the certificate in ${certFile}`,
  );
  return { ...ca, cert, key };
}
