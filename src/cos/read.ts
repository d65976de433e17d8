// An object's bytes as a stream that keeps its promises: silence, truncation and refusals become errors, and a
// consumer that stops reading ends the request. Reads slowly for a slow consumer; never holds more than buffers.
import { Transform } from 'node:stream';
import type { CallOptions } from '../ports.ts';
import type { CosClient } from './client.ts';

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
  const { bucket, region } = client.place;
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
  // The SDK emits its raw error on the stream, and writes into errors that it finds there; those to throw are elsewhere.
  gate.on('error', () => {});
  sending.result.catch(() => gate.destroy(ended()));

  const iterator = gate[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const next = await withinSilence(client.idleTimeoutMs, iterator.next(), sending.stop);
      if (next.done) {
        // It settles with the stream; waiting for it leaves the connection free for the next call.
        await sending.result;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    await sending.result;
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

const ended = (): Error => new Error('reading ended');
