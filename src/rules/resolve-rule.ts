// From a filled-in form to a rule that can be deployed: every name is looked up in the cloud, defaults are put in, the
// settings are checked as the function will check them. Everything that is wrong is reported at once; nothing is changed.
import type { RuleSettings } from '../config.ts';
import { BackupError, type Fault } from '../errors.ts';
import { isForeign } from '../read-settings.ts';
import { ifThere, isForbidden } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import { faultsOfLimits, resolveInstances, resolveInterval, resolveRuntime } from './resolve-function.ts';
import { resolveNetwork, resolveStart, resolveTopic, type StartPosition } from './resolve-source.ts';
import { checkSettings, type Rule } from './rule.ts';
import { type FieldName, faultOf, flagOf, notGiven, type RuleForm } from './rule-form.ts';
import { findRunRole } from './run-role.ts';
import { defaultTimeoutSeconds } from './schedule.ts';
import type { AccessPoint, PulsarCluster, Subscription } from './tdmq-lookup.ts';

export interface ResolvedRule {
  readonly name: string;
  readonly region: string;
  /** All settings; a key that is still to be read is not in it. */
  readonly environment: Readonly<Record<string, string>>;
  /** The role whose key is to be read and stored in the function. */
  readonly storedRole: string | undefined;
  readonly config: RuleSettings;
  readonly cluster: PulsarCluster;
  readonly subscription: { readonly name: string; readonly existing: Subscription | undefined };
  readonly startMs: StartPosition;
  readonly vpc: { readonly vpcId: string; readonly subnetId: string };
  readonly runRole: string;
  readonly isRunRoleNew: boolean;
  readonly runtime: string;
  /** So many timers; 0: a rule that has none keeps none. */
  readonly instances: number;
  /** Whether somebody has chosen how many. */
  readonly areInstancesGiven: boolean;
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  readonly cls: { readonly logsetId: string; readonly topicId: string } | undefined;
  /** What a person should know before going on. */
  readonly warnings: readonly string[];
}

export interface ResolveOptions {
  /** Make the run role where it does not exist. */
  readonly createRunRole?: boolean;
  /** The rule that is being changed. */
  readonly current?: Rule;
  readonly nowMs: number;
}

/** A folder for each topic keeps archives apart, whoever shares the bucket. */
export const defaultPrefix = (topic = '') => `tdmq/${encodeURIComponent(topic)}/`;

const REQUIRED: readonly FieldName[] = ['name', 'cluster', 'namespace', 'topic', 'subscription', 'bucket'];

/** @throws BackupError `config` that lists every fault, or `rule` where the cloud does not answer */
export async function resolveRule(
  cloud: Cloud,
  form: RuleForm,
  options: ResolveOptions,
): Promise<ResolvedRule> {
  const { settings } = form;
  // A rule that exists keeps the root of the bucket, if it has that.
  const prefix =
    form.fields.prefix ?? (options.current === undefined ? defaultPrefix(form.fields.topic) : '');
  const fields = { ...form.fields, prefix };
  const missing = REQUIRED.filter((name) => !fields[name]);
  if (missing.length > 0) {
    throw new BackupError('config', `not given: ${missing.map((name) => `--${flagOf(name)}`).join(', ')}`, {
      hint: 'Pass them as flags, in --file rule.yml, or run the command on a terminal to be asked.',
    });
  }
  const faults: Fault[] = [];
  const warnings: string[] = [];
  const name = fields.name as string;
  const nameFault = options.current === undefined ? await faultOfName(cloud, name) : undefined;
  if (nameFault !== undefined) faults.push(faultOf('name', name, nameFault));
  const topic = await resolveTopic(cloud, form, faults, warnings);
  const network = await resolveNetwork(cloud, form, topic?.cluster, faults);
  const runRole = fields.runRole ?? `tdmq-backup-${name}`;
  const isRunRoleNew = await resolveRunRole(cloud, runRole, options, fields.runRole !== undefined, faults);
  const startMs = resolveStart(form, topic?.subscription, options.nowMs, faults);
  const memoryMb = wholeNumber('memory', fields.memory ?? '512', 128, 3072, faults);
  const intervalMinutes = resolveInterval(form, options.current, faults);
  const instances = resolveInstances(form, options.current, topic?.partitions, faults, warnings);
  const runtime = resolveRuntime(form, options.current, faults, warnings);
  const timeoutSeconds = wholeNumber(
    'timeout',
    fields.timeout ?? String(defaultTimeoutSeconds(intervalMinutes)),
    1,
    900,
    faults,
  );
  if (memoryMb % 128 !== 0) faults.push(faultOf('memory', String(memoryMb), 'SCF takes steps of 128'));
  if ((fields.clsLogset === undefined) !== (fields.clsTopic === undefined)) {
    faults.push({ setting: '--cls-logset', text: '--cls-logset and --cls-topic go together' });
  }
  if (fields.clsTopic === undefined) {
    warnings.push('no CLS topic: SCF logs to one of its own');
  }

  const storedRole = roleToStore(form, faults);
  // Variables that somebody else gave the function, such as TZ, are not the rule's to take away.
  const foreign = Object.entries(options.current?.environment ?? {}).filter(([one]) => isForeign(one));
  const environment = {
    ...environmentOf({ fields, settings }, cloud.region, topic?.cluster, network),
    ...Object.fromEntries(foreign),
  };
  faults.push(...faultsOfLimits(environment, storedRole === undefined ? undefined : topic?.keyBytes));
  let config: RuleSettings | undefined;
  try {
    config = checkSettings(environment, name, cloud.region);
    if (config.cos.region !== cloud.region) {
      faults.push({
        setting: 'COS_REGION',
        text: `COS_REGION ${config.cos.region}: cluster, function and bucket must be in one region, ${cloud.region}`,
      });
    }
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    // Without a network there is no address; that is among the faults already.
    const isNew = ({ setting }: Fault) => network !== undefined || setting !== 'PULSAR_SERVICE_URL';
    faults.push(...error.faults.filter(isNew));
  }
  if (faults.length > 0 || config === undefined || topic === undefined || network === undefined) {
    throw new BackupError('config', `${faults.length} of the rule's values are wrong`, {
      faults,
      hint: `Nothing was changed. Settings of the function itself: ${Object.keys(settings).join(', ') || 'none given'}.`,
    });
  }
  return {
    name,
    region: cloud.region,
    environment,
    storedRole,
    config,
    cluster: topic.cluster,
    subscription: { name: fields.subscription as string, existing: topic.subscription },
    startMs,
    vpc: network,
    runRole,
    isRunRoleNew,
    runtime,
    instances,
    areInstancesGiven: fields.instances !== undefined,
    memoryMb,
    timeoutSeconds,
    cls:
      fields.clsTopic === undefined
        ? undefined
        : { logsetId: fields.clsLogset as string, topicId: fields.clsTopic },
    warnings: fields.subscriptionType?.includes('shared')
      ? [...warnings, 'Shared and Key_Shared are at-least-once: a message may be stored twice']
      : warnings,
  };
}

/** What is wrong with the name of a new rule: SCF does not take it, or has a function of that name. */
export async function faultOfName(cloud: Cloud, name: string): Promise<string | undefined> {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]$/.test(name)) {
    return "SCF takes 2 to 60 letters, digits, '-' and '_', beginning with a letter and ending with a letter or digit";
  }
  const found = await ifThere(cloud.call('scf', 'GetFunction', { FunctionName: name }));
  return found && `a function of this name exists in ${cloud.region}; choose another name`;
}

async function resolveRunRole(
  cloud: Cloud,
  runRole: string,
  options: ResolveOptions,
  isGiven: boolean,
  faults: Fault[],
): Promise<boolean> {
  if (runRole === options.current?.runRole) return false;
  let found: Awaited<ReturnType<typeof findRunRole>>;
  try {
    found = await findRunRole(cloud, runRole);
  } catch (error) {
    // Who may not look at roles can still name one; SCF checks it.
    if (!isForbidden(error) || !isGiven) throw error;
    return false;
  }
  if (found === undefined) {
    if (!options.createRunRole) {
      faults.push(
        isGiven
          ? faultOf('runRole', runRole, 'no such CAM role; --create-run-role makes it with the least policy')
          : notGiven(
              'runRole',
              'name a CAM role, or pass --create-run-role to make one with the least policy',
            ),
      );
    }
    return true;
  }
  if (!found.isForScf) faults.push(faultOf('runRole', runRole, 'scf.qcloud.com may not assume this role'));
  return false;
}

function roleToStore({ fields, settings }: RuleForm, faults: Fault[]): string | undefined {
  const { tdmqRole, roleKey = 'stored' } = fields;
  if (roleKey !== 'stored' && roleKey !== 'runtime')
    faults.push(faultOf('roleKey', roleKey, 'expected stored or runtime'));
  return tdmqRole !== undefined && roleKey === 'stored' && settings['PULSAR_TOKEN'] === undefined
    ? tdmqRole
    : undefined;
}

function wholeNumber(field: FieldName, text: string, min: number, max: number, faults: Fault[]): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    faults.push(faultOf(field, text, `expected a whole number from ${min} to ${max}`));
  }
  return value;
}

/** The function's environment; variables at their defaults are left to the function. */
function environmentOf(
  { fields, settings }: RuleForm,
  region: string,
  cluster: PulsarCluster | undefined,
  network: AccessPoint | undefined,
): Record<string, string> {
  const isReadAtRuntime = fields.roleKey === 'runtime' && fields.tdmqRole !== undefined;
  const given: Record<string, string | undefined> = {
    PULSAR_SERVICE_URL: network?.serviceUrl,
    PULSAR_TOPIC: `${cluster?.tenant ?? fields.cluster}/${fields.namespace}/${fields.topic}`,
    PULSAR_SUBSCRIPTION: fields.subscription,
    PULSAR_SUBSCRIPTION_TYPE: fields.subscriptionType,
    // Only brokers of 2.6.1 need to know by which of their networks they are reached.
    PULSAR_LISTENER_NAME:
      cluster?.version.startsWith('2.6') && network !== undefined
        ? `custom:${cluster.id}/${network.vpcId}/${network.subnetId}`
        : undefined,
    TDMQ_CLUSTER_ID: isReadAtRuntime ? cluster?.id : undefined,
    TDMQ_ROLE_NAME: isReadAtRuntime ? fields.tdmqRole : undefined,
    COS_BUCKET: fields.bucket,
    COS_REGION: region,
    COS_PREFIX: fields.prefix,
    RUN_INTERVAL_MINUTES: fields.interval,
    FILE_LINGER_MINUTES: fields.linger,
    ...settings,
    ...(fields.start && { PULSAR_INITIAL_POSITION: fields.start === 'latest' ? 'latest' : undefined }),
  };
  return Object.fromEntries(
    Object.entries(given).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
    ),
  );
}
