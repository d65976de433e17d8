// The one place that retries store I/O. After a creation without a response it reads the object to find out the
// outcome, and never guesses. Gives up with the last error when it runs out of tries or time.
import { setMaxListeners } from 'node:events';
import { BackupError } from './errors.ts';
import { DAMAGED_HINT } from './format/stored-object.ts';
import { retry } from './lib/retry.ts';
import type {
  CallOptions,
  Clock,
  Created,
  Exists,
  ListedObject,
  Logger,
  ObjectHead,
  ObjectStore,
  Upload,
} from './ports.ts';

export interface RetryingStoreOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends every call and every wait, besides the signal of the call itself. */
  readonly signal?: AbortSignal;
  /** Called for each retry, after it was logged. */
  readonly onRetry?: (error: BackupError, attempt: number, delayMs: number) => void;
  /** Tries in all, per call; 6 by default. */
  readonly attempts?: number;
  /** From 0 to 1; tests control it. */
  readonly random?: () => number;
}

/** The object to create, to compare with an existing one. */
interface Expected {
  readonly sizeBytes: number;
  readonly crc64: string;
  /** `undefined`: not known (multipart). */
  readonly metadata: Readonly<Record<string, string>> | undefined;
}

/** `inner` with retries of temporary failures. `close` closes `inner`. */
export function retryingStore(inner: ObjectStore, options: RetryingStoreOptions): ObjectStore {
  const { logger } = options;
  // Each call under way listens to it; Node 18 would take many for a leak.
  if (options.signal !== undefined) setMaxListeners(0, options.signal);

  /** Runs `operation` until it succeeds, with a signal that aborts with that of the store or of the call. */
  async function repeat<T>(
    name: string,
    key: string,
    callOptions: CallOptions | undefined,
    operation: (joined: CallOptions) => Promise<T>,
    attempts = options.attempts,
  ): Promise<T> {
    // Clean-up continues after the run's end, within the call's own time limit.
    const isCleanUp = name === 'abort' && callOptions?.signal !== undefined;
    const joined = joinSignals(isCleanUp ? undefined : options.signal, callOptions?.signal);
    try {
      return await retry(() => operation(joined.signal ? { signal: joined.signal } : {}), {
        ...options,
        ...(attempts === undefined ? {} : { attempts }),
        signal: joined.signal,
        onRetry(error, attempt, delayMs) {
          const code = error.details['code'] ?? error.details['status'] ?? error.code;
          const fields = {
            key,
            call: name,
            attempt,
            code,
            delayMs: Math.round(delayMs),
            reason: error.message,
          };
          logger.warn(fields, READS.has(name) ? 'read retried' : 'upload retried');
          options.onRetry?.(error, attempt, delayMs);
        },
      });
    } finally {
      joined.release();
    }
  }

  /** A creation. Once the outcome of one try is unknown, the object at the key may be its result. */
  async function commit(
    name: string,
    key: string,
    expected: Expected,
    callOptions: CallOptions | undefined,
    creation: (joined: CallOptions) => Promise<Created | Exists>,
  ): Promise<Created | Exists> {
    let isUnknown = false;
    const find = (attempts?: number) =>
      repeat('head', key, callOptions, (joined) => inner.head(key, joined), attempts);
    try {
      const outcome = await repeat(name, key, callOptions, async (joined) => {
        try {
          return await creation(joined);
        } catch (error) {
          isUnknown ||= error instanceof BackupError && error.outcomeUnknown;
          throw error;
        }
      });
      if (outcome.kind === 'created' || !isUnknown) return outcome;
    } catch (error) {
      if (!isUnknown || !(error instanceof BackupError) || error.code !== 'store') throw error;
      // After failed tries, check once; after a refusal (the upload is gone, because it is complete), as often as
      // necessary.
      const found = await find(error.retryable ? 1 : undefined).catch(() => undefined);
      if (found === undefined) throw error;
      return outcomeOf(found, expected);
    }
    const found = await find();
    return found === undefined ? { kind: 'exists' } : outcomeOf(found, expected);
  }

  /** Items of a listing or a body, one after the other; `open` continues after those already returned. */
  async function* resume<T>(
    name: string,
    key: string,
    callOptions: CallOptions | undefined,
    open: (joined: CallOptions) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const joined = joinSignals(options.signal, callOptions?.signal);
    const signals = joined.signal ? { signal: joined.signal } : {};
    let iterator: AsyncIterator<T> | undefined;
    try {
      for (;;) {
        const next = await repeat(name, key, signals, async () => {
          iterator ??= open(signals)[Symbol.asyncIterator]();
          try {
            return await iterator.next();
          } catch (error) {
            iterator = undefined;
            throw error;
          }
        });
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await iterator?.return?.();
      joined.release();
    }
  }

  const wrapUpload = (key: string, upload: Upload): Upload => ({
    kind: 'upload',
    part: (number, body, crc64, callOptions) =>
      repeat('part', key, callOptions, (joined) => upload.part(number, body, crc64, joined)),
    complete: (whole, callOptions) =>
      commit('complete', key, { ...whole, metadata: undefined }, callOptions, (joined) =>
        upload.complete(whole, joined),
      ),
    abort: (callOptions) => repeat('abort', key, callOptions, (joined) => upload.abort(joined)),
  });

  return {
    create: (key, body, crc64, attributes, callOptions) =>
      commit(
        'create',
        key,
        { sizeBytes: body.sizeBytes, crc64, metadata: attributes.metadata },
        callOptions,
        (joined) => inner.create(key, body, crc64, attributes, joined),
      ),
    expectCreations: () => inner.expectCreations(),
    async startUpload(key, attributes, callOptions) {
      const started = await repeat('init', key, callOptions, (joined) =>
        inner.startUpload(key, attributes, joined),
      );
      return started.kind === 'exists' ? started : wrapUpload(key, started);
    },
    head: (key, callOptions) => repeat('head', key, callOptions, (joined) => inner.head(key, joined)),
    async *read(key, callOptions = {}) {
      let start = callOptions.start ?? 0;
      const end = start < 0 ? undefined : callOptions.end;
      let received = 0;
      async function* open(joined: CallOptions): AsyncGenerator<Uint8Array, void, undefined> {
        if (received === 0) return yield* inner.read(key, { ...callOptions, ...joined });
        // The read of an object's end was interrupted: compute the rest from its size.
        if (start < 0) start = Math.max(0, ((await inner.head(key, joined))?.sizeBytes ?? 0) + start);
        if (end !== undefined && start + received > end) return;
        yield* inner.read(key, {
          ...joined,
          start: start + received,
          ...(end === undefined ? {} : { end }),
        });
      }
      for await (const chunk of resume('read', key, callOptions, open)) {
        received += chunk.byteLength;
        yield chunk;
      }
    },
    async *list(prefix, callOptions = {}) {
      let last: ListedObject | undefined;
      const open = (joined: CallOptions) =>
        inner.list(prefix, { ...callOptions, ...joined, ...(last && { startAfter: last.key }) });
      for await (const item of resume('list', prefix, callOptions, open)) {
        last = item;
        yield item;
      }
    },
    async *listFolder(prefix, callOptions = {}) {
      let last: string | undefined;
      const open = (joined: CallOptions) =>
        inner.listFolder(prefix, { ...callOptions, ...joined, ...(last && { startAfter: last }) });
      for await (const item of resume('list', prefix, callOptions, open)) {
        last = item.key;
        yield item;
      }
    },
    async *listUploads(prefix, callOptions) {
      const seen = new Set<string>();
      const open = (joined: CallOptions) => inner.listUploads(prefix, joined);
      for await (const item of resume('listUploads', prefix, callOptions, open)) {
        if (seen.has(item.uploadId)) continue;
        seen.add(item.uploadId);
        yield item;
      }
    },
    abortUpload: (key, uploadId, callOptions) =>
      repeat('abort', key, callOptions, (joined) => inner.abortUpload(key, uploadId, joined)),
    close: () => inner.close(),
  };
}

const READS: ReadonlySet<string> = new Set(['head', 'read', 'list', 'listUploads']);

/** Whether the object at the key is the one to create. A missing checksum proves nothing. */
function outcomeOf(found: ObjectHead, expected: Expected): Created | Exists {
  const { metadata } = expected;
  const isLike =
    found.sizeBytes === expected.sizeBytes &&
    (metadata === undefined || isSameRecord(found.metadata, metadata));
  if (isLike && found.crc64 === expected.crc64) return { kind: 'created', crc64: expected.crc64 };
  // The same bytes by their SHA-256, but stored differently.
  if (isLike && metadata?.['sha256'] !== undefined && found.crc64 !== undefined) {
    throw new BackupError(
      'corrupt',
      `the store has ${found.key} damaged: CRC-64 ${found.crc64} instead of ${expected.crc64}`,
      {
        hint: DAMAGED_HINT,
        details: { key: found.key },
      },
    );
  }
  return { kind: 'exists' };
}

function isSameRecord(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** One signal for two, since not every Node 18 has AbortSignal.any. */
function joinSignals(
  first: AbortSignal | undefined,
  second: AbortSignal | undefined,
): { signal: AbortSignal | undefined; release(): void } {
  if (first === undefined || second === undefined || first === second) {
    return { signal: first ?? second, release() {} };
  }
  const joined = new AbortController();
  const signals = [first, second];
  const listeners = signals.map((signal) => () => joined.abort(signal.reason));
  for (const [i, signal] of signals.entries()) {
    if (signal.aborted) joined.abort(signal.reason);
    signal.addEventListener('abort', listeners[i] as () => void);
  }
  return {
    signal: joined.signal,
    release() {
      for (const [i, signal] of signals.entries()) {
        signal.removeEventListener('abort', listeners[i] as () => void);
      }
    },
  };
}
