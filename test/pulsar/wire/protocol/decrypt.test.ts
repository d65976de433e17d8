// An entry that the official Python client (3.13, libpulsar 4) encrypted for a key that was made for this test: a batch
// compressed with ZSTD, and a message alone compressed with ZLIB.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadCodec } from '../../../../src/pulsar/wire/protocol/decompress.ts';
import { createDecrypt, type Decrypt } from '../../../../src/pulsar/wire/protocol/decrypt.ts';
import { decodePayload, readStoredEntry } from '../../../../src/pulsar/wire/protocol/entry-decoder.ts';
import type { EntryMetadata } from '../../../../src/pulsar/wire/protocol/entry-metadata.ts';

const fixture = (name: string) =>
  readFileSync(new URL(`../../../fixtures/encrypted/${name}`, import.meta.url));
const published: { sequenceId: number; sha256: string }[] = JSON.parse(fixture('published.json').toString());
const entries = [0, 1].map((entryId) =>
  readStoredEntry({ ledgerId: 5, entryId }, fixture(`000000000005-000000000${entryId}.bin`)),
);

async function messagesOf(decrypt: Decrypt) {
  const all = [];
  for (const entry of entries) {
    const metadata = { ...(entry.metadata as EntryMetadata), isEncrypted: false };
    await loadCodec(metadata.compression);
    const context = { topic: 't', partition: 0, limitBytes: 1_000_000 };
    all.push(...decodePayload(entry.id, metadata, decrypt(entry), context).messages);
  }
  return all;
}

const pem = (type: 'rsa' | 'ec') => {
  const { privateKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2_048 })
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
};

describe('an encrypted entry', () => {
  it('is decrypted with the private key that consumers have', async () => {
    const messages = await messagesOf(createDecrypt(fixture('consumer.pem'), 'consumer.pem'));
    expect(messages.map(({ sequenceId, payload }) => ({ sequenceId, sha256: sha256(payload) }))).toEqual(
      published.map(({ sequenceId, sha256 }) => ({ sequenceId, sha256 })),
    );
  });

  it('names the keys it is encrypted for where the private key is another', async () => {
    await expect(messagesOf(createDecrypt(pem('rsa'), 'other.pem'))).rejects.toThrow(
      'it is encrypted by its producer for "backup-test", and other.pem is the private key of none of them',
    );
  });

  it('whose bytes were changed is not given out', async () => {
    const decrypt = createDecrypt(fixture('consumer.pem'), 'consumer.pem');
    const changed = Buffer.from(fixture('000000000005-0000000001.bin'));
    changed[changed.length - 20] = (changed[changed.length - 20] as number) ^ 1;
    expect(() => decrypt(readStoredEntry({ ledgerId: 5, entryId: 1 }, changed))).toThrow('changed');
  });
});

it('a key that is none, or of a kind that only one client knows, is refused with a hint', () => {
  expect(() => createDecrypt(Buffer.from('no key'), 'a.pem')).toThrow('a.pem is no private key');
  expect(() => createDecrypt(pem('ec'), 'b.pem')).toThrow('only RSA keys');
});

const sha256 = (bytes: Uint8Array | null) =>
  createHash('sha256')
    .update(bytes as Uint8Array)
    .digest('hex');
