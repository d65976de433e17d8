// The steps that a rule is made of: its function, with concurrency and retry policy, and the order of all of them.
import { readFile } from 'node:fs/promises';
import type { RuleSettings } from '../config.ts';
import { BackupError } from '../errors.ts';
import { apiCode } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import { deleteFunction, waitUntilActive } from './function-status.ts';
import type { ResolvedRule } from './resolve-rule.ts';
import { RULE_TAG, shownSetting } from './rule.ts';
import { createRunRole } from './run-role.ts';
import type { Step } from './steps.ts';
import { createSubscription, moveSubscription } from './subscription-steps.ts';
import { createTimers } from './timer-steps.ts';

/** The function's zip; asked for only when it is uploaded. */
export type ReadCode = () => Promise<Uint8Array>;

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
      hint: 'Deploy this package with serverless.yml; the rule commands work with it too.',
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
    ...(options.reserve && isLimited(rule) ? [reserve(cloud, name, rule.memoryMb, rule.instances)] : []),
    setRetries(cloud, name, retriesOf(config)),
    ...createSubscription(cloud, rule),
    // As late as it can be, since nothing takes it back.
    ...moveSubscription(cloud, rule),
    ...createTimers(cloud, name, config.run.intervalMinutes, rule.instances),
  ];
}

/** On Failover, runs that overlap share the partitions, unless somebody has chosen how many there are to be. */
const isLimited = ({ areInstancesGiven, config }: ResolvedRule) =>
  areInstancesGiven || config.pulsar.subscriptionType !== 'failover';

function createFunction(cloud: Cloud, rule: ResolvedRule, code: ReadCode): Step {
  const { name } = rule;
  const request = {
    FunctionName: name,
    Handler: HANDLER,
    Runtime: rule.runtime,
    Type: 'Event',
    Description: 'Keeps the messages of a TDMQ for Apache Pulsar topic in COS',
    MemorySize: rule.memoryMb,
    Timeout: rule.timeoutSeconds,
    Role: rule.runRole,
    VpcConfig: { VpcId: rule.vpc.vpcId, SubnetId: rule.vpc.subnetId },
    PublicNetConfig: { PublicNetStatus: 'ENABLE', EipConfig: { EipStatus: 'DISABLE' } },
    ClsLogsetId: rule.cls?.logsetId,
    ClsTopicId: rule.cls?.topicId,
    // Without a topic SCF delivers to one of its own; either way it makes the index of its own fields.
    ...(rule.cls === undefined && { AutoCreateClsTopic: 'TRUE' }),
    AutoDeployClsTopicIndex: 'TRUE',
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
      left: `the function ${name}`,
      byHand: `tdmq-backup rule delete ${name} --region ${rule.region}`,
      run: (signal) => deleteFunction(cloud, name, signal),
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

/** Memory reserved for so many instances lets no further one start. Undone with the function. */
export function reserve(cloud: Cloud, functionName: string, memoryMb: number, instances: number): Step {
  const several = instances === 1 ? 'one instance run' : `${instances} instances run`;
  return { ...reserveMemory(cloud, functionName, memoryMb * instances), title: `let ${several} at a time` };
}

/** Reserves so much memory in all, or with `undefined` none. */
export function reserveMemory(cloud: Cloud, functionName: string, memoryMb: number | undefined): Step {
  const request = { FunctionName: functionName };
  if (memoryMb === undefined) {
    return {
      title: 'let any number of instances run',
      call: 'scf:DeleteReservedConcurrencyConfig',
      request,
      run: (signal) => cloud.call('scf', 'DeleteReservedConcurrencyConfig', request, { signal }),
    };
  }
  const put = { ...request, ReservedConcurrencyMem: memoryMb };
  return {
    title: `reserve ${memoryMb} MB for ${functionName}`,
    call: 'scf:PutReservedConcurrencyConfig',
    request: put,
    run: (signal) => cloud.call('scf', 'PutReservedConcurrencyConfig', put, { signal }),
  };
}

/** How often SCF repeats a failed run, and how long a tick waits for its turn. */
export interface RetryPolicy {
  readonly times: number;
  readonly waitSeconds: number;
}

/** A tick that could not start within its interval is dropped: the next one does its work. */
export const retriesOf = (config: RuleSettings): RetryPolicy => ({
  times: RETRIES,
  waitSeconds: config.run.intervalMinutes * 60,
});

/** Undone with the function. */
export function setRetries(cloud: Cloud, functionName: string, { times, waitSeconds }: RetryPolicy): Step {
  const request = {
    FunctionName: functionName,
    AsyncTriggerConfig: { RetryConfig: [{ RetryNum: times }], MsgTTL: waitSeconds },
  };
  return {
    title: 'set how failed runs are repeated',
    call: 'scf:UpdateFunctionEventInvokeConfig',
    request,
    run: (signal) => cloud.call('scf', 'UpdateFunctionEventInvokeConfig', request, { signal }),
  };
}
