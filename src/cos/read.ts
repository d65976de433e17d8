// Reads an object as a stream: silence, truncation and refusals become errors, and a consumer that stops reading ends
// the request. Follows a slow consumer's pace; holds only the stream's buffers.
import type { IncomingMessage } from 'node:http';
import { Transform } from 'node:stream';
import { BackupError } from '../errors.ts';
import type { CallOptions } from '../ports.ts';
import type { CosClient } from './client.ts';
import { ODD_ANSWER } from './failure.ts';

export interface ReadOptions extends CallOptions {
  readonly start?: number;
  readonly end?: number;
}

/** Reads an object, or a range of it as ObjectStore.read has it. @throws BackupError `store`, from the iterator */
export async function* readObject(
  client: CosClient,
  key: string,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { bucket, region } = client.location;
  const range = rangeHeader(options);

  // The SDK pipes the body of a refusal as well.
  const gate = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, isGood() ? chunk : undefined);
    },
    flush(done) {
      // The refusal itself comes from the SDK next, and destroys this stream.
      if (isGood()) done();
    },
  });
  const isGood = (): boolean => Math.floor((sending.response()?.statusCode ?? 0) / 100) === 2;

  const sending = client.stream(
    { doing: 'read the object', action: 'GetObject', key },
    (cos) =>
      cos.getObject({
        Bucket: bucket,
        Region: region,
        Key: key,
        Output: gate,
        ...(range === undefined ? {} : { Range: range }),
      }),
    options,
  );
  // The SDK emits its raw error on the stream and modifies errors that it finds there; ours are kept elsewhere.
  gate.on('error', () => {});
  sending.result.catch(() => gate.destroy(ended()));

  const iterator = gate[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let answered: ReturnType<typeof answeredRange> | undefined;
  let bytes = 0;
  try {
    for (;;) {
      const next = await withinSilence(client.idleTimeoutMs, iterator.next(), sending.stop);
      const response = sending.response();
      if (response !== undefined && isGood()) answered ??= answeredRange(options, response);
      if (next.done) {
        // It settles with the stream; after that the connection is free for the next call.
        await sending.result;
        if (answered?.sizeBytes !== undefined && bytes !== answered.sizeBytes)
          throw notAsAsked(key, `${bytes} of ${answered.sizeBytes} bytes came`);
        return;
      }
      if (answered?.fault !== undefined) throw notAsAsked(key, answered.fault);
      bytes += next.value.byteLength;
      yield next.value;
    }
  } catch (error) {
    if (answered === undefined || !(error instanceof BackupError)) await sending.result;
    throw error;
  } finally {
    // An error, so that the SDK ends the request and forgets its progress timer.
    gate.destroy(ended());
    sending.stop('reading ended');
  }
}

async function withinSilence<T>(ms: number, next: Promise<T>, stop: (reason: string) => void): Promise<T> {
  const timer = setTimeout(() => stop(`silence for ${ms} ms`), ms);
  try {
    return await next;
  } finally {
    clearTimeout(timer);
  }
}

function rangeHeader({ start, end }: ReadOptions): string | undefined {
  if (start === undefined && end === undefined) return undefined;
  if (start !== undefined && start < 0) return `bytes=${start}`;
  return `bytes=${start ?? 0}-${end ?? ''}`;
}

/** The range in the response; `fault`: it is not the requested one. */
function answeredRange(
  { start = 0, end = Number.POSITIVE_INFINITY }: ReadOptions,
  { statusCode, headers }: IncomingMessage,
): { fault?: string; sizeBytes: number | undefined } {
  const length = headers['content-length'];
  const sizeBytes = length === undefined ? undefined : Number(length);
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
  if (statusCode === 206 && first !== undefined) {
    const size = Number(total);
    const from = start < 0 ? Math.max(0, size + start) : start;
    const to = start < 0 ? size - 1 : Math.min(end, size - 1);
    const reported = { sizeBytes: Number(last) - Number(first) + 1 };
    if (Number(first) === from && Number(last) === to) return reported;
    return { ...reported, fault: `bytes ${first} to ${last} came for ${from} to ${to}` };
  }
  // The request may be for the whole object.
  const isWhole = start < 0 ? (sizeBytes ?? Number.POSITIVE_INFINITY) <= -start : start === 0;
  if (isWhole && (end === Number.POSITIVE_INFINITY || (sizeBytes !== undefined && sizeBytes <= end + 1)))
    return { sizeBytes };
  return { sizeBytes, fault: 'the whole object came for a part of it' };
}

const notAsAsked = (key: string, what: string): BackupError =>
  new BackupError('store', `cannot read the object ${key}: ${what}`, { retryable: true, hint: ODD_ANSWER });

const ended = (): Error => new Error('reading ended');
