// Writes responses: COS's common headers, error XML, files, and slow responses or ones with leading spaces.
import { createReadStream } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './bucket.ts';
import { xmlDocument } from './xml.ts';

/** What COS says about a refusal. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** How an answer leaves, other than at once. */
export interface Pace {
  readonly bytesPerSecond?: number;
  /** The status first, then this many spaces, then the body. */
  readonly spaces?: number;
  /** Bytes of the body after which the connection is reset. */
  readonly resetAfterBytes?: number;
}

/** The error XML of a refusal, as an answer. HEAD has no body. */
export function refusalAnswer(refusal: Refusal, resource: string, requestId: string): Answer {
  const body = xmlDocument([
    'Error',
    [
      ['Code', refusal.code],
      ['Message', refusal.message],
      ['Resource', resource],
      ['RequestId', requestId],
      ['TraceId', Buffer.from(`trace-${requestId}`).toString('base64')],
    ],
  ]);
  return { status: refusal.status, headers: { 'content-type': 'application/xml' }, body };
}

/** Sends an answer. Resolves when it has left or the client is gone. */
export async function sendAnswer(response: ServerResponse, answer: Answer, pace: Pace = {}): Promise<void> {
  const text = answer.file?.bytes ?? Buffer.from(answer.body ?? '');
  const isWhole = answer.file === undefined || answer.file.bytes !== undefined;
  const { socket } = response.req;
  const isHead = response.req.method === 'HEAD';
  const length = answer.announcedBytes ?? text.length;
  if (pace.spaces === undefined && answer.status !== 204) response.setHeader('Content-Length', length);
  response.writeHead(answer.status, inCosCase(answer.headers));
  if (pace.spaces !== undefined) await writeSpaces(response, pace.spaces);
  if (isHead) {
    response.end();
    return;
  }
  if (isWhole && pace.bytesPerSecond === undefined && pace.resetAfterBytes === undefined) {
    response.end(text);
    return;
  }
  try {
    await pipeline(paced(bodyOf(answer, text), pace), response);
  } catch {
    // The client is gone, or the connection is to be reset.
    socket.resetAndDestroy();
  }
}

/** Names as COS writes them: some clients look them up by case. */
function inCosCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  const named = Object.entries(headers).map(([name, value]) => {
    if (name === 'etag') return ['ETag', value];
    return [name.startsWith('x-cos-') ? name : name.replace(/\b[a-z]/g, (c) => c.toUpperCase()), value];
  });
  return Object.fromEntries(named) as Record<string, string>;
}

function bodyOf(answer: Answer, text: Buffer): Readable {
  if (answer.file === undefined || answer.file.bytes !== undefined) return Readable.from([text]);
  const { path, start, sizeBytes } = answer.file;
  return createReadStream(path, { start, end: start + sizeBytes - 1, highWaterMark: 256 * 1024 });
}

async function* paced(body: Readable, pace: Pace): AsyncGenerator<Uint8Array> {
  let passed = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const stride =
      pace.bytesPerSecond === undefined ? chunk.length : Math.max(1, Math.ceil(pace.bytesPerSecond / 50));
    for (let at = 0; at < chunk.length; at += stride) {
      const piece = chunk.subarray(at, at + stride);
      if (pace.resetAfterBytes !== undefined && passed + piece.length >= pace.resetAfterBytes) {
        yield piece.subarray(0, pace.resetAfterBytes - passed);
        // What was written must leave before the reset, or it would be discarded with it.
        await sleep(20);
        throw new Error('reset by order');
      }
      passed += piece.length;
      yield piece;
      if (pace.bytesPerSecond !== undefined) await sleep((piece.length / pace.bytesPerSecond) * 1000);
    }
  }
}

async function writeSpaces(response: ServerResponse, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    response.write(' ');
    await sleep(5);
  }
}
