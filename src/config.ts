// The settings of a rule, as typed values for the rest of the code. settings.ts lists the settings; read-settings.ts
// reads and validates them.
import type { Compression } from './format/object-key.ts';
import { Secret } from './lib/secret.ts';
import { type Environment, type RunsFrom, readSettings, type Settings } from './read-settings.ts';
import { VARIABLES, type VariableName } from './settings.ts';
import type { TopicName } from './topic-name.ts';

export type SubscriptionType = 'exclusive' | 'failover' | 'shared' | 'key_shared';

/** The role keys of the function, or a person's. */
export interface Credentials {
  readonly secretId: string;
  readonly secretKey: Secret;
  readonly sessionToken: Secret | undefined;
}

/** The address of a cluster, and the credentials for it. */
export interface PulsarConnection {
  /** `pulsar://`, `pulsar+ssl://`, `http://` or `https://`; several hosts may follow each other with commas. */
  readonly serviceUrl: string;
  readonly token: Secret | undefined;
  readonly listenerName: string | undefined;
  readonly tlsCaFile: string | undefined;
  /** The client's TLS certificate; without a token it is also the login. */
  readonly clientCertificate?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Set if the token is read through the TDMQ API instead. */
  readonly tdmqRole: { readonly clusterId: string; readonly roleName: string } | undefined;
  /** `function` where it is not said. */
  readonly runsFrom?: RunsFrom;
}

/** Where a rule's messages come from. */
export interface PulsarConfig extends PulsarConnection {
  readonly topic: TopicName;
  readonly subscription: string;
  readonly subscriptionType: SubscriptionType;
  readonly initialPosition: 'earliest' | 'latest';
  readonly driver: 'wire' | 'native';
}

/** Where objects are, and how they are stored. */
export interface CosSettings {
  /** `name-appid` */
  readonly bucket: string;
  readonly region: string;
  /** Empty (the bucket's root) or ending with `/`. */
  readonly prefix: string;
  readonly storageClass: string;
  readonly sse:
    | { readonly algorithm: 'AES256' | 'cos/kms'; readonly kmsKeyId: string | undefined }
    | undefined;
  /** `http(s)://host:port` instead of the bucket's own domain; the signed Host stays the bucket's. */
  readonly endpoint: string | undefined;
  /** `function` where it is not said. */
  readonly runsFrom?: RunsFrom;
}

export interface CosConfig extends CosSettings {
  readonly credentials: Credentials;
}

/** The settings of a rule. The credentials of its function are known only where it runs. */
export interface RuleSettings {
  readonly rule: string;
  readonly pulsar: PulsarConfig;
  readonly cos: CosSettings;
  readonly file: {
    readonly maxMessages: number;
    /** Of uncompressed records. */
    readonly maxBytes: number;
    readonly compression: Compression;
    /** How long messages that do not fill a file wait in the subscription. */
    readonly lingerMinutes: number;
  };
  readonly run: {
    readonly intervalMinutes: number;
    readonly reserveSeconds: number;
    readonly onUnreadable: 'store' | 'fail';
    readonly chunkExpiryMinutes: number;
  };
  readonly logLevel: string;
}

/** Everything a run needs to know. */
export interface RuleConfig extends RuleSettings {
  readonly cos: CosConfig;
}

/** The settings for a program that only uses Pulsar. */
export interface PulsarAccess {
  readonly pulsar: PulsarConnection;
  /** For `tdmqRole`: where the token is read, and with which keys. */
  readonly api: Pick<CosConfig, 'region' | 'credentials'> | undefined;
}

const ALL = Object.keys(VARIABLES) as VariableName[];

const CONNECTION = [
  'PULSAR_SERVICE_URL',
  'PULSAR_TOKEN',
  'PULSAR_LISTENER_NAME',
  'PULSAR_TLS_CA_FILE',
  'PULSAR_TLS_CERT_FILE',
  'PULSAR_TLS_KEY_FILE',
  'TDMQ_CLUSTER_ID',
  'TDMQ_ROLE_NAME',
] as const;

const COS = [
  'COS_BUCKET',
  'COS_REGION',
  'COS_PREFIX',
  'COS_STORAGE_CLASS',
  'COS_SSE',
  'COS_SSE_KMS_KEY_ID',
  'COS_ENDPOINT',
] as const;

/**
 * The rule's settings with the credentials that the environment has.
 * @throws BackupError `config` with every fault
 */
export function parseConfig(env: Environment, runsFrom: RunsFrom = 'function'): RuleConfig {
  const rule = ruleOf(readSettings(env, ALL, { runsFrom, withCredentials: true }), runsFrom);
  return { ...rule, cos: { ...rule.cos, credentials: credentialsOf(env) } };
}

/** The settings of a rule that runs elsewhere. @throws BackupError `config` with every fault */
export function parseRuleSettings(env: Environment, runsFrom: RunsFrom = 'function'): RuleSettings {
  return ruleOf(readSettings(env, ALL, { runsFrom, withCredentials: false }), runsFrom);
}

/** The settings for COS alone. @throws BackupError `config` with every fault */
export function parseCosConfig(env: Environment, runsFrom: RunsFrom): CosConfig {
  const settings = readSettings(env, COS, { runsFrom, withCredentials: true });
  return { ...cosOf(settings, runsFrom), credentials: credentialsOf(env) };
}

/** The settings for Pulsar alone. @throws BackupError `config` with every fault */
export function parsePulsarAccess(env: Environment, runsFrom: RunsFrom): PulsarAccess {
  if (!env['TDMQ_CLUSTER_ID'] && !env['TDMQ_ROLE_NAME']) {
    const settings = readSettings(env, CONNECTION, { runsFrom, withCredentials: false });
    return { pulsar: connectionOf(settings, runsFrom), api: undefined };
  }
  const settings = readSettings(env, [...CONNECTION, 'COS_REGION'], { runsFrom, withCredentials: true });
  return {
    pulsar: connectionOf(settings, runsFrom),
    api: { region: settings.COS_REGION, credentials: credentialsOf(env) },
  };
}

function ruleOf(settings: Settings, runsFrom: RunsFrom): RuleSettings {
  return {
    rule: settings.RULE_NAME,
    pulsar: {
      ...connectionOf(settings, runsFrom),
      topic: settings.PULSAR_TOPIC,
      subscription: settings.PULSAR_SUBSCRIPTION,
      subscriptionType: settings.PULSAR_SUBSCRIPTION_TYPE,
      initialPosition: settings.PULSAR_INITIAL_POSITION,
      driver: settings.PULSAR_DRIVER,
    },
    cos: cosOf(settings, runsFrom),
    file: {
      maxMessages: settings.FILE_MAX_MESSAGES,
      maxBytes: settings.FILE_MAX_BYTES,
      compression: settings.FILE_COMPRESSION,
      lingerMinutes: settings.FILE_LINGER_MINUTES,
    },
    run: {
      intervalMinutes: settings.RUN_INTERVAL_MINUTES,
      reserveSeconds: settings.RUN_RESERVE_SECONDS,
      onUnreadable: settings.RUN_ON_UNREADABLE,
      chunkExpiryMinutes: settings.RUN_CHUNK_EXPIRY_MINUTES,
    },
    logLevel: settings.LOG_LEVEL,
  };
}

function connectionOf(settings: Settings<(typeof CONNECTION)[number]>, runsFrom: RunsFrom): PulsarConnection {
  const {
    PULSAR_TOKEN: token,
    PULSAR_TLS_CERT_FILE: certFile,
    PULSAR_TLS_KEY_FILE: keyFile,
    TDMQ_CLUSTER_ID: clusterId,
    TDMQ_ROLE_NAME: roleName,
  } = settings;
  return {
    serviceUrl: settings.PULSAR_SERVICE_URL.replace(/\/$/, ''),
    token: token === undefined ? undefined : new Secret(token),
    listenerName: settings.PULSAR_LISTENER_NAME,
    tlsCaFile: settings.PULSAR_TLS_CA_FILE,
    clientCertificate: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile },
    tdmqRole: clusterId === undefined || roleName === undefined ? undefined : { clusterId, roleName },
    runsFrom,
  };
}

function cosOf(settings: Settings<(typeof COS)[number]>, runsFrom: RunsFrom): CosSettings {
  const { COS_SSE: algorithm, COS_SSE_KMS_KEY_ID: kmsKeyId } = settings;
  return {
    bucket: settings.COS_BUCKET,
    region: settings.COS_REGION,
    prefix: settings.COS_PREFIX,
    storageClass: settings.COS_STORAGE_CLASS,
    sse: algorithm === undefined ? undefined : { algorithm, kmsKeyId },
    endpoint: settings.COS_ENDPOINT?.replace(/\/$/, ''),
    runsFrom,
  };
}

function credentialsOf(env: Environment): Credentials {
  const sessionToken = env['TENCENTCLOUD_SESSIONTOKEN'];
  return {
    secretId: env['TENCENTCLOUD_SECRETID'] as string,
    secretKey: new Secret(env['TENCENTCLOUD_SECRETKEY'] as string),
    sessionToken: sessionToken ? new Secret(sessionToken) : undefined,
  };
}
