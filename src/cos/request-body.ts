// The body of a request: streamed, never copied, with its length. Refuses bodies of another length than announced. No
// MD5 is sent if COS returns the CRC-64 of the received bytes, which costs a quarter.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { BackupError } from '../errors.ts';
import type { Body } from '../ports.ts';

/** A new stream for one call. The SDK would copy a Buffer and retry by itself. @throws BackupError */
export function streamOf(body: Body): { Body: Readable; ContentLength: number } {
  const chunks = body.chunks.filter((chunk) => chunk.byteLength > 0);
  const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  if (sizeBytes !== body.sizeBytes) {
    // A shorter body would make the request wait for the rest.
    throw new BackupError('store', `a body has ${sizeBytes} bytes where ${body.sizeBytes} were announced`);
  }
  return { Body: Readable.from(chunks), ContentLength: sizeBytes };
}

/** MD5 in Base64: COS refuses other bytes before it stores them. */
export function contentMd5(body: Body): { 'Content-MD5': string } {
  const hash = createHash('md5');
  for (const chunk of body.chunks) hash.update(chunk);
  return { 'Content-MD5': hash.digest('base64') };
}
