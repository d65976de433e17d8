// Reads settings from an environment, and reports all faults at once. No fault contains a secret.
import type * as z from 'zod/mini';
import { BackupError, type Fault } from './errors.ts';
import { longestKeyBytes, MAX_KEY_BYTES } from './format/object-key.ts';
import { nearest } from './lib/nearest.ts';
import { visibleText } from './lib/visible-text.ts';
import { VARIABLES, type Variable, type VariableName } from './settings.ts';

/** The environment as the process has it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the settings are used: hints at a shell do not mention a function's network and package. */
export type RunsFrom = 'function' | 'shell';

type Output<Name extends VariableName> = z.output<(typeof VARIABLES)[Name]['schema']>;

/** The values of settings; `undefined` where one is not set, and neither required nor with a default. */
export type Settings<Name extends VariableName = VariableName> = {
  readonly [One in Name]: (typeof VARIABLES)[One] extends { required: true } | { fallback: string }
    ? Output<One>
    : Output<One> | undefined;
};

/** Set by SCF if the function has a run role, and by a person at a shell. */
const CREDENTIALS = ['TENCENTCLOUD_SECRETID', 'TENCENTCLOUD_SECRETKEY'] as const;

const OUR_PREFIXES = [...new Set(Object.keys(VARIABLES).map((name) => `${name.split('_')[0]}_`))];

export interface ReadOptions {
  readonly runsFrom: RunsFrom;
  /** Whether API keys are required too. */
  readonly withCredentials: boolean;
}

/**
 * The settings that are needed; the others may be missing, and may not be wrong.
 * @throws BackupError `config` with every fault: the variable, what was expected, an example
 */
export function readSettings<Name extends VariableName>(
  env: Environment,
  needed: readonly Name[],
  { runsFrom, withCredentials }: ReadOptions,
): Settings<Name> {
  const faults: Fault[] = [];
  const settings: Record<string, unknown> = {};
  for (const name of Object.keys(VARIABLES) as VariableName[]) {
    const value = readSetting(env, name, (needed as readonly VariableName[]).includes(name));
    if (value.fault === undefined) settings[name] = value.parsed;
    else faults.push({ setting: name, text: `${name} ${value.fault}` });
  }
  faults.push(...unknownVariables(env), ...contradictions(settings));
  if (withCredentials) faults.push(...missingCredentials(env));
  if (faults.length === 0) return settings as Settings<Name>;
  throw new BackupError('config', `${faults.length} of the rule's settings are wrong`, {
    faults,
    hint:
      runsFrom === 'shell'
        ? 'Set these environment variables here, or in the file that --env-file names.'
        : 'Set these environment variables of the function (.env.<stage>, or --env-file) and deploy again.',
  });
}

function readSetting(
  env: Environment,
  name: VariableName,
  isNeeded: boolean,
): { readonly parsed: unknown; readonly fault?: never } | { readonly fault: string } {
  const variable: Variable = VARIABLES[name];
  const expected = `expected ${variable.expected}, for example ${variable.example}`;
  const text = textOf(env, name) ?? variable.fallback;
  if (text === undefined)
    return variable.required && isNeeded ? { fault: `is not set; ${expected}` } : { parsed: undefined };
  if (text === 'undefined' || text === 'null')
    return { fault: `is the text "${text}": what deployed the function had no value for it; ${expected}` };
  const parsed = variable.schema.safeParse(text);
  if (parsed.success) return { parsed: parsed.data };
  return {
    fault: `${variable.secret ? 'is not valid' : `is ${visibleText(JSON.stringify(text))}`}; ${expected}`,
  };
}

/** An unset variable and an empty one are the same; some have a second name that SCF sets itself. */
function textOf(env: Environment, name: VariableName): string | undefined {
  if (env[name]) return env[name];
  if (name === 'RULE_NAME') return env['SCF_FUNCTIONNAME'] || undefined;
  if (name === 'COS_REGION') return env['TENCENTCLOUD_REGION'] || undefined;
  return undefined;
}

/** Whether a variable is foreign, such as `TZ`: neither a setting nor named like one. */
export const isForeign = (name: string): boolean =>
  !(name in VARIABLES) && !OUR_PREFIXES.some((prefix) => name.startsWith(prefix));

/** Variables that look like settings but are unknown. */
export function unknownVariables(env: Environment): Fault[] {
  return Object.keys(env)
    .filter((name) => !(name in VARIABLES) && !isForeign(name))
    .sort()
    .map((name) => ({
      setting: name,
      text: `${name} is not a setting; did you mean ${nearest(name, Object.keys(VARIABLES))}?`,
    }));
}

/** Settings that are valid individually but not together. */
function contradictions(settings: Partial<Settings>): Fault[] {
  const has = (name: VariableName) => settings[name] !== undefined;
  const faults: Fault[] = [];
  const refuse = (setting: VariableName, text: string) => faults.push({ setting, text });
  if (has('TDMQ_CLUSTER_ID') !== has('TDMQ_ROLE_NAME')) {
    refuse('TDMQ_CLUSTER_ID', 'TDMQ_CLUSTER_ID and TDMQ_ROLE_NAME go together: set both or none');
  }
  if (has('PULSAR_TLS_CERT_FILE') !== has('PULSAR_TLS_KEY_FILE')) {
    refuse(
      'PULSAR_TLS_CERT_FILE',
      'PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE go together: set both or none',
    );
  }
  if (has('PULSAR_TOKEN') && has('TDMQ_ROLE_NAME')) {
    refuse(
      'PULSAR_TOKEN',
      'PULSAR_TOKEN and TDMQ_ROLE_NAME exclude each other: set the key itself or the role to read it from',
    );
  }
  const { PULSAR_TOPIC: topic, COS_PREFIX: prefix = '', RULE_NAME: rule = '' } = settings;
  const bytes = topic === undefined ? 0 : longestKeyBytes(prefix, topic, rule);
  if (bytes > MAX_KEY_BYTES) {
    refuse(
      'COS_PREFIX',
      `COS_PREFIX and PULSAR_TOPIC are too long together: keys of objects would have up to ${bytes} bytes of UTF-8, and COS takes ${MAX_KEY_BYTES}; choose a COS_PREFIX that is ${bytes - MAX_KEY_BYTES} bytes shorter`,
    );
  }
  if (has('COS_SSE_KMS_KEY_ID') && settings.COS_SSE !== 'cos/kms') {
    refuse('COS_SSE_KMS_KEY_ID', 'COS_SSE_KMS_KEY_ID needs COS_SSE=cos/kms');
  }
  const { FILE_LINGER_MINUTES: linger = 0, PULSAR_SUBSCRIPTION_TYPE: type } = settings;
  if (linger > 0 && (type === 'shared' || type === 'key_shared')) {
    refuse(
      'FILE_LINGER_MINUTES',
      `FILE_LINGER_MINUTES=${linger} needs PULSAR_SUBSCRIPTION_TYPE exclusive or failover: what a ${type} subscription does not acknowledge goes to any consumer, in any order; leave FILE_LINGER_MINUTES out, or set it to 0`,
    );
  }
  return faults;
}

const missingCredentials = (env: Environment): Fault[] =>
  CREDENTIALS.filter((name) => !env[name] || env[name] === 'undefined').map((name) => ({
    setting: name,
    text: `${name} is not set; SCF sets it when the function has a run role (from a shell, set it to your own key)`,
  }));

/** Every secret that the environment has. */
export const secretsOf = (env: Environment): string[] =>
  [
    ...Object.entries<Variable>(VARIABLES).flatMap(([name, { secret }]) => (secret ? name : [])),
    ...CREDENTIALS,
    'TENCENTCLOUD_SESSIONTOKEN',
  ].flatMap((name) => env[name] ?? []);
