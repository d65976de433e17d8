// A rule's settings, read from environment variables and nowhere else. Every fault is told at once; no secret is.
import * as z from 'zod';
import { BackupError } from './errors.ts';
import { longestKeyBytes, MAX_KEY_BYTES } from './format/object-key.ts';
import { nearest } from './lib/nearest.ts';
import { Secret } from './lib/secret.ts';
import { parseTopicName, type TopicName } from './topic-name.ts';

/** The environment as the process has it. */
export type Environment = Readonly<Record<string, string | undefined>>;

export type SubscriptionType = 'exclusive' | 'failover' | 'shared' | 'key_shared';
export type Compression = 'none' | 'gzip' | 'zstd';

/** Regions in which TDMQ for Apache Pulsar backs up to COS. */
export const REGIONS = [
  'ap-guangzhou',
  'ap-shanghai',
  'ap-hongkong',
  'ap-beijing',
  'ap-chengdu',
  'ap-singapore',
  'na-siliconvalley',
] as const;

const STORAGE_CLASSES = [
  'STANDARD',
  'STANDARD_IA',
  'INTELLIGENT_TIERING',
  'ARCHIVE',
  'DEEP_ARCHIVE',
  'MAZ_STANDARD',
  'MAZ_STANDARD_IA',
  'MAZ_INTELLIGENT_TIERING',
  'MAZ_ARCHIVE',
] as const;

/** The role keys of the function, or a person's. */
export interface Credentials {
  readonly secretId: string;
  readonly secretKey: Secret;
  readonly sessionToken: Secret | undefined;
}

/** Where the settings are used: hints to somebody at a shell do not speak of a function's network and package. */
export type RunsFrom = 'function' | 'shell';

export interface PulsarConfig {
  /** `pulsar://`, `pulsar+ssl://`, `http://` or `https://`; several hosts may follow each other with commas. */
  readonly serviceUrl: string;
  readonly topic: TopicName;
  readonly subscription: string;
  readonly subscriptionType: SubscriptionType;
  readonly initialPosition: 'earliest' | 'latest';
  readonly token: Secret | undefined;
  readonly listenerName: string | undefined;
  readonly tlsCaFile: string | undefined;
  /** What the client shows of itself over TLS; its login too, where there is no token. */
  readonly clientCertificate?: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly driver: 'wire' | 'native';
  /** Where the token is to be read through the TDMQ API instead. */
  readonly tdmqRole: { readonly clusterId: string; readonly roleName: string } | undefined;
  /** `function` where it is not said. */
  readonly runsFrom?: RunsFrom;
}

export interface CosConfig {
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
  readonly credentials: Credentials;
  /** `function` where it is not said. */
  readonly runsFrom?: RunsFrom;
}

/** Everything a run needs to know. */
export interface RuleConfig {
  readonly rule: string;
  readonly pulsar: PulsarConfig;
  readonly cos: CosConfig;
  readonly file: {
    readonly maxMessages: number;
    /** Of uncompressed records. */
    readonly maxBytes: number;
    readonly compression: Compression;
  };
  readonly run: {
    readonly intervalMinutes: number;
    readonly reserveSeconds: number;
    readonly onUnreadable: 'store' | 'fail';
    readonly chunkExpiryMinutes: number;
  };
  readonly logLevel: string;
}

interface Variable {
  readonly schema: z.ZodType<unknown, string>;
  readonly expected: string;
  readonly example: string;
  /** What an unset variable means; `undefined` where it has no default. */
  readonly fallback?: string;
  readonly required?: boolean;
  readonly secret?: boolean;
}

const oneOf = (...values: readonly string[]): Pick<Variable, 'schema' | 'expected' | 'example'> => ({
  schema: z.enum(values as [string, ...string[]]),
  expected: `one of ${values.join(', ')}`,
  example: values[0] as string,
});

const wholeNumber = (
  min: number,
  max: number,
  example = max,
): Pick<Variable, 'schema' | 'expected' | 'example'> => ({
  schema: z.string().regex(/^\d+$/).transform(Number).pipe(z.number().min(min).max(max)),
  expected: `a whole number from ${min} to ${max}`,
  example: String(example),
});

const HOST_LIST =
  /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:,(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)*\/?$/;

/** The variables of a rule, by name: what each may be. The table of docs/settings.md and `.env.example` are tested against it. */
export const VARIABLES = {
  RULE_NAME: {
    schema: z.string().regex(/^[A-Za-z0-9_-]{2,60}$/),
    expected: "2 to 60 letters, digits, '-' or '_'; by default the function's name",
    example: 'orders-backup',
    required: true,
  },
  PULSAR_SERVICE_URL: {
    schema: z.string().refine((value) => {
      const match = /^(?:pulsar|pulsar\+ssl|http|https):\/\/(.+)$/.exec(value);
      return match?.[1] !== undefined && HOST_LIST.test(match[1]);
    }),
    expected: 'pulsar://, pulsar+ssl://, http:// or https:// and host:port',
    example: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:5035',
    required: true,
  },
  PULSAR_TOPIC: {
    schema: z.string().transform((value, context) => {
      const topic = parseTopicName(value);
      if (topic === undefined) context.addIssue('not a topic name');
      return topic;
    }),
    expected:
      "persistent://tenant/namespace/topic or tenant/namespace/topic, no part of which is '.' or '..'",
    example: 'pulsar-abc/default/orders',
    required: true,
  },
  PULSAR_SUBSCRIPTION: {
    schema: z.string().regex(/^\P{Cc}{1,150}$/u),
    expected: "a subscription's name, 1 to 150 characters, none of them a control character",
    example: 'backup',
    required: true,
  },
  PULSAR_SUBSCRIPTION_TYPE: {
    ...oneOf('exclusive', 'failover', 'shared', 'key_shared'),
    fallback: 'exclusive',
  },
  PULSAR_INITIAL_POSITION: { ...oneOf('earliest', 'latest'), fallback: 'earliest' },
  PULSAR_TOKEN: {
    schema: z.string().regex(/^[\x21-\x7e]+$/),
    expected: 'the key of a TDMQ role (a JWT), on one line',
    example: 'eyJ…',
    secret: true,
  },
  PULSAR_LISTENER_NAME: {
    schema: z.string().regex(/^[^\s]+$/),
    expected: "a listener's name, without spaces",
    example: 'custom:pulsar-abc/vpc-abc/subnet-abc',
  },
  PULSAR_TLS_CA_FILE: {
    schema: z.string().min(1),
    expected: 'the path of a PEM file with the CA certificates to trust',
    example: '/var/user/ca.pem',
  },
  PULSAR_TLS_CERT_FILE: {
    schema: z.string().min(1),
    expected: "the path of a PEM file with the client's certificate, together with PULSAR_TLS_KEY_FILE",
    example: '/var/user/client.pem',
  },
  PULSAR_TLS_KEY_FILE: {
    schema: z.string().min(1),
    expected: "the path of a PEM file with the certificate's key, without a passphrase",
    example: '/var/user/client.key',
  },
  TDMQ_CLUSTER_ID: {
    schema: z.string().regex(/^[A-Za-z0-9-]+$/),
    expected: "the cluster's id, together with TDMQ_ROLE_NAME and instead of PULSAR_TOKEN",
    example: 'pulsar-abc',
  },
  TDMQ_ROLE_NAME: {
    schema: z.string().regex(/^[A-Za-z0-9_-]+$/),
    expected: "the TDMQ role's name, together with TDMQ_CLUSTER_ID and instead of PULSAR_TOKEN",
    example: 'backup-reader',
  },
  PULSAR_DRIVER: { ...oneOf('wire', 'native'), fallback: 'wire' },
  COS_BUCKET: {
    schema: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-\d{5,}$/),
    expected: "the bucket's full name, name-appid",
    example: 'archive-1250000000',
    required: true,
  },
  COS_REGION: {
    ...oneOf(...REGIONS),
    expected: `one of ${REGIONS.join(', ')}; by default the function's region`,
    required: true,
  },
  COS_PREFIX: {
    schema: z
      .string()
      .max(300)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      .regex(/^(?!\/)(?!.*\/\/)[^\u0000-\u001f\u007f]*\/$/)
      .refine((value) => !/(^|\/)(_runs|_unreadable)\//.test(value) && !/(^|\/)\.\.?\//.test(value)),
    expected:
      "a path that ends with '/', does not begin with one, has no '//', no '.' or '..' and no reserved name in it",
    example: 'tdmq/orders/',
    fallback: '',
  },
  COS_STORAGE_CLASS: { ...oneOf(...STORAGE_CLASSES), fallback: 'STANDARD' },
  COS_SSE: oneOf('AES256', 'cos/kms'),
  COS_SSE_KMS_KEY_ID: {
    schema: z.string().regex(/^[A-Za-z0-9-]+$/),
    expected: 'the id of a KMS key, with COS_SSE=cos/kms',
    example: '00000000-0000-0000-0000-000000000000',
  },
  COS_ENDPOINT: {
    schema: z.string().refine((value) => {
      const match = /^https?:\/\/(.+)$/.exec(value);
      return match?.[1] !== undefined && !match[1].includes(',') && HOST_LIST.test(match[1]);
    }),
    expected: 'http(s)://host:port, without a path',
    example: 'http://127.0.0.1:9000',
  },
  FILE_MAX_MESSAGES: { ...wholeNumber(1, 5000), fallback: '5000' },
  FILE_MAX_BYTES: { ...wholeNumber(1_048_576, 500_000_000), fallback: '500000000' },
  FILE_COMPRESSION: { ...oneOf('none', 'gzip', 'zstd'), fallback: 'none' },
  RUN_INTERVAL_MINUTES: { ...wholeNumber(5, 15, 5), fallback: '5' },
  RUN_RESERVE_SECONDS: { ...wholeNumber(1, 600, 15), fallback: '15' },
  RUN_ON_UNREADABLE: { ...oneOf('store', 'fail'), fallback: 'store' },
  RUN_CHUNK_EXPIRY_MINUTES: { ...wholeNumber(1, 525_600, 1_440), fallback: '1440' },
  LOG_LEVEL: {
    ...oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    example: 'info',
    fallback: 'info',
  },
} as const satisfies Record<string, Variable>;

type VariableName = keyof typeof VARIABLES;

const OUR_PREFIXES = [...new Set(Object.keys(VARIABLES).map((name) => `${name.split('_')[0]}_`))];

/**
 * The rule's settings from the environment (design: variables of the function).
 * @throws BackupError `config` that lists every fault: the variable, what was expected, an example.
 */
export function parseConfig(env: Environment, runsFrom: RunsFrom = 'function'): RuleConfig {
  const faults: string[] = [];
  const settings: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(VARIABLES) as [VariableName, Variable][]) {
    const text = textOf(env, name) ?? variable.fallback;
    if (text === undefined) {
      if (variable.required) faults.push(fault(name, variable, 'is not set'));
    } else if (text === 'undefined' || text === 'null') {
      faults.push(fault(name, variable, `is the text "${text}": the .env file of the stage does not set it`));
    } else if (text !== variable.fallback || text !== '') {
      const parsed = variable.schema.safeParse(text);
      if (parsed.success) settings[name] = parsed.data;
      else
        faults.push(fault(name, variable, variable.secret ? 'is not valid' : `is ${JSON.stringify(text)}`));
    }
  }
  faults.push(...unknownVariables(env), ...contradictions(settings), ...credentialFaults(env));
  if (faults.length > 0) {
    throw new BackupError(
      'config',
      `${faults.length} of the rule's settings are wrong: ${faults.join(' | ')}`,
      {
        hint:
          runsFrom === 'shell'
            ? 'Set these environment variables here, or in the file that --env-file names.'
            : 'Set these environment variables of the function (.env.<stage>, or --env-file) and deploy again.',
      },
    );
  }
  return assemble(settings, env, runsFrom);
}

/** An unset variable and an empty one are the same; some have a second name that SCF sets itself. */
function textOf(env: Environment, name: VariableName): string | undefined {
  if (env[name]) return env[name];
  if (name === 'RULE_NAME') return env['SCF_FUNCTIONNAME'] || undefined;
  if (name === 'COS_REGION') return env['TENCENTCLOUD_REGION'] || undefined;
  return undefined;
}

const fault = (name: string, variable: Variable, what: string): string =>
  `${name} ${what}; expected ${variable.expected}, for example ${variable.example}`;

function unknownVariables(env: Environment): string[] {
  return Object.keys(env)
    .filter((name) => !(name in VARIABLES) && OUR_PREFIXES.some((prefix) => name.startsWith(prefix)))
    .sort()
    .map((name) => `${name} is not a setting; did you mean ${nearest(name, Object.keys(VARIABLES))}?`);
}

function contradictions(settings: Record<string, unknown>): string[] {
  const has = (name: VariableName) => settings[name] !== undefined;
  const faults: string[] = [];
  if (has('TDMQ_CLUSTER_ID') !== has('TDMQ_ROLE_NAME')) {
    faults.push('TDMQ_CLUSTER_ID and TDMQ_ROLE_NAME go together: set both or none');
  }
  if (has('PULSAR_TLS_CERT_FILE') !== has('PULSAR_TLS_KEY_FILE')) {
    faults.push('PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE go together: set both or none');
  }
  if (has('PULSAR_TOKEN') && has('TDMQ_ROLE_NAME')) {
    faults.push(
      'PULSAR_TOKEN and TDMQ_ROLE_NAME exclude each other: set the key itself or the role to read it from',
    );
  }
  if (has('PULSAR_TOPIC')) {
    const prefix = (settings['COS_PREFIX'] as string | undefined) ?? '';
    const topic = settings['PULSAR_TOPIC'] as TopicName;
    const bytes = longestKeyBytes(prefix, topic, String(settings['RULE_NAME'] ?? ''));
    if (bytes > MAX_KEY_BYTES) {
      faults.push(
        `COS_PREFIX and PULSAR_TOPIC are too long together: keys of objects would have up to ${bytes} bytes of UTF-8, and COS takes ${MAX_KEY_BYTES}; choose a COS_PREFIX that is ${bytes - MAX_KEY_BYTES} bytes shorter`,
      );
    }
  }
  if (has('COS_SSE_KMS_KEY_ID') && settings['COS_SSE'] !== 'cos/kms') {
    faults.push('COS_SSE_KMS_KEY_ID needs COS_SSE=cos/kms');
  }
  return faults;
}

function credentialFaults(env: Environment): string[] {
  return ['TENCENTCLOUD_SECRETID', 'TENCENTCLOUD_SECRETKEY']
    .filter((name) => !env[name] || env[name] === 'undefined')
    .map(
      (name) =>
        `${name} is not set; SCF sets it when the function has a run role (from a shell, set it to your own key)`,
    );
}

function assemble(settings: Record<string, unknown>, env: Environment, runsFrom: RunsFrom): RuleConfig {
  const get = <T>(name: VariableName) => settings[name] as T;
  const token = get<string | undefined>('PULSAR_TOKEN');
  const clusterId = get<string | undefined>('TDMQ_CLUSTER_ID');
  const certFile = get<string | undefined>('PULSAR_TLS_CERT_FILE');
  const sse = get<'AES256' | 'cos/kms' | undefined>('COS_SSE');
  const sessionToken = env['TENCENTCLOUD_SESSIONTOKEN'];
  return {
    rule: get('RULE_NAME'),
    pulsar: {
      serviceUrl: get<string>('PULSAR_SERVICE_URL').replace(/\/$/, ''),
      topic: get('PULSAR_TOPIC'),
      subscription: get('PULSAR_SUBSCRIPTION'),
      subscriptionType: get('PULSAR_SUBSCRIPTION_TYPE'),
      initialPosition: get('PULSAR_INITIAL_POSITION'),
      token: token === undefined ? undefined : new Secret(token),
      listenerName: get('PULSAR_LISTENER_NAME'),
      tlsCaFile: get('PULSAR_TLS_CA_FILE'),
      clientCertificate:
        certFile === undefined ? undefined : { certFile, keyFile: get('PULSAR_TLS_KEY_FILE') },
      driver: get('PULSAR_DRIVER'),
      tdmqRole: clusterId === undefined ? undefined : { clusterId, roleName: get('TDMQ_ROLE_NAME') },
      runsFrom,
    },
    cos: {
      bucket: get('COS_BUCKET'),
      region: get('COS_REGION'),
      prefix: get<string | undefined>('COS_PREFIX') ?? '',
      storageClass: get('COS_STORAGE_CLASS'),
      sse: sse === undefined ? undefined : { algorithm: sse, kmsKeyId: get('COS_SSE_KMS_KEY_ID') },
      endpoint: get<string | undefined>('COS_ENDPOINT')?.replace(/\/$/, ''),
      credentials: {
        secretId: env['TENCENTCLOUD_SECRETID'] as string,
        secretKey: new Secret(env['TENCENTCLOUD_SECRETKEY'] as string),
        sessionToken: sessionToken ? new Secret(sessionToken) : undefined,
      },
      runsFrom,
    },
    file: {
      maxMessages: get('FILE_MAX_MESSAGES'),
      maxBytes: get('FILE_MAX_BYTES'),
      compression: get('FILE_COMPRESSION'),
    },
    run: {
      intervalMinutes: get('RUN_INTERVAL_MINUTES'),
      reserveSeconds: get('RUN_RESERVE_SECONDS'),
      onUnreadable: get('RUN_ON_UNREADABLE'),
      chunkExpiryMinutes: get('RUN_CHUNK_EXPIRY_MINUTES'),
    },
    logLevel: get('LOG_LEVEL'),
  };
}
