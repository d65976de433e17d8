// A body as a request carries it: streamed, never copied, with its length and its MD5. Refuses what does not have the
// length that was announced.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { BackupError } from '../errors.ts';
import type { Body } from '../ports.ts';

/** A fresh stream for one call. The SDK would copy a Buffer, and repeat it on its own account. */
export const streamOf = (body: Body): { Body: Readable; ContentLength: number } => ({
  Body: Readable.from(body.chunks.filter((chunk) => chunk.byteLength > 0)),
  ContentLength: body.sizeBytes,
});

/** MD5 in base64: COS refuses bytes that do not fit it before it stores them. */
export function contentMd5(body: Body): Record<string, string> {
  const hash = createHash('md5');
  let sizeBytes = 0;
  for (const chunk of body.chunks) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  if (sizeBytes !== body.sizeBytes) {
    // A shorter body would make the request wait for the rest.
    throw new BackupError('store', `a body has ${sizeBytes} bytes where ${body.sizeBytes} were announced`);
  }
  return { 'Content-MD5': hash.digest('base64') };
}
