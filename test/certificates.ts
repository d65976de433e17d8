// Certificates for tests, made by openssl in a folder that is gone afterwards: a CA, and what it signs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** The path of a file: `ca.pem`, and `{name}.pem` and `{name}.key` of what was made. */
  file(name: string): string;
  text(name: string): string;
  /** A certificate for the name (CN), signed by the CA; `extensions` are lines of openssl. */
  issue(name: string, commonName: string, extensions?: string): void;
  /** One that is signed by itself. */
  selfSigned(name: string, commonName: string): void;
  remove(): void;
}

/** Options of openssl for a new key. RSA takes thirty times as long; Java brokers of all versions read it. */
export const RSA = ['rsa:2048'];
const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

/** A folder with a CA, a `server` certificate of 127.0.0.1, and one of the client `reader`. */
export function makeCertificates(newKey: readonly string[] = EC): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-certificates-'));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const made: Certificates = {
    file,
    text: (name) => readFileSync(file(name), 'utf8'),
    issue(name, commonName, extensions = 'extendedKeyUsage=clientAuth') {
      const request = ['-subj', `/CN=${commonName}`, '-keyout', `${name}.key`, '-out', `${name}.csr`];
      openssl('req', '-newkey', ...newKey, '-nodes', ...request);
      writeFileSync(file(`${name}.ext`), extensions);
      const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        ...signing,
        '-extfile',
        `${name}.ext`,
        '-out',
        `${name}.pem`,
      );
    },
    selfSigned(name, commonName) {
      const out = ['-subj', `/CN=${commonName}`, '-keyout', `${name}.key`, '-out', `${name}.pem`];
      openssl('req', '-x509', '-newkey', ...newKey, '-nodes', '-days', '2', ...out);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  made.selfSigned('ca', 'a-ca-for-tests');
  made.issue('server', 'localhost', 'subjectAltName=IP:127.0.0.1');
  made.issue('reader', 'reader');
  return made;
}
