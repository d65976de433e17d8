// Takes a request's body: a large one as a stream into a temporary file, its sums taken on the way; a small one as text.
import { createHash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { CosError } from './cos-error.ts';
import { createCrc64 } from './crc64-table.ts';

/** A body that has arrived in full. */
export interface ReceivedBody {
  /** Where it is until it is committed; `undefined` where bodies are discarded. */
  readonly file: string | undefined;
  readonly sizeBytes: number;
  readonly crc64: bigint;
  /** MD5, hexadecimal; made up of the CRC and the size where MD5 is not taken. */
  readonly etag: string;
}

export interface ReceiveOptions {
  readonly file: string | undefined;
  readonly takeMd5: boolean;
  /** Called once, when half of the announced bytes are there; may throw to break off. */
  readonly atHalf?: (() => void) | undefined;
}

/**
 * Streams the body to the file. Throws a CosError for a missing length or a Content-MD5 that differs, and whatever the
 * connection throws when it ends early; the file is gone then.
 */
export async function receiveBody(request: IncomingMessage, options: ReceiveOptions): Promise<ReceivedBody> {
  const length = request.headers['content-length'];
  if (length === undefined) {
    throw new CosError('MissingContentLength', 'You must provide the Content-Length HTTP header');
  }
  const crc = createCrc64();
  const md5 = options.takeMd5 ? createHash('md5') : undefined;
  const half = Number(length) / 2;
  let sizeBytes = 0;
  // Synchronous writes into the page cache cost less than a trip through the thread pool for each chunk.
  const fd = options.file === undefined ? undefined : openSync(options.file, 'wx');
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (sizeBytes < half && sizeBytes + chunk.length >= half) options.atHalf?.();
      crc.update(chunk);
      md5?.update(chunk);
      if (fd !== undefined) writeFully(fd, chunk);
      sizeBytes += chunk.length;
    }
    const md5Bytes = md5?.digest();
    if (md5Bytes !== undefined) verifyMd5(request.headers['content-md5'], md5Bytes);
    const crc64 = crc.value();
    const etag = md5Bytes?.toString('hex') ?? hex16(crc64) + hex16(BigInt(sizeBytes));
    return { file: options.file, sizeBytes, crc64, etag };
  } catch (error) {
    if (options.file !== undefined) rmSync(options.file, { force: true });
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The body as text. Throws a CosError where it is larger than any XML of a valid call, or its Content-MD5 differs. */
export async function receiveText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > 4_000_000) throw new CosError('MalformedXML', 'The XML is longer than any that is valid');
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  verifyMd5(request.headers['content-md5'], createHash('md5').update(bytes).digest());
  return bytes.toString();
}

function verifyMd5(header: string | string[] | undefined, actual: Buffer): void {
  if (header === undefined) return;
  const given = Buffer.from(String(header), 'base64');
  if (given.length !== 16) throw new CosError('InvalidDigest', 'The Content-MD5 you specified is not valid');
  if (!given.equals(actual))
    throw new CosError('BadDigest', 'The Content-MD5 you specified did not match what we received');
}

function writeFully(fd: number, chunk: Buffer): void {
  for (let written = 0; written < chunk.length; ) written += writeSync(fd, chunk, written);
}

const hex16 = (value: bigint) => value.toString(16).padStart(16, '0');
