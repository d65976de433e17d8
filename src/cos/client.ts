// Signed requests to COS that end. Each is one try, bounded in time; an abort, a time-out or close() ends it at once and
// destroys its socket. Knows nothing of objects, and refuses to repeat anything: retrying-store.ts does that. COS's own SDK
// repeats and redirects by itself, and takes longer to load than all the rest of a run with nothing to do.
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { CosConfig } from '../config.ts';
import type { BackupError } from '../errors.ts';
import type { Body, CallOptions, Logger } from '../ports.ts';
import {
  type BucketLocation,
  type Ending,
  endedError,
  isAboutTime,
  type Progress,
  readFailure,
  type StoreCall,
  storeError,
} from './failure.ts';
import { httpsProxyOf, tunnelAgent } from './https-proxy.ts';
import { authorizationOf, encode } from './signature.ts';
import { parseXml, type Xml } from './xml.ts';

export interface CosClientOptions {
  readonly logger: Logger;
  /** Connections at a time; further calls wait. */
  readonly maxSockets?: number;
  /** For name resolution and connecting. */
  readonly connectTimeoutMs?: number;
  /** The longest silence on a connection. */
  readonly idleTimeoutMs?: number;
  /** For a whole call; reading an object has no such limit. */
  readonly timeoutMs?: number;
  /** The signed host; the bucket's own where it is not given. */
  readonly host?: string;
}

/** A request to the bucket, or to an object in it. */
export interface CosRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Without those of the client: host, length, signature. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Body;
}

/** An answer of 2xx, complete. */
export interface CosAnswer {
  readonly headers: IncomingHttpHeaders;
  /** Its outermost element, where it has any. */
  readonly xml: Xml | undefined;
}

/** A call whose answer is read as a stream. */
export interface Reading {
  /** The head of an answer of 2xx; its body is the caller's to read. Rejects with a BackupError only. */
  readonly response: Promise<IncomingMessage>;
  /** Why reading the body failed, which threw `thrown`. */
  failure(thrown: unknown): BackupError;
  /** Ends the call for `reason`; does nothing when it has ended. */
  stop(reason: string): void;
}

/** Calls to one bucket. */
export interface CosClient {
  readonly location: BucketLocation;
  readonly idleTimeoutMs: number;
  /** Sends the request once. @throws BackupError `store` */
  call(act: StoreCall, request: CosRequest, options?: CallOptions): Promise<CosAnswer>;
  /** Like `call`, for an answer that is read as a stream: silence is the caller's to judge. */
  stream(act: StoreCall, request: CosRequest, options?: CallOptions): Reading;
  /** Whether an answer has shown that the bucket is there. */
  isBucketSeen(): boolean;
  /** Ends every call and socket. May be repeated; never throws. */
  close(): void;
}

/** Refusals that only a bucket that is there gives. */
const REFUSALS_OF_A_BUCKET: ReadonlySet<string> = new Set([
  'FileAlreadyExists',
  'InvalidRange',
  'NoSuchKey',
  'NoSuchLifecycleConfiguration',
  'NoSuchUpload',
]);

/** Of a bucket, or of a region. */
const HOST = /^(?:[a-z\d-]+-\d+\.)?cos\.[a-z\d-]+\.myqcloud\.com$/;

/** COS takes a time that is off by minutes; less than this is no reason to correct it. */
const CLOCK_TOLERANCE_MS = 30_000;

/** A client for the bucket of `config`. Opens nothing before the first call. */
export function createCosClient(config: CosConfig, options: CosClientOptions): CosClient {
  const { logger, maxSockets = 16, connectTimeoutMs = 3_000 } = options;
  const { idleTimeoutMs = 20_000, timeoutMs = 120_000 } = options;
  const { bucket, region, endpoint, credentials } = config;
  const location: BucketLocation = { bucket, region, endpoint, runsFrom: config.runsFrom };
  const host = options.host ?? `${bucket}.cos.${region}.myqcloud.com`;
  const origin = endpoint === undefined ? undefined : new URL(endpoint);
  const isPlain = origin?.protocol === 'http:';
  const open = isPlain ? requestHttp : requestHttps;
  const kept = { keepAlive: true, maxSockets };
  // An endpoint that was set by hand is reached as it is, whatever HTTPS_PROXY names.
  // biome-ignore lint/style/noProcessEnv: a proxy is no setting of ours; whoever runs a machine names it for all programs
  const proxy = origin === undefined ? httpsProxyOf(host, process.env) : undefined;
  const agent = isPlain
    ? new HttpAgent(kept)
    : proxy === undefined
      ? new HttpsAgent(kept)
      : tunnelAgent(proxy, kept);
  // Without a name, Node looks whether the host is an IPv6 address: 2 ms at the first request.
  const target: RequestOptions = {
    agent,
    host: origin?.hostname.replace(/^\[|\]$/g, '') ?? host,
    ...(origin?.port && { port: origin.port }),
    ...{ servername: isPlain ? '' : host },
  };
  const redact = redactor(config);
  const underWay = new Set<(ending: Ending) => void>();
  let isClosed = false;
  let isBucketSeen = false;
  let clockOffsetMs = 0;

  /** True where the time that the call was signed with was wrong; a call beside it may have put it right already. */
  function correctClock(serverTimeMs: number, signedWithMs: number): boolean {
    const offsetMs = serverTimeMs - Date.now();
    if (Math.abs(offsetMs - signedWithMs) < CLOCK_TOLERANCE_MS) return false;
    if (Math.abs(offsetMs - clockOffsetMs) >= CLOCK_TOLERANCE_MS) {
      clockOffsetMs = offsetMs;
      logger.warn({ offsetMs }, 'clock corrected to that of COS');
    }
    return true;
  }

  function errorOf(thrown: unknown, act: StoreCall, progress: Progress, signedWithMs: number): BackupError {
    const failure = readFailure(thrown, redact);
    const { serverTimeMs } = failure;
    if (REFUSALS_OF_A_BUCKET.has(failure.code)) isBucketSeen = true;
    const isMended =
      isAboutTime(failure) && serverTimeMs !== undefined && correctClock(serverTimeMs, signedWithMs);
    return storeError(failure, act, location, { ...progress, isMended });
  }

  /** @throws where no request can be made of it */
  function optionsOf({ method, key = '', query = {}, headers = {}, body }: CosRequest): RequestOptions {
    if (!HOST.test(host)) throw new Error(`${host} is no host of COS`);
    const signed = {
      ...headers,
      host,
      ...(body !== undefined && { 'content-length': String(body.sizeBytes) }),
    };
    const nowMs = Date.now() + clockOffsetMs;
    const token = credentials.sessionToken?.reveal();
    const search = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`);
    return {
      ...target,
      method,
      path: `/${key.split('/').map(encode).join('/')}${search.length === 0 ? '' : `?${search.join('&')}`}`,
      headers: {
        ...signed,
        authorization: authorizationOf({ method, key, query, headers: signed }, credentials, nowMs),
        ...(token && { 'x-cos-security-token': token }),
      },
    };
  }

  /** `onResponse` takes an answer of 2xx over; any other is read and fails the call. */
  function send(
    act: StoreCall,
    asked: CosRequest,
    { signal }: CallOptions,
    isStream: boolean,
    settle: {
      reject(error: BackupError): void;
      onResponse(response: IncomingMessage, finish: () => boolean, fail: (thrown: unknown) => void): void;
    },
  ): Pick<Reading, 'failure' | 'stop'> {
    let request: ClientRequest | undefined;
    let response: IncomingMessage | undefined;
    const signedWithMs = clockOffsetMs;
    let isConnected = false;
    let isOver = false;
    let endedWith: BackupError | undefined;
    const timers: NodeJS.Timeout[] = [];

    function finish(): boolean {
      if (isOver) return false;
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      underWay.delete(end);
      // Does nothing to a request that is complete: its connection is free again, and kept.
      request?.destroy();
      return true;
    }
    const failure = (thrown: unknown): BackupError => {
      const progress = { wasMade: request !== undefined, wasSent: isConnected };
      return endedWith ?? errorOf(thrown, act, progress, signedWithMs);
    };
    const fail = (thrown: unknown): void => {
      if (finish()) settle.reject(failure(thrown));
    };
    function end(ending: Ending): void {
      if (isOver) return;
      endedWith = endedError(ending, act, location, isConnected);
      finish();
      settle.reject(endedWith);
    }
    const timeOut = (reason: string): void => end({ by: 'time-out', reason });
    const onAbort = (): void => end({ by: 'abort' });

    function watch(sent: ClientRequest): void {
      // What is written to a server that has answered already may fail; the answer counts.
      sent.on('error', (error) => {
        if (response === undefined) fail(error);
      });
      if (!isStream) sent.setTimeout(idleTimeoutMs, () => timeOut(`silence for ${idleTimeoutMs} ms`));
      sent.once('socket', (socket) => {
        isConnected = !socket.connecting;
        if (isConnected) return;
        const timer = setTimeout(
          () => timeOut(`no connection within ${connectTimeoutMs} ms`),
          connectTimeoutMs,
        );
        timers.push(timer);
        socket.once('connect', () => {
          isConnected = true;
          clearTimeout(timer);
        });
      });
      sent.once('response', (answer) => {
        response = answer;
        if ((answer.statusCode ?? 0) < 300) settle.onResponse(answer, finish, fail);
        else readText(answer, (text) => fail(refusalOf(answer, parseXml(text))));
      });
    }

    if (isClosed) end({ by: 'close' });
    else if (signal?.aborted) onAbort();
    else {
      underWay.add(end);
      signal?.addEventListener('abort', onAbort);
      if (!isStream) timers.push(setTimeout(() => timeOut(`no result within ${timeoutMs} ms`), timeoutMs));
      try {
        request = open(optionsOf(asked));
        watch(request);
        write(request, asked.body?.chunks ?? []);
      } catch (error) {
        fail(error);
      }
    }
    return { failure, stop: timeOut };
  }

  return {
    location,
    idleTimeoutMs,
    call: (act, request, callOptions = {}) =>
      new Promise((resolve, reject) => {
        send(act, request, callOptions, false, {
          reject,
          onResponse: (answer, finish, fail) =>
            readText(answer, (text, cutOff) => {
              if (cutOff !== undefined) return fail(cutOff);
              const xml = parseXml(text);
              // COS may report a failure after it has begun to answer.
              if (xml?.name === 'Error') return fail(refusalOf(answer, xml));
              if (!finish()) return;
              isBucketSeen = true;
              resolve({ headers: answer.headers, xml });
            }),
        });
      }),
    stream(act, request, callOptions = {}) {
      let settle!: { resolve(response: IncomingMessage): void; reject(error: BackupError): void };
      const response = new Promise<IncomingMessage>((resolve, reject) => {
        settle = { resolve, reject };
      });
      const onResponse = (answer: IncomingMessage) => {
        isBucketSeen = true;
        settle.resolve(answer);
      };
      return { response, ...send(act, request, callOptions, true, { reject: settle.reject, onResponse }) };
    },
    isBucketSeen: () => isBucketSeen,
    close() {
      isClosed = true;
      for (const end of [...underWay]) end({ by: 'close' });
      agent.destroy();
    },
  };
}

/** Writes what the connection takes at once, and goes on when it takes more; nothing once the request has ended. */
function write(request: ClientRequest, chunks: readonly Uint8Array[]): void {
  let at = 0;
  const next = (): void => {
    for (; at < chunks.length; at++) {
      const chunk = chunks[at] as Uint8Array;
      if (chunk.byteLength > 0 && !request.write(chunk)) {
        at++;
        request.once('drain', next);
        return;
      }
    }
    request.end();
  };
  next();
}

/** Calls `done` once: with the text of an answer, or with what came of it and why it was cut off. */
function readText(answer: IncomingMessage, done: (text: string, cutOff?: Error) => void): void {
  const chunks: Buffer[] = [];
  let cutOff = new Error('the connection was lost');
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  answer.once('error', (error) => {
    cutOff = error;
  });
  answer.once('close', () => done(Buffer.concat(chunks).toString(), answer.complete ? undefined : cutOff));
}

/** A refusal as failure.ts reads it. */
function refusalOf(
  { statusCode, statusMessage: message, headers }: IncomingMessage,
  xml: Xml | undefined,
): object {
  const fields = xml?.name === 'Error' ? xml.elements.map(({ name, text }) => [name, text] as const) : [];
  return { statusCode, message, headers, error: Object.fromEntries(fields) };
}

/** Removes credentials and signatures from texts of others, which may quote the request. */
export function redactor({ credentials }: Pick<CosConfig, 'credentials'>): (text: string) => string {
  const secrets = [
    credentials.secretKey.reveal(),
    credentials.sessionToken?.reveal() ?? '',
    credentials.secretId,
  ].filter((secret) => secret !== '');
  return (text) => {
    const clean = secrets.reduce((rest, secret) => rest.replaceAll(secret, '[secret]'), text);
    return clean.replace(/\bq-(?:signature|ak)=[^&\s"'<]*/gi, (found) => `${found.split('=')[0]}=[secret]`);
  };
}
