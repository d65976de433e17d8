// COS SDK calls with a guaranteed end. Each is one try, limited in time; an abort, a time-out or close() ends it at
// once and destroys its socket. Knows nothing of objects, and never retries: retrying-store.ts does that.
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import COS from 'cos-nodejs-sdk-v5';
import type { CosConfig } from '../config.ts';
import type { BackupError } from '../errors.ts';
import type { CallOptions, Logger } from '../ports.ts';
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
}

/** A call under way. */
export interface Sending<T> {
  /** Rejects with a BackupError only. */
  readonly result: Promise<T>;
  /** The response's head, once it has arrived. */
  response(): IncomingMessage | undefined;
  /** Ends the call for `reason`; does nothing when it has ended. */
  stop(reason: string): void;
}

/** Calls to one bucket. */
export interface CosClient {
  readonly location: BucketLocation;
  readonly idleTimeoutMs: number;
  /** Calls the SDK once and gives its result. @throws BackupError `store` */
  call<T>(act: StoreCall, invoke: (cos: COS) => Promise<T>, options?: CallOptions): Promise<T>;
  /** Like `call`, for a streamed response: the caller handles silence. */
  stream<T>(act: StoreCall, invoke: (cos: COS) => Promise<T>, options?: CallOptions): Sending<T>;
  /** Whether a response has proved that the bucket exists. */
  isBucketSeen(): boolean;
  /** Ends every call and socket. May be repeated; never throws. */
  close(): void;
}

/** Errors that only an existing bucket returns. */
const REFUSALS_OF_A_BUCKET: ReadonlySet<string> = new Set([
  'FileAlreadyExists',
  'InvalidRange',
  'NoSuchKey',
  'NoSuchLifecycleConfiguration',
  'NoSuchUpload',
]);

/** COS accepts a clock that is off by minutes; smaller differences are not corrected. */
const CLOCK_TOLERANCE_MS = 30_000;

/** The argument of the SDK's `before-send` hook: the options of its request library. */
interface Outgoing {
  agent?: HttpAgent;
  proxy?: null;
  httpModules?: Record<string, { request: (options: RequestOptions) => ClientRequest }>;
}

/** A client for the bucket of `config`. Opens nothing before the first call. */
export function createCosClient(config: CosConfig, options: CosClientOptions): CosClient {
  const { logger, maxSockets = 20, connectTimeoutMs = 3_000 } = options;
  const { idleTimeoutMs = 20_000, timeoutMs = 120_000 } = options;
  const { bucket, region, endpoint } = config;
  const location: BucketLocation = { bucket, region, endpoint, runsFrom: config.runsFrom };
  const origin = endpoint === undefined ? undefined : new URL(endpoint);
  const isPlain = origin?.protocol === 'http:';
  const agent = isPlain
    ? new HttpAgent({ keepAlive: true, maxSockets })
    : new HttpsAgent({ keepAlive: true, maxSockets });
  const redact = redactor(config);
  const underWay = new Set<(ending: Ending) => void>();
  let isClosed = false;
  let isBucketSeen = false;
  let clockOffsetMs = 0;

  const newSdk = (): COS =>
    new COS({
      SecretId: config.credentials.secretId,
      SecretKey: config.credentials.secretKey.reveal(),
      SecurityToken: config.credentials.sessionToken?.reveal() ?? '',
      Protocol: isPlain ? 'http:' : 'https:',
      Ip: origin?.host ?? '',
      UseRawKey: true,
      AutoSwitchHost: false,
      FollowRedirect: false,
      CorrectClockSkew: false,
      SystemClockOffset: clockOffsetMs,
    });

  /**
   * The SDK does this itself only for some calls, and prints a line. True if the call was signed with a wrong time; a
   * parallel call may already have corrected it.
   */
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

  function send<T>(
    act: StoreCall,
    invoke: (cos: COS) => Promise<T>,
    { signal }: CallOptions,
    isStream: boolean,
  ): Sending<T> {
    let request: ClientRequest | undefined;
    let response: IncomingMessage | undefined;
    const signedWithMs = clockOffsetMs;
    let isConnected = false;
    let firstFailure: unknown;
    let tries = 0;
    let isOver = false;
    let settle!: { resolve(value: T): void; reject(error: BackupError): void };
    const result = new Promise<T>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const timers: NodeJS.Timeout[] = [];

    function finish(): boolean {
      if (isOver) return false;
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      underWay.delete(end);
      // Has no effect on a completed request, whose connection is kept alive.
      request?.destroy();
      return true;
    }
    const fail = (thrown: unknown): void => {
      if (!finish()) return;
      const progress = { wasMade: request !== undefined, wasSent: isConnected };
      settle.reject(errorOf(thrown, act, progress, signedWithMs));
    };
    function end(ending: Ending): void {
      if (finish()) settle.reject(endedError(ending, act, location, isConnected));
    }
    const timeOut = (reason: string): void => end({ by: 'time-out', reason });
    const onAbort = (): void => end({ by: 'abort' });

    function watch(sent: ClientRequest): void {
      request = sent;
      sent.on('error', (error) => {
        firstFailure ??= error;
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
        answer.on('error', (error) => {
          firstFailure ??= error;
        });
        if ((answer.statusCode ?? 0) >= 300) keepRefusal(answer);
      });
    }

    /** The SDK's error for this response, kept because the SDK reports it only after its own retries. */
    function keepRefusal(answer: IncomingMessage): void {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      const { statusCode, statusMessage: message, headers } = answer;
      firstFailure ??= {
        statusCode,
        message,
        headers,
        get error() {
          const text = Buffer.concat(chunks).toString();
          return text.includes('<Error>') ? COS.util.xml2json(text)?.Error : undefined;
        },
      };
    }

    const openWith =
      (open: (options: RequestOptions) => ClientRequest) => (requestOptions: RequestOptions) => {
        if (isOver) throw new Error('the call has ended');
        const sent = open(requestOptions);
        watch(sent);
        return sent;
      };

    // The SDK retries requests without a streamed body, at once and up to three times. Its second try ends the call.
    const beforeSend = (outgoing: Outgoing): void => {
      tries += 1;
      if (tries > 1) fail(firstFailure ?? new Error('the connection was lost'));
      outgoing.agent = agent;
      // A configured endpoint is contacted directly, even if HTTP_PROXY is set.
      if (origin !== undefined) outgoing.proxy = null;
      outgoing.httpModules = {
        'http:': { request: openWith(requestHttp) },
        'https:': { request: openWith(requestHttps) },
      };
    };

    if (isClosed) end({ by: 'close' });
    else if (signal?.aborted) onAbort();
    else {
      underWay.add(end);
      signal?.addEventListener('abort', onAbort);
      if (!isStream) timers.push(setTimeout(() => timeOut(`no result within ${timeoutMs} ms`), timeoutMs));
      const sdk = newSdk();
      sdk.on('before-send', beforeSend);
      invoke(sdk).then(
        (value) => {
          if (!finish()) return;
          isBucketSeen = true;
          settle.resolve(value);
        },
        (thrown) => fail(thrown),
      );
    }
    return { result, response: () => response, stop: timeOut };
  }

  return {
    location,
    idleTimeoutMs,
    call: (act, invoke, callOptions = {}) => send(act, invoke, callOptions, false).result,
    stream: (act, invoke, callOptions = {}) => send(act, invoke, callOptions, true),
    isBucketSeen: () => isBucketSeen,
    close() {
      isClosed = true;
      for (const end of [...underWay]) end({ by: 'close' });
      agent.destroy();
    },
  };
}

/** Removes credentials and signatures from foreign texts, which may quote the request. */
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
