// The part of npm pulsar-client that the native adapter uses: loads it and connects its log to our logger. Members of
// newer versions are optional (checked against the declarations of 1.14.0 and 1.18.0).
import type { PulsarConfig } from '../../config.ts';
import { BackupError, messageOf } from '../../errors.ts';
import type { Logger } from '../../ports.ts';
import type { RunsFrom } from '../../read-settings.ts';
import { readTlsFiles } from '../tls-files.ts';

/** The client's id of a message, as far as it is used. */
export interface NativeMessageId {
  /** Pulsar's MessageIdData, with the batch size that the text lacks. */
  serialize(): Uint8Array;
  /** `(ledger,entry,partition,batchIndex)`; of a chunked message `(first);(last)`. */
  toString(): string;
}

/** The encryption of a message that the client delivers undecrypted. */
export interface NativeEncryptionContext {
  readonly keys: readonly {
    readonly key: string;
    readonly value: Uint8Array;
    readonly metadata: Readonly<Record<string, string>>;
  }[];
  readonly param: Uint8Array;
  readonly algorithm: string;
  readonly compressionType: string;
  readonly uncompressedMessageSize: number;
  readonly batchSize: number;
  readonly isDecryptionFailed: boolean;
}

/** A message of the client, as far as it is used. */
export interface NativeMessage {
  getMessageId(): NativeMessageId;
  /** A copy, owned by the caller. */
  getData(): Uint8Array;
  /** An Array with named keys. */
  getProperties(): Readonly<Record<string, string>>;
  getPublishTimestamp(): number;
  getEventTimestamp(): number;
  getPartitionKey(): string;
  getOrderingKey(): string;
  getProducerName?(): string;
  getReplicatedFrom?(): string;
  getEncryptionContext?(): NativeEncryptionContext | null;
}

/** A consumer of the client, as far as it is used. */
export interface NativeConsumer {
  /** Resolves `[]` when the time of its policy is up. */
  batchReceive(): Promise<NativeMessage[]>;
  acknowledgeId(id: NativeMessageId): Promise<unknown>;
  acknowledgeCumulativeId(id: NativeMessageId): Promise<unknown>;
  isConnected(): boolean;
  close(): Promise<unknown>;
}

/** What `subscribe` of the client takes, as far as it is used. */
export interface NativeConsumerConfig {
  readonly topic: string;
  readonly subscription: string;
  readonly subscriptionType: 'Exclusive' | 'Failover' | 'Shared' | 'KeyShared';
  readonly subscriptionInitialPosition: 'Earliest' | 'Latest';
  readonly receiverQueueSize: number;
  readonly batchReceivePolicy: {
    readonly maxNumMessages: number;
    readonly maxNumBytes: number;
    readonly timeoutMs: number;
  };
  readonly maxPendingChunkedMessage: number;
  readonly cryptoFailureAction?: 'CONSUME';
}

/** A client, as far as it is used. */
export interface NativeClient {
  /** The addon's own object: up to 1.14 the wrapper's close() does not give back its promise. */
  readonly client?: { close(): Promise<unknown> };
  getPartitionsForTopic(topic: string): Promise<string[]>;
  subscribe(config: NativeConsumerConfig): Promise<NativeConsumer>;
  close(): Promise<unknown> | undefined;
}

/** What the constructor of a client takes, as far as it is used. */
export interface NativeClientConfig {
  serviceUrl: string;
  authentication?: object;
  operationTimeoutSeconds: number;
  connectionTimeoutMs: number;
  ioThreads: number;
  messageListenerThreads: number;
  statsIntervalInSeconds: number;
  logLevel: number;
  tlsTrustCertsFilePath?: string;
  tlsCertificateFilePath?: string;
  tlsPrivateKeyFilePath?: string;
  tlsValidateHostname: boolean;
  tlsAllowInsecureConnection: boolean;
  listenerName?: string;
}

type LogHandler = (level: number, file: string, line: number, message: string) => void;

/** The package pulsar-client, as far as it is used. */
export interface PulsarClientModule {
  readonly Client: {
    new (config: NativeClientConfig): NativeClient;
    setLogHandler(handler: LogHandler): void;
  };
  readonly AuthenticationToken: new (params: { token: string }) => object;
  readonly AuthenticationTls: new (params: { certificatePath: string; privateKeyPath: string }) => object;
  readonly Message?: { readonly prototype: object };
}

const howToGetIt = (runsFrom: RunsFrom | undefined): string =>
  `Install pulsar-client with its install script allowed (it downloads the binding from archive.apache.org) on Linux with glibc${
    runsFrom === 'shell'
      ? ''
      : ", and package node_modules with the function. On SCF's Nodejs18.15 and later 1.14.0 is the newest that loads; 1.15.0 and later need glibc 2.30"
  }. Or set PULSAR_DRIVER=wire, which needs nothing.`;

/**
 * Loads pulsar-client, as a CommonJS or an ES module gives it. @throws BackupError `config` with how to get a binding
 * that loads
 */
export async function loadPulsarClient(
  load: () => Promise<unknown>,
  runsFrom?: RunsFrom,
): Promise<PulsarClientModule> {
  let loaded: Partial<PulsarClientModule> & { default?: Partial<PulsarClientModule> };
  try {
    loaded = (await load()) as typeof loaded;
  } catch (error) {
    throw new BackupError('config', `PULSAR_DRIVER=native: ${whyNotLoaded(error)}`, {
      hint: howToGetIt(runsFrom),
      cause: error,
    });
  }
  const module = loaded.Client === undefined ? loaded.default : loaded;
  if (module?.Client === undefined || module.AuthenticationToken === undefined) {
    throw new BackupError(
      'config',
      'PULSAR_DRIVER=native: the package pulsar-client is not the one expected',
      {
        hint: howToGetIt(runsFrom),
      },
    );
  }
  return module as PulsarClientModule;
}

function whyNotLoaded(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  const [reason = ''] = messageOf(error).split('\n');
  if (code === 'ERR_DLOPEN_FAILED') return `the binding of pulsar-client does not load here: ${reason}`;
  if (/pulsar\.node/.test(reason)) return 'pulsar-client is installed without its binding';
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
    return /pulsar-client'/.test(reason) ? 'the package pulsar-client is not installed' : reason;
  }
  return `pulsar-client cannot be loaded: ${reason}`;
}

/**
 * The client's authentication: its token, else its certificate, which is sent in either case. @throws BackupError
 * `config` where a file of the certificate is of no use, or this version cannot show it
 */
export function identityOf(
  pulsar: PulsarClientModule,
  config: Pick<PulsarConfig, 'token' | 'clientCertificate' | 'runsFrom'>,
): Pick<NativeClientConfig, 'authentication' | 'tlsCertificateFilePath' | 'tlsPrivateKeyFilePath'> {
  const { token, clientCertificate } = config;
  // A text, not a supplier: that would keep the process alive.
  const byToken = token && { authentication: new pulsar.AuthenticationToken({ token: token.reveal() }) };
  if (clientCertificate === undefined) return byToken ?? {};
  readTlsFiles({ ...config, tlsCaFile: undefined });
  const { certFile, keyFile } = clientCertificate;
  if (byToken && !reportsEncryption(pulsar)) {
    throw new BackupError(
      'config',
      'this version of pulsar-client shows no client certificate beside a token',
      {
        hint: 'Set PULSAR_DRIVER=wire, which does, or leave PULSAR_TOKEN out where the brokers know clients by certificate.',
      },
    );
  }
  const byCertificate = { certificatePath: certFile, privateKeyPath: keyFile };
  return {
    ...(byToken ?? { authentication: new pulsar.AuthenticationTls(byCertificate) }),
    tlsCertificateFilePath: certFile,
    tlsPrivateKeyFilePath: keyFile,
  };
}

/** Whether this version marks encrypted messages when it hands them over undecrypted. */
export const reportsEncryption = (pulsar: PulsarClientModule): boolean =>
  pulsar.Message !== undefined && 'getEncryptionContext' in pulsar.Message.prototype;

/** libpulsar's log levels; lower ones are not even handed over. */
export const LOG_LEVEL_INFO = 1;
const LOG_LEVEL_WARN = 2;

/** The handler of libpulsar's log, one per process; only it learns which messages consumers fail to deliver. */
export interface LogRoute {
  readonly logger: Logger;
  /** libpulsar's log message when it held back or dropped an undamaged message. */
  undelivered: string | undefined;
  /** The last HTTP status of a broker, if not 200. */
  httpStatus: number | undefined;
}

/**
 * Encrypted messages without a key, and chunks that it does not join: it acknowledged some, or does not know them.
 */
const KEPT_BACK =
  /to consume encrypted message|unable to decrypt|uncached chunk|chunk id is invalid|Removing expired chunk/;

const routes = new WeakMap<PulsarClientModule['Client'], { current: LogRoute }>();

/**
 * Routes the log of libpulsar to `logger`, from now on and for the whole process. The handler is set once and never
 * taken back (other threads may be calling it), and it never throws (that would end the process).
 */
export function routeLog(pulsar: PulsarClientModule, logger: Logger): LogRoute {
  const route: LogRoute = { logger, undelivered: undefined, httpStatus: undefined };
  const known = routes.get(pulsar.Client);
  if (known !== undefined) {
    known.current = route;
    return route;
  }
  const holder = { current: route };
  routes.set(pulsar.Client, holder);
  pulsar.Client.setLogHandler((level, file, line, message) => {
    try {
      const { current } = holder;
      if (KEPT_BACK.test(message)) current.undelivered ??= message;
      const status = /requested URL returned error: (\d{3})/.exec(message)?.[1];
      if (status !== undefined) current.httpStatus = Number(status);
      const fields = { at: `${file}:${line}`, text: message };
      if (level <= LOG_LEVEL_INFO) current.logger.debug(fields, 'libpulsar said');
      else if (level === LOG_LEVEL_WARN) current.logger.warn(fields, 'libpulsar said');
      else current.logger.error(fields, 'libpulsar said');
    } catch {
      // There is nowhere to report it.
    }
  });
  return route;
}

/** The log level of the process's first Client is read even after that Client is freed, so it never is. */
export const keptClients: NativeClient[] = [];

/** Makes a client and keeps the first one of the process. */
export function createClient(pulsar: PulsarClientModule, config: NativeClientConfig): NativeClient {
  const client = new pulsar.Client(config);
  if (keptClients.length === 0) keptClients.push(client);
  return client;
}
