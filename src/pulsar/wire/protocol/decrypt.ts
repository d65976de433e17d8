// End-to-end encryption as Pulsar's official clients do it with RSA keys: the payload by AES-GCM with a data key, the data
// key by RSA-OAEP (SHA-1). EC keys (ECIES as only Bouncy Castle has it) are refused, by name.
import { constants, createDecipheriv, createPrivateKey, type KeyObject, privateDecrypt } from 'node:crypto';
import { BackupError, messageOf } from '../../../errors.ts';
import { decodeMessage } from './codec.ts';
import { metadataStartOf, type StoredEntry } from './entry-decoder.ts';

const TAG_BYTES = 16;

/** The payload of an encrypted entry, decrypted, still compressed. @throws Error whose message is a reason for a person */
export type Decrypt = (entry: StoredEntry) => Buffer;

/** Decrypts with this private key, a PEM file's content. @throws BackupError `config` where it is of no use */
export function createDecrypt(pem: Buffer, name: string): Decrypt {
  const privateKey = readKey(pem, name);
  return ({ raw, payloadStart }) => {
    const metadata = decodeMessage('MessageMetadata', raw.subarray(metadataStartOf(raw), payloadStart));
    const keys = metadata.encryptionKeys ?? [];
    for (const { value } of keys) {
      const dataKey = unwrap(privateKey, value ?? new Uint8Array());
      if (dataKey === undefined) continue;
      const sealed = raw.subarray(payloadStart);
      const decipher = createDecipheriv(
        `aes-${dataKey.length * 8}-gcm` as 'aes-256-gcm',
        dataKey,
        metadata.encryptionParam ?? Buffer.alloc(0),
      );
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
      } catch {
        throw new Error('its payload was changed after its producer encrypted it');
      }
    }
    const names = keys.map(({ key }) => JSON.stringify(key)).join(', ');
    throw new Error(
      `it is encrypted by its producer for ${names}, and ${name} is the private key of none of them`,
    );
  };
}

function readKey(pem: Buffer, name: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new BackupError('config', `${name} is no private key: ${messageOf(cause)}`, {
      hint: 'Name the PEM file with the private key that consumers of the topic use.',
      cause,
    });
  }
  if (key.asymmetricKeyType === 'rsa') return key;
  throw new BackupError(
    'config',
    `${name} is a key of type ${key.asymmetricKeyType}; only RSA keys can be used`,
    {
      hint: 'Publish the entries unchanged with archive restore --include-unreadable, and read them with the official Java client.',
    },
  );
}

function unwrap(key: KeyObject, wrapped: Uint8Array): Buffer | undefined {
  try {
    const dataKey = privateDecrypt(
      { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
      wrapped,
    );
    return [16, 24, 32].includes(dataKey.length) ? dataKey : undefined;
  } catch {
    return undefined;
  }
}
