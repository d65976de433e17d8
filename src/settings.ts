// The settings of a rule: the variables of the function's environment, and their allowed values. Data only:
// read-settings.ts reads an environment with it, and tests compare docs/settings.md and .env.example with it.
import * as z from 'zod/mini';
import { COMPRESSIONS } from './format/object-key.ts';
import { parseTopicName } from './topic-name.ts';

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

/** One setting. */
export interface Variable {
  readonly schema: z.ZodMiniType<unknown, string>;
  readonly expected: string;
  readonly example: string;
  /** What an unset variable means; `undefined` where it has no default. */
  readonly fallback?: string;
  readonly required?: boolean;
  readonly secret?: boolean;
}

const oneOf = <const Values extends readonly [string, ...string[]]>(...values: Values) => ({
  schema: z.enum(values),
  expected: `one of ${values.join(', ')}`,
  example: values[0],
});

const text = (pattern: RegExp) => z.string().check(z.regex(pattern));

/** Pasted along, nobody sees them: the name would be another one, and a subscription of that name would begin anew. */
const UNSEEN = /^\s|\s$|[\p{Bidi_Control}\u00ad\u200b\u2060\ufeff]/u;
const isSeen = (value: string): boolean => !UNSEEN.test(value);
const isQuoted = (value: string): boolean => /^(["'`]).*\1$/.test(value);

const wholeNumber = (min: number, max: number, example = max) => ({
  schema: z.pipe(
    z.pipe(text(/^\d+$/), z.transform(Number)),
    z.number().check(z.minimum(min), z.maximum(max)),
  ),
  expected: `a whole number from ${min} to ${max}`,
  example: String(example),
});

const HOST_LIST =
  /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:,(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)*\/?$/;

/** The variables of a rule, by name. */
export const VARIABLES = {
  RULE_NAME: {
    schema: text(/^[A-Za-z0-9_-]{2,60}$/),
    expected: "2 to 60 letters, digits, '-' or '_'; by default the function's name",
    example: 'orders-backup',
    required: true,
  },
  PULSAR_SERVICE_URL: {
    schema: z.string().check(
      z.refine((value) => {
        const match = /^(?:pulsar|pulsar\+ssl|http|https):\/\/(.+)$/.exec(value);
        return match?.[1] !== undefined && HOST_LIST.test(match[1]);
      }),
    ),
    expected: 'pulsar://, pulsar+ssl://, http:// or https:// and host:port',
    example: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:5035',
    required: true,
  },
  PULSAR_TOPIC: {
    schema: z.pipe(
      z.string(),
      z.transform((value: string, context) => {
        const topic = parseTopicName(value);
        if (topic !== undefined) return topic;
        context.issues.push({ code: 'custom', message: 'not a topic name', input: value });
        return z.NEVER;
      }),
    ),
    expected:
      "persistent://tenant/namespace/topic or tenant/namespace/topic, no part of which is '.' or '..'",
    example: 'pulsar-abc/default/orders',
    required: true,
  },
  PULSAR_SUBSCRIPTION: {
    schema: text(/^\P{Cc}{1,150}$/u).check(
      z.refine(isSeen),
      z.refine((value) => !isQuoted(value)),
    ),
    expected:
      "a subscription's name, 1 to 150 characters without control or invisible ones, spaces around it or quotes around it",
    example: 'backup',
    required: true,
  },
  PULSAR_SUBSCRIPTION_TYPE: {
    ...oneOf('exclusive', 'failover', 'shared', 'key_shared'),
    fallback: 'exclusive',
  },
  PULSAR_INITIAL_POSITION: { ...oneOf('earliest', 'latest'), fallback: 'earliest' },
  PULSAR_TOKEN: {
    schema: text(/^(?!token:)[\x21-\x7e]+$/i).check(z.refine((value) => !isQuoted(value))),
    expected: "the key of a TDMQ role (a JWT) alone: on one line, without quotes, 'token:' or 'Bearer'",
    example: 'eyJ…',
    secret: true,
  },
  PULSAR_LISTENER_NAME: {
    schema: text(/^[^\s]+$/),
    expected: "a listener's name, without spaces",
    example: 'custom:pulsar-abc/vpc-abc/subnet-abc',
  },
  PULSAR_TLS_CA_FILE: {
    schema: text(/./s),
    expected: 'the path of a PEM file with the CA certificates to trust',
    example: '/var/user/ca.pem',
  },
  PULSAR_TLS_CERT_FILE: {
    schema: text(/./s),
    expected: "the path of a PEM file with the client's certificate, together with PULSAR_TLS_KEY_FILE",
    example: '/var/user/client.pem',
  },
  PULSAR_TLS_KEY_FILE: {
    schema: text(/./s),
    expected: "the path of a PEM file with the certificate's key, without a passphrase",
    example: '/var/user/client.key',
  },
  TDMQ_CLUSTER_ID: {
    schema: text(/^[A-Za-z0-9-]+$/),
    expected: "the cluster's id, together with TDMQ_ROLE_NAME and instead of PULSAR_TOKEN",
    example: 'pulsar-abc',
  },
  TDMQ_ROLE_NAME: {
    schema: text(/^[A-Za-z0-9_-]+$/),
    expected: "the TDMQ role's name, together with TDMQ_CLUSTER_ID and instead of PULSAR_TOKEN",
    example: 'backup-reader',
  },
  PULSAR_DRIVER: { ...oneOf('wire', 'native'), fallback: 'wire' },
  COS_BUCKET: {
    schema: text(/^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-\d{5,}$/),
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
    schema: z.string().check(
      z.maxLength(300),
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      z.regex(/^(?:(?!\/)(?!.*\/\/)[^\u0000-\u001f\u007f]*\/)?$/),
      z.refine((value) => isSeen(value) && !/\s\/$/u.test(value)),
      z.refine(
        (value) =>
          !/(^|\/)_(?:runs|unreadable|schemas|contents|copies|restores)\//.test(value) &&
          !/(^|\/)\.\.?\//.test(value),
      ),
    ),
    expected:
      "a path that ends with '/', does not begin with one, has no '//', no '.' or '..', no spaces around it, nothing invisible and no reserved name in it",
    example: 'tdmq/orders/',
    fallback: '',
  },
  COS_STORAGE_CLASS: { ...oneOf(...STORAGE_CLASSES), fallback: 'STANDARD' },
  COS_SSE: oneOf('AES256', 'cos/kms'),
  COS_SSE_KMS_KEY_ID: {
    schema: text(/^[A-Za-z0-9-]+$/),
    expected: 'the id of a KMS key, with COS_SSE=cos/kms',
    example: '00000000-0000-0000-0000-000000000000',
  },
  COS_ENDPOINT: {
    schema: z.string().check(
      z.refine((value) => {
        const match = /^https?:\/\/(.+)$/.exec(value);
        return match?.[1] !== undefined && !match[1].includes(',') && HOST_LIST.test(match[1]);
      }),
    ),
    expected: 'http(s)://host:port, without a path',
    example: 'http://127.0.0.1:9000',
  },
  FILE_MAX_MESSAGES: { ...wholeNumber(1, 5000), fallback: '5000' },
  FILE_MAX_BYTES: { ...wholeNumber(1_048_576, 500_000_000), fallback: '500000000' },
  FILE_COMPRESSION: { ...oneOf(...COMPRESSIONS), fallback: 'none' },
  FILE_LINGER_MINUTES: { ...wholeNumber(0, 720, 60), fallback: '0' },
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

/** The name of a setting. */
export type VariableName = keyof typeof VARIABLES;
