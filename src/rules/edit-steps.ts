// The steps that change a deployed rule: only the necessary calls, each with its undo. Steps that cannot be undone,
// new code and a moved subscription, come last.
import type { RuleSettings } from '../config.ts';
import { ifThere } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import { waitUntilActive, waitWhileChanging } from './function-status.ts';
import {
  fullEnvironment,
  HANDLER,
  type ReadCode,
  reserve,
  reserveMemory,
  retriesOf,
  setRetries,
  shownEnvironment,
  variables,
} from './function-steps.ts';
import type { ResolvedRule } from './resolve-rule.ts';
import { checkSettings, type Rule } from './rule.ts';
import { createRunRole, updateRunRole } from './run-role.ts';
import { instancesOf, intervalOf } from './schedule.ts';
import type { Step } from './steps.ts';
import { createSubscription, moveSubscription } from './subscription-steps.ts';
import { planTimers } from './timer-steps.ts';

export interface EditPlan {
  readonly steps: readonly Step[];
  /** What a person should know before going on. */
  readonly warnings: readonly string[];
}

export interface EditOptions {
  readonly reserve: boolean;
  /** Somebody says how many instances there are to be, so concurrency and retries become those of a new rule. */
  readonly areInstancesGiven: boolean;
}

/** What changing a rule into another amounts to; `code` where its package is to be replaced as well. */
export async function planEdit(
  cloud: Cloud,
  before: Rule,
  after: ResolvedRule,
  code: ReadCode | undefined,
  options: EditOptions,
): Promise<EditPlan> {
  const runRole = await runRoleSteps(cloud, before, after);
  const timers = planTimers(cloud, before, after.config.run.intervalMinutes, after.instances);
  const concurrency = await concurrencySteps(cloud, before, after, options);
  const isFewer = after.instances < instancesOf(before);
  // More instances start only when the settings and the memory for them are there; fewer are left before those go.
  const steps = [
    ...(runRole ?? []),
    ...createSubscription(cloud, after),
    ...timers.removals,
    ...(isFewer ? concurrency : []),
    ...(isConfigurationChanged(before, after) ? [updateConfiguration(cloud, before, after)] : []),
    ...(isFewer ? [] : concurrency),
    ...(await retrySteps(cloud, before, after, options)),
    ...timers.changes,
    ...timers.additions,
    ...(code === undefined ? [] : [updateCode(cloud, before.functionName, code)]),
    ...moveSubscription(cloud, after),
  ];
  return {
    steps: steps.map((step) => undoneWhenStill(cloud, before.functionName, step)),
    warnings: [
      ...(runRole === undefined
        ? [
            `the run role ${after.runRole} must be allowed what is in policies/run-role.json, for the new place`,
          ]
        : []),
      ...timers.kept.map(({ name, cron }) => `the timer ${name} stays as somebody has set it, at ${cron}`),
    ],
  };
}

/** A role that the rule keeps must be allowed what the rule now does; `undefined`: that is for a person to do. */
async function runRoleSteps(cloud: Cloud, before: Rule, after: ResolvedRule): Promise<Step[] | undefined> {
  const { runRole, name, config } = after;
  if (after.isRunRoleNew) return createRunRole(cloud, runRole, name, config);
  if (before.runRole !== runRole) return [];
  const { cos, pulsar } = config;
  const { COS_BUCKET: bucket, COS_PREFIX: prefix = '', TDMQ_ROLE_NAME: role } = before.environment;
  if (bucket === cos.bucket && prefix === cos.prefix && role === pulsar.tdmqRole?.roleName) return [];
  return await updateRunRole(cloud, runRole, settingsOf(before), config);
}

/** Those of a rule that is to be put right may be wrong. */
function settingsOf({ environment, functionName, region }: Rule): RuleSettings | undefined {
  try {
    return checkSettings(environment, functionName, region);
  } catch {
    return undefined;
  }
}

/** SCF refuses to change back what it is changing. */
function undoneWhenStill(cloud: Cloud, functionName: string, step: Step): Step {
  const { call, undo } = step;
  if (undo === undefined || !call.startsWith('scf:')) return step;
  const run = async (signal: AbortSignal) => {
    await waitWhileChanging(cloud, functionName, signal);
    await undo.run(signal);
  };
  return { ...step, undo: { ...undo, run } };
}

function updateCode(cloud: Cloud, functionName: string, code: ReadCode): Step {
  const request = { FunctionName: functionName, Handler: HANDLER };
  return {
    title: `replace the code of ${functionName}`,
    call: 'scf:UpdateFunctionCode',
    request: { ...request, ZipFile: '[zip]' },
    run: async (signal) => {
      const ZipFile = Buffer.from(await code()).toString('base64');
      await cloud.call('scf', 'UpdateFunctionCode', { ...request, ZipFile }, { signal, timeoutSeconds: 120 });
    },
    settle: (signal) => waitUntilActive(cloud, functionName, signal),
    lasting: `${functionName} has the new code`,
  };
}

/**
 * Memory for as many instances as there are timers. Where none was reserved before, a change of memory alone does not
 * begin to; a number of instances does, and so does leaving Failover. Going to it ends the reservation for one.
 */
async function concurrencySteps(
  cloud: Cloud,
  before: Rule,
  after: ResolvedRule,
  options: EditOptions,
): Promise<Step[]> {
  const { functionName } = before;
  const { instances, memoryMb } = after;
  const isOther = options.areInstancesGiven || instances !== instancesOf(before);
  const wasFailover = before.environment['PULSAR_SUBSCRIPTION_TYPE'] === 'failover';
  const isFailover = after.config.pulsar.subscriptionType === 'failover';
  if (options.reserve && !isOther && wasFailover === isFailover && before.memoryMb === memoryMb) return [];
  const answer = await cloud.call('scf', 'GetReservedConcurrencyConfig', { FunctionName: functionName });
  const wasMb = answer.ReservedMem || undefined;
  const isKept = wasFailover === isFailover ? wasMb !== undefined : wasFailover;
  const isWanted = options.reserve && instances > 0 && (isOther || isKept);
  const wantedMb = isWanted ? memoryMb * instances : undefined;
  if (wantedMb === wasMb) return [];
  const step =
    wantedMb === undefined
      ? reserveMemory(cloud, functionName, undefined)
      : reserve(cloud, functionName, memoryMb, instances);
  return [
    {
      ...step,
      undo: {
        title: 'set the concurrency back',
        left: wantedMb === undefined ? 'no reservation' : `a reservation of ${wantedMb} MB`,
        byHand: `reserve ${wasMb ?? 'no'} MB for ${functionName} in the SCF console`,
        run: reserveMemory(cloud, functionName, wasMb).run,
      },
    },
  ];
}

/** A tick waits for its turn as long as the interval. */
async function retrySteps(
  cloud: Cloud,
  before: Rule,
  after: ResolvedRule,
  options: EditOptions,
): Promise<Step[]> {
  const { functionName } = before;
  if (!options.areInstancesGiven && after.config.run.intervalMinutes === intervalOf(before)) return [];
  const answer = await ifThere(
    cloud.call('scf', 'GetFunctionEventInvokeConfig', { FunctionName: functionName }),
  );
  const was = answer?.AsyncTriggerConfig;
  const wanted = retriesOf(after.config);
  const retries = setRetries(cloud, functionName, wanted);
  if (was === undefined) return [retries];
  if (was.RetryConfig[0]?.RetryNum === wanted.times && was.MsgTTL === wanted.waitSeconds) return [];
  const back = setRetries(cloud, functionName, {
    times: was.RetryConfig[0]?.RetryNum ?? 0,
    waitSeconds: was.MsgTTL,
  });
  return [
    {
      ...retries,
      undo: {
        title: 'set back how failed runs are repeated',
        left: `that a tick waits ${after.config.run.intervalMinutes} minutes for its turn`,
        byHand: `set the asynchronous invocation of ${functionName} back in the SCF console`,
        run: back.run,
      },
    },
  ];
}

/** The settings of a rule after a change; a stored key is left as it is unless a role is named. */
function isConfigurationChanged(before: Rule, after: ResolvedRule): boolean {
  const names = new Set([...Object.keys(before.environment), ...Object.keys(after.environment)]);
  return (
    after.storedRole !== undefined ||
    [...names].some((name) => before.environment[name] !== after.environment[name]) ||
    before.memoryMb !== after.memoryMb ||
    before.timeoutSeconds !== after.timeoutSeconds ||
    before.runRole !== after.runRole ||
    before.vpc?.vpcId !== after.vpc.vpcId ||
    before.vpc?.subnetId !== after.vpc.subnetId ||
    before.cls?.topicId !== after.cls?.topicId
  );
}

function updateConfiguration(cloud: Cloud, before: Rule, after: ResolvedRule): Step {
  const { functionName } = before;
  const update = (
    of: Pick<Rule, 'memoryMb' | 'timeoutSeconds' | 'runRole' | 'vpc' | 'cls'>,
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) =>
    cloud.call(
      'scf',
      'UpdateFunctionConfiguration',
      {
        FunctionName: functionName,
        MemorySize: of.memoryMb,
        Timeout: of.timeoutSeconds,
        Role: of.runRole,
        VpcConfig: of.vpc && { VpcId: of.vpc.vpcId, SubnetId: of.vpc.subnetId },
        // Empty takes the topic away; left out would keep it.
        ClsLogsetId: of.cls?.logsetId ?? '',
        ClsTopicId: of.cls?.topicId ?? '',
        Environment: variables(environment),
      },
      { signal },
    );
  return {
    title: `change the settings of ${functionName}`,
    call: 'scf:UpdateFunctionConfiguration',
    request: {
      FunctionName: functionName,
      MemorySize: after.memoryMb,
      Timeout: after.timeoutSeconds,
      Role: after.runRole,
      Environment: shownEnvironment(after),
    },
    run: async (signal) => update(after, await fullEnvironment(cloud, after), signal),
    settle: (signal) => waitUntilActive(cloud, functionName, signal),
    undo: {
      title: `set the settings of ${functionName} back`,
      left: `the new settings of ${functionName}`,
      byHand: `tdmq-backup rule show ${before.name} reports them; set them back with tdmq-backup rule edit ${before.name}`,
      run: async (signal) => {
        await update(before, before.environment, signal);
        await waitUntilActive(cloud, functionName, signal);
      },
    },
  };
}
