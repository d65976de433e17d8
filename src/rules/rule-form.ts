// The form of a rule as a person fills it in: flags, rule.yml, a .env file, or what a deployed rule has. Values are
// texts; whether the settings among them are right is for read-settings.ts to say.
import { parse as parseYaml } from 'yaml';
import { BackupError, type Fault } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { VARIABLES } from '../settings.ts';
import { parseTopicName } from '../topic-name.ts';
import type { Rule } from './rule.ts';
import { instancesOf } from './schedule.ts';

interface Field {
  readonly what: string;
  readonly example: string;
  /** The setting that it fills in, one to one. */
  readonly variable?: keyof typeof VARIABLES;
  /** Its name in the .env file of a stage, where it is none of the function's settings. */
  readonly deployed?: string;
}

/** The fields, by their names in rule.yml; flags are the same with dashes (`tdmqRole`: `--tdmq-role`). */
export const FIELDS = {
  name: {
    what: 'the name of the rule and its function; fixed afterwards',
    example: 'orders-backup',
    variable: 'RULE_NAME',
  },
  cluster: { what: 'the cluster, by id', example: 'pulsar-abc' },
  namespace: { what: 'its namespace', example: 'default' },
  topic: { what: 'the topic, by its short name', example: 'orders' },
  subscription: {
    what: 'the subscription; made where it does not exist',
    example: 'backup',
    variable: 'PULSAR_SUBSCRIPTION',
  },
  subscriptionType: {
    what: 'exclusive, failover, shared or key_shared',
    example: 'exclusive',
    variable: 'PULSAR_SUBSCRIPTION_TYPE',
  },
  start: {
    what: 'where to begin: earliest, latest or a time (UTC without a zone); applied once',
    example: 'earliest',
  },
  tdmqRole: { what: 'the TDMQ role that may consume', example: 'backup-reader' },
  roleKey: {
    what: 'where its key lives: stored (in the function) or runtime (read at each run)',
    example: 'stored',
  },
  serviceUrl: {
    what: "the cluster's private address, where it has several",
    example: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:8080',
    variable: 'PULSAR_SERVICE_URL',
  },
  vpc: { what: 'the VPC that reaches it', example: 'vpc-abc', deployed: 'DEPLOY_VPC_ID' },
  subnet: { what: 'the subnet for the function', example: 'subnet-abc', deployed: 'DEPLOY_SUBNET_ID' },
  bucket: { what: 'the bucket, name-appid', example: 'archive-1250000000', variable: 'COS_BUCKET' },
  prefix: {
    what: 'where the objects go; ends with /; by default tdmq/<topic>/',
    example: 'tdmq/orders/',
    variable: 'COS_PREFIX',
  },
  interval: {
    what: 'minutes between runs: 5, 6, 10, 12 or 15',
    example: '5',
    variable: 'RUN_INTERVAL_MINUTES',
  },
  linger: {
    what: 'minutes that an incomplete file waits for more messages, 0 to 720; exclusive and failover only',
    example: '60',
    variable: 'FILE_LINGER_MINUTES',
  },
  instances: {
    what: 'instances that each tick starts, 1 to 10; several for failover, shared and key_shared',
    example: '1',
    deployed: 'DEPLOY_INSTANCES',
  },
  runRole: {
    what: 'the CAM role that the function runs as',
    example: 'tdmq-backup-orders',
    deployed: 'DEPLOY_ROLE',
  },
  runtime: {
    what: 'the Node.js of the function; fixed afterwards',
    example: 'Nodejs18.15',
    deployed: 'DEPLOY_RUNTIME',
  },
  memory: { what: 'memory in MB', example: '512', deployed: 'DEPLOY_MEMORY_MB' },
  timeout: { what: 'time limit in seconds, at most 900', example: '285', deployed: 'DEPLOY_TIMEOUT_SECONDS' },
  clsLogset: {
    what: 'the CLS log set for the logs',
    example: '0a1b2c3d-…',
    deployed: 'DEPLOY_CLS_LOGSET_ID',
  },
  clsTopic: { what: 'the CLS topic for the logs', example: '4e5f6a7b-…', deployed: 'DEPLOY_CLS_TOPIC_ID' },
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof FIELDS;

export interface RuleForm {
  readonly fields: Readonly<Partial<Record<FieldName, string>>>;
  /** Settings that no field fills in, by their variables' names. */
  readonly settings: Readonly<Record<string, string>>;
}

const names = Object.keys(FIELDS) as FieldName[];

/** `tdmqRole` → `tdmq-role` */
export const flagOf = (field: FieldName) => field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** What is wrong with the value that a field was given. */
export const faultOf = (field: FieldName, value: string, what: string): Fault => ({
  setting: `--${flagOf(field)}`,
  text: `--${flagOf(field)} ${value}: ${what}`,
});

/** A field has to be given. */
export const notGiven = (field: FieldName, what: string): Fault => ({
  setting: `--${flagOf(field)}`,
  text: `--${flagOf(field)}: not given; ${what}`,
});

/** The field that fills in a variable. */
export function fieldOf(variable: string): FieldName | undefined {
  return names.find((name) => {
    const { variable: own, deployed } = FIELDS[name] as Field;
    return own === variable || deployed === variable;
  });
}

/** Later forms go before earlier ones. */
export function mergeForms(...forms: readonly RuleForm[]): RuleForm {
  return {
    fields: Object.assign({}, ...forms.map((form) => form.fields)) as RuleForm['fields'],
    settings: Object.assign({}, ...forms.map((form) => form.settings)) as RuleForm['settings'],
  };
}

/**
 * The form that settings by their variables' names amount to; a topic's full name is taken apart. It has no `start`:
 * `PULSAR_INITIAL_POSITION` is for a subscription that does not exist yet, and never moves one that does.
 */
export function formOfSettings(settings: Readonly<Record<string, string | undefined>>): RuleForm {
  const fields: Partial<Record<FieldName, string>> = {};
  const rest: Record<string, string> = {};
  for (const [variable, value] of Object.entries(settings)) {
    // An empty prefix is the root of the bucket; without one a new rule gets a folder of its own.
    if (!value && (variable !== 'COS_PREFIX' || value === undefined)) continue;
    const field = fieldOf(variable);
    if (field !== undefined) fields[field] = value;
    else if (variable in VARIABLES) rest[variable] = value;
  }
  const topic = parseTopicName(rest['PULSAR_TOPIC'] ?? '');
  if (topic !== undefined) {
    delete rest['PULSAR_TOPIC'];
    Object.assign(fields, { cluster: topic.tenant, namespace: topic.namespace, topic: topic.topic });
  }
  if (rest['TDMQ_CLUSTER_ID'] !== undefined) fields.cluster = rest['TDMQ_CLUSTER_ID'];
  if (rest['TDMQ_ROLE_NAME'] !== undefined) {
    fields.tdmqRole = rest['TDMQ_ROLE_NAME'];
    fields.roleKey = 'runtime';
  }
  for (const taken of ['TDMQ_CLUSTER_ID', 'TDMQ_ROLE_NAME']) delete rest[taken];
  return { fields, settings: rest };
}

/** The form of a deployed rule. Settings that fields fill in only in part are kept as they are. */
export function formOfRule(rule: Rule): RuleForm {
  const { fields, settings } = formOfSettings(rule.environment);
  const kept = ['RULE_NAME', 'PULSAR_TOPIC'].flatMap((name) => {
    const value = rule.environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    fields: {
      ...fields,
      name: rule.functionName,
      memory: String(rule.memoryMb),
      timeout: String(rule.timeoutSeconds),
      ...(rule.runtime === '' ? {} : { runtime: rule.runtime }),
      ...(rule.timers.length === 0 ? {} : { instances: String(instancesOf(rule)) }),
      ...(rule.vpc === undefined ? {} : { vpc: rule.vpc.vpcId, subnet: rule.vpc.subnetId }),
      ...(rule.runRole === undefined ? {} : { runRole: rule.runRole }),
      ...(rule.cls === undefined ? {} : { clsLogset: rule.cls.logsetId, clsTopic: rule.cls.topicId }),
    },
    settings: { ...settings, ...Object.fromEntries(kept) },
  };
}

/** Whether a rule file is the .env file of a stage, and no rule.yml: its first line that is no comment shows it. */
export function isEnvText(text: string): boolean {
  const first = text.split(/[\r\n]+/).find((line) => !/^\s*(#|$)/.test(line));
  return first !== undefined && /^\s*(export\s+)?[A-Za-z_][\w.-]*[ \t]*=/.test(first);
}

/** Reads a rule.yml. @throws BackupError `config` with every field at fault */
export function parseRuleYaml(text: string, path: string): RuleForm {
  const refuse = (what: string, of: { cause?: unknown; faults?: readonly Fault[] } = {}) =>
    new BackupError('config', `${path} ${what}`, {
      ...of,
      hint: `Fields are ${names.join(', ')}, and settings by their variables' names under \`settings\`.`,
    });
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw refuse('is neither YAML nor lines of NAME=value', { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw refuse('holds no fields of a rule');
  }
  const { settings: extra = {}, ...rest } = parsed as Record<string, unknown>;
  const faults = Object.entries(rest).flatMap(([name, value]) =>
    !names.includes(name as FieldName)
      ? [{ setting: name, text: `${name} is no field; did you mean ${nearest(name, names)}?` }]
      : typeof value === 'object'
        ? [{ setting: name, text: `${name} is no text or number` }]
        : [],
  );
  if (typeof extra !== 'object' || extra === null)
    faults.push({ setting: 'settings', text: 'settings is no list of NAME: value' });
  for (const name of Object.keys(extra as object)) {
    if (!(name in VARIABLES)) {
      const known = nearest(name, Object.keys(VARIABLES));
      faults.push({ setting: name, text: `${name} is not a setting; did you mean ${known}?` });
    }
  }
  if (faults.length > 0) throw refuse('has faults', { faults });
  const texts = (given: object) =>
    Object.fromEntries(
      Object.entries(given)
        .filter(([, value]) => value !== null && value !== '')
        .map(([name, value]) => [name, value instanceof Date ? value.toISOString() : String(value)]),
    );
  return mergeForms(formOfSettings(texts(extra as object)), { fields: texts(rest), settings: {} });
}

/**
 * The `.env.<stage>` of a rule for the Serverless Framework, with every variable that serverless.yml reads; what the rule
 * does not set is commented out. It contains a stored role key, so the file is for its owner alone.
 */
export function formatEnvFile(rule: Rule): string {
  const { fields } = formOfRule(rule);
  const settings: Record<string, string> = {
    RULE_NAME: rule.functionName,
    COS_REGION: rule.region,
    ...rule.environment,
  };
  const line = (name: string, value: string) => {
    if (/^[\w./:@,+=-]*$/.test(value)) return `${name}=${value}`;
    // Double quotes would make a new line of `\n`.
    const quote = ["'", '"', '`'].find(
      (one) => !value.includes(one) && !(one === '"' && value.includes('\\')),
    );
    if (quote !== undefined) return `${name}=${quote}${value}${quote}`;
    throw new BackupError(
      'rule',
      `no line of a settings file can hold the value of ${name}: it has all kinds of quotes`,
      {
        hint: 'Export it with --format terraform, or give the value in rule.yml.',
      },
    );
  };
  const lines = (Object.entries(VARIABLES) as [string, { fallback?: string }][]).map(
    ([name, { fallback }]) => {
      const value = settings[name] || fallback;
      // An empty prefix is the bucket's root, which a rule may have.
      return value || (value === '' && name === 'COS_PREFIX') ? line(name, value) : `#${name}=`;
    },
  );
  const deployed = names.flatMap((name) => {
    const { deployed: variable } = FIELDS[name] as Field;
    const value = fields[name];
    if (variable === undefined) return [];
    return value === undefined ? [`#${variable}=`] : [line(variable, value)];
  });
  return [
    `# The rule ${rule.name} in ${rule.region}, for \`tdmq-backup rule create --file\`, and for the Serverless Framework:`,
    `#   scf deploy --stage <stage> --inputs memorySize=${rule.memoryMb} timeout=${rule.timeoutSeconds}`,
    '# serverless.yml has the timers of further instances, and the runtime. What is commented out here drops out.',
    ...lines,
    ...deployed,
    '',
  ].join('\n');
}
