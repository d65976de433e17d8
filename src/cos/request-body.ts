// Bodies of requests: those of objects, whose length is checked, and XML. No MD5 goes along with an object where COS answers
// with the CRC-64 of what it got: that costs a quarter of it.
import { createHash } from 'node:crypto';
import { BackupError } from '../errors.ts';
import type { Body } from '../ports.ts';
import { toXml, type XmlContent } from './xml.ts';

/** The body, if it has the length that it says: a shorter one would make the request wait for the rest. @throws BackupError */
export function checkedBody(body: Body): Body {
  const sizeBytes = body.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  if (sizeBytes === body.sizeBytes) return body;
  throw new BackupError('store', `a body has ${sizeBytes} bytes where ${body.sizeBytes} were announced`);
}

/** MD5 in base64: COS refuses bytes that do not fit it before it stores them. */
export function contentMd5(body: Body): { 'Content-MD5': string } {
  const hash = createHash('md5');
  for (const chunk of body.chunks) hash.update(chunk);
  return { 'Content-MD5': hash.digest('base64') };
}

/** XML as a body, with the headers that COS wants beside it. */
export function xmlBody(content: XmlContent): { body: Body; headers: Record<string, string> } {
  const bytes = Buffer.from(toXml(content));
  const body = { chunks: [bytes], sizeBytes: bytes.byteLength };
  return { body, headers: { 'Content-Type': 'application/xml', ...contentMd5(body) } };
}
