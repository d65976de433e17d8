// What changing a deployed rule amounts to: only the calls that the change needs, each with its way back.
import type { Cloud } from './cloud.ts';
import {
  fullEnvironment,
  HANDLER,
  isSingle,
  type ReadCode,
  release,
  reserve,
  setRetries,
  shownEnvironment,
  subscriptionSteps,
  variables,
} from './function-steps.ts';
import type { ResolvedRule } from './resolve-rule.ts';
import { cronEvery, type Rule, type Timer } from './rule.ts';
import { createRunRole } from './run-role.ts';
import { type Step, waitUntilActive } from './steps.ts';

/** What changing a rule into another amounts to; `code` where its package is to be replaced as well. */
export async function planEdit(
  cloud: Cloud,
  before: Rule,
  after: ResolvedRule,
  code: ReadCode | undefined,
): Promise<Step[]> {
  const { functionName } = before;
  const steps: Step[] = after.isRunRoleNew
    ? createRunRole(cloud, after.runRole, after.name, after.config)
    : [];
  steps.push(...subscriptionSteps(cloud, after));
  if (isConfigurationChanged(before, after)) steps.push(updateConfiguration(cloud, before, after));
  if (code !== undefined) {
    steps.push({
      title: `replace the code of ${functionName}`,
      call: 'scf:UpdateFunctionCode',
      request: { FunctionName: functionName, ZipFile: '[zip]', Handler: HANDLER },
      run: async (signal) =>
        cloud.call(
          'scf',
          'UpdateFunctionCode',
          {
            FunctionName: functionName,
            ZipFile: Buffer.from(await code()).toString('base64'),
            Handler: HANDLER,
          },
          { signal, timeoutSeconds: 120 },
        ),
      settle: (signal) => waitUntilActive(cloud, functionName, signal),
    });
  }
  steps.push(...(await concurrencySteps(cloud, before, after)));
  const cron = cronEvery(after.config.run.intervalMinutes);
  const changed = before.timers.filter((timer) => timer.cron !== cron);
  if (changed.length > 0) steps.push(setRetries(cloud, functionName, after.config));
  steps.push(...changed.map((timer) => changeTimer(cloud, functionName, timer, cron)));
  return steps;
}

/** One instance's memory stays reserved where it was, and is reserved or released when Failover ends or begins. */
async function concurrencySteps(cloud: Cloud, before: Rule, after: ResolvedRule): Promise<Step[]> {
  const { functionName } = before;
  const wasSingle = before.environment['PULSAR_SUBSCRIPTION_TYPE'] !== 'failover';
  const isNowSingle = isSingle(after.config);
  if (wasSingle === isNowSingle && before.memoryMb === after.memoryMb) return [];
  const answer = await cloud.call('scf', 'GetReservedConcurrencyConfig', { FunctionName: functionName });
  const reservedMb = answer.ReservedMem || undefined;
  if (isNowSingle && (reservedMb !== undefined || !wasSingle)) {
    return [reserve(cloud, functionName, after.memoryMb, reservedMb)];
  }
  if (isNowSingle || reservedMb === undefined) return [];
  const put = reserve(cloud, functionName, reservedMb);
  return [
    {
      title: 'let several instances run',
      call: 'scf:DeleteReservedConcurrencyConfig',
      request: { FunctionName: functionName },
      run: (signal) => release(cloud, functionName, signal),
      undo: { title: 'set the concurrency back', run: put.run },
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
        ClsLogsetId: of.cls?.logsetId,
        ClsTopicId: of.cls?.topicId,
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
      run: async (signal) => {
        await waitUntilActive(cloud, functionName, signal);
        await update(before, before.environment, signal);
        await waitUntilActive(cloud, functionName, signal);
      },
    },
  };
}

function changeTimer(cloud: Cloud, functionName: string, timer: Timer, cron: string): Step {
  const update = (text: string, signal: AbortSignal) =>
    cloud.call(
      'scf',
      'UpdateTrigger',
      {
        FunctionName: functionName,
        TriggerName: timer.name,
        Type: 'timer',
        Qualifier: timer.qualifier,
        TriggerDesc: text,
        Enable: timer.isOn ? 'OPEN' : 'CLOSE',
      },
      { signal },
    );
  return {
    title: `set the timer ${timer.name} to ${cron}`,
    call: 'scf:UpdateTrigger',
    request: { FunctionName: functionName, TriggerName: timer.name, TriggerDesc: cron },
    run: (signal) => update(cron, signal),
    undo: { title: `set the timer ${timer.name} back`, run: (signal) => update(timer.cron, signal) },
  };
}
