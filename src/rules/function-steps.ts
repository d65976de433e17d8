// The changing calls that a rule is made of, as steps: function, concurrency, retry policy, subscription, timer.
import { readFile } from 'node:fs/promises';
import type { RuleConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import { apiCode, type Cloud } from './cloud.ts';
import type { ResolvedRule } from './resolve-rule.ts';
import { cronEvery, RULE_TAG, shownSetting } from './rule.ts';
import { createRunRole } from './run-role.ts';
import { type Step, waitUntilActive } from './steps.ts';

/** The function's zip; asked for only when it is uploaded. */
export type ReadCode = () => Promise<Uint8Array>;

const RUNTIME = 'Nodejs18.15';
/** Where SCF finds the function in the package. */
export const HANDLER = 'index.main_handler';
/** What SCF repeats a failed run; the next tick of the timer comes anyway. */
const RETRIES = 2;
/** The API takes requests of 10 MB, and base64 makes four bytes of three. */
const MAX_CODE_BYTES = 7_000_000;

/** The zip at a path. @throws BackupError `rule` where it is missing or too large for the API */
export async function readCode(path: string): Promise<Uint8Array> {
  const zip = await readFile(path).catch((cause: unknown) => {
    throw new BackupError('rule', `the function's package ${path} cannot be read`, {
      cause,
      hint: 'Write it with `tdmq-backup package`, or name another with --package.',
    });
  });
  if (zip.byteLength > MAX_CODE_BYTES) {
    throw new BackupError('rule', `${path} has ${zip.byteLength} bytes; the API takes ${MAX_CODE_BYTES}`, {
      hint: 'Deploy this package with serverless.yml; the rule commands work with it all the same.',
    });
  }
  return zip;
}

/** What a resolved rule's making amounts to, in order. */
export function planCreate(
  cloud: Cloud,
  rule: ResolvedRule,
  code: ReadCode,
  options: { readonly reserve: boolean },
): Step[] {
  const { name, config } = rule;
  return [
    ...(rule.isRunRoleNew ? createRunRole(cloud, rule.runRole, name, config) : []),
    createFunction(cloud, rule, code),
    ...(options.reserve && isSingle(config) ? [reserve(cloud, name, rule.memoryMb)] : []),
    setRetries(cloud, name, config),
    ...subscriptionSteps(cloud, rule),
    createTimer(cloud, name, config.run.intervalMinutes),
  ];
}

/** One instance at a time, unless several share the partitions. */
export const isSingle = (config: RuleConfig) => config.pulsar.subscriptionType !== 'failover';

function createFunction(cloud: Cloud, rule: ResolvedRule, code: ReadCode): Step {
  const { name } = rule;
  const request = {
    FunctionName: name,
    Handler: HANDLER,
    Runtime: RUNTIME,
    Type: 'Event',
    Description: 'Keeps the messages of a TDMQ for Apache Pulsar topic in COS',
    MemorySize: rule.memoryMb,
    Timeout: rule.timeoutSeconds,
    Role: rule.runRole,
    VpcConfig: { VpcId: rule.vpc.vpcId, SubnetId: rule.vpc.subnetId },
    PublicNetConfig: { PublicNetStatus: 'ENABLE', EipConfig: { EipStatus: 'DISABLE' } },
    ClsLogsetId: rule.cls?.logsetId,
    ClsTopicId: rule.cls?.topicId,
    Tags: [{ Key: RULE_TAG, Value: name }],
    InstallDependency: 'FALSE',
  };
  return {
    title: `create the function ${name}`,
    call: 'scf:CreateFunction',
    request: { ...request, Code: '[zip]', Environment: shownEnvironment(rule) },
    run: async (signal) => {
      const [zip, environment] = await Promise.all([code(), fullEnvironment(cloud, rule)]);
      const create = () =>
        cloud.call(
          'scf',
          'CreateFunction',
          {
            ...request,
            Code: { ZipFile: Buffer.from(zip).toString('base64') },
            Environment: variables(environment),
          },
          { signal, timeoutSeconds: 120 },
        );
      await (rule.isRunRoleNew ? onceRoleIsKnown(cloud, create, signal) : create());
    },
    settle: (signal) => waitUntilActive(cloud, name, signal),
    undo: {
      title: `delete the function ${name}`,
      run: (signal) => cloud.call('scf', 'DeleteFunction', { FunctionName: name }, { signal }),
    },
  };
}

/** SCF learns of a new role with some delay. */
async function onceRoleIsKnown<T>(cloud: Cloud, create: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await create();
    } catch (error) {
      if (attempt >= 6 || !/Role/.test(apiCode(error))) throw error;
      await cloud.clock.sleep(500 * attempt, signal);
    }
  }
}

/** The settings with the role's key read. */
export async function fullEnvironment(cloud: Cloud, rule: ResolvedRule): Promise<Record<string, string>> {
  if (rule.storedRole === undefined) return { ...rule.environment };
  const key = await cloud.readRoleKey(rule.cluster.id, rule.storedRole);
  return { ...rule.environment, PULSAR_TOKEN: key.reveal() };
}

/** Settings as the API takes them. */
export const variables = (environment: Readonly<Record<string, string>>) => ({
  Variables: Object.entries(environment).map(([Key, Value]) => ({ Key, Value })),
});

/** The settings for a person's eyes, the key among them as `[secret]`. */
export function shownEnvironment(rule: ResolvedRule): Record<string, string> {
  const shown = Object.fromEntries(
    Object.entries(rule.environment).map(([name, value]) => [name, shownSetting(name, value)]),
  );
  return rule.storedRole === undefined
    ? shown
    : { ...shown, PULSAR_TOKEN: `[the key of ${rule.storedRole}]` };
}

/** Reserves memory for one instance, which lets no second one start; undone to what was reserved before. */
export function reserve(cloud: Cloud, functionName: string, memoryMb: number, before?: number): Step {
  const put = (mb: number, signal: AbortSignal) =>
    cloud.call(
      'scf',
      'PutReservedConcurrencyConfig',
      { FunctionName: functionName, ReservedConcurrencyMem: mb },
      { signal },
    );
  return {
    title: 'let one instance run at a time',
    call: 'scf:PutReservedConcurrencyConfig',
    request: { FunctionName: functionName, ReservedConcurrencyMem: memoryMb },
    run: (signal) => put(memoryMb, signal),
    undo: {
      title: 'set the concurrency back',
      run: (signal) => (before === undefined ? release(cloud, functionName, signal) : put(before, signal)),
    },
  };
}

/** Takes the reservation away. */
export const release = (cloud: Cloud, functionName: string, signal: AbortSignal) =>
  cloud.call('scf', 'DeleteReservedConcurrencyConfig', { FunctionName: functionName }, { signal });

/** How often a failed run is repeated, and how long a tick waits for its turn. */
export function setRetries(cloud: Cloud, functionName: string, config: RuleConfig): Step {
  // A tick that could not start within its interval is dropped: the next one does its work.
  const request = {
    FunctionName: functionName,
    AsyncTriggerConfig: {
      RetryConfig: [{ RetryNum: RETRIES }],
      MsgTTL: config.run.intervalMinutes * 60,
    },
  };
  return {
    title: 'set how failed runs are repeated',
    call: 'scf:UpdateFunctionEventInvokeConfig',
    request,
    run: (signal) => cloud.call('scf', 'UpdateFunctionEventInvokeConfig', request, { signal }),
  };
}

/** Makes the subscription where it is missing, and moves it where a start is asked for. */
export function subscriptionSteps(cloud: Cloud, rule: ResolvedRule): Step[] {
  const { topic } = rule.config.pulsar;
  const { name, existing } = rule.subscription;
  const where = { ClusterId: rule.cluster.id, EnvironmentId: topic.namespace, TopicName: topic.topic };
  const steps: Step[] = [];
  if (existing === undefined) {
    const request = { ...where, SubscriptionName: name, IsIdempotent: false, AutoCreatePolicyTopic: false };
    steps.push({
      title: `create the subscription ${name}`,
      call: 'tdmq:CreateSubscription',
      request,
      run: (signal) => cloud.call('tdmq', 'CreateSubscription', request, { signal }),
      undo: deletionOf(cloud, where, name),
    });
  }
  if (rule.startMs !== undefined) {
    const request = { ...where, Subscription: name, ToTimestamp: rule.startMs };
    steps.push({
      title: `move the subscription ${name} to ${rule.startMs === 1 ? 'the earliest message' : new Date(rule.startMs).toISOString()}`,
      call: 'tdmq:ResetMsgSubOffsetByTimestamp',
      request,
      run: (signal) => cloud.call('tdmq', 'ResetMsgSubOffsetByTimestamp', request, { signal }),
    });
  }
  return steps;
}

/** The deletion of a subscription, refused by TDMQ while consumers are connected. */
export function deletionOf(
  cloud: Cloud,
  where: { ClusterId: string; EnvironmentId: string; TopicName: string },
  subscription: string,
): NonNullable<Step['undo']> {
  return {
    title: `delete the subscription ${subscription}`,
    run: (signal) =>
      cloud.call(
        'tdmq',
        'DeleteSubscriptions',
        {
          ClusterId: where.ClusterId,
          EnvironmentId: where.EnvironmentId,
          SubscriptionTopicSets: [
            {
              EnvironmentId: where.EnvironmentId,
              TopicName: where.TopicName,
              SubscriptionName: subscription,
            },
          ],
          Force: false,
        },
        { signal },
      ),
  };
}

function createTimer(cloud: Cloud, functionName: string, intervalMinutes: number): Step {
  const timer = {
    FunctionName: functionName,
    TriggerName: `every-${intervalMinutes}-minutes`,
    Type: 'timer',
    Qualifier: '$DEFAULT',
  };
  const request = {
    ...timer,
    TriggerDesc: cronEvery(intervalMinutes),
    Enable: 'OPEN',
    CustomArgument: 'tdmq-backup',
  };
  return {
    title: `start the timer, every ${intervalMinutes} minutes`,
    call: 'scf:CreateTrigger',
    request,
    run: (signal) => cloud.call('scf', 'CreateTrigger', request, { signal }),
    undo: {
      title: 'delete the timer',
      run: (signal) => cloud.call('scf', 'DeleteTrigger', timer, { signal }),
    },
  };
}
